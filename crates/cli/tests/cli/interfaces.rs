//! `skep run --interface` in the embedded kernel, on interfaces of networks of the tests' own. Where
//! the machine allows it these are an ordinary user's (`unshare -Urn`), else root's.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use rustix::thread::{UnshareFlags, gettid, unshare_unsafe};
use serde_json::Value as Json;

use crate::harness::{Folder, skep, workspace};
use crate::signals::signal;

/// Says to the test's own binary that it is within a network of its own.
const INSIDE: &str = "SKEP_TEST_INSIDE";

/// Runs the test of this name again, as a user without rights in a network of its own. True: this
/// is that run.
fn inside(test: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        let up = Command::new("ip").args(["link", "set", "lo", "up"]).status();
        assert!(up.expect("ip").success());
        return true;
    }
    let own = std::env::current_exe().expect("the test's binary");
    let is_root = rustix::process::geteuid().is_root();
    let enter: [&[&str]; 3] = [
        &["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "unshare", "-Urn"],
        &["unshare", "-Urn"],
        &["unshare", "-n"],
    ];
    let works = |words: &&&[&str]| {
        let ran = Command::new(words[0])
            .args(&words[1..])
            .args(["sh", "-c", "ip link set lo up && test -x \"$0\""])
            .arg(&own)
            .output();
        ran.is_ok_and(|ran| ran.status.success())
    };
    let Some(words) = enter[usize::from(!is_root)..].iter().find(works) else {
        println!("skipped: no network of one's own");
        return false;
    };
    let ran = Command::new(words[0])
        .args(&words[1..])
        .arg(own)
        .args(["--exact", &format!("interfaces::{test}"), "--nocapture", "--test-threads=1"])
        .env(INSIDE, "1")
        .output()
        .expect("the test runs");
    let told = [&ran.stdout[..], &ran.stderr[..]].concat();
    let told = String::from_utf8_lossy(&told);
    assert!(ran.status.success() && told.contains("1 passed"), "{words:?}:\n{told}");
    println!("as {:?}", words[0]);
    false
}

fn ip(words: &str) {
    let ran = Command::new("ip").args(words.split(' ')).output().expect("ip");
    assert!(ran.status.success(), "ip {words}: {ran:?}");
}

/// A run on interfaces.
struct Run {
    child: Child,
    err: BufReader<ChildStderr>,
}

impl Run {
    /// Starts it, and waits until it has the interfaces.
    fn start(args: &[&str]) -> Run {
        let mut child = Command::new(env!("CARGO_BIN_EXE_skep"))
            .arg("run")
            .args(args)
            .arg("--json")
            .current_dir(workspace())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("skep starts");
        let mut err = BufReader::new(child.stderr.take().expect("a pipe"));
        let mut line = String::new();
        err.read_line(&mut line).expect("a line");
        assert!(line.contains("watches") || line.contains("decides"), "{line}");
        Run { child, err }
    }

    /// Ends it by Ctrl-C; gives its report.
    fn interrupt(self) -> Json {
        signal(&self.child, "INT");
        let output = self.child.wait_with_output().expect("it ends");
        assert_eq!(output.status.signal(), Some(2), "{output:?}");
        serde_json::from_slice(&output.stdout).expect("JSON")
    }
}

/// So many datagrams over `lo`.
fn send(times: u32) {
    let socket = || UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
    let (from, to) = (socket(), socket());
    for _ in 0..times {
        from.send_to(b"x", to.local_addr().expect("bound")).expect("sent");
    }
}

fn verdict(report: &Json, name: &str) -> u64 {
    let all = report["runs"][0]["verdicts"].as_array().expect("verdicts");
    let found = all.iter().find(|of| of["verdict"] == name);
    found.map_or(0, |of| of["packets"].as_u64().expect("a number"))
}

