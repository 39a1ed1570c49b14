//! Comparing expressions, saying why a packet matches, and looking through what carries it.

use skep_isa::classic::{Packet, Program};
use skep_lang::pcap::{
    Equality, Explainer, Libpcap, Link, NoNames, Options, compile, equal, prove,
};

fn options() -> Options<'static> {
    Options { names: &NoNames, ..Options::default() }
}

fn plain(text: &str) -> Program {
    let filter = compile(text, &Options { optimize: false, ..options() });
    filter.unwrap_or_else(|error| panic!("{text}: {error}")).program().clone()
}

/// Equal ones are proved, and for others there is a packet that both programs are run on
/// here again.
#[test]
fn equal_says_what_the_programs_do() {
    for (one, other, wanted) in [
        ("tcp port 80", "tcp src port 80 or tcp dst port 80", true),
        ("not (ip or arp)", "not ip and not arp", true),
        ("src net 10.0.0.0/8", "src net 10", true),
        ("ip and src net 10.0.0.0/8", "ip and ip[12] = 10", false),
        ("ip and ip[12:4] & 0xff000000 = 0x0a000000", "ip src net 10.0.0.0/8", true),
        ("len > 99", "not len < 100", true),
        ("len >= 100", "greater 100", true),
        ("ether[12:2] = 0x800", "ip", true),
        ("ether[12] = 8 and ether[13] = 0", "ip", true),
        ("ether[12] = 8 and ether[20] = 0", "ip and ether[20] = 0", false),
        ("ether[13] = 0 and ether[12] = 8", "ip", true),
        ("ip[0] & 0xf = 5 and ip[0] & 0xf > 5", "1 = 2", true),
        ("tcp port 80", "tcp port 81", false),
        ("tcp", "ip proto 6", false),
        ("vlan and ip", "ip and vlan", false),
        ("ip multicast", "ip and dst net 224.0.0.0/4", false),
        ("portrange 10-20", "portrange 10-15 or portrange 16-20", false),
        ("udp[8:4] / ip[1] > 7", "udp[8:4] / ip[1] > 8", false),
        ("ether[0:4] = ether[4:4]", "ether[0:4] = ether[5:4]", false),
        ("geneve 7", "geneve 8", false),
        // Ranges of one number are bits of another that shares its bytes.
        ("ether[14:2] > 17 and rarp or mpls 64", "ether[14:2] > 17 and rarp", false),
        ("", "len >= 0", true),
    ] {
        let (first, second) = (plain(one), plain(other));
        match equal((one, &options()), (other, &options())).unwrap() {
            Equality::Equal => assert!(wanted, "{one:?} is not {other:?}"),
            Equality::Differ(witness) => {
                let packet = Packet { data: &witness.data, len: witness.len, metadata: None };
                let found = [&first, &second].map(|program| program.run(&packet) != 0);
                assert_eq!(found, [witness.first, !witness.first], "{one:?} {other:?}");
                assert!(!wanted, "{one:?} is {other:?}; {witness:?}");
            }
            Equality::Unknown(why) => panic!("{one:?} {other:?}: {why}"),
        }
    }
}

/// The optimiser, judged by the same walk.
#[test]
fn optimised_programs_are_proved() {
    for text in [
        "tcp port 80 and (host 10.0.0.1 or net 192.168.0.0/16) or arp",
        "not (host 10.0.0.5 and port 22)",
        "ip[100] >= 0 or 1 = 1",
        "portrange 1-1000 and not port 53",
        "tcp[tcpflags] & (tcp-syn|tcp-fin) != 0 and not src and dst net 10.0.0.0/8",
        "ip6 and tcp[13] & 2 != 0",
        "vlan 5 and ip6 protochain 17",
        "1/2=1/3&&1>4/5&&1>6/7",
        "geneve and tcp port 80",
        "link[0:1] & 0xffffffff != 0",
        // What a read is compared with is read itself, and must not move either.
        "byte 64 > 2 and not ether[64] > tcp[60]",
        "atalk and byte 64 > 2 or icmp[14] = (ether[64] & 64) and not ether[64] > tcp[60]",
    ] {
        for any_encap in [false, true] {
            let options = Options { any_encap: any_encap && text.len() < 20, ..options() };
            assert_eq!(prove(text, &options).unwrap(), Equality::Equal, "{text}");
        }
    }
}

