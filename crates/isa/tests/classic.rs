//! Classic BPF against tcpdump's listings and against Linux: what it attaches, and
//! what its filters return. Skipped, saying so, where the tool is not installed or
//! `bpf(2)` is not permitted.
#![cfg(target_os = "linux")]

use std::io::ErrorKind;
use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::sync::Arc;

use arbtest::arbitrary::Unstructured;
use skep_isa::classic::{
    Ancillary, ClassicErrorKind, Filter, Insn, Metadata, Packet, Program, c_source, check, decimal,
    direct, listing, parse, translate,
};
use skep_isa::{Slot, encode};
use skep_sys::{Command as Bpf, Errno, Fd, Kernel, Linux, ProgLoad, TestRun};
use socket2::{SockFilter, SockRef};

const EXPRESSIONS: [&str; 46] = [
    "",
    "ip",
    "ip6",
    "arp",
    "tcp",
    "udp port 53",
    "icmp",
    "icmp6",
    "tcp port 80",
    "tcp src port 80 or udp dst portrange 5000-6000",
    "host 192.168.1.1",
    "src host 10.0.0.1 and not dst net 10.0.0.0/8",
    "ip6 host 2001:db8::1",
    "ether host 00:11:22:33:44:55",
    "ether broadcast",
    "ether multicast",
    "ip multicast",
    "vlan",
    "vlan 100 and tcp",
    "vlan and vlan 7 and ip",
    "mpls 1000",
    "pppoes and ip",
    "len > 100",
    "greater 1000 or less 60",
    "ip proto 47",
    "ip6 protochain 6",
    "tcp[tcpflags] & (tcp-syn|tcp-fin) != 0",
    "tcp[((tcp[12] & 0xf0) >> 2) + 4] = 5",
    "ip[6:2] & 0x1fff = 0",
    "(ip[6:2] + 7 * ip[3]) / ip[1] = -1",
    "(ip[2:2] - 4) % 3 = ip[8]",
    "ip[8] ^ 3 = ip[9]",
    "ip[8] << 2 > ip[9] | 1",
    "ip[ip[0] & 0xf] < -5",
    "ether[0] & 1 = 0 and ip[0] & 0xf != 5",
    "ether proto 0x88cc",
    "inbound",
    "outbound and ip",
    "ifindex 3",
    "ip or ip6 or arp or rarp or vlan",
    "tcp dst port 22 and (src net 172.16.0.0/12 or src net 192.168.0.0/16)",
    "not (port 22 or port 443) and ip",
    "sctp port 2905",
    "igmp or pim",
    "geneve",
    "icmp[icmptype] = icmp-echo or icmp[icmptype] = icmp-echoreply",
];

/// What tcpdump prints for an expression; `None`, with a note, where it is not
/// installed.
fn tcpdump(form: &str, link: &str, expression: &str) -> Option<String> {
    let Ok(output) = Command::new("tcpdump").args([form, "-y", link, expression]).output() else {
        println!("skipped: tcpdump is not installed");
        return None;
    };
    output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
}

#[test]
fn listings_are_tcpdumps_and_are_read_back() {
    let mut listed = 0;
    for link in ["EN10MB", "RAW", "LINUX_SLL"] {
        for expression in EXPRESSIONS {
            // Not every expression has a meaning on every link.
            let Some(numbers) = tcpdump("-ddd", link, expression) else { continue };
            let filters = parse(&numbers).unwrap_or_else(|error| panic!("{numbers}{error}"));
            assert_eq!(decimal(&filters), numbers);
            let text = tcpdump("-d", link, expression).unwrap();
            assert_eq!(listing(&filters), text, "{expression}");
            // libpcap leaves something in the unused field of `tax`, which no listing shows.
            let meant: Vec<Filter> =
                filters.iter().map(|filter| filter.decode().unwrap().encode()).collect();
            assert_eq!(parse(&text).as_ref(), Ok(&meant), "{text}");
            let source = tcpdump("-dd", link, expression).unwrap();
            assert_eq!(c_source(&filters), source, "{expression}");
            assert_eq!(parse(&source).as_ref(), Ok(&filters), "{source}");
            // Its loop jumps backwards, which only libpcap's own interpreter does.
            assert_eq!(check(&filters).is_ok(), expression != "ip6 protochain 6", "{text}");
            listed += 1;
        }
    }
    println!("{listed} listings");
}

#[test]
fn every_instruction_is_read_back_from_each_form() {
    arbtest::arbtest(|u| {
        let insns: Vec<Insn> = (0..8).map(|_| u.arbitrary()).collect::<Result<_, _>>()?;
        let filters: Vec<Filter> = insns.iter().map(|insn| insn.encode()).collect();
        for text in [listing(&filters), decimal(&filters), c_source(&filters)] {
            assert_eq!(parse(&text).as_ref(), Ok(&filters), "{text}");
        }
        let line = decimal(&filters).trim_end().replace('\n', ",");
        assert_eq!(parse(&line).as_ref(), Ok(&filters), "{line}");
        Ok(())
    })
    .budget_ms(300);
}