#[test]
fn a_program_watches_a_copy_of_each_frame() {
    if !inside("a_program_watches_a_copy_of_each_frame") {
        return;
    }
    let run = Run::start(&["examples/hello.bpf.o", "--interface", "lo"]);
    send(10);
    let report = run.interrupt();
    assert_eq!(report["enforced"], false);
    assert_eq!(report["stopped"], "SIGINT");
    assert_eq!(report["live"]["interface"], "lo");
    assert_eq!((&report["live"]["received"], &report["live"]["lost"]), (&10.into(), &0.into()));
    assert_eq!(report["runs"][0]["packets"], 10);
    assert_eq!(verdict(&report, "XDP_PASS"), 10);

    let limited = ["examples/hello.bpf.o", "--interface", "lo", "--limit", "3"];
    let run = Run::start(&limited);
    send(10);
    let output = run.child.wait_with_output().expect("it ends");
    let report: Json = serde_json::from_slice(&output.stdout).expect("JSON");
    assert!(output.status.success());
    assert_eq!(report["runs"][0]["packets"], 3);

    let timed = ["run", "examples/hello.bpf.o", "--interface", "lo", "--for", "0.2"];
    let told = skep(&timed).done();
    assert!(told.contains("0 frames received") && told.contains("changes nothing"), "{told}");
}

#[test]
fn each_kind_of_program_sees_its_way() {
    if !inside("each_kind_of_program_sees_its_way") {
        return;
    }
    let folder = Folder::new();
    let body = ".license \"GPL\"\n.section SECTION\n.globl p\np:\nr0 = *(u32 *)(r1 + 40)\nexit\n";
    let index = 1;
    for (section, frames) in [("tc", 10), ("tcx/egress", 10), ("socket", 20)] {
        let name = section.replace('/', "_");
        let object = folder.object(&name, &body.replace("SECTION", section));
        let run = Run::start(&[&object, "--interface", "lo"]);
        send(10);
        let report = run.interrupt();
        assert_eq!(report["runs"][0]["packets"], frames, "{section}");
        assert_eq!(report["runs"][0]["verdicts"][0]["value"], index, "{section}");
    }
}

#[test]
fn an_interface_that_goes_away_ends_the_run() {
    if !inside("an_interface_that_goes_away_ends_the_run") {
        return;
    }
    ip("link add name a type veth peer name b");
    ip("link set dev a up");
    let mut run = Run::start(&["examples/hello.bpf.o", "--interface", "a"]);
    // One that goes down may come again.
    ip("link set dev a down");
    std::thread::sleep(Duration::from_millis(300));
    assert!(run.child.try_wait().expect("it runs").is_none());
    ip("link del dev a");
    let mut told = String::new();
    run.err.read_to_string(&mut told).expect("text");
    let output = run.child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("error: interface a went away"), "{told}");
    let report: Json = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(report["runs"][0]["packets"], 0);

    let on = |words: &[&str]| {
        skep(&[&["run", "examples/hello.bpf.o", "--interface"], words].concat()).failed(2)
    };
    assert_eq!(on(&["nowhere"]).0, "there is no interface \"nowhere\", but lo");
    let (error, hint) = on(&["lo", "--kernel", "both"]);
    assert!(error.contains("two kernels") && hint.contains("--pcap"), "{error} {hint}");
    assert!(on(&["lo", "--to", "lo"]).0.contains("frames come from"));
    assert!(on(&["lo", "--to", "lo", "--kernel", "linux"]).0.contains("embedded kernel"));
}

type Work = Box<dyn FnOnce() + Send>;

/// A thread with a network of its own.
struct Place {
    tid: i32,
    work: mpsc::Sender<Work>,
}

impl Place {
    fn new() -> Place {
        let (work, todo) = mpsc::channel::<Work>();
        let (told, tid) = mpsc::channel();
        std::thread::spawn(move || {
            // SAFETY: the thread's network namespace is nothing that memory depends on.
            unsafe { unshare_unsafe(UnshareFlags::NEWNET) }.expect("a network");
            told.send(gettid().as_raw_nonzero().get()).expect("the test waits");
            todo.into_iter().for_each(|work| work());
        });
        Place { tid: tid.recv().expect("a thread"), work }
    }

    /// Does something there; what it gives comes later.
    fn start<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> mpsc::Receiver<T> {
        let (give, given) = mpsc::channel();
        let work = move || drop(give.send(work()));
        self.work.send(Box::new(work)).expect("the thread is there");
        given
    }

    fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        self.start(work).recv().expect("it was done")
    }
}

/// Two hosts, and between them whoever runs the test, with the interfaces `a` and `b`.
fn hosts() -> [Place; 2] {
    [("a", "10.9.0.1"), ("b", "10.9.0.2")].map(|(name, address)| {
        let place = Place::new();
        ip(&format!("link add name {name} type veth peer name host netns {}", place.tid));
        ip(&format!("link set dev {name} up"));
        place.run(move || {
            ip(&format!("addr add {address}/24 dev host"));
            ip("link set host up");
        });
        place
    })
}

