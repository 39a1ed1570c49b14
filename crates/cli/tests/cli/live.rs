//! Programs at their places in Linux, in network namespaces and cgroups of the tests' own, and
//! the verbs that show them, beside bpftool's.

use std::net::{Ipv4Addr, UdpSocket};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, unmount,
};
use rustix::thread::{UnshareFlags, unshare_unsafe};
use serde_json::Value as Json;

use crate::harness::{Folder, linux_is_permitted, skep, workspace};
use crate::signals::{signal, until};

/// The programs of `skep-load`'s own tests: one for each kind of hook.
const ALL_KINDS: &str = "crates/load/tests/objects/attach.bpf.o";

/// Moves the test's thread, and the children that it will have, into a network namespace of
/// its own, with `lo` up.
fn namespace() -> bool {
    if !linux_is_permitted() {
        return false;
    }
    // SAFETY: the thread's network namespace is nothing that memory depends on.
    let own = unsafe { unshare_unsafe(UnshareFlags::NEWNET) };
    let up = Command::new("ip").args(["link", "set", "lo", "up"]).status();
    let done = own.is_ok() && up.is_ok_and(|status| status.success());
    if !done {
        println!("skipped: no network namespace of one's own");
    }
    done
}

/// A run that is ended by its test.
fn start(args: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_skep"))
        .args(args)
        .current_dir(workspace())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("skep starts")
}

/// The links that a process holds, as `skep link` tells them.
fn links_of(pid: u32) -> Vec<Json> {
    let all = skep(&["link", "show", "-j"]).json();
    let holds = |link: &&Json| {
        link["pids"].as_array().is_some_and(|pids| pids.iter().any(|of| of["pid"] == pid))
    };
    all.as_array().expect("a list").iter().filter(holds).cloned().collect()
}

fn link_is_there(id: &Json) -> bool {
    let all = skep(&["link", "show", "-j"]).json();
    all.as_array().expect("a list").iter().any(|link| &link["id"] == id)
}

/// So many packets over `lo`, one way.
fn send(times: u32) {
    let (from, to) = (socket(), socket());
    for _ in 0..times {
        from.send_to(b"x", to.local_addr().expect("bound")).expect("sent");
    }
}

fn socket() -> UdpSocket {
    UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket")
}

fn variable(report: &Json, section: &str, name: &str) -> Json {
    let maps = report["maps"].as_array().expect("maps");
    let map = maps.iter().find(|map| map["section"] == section).expect("the section");
    map["elements"][0]["value"][name].clone()
}

#[test]
fn a_program_on_an_interface_counts_each_packet_and_is_gone_at_ctrl_c() {
    if !namespace() {
        return;
    }
    let run = ["run", "examples/hello.bpf.o", "--interface", "lo", "--kernel", "linux", "--json"];
    let child = start(&run);
    until("its link", || !links_of(child.id()).is_empty());
    let links = links_of(child.id());
    assert_eq!((&links[0]["type"], &links[0]["devname"]), (&"xdp".into(), &"lo".into()));
    send(10);
    signal(&child, "INT");
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.signal(), Some(2), "{output:?}");
    let report: Json = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(report["enforced"], true);
    assert_eq!(report["stopped"], "SIGINT");
    assert_eq!(report["attached"][0]["link"], links[0]["id"]);
    assert_eq!(variable(&report, ".bss", "packets"), 10);
    assert!(!link_is_there(&links[0]["id"]));
    send(1);

    let mut again = run.to_vec();
    again.extend(["--for", "0.1", "--xdp-mode", "generic"]);
    let report = skep(&again).json();
    assert_eq!(report["attached"][0]["place"], "generic xdp of lo");
    assert_eq!(report["stopped"], Json::Null);
}