fn ethernet(number: u16, payload: &[u8]) -> Vec<u8> {
    [&[0; 12], &number.to_be_bytes()[..], payload].concat()
}

fn ip4(protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut header = [0; 20];
    header[0] = 0x45;
    header[9] = protocol;
    header[12..20].copy_from_slice(&[10, 0, 0, 1, 10, 0, 0, 2]);
    [&header, payload].concat()
}

fn ip6(protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut header = [0; 40];
    header[0] = 0x60;
    header[6] = protocol;
    [&header, payload].concat()
}

/// A segment to port 80 with SYN.
fn tcp() -> Vec<u8> {
    let mut header = vec![0; 20];
    header[2..4].copy_from_slice(&80u16.to_be_bytes());
    header[13] = 2;
    header
}

fn udp(port: u16, payload: &[u8]) -> Vec<u8> {
    [&[0, 9][..], &port.to_be_bytes(), &[0; 4], payload].concat()
}

#[test]
fn transport_bytes_are_those_of_ip6_where_it_is_asked_for() {
    let frame = ethernet(0x86dd, &ip6(6, &tcp()));
    let four = ethernet(0x0800, &ip4(6, &tcp()));
    for (text, expected) in [
        ("ip6 and tcp[13] & 2 != 0", true),
        ("tcp[13] & 2 != 0 and ip6", true),
        ("ip6 and (arp or tcp[13] & 2 != 0)", true),
        ("ip6 and not tcp[13] & 2 != 0", false),
        ("ip6 and tcp[13] & 4 != 0", false),
        ("ip6[6] = 6 and tcp[2:2] = 80", true),
        ("ip6 host ::1 or tcp[13] & 2 != 0", false),
        ("tcp[13] & 2 != 0", false),
        ("ip6 and vlan and tcp[13] & 2 != 0", false),
    ] {
        let matches = |frame: &[u8]| compile(text, &options()).is_ok_and(|it| it.matches(frame));
        assert_eq!(matches(&frame), expected, "{text}");
        let old = compile(text, &Options { libpcap: Libpcap::V1_10, ..options() });
        assert_eq!(old.is_ok_and(|filter| filter.matches(&frame)), text.contains("ip6 and not"));
    }
    assert!(compile("tcp[13] & 2 != 0", &options()).unwrap().matches(&four));
}

#[test]
fn what_rejects_everything_is_refused() {
    for text in ["icmp and vlan", "ip and arp", "len < 0", "1 = 2"] {
        let error = compile(text, &options()).unwrap_err();
        assert_eq!(error.text, "expression rejects all packets", "{text}");
        assert!(compile(text, &Options { optimize: false, ..options() }).is_ok());
    }
}

