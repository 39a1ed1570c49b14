//! Hooks of a cgroup that the test makes, and in which a child of the test does what is
//! counted: this very file, run again.

use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;

use skep_load::attach::{Cgroup, Hook, Order};
use skep_sys::Linked;

use crate::bed::Bed;

/// What the child is told to do.
const TASK: &str = "SKEP_ATTACH_TASK";
/// The cgroup that it goes into first.
const FOLDER: &str = "SKEP_ATTACH_CGROUP";

/// A cgroup of the test's own, removed at the end.
pub struct OwnCgroup(pub PathBuf);

impl OwnCgroup {
    pub fn new(name: &str) -> Option<OwnCgroup> {
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let root = mounts.lines().find_map(|line| {
            let mut parts = line.split(' ').skip(1);
            let (path, kind) = (parts.next()?, parts.next()?);
            (kind == "cgroup2").then_some(path)
        });
        let Some(root) = root else {
            println!("skipped: no cgroup2 is mounted");
            return None;
        };
        let path = Path::new(root).join(format!("skep-test-{}-{name}", std::process::id()));
        match std::fs::create_dir(&path) {
            Ok(()) => Some(OwnCgroup(path)),
            Err(error) => {
                println!("skipped: no cgroup can be made: {error}");
                None
            }
        }
    }

    /// Has a child do something in it.
    pub fn run(&self, task: &str) {
        let mut child = Command::new(std::env::current_exe().expect("a path"));
        child.args(["--exact", "cgroup::what_the_child_does", "--nocapture", "--test-threads=1"]);
        child.env(TASK, task).env(FOLDER, &self.0);
        let output = child.output().expect("it runs");
        assert!(output.status.success(), "{task}: {output:?}");
    }
}

impl Drop for OwnCgroup {
    fn drop(&mut self) {
        // A child that is just gone may be counted in it for a moment.
        for _ in 0..100 {
            if std::fs::remove_dir(&self.0).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        println!("left behind: {}", self.0.display());
    }
}

/// Run by the tests in a process of its own; without a task it does nothing.
#[test]
fn what_the_child_does() {
    let (Ok(task), Some(folder)) = (std::env::var(TASK), std::env::var_os(FOLDER)) else { return };
    let procs = Path::new(&folder).join("cgroup.procs");
    std::fs::write(procs, std::process::id().to_string()).expect("into the cgroup");
    let udp = || UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
    match task.as_str() {
        "udp sockets" => drop((udp(), udp(), udp())),
        "udp packets" => {
            let (from, to) = (udp(), udp());
            for _ in 0..10 {
                from.send_to(b"x", to.local_addr().unwrap()).unwrap();
                to.recv_from(&mut [0; 1]).unwrap();
            }
        }
        "tcp connections" => {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            for _ in 0..3 {
                let one = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
                one.local_addr().unwrap();
                one.peer_addr().unwrap();
                drop(listener.accept().unwrap());
            }
        }
        "unix connection" => {
            let path = Path::new("/tmp").join(format!("skep-attach-{}", std::process::id()));
            let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
            let connected = std::os::unix::net::UnixStream::connect(&path);
            std::fs::remove_file(&path).unwrap();
            drop((listener, connected.unwrap()));
        }
        "options" => {
            let socket = udp();
            socket.set_broadcast(true).unwrap();
            socket.set_broadcast(false).unwrap();
            socket.broadcast().unwrap();
        }
        "sysctl" => {
            use std::io::Read;
            let mut file = std::fs::File::open("/proc/sys/net/ipv4/ip_forward").unwrap();
            assert!(file.read(&mut [0; 8]).unwrap() > 0);
        }
        "device" => drop(std::fs::File::open("/dev/zero").unwrap()),
        other => panic!("{other}"),
    }
}

#[test]
fn each_hook_of_a_cgroup_counts_what_its_processes_do() {
    let Some(cgroup) = OwnCgroup::new("hooks") else { return };
    // What a test harness does besides is the same for each: sockets are the task's alone.
    let cases = [
        ("cgroup_sock_create", "udp sockets", 3),
        ("cgroup_sock_release", "udp sockets", 3),
        ("cgroup_bind4", "udp sockets", 3),
        ("cgroup_post_bind4", "udp sockets", 3),
        ("cgroup_ingress", "udp packets", 10),
        ("cgroup_egress", "udp packets", 10),
        ("cgroup_sendmsg4", "udp packets", 10),
        ("cgroup_recvmsg4", "udp packets", 10),
        ("cgroup_connect4", "tcp connections", 3),
        // `accept` asks, too.
        ("cgroup_getpeername4", "tcp connections", 6),
        ("cgroup_connect_unix", "unix connection", 1),
        ("cgroup_setsockopt", "options", 2),
        ("cgroup_getsockopt", "options", 1),
        ("cgroup_sysctl", "sysctl", 1),
    ];
    for (name, task, times) in cases {
        let Some(bed) = Bed::new(name) else { continue };
        let place = Cgroup::open(&cgroup.0).unwrap();
        let Some(link) = bed.try_attach(&place) else { continue };
        assert!(matches!(link.info().unwrap().at, Linked::Cgroup { .. }));
        cgroup.run(task);
        assert_eq!(bed.hits(), times, "{name}: {task}");
        drop(link);
        cgroup.run(task);
        assert_eq!(bed.hits(), times, "{name}: {task}, detached");
    }
    // Here the harness has a part in it, or the kernel says more than once.
    for (name, task, at_least) in [
        ("cgroup_dev", "device", 1),
        ("cgroup_getsockname4", "tcp connections", 3),
        ("sock_ops", "tcp connections", 3),
    ] {
        let Some(bed) = Bed::new(name) else { continue };
        let Some(_link) = bed.try_attach(Cgroup::open(&cgroup.0).unwrap()) else { continue };
        cgroup.run(task);
        assert!(bed.hits() >= at_least, "{name}: {}", bed.hits());
    }
}

#[test]
fn programs_of_a_cgroup_stand_in_an_order() {
    let Some(cgroup) = OwnCgroup::new("order") else { return };
    let Some(one) = Bed::new("cgroup_bind4") else { return };
    let Some(first) = one.try_attach(Cgroup::open(&cgroup.0).unwrap()) else { return };
    let kernel = first.fd().unwrap().kernel().clone();
    let other = Bed::with(&kernel, "cgroup_bind4", |_| {}).expect("as the other one");
    let place = Cgroup::open(&cgroup.0).unwrap();
    let program = other.skep.program("cgroup_bind4").unwrap();
    let link = program.attach(place.order(Order::BeforeLink(&first)));
    match link {
        Ok(_link) => {
            cgroup.run("udp sockets");
            assert_eq!((one.hits(), other.hits()), (3, 3));
        }
        Err(error) => println!("skipped: {error}"),
    }
    let missing = Cgroup::open("/sys/fs/cgroup/no/such").unwrap_err().to_string();
    assert!(missing.contains("/sys/fs/cgroup/no/such"), "{missing}");
    assert!(Cgroup::open("/proc/self/mounts").is_err());
    let place = Cgroup::open(&cgroup.0).unwrap();
    assert!(place.place().contains("skep-test"));
}