#[test]
fn a_run_that_is_killed_leaves_nothing_behind() {
    if !namespace() {
        return;
    }
    let Some(cgroup) = Cgroup::new("killed") else { return };
    let on_lo = ["run", "examples/hello.bpf.o", "--interface", "lo", "--kernel", "linux"];
    let folder = cgroup.0.to_str().unwrap();
    let by_sections = ["run", ALL_KINDS, "--attach", "--cgroup", folder, "--kernel", "linux"];
    for args in [&on_lo[..], &by_sections[..]] {
        let mut child = start(args);
        until("its links", || !links_of(child.id()).is_empty());
        // All of them are made before it says so.
        let mut line = String::new();
        let mut out = std::io::BufReader::new(child.stdout.take().unwrap());
        while !line.starts_with("running") {
            line.clear();
            assert!(std::io::BufRead::read_line(&mut out, &mut line).unwrap() > 0);
        }
        let links = links_of(child.id());
        let programs: Vec<String> = links.iter().map(|link| link["prog_id"].to_string()).collect();
        child.kill().unwrap();
        child.wait().unwrap();
        let gone = || {
            let all = skep(&["prog", "show", "-j"]).json();
            let ids: Vec<String> =
                all.as_array().unwrap().iter().map(|of| of["id"].to_string()).collect();
            !links.iter().any(|link| link_is_there(&link["id"]))
                && !programs.iter().any(|id| ids.contains(id))
        };
        until("the end of its links and programs", gone);
    }
}

#[test]
fn what_cannot_be_attached_is_said_in_a_line() {
    if !namespace() {
        return;
    }
    let on = |interface: &'static str| {
        skep(&["run", "examples/hello.bpf.o", "--interface", interface, "--kernel", "linux"])
    };
    let (error, _) = on("nowhere").failed(2);
    assert_eq!(error, "there is no interface \"nowhere\", but lo");
    let (error, hint) =
        skep(&["run", "examples/hello.bpf.o", "--attach", "--kernel", "linux"]).failed(2);
    assert!(error.contains("attached anywhere"), "{error}");
    assert_eq!(hint, "hello: it needs an interface");
    let missing = ["run", ALL_KINDS, "--attach", "--kernel", "linux", "--cgroup", "/nowhere"];
    let (error, _) = skep(&missing).failed(2);
    assert!(error.contains("the cgroup /nowhere"), "{error}");
    let first = start(&["run", "examples/hello.bpf.o", "--interface", "lo", "--kernel", "linux"]);
    until("its link", || !links_of(first.id()).is_empty());
    let (error, hint) = on("lo").failed(1);
    assert!(error.contains("EBUSY") && hint.contains("another program"), "{error} {hint}");
    signal(&first, "TERM");
    assert_eq!(first.wait_with_output().unwrap().status.signal(), Some(15));
}

/// A cgroup of the test's own.
struct Cgroup(PathBuf);

impl Cgroup {
    fn new(name: &str) -> Option<Cgroup> {
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let root = mounts.lines().find_map(|line| {
            let mut parts = line.split(' ').skip(1);
            let (path, kind) = (parts.next()?, parts.next()?);
            (kind == "cgroup2").then_some(path)
        });
        let path = Path::new(root.unwrap_or("/nowhere"))
            .join(format!("skep-cli-{}-{name}", std::process::id()));
        match std::fs::create_dir(&path) {
            Ok(()) => Some(Cgroup(path)),
            Err(error) => {
                println!("skipped: no cgroup can be made: {error}");
                None
            }
        }
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(&self.0);
    }
}

/// What bpftool says.
fn bpftool(args: &[&str]) -> Option<Json> {
    let ran = Command::new("bpftool").arg("-j").args(args).output().ok()?;
    assert!(ran.status.success(), "{args:?}: {ran:?}");
    Some(serde_json::from_slice(&ran.stdout).expect("JSON"))
}