/// A test for each header that carries others.
#[test]
fn any_encap_looks_through_what_carries_a_packet() {
    let inner = ethernet(0x0800, &ip4(6, &tcp()));
    let segment = ip4(6, &tcp());
    let label = |last: u8| [0, 1, 0x10 | last, 64];
    let gre = |flags: u8, number: u16, more: usize, payload: &[u8]| {
        [&[flags, 0][..], &number.to_be_bytes(), &vec![7; more], payload].concat()
    };
    let session = |payload: &[u8]| [&[0x11, 0, 0, 1, 0, 9, 0, 0x21][..], payload].concat();
    let vxlan = |payload: &[u8]| [&[8, 0, 0, 0, 0, 0, 7, 0][..], payload].concat();
    let geneve = |number: u16, payload: &[u8]| {
        [&[1, 0][..], &number.to_be_bytes(), &[0, 0, 7, 0], &[0; 4], payload].concat()
    };
    let frames = [
        ("plain", inner.clone()),
        ("vlan", ethernet(0x8100, &[&[0, 5, 8, 0][..], &segment].concat())),
        ("qinq", ethernet(0x88a8, &[&[0, 5, 0x81, 0, 0, 6, 8, 0][..], &segment].concat())),
        ("mpls", ethernet(0x8847, &[&label(1)[..], &segment].concat())),
        ("mpls2", ethernet(0x8847, &[&label(0)[..], &label(1), &segment].concat())),
        ("mpls3", ethernet(0x8847, &[&label(0)[..], &label(0), &label(1), &segment].concat())),
        ("vlan mpls", ethernet(0x8100, &[&[0, 5, 0x88, 0x47][..], &label(1), &segment].concat())),
        ("pppoe", ethernet(0x8864, &session(&segment))),
        ("vlan pppoe", ethernet(0x8100, &[&[0, 5, 0x88, 0x64][..], &session(&segment)].concat())),
        ("ip4 in ip4", ethernet(0x0800, &ip4(4, &segment))),
        ("ip6 in ip4", ethernet(0x0800, &ip4(41, &ip6(6, &tcp())))),
        ("ip4 in ip6", ethernet(0x86dd, &ip6(4, &segment))),
        ("ip6 in ip6", ethernet(0x86dd, &ip6(41, &ip6(6, &tcp())))),
        ("gre", ethernet(0x0800, &ip4(47, &gre(0, 0x0800, 0, &segment)))),
        ("gre key", ethernet(0x0800, &ip4(47, &gre(0x20, 0x0800, 4, &segment)))),
        ("gre all", ethernet(0x0800, &ip4(47, &gre(0xb0, 0x0800, 12, &segment)))),
        ("gre ethernet", ethernet(0x0800, &ip4(47, &gre(0, 0x6558, 0, &inner)))),
        ("gre in ip6", ethernet(0x86dd, &ip6(47, &gre(0, 0x0800, 0, &segment)))),
        ("vxlan", ethernet(0x0800, &ip4(17, &udp(4789, &vxlan(&inner))))),
        ("vxlan in ip6", ethernet(0x86dd, &ip6(17, &udp(4789, &vxlan(&inner))))),
        ("geneve", ethernet(0x0800, &ip4(17, &udp(6081, &geneve(0x6558, &inner))))),
        ("geneve ip", ethernet(0x0800, &ip4(17, &udp(6081, &geneve(0x0800, &segment))))),
    ];
    for libpcap in [Libpcap::V1_10, Libpcap::V1_11] {
        for optimize in [false, true] {
            let settings = Options { any_encap: true, optimize, libpcap, ..options() };
            let filter = compile("tcp dst port 80", &settings).unwrap();
            let other = compile("tcp dst port 81", &settings).unwrap();
            for (name, frame) in &frames {
                assert!(filter.matches(frame), "{name}, optimised {optimize}");
                assert!(!other.matches(frame), "{name}, optimised {optimize}");
            }
        }
    }
    // Without Ethernet, what is in IP can still be looked at.
    let raw = Link::of_name("RAW").unwrap();
    let settings = Options { any_encap: true, link: raw, ..options() };
    let filter = compile("tcp dst port 80", &settings).unwrap();
    assert!(filter.matches(&ip4(4, &segment)) && !filter.matches(&ip4(5, &segment)));
}

/// The condition that decides, and what it read, for each way that a run can end.
#[test]
fn explanations_name_the_condition_that_decided() {
    let text = "ip and tcp dst port 80 or arp";
    let explainer = Explainer::new(text, &options()).unwrap();
    let arp = ethernet(0x0806, &[0; 28]);
    let good = ethernet(0x0800, &ip4(6, &tcp()));
    let cut = &good[..37];
    for (frame, taken, condition, read) in [
        (&good[..], true, "tcp dst port 80", vec![(14, 1), (36, 2)]),
        (&arp, true, "arp", vec![(12, 2)]),
        (&ethernet(0x9999, &[0; 28]), false, "arp", vec![(12, 2)]),
    ] {
        let reason = explainer.explain(&Packet::of(frame));
        assert_eq!(reason.taken, taken);
        assert_eq!(&text[reason.decisive().unwrap()], condition);
        assert_eq!(reason.asked.last().unwrap().read, read);
        assert_eq!(reason.missing, None);
    }
    let reason = explainer.explain(&Packet::of(cut));
    assert!(!reason.taken);
    let (span, bytes) = reason.missing.unwrap();
    assert_eq!((&text[span], bytes), ("tcp dst port 80", Some((36, 2))));
}

#[test]
fn a_computation_that_is_too_long_is_refused() {
    let text = format!("ip[0]{} = 3", "+ip[1]".repeat(20_000));
    let error = compile(&text, &options()).unwrap_err();
    assert!(error.text.starts_with("the computation has more than"), "{error}");
    // A long one that is taken.
    let text = format!("ip[0]{} = 3", "+ip[1]".repeat(300));
    assert_eq!(prove(&text, &options()).unwrap(), Equality::Equal);
}