/// A pair of sockets, the second with a filter: what comes through is cut to the
/// length that the filter returns.
struct Filtered(UnixDatagram, UnixDatagram);

impl Filtered {
    fn new() -> Filtered {
        let (from, to) = UnixDatagram::pair().unwrap();
        to.set_nonblocking(true).unwrap();
        Filtered(from, to)
    }

    /// Whether Linux takes the filter.
    fn attach(&self, filters: &[Filter]) -> bool {
        let filters: Vec<SockFilter> =
            filters.iter().map(|f| SockFilter::new(f.code, f.jt, f.jf, f.k)).collect();
        match SockRef::from(&self.1).attach_filter(&filters) {
            Ok(()) => true,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
                false
            }
        }
    }

    /// How many bytes of the packet come through.
    fn through(&self, packet: &[u8]) -> usize {
        self.0.send(packet).unwrap();
        match self.1.recv(&mut [0; 256]) {
            Ok(len) => len,
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            Err(error) => panic!("{error}"),
        }
    }
}

/// Loads a filter's translation; `None`, with a note, where that is not permitted.
fn load(kernel: &Arc<dyn Kernel>, filters: &[Filter]) -> Option<Fd> {
    load_as(kernel, SOCKET_FILTER, &translate(filters).unwrap(), filters)
}

/// Types of programs: socket filters, and classifiers.
const SOCKET_FILTER: u32 = 1;
const CLASSIFIER: u32 = 3;

fn load_as(
    kernel: &Arc<dyn Kernel>,
    prog_type: u32,
    insns: &[skep_isa::Insn],
    filters: &[Filter],
) -> Option<Fd> {
    let bytes = Slot::join(&encode(insns));
    let mut load = Bpf::ProgLoad(Box::new(ProgLoad {
        prog_type,
        insn_cnt: insns.len() as u32,
        insns: Some(bytes[..].into()),
        license: Some(b"GPL\0"[..].into()),
        ..ProgLoad::default()
    }));
    match Fd::open(kernel, &mut load) {
        Ok(fd) => Some(fd),
        Err(Errno::EPERM) => {
            println!("skipped: bpf(2) is not permitted");
            None
        }
        Err(errno) => {
            let text = skep_isa::disassemble(insns, skep_isa::Style::Linux);
            panic!("{errno}: {}{text}", listing(filters))
        }
    }
}

/// Runs a program on a packet behind an Ethernet header.
fn run(kernel: &Arc<dyn Kernel>, program: &Fd, ethernet: [u8; 14], packet: &[u8]) -> u32 {
    run_on(kernel, program, &[&ethernet, packet].concat())
}

fn run_on(kernel: &Arc<dyn Kernel>, program: &Fd, frame: &[u8]) -> u32 {
    let mut test = TestRun {
        prog_fd: program.raw() as u32,
        data_size_in: frame.len() as u32,
        data_in: Some(frame[..].into()),
        ..TestRun::default()
    };
    let mut command = Bpf::TestRun(Box::new(std::mem::take(&mut test)));
    kernel.bpf(&mut command).unwrap();
    match command {
        Bpf::TestRun(test) => test.retval,
        _ => unreachable!("the command is a test run"),
    }
}

/// What the interpreter returns for a packet on a socket.
fn interpreted(filters: &[Filter], packet: &[u8]) -> u32 {
    let metadata = Metadata::default();
    let packet = Packet { data: packet, len: packet.len() as u32, metadata: Some(&metadata) };
    Program::new(filters).unwrap().run(&packet)
}

/// Random programs need no `bpf(2)`: many more of them than are translated.
#[test]
fn the_interpreter_returns_what_linux_returns_for_the_filter() {
    let (bytes, socket) = (noise(3, 1 << 22), Filtered::new());
    let mut source = Unstructured::new(&bytes);
    let mut results = std::collections::BTreeMap::new();
    let mut programs = 0;
    while programs < 4_000 {
        let filters = random_program(&mut source);
        let same = |filter: &Filter| match filter.decode() {
            Some(Insn::LoadAncillary { what, .. }) => {
                matches!(what, Ancillary::XorX | Ancillary::Nlattr | Ancillary::NlattrNest)
            }
            _ => true,
        };
        if check(&filters).is_err() || !filters.iter().all(same) {
            continue;
        }
        assert!(socket.attach(&filters));
        programs += 1;
        for seed in 0..4 {
            let packet = noise(seed, 4 + 20 * seed as usize);
            let theirs = socket.through(&packet);
            let ours = packet.len().min(interpreted(&filters, &packet) as usize);
            assert_eq!(ours, theirs, "{}on {packet:02x?}", listing(&filters));
            *results.entry(theirs).or_insert(0) += 1;
        }
    }
    println!("{programs} programs, {} different results", results.len());
    assert!(results.len() > 10);
}

