//! The classic tools at work, on processes that the test starts itself: beside strace, and by
//! what was done.

use std::process::Command;

use crate::harness::{Folder, skep, skep_with};

/// Whether tracing is allowed; says so where it is not.
fn may() -> bool {
    let ran = skep(&["tool"]);
    let may = ran.out.lines().any(|line| line.starts_with("opensnoop") && line.contains(" yes "));
    if !may {
        println!("skipped: Linux lets this user trace nothing");
    }
    may
}

/// The tools, by the list.
fn tools() -> Vec<String> {
    let out = skep(&["tool", "--help"]).done();
    let names = out.lines().filter_map(|line| line.strip_prefix("  ")?.split_whitespace().next());
    names.filter(|name| *name != "skep").map(str::to_owned).collect()
}

/// Operands that a tool cannot do without.
fn operands(tool: &str) -> &'static [&'static str] {
    match tool {
        "funccount" | "stackcount" => &["t:sched:sched_switch"],
        "trace" => &[
            "t:syscalls:sys_enter_openat (args->flags >= 0) \"%s %d\", args->filename, args->flags",
        ],
        _ => &[],
    }
}

#[test]
fn every_tool_prints_a_script_that_loads() {
    let tools = tools();
    assert_eq!(tools.len(), 20, "{tools:?}");
    let may = may();
    for tool in &tools {
        let mut args = vec!["tool", tool, "--script"];
        args.extend(operands(tool));
        let script = skep(&args).done();
        assert!(script.starts_with("// "), "{script}");
        if may {
            let ran = skep_with(&["trace", "--dry-run", "-"], script.as_bytes());
            assert_eq!(ran.status, 0, "{tool}: {}", ran.err);
            assert_eq!(ran.err, "", "{tool}");
        }
    }
}

#[test]
fn what_is_no_tool_or_no_flag_is_said() {
    let (error, hint) = skep(&["tool", "nosuch"]).failed(2);
    assert!(error.contains("there is no tool"), "{error}");
    assert!(hint.contains("skep tool"), "{hint}");
    let by_name = skep(&["execsnoop", "--script"]).done();
    assert_eq!(by_name, skep(&["tool", "execsnoop", "--script"]).done());
    let ran = skep(&["tool", "execsnoop", "--nosuch"]);
    assert_eq!(ran.status, 2, "{}", ran.err);
    assert!(ran.err.contains("--nosuch"), "{}", ran.err);
    let ran = skep(&["tool", "funccount", "a b{", "--script"]);
    assert_eq!(ran.status, 2, "{}", ran.err);
}

#[test]
fn execsnoop_shows_each_program_with_its_arguments() {
    if !may() {
        return;
    }
    let command =
        "sh -c '/bin/true a \"b c\"; /bin/echo hi >/dev/null; ls /nonexistent 2>/dev/null; true'";
    let out = skep(&["tool", "execsnoop", "-c", command]).done();
    let mut lines = out.lines();
    assert_eq!(lines.next(), Some("COMM             PID     PPID    RET ARGS"));
    let rows: Vec<(String, String)> = lines
        .map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            assert_eq!(words[3], "0", "{line}");
            (words[0].to_owned(), words[4..].join(" "))
        })
        .filter(|(comm, _)| comm != "sh")
        .collect();
    let expected =
        [("true", "/bin/true a b c"), ("echo", "/bin/echo hi"), ("ls", "ls /nonexistent")];
    let short: Vec<(&str, &str)> = rows.iter().map(|(comm, args)| (&comm[..], &args[..])).collect();
    assert_eq!(short, expected);
    // As JSON the arguments keep their borders.
    let out = skep(&["tool", "execsnoop", "--json", "-n", "true", "-c", command]).done();
    let row: serde_json::Value =
        serde_json::from_str(out.lines().next().expect("a row")).expect("JSON");
    assert_eq!(row["args"], serde_json::json!(["/bin/true", "a", "b c"]));
}

/// What strace says of a command's opened files: results and paths.
fn opened(command: &[&str], file: &str) -> Option<Vec<(i64, String)>> {
    let ran = Command::new("strace")
        .args(["-f", "-qq", "-s", "4096", "-e", "trace=open,openat,openat2", "-o", file])
        .args(command)
        .output()
        .ok()?;
    drop(ran);
    let text = std::fs::read_to_string(file).ok()?;
    let row = |line: &str| {
        let path = line.split('"').nth(1)?.to_owned();
        let result = line.rsplit(" = ").next()?.split_whitespace().next()?.parse().ok()?;
        Some((result, path))
    };
    Some(text.lines().filter_map(row).collect())
}

