//! Matches of expressions in a capture, and how long their programs are.

use std::path::Path;

use anyhow::Result;
use serde_json::Value;
use skep_isa::classic::Packet;
use skep_lang::pcap::{Filter, Libpcap, Options as Compile, compile};

use super::packets::{frames, start, steer};
use super::{Offline, Options, lines};
use crate::inputs::Random;

/// The part of libpcap's instructions that ours may be.
const GOAL: f64 = 0.97;

/// The hash of one bit for each packet.
fn hash(filter: &Filter, frames: &[(Vec<u8>, u32)]) -> (u64, u64) {
    let mut hash = 1_469_598_103_934_665_603u64;
    let mut matches = 0;
    for (frame, len) in frames {
        let packet = Packet { data: frame, len: *len, metadata: None };
        let bit = u64::from(filter.program().run(&packet) != 0);
        matches += bit;
        hash = (hash ^ bit).wrapping_mul(1_099_511_628_211);
    }
    (hash, matches)
}

pub(super) fn execute(folder: &Path, options: &Options) -> Result<bool> {
    let frames = frames(&folder.join("merged-en10mb.pcap"))?;
    let mut good = true;
    let expressions = lines(folder, "pcap-golden.jsonl")?;
    for (version, name) in [(Libpcap::V1_11, "1.11"), (Libpcap::V1_10, "1.10.3")] {
        let (mut agree, mut all) = (0, 0);
        for row in &expressions {
            let expr = row["expr"].as_str().unwrap_or_default();
            let wanted = &row[format!("{name}_unopt").as_str()];
            let Some(wanted) = wanted["hash"].as_str() else { continue };
            // libpcap says that it takes nothing, since it reads IPv4's transport bytes of
            // IPv6; here those are IPv6's.
            let rejected = row[format!("{name}_opt").as_str()].is_null();
            if rejected && expr.contains("ip6") && expr.contains("tcp[") {
                println!("left out: {expr}");
                continue;
            }
            all += 1;
            match judge(expr, version, wanted, &frames) {
                Ok(()) => agree += 1,
                Err(error) if options.verbose || all - agree < 20 => {
                    println!("{expr:?}: {error:#}")
                }
                Err(_) => {}
            }
        }
        println!("parity filter-golden-{name}: agree {agree} of {all}");
        good &= agree == all;
    }
    good &= sizes(&expressions, &frames, options)?;
    Ok(good)
}

fn settings(libpcap: Libpcap) -> Compile<'static> {
    Compile { netmask: Some(0x00ff_ffff), libpcap, names: &Offline, ..Compile::default() }
}

fn judge(expr: &str, version: Libpcap, wanted: &str, frames: &[(Vec<u8>, u32)]) -> Result<()> {
    for optimize in [false, true] {
        let filter = match compile(expr, &Compile { optimize, ..settings(version) }) {
            Err(error) if optimize && error.text == "expression rejects all packets" => continue,
            filter => filter?,
        };
        let (found, matches) = hash(&filter, frames);
        let found = format!("{found:016x}");
        anyhow::ensure!(found == wanted, "{matches} packets, optimised {optimize}");
    }
    Ok(())
}

/// The programs' lengths beside the shorter of libpcap's.
fn sizes(expressions: &[Value], frames: &[(Vec<u8>, u32)], options: &Options) -> Result<bool> {
    let (mut ours, mut theirs, mut longer, mut excused) = (0, 0, 0, 0);
    for row in expressions {
        let expr = row["expr"].as_str().unwrap_or_default();
        let lengths = ["1.11_opt", "1.10.3_opt"].map(|name| row[name]["insns"].as_u64());
        let Some(least) = lengths.into_iter().flatten().min() else { continue };
        // Some are in the language of only one version.
        let versions = [Libpcap::V1_11, Libpcap::V1_10];
        let filter = versions.iter().find_map(|&version| compile(expr, &settings(version)).ok());
        let Some(filter) = filter else {
            println!("{expr:?} is refused, and is not by libpcap");
            return Ok(false);
        };
        let found = filter.filters().len() as u64;
        ours += found;
        theirs += least;
        if found > least {
            longer += 1;
            let wrong = decides_otherwise(expr, least, frames)?;
            excused += u32::from(wrong);
            if options.verbose {
                let why = if wrong { ", which decides otherwise" } else { "" };
                println!("longer: {found} instead of {least}{why}: {expr}");
            }
        }
    }
    let part = ours as f64 / theirs as f64;
    println!(
        "parity filter-size: {ours} instructions of {theirs}: {part:.4}; {longer} longer, {excused} \
         of them than a program that decides otherwise"
    );
    Ok(part <= GOAL)
}

/// Whether the installed tcpdump's program, where it has that length, decides some packet
/// otherwise than the expression says.
fn decides_otherwise(expr: &str, least: u64, frames: &[(Vec<u8>, u32)]) -> Result<bool> {
    let Ok(Some(theirs)) = super::peer::theirs(expr, true) else { return Ok(false) };
    if theirs.insns().len() as u64 != least {
        return Ok(false);
    }
    let plain = Compile { optimize: false, ..settings(Libpcap::V1_11) };
    let plain = compile(expr, &plain)?;
    let mut random = Random::new(1);
    let pool: Vec<Vec<u8>> = frames.iter().step_by(50).map(|frame| frame.0.clone()).collect();
    for _ in 0..20_000 {
        let mut data = start(&pool, &mut random);
        steer(plain.program(), &mut data, &mut random);
        if random.chance(2) {
            data.truncate(random.index(data.len() + 1));
        }
        let packet = Packet::of(&data);
        if plain.program().run(&packet) != theirs.run(&packet) {
            return Ok(true);
        }
    }
    Ok(false)
}
