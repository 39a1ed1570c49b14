//! `skep filter`: which packets an expression takes.
//!
//! The expression is compiled for each link type that the packets have. With `-d` its
//! program is shown; with `-r` packets are read, and counted or written as they were read.

mod capture;
mod equal;
mod expression;
#[cfg(target_os = "linux")]
mod live;
mod native;
mod print;
#[cfg(target_os = "linux")]
mod rotate;
mod stream;
mod why;

use std::io::Write;
use std::net::Ipv4Addr;
use std::path::PathBuf;

use clap::ValueEnum;
use skep_lang::pcap::{self, LINKS, Libpcap, Link, System};

use crate::failure::{Failure, Outcome, Status};

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
    #[arg(short = 'r', value_name = "FILE", group = "source")]
    read: Option<PathBuf>,
    /// Read packets from an interface, by its name or number (root, or CAP_NET_RAW); any is
    /// all of them, filtered here
    #[arg(short = 'i', long, value_name = "INTERFACE", group = "source")]
    interface: Option<String>,
    /// Write packets that match to a file, as they were read (- is the standard output)
    #[arg(short = 'w', value_name = "FILE", requires = "source")]
    write: Option<PathBuf>,
    /// Print only how many packets match
    #[arg(long, requires = "source")]
    count: bool,
    /// Stop after so many packets that match
    #[arg(short = 'c', value_name = "COUNT", requires = "source")]
    limit: Option<u64>,
    #[command(flatten)]
    live: Live,
    #[command(flatten)]
    lines: Lines,
    /// Say for each packet which test of the expression decided it, with the bytes it read
    #[arg(long, requires = "read", conflicts_with_all = ["count", "write", "interface"])]
    why: bool,
    /// Whether two expressions take the same packets; else a packet that tells them apart
    #[arg(long, num_args = 2, value_names = ["EXPR1", "EXPR2"], conflicts_with_all = ["words", "expression_file", "read", "show"])]
    equal: Option<Vec<String>>,
    /// Look through VLAN, QinQ, MPLS, PPPoE, GENEVE, VXLAN, GRE and IP in IP: a packet is
    /// taken if the expression holds at any of them
    #[arg(long)]
    any_encap: bool,
    /// Show the program as eBPF, which Linux and skep run
    #[arg(long, conflicts_with = "show")]
    ebpf: bool,
    /// Show the machine code of that
    #[arg(long, conflicts_with_all = ["show", "ebpf"])]
    native: bool,
    /// Results of --why and --equal as JSON, one object a line
    #[arg(long)]
    json: bool,
    /// The mask of the local network, which `ip broadcast` needs
    #[arg(long, value_name = "MASK")]
    netmask: Option<Ipv4Addr>,
    /// Whose language, where versions differ
    #[arg(long, value_name = "VERSION", default_value = "1.11")]
    libpcap: Version,
}

/// How packets of an interface are captured and kept.
#[derive(clap::Args)]
#[command(next_help_heading = "Interfaces")]
struct Live {
    /// List the interfaces
    #[arg(short = 'D', long)]
    list_interfaces: bool,
    /// List what packets of the interface can start with
    #[arg(short = 'L', long, requires = "interface")]
    list_data_link_types: bool,
    /// Run the filter here, not in the kernel
    #[arg(long, requires = "interface")]
    user: bool,
    /// Only packets that are meant for this machine
    #[arg(short = 'p', long, requires = "interface")]
    no_promiscuous: bool,
    /// Only packets that go this way
    #[arg(short = 'Q', long, value_name = "WAY", default_value = "inout", requires = "interface")]
    direction: Direction,
    /// Whose clock stamps packets: only the machine's does
    #[arg(short = 'j', long, value_name = "CLOCK", requires = "interface")]
    time_stamp_type: Option<Clock>,
    /// Go on as this user once the interface is open
    #[arg(short = 'Z', long, value_name = "USER", requires = "interface")]
    relinquish_privileges: Option<String>,
    /// KiB of the ring into which the kernel puts packets
    #[arg(short = 'B', long = "buffer-size", value_name = "KIB", requires = "interface")]
    buffer: Option<u32>,
    /// Write each packet to the file when it comes
    #[arg(short = 'U', long, requires = "write")]
    packet_buffered: bool,
    /// Begin another file after so many million bytes
    #[arg(short = 'C', value_name = "MB", requires_all = ["interface", "write"])]
    file_size: Option<u64>,
    /// Begin another file after so many seconds; its name may have %Y%m%d%H%M%S in it (UTC)
    #[arg(short = 'G', value_name = "SECONDS", requires_all = ["interface", "write"])]
    rotate_seconds: Option<u64>,
    /// With -C, begin again at the first of so many files; with -G, end after so many
    #[arg(short = 'W', value_name = "COUNT", requires_all = ["interface", "write"])]
    file_count: Option<u64>,
    /// Run this program on each file that is complete
    #[arg(short = 'z', value_name = "COMMAND", requires_all = ["interface", "write"])]
    postrotate: Option<String>,
}