const THERE: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 2);

/// Sends datagrams from one host to the other's ports; gives how many came to each.
fn datagrams(hosts: &[Place; 2], ports: [u16; 2], times: u32) -> [u32; 2] {
    let sockets = hosts[1].run(move || {
        ports.map(|port| {
            let socket = UdpSocket::bind((THERE, port)).expect("a socket");
            socket.set_read_timeout(Some(Duration::from_millis(500))).expect("a time");
            socket
        })
    });
    hosts[0].run(move || {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).expect("a socket");
        for _ in 0..times {
            for port in ports {
                socket.send_to(b"x", (THERE, port)).expect("sent");
            }
        }
    });
    sockets.map(|socket| (0..).take_while(|_| socket.recv(&mut [0; 8]).is_ok()).count() as u32)
}

/// A megabyte over TCP; gives whether it came as it was sent.
fn transfer(hosts: &[Place; 2]) -> bool {
    const BYTES: usize = 1 << 20;
    let sent: Vec<u8> =
        (0..BYTES as u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let listener = hosts[1].run(|| TcpListener::bind((THERE, 4001)).expect("a listener"));
    let came = hosts[1].start(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).map(|_| bytes).expect("it is read")
    });
    let copy = sent.clone();
    hosts[0].run(move || {
        let mut stream = TcpStream::connect((THERE, 4001)).expect("connected");
        stream.write_all(&copy).expect("written");
    });
    came.recv_timeout(Duration::from_secs(60)).expect("it came") == sent
}

/// Drops datagrams to port 4009, lets all else pass.
const GUARD: &str = ".section xdp\n.globl guard\nguard:\nr2 = *(u32 *)(r1 + 0)\n\
    r3 = *(u32 *)(r1 + 4)\nr4 = r2\nr4 += 38\nif r4 > r3 goto pass\nr5 = *(u16 *)(r2 + 12)\n\
    if r5 != 8 goto pass\nr5 = *(u8 *)(r2 + 23)\nif r5 != 17 goto pass\n\
    r5 = *(u16 *)(r2 + 36)\nif r5 != 0xa90f goto pass\nr0 = 1\nexit\npass:\nr0 = 2\nexit\n";

#[test]
fn frames_cross_only_as_the_program_says() {
    if !inside("frames_cross_only_as_the_program_says") {
        return;
    }
    let hosts = hosts();
    let folder = Folder::new();
    let object = folder.object("guard", GUARD);
    let run = Run::start(&[&object, "--interface", "a", "--to", "b"]);
    assert_eq!(datagrams(&hosts, [4000, 4009], 5), [5, 0]);
    assert!(transfer(&hosts));
    let report = run.interrupt();
    assert_eq!(report["enforced"], true);
    assert_eq!(verdict(&report, "XDP_DROP"), 5);
    assert_eq!(report["live"]["sent"], verdict(&report, "XDP_PASS"));
    for name in ["lost", "not_sent", "redirected_nowhere"] {
        assert_eq!(report["live"][name], 0, "{name}: {report}");
    }
    assert_eq!(datagrams(&hosts, [4000, 4009], 1), [0, 0]);
}

/// Redirects by the interface that a frame came from; what is not in the map is dropped.
const REDIRECTS: &str = ".map ways, type=devmap_hash, key=4, value=4, entries=4\n.section xdp\n\
    .globl way\nway:\nr2 = *(u32 *)(r1 + 12)\nr1 = map[ways] ll\nr3 = 1\ncall bpf_redirect_map\nexit\n";

