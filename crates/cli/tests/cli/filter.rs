//! `skep filter`: programs shown, captures filtered, mistakes told.

use std::process::Command;

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

#[test]
fn why_names_the_condition_and_its_bytes() {
    let folder = Folder::new();
    let input = folder.path("in.pcap");
    std::fs::write(&input, pcap(&[0x800, 0x806, 0x9999])).unwrap();
    let out = skep(&["filter", "-r", &input, "--why", "ip and udp or arp"]).done();
    let expected = "\
1\trefused\tudp\tbyte 23 not in the packet's 14 bytes
2\ttaken\tarp\tbytes 12-13 = 08 06: 0x806 = 0x806
3\trefused\tarp\tbytes 12-13 = 99 99: 0x9999 != 0x806
";
    assert_eq!(out, expected);
    let out = skep(&["filter", "-r", &input, "--why", "--json", "len > 59 and ip"]).done();
    let lines: Vec<serde_json::Value> =
        out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[0]["taken"], true);
    assert_eq!(lines[0]["condition"], "ip");
    assert_eq!(lines[0]["tests"][0]["left"], 60);
    assert_eq!(lines[1]["tests"][1]["read"][0]["bytes"], "0806");
}

/// Every packet of a capture has a reason that agrees with the filter.
#[test]
fn why_agrees_with_the_filter_on_a_capture() {
    for text in ["tcp port 80 or udp", "ip6 or vlan", "not (host 10.0.0.1 and port 53)"] {
        let file = "examples/mixed.pcapng";
        let told = skep(&["filter", "-r", file, "--why", text]).done();
        let count = skep(&["filter", "-r", file, "--count", text]).done();
        let taken = told.lines().filter(|line| line.split('\t').nth(1) == Some("taken")).count();
        assert_eq!(count.split(' ').next(), Some(taken.to_string().as_str()), "{text}");
        assert!(told.lines().all(|line| line.split('\t').all(|part| !part.is_empty())), "{told}");
    }
}

#[test]
fn equal_gives_a_packet_that_tells_expressions_apart() {
    let same = skep(&["filter", "--equal", "port 80", "src port 80 or dst port 80"]).done();
    assert_eq!(same, "equal: they take the same packets\n");
    let ran = skep(&["filter", "--equal", "port 80", "tcp port 80", "--json"]);
    assert_eq!(ran.status, 1, "{}", ran.err);
    let found: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(found["equal"], false);
    assert_eq!(found["taken_by"], 1);
    let ran = skep(&["filter", "--equal", "port 80", "udp"]);
    assert_eq!(ran.status, 1);
    assert!(ran.out.starts_with("different: this packet of "), "{}", ran.out);
    let (error, _) = skep(&["filter", "--equal", "port", "udp"]).failed(2);
    assert!(error.contains("syntax error"), "{error}");
}

#[test]
fn a_program_is_shown_as_ebpf() {
    let out = skep(&["filter", "--ebpf", "ip"]).done();
    assert!(out.contains("skb[0xc]") && out.ends_with("exit\n"), "{out}");
}

#[cfg(target_arch = "x86_64")]
#[test]
fn machine_code_stands_behind_what_it_is_made_of() {
    let shown = skep(&["filter", "--native", "ip and tcp"]).done();
    assert!(shown.contains("skb[0xc]\n"), "{shown}");
    assert!(shown.lines().any(|line| line.ends_with(":  ret")), "{shown}");
}

