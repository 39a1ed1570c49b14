//! Expressions: the programs that everybody knows, what does and does not match, what is
//! refused and how. The wide comparison with libpcap is `cargo xtask parity filter`.

use skep_isa::classic::{Packet, listing};
use skep_lang::pcap::{Libpcap, Link, NoNames, Options, compile};

fn options() -> Options<'static> {
    Options { names: &NoNames, ..Options::default() }
}

fn program(text: &str) -> String {
    listing(compile(text, &options()).unwrap_or_else(|error| panic!("{text}: {error}")).filters())
}

fn refused(text: &str) -> String {
    match compile(text, &options()) {
        Ok(filter) => panic!("{text}\n{}", listing(filter.filters())),
        Err(error) => error.text,
    }
}

/// The example with which every text on BPF begins.
#[test]
fn ip_and_tcp_is_tcpdumps_program() {
    let expected = "\
(000) ldh      [12]
(001) jeq      #0x800           jt 2\tjf 5
(002) ldb      [23]
(003) jeq      #0x6             jt 4\tjf 5
(004) ret      #262144
(005) ret      #0
";
    assert_eq!(program("ip and tcp"), expected);
    assert_eq!(program(""), "(000) ret      #262144\n");
}

/// An Ethernet frame of IPv4 with TCP from one port to another.
fn tcp(source: u16, destination: u16) -> Vec<u8> {
    let mut frame = vec![0; 54];
    frame[12..14].copy_from_slice(&[0x08, 0x00]);
    frame[14] = 0x45;
    frame[23] = 6;
    frame[26..30].copy_from_slice(&[10, 0, 0, 1]);
    frame[30..34].copy_from_slice(&[10, 0, 0, 2]);
    frame[34..36].copy_from_slice(&source.to_be_bytes());
    frame[36..38].copy_from_slice(&destination.to_be_bytes());
    frame
}

#[test]
fn qualifiers_are_inherited_and_conjunctions_bind_from_the_left() {
    let frame = tcp(1000, 443);
    for (text, expected) in [
        ("tcp dst port 80 or 443", true),
        ("tcp src port 80 or 443", false),
        ("port (80 or 443)", true),
        ("port not 80 and not 22", true),
        ("host 10.0.0.9 and udp or tcp", true),
        ("tcp or host 10.0.0.9 and udp", false),
        ("src 10.0.0.1 and dst net 10.0.0.0/8", true),
        ("src or dst host 10.0.0.2", true),
        ("src and dst host 10.0.0.2", false),
        ("net 10", true),
        ("net 10.0.0.0 mask 255.0.0.0", true),
        ("portrange 440-450", true),
        ("len = 54 and ip[0] & 0xf = 5", true),
        ("1 + 2 * 3 = 7", true),
        ("7 % 4 + 1 = 2", true),
    ] {
        for optimize in [false, true] {
            let filter = compile(text, &Options { optimize, ..options() }).unwrap();
            assert_eq!(filter.matches(&frame), expected, "{text}\n{}", listing(filter.filters()));
        }
    }
}

/// libpcap's optimised programs decide these wrongly, in one version or all.
#[test]
fn known_faults_are_not_ours() {
    let frame = tcp(1, 2);
    for (text, expected) in [
        ("1/2=1/3&&1>4/5&&1>6/7", true),
        ("(1 = 0) || (2147483648 / 4294967295 = 0) and (0 & 4294967295 = 0)", true),
        ("link[0:1] & 0xffffffff != 0", false),
        ("vxlan and arp", false),
    ] {
        let filter = compile(text, &options()).unwrap();
        assert_eq!(filter.matches(&frame), expected, "{text}\n{}", listing(filter.filters()));
    }
}

#[test]
fn bytes_behind_the_end_refuse_the_packet_whatever_is_asked() {
    for text in ["ip or not ip", "ip[100] >= 0 or 1 = 1", "not (host 10.0.0.1 and port 5)"] {
        for len in 0..54 {
            let frame = &tcp(1, 2)[..len];
            let packet = Packet { data: frame, len: 54, metadata: None };
            let verdict = |optimize| {
                let filter = compile(text, &Options { optimize, ..options() }).unwrap();
                filter.program().run(&packet)
            };
            assert_eq!(verdict(true), verdict(false), "{text} of {len} bytes");
        }
    }
}

#[test]
fn what_is_wrong_is_said_in_libpcaps_words() {
    for (text, expected) in [
        ("tcp port 70000", "port number 70000 greater than maximum 65535"),
        ("host", "can't parse filter expression: syntax error"),
        ("ip and", "can't parse filter expression: syntax error"),
        ("ip and foo", "syntax error in filter expression"),
        ("icmp port 80", "'icmp' is not a valid qualifier for 'port'"),
        ("net 10.0.0.1/8", "non-network bits set in \"10.0.0.1/8\""),
        ("host 1.2.3.400", "invalid IPv4 address '1.2.3.400'"),
        ("ip[0:3] = 1", "data size must be 1, 2, or 4"),
        ("1 / 0 = 1", "division by zero"),
        ("08 = 8", "number 08 contains non-octal digit"),
        ("inbound", "not a live capture, 'inbound' not supported on DLT_EN10MB (Ethernet)"),
        ("wlan addr1 0:1:2:3:4:5", "'addr1' is valid for 802.11 syntax only"),
    ] {
        assert_eq!(refused(text), expected, "{text}");
    }
}

#[test]
fn versions_differ_where_libpcap_does() {
    let mut frame = tcp(1, 2);
    frame[30..34].copy_from_slice(&[255, 255, 255, 255]);
    let taken = |libpcap| {
        let filter = compile("ip multicast", &Options { libpcap, ..options() }).unwrap();
        filter.matches(&frame)
    };
    assert!(taken(Libpcap::V1_10) && !taken(Libpcap::V1_11));
    assert!(compile("vxlan", &Options { libpcap: Libpcap::V1_10, ..options() }).is_err());
}

#[test]
fn deep_and_long_expressions_end() {
    let deep = format!("{}ip{}", "(".repeat(10_000), ")".repeat(10_000));
    assert!(refused(&deep).contains("nested deeper"), "{deep:.40}");
    assert!(refused(&"not ".repeat(10_000)).contains("nested deeper"));
    assert!(refused(&format!("1{} = 1", " + (1".repeat(10_000))).contains("nested deeper"));
    let hosts: Vec<String> =
        (0..600).map(|n| format!("host 10.1.{}.{}", n / 250, n % 250)).collect();
    let filter = compile(&hosts.join(" or "), &options()).unwrap();
    let mut frame = tcp(1, 2);
    assert!(!filter.matches(&frame));
    frame[30..34].copy_from_slice(&[10, 1, 2, 99]);
    assert!(filter.matches(&frame));
}

#[test]
fn every_link_type_finds_ip() {
    for (link, packet) in [
        ("RAW", &[0x45u8][..]),
        ("LINUX_SLL", &[0, 0, 0, 1, 0, 6, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0]),
        ("LINUX_SLL2", &[8, 0, 0, 0]),
        ("LOOP", &[0, 0, 0, 2]),
        ("PPP", &[0xff, 3, 0, 0x21]),
    ] {
        let link = Link::of_name(link).unwrap();
        let filter = compile("ip", &Options { link, ..options() }).unwrap();
        assert!(filter.matches(packet), "{}\n{}", link.name, listing(filter.filters()));
        assert!(!filter.matches(&[0xee; 40]), "{}", link.name);
    }
}