/// Bytes that look random and are always the same.
fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut numbers = fastrand::Rng::with_seed(seed);
    (0..len).map(|_| numbers.u8(..)).collect()
}

/// A program of a few random instructions before a return.
fn random_program(u: &mut Unstructured<'_>) -> Vec<Filter> {
    let count = u.int_in_range(1..=10).unwrap();
    let mut filters: Vec<Filter> =
        (0..count).map(|_| u.arbitrary::<Insn>().unwrap().encode()).collect();
    filters.push(Insn::RetA.encode());
    filters
}

/// Linux runs what reads packets directly as a classifier; the interpreter decides as libpcap
/// does for files.
#[test]
fn direct_programs_return_what_the_interpreter_does() {
    let kernel: Arc<dyn Kernel> = Arc::new(Linux::new());
    let bytes = noise(4, 1 << 20);
    let mut source = Unstructured::new(&bytes);
    let mut programs: Vec<Vec<Filter>> = Vec::new();
    while programs.len() < 800 {
        programs.push(random_program(&mut source));
        programs.retain(|filters| check(filters).is_ok());
    }
    for expression in EXPRESSIONS {
        let Some(numbers) = tcpdump("-ddd", "EN10MB", expression) else { continue };
        programs.extend(Some(parse(&numbers).unwrap()).filter(|filters| check(filters).is_ok()));
    }
    for text in [
        // An index that reaches far, one that is no constant, and shifts by 32 and more.
        "(000) ldx #0x7fff\n(001) ldb [x + 32767]\n(002) ret #5\n",
        "(000) ldx #0x8000\n(001) ldb [x + 0]\n(002) ret #5\n",
        "(000) ld [0]\n(001) tax\n(002) ldh [x + 3]\n(003) ret #5\n",
        "(000) ldb [40000]\n(001) ret #5\n",
        "(000) ldb [0]\n(001) tax\n(002) ld #9\n(003) lsh x\n(004) ret a\n",
        "(000) ldb [0]\n(001) tax\n(002) ldb [x + 1]\n(003) ldh [x + 7]\n(004) ret a\n",
        // Ways of which one reads more than the other before they meet.
        "(000) ldb [0]\n(001) jset #1 jt 2 jf 3\n(002) ldb [30]\n(003) ldb [31]\n(004) ret a\n",
        "(000) ldb [0]\n(001) jset #1 jt 2 jf 3\n(002) ldxb 4*([1]&0xf)\n(003) ldb [x + 1]\n\
         (004) ret a\n",
    ] {
        programs.push(parse(text).unwrap());
    }
    let mut results = std::collections::BTreeSet::new();
    for filters in programs {
        let insns = direct(&filters).unwrap();
        let Some(program) = load_as(&kernel, CLASSIFIER, &insns, &filters) else { return };
        let plain = Program::new(&filters).unwrap();
        for seed in 0..10 {
            // A test run takes IP's headers whole only.
            let least = if seed % 2 == 0 { 54 } else { 15 };
            let mut frame = noise(seed, least + 9 * seed as usize);
            if seed % 2 == 0 {
                frame[12..14].copy_from_slice(
                    &[[8, 0], [0x86, 0xdd], [8, 6], [0x81, 0], [8, 0]][seed as usize / 2],
                );
                if let Some(header) = frame.get_mut(14..24) {
                    (header[0], header[9]) = (0x45, [6, 17, 1, 47, 6][seed as usize / 2]);
                }
            }
            let expected = plain.run(&Packet::of(&frame));
            let found = run_on(&kernel, &program, &frame);
            assert_eq!(
                found,
                expected,
                "{}{}on {frame:02x?}",
                listing(&filters),
                skep_isa::disassemble(&insns, skep_isa::Style::Linux)
            );
            results.insert(expected);
        }
    }
    println!("{} different results", results.len());
    assert!(results.len() > 20);
}

/// Programs that search for each of a few attributes, from each of a few offsets on.
fn searches() -> Vec<Vec<Filter>> {
    let program = |from: u32, kind: u32, word: &str| {
        let text =
            format!("(000) ldx #{kind:#x}\n(001) ld #{from:#x}\n(002) ld [{word}]\n(003) ret a\n");
        parse(&text).unwrap()
    };
    let mut all = Vec::new();
    for from in [0, 4, 8, 12, 20, 27, 1000, u32::MAX] {
        for kind in [1, 2, 3, 5, 0x4001] {
            all.extend(["nla", "nlan"].map(|word| program(from, kind, word)));
        }
    }
    all
}