#[test]
fn opensnoop_sees_what_strace_sees() {
    if !may() {
        return;
    }
    let folder = Folder::new();
    let command = ["cat", "/etc/hostname", "/does/not/exist"];
    let Some(expected) = opened(&command, &folder.path("strace")) else {
        println!("skipped: there is no strace");
        return;
    };
    let out = skep(&["tool", "opensnoop", "-n", "cat", "-c", &command.join(" ")]).out;
    let mut lines = out.lines();
    let header = lines.find(|line| line.starts_with("PID")).expect("a header");
    assert_eq!(header, "PID    COMM               FD ERR PATH");
    let rows: Vec<(i64, String)> = lines
        .filter(|line| line.contains(" cat "))
        .map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let (fd, error): (i64, i64) =
                (words[2].parse().expect("FD"), words[3].parse().expect("ERR"));
            (if fd < 0 { -1 } else { fd }, format!("{} {error}", words[4]))
        })
        .collect();
    let paths = |rows: &[(i64, String)]| -> Vec<(i64, String)> {
        rows.iter()
            .map(|(fd, path)| (*fd, path.split(' ').next().unwrap_or_default().to_owned()))
            .collect()
    };
    assert_eq!(paths(&rows), paths(&expected));
    assert!(rows.contains(&(-1, "/does/not/exist 2".into())), "{rows:?}");
}

#[test]
fn syscount_counts_what_strace_counts() {
    if !may() {
        return;
    }
    let folder = Folder::new();
    let command = ["dd", "if=/dev/zero", "of=/dev/null", "bs=1", "count=200", "status=none"];
    let file = folder.path("strace");
    let strace = Command::new("strace").args(["-f", "-c", "-o", &file]).args(command).output();
    if strace.is_err() {
        println!("skipped: there is no strace");
        return;
    }
    let text = std::fs::read_to_string(&file).expect("what strace says");
    let expected = |name: &str| -> u64 {
        let line =
            text.lines().find(|line| line.split_whitespace().last() == Some(name)).expect(name);
        line.split_whitespace().nth(3).expect("calls").parse().expect("a number")
    };
    let out = skep(&["tool", "syscount", "-T", "100", "-c", &command.join(" ")]).done();
    let header = out.lines().nth(2).expect("a header");
    assert_eq!(header, "SYSCALL                   COUNT");
    for name in ["read", "write", "openat"] {
        let line =
            out.lines().find(|line| line.split_whitespace().next() == Some(name)).expect(name);
        let count: u64 =
            line.split_whitespace().last().expect("a count").parse().expect("a number");
        assert_eq!(count, expected(name), "{name}\n{out}\n{text}");
    }
}

#[test]
fn funccount_and_stackcount_count_the_same_hits() {
    if !may() {
        return;
    }
    let command = "dd if=/dev/zero of=/dev/null bs=1 count=50 status=none";
    let pattern = "t:syscalls:sys_enter_write";
    let out = skep(&["tool", "funccount", "-c", command, pattern]).done();
    let line = out.lines().find(|line| line.starts_with(pattern)).expect("a count");
    assert_eq!(line.split_whitespace().last(), Some("50"), "{out}");
    assert!(out.contains("FUNC                                    COUNT"), "{out}");
    let out = skep(&["tool", "stackcount", "-f", "-c", command, pattern]).done();
    let counts = out.lines().filter_map(|line| line.split_whitespace().last()?.parse::<u64>().ok());
    assert_eq!(counts.sum::<u64>(), 50, "{out}");
}

#[test]
fn trace_prints_a_line_for_each_hit() {
    if !may() {
        return;
    }
    let probe = "t:syscalls:sys_enter_openat \"%s\", args->filename";
    let out = skep(&["tool", "trace", "-n", "cat", "-c", "cat /etc/hostname", probe]).out;
    let header = out.lines().find(|line| line.starts_with("PID")).expect("a header");
    assert_eq!(header, "PID     TID     COMM            FUNC             -");
    let hits = out.lines().filter(|line| line.ends_with(" sys_enter_openat /etc/hostname"));
    assert_eq!(hits.count(), 1, "{out}");
}