/// Lines beside the installed tcpdump's, where they are of protocols that are printed.
#[test]
fn lines_are_tcpdumps() {
    let workspace = workspace();
    let shared = workspace.ancestors().skip(1).map(|folder| folder.join("shared/data"));
    let shared = shared.map(|folder| folder.join("merged-en10mb.pcap")).find(|file| file.is_file());
    let mixed = workspace.join("examples/mixed.pcapng");
    let Some(files) = has_tcpdump().then(|| [Some(mixed), shared].into_iter().flatten()) else {
        println!("skipped: tcpdump is not installed");
        return;
    };
    for file in files {
        let file = file.to_str().unwrap();
        let tcpdump =
            Command::new("tcpdump").args(["-#", "-t", "-nn", "-r", file]).output().unwrap();
        let theirs = frames(&String::from_utf8_lossy(&tcpdump.stdout));
        let ours = frames(&skep(&["filter", "-#", "-t", "-nn", "-r", file]).done());
        assert_eq!(ours.len(), theirs.len(), "{file}");
        let named: Vec<_> =
            theirs.iter().zip(&ours).filter(|(theirs, _)| is_of_named_protocols(theirs)).collect();
        let same = named.iter().filter(|(theirs, ours)| theirs == ours).count();
        let differ = named.iter().find(|(theirs, ours)| theirs != ours);
        println!("{same} of {} lines of {file}", named.len());
        assert!(same * 100 >= named.len() * 95, "{same} of {}: {differ:#?}", named.len());
    }
}

fn has_tcpdump() -> bool {
    Command::new("tcpdump").arg("--version").output().is_ok()
}

/// The lines of each packet, without its number.
fn frames(text: &str) -> Vec<String> {
    let mut frames: Vec<String> = Vec::new();
    for line in text.lines() {
        let number = line.get(..5).is_some_and(|number| number.trim().parse::<u32>().is_ok());
        match (number && !line.starts_with('\t'), frames.last_mut()) {
            (true, _) => frames.push(line.get(7..).unwrap_or_default().trim_end().to_owned()),
            (false, Some(last)) => *last += line.trim_end(),
            (false, None) => {}
        }
    }
    frames
}

/// Whether tcpdump prints a packet as one of those protocols, with nothing of others within.
fn is_of_named_protocols(line: &str) -> bool {
    const NAMED: [&str; 14] = [
        "ARP, ",
        "STP 802",
        "LLDP, ",
        ": Flags [",
        ": UDP, ",
        "ICMP",
        ": igmp ",
        "BOOTP/DHCP",
        ": NTPv",
        "GREv",
        "VXLAN, ",
        "? ",
        "/0/",
        "bad-len",
    ];
    const OTHERS: [&str; 24] = [
        "Geneve",
        "AH(",
        "MPLS",
        "gre-proto",
        "PIM",
        "OSPF",
        "VRRP",
        "EIGRP",
        "RT6",
        "NSH",
        "BCM",
        "PPP",
        "LCP",
        "sFlow",
        "PGM",
        "babel",
        "RPL",
        "LWAPP",
        "lwres",
        "dvmrp",
        "pimv1",
        "RPKI",
        "DCCP",
        ":  ",
    ];
    let within = line.split_once("Flags [").and_then(|(_, rest)| rest.rsplit_once(", length "));
    let payload =
        within.map_or("", |(_, rest)| rest.trim_start_matches(|c: char| c.is_ascii_digit()));
    let known = ["", ": HTTP", ": BGP"].iter().any(|known| match *known {
        "" => payload.is_empty(),
        known => payload.starts_with(known),
    });
    NAMED.iter().any(|name| line.contains(name))
        && !OTHERS.iter().any(|name| line.contains(name))
        && known
}

/// A capture without its time stamps, which the kernel takes for each socket anew.
fn untimed(mut file: Vec<u8>) -> Vec<u8> {
    let mut at = 24;
    while let Some(record) = file.get_mut(at..at + 16) {
        record[..8].fill(0);
        at += 16 + u32::from_ne_bytes([record[8], record[9], record[10], record[11]]) as usize;
    }
    file
}

/// A pair of interfaces in a network namespace.
const PAIR: &str = r#"
set -e
ip link add veth0 type veth peer name veth1
ip address add 10.9.9.1/24 dev veth0
ip link set veth0 up
ip link set veth1 up
ip neighbour replace 10.9.9.2 lladdr 02:00:00:00:00:09 dev veth0 nud permanent
cd "$1"
start() { "$@" & }
"#;