/// All that bpftool says, we say as well.
fn says_as_much(theirs: &Json, ours: &Json, what: &str) {
    match (theirs, ours) {
        (Json::Object(theirs), Json::Object(ours)) => {
            for (name, value) in theirs {
                let own = ours.get(name).unwrap_or_else(|| panic!("{what}: no {name}: {ours:?}"));
                says_as_much(value, own, &format!("{what}.{name}"));
            }
        }
        (Json::Array(theirs), Json::Array(ours)) => {
            assert_eq!(theirs.len(), ours.len(), "{what}");
            // Who uses some BTF, bpftool lists as its table of hashes has them.
            let order = |of: &[Json]| {
                let mut of = of.to_vec();
                if what.ends_with("_ids") {
                    of.sort_by_key(Json::as_u64);
                }
                of
            };
            let (theirs, ours) = (order(theirs), order(ours));
            for (index, (theirs, ours)) in theirs.iter().zip(&ours).enumerate() {
                says_as_much(theirs, ours, &format!("{what}[{index}]"));
            }
        }
        // Debian's bpftool is older than the kernel: it has numbers for what is new.
        (Json::Number(number), Json::String(name)) => {
            let number = number.as_u64().and_then(|number| u32::try_from(number).ok());
            let number = number.unwrap_or_else(|| panic!("{what}: {theirs} {ours}"));
            let attach = skep::abi::AttachType::from_number(number).map(|of| of.name());
            let link = skep::abi::LinkType::from_number(number).map(|of| of.name());
            assert!([attach, link].contains(&Some(name.as_str())), "{what}: {theirs} {ours}");
        }
        _ => assert_eq!(theirs, ours, "{what}"),
    }
}

#[test]
fn verbs_say_what_bpftool_says() {
    if !namespace() {
        return;
    }
    if Command::new("bpftool").arg("version").output().is_err() {
        println!("skipped: bpftool is not installed");
        return;
    }
    let Some(cgroup) = Cgroup::new("verbs") else { return };
    let folder = cgroup.0.to_str().unwrap();
    let runs = [
        start(&["run", "examples/per_ip.bpf.o", "--interface", "lo", "--kernel", "linux"]),
        start(&["run", ALL_KINDS, "--attach", "--cgroup", folder, "--kernel", "linux"]),
    ];
    for run in &runs {
        until("its links", || !links_of(run.id()).is_empty());
    }
    send(5);
    let mut compared = 0;
    // Each asked for by its id: other tests have theirs.
    let mut compare = |words: &[&str]| {
        let theirs = bpftool(words).expect("it is installed");
        let mut own = words.to_vec();
        own.push("-j");
        says_as_much(&theirs, &skep(&own).json(), &words.join(" "));
        compared += 1;
        theirs
    };
    for run in &runs {
        for link in links_of(run.id()) {
            compare(&["link", "show", "id", &link["id"].to_string()]);
            let program = link["prog_id"].to_string();
            let program = compare(&["prog", "show", "id", &program]);
            let btf = program["btf_id"].to_string();
            compare(&["btf", "show", "id", &btf]);
            compare(&["btf", "dump", "id", &btf]);
            compare(&["btf", "dump", "prog", "id", &program["id"].to_string()]);
            for map in program["map_ids"].as_array().into_iter().flatten() {
                let id = map.to_string();
                let map = compare(&["map", "show", "id", &id]);
                if map["type"] != "ringbuf" && map["type"] != "sockmap" {
                    compare(&["map", "dump", "id", &id]);
                }
            }
            let dump = |own: &str| ["prog", "dump", "xlated", "id", own].map(String::from);
            let words = dump(&program["id"].to_string());
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let theirs = bpftool(&words).expect("it is installed");
            let mut own = words.clone();
            own.push("-j");
            let text = |lines: &Json| {
                let lines = lines.as_array().expect("lines").iter();
                lines.map(|line| line["disasm"].clone()).collect::<Vec<Json>>()
            };
            assert_eq!(text(&theirs), text(&skep(&own).json()), "{words:?}");
        }
    }
    assert!(compared > 50, "{compared}");
    println!("compared with bpftool: {compared}");
    for run in runs {
        signal(&run, "TERM");
        assert!(run.wait_with_output().is_ok());
    }
}