#[test]
fn tcpconnect_sees_a_connection_that_is_made() {
    if !may() {
        return;
    }
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let command = format!("bash -c 'exec 3<>/dev/tcp/127.0.0.1/{port}'");
    let out = skep(&["tool", "tcpconnect", "-c", "--cmd", &command]).done();
    let counted = out.lines().filter(|line| line.contains(&port.to_string()));
    assert_eq!(counted.count(), 1, "{out}");
    let out = skep(&["tool", "tcpconnect", "--cmd", &command]).done();
    let header = "PID     COMM         IP SADDR            DADDR            DPORT";
    assert!(out.contains(header), "{out}");
    let row = out.lines().find(|line| line.ends_with(&port.to_string())).expect("a row");
    let words: Vec<&str> = row.split_whitespace().collect();
    assert_eq!(words[1..5], ["bash", "4", "127.0.0.1", "127.0.0.1"], "{row}");
}

#[test]
fn biolatency_has_a_histogram_of_requests() {
    if !may() {
        return;
    }
    let folder = Folder::new();
    let file = folder.path("written");
    let command =
        format!("dd if=/dev/zero of={file} bs=4096 count=64 oflag=direct,dsync status=none");
    let out = skep(&["tool", "biolatency", "-c", &command]).done();
    let mut lines = out.lines();
    assert_eq!(lines.next(), Some("Tracing block device I/O... Hit Ctrl-C to end."));
    if !out.contains("->") {
        println!("skipped: the folder for tests is on no disk");
        return;
    }
    assert!(out.contains("     usecs               : count     distribution"), "{out}");
    let count = |line: &str| line.split(':').nth(1)?.split('|').next()?.trim().parse::<u64>().ok();
    let total: u64 = out.lines().filter(|line| line.contains("->")).filter_map(count).sum();
    assert!(total >= 64, "{out}");
}

/// Sends packets from one address without a pause, and from another with pauses.
const SENDS: &str = "\
import socket, time
def send(source, count, pause):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind((source, 0))
    for i in range(count):
        try: s.sendto(b'x', ('127.0.0.1', 9))
        except OSError: pass
        time.sleep(pause)
send('127.0.0.2', 2500, 0)
send('127.0.0.3', 20, 0.01)
";

#[test]
fn dddos_names_the_source_that_floods_and_not_the_quiet_one() {
    if !may() || !has_python() {
        return;
    }
    let folder = Folder::new();
    let program = folder.file("sends.py", SENDS);
    // A slow machine makes pauses of its own: lawful is what comes after a second.
    let command = format!("python3 {program}");
    let args = ["tool", "dddos", "--gap", "1000000000", "--most", "1000", "-c", &command];
    let out = skep(&args).done();
    let header = "TIME(s)                    MESSAGE";
    assert!(out.lines().any(|line| line == header), "{out}");
    let of =
        |source: &str| out.lines().filter(|line| line.ends_with(&format!("from {source}"))).count();
    assert_eq!((of("127.0.0.2"), of("127.0.0.3")), (2, 0), "{out}");
}

/// Makes connections that find no room where they are waited for, so that their first segments
/// are sent again.
const KNOCKS: &str = "\
import socket, time
listens = socket.socket()
listens.bind(('127.0.0.1', 0))
listens.listen(0)
held = []
for i in range(4):
    s = socket.socket()
    s.setblocking(False)
    s.connect_ex(listens.getsockname())
    held.append(s)
time.sleep(3)
print(listens.getsockname()[1])
";

#[test]
fn tcpretrans_sees_first_segments_that_found_no_room() {
    if !may() || !has_python() {
        return;
    }
    let folder = Folder::new();
    let program = folder.file("knocks.py", KNOCKS);
    let out = skep(&["tool", "tcpretrans", "--cmd", &format!("python3 {program}")]).done();
    let port = out.lines().find(|line| line.parse::<u16>().is_ok()).expect("a port");
    let header = "TIME     PID     IP LADDR:LPORT          T> RADDR:RPORT          STATE";
    assert!(out.lines().any(|line| line == header), "{out}");
    let to = format!("127.0.0.1:{port}");
    let row = out.lines().find(|line| line.contains(&format!("R> {to}")));
    let words: Vec<&str> = row.unwrap_or_else(|| panic!("{out}")).split_whitespace().collect();
    assert!(words[3].starts_with("127.0.0.1:"), "{out}");
    assert_eq!((words[2], words[5], words[6]), ("4", &to[..], "SYN_SENT"), "{out}");
}

fn has_python() -> bool {
    let has = Command::new("python3").arg("-V").output().is_ok();
    if !has {
        println!("skipped: there is no python3");
    }
    has
}

