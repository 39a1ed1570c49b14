//! `skep filter`: programs shown, captures filtered, mistakes told.

use crate::harness::{Folder, skep, skep_with, workspace};

/// Packets of 14 bytes, with their Ethernet types, as a pcap file.
fn pcap(types: &[u16]) -> Vec<u8> {
    let mut file = Vec::new();
    for word in [0xa1b2_c3d4u32, 0x0004_0002, 0, 0, 262_144, 1] {
        file.extend(word.to_le_bytes());
    }
    for (second, kind) in types.iter().enumerate() {
        for word in [second as u32, 0, 14, 60] {
            file.extend(word.to_le_bytes());
        }
        file.extend([0; 12]);
        file.extend(kind.to_be_bytes());
    }
    file
}

#[test]
fn a_program_is_shown_as_tcpdump_shows_it() {
    let out = skep(&["filter", "-d", "ip", "and", "tcp"]).done();
    let expected = "\
(000) ldh      [12]
(001) jeq      #0x800           jt 2\tjf 5
(002) ldb      [23]
(003) jeq      #0x6             jt 4\tjf 5
(004) ret      #262144
(005) ret      #0
";
    assert_eq!(out, expected);
    let out = skep(&["filter", "-dd", "-s", "96", "less 5"]).done();
    let expected = "\
{ 0x80, 0, 0, 0x00000000 },
{ 0x25, 0, 1, 0x00000005 },
{ 0x6, 0, 0, 0x00000000 },
{ 0x6, 0, 0, 0x00000060 },
";
    assert_eq!(out, expected);
    assert_eq!(skep(&["filter", "-ddd", ""]).done(), "1\n6 0 0 262144\n");
    let raw = skep(&["filter", "-d", "-y", "raw", "ip6"]).done();
    assert!(raw.starts_with("(000) ldb      [0]\n"), "{raw}");
}

#[test]
fn packets_are_counted_and_written_as_they_were() {
    let folder = Folder::new();
    let (input, output) = (folder.path("in.pcap"), folder.path("out.pcap"));
    let file = pcap(&[0x800, 0x86dd, 0x800, 0x806]);
    std::fs::write(&input, &file).unwrap();
    assert_eq!(skep(&["filter", "-r", &input, "--count", "ip"]).done(), "2 packets\n");
    assert_eq!(skep(&["filter", "-r", &input, "--count", "arp"]).done(), "1 packet\n");
    assert_eq!(
        skep_with(&["filter", "-r", "-", "--count", "len = 60"], &file).done(),
        "4 packets\n"
    );
    skep(&["filter", "-r", &input, "-w", &output, "ip6"]).done();
    let written = std::fs::read(&output).unwrap();
    assert_eq!(written, [&file[..24], &file[54..84]].concat());
    skep(&["filter", "-r", &input, "-w", &output, "-c", "1", "ip"]).done();
    assert_eq!(std::fs::read(&output).unwrap(), file[..54]);
}

/// Sections, interfaces, statistics and all options of what matches.
#[test]
fn a_pcapng_file_that_matches_whole_is_written_byte_for_byte() {
    let folder = Folder::new();
    let output = folder.path("out.pcapng");
    let input = workspace().join("examples/mixed.pcapng");
    let input = input.to_str().unwrap();
    skep(&["filter", "-r", input, "-w", &output]).done();
    assert!(std::fs::read(&output).unwrap() == std::fs::read(input).unwrap());
    let all = skep(&["filter", "-r", input, "--count"]).done();
    skep(&["filter", "-r", input, "-w", &output, "ip"]).done();
    let some = skep(&["filter", "-r", input, "--count", "ip"]).done();
    assert_eq!(skep(&["filter", "-r", &output, "--count"]).done(), some);
    assert_ne!(some, all);
}

#[test]
fn a_file_that_is_cut_off_is_filtered_as_far_as_it_goes() {
    let folder = Folder::new();
    let (input, output) = (folder.path("in.pcap"), folder.path("out.pcap"));
    let file = pcap(&[0x800, 0x800]);
    std::fs::write(&input, &file[..file.len() - 3]).unwrap();
    let ran = skep(&["filter", "-r", &input, "-w", &output, "--count", "ip"]);
    assert_eq!(ran.out, "1 packet\n");
    let (error, hint) = ran.failed(2);
    assert!(error.ends_with("offset 54: the file ends within a packet"), "{error}");
    assert!(!hint.is_empty());
    assert_eq!(std::fs::read(&output).unwrap(), file[..54]);
}

#[test]
fn a_mistake_is_pointed_at() {
    let ran = skep(&["filter", "-d", "tcp prt 80"]);
    assert!(ran.err.contains("  tcp prt 80\n      ^^^\n"), "{}", ran.err);
    let (error, hint) = ran.failed(2);
    assert_eq!(error, "can't parse filter expression: syntax error");
    assert_eq!(hint, "did you mean `port`?");
    let (error, _) = skep(&["filter", "-d", "host \u{1b}[31m"]).failed(2);
    assert!(!error.contains('\u{1b}'));
    let (error, hint) = skep(&["filter", "-d", "-y", "nonsense", "ip"]).failed(2);
    assert_eq!(error, "\"nonsense\" is no link type");
    assert!(hint.contains("LINUX_SLL2"), "{hint}");
    let (error, hint) = skep(&["filter", "ip"]).failed(2);
    assert_eq!(error, "nothing to do with the expression");
    assert!(hint.contains("-d"), "{hint}");
    let (error, _) = skep(&["filter", "-r", "no such file", "--count"]).failed(2);
    assert!(error.starts_with("no such file: cannot be read"), "{error}");
}