#[test]
fn probing_finds_what_bpftool_finds() {
    if !linux_is_permitted() {
        return;
    }
    if Command::new("bpftool").arg("version").output().is_err() {
        println!("skipped: bpftool is not installed");
        return;
    }
    let theirs = bpftool(&["feature", "probe"]).expect("it is installed");
    let ours = skep(&["feature", "probe", "-j"]).json();
    for section in ["system_config", "syscall_config", "map_types", "misc"] {
        says_as_much(&theirs[section], &ours[section], section);
    }
    // Debian's bpftool has no place for these to be attached to, and says that they are missing.
    let unplaced = ["tracing", "ext", "lsm"].map(|name| format!("have_{name}_prog_type"));
    for (name, has) in theirs["program_types"].as_object().unwrap() {
        if !unplaced.contains(name) {
            assert_eq!(has, &ours["program_types"][name], "{name}");
        }
    }
    // It takes each helper for callable by any program, since it does not know what a kernel of
    // today says.
    let callable = |of: &str| ours["helpers"][format!("{of}_available_helpers")].clone();
    let has = |of: &str, helper: &str| callable(of).as_array().unwrap().contains(&helper.into());
    assert!(has("xdp", "bpf_xdp_adjust_head") && !has("kprobe", "bpf_xdp_adjust_head"));
    assert!(has("kprobe", "bpf_get_stackid") && !has("xdp", "bpf_get_stackid"));
    assert!(!has("xdp", "bpf_trace_printk"), "it writes a warning");

    // The embedded kernel lets programs call what Linux lets them call, where Linux has been built
    // with it.
    let embedded = skep(&["feature", "probe", "embedded", "-j"]).json();
    let mut kinds = 0;
    for (kind, theirs) in ours["helpers"].as_object().unwrap() {
        let (theirs, own) = (theirs.as_array().unwrap(), &embedded["helpers"][kind]);
        let mut own = own.as_array().unwrap().clone();
        own.retain(|helper| theirs.contains(helper) || helper != "bpf_override_return");
        if !theirs.is_empty() {
            assert_eq!(theirs, &own, "{kind}");
            kinds += 1;
        }
    }
    assert!(kinds > 20, "{kinds}");
}

/// A bpffs that the test's thread and its children see alone.
struct Bpffs(Folder);

impl Bpffs {
    fn new() -> Option<Bpffs> {
        let folder = Folder::new();
        // SAFETY: the thread's mounts and its own view of the working folder are nothing that
        // memory depends on.
        let own = unsafe { unshare_unsafe(UnshareFlags::NEWNS) };
        let mounted = own.and_then(|()| {
            let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
            mount_change("/", private)?;
            mount("bpf", folder.path(""), "bpf", MountFlags::empty(), None)
        });
        match mounted {
            Ok(()) => Some(Bpffs(folder)),
            Err(errno) => {
                println!("skipped: no bpffs can be mounted: {errno}");
                None
            }
        }
    }
}

impl Drop for Bpffs {
    fn drop(&mut self) {
        let _ = unmount(self.0.path(""), UnmountFlags::DETACH);
    }
}