/// Which way packets go.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Direction {
    In,
    Out,
    Inout,
}

/// Clocks for time stamps.
#[derive(Clone, Copy, ValueEnum)]
enum Clock {
    Host,
}

/// How packets are printed: as tcpdump prints them.
#[derive(clap::Args)]
#[command(next_help_heading = "Lines")]
struct Lines {
    /// Print packets although they are written or counted
    #[arg(long, requires = "source")]
    print: bool,
    /// For tcpdump's sake: addresses and ports are always numbers
    #[arg(short = 'n', action = clap::ArgAction::Count)]
    numbers: u8,
    /// For tcpdump's sake: no domains behind names, as there are no names
    #[arg(short = 'N')]
    no_domains: bool,
    /// Print the link header
    #[arg(short = 'e')]
    link_header: bool,
    /// Print less
    #[arg(short = 'q')]
    quiet: bool,
    /// Print more: times to live, options, checksums; twice for more still
    #[arg(short = 'v', action = clap::ArgAction::Count)]
    verbose: u8,
    /// Time stamps: -t none, -tt seconds since 1970, -ttt since the packet before, -tttt with
    /// the date, -ttttt since the first packet; else the time of day (UTC)
    #[arg(short = 't', action = clap::ArgAction::Count)]
    stamps: u8,
    /// Digits of time stamps
    #[arg(long, value_name = "UNIT", default_value = "micro")]
    time_stamp_precision: Precision,
    /// Print each packet's number
    #[arg(short = '#', long = "number")]
    numbered: bool,
    /// Print TCP's sequence numbers as they are, not from the start of the conversation
    #[arg(short = 'S', long)]
    absolute_tcp_sequence_numbers: bool,
    /// Print bytes in hexadecimal; twice with the link header
    #[arg(short = 'x', action = clap::ArgAction::Count)]
    hex: u8,
    /// Print bytes in hexadecimal and as text; twice with the link header
    #[arg(short = 'X', action = clap::ArgAction::Count)]
    hex_text: u8,
    /// Print bytes as text; twice with the link header
    #[arg(short = 'A', action = clap::ArgAction::Count)]
    text: u8,
    /// Write each line when it is complete
    #[arg(short = 'l')]
    by_line: bool,
}

/// Digits behind seconds.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Precision {
    Micro,
    Nano,
}

