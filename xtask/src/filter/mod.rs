//! `parity filter`: what expressions decide, beside what libpcap's unoptimised programs do.
//!
//! - *cases*: libpcap's own tests; the listing of each is run beside our program on
//!   packets that are steered to where the listing looks.
//! - *golden*: expressions with their matches in a capture, by two versions of libpcap.
//! - *rejects*: expressions that must be refused, and with which words.
//! - *classic*: classic programs on interpreter, compiled code and Linux.
//! - *equal*: pairs of random expressions, compared by proof and by packets.
//! - *random*: random expressions beside the installed tcpdump.
//!
//! The data is not part of the repository; without it a line says so.

mod cases;
mod classic;
mod expressions;
mod golden;
mod packets;
mod pairs;
mod peer;
mod rejects;

use std::path::PathBuf;

use anyhow::{Context, Result};
use serde_json::Value;
use skep_lang::pcap::{Kind, Libpcap, Link, Names, Options as Compile, System};

/// What to compare.
#[derive(clap::Args, Clone)]
pub struct Options {
    /// Packets for each of libpcap's cases
    #[arg(long, default_value_t = 10_000)]
    packets: u32,
    /// Random expressions beside tcpdump
    #[arg(long, default_value_t = 20_000)]
    count: u32,
    /// Packets for each random expression
    #[arg(long, default_value_t = 40)]
    inputs: u32,
    /// Pairs of random expressions that are compared
    #[arg(long, default_value_t = 10_000)]
    pairs: u32,
    /// Random classic programs on interpreter, compiled code and Linux
    #[arg(long, default_value_t = 100_000)]
    programs: u64,
    /// The first seed
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Say what differs, expression by expression
    #[arg(long)]
    verbose: bool,
}

impl Options {
    /// What continuous integration runs.
    pub fn short() -> Options {
        Options {
            packets: 200,
            count: 300,
            inputs: 40,
            pairs: 300,
            programs: 1_000,
            seed: 1,
            verbose: false,
        }
    }
}

/// Compares. Gives whether all agree.
pub fn execute(options: &Options) -> Result<bool> {
    let mut good = true;
    match data() {
        Some(folder) => {
            good &= cases::execute(&folder, options)?;
            good &= golden::execute(&folder, options)?;
            good &= rejects::execute(&folder, options)?;
        }
        None => println!("skipped: parity filter: libpcap's cases are not there (SKEP_DATA)"),
    }
    good &= classic::execute(options.programs, options.seed)?;
    good &= pairs::execute(options)?;
    good &= peer::execute(options)?;
    Ok(good)
}

/// The folder of the data: `SKEP_DATA`, or `shared/data` beside the checkout or above it.
fn data() -> Option<PathBuf> {
    let named = std::env::var_os("SKEP_DATA").map(PathBuf::from);
    let workspace = crate::cargo::workspace();
    let above = workspace.ancestors().skip(1).map(|folder| folder.join("shared/data"));
    named.into_iter().chain(above).find(|folder| folder.join("pcap-cases.jsonl").is_file())
}

/// The lines of one of its files.
fn lines(folder: &std::path::Path, name: &str) -> Result<Vec<Value>> {
    let path = folder.join(name);
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    text.lines().map(|line| serde_json::from_str(line).context("a line is no JSON")).collect()
}

/// The link type of a case, where it is one that is read.
fn link(case: &Value) -> Option<Link> {
    Link::of_name(case["dlt"].as_str()?).filter(|link| link.kind != Kind::Other)
}

/// How a case is compiled.
fn settings<'a>(case: &Value, link: Link, names: &'a dyn Names) -> Compile<'a> {
    let netmask = case["netmask"].as_str().and_then(|mask| mask.parse::<std::net::Ipv4Addr>().ok());
    Compile {
        link,
        snaplen: case["snaplen"].as_u64().map_or(262_144, |bytes| bytes as u32),
        // All ones is how libpcap says that it is not known.
        netmask: netmask.map(u32::from).filter(|&netmask| netmask != u32::MAX),
        live: !case["linuxext"].is_null(),
        file: !case["generate_offline_filter"].is_null(),
        any_encap: false,
        optimize: true,
        libpcap: Libpcap::V1_11,
        names,
    }
}

/// The machine's names, without asking the network.
struct Offline;

impl Names for Offline {
    fn host(&self, name: &str) -> Vec<std::net::IpAddr> {
        match name {
            "localhost" => vec![[127, 0, 0, 1].into()],
            _ => Vec::new(),
        }
    }

    fn network(&self, name: &str) -> Option<u32> {
        System.network(name)
    }

    fn port(&self, name: &str, protocol: u8) -> Option<u16> {
        System.port(name, protocol)
    }

    fn protocol(&self, name: &str) -> Option<u8> {
        System.protocol(name)
    }

    fn ether(&self, name: &str) -> Option<[u8; 6]> {
        System.ether(name)
    }
}