#[test]
fn maps_are_made_changed_and_read_by_words() {
    if !linux_is_permitted() {
        return;
    }
    let Some(bpffs) = Bpffs::new() else { return };
    let path = bpffs.0.path("table");
    let map = |words: &str| {
        let words = words.replace("MAP", &format!("pinned {path}"));
        let words: Vec<&str> = ["map"].into_iter().chain(words.split(' ')).collect();
        skep(&words)
    };
    let create = format!("create {path} type hash key 4 value 8 entries 16 name words");
    assert_eq!(map(&create).done(), "");
    map("update MAP key 1 0 0 0 value hex 2a 00 00 00 00 00 00 00").done();
    map("update MAP key hex 02 00 00 00 value 7 0 0 0 0 0 0 0 noexist").done();
    let (error, _) = map("update MAP key 1 0 0 0 value 7 0 0 0 0 0 0 0 noexist").failed(1);
    assert!(error.contains("EEXIST"), "{error}");
    let found = map("lookup MAP key 1 0 0 0").done();
    assert_eq!(found, "key: 01 00 00 00  value: 2a 00 00 00 00 00 00 00\n");
    let (error, _) = map("lookup MAP key 1 0 0").failed(2);
    assert_eq!(error, "the key has 4 bytes, not 3");
    assert!(map("dump MAP").done().ends_with("Found 2 elements\n"));
    if let Some(theirs) = bpftool(&["map", "dump", "pinned", &path]) {
        assert_eq!(theirs, map("dump MAP -j").json());
    }
    assert_eq!(map("delete MAP key 2 0 0 0 -j").done(), "null\n");
    let missing = map("lookup MAP key 2 0 0 0");
    assert_eq!((missing.status, missing.out.as_str()), (1, "key:\n02 00 00 00\n\nNot found\n"));
    map("freeze MAP").done();
    let (error, _) = map("update MAP key 1 0 0 0 value 7 0 0 0 0 0 0 0").failed(1);
    assert!(error.contains("EPERM"), "{error}");
    let pinned = map("show MAP -f -j").json();
    assert_eq!((&pinned["pinned"][0], &pinned["frozen"]), (&path.as_str().into(), &1.into()));
    let (error, hint) = map("flush MAP").failed(2);
    assert!(error.contains("no verb \"flush\"") && hint.contains("getnext"), "{error} {hint}");

    let queue = bpffs.0.path("queue");
    let queue = |words: &str| {
        let words = words.replace("MAP", &format!("pinned {queue}")).replace("FILE", &queue);
        let words: Vec<&str> = ["map"].into_iter().chain(words.split(' ')).collect();
        skep(&words)
    };
    queue("create FILE type queue key 0 value 4 entries 4 name words").done();
    queue("push MAP value 1 0 0 0").done();
    queue("enqueue MAP value 2 0 0 0").done();
    assert_eq!(queue("peek MAP").done(), "value: 01 00 00 00\n");
    assert_eq!(queue("pop MAP").done(), "value: 01 00 00 00\n");
    assert_eq!(queue("dequeue MAP").done(), "value: 02 00 00 00\n");
    assert_eq!(queue("pop MAP").out, "Error: empty map\n");
}

#[test]
fn programs_are_loaded_pinned_and_attached_by_words() {
    if !linux_is_permitted() {
        return;
    }
    let Some(bpffs) = Bpffs::new() else { return };
    let path = bpffs.0.path("hello");
    skep(&["prog", "load", "examples/hello.bpf.o", &path]).done();
    let shown = skep(&["prog", "show", "pinned", &path, "-f", "-j"]).json();
    assert_eq!((&shown["name"], &shown["pinned"][0]), (&"hello".into(), &path.as_str().into()));
    let (error, _) = skep(&["prog", "load", "examples/hello.bpf.o", &path]).failed(1);
    assert!(error.contains("EEXIST"), "{error}");
    let bytes = bpffs.0.path("hello");
    let file = Folder::new();
    let out = file.path("xlated");
    skep(&["prog", "dump", "xlated", "pinned", &bytes, "file", &out]).done();
    assert_eq!(std::fs::read(&out).unwrap().len() as u64, shown["bytes_xlated"].as_u64().unwrap());
    if cfg!(target_arch = "x86_64") {
        let text = skep(&["prog", "dump", "jited", "pinned", &path]).done();
        assert!(text.starts_with("hello:\n") && text.contains("mov"), "{text}");
    }
    std::fs::remove_file(&path).unwrap();

    let folder = bpffs.0.path("all");
    let maps = bpffs.0.path("maps");
    let load = ["prog", "loadall", "examples/per_ip.bpf.o", &folder, "pinmaps", &maps];
    skep(&load).done();
    assert!(Path::new(&folder).join("per_ip").exists());
    assert!(Path::new(&maps).join("traffic").exists());
    let (error, _) = skep(&load).failed(1);
    assert!(error.contains("EEXIST"), "{error}");
    // What was there before is there still.
    assert!(Path::new(&maps).join("traffic").exists());
}