impl Lines {
    fn style(&self) -> print::Style {
        let dump = |count: u8, hex, text| {
            (count > 0).then_some(print::Dump { hex, text, link: count > 1 })
        };
        print::Style {
            quiet: self.quiet,
            verbose: self.verbose,
            link: self.link_header,
            absolute: self.absolute_tcp_sequence_numbers,
            numbered: self.numbered,
            stamps: self.stamps,
            nanoseconds: self.time_stamp_precision == Precision::Nano,
            dump: dump(self.text, false, true)
                .or(dump(self.hex_text, true, true))
                .or(dump(self.hex, true, false)),
        }
    }
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
  skep filter -r in.pcapng 'icmp or arp'                a line for each packet, as tcpdump's
  skep filter -r in.pcapng --count 'udp port 53'        how many packets match
  skep filter -r in.pcapng -w out.pcapng 'net 10/8'     those packets, with all their options
  skep filter -r in.pcapng --why 'tcp port 80'          what decided each packet
  skep filter -i veth0 'icmp or arp' -c 20              live; the kernel runs the filter
  skep filter --equal 'port 80' 'tcp port 80'           a packet that tells them apart
  skep filter -r in.pcapng --any-encap 'tcp port 80'    behind tags, labels and tunnels too

An expression joins conditions by `and`, `or` and `not`, from the left, and parentheses:
  host 10.0.0.7    net 10.0.0.0/8   port 443    portrange 1000-2000   ether host 0:1:2:3:4:5
  src host A       dst port 80      tcp port 80 udp                   ip proto 47
  vlan 100         mpls             pppoes      geneve                vxlan 7
  len > 1000       ip[8] < 5        tcp[tcpflags] & tcp-syn != 0      ether[0] & 1 = 1
What stands to the right of `vlan`, `mpls`, `pppoes`, `geneve` or `vxlan` looks behind that
header, also across `or`. Bytes behind the end of a packet refuse it. pcap-filter(7) has the
whole language; docs/filter.md says what differs.

Exit status: 0 done; 1 --equal found a difference; 2 the expression, the capture or the command line is unusable.";

/// Shows a program, or filters a capture.
pub fn run(args: &Args, out: &mut dyn Write) -> Outcome {
    if let Some(pair) = &args.equal {
        return equal::run(args, pair, out);
    }
    #[cfg(target_os = "linux")]
    if args.live.list_interfaces {
        return live::list(out);
    }
    let text = expression::text(&args.words, args.expression_file.as_deref())?;
    #[cfg(target_os = "linux")]
    if let Some(interface) = &args.interface {
        return match args.live.list_data_link_types {
            true => live::link_types(interface, out),
            false => live::run(args, &text, interface, out),
        };
    }
    match &args.read {
        Some(file) => stream::run(args, &text, file, out),
        None if args.shows() => {
            let link = args.link()?.unwrap_or(Link::ETHERNET);
            args.show(&text, link, out)
        }
        None => Err(Failure::unusable("nothing to do with the expression")
            .hint("-d shows its program; -r FILE or -i INTERFACE reads packets; --equal compares two expressions")),
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
            any_encap: self.any_encap,
            optimize: !self.no_optimize,
            libpcap: match self.libpcap {
                Version::Old => Libpcap::V1_10,
                Version::New => Libpcap::V1_11,
            },
            names: &System,
        }
    }

    /// Whether the program is to be shown.
    fn shows(&self) -> bool {
        self.show > 0 || self.ebpf || self.native
    }

    /// Prints the program for a link type.
    fn show(&self, text: &str, link: Link, out: &mut dyn Write) -> Outcome {
        self.show_as(text, &self.settings(link), out)
    }

    fn show_as(&self, text: &str, options: &pcap::Options<'_>, out: &mut dyn Write) -> Outcome {
        use skep::isa::classic::{c_source, decimal, listing};
        let filter = expression::compile(text, options)?;
        let filters = filter.filters();
        let shown = match self.show {
            0 if self.native => native::listing(filters)?,
            0 => ebpf(filters)?,
            1 => listing(filters),
            2 => c_source(filters),
            _ => decimal(filters),
        };
        out.write_all(shown.as_bytes())?;
        Ok(Status::Done)
    }
}

/// The translation of a program, an instruction a line.
fn ebpf(filters: &[skep::isa::classic::Filter]) -> Result<String, Failure> {
    let insns = skep::isa::classic::translate(filters).map_err(Failure::unusable)?;
    Ok(skep::isa::disassemble(&insns, skep::isa::Style::Llvm))
}
