//! libpcap's own cases: its listing beside our program.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;
use skep_isa::classic::{Metadata, Packet, Program, listing, parse};
use skep_lang::pcap::{Kind, Link, Radio, compile};

use super::packets::{frames, start, steer};
use super::{Offline, Options, lines, link, settings};
use crate::inputs::Random;

pub(super) fn execute(folder: &Path, options: &Options) -> Result<bool> {
    let frames = frames(&folder.join("merged-en10mb.pcap"))?;
    let frames: Vec<Vec<u8>> = frames.into_iter().map(|(frame, _)| frame).collect();
    let cases = lines(folder, "pcap-cases.jsonl")?;
    let mut random = Random::new(options.seed);
    let (mut agree, mut all, mut accepted, mut others) = (0, 0, 0, 0);
    for case in &cases {
        let expr = case["expr"].as_str().unwrap_or_default();
        let Some(link) = link(case) else { continue };
        if case["kind"] != "accept" || expr.starts_with('_') || case["unopt"].is_null() {
            continue;
        }
        // The same expression on a host of the other byte order.
        let other = if cfg!(target_endian = "little") { "BE_NULL" } else { "LE_NULL" };
        if case["name"].as_str().is_some_and(|name| name.ends_with(other)) {
            others += 1;
            continue;
        }
        all += 1;
        match judge(case, expr, link, &frames, options, &mut random) {
            Ok(matches) => {
                agree += 1;
                accepted += matches;
            }
            Err(error) => {
                if options.verbose || all - agree < 20 {
                    println!("{} {expr:?}: {error:#}", link.name);
                }
            }
        }
    }
    let packets = u64::from(options.packets) * agree;
    println!("{accepted} of {packets} packets taken; {others} cases of the other byte order");
    println!("parity filter-cases: agree {agree} of {all}");
    Ok(agree == all)
}

/// The text of a listing as one of ours reads it.
fn theirs(case: &Value) -> Result<Program> {
    let lines = case["unopt"].as_array().context("no listing")?;
    let lines: Vec<&str> = lines.iter().filter_map(Value::as_str).collect();
    let filters = parse(&lines.join("\n"))?;
    Program::of_libpcap(&filters).context("the listing has unknown instructions")
}

/// Frames as they look on another link type.
fn pool(frames: &[Vec<u8>], link: Link) -> Vec<Vec<u8>> {
    let network = |frame: &Vec<u8>| frame.get(14..).unwrap_or_default().to_vec();
    let behind = |header: &'static [u8]| {
        frames.iter().step_by(7).map(move |frame| [header, &network(frame)].concat()).collect()
    };
    match link.kind {
        Kind::Ethernet => frames.to_vec(),
        Kind::Raw | Kind::Ipv4 | Kind::Ipv6 => behind(&[]),
        Kind::Cooked => behind(&[0, 4, 0, 1, 0, 6, 0, 0, 0, 0, 0, 1, 0, 0, 8, 0]),
        Kind::Cooked2 => behind(&[8, 0, 0, 0, 0, 0, 0, 3, 0, 1, 4, 6, 0, 0, 0, 0, 0, 1, 0, 0]),
        Kind::Null => behind(&[2, 0, 0, 0]),
        Kind::Loop => behind(&[0, 0, 0, 2]),
        Kind::Ppp => behind(&[0xff, 0x03, 0, 0x21]),
        Kind::Wireless(radio) => {
            let before: &[u8] = match radio {
                Radio::None => &[],
                Radio::Radiotap => &[0, 0, 9, 0, 2, 0, 0, 0, 0x20],
                Radio::Ppi => &[0, 0, 8, 0, 105, 0, 0, 0],
                Radio::Avs => &[0x80, 0x21, 0x10, 1, 0, 0, 0, 12, 0, 0, 0, 0],
                Radio::Prism => &[0; 144],
            };
            let header =
                [0x08u8, 1, 0, 0, 1, 2, 3, 4, 5, 6, 1, 2, 3, 4, 5, 6, 1, 2, 3, 4, 5, 6, 0, 0];
            let snap = [0xaa, 0xaa, 3, 0, 0, 0, 8, 0];
            let frames = frames.iter().step_by(7);
            frames.map(|frame| [before, &header, &snap, &network(frame)].concat()).collect()
        }
        Kind::Other => Vec::new(),
    }
}

/// How many of the packets are taken, where all are decided alike.
fn judge(
    case: &Value,
    expr: &str,
    link: Link,
    frames: &[Vec<u8>],
    options: &Options,
    random: &mut Random,
) -> Result<u64> {
    let theirs = theirs(case)?;
    let settings = settings(case, link, &Offline);
    let plain = compile(expr, &skep_lang::pcap::Options { optimize: false, ..settings })?;
    let ours = match compile(expr, &settings) {
        Err(error) if error.text == "expression rejects all packets" => plain.clone(),
        ours => ours?,
    };
    let pool = pool(frames, link);
    let mut taken = 0;
    for _ in 0..options.packets {
        let mut data = start(&pool, random);
        for _ in 0..random.index(3) {
            steer(&theirs, &mut data, random);
        }
        if random.chance(8) {
            data.truncate(random.index(data.len() + 1));
        }
        let metadata = Metadata {
            packet_type: random.index(5) as u8,
            interface: 1 + random.index(3) as u32,
            vlan: random.chance(2).then(|| (*random.pick(&[10, 500, 2061, 2014]), 0x8100)),
            ..Metadata::default()
        };
        let metadata = settings.live.then_some(&metadata);
        let packet = Packet { data: &data, len: data.len() as u32, metadata };
        let wanted = theirs.run(&packet);
        for (name, filter) in [("unoptimised", &plain), ("optimised", &ours)] {
            let found = filter.program().run(&packet);
            anyhow::ensure!(
                found == wanted,
                "{name} gives {found}, libpcap's {wanted}, on {data:02x?}\n{}",
                listing(filter.filters())
            );
        }
        taken += u64::from(wanted != 0);
    }
    Ok(taken)
}