#[test]
fn programs_of_interfaces_and_cgroups_are_shown_and_moved_by_words() {
    if !namespace() {
        return;
    }
    let (Some(bpffs), Some(cgroup)) = (Bpffs::new(), Cgroup::new("moved")) else { return };
    let (hello, other) = (bpffs.0.path("hello"), bpffs.0.path("other"));
    for path in [&hello, &other] {
        skep(&["prog", "load", "examples/hello.bpf.o", path]).done();
    }
    let id = skep(&["prog", "show", "pinned", &hello, "-j"]).json()["id"].clone();
    let net = |words: &str| {
        let words = words.replace("HELLO", &hello).replace("OTHER", &other);
        let words: Vec<&str> = ["net"].into_iter().chain(words.split(' ')).collect();
        skep(&words)
    };
    net("attach xdpgeneric pinned HELLO dev lo").done();
    let (error, _) = net("attach xdpgeneric pinned OTHER dev lo").failed(1);
    assert!(error.contains("EBUSY"), "{error}");
    let shown = net("show -j").json();
    let xdp = &shown[0]["xdp"][0];
    assert_eq!((&xdp["devname"], &xdp["mode"]), (&"lo".into(), &"generic".into()));
    assert_eq!(xdp["id"], id);
    if let Some(theirs) = bpftool(&["net", "show"]) {
        says_as_much(&theirs, &shown, "net show");
    }
    net("attach xdpgeneric pinned OTHER dev lo overwrite").done();
    assert_ne!(net("show dev lo -j").json()[0]["xdp"][0]["id"], id);
    net("detach xdpgeneric dev lo").done();
    assert_eq!(net("show -j").json()[0]["xdp"].as_array().map(Vec::len), Some(0));

    let program = bpffs.0.path("bind");
    let folder = Folder::new();
    let source = ".section cgroup/bind4\n.globl bind\nbind:\nr0 = 1\nexit\n";
    let object = folder.object("bind", source);
    skep(&["prog", "load", &object, &program]).done();
    let path = cgroup.0.to_str().unwrap();
    let words = |verb: &'static str| {
        ["cgroup", verb, path, "cgroup_inet4_bind", "pinned", &program].map(String::from)
    };
    let run = |words: &[String]| skep(&words.iter().map(String::as_str).collect::<Vec<&str>>());
    let mut attach = words("attach").to_vec();
    attach.push("multi".into());
    run(&attach).done();
    for list in [["cgroup", "show", path], ["cgroup", "tree", path]] {
        let ours = skep(&[&list[..], &["-j"]].concat()).json();
        assert!(ours.to_string().contains("\"attach_flags\":\"multi\""), "{ours}");
        if let Some(theirs) = bpftool(&list) {
            says_as_much(&theirs, &ours, list[1]);
        }
    }
    run(&words("detach")).done();
    assert_eq!(skep(&["cgroup", "show", path, "-j"]).done(), "[]\n");
    let (error, hint) = skep(&["cgroup", "attach", path, "xdp", "id", "1"]).failed(2);
    assert!(error.contains("no hook \"xdp\"") && hint.contains("cgroup_device"), "{error} {hint}");
}