#[test]
fn frames_are_redirected_between_interfaces_that_the_run_holds() {
    if !inside("frames_are_redirected_between_interfaces_that_the_run_holds") {
        return;
    }
    let hosts = hosts();
    let folder = Folder::new();
    let object = folder.object("redirects", REDIRECTS);
    let index = |name: &str| {
        let path =
            Command::new("ip").args(["-j", "link", "show", "dev", name]).output().expect("ip");
        let told: Json = serde_json::from_slice(&path.stdout).expect("JSON");
        told[0]["ifindex"].as_u64().expect("a number")
    };
    let (a, b) = (index("a"), index("b"));
    let ways = [format!("ways={a}:{b}"), format!("ways={b}:{a}")];
    let args = [&object, "--interface", "a", "--to", "b", "--map", &ways[0], "--map", &ways[1]];
    let run = Run::start(&args);
    assert_eq!(datagrams(&hosts, [4000, 4009], 5), [5, 5]);
    let report = run.interrupt();
    let redirected = verdict(&report, "XDP_REDIRECT");
    assert!(redirected >= 10, "{report}");
    assert_eq!(report["live"]["sent"], redirected);
    assert_eq!(verdict(&report, "XDP_DROP"), 0);

    // One way only: what comes back is dropped, which the map does not name.
    let args = [&object, "--interface", "a", "--to", "b", "--map", &ways[0]];
    let run = Run::start(&args);
    datagrams(&hosts, [4000, 4009], 1);
    let report = run.interrupt();
    assert_eq!(report["live"]["sent"], verdict(&report, "XDP_REDIRECT"));
}

/// An address that floods.
const ATTACKER: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 66);
/// Connections that it begins.
const BURST: u64 = 200;

/// Begins connections from the attacker's address to a port where nobody listens.
fn burst() {
    use rustix::net::{
        AddressFamily, SocketAddrV4, SocketFlags, SocketType, bind, connect, socket_with,
    };
    let sockets: Vec<_> = (0..BURST)
        .map(|_| {
            let (family, kind) = (AddressFamily::INET, SocketType::STREAM);
            let socket = socket_with(family, kind, SocketFlags::NONBLOCK, None).expect("a socket");
            bind(&socket, &SocketAddrV4::new(ATTACKER, 0)).expect("its address");
            // It is not waited for.
            let _ = connect(&socket, &SocketAddrV4::new(THERE, 4009));
            socket
        })
        .collect();
    drop(sockets);
}

/// A transfer while a burst comes from beside it; gives whether it came whole.
fn transfer_in_a_burst(hosts: &[Place; 2]) -> bool {
    hosts[0].run(|| {
        ip("addr add 10.9.0.66/24 dev host");
        // Threads are where the one is that starts them.
        std::thread::spawn(burst);
    });
    let whole = transfer(hosts);
    hosts[0].run(|| ip("addr del 10.9.0.66/24 dev host"));
    whole
}

/// The value of the attacker's element of a map.
fn of_attacker(maps: &Json, map: &str) -> Json {
    let map = maps.as_array().expect("maps").iter().find(|of| of["name"] == map).expect("the map");
    let elements = map["elements"].as_array().expect("elements");
    let is_its = |of: &&Json| of["key"].to_string().contains("10.9.0.66");
    let found = elements.iter().find(is_its).unwrap_or_else(|| panic!("no attacker: {map}"));
    found["value"].clone()
}

#[test]
fn a_flood_is_stopped_while_a_transfer_goes_on() {
    if !inside("a_flood_is_stopped_while_a_transfer_goes_on") {
        return;
    }
    let hosts = hosts();
    let guard = ["examples/syn_guard.bpf.o", "--map", ".rodata=syn_limit:5", "--show", "all"];
    let between = ["--interface", "a", "--to", "b"];
    let run = Run::start(&[&guard[..], &between].concat());
    assert!(transfer_in_a_burst(&hosts));
    let report = run.interrupt();
    let attacker = of_attacker(&report["runs"][0]["maps"], "sources");
    let dropped = attacker["dropped"].as_u64().expect("a number");
    assert!(dropped >= BURST / 4, "{attacker}");
    assert_eq!(verdict(&report, "XDP_DROP"), dropped);
    assert!(report["runs"][0]["ring_buffers"][0]["count"].as_u64() >= Some(1));

    let listed = ["--map", "blocked=10.9.0.66:0", "--map", ".rodata=max_bytes:100000000"];
    let per_ip = ["examples/per_ip.bpf.o", "--show", "all"];
    let run = Run::start(&[&per_ip[..], &listed, &between].concat());
    assert!(transfer_in_a_burst(&hosts));
    let report = run.interrupt();
    let blocked = of_attacker(&report["runs"][0]["maps"], "blocked");
    assert!(blocked.as_u64() >= Some(BURST / 4), "{blocked}");
    assert_eq!(Some(verdict(&report, "XDP_DROP")), blocked.as_u64());
}