/// Puts netlink attributes into a packet, one of them within another, and one with flags in its
/// type, as far as they fit.
fn attributes(packet: &mut [u8]) {
    let fields = [8u16, 1, 0xffff, 0xffff, 12, 2, 8, 5, 7, 7, 7, 0x4003, 0, 9, 6, 3, 1, 1];
    let bytes = fields.into_iter().flat_map(u16::to_ne_bytes);
    packet.iter_mut().zip(bytes).for_each(|(to, byte)| *to = byte);
}

#[test]
fn linux_attaches_what_the_check_passes_and_nothing_else() {
    let (bytes, socket) = (noise(1, 1 << 20), Filtered::new());
    let mut source = Unstructured::new(&bytes);
    let mut counts = [0; 2];
    for round in 0..4_000 {
        let mut filters = random_program(&mut source);
        if round % 8 == 0 {
            let at = source.choose_index(filters.len()).unwrap();
            filters[at].code = u16::from(source.arbitrary::<u8>().unwrap());
        }
        let ours = check(&filters);
        assert_eq!(socket.attach(&filters), ours.is_ok(), "{ours:?}\n{}", listing(&filters));
        counts[usize::from(ours.is_ok())] += 1;
    }
    println!("{} refused, {} attached", counts[0], counts[1]);
    assert!(counts.into_iter().all(|count| count > 500), "{counts:?}");
}

#[test]
fn translations_return_what_linux_returns_for_the_filter() {
    let kernel: Arc<dyn Kernel> = Arc::new(Linux::new());
    let (bytes, socket) = (noise(2, 1 << 20), Filtered::new());
    let mut source = Unstructured::new(&bytes);
    let mut programs: Vec<Vec<Filter>> = Vec::new();
    while programs.len() < 600 {
        let filters = random_program(&mut source);
        // Other metadata is not the same for a datagram and for a test run.
        let same = |filter: &Filter| match filter.decode() {
            Some(Insn::LoadAncillary { what, .. }) => {
                matches!(what, Ancillary::XorX | Ancillary::Nlattr | Ancillary::NlattrNest)
            }
            _ => true,
        };
        if check(&filters).is_ok() && filters.iter().all(same) {
            programs.push(filters);
        }
    }
    programs.extend(searches());
    for expression in EXPRESSIONS {
        let Some(numbers) = tcpdump("-ddd", "RAW", expression) else { continue };
        programs.extend(Some(parse(&numbers).unwrap()).filter(|filters| check(filters).is_ok()));
    }
    let mut results = std::collections::BTreeSet::new();
    for filters in programs {
        let Some(program) = load(&kernel, &filters) else { return };
        assert!(socket.attach(&filters));
        for seed in 0..8 {
            let mut packet = noise(seed, 16 + 12 * seed as usize);
            if seed % 2 == 0 {
                // An IPv4 header with a protocol that filters ask for.
                packet[..2].copy_from_slice(&[0x45, 0]);
                packet[9] = [6, 17, 1, 47][seed as usize / 2];
            } else {
                attributes(&mut packet);
            }
            let theirs = socket.through(&packet);
            let ours = run(&kernel, &program, [0; 14], &packet);
            assert_eq!(packet.len().min(ours as usize), theirs, "{}", listing(&filters));
            let interpreted = interpreted(&filters, &packet);
            assert_eq!(packet.len().min(interpreted as usize), theirs, "{}", listing(&filters));
            results.insert(theirs);
        }
    }
    println!("{} different results", results.len());
    assert!(results.len() > 20);
}

#[test]
fn metadata_comes_from_the_context() {
    let kernel: Arc<dyn Kernel> = Arc::new(Linux::new());
    // For the loopback device, which a test run takes, this is multicast: type 2.
    let ethernet = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1, 0x08, 0x00];
    for (name, expected) in
        [("proto", 0x800), ("type", 2), ("ifidx", 1), ("mark", 0), ("vlanp", 0), ("queue", 0)]
    {
        let filters = parse(&format!("(000) ld [{name}]\n(001) ret a\n")).unwrap();
        let Some(program) = load(&kernel, &filters) else { return };
        assert_eq!(run(&kernel, &program, ethernet, &[0; 32]), expected, "[{name}]");
    }
    let filters = parse("(000) ldx #pktlen\n(001) ld [random]\n(002) txa\n(003) ret a\n").unwrap();
    let Some(program) = load(&kernel, &filters) else { return };
    assert_eq!(run(&kernel, &program, ethernet, &[0; 32]), 32);
    let filters = parse("(000) ld [poff]\n(001) ret a\n").unwrap();
    let error = translate(&filters).unwrap_err();
    assert_eq!(error.kind, ClassicErrorKind::NoCounterpart(Ancillary::PayloadOffset));
}