#[test]
fn a_filter_that_is_to_stay_stays_until_a_verb_removes_it() {
    if !namespace() {
        return;
    }
    let keep = ["--interface", "lo", "--kernel", "linux", "--persistent"];
    let run = |object: &str, program: &str| {
        skep(&[&["run", object, "--program", program], &keep[..]].concat())
    };
    let (error, hint) = run("examples/hello.bpf.o", "hello").failed(2);
    assert!(error.contains("goes with its link") && hint.contains("pin it"), "{error} {hint}");
    let out = run("tests/programs/tc_bytes.bpf.o", "direct").done();
    assert!(out.contains("stays at clsact/ingress of lo"), "{out}");
    let shown = skep(&["net", "show", "-j"]).json();
    assert_eq!(shown[0]["tc"][0]["kind"], "clsact/ingress");
    skep(&["net", "detach", "clsact_ingress", "dev", "lo"]).done();
    assert_eq!(skep(&["net", "show", "-j"]).json()[0]["tc"].as_array().map(Vec::len), Some(0));
    let (error, _) = skep(&["net", "detach", "clsact_ingress", "dev", "lo"]).failed(1);
    assert_eq!(error, "there is no such filter");
}

#[test]
fn iterators_structures_and_runs_have_verbs() {
    if !linux_is_permitted() {
        return;
    }
    let Some(bpffs) = Bpffs::new() else { return };
    let tasks = bpffs.0.path("tasks");
    skep(&["iter", "pin", ALL_KINDS, &tasks]).done();
    let ran = Command::new(env!("CARGO_BIN_EXE_skep"))
        .args(["iter", "show", "pinned", &tasks])
        .output()
        .unwrap();
    assert!(ran.status.success() && ran.stdout.len() > 8, "{ran:?}");
    assert_eq!(ran.stdout.len() % 8, 0, "a number for each task");

    let folder = bpffs.0.path("ops");
    std::fs::create_dir(&folder).unwrap();
    let object = "crates/load/tests/objects/struct_ops.bpf.o";
    let (_, hint) = skep(&["struct_ops", "register", object]).failed(2);
    assert!(hint.contains("folder of a bpffs"), "{hint}");
    let registered = skep(&["struct_ops", "register", object, &folder]);
    if registered.status == 1 && registered.err.contains("EEXIST") {
        println!("skipped: another test has registered it");
    } else {
        assert_eq!(registered.done(), "Registered lazy\n");
        let shown = skep(&["struct_ops", "show", "-j"]).json();
        let all = shown.as_array().unwrap();
        let ours = all.iter().find(|of| of["name"] == "lazy").expect("it is shown");
        assert_eq!(ours["kernel_struct_ops"], "tcp_congestion_ops");
        if let Some(theirs) = bpftool(&["struct_ops", "show"]) {
            says_as_much(&theirs, &shown, "struct_ops show");
        }
        std::fs::remove_file(Path::new(&folder).join("lazy")).unwrap();
    }

    let hello = bpffs.0.path("hello");
    skep(&["prog", "load", "examples/hello.bpf.o", &hello]).done();
    let files = Folder::new();
    let packet = files.file("packet", [0; 64]);
    let out = files.path("out");
    let run = ["prog", "run", "pinned", &hello, "data_in", &packet, "data_out", &out, "-j"];
    assert_eq!(skep(&run).json()["retval"], 2);
    assert_eq!(std::fs::read(&out).unwrap(), [0; 64]);

    let run =
        start(&["run", ALL_KINDS, "--attach", "--program", "raw_tracepoint", "--kernel", "linux"]);
    until("its link", || !links_of(run.id()).is_empty());
    let shown = skep(&["perf", "show", "-j"]).json();
    let ours = shown.as_array().unwrap().iter().find(|of| of["pid"] == run.id());
    let ours = ours.unwrap_or_else(|| panic!("{shown}"));
    assert_eq!(
        (&ours["fd_type"], &ours["tracepoint"]),
        (&"raw_tracepoint".into(), &"sys_enter".into())
    );
    if let Some(theirs) = bpftool(&["perf", "show"]) {
        let theirs = theirs.as_array().unwrap().iter().find(|of| of["pid"] == run.id()).cloned();
        says_as_much(&theirs.expect("bpftool sees it"), ours, "perf show");
    }
    signal(&run, "TERM");
    assert!(run.wait_with_output().is_ok());
}
