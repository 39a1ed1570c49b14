//! `skep filter`: which packets an expression takes.
//!
//! The expression is compiled for each link type that the packets have. With `-d` its
//! program is shown; with `-r` packets are read, and counted or written as they were read.

mod capture;
mod expression;
mod stream;

use std::io::Write;
use std::net::Ipv4Addr;
use std::path::PathBuf;

use clap::ValueEnum;
use skep_lang::pcap::{self, LINKS, Libpcap, Link, System};

use crate::Outcome;
use crate::failure::{Failure, Status};

/// Which packets match an expression: its program, or the packets of a capture.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// What to look for; words are joined. Without it every packet matches
    #[arg(value_name = "EXPR")]
    words: Vec<String>,
    /// Show the program: -d as a listing, -dd in C, -ddd as numbers
    #[arg(short = 'd', action = clap::ArgAction::Count)]
    show: u8,
    /// Do not optimise the program
    #[arg(short = 'O', long)]
    no_optimize: bool,
    /// Bytes that the program asks for of a packet that matches; 0 for 262144
    #[arg(short = 's', long, value_name = "BYTES", default_value_t = 0)]
    snapshot_length: u32,
    /// What packets start with, for -d without a file: EN10MB, RAW, LINUX_SLL2 and others
    #[arg(short = 'y', long, value_name = "LINKTYPE")]
    linktype: Option<String>,
    /// The expression is in a file
    #[arg(short = 'F', value_name = "FILE", conflicts_with = "words")]
    expression_file: Option<PathBuf>,
    /// Read packets from a capture (pcap or pcapng; - is the standard input)
    #[arg(short = 'r', value_name = "FILE")]
    read: Option<PathBuf>,
    /// Write packets that match to a file, as they were read (- is the standard output)
    #[arg(short = 'w', value_name = "FILE", requires = "read")]
    write: Option<PathBuf>,
    /// Print only how many packets match
    #[arg(long, requires = "read")]
    count: bool,
    /// Stop after so many packets that match
    #[arg(short = 'c', value_name = "COUNT", requires = "read")]
    limit: Option<u64>,
    /// The mask of the local network, which `ip broadcast` needs
    #[arg(long, value_name = "MASK")]
    netmask: Option<Ipv4Addr>,
    /// Whose language, where versions differ
    #[arg(long, value_name = "VERSION", default_value = "1.11")]
    libpcap: Version,
}

/// Versions of libpcap.
#[derive(Clone, Copy, ValueEnum)]
enum Version {
    #[value(name = "1.10")]
    Old,
    #[value(name = "1.11")]
    New,
}

const EXAMPLES: &str = "\
Examples:
  skep filter -d 'ip and tcp'                           the program of an expression
  skep filter -r in.pcapng --count 'udp port 53'        how many packets match
  skep filter -r in.pcapng -w out.pcapng 'net 10/8'     those packets, with all their options

An expression joins conditions by `and`, `or` and `not`, from the left, and parentheses:
  host 10.0.0.7    net 10.0.0.0/8   port 443    portrange 1000-2000   ether host 0:1:2:3:4:5
  src host A       dst port 80      tcp port 80 udp                   ip proto 47
  vlan 100         mpls             pppoes      geneve                vxlan 7
  len > 1000       ip[8] < 5        tcp[tcpflags] & tcp-syn != 0      ether[0] & 1 = 1
What stands to the right of `vlan`, `mpls`, `pppoes`, `geneve` or `vxlan` looks behind that
header, also across `or`. Bytes behind the end of a packet refuse it. pcap-filter(7) has the
whole language; docs/filter.md says what differs.

Exit status: 0 done; 2 the expression, the capture or the command line is unusable.";

/// Shows a program, or filters a capture.
pub fn run(args: &Args, out: &mut dyn Write) -> Outcome {
    let text = expression::text(&args.words, args.expression_file.as_deref())?;
    match &args.read {
        Some(file) => stream::run(args, &text, file, out),
        None if args.show > 0 => {
            let link = args.link()?.unwrap_or(Link::ETHERNET);
            args.show(&text, link, out)
        }
        None => Err(Failure::unusable("nothing to do with the expression")
            .hint("-d shows its program; -r FILE --count or -r FILE -w FILE filters a capture")),
    }
}

impl Args {
    fn link(&self) -> Result<Option<Link>, Failure> {
        let Some(name) = &self.linktype else { return Ok(None) };
        let link = Link::of_name(name).ok_or_else(|| {
            let mut names: Vec<&str> = LINKS.iter().map(|link| link.name).collect();
            names.dedup();
            Failure::unusable(format!("{name:?} is no link type"))
                .hint(format!("link types are {}", names.join(", ")))
        })?;
        Ok(Some(link))
    }

    fn settings(&self, link: Link) -> pcap::Options<'static> {
        pcap::Options {
            link,
            snaplen: if self.snapshot_length == 0 { 262_144 } else { self.snapshot_length },
            netmask: self.netmask.map(u32::from),
            live: false,
            file: self.read.is_some(),
            optimize: !self.no_optimize,
            libpcap: match self.libpcap {
                Version::Old => Libpcap::V1_10,
                Version::New => Libpcap::V1_11,
            },
            names: &System,
        }
    }

    /// Prints the program for a link type.
    fn show(&self, text: &str, link: Link, out: &mut dyn Write) -> Outcome {
        use skep::isa::classic::{c_source, decimal, listing};
        let filter = expression::compile(text, &self.settings(link))?;
        let filters = filter.filters();
        let shown = match self.show {
            1 => listing(filters),
            2 => c_source(filters),
            _ => decimal(filters),
        };
        out.write_all(shown.as_bytes())?;
        Ok(Status::Done)
    }
}