/// Runs a script behind [`PAIR`], in a network namespace of its own; `None` where there is
/// none, or no tcpdump.
fn on_a_pair(script: &str) -> Option<(Folder, String)> {
    let mut tried = Command::new("unshare");
    tried.args(["-n", "ip", "link", "add", "veth0", "type", "veth", "peer", "name", "veth1"]);
    let allowed = tried.output().is_ok_and(|ran| ran.status.success());
    if !has_tcpdump() || !allowed {
        println!("skipped: no network namespace of one's own, or no tcpdump");
        return None;
    }
    let folder = Folder::new();
    let skep = env!("CARGO_BIN_EXE_skep");
    let script = [PAIR, script].concat();
    let ran = Command::new("unshare")
        .args(["-n", "bash", "-c", &script, "bash", &folder.path(""), skep])
        .output()
        .unwrap();
    Some((folder, String::from_utf8_lossy(&ran.stderr).into_owned()))
}

/// Files that begin anew by their size have the same packets as tcpdump's; those that begin
/// anew by time have them together.
#[test]
fn files_are_rotated_as_tcpdumps() {
    const SCRIPT: &str = r#"
start tcpdump -i veth1 -B 16384 -Z root -n -w theirs.size -C 1 -W 3 'udp port 9' 2> 1.err; a=$!
start "$2" filter -i veth1 -B 16384 -w ours.size -C 1 -W 3 'udp port 9' 2> 2.err; b=$!
start tcpdump -i veth1 -B 16384 -Z root -n -w theirs.time%s -G 1 'udp port 9' 2> 3.err; c=$!
start "$2" filter -i veth1 -B 16384 -w ours.time%s -G 1 'udp port 9' 2> 4.err; d=$!
for wait in $(seq 100); do
    [ "$(cat *.err | grep -c '^listening on')" = 4 ] && break
    sleep 0.1
done
for part in 1 2 3 4; do
    dd if=/dev/zero bs=1400 count=500 > /dev/udp/10.9.9.2/9 2> /dev/null
    sleep 0.8
done
sleep 2
kill -INT $a $b $c $d
wait
"#;
    let Some((folder, errors)) = on_a_pair(SCRIPT) else { return };
    // All that begins so, one behind the other, without the header of each file.
    let all = |start: &str| {
        let mut names: Vec<String> = std::fs::read_dir(folder.path(""))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .filter(|name| name.starts_with(start))
            .collect();
        names.sort();
        let files = names.iter().map(|name| untimed(std::fs::read(folder.path(name)).unwrap()));
        let packets: Vec<u8> = files.flat_map(|file| file[24..].to_vec()).collect();
        (names.len(), packets)
    };
    for number in 0..3 {
        let [theirs, ours] = ["theirs", "ours"].map(|whose| {
            let name = folder.path(&format!("{whose}.size{number}"));
            untimed(std::fs::read(&name).unwrap_or_else(|error| panic!("{name}: {error} {errors}")))
        });
        assert!(theirs.len() > 24 && theirs == ours, "file {number}");
    }
    let (theirs, ours) = (all("theirs.time"), all("ours.time"));
    assert!(theirs.0 > 1 && ours.0 > 1, "{errors}");
    assert_eq!(theirs.1.len(), 2000 * (16 + 14 + 20 + 8 + 1400), "{errors}");
    assert!(theirs.1 == ours.1);
}