#[test]
fn what_cannot_work_says_why_and_what_is_nearest() {
    if !may() {
        return;
    }
    let list = skep(&["tool"]).done();
    let line = list.lines().find(|line| line.starts_with("dcsnoop")).expect("a line");
    if line.contains(" yes ") {
        println!("skipped: all tools work on this kernel");
        return;
    }
    let (error, hint) = skep(&["tool", "dcsnoop"]).failed(1);
    assert!(error.starts_with("dcsnoop does not work here: "), "{error}");
    assert!(hint.contains("the nearest is opensnoop"), "{hint}");
}

/// What another project's tool prints while ours is at work; `None` where it is not there.
fn beside(tool: &str, args: &[&str], ours: impl FnOnce() -> String) -> Option<(String, String)> {
    use std::io::{BufRead, BufReader, Read};
    let path = format!("/usr/sbin/{tool}");
    if !std::path::Path::new(&path).exists() {
        println!("skipped: there is no {path}");
        return None;
    }
    let mut child = Command::new("stdbuf")
        .args(["-oL", &path])
        .args(args)
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .ok()?;
    let mut out = BufReader::new(child.stdout.take()?);
    let mut theirs = String::new();
    // Its titles come when it is attached.
    out.read_line(&mut theirs).ok()?;
    let ours = ours();
    std::thread::sleep(std::time::Duration::from_secs(1));
    let interrupted = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    if !interrupted.is_ok_and(|status| status.success()) {
        let _ = child.kill();
    }
    out.read_to_string(&mut theirs).ok()?;
    let _ = child.wait();
    Some((ours, theirs))
}

#[test]
fn execsnoop_sees_what_its_counterpart_sees() {
    if !may() {
        return;
    }
    let folder = Folder::new();
    // A name that no other program has.
    let name = format!("skep{}", std::process::id());
    let program = folder.path(&name);
    std::fs::copy("/bin/true", &program).expect("a program");
    let command = format!("sh -c 'for i in 1 2 3 4 5; do {program} $i \"a b\" x$i; done; true'");
    let run = || skep(&["tool", "execsnoop", "-n", &name, "-c", &command]).done();
    let Some((ours, theirs)) = beside("execsnoop", &["-n", &name], run) else { return };
    let rows = |text: &str| -> Vec<String> {
        let lines = text.lines().filter(|line| line.starts_with(&name));
        lines.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
    };
    assert_eq!(rows(&ours).len(), 5, "{ours}");
    assert_eq!(rows(&ours), rows(&theirs));
}

/// Makes three connections to itself, which move 20 KB to one side and 10 KB to the other.
const MOVES: &str = "\
import socket, threading, time
listens = socket.socket()
listens.bind(('127.0.0.1', 0))
listens.listen()
def serve():
    for i in range(3):
        c, _ = listens.accept()
        c.sendall(b'y' * 20480)
        while c.recv(65536): pass
        c.close()
serves = threading.Thread(target=serve)
serves.start()
for i in range(3):
    s = socket.create_connection(listens.getsockname())
    got = 0
    while got < 20480: got += len(s.recv(65536))
    s.sendall(b'z' * 10240)
    s.shutdown(socket.SHUT_WR)
    while s.recv(1): pass
    s.close()
serves.join()
time.sleep(0.5)
print(listens.getsockname()[1])
";

#[test]
fn tcplife_sees_what_its_counterpart_sees() {
    if !may() || !has_python() {
        return;
    }
    let folder = Folder::new();
    let program = folder.file("moves.py", MOVES);
    let command = format!("python3 {program}");
    let run = || skep(&["tool", "tcplife", "-c", &command]).done();
    let Some((ours, theirs)) = beside("tcplife", &[], run) else { return };
    let port = ours.lines().find(|line| line.parse::<u16>().is_ok()).expect("a port").to_owned();
    // Addresses, ports and kilobytes; theirs have digits behind the point.
    let rows = |text: &str| -> Vec<String> {
        let row = |line: &str| {
            let words: Vec<&str> = line.split_whitespace().rev().take(7).collect();
            let [_, received, sent, remote, to, local, from] = words[..] else { return None };
            let whole = |text: &str| text.split('.').next().unwrap_or_default().to_owned();
            let is_ours = remote == port || local == port;
            is_ours.then(|| [from, local, to, remote, &whole(sent), &whole(received)].join(" "))
        };
        let mut rows: Vec<String> = text.lines().filter_map(row).collect();
        rows.sort();
        rows
    };
    assert_eq!(rows(&ours).len(), 6, "{ours}");
    assert_eq!(rows(&ours), rows(&theirs));
}