/// Both on one end of a pair of interfaces in a network namespace of their own: the same
/// packets, the same files.
#[test]
fn a_live_capture_is_tcpdumps() {
    const SCRIPT: &str = r#"
start tcpdump -i veth1 -n -w theirs.pcap 'udp port 9' 2> theirs.err; theirs=$!
start "$2" filter -i veth1 -w ours.pcap 'udp port 9' 2> ours.err; ours=$!
start "$2" filter -i veth1 --user -w user.pcap 'udp port 9' 2> user.err; user=$!
start "$2" filter -i veth1 -w small.pcap -C 1 -W 3 'udp port 9' 2> small.err; small=$!
start "$2" filter -i veth1 -c 3 -t 'udp port 9' > lines 2> lines.err
start tcpdump -i veth1 -c 3 -t -n 'udp port 9' > wanted 2> wanted.err
start tcpdump -i any -c 6 -t -n 'udp port 9' > any.wanted 2> any2.err
start "$2" filter -i any -c 6 -t 'udp port 9' > any 2> any.err
start tcpdump -i veth0 -Q out -c 3 -t -n 'udp port 9' > out.wanted 2> out2.err
start "$2" filter -i veth0 -Q out -j host -c 3 -t 'udp port 9' > out 2> out.err
start "$2" filter -i veth0 -Q in --count 'udp port 9' > in 2> in.err; in=$!
start "$2" filter -i veth1 -Z nobody --count 'udp port 9' > nobody 2> nobody.err; nobody=$!
for wait in $(seq 100); do
    [ "$(cat *.err | grep -c '^listening on')" = 12 ] && break
    sleep 0.1
done
grep Uid /proc/$nobody/status > uid
for packet in $(seq 40); do
    echo "packet $packet" > /dev/udp/10.9.9.2/9
    echo "packet $packet" > /dev/udp/10.9.9.2/10
done
sleep 2
kill -INT $theirs $ours $user $small $in $nobody
wait
"#;
    let Some((folder, errors)) = on_a_pair(SCRIPT) else { return };
    let read = |name: &str| std::fs::read(folder.path(name)).unwrap_or_default();
    let text = |name: &str| String::from_utf8_lossy(&read(name)).into_owned();
    let theirs = untimed(read("theirs.pcap"));
    assert!(theirs.len() > 24 + 40 * 50, "{}\n{errors}", text("theirs.err"),);
    for name in ["ours.pcap", "user.pcap", "small.pcap0"] {
        assert!(untimed(read(name)) == theirs, "{name}: {}", text("ours.err"));
    }
    assert_eq!(text("lines"), text("wanted"));
    assert_eq!(text("any"), text("any.wanted"), "{}", text("any.err"));
    assert_eq!(text("out"), text("out.wanted"), "{}", text("out.err"));
    assert_eq!((text("in"), text("nobody")), ("0 packets\n".into(), "40 packets\n".into()));
    // Real, effective, saved and of files.
    let uid: Vec<String> = text("uid").split_whitespace().skip(1).map(str::to_owned).collect();
    assert!(uid.len() == 4 && uid.iter().all(|one| *one == uid[0] && one != "0"), "{uid:?}");
    assert!(
        text("ours.err").contains("40 packets captured\n40 packets received by filter\n0 packets")
    );
}

/// Lines of cooked packets, and the interfaces of `-D`.
#[test]
fn cooked_packets_have_their_interface_and_way() {
    let run = |args: &[&str]| {
        let ran = Command::new(env!("CARGO_BIN_EXE_skep")).arg("filter").args(args).output();
        String::from_utf8(ran.unwrap().stdout).unwrap()
    };
    let listed = run(&["-D"]);
    assert!(listed.contains("1.lo [Ethernet]\n") && listed.contains("any ["), "{listed}");
    let mut file = Vec::new();
    for word in [0xa1b2_c3d4u32, 0x0004_0002, 0, 0, 262_144, 276] {
        file.extend(word.to_le_bytes());
    }
    for (index, way) in [(1u32, 0), (77, 4), (1, 1), (1, 2), (1, 3), (1, 9)] {
        let mut packet = vec![8, 0, 0, 0];
        packet.extend(index.to_be_bytes());
        packet.extend([0, 1, way, 6, 2, 0, 0, 0, 0, 7, 0, 0]);
        packet.extend([0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
        packet.extend([3, 232, 0, 9, 0, 8, 0, 0]);
        for word in [0, 0, packet.len() as u32, packet.len() as u32] {
            file.extend(word.to_le_bytes());
        }
        file.extend(packet);
    }
    let folder = Folder::new();
    let path = folder.path("cooked.pcap");
    std::fs::write(&path, file).unwrap();
    let lines = run(&["-t", "-r", &path]);
    let first = "lo    In  IP 10.0.0.1.1000 > 10.0.0.2.9: UDP, length 0";
    assert_eq!(lines.lines().next(), Some(first));
    if !has_tcpdump() {
        println!("skipped: tcpdump is not installed");
        return;
    }
    for options in ["-nt", "-nte"] {
        let theirs = Command::new("tcpdump").args([options, "-r", &path]).output().unwrap();
        assert_eq!(run(&[options, "-r", &path]), String::from_utf8(theirs.stdout).unwrap());
    }
}
