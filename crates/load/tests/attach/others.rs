//! Iterators, structures of operations, pins, and what sections say.

use std::io::Read;

use skep_abi::Errno;
use skep_load::attach::auto::{self, Found, Places};
use skep_load::attach::{Iter, Link, Tracepoint};
use skep_load::{Error, Object};
use skep_sys::Linked;

use crate::bed::{Bed, link_exists, linux};

#[test]
fn an_iterator_is_read_as_a_file_as_often_as_one_likes() {
    let Some(bed) = Bed::new("iter_task") else { return };
    let Some(link) = bed.try_attach(Iter::new()) else { return };
    let mut before = 0;
    for _ in 0..2 {
        let mut bytes = Vec::new();
        link.iterate().unwrap().read_to_end(&mut bytes).unwrap();
        let tasks = bed.hits() - before;
        before = bed.hits();
        assert!(tasks > 1);
        assert_eq!(bytes.len() as u64, 8 * tasks, "a number for each task");
    }
    let thread = rustix::thread::gettid().as_raw_nonzero().get() as u32;
    let one = bed.attach(Iter::over_thread(thread)).unwrap();
    let mut bytes = Vec::new();
    one.iterate().unwrap().read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes.len(), 8);
    let Linked::Iter { target, tid, .. } = one.info().unwrap().at else { panic!("{one:?}") };
    assert_eq!((target.as_str(), tid), ("task", thread));
}

#[test]
fn a_structure_of_operations_is_there_until_its_link_is_dropped() {
    let path = format!("{}/tests/objects/struct_ops.bpf.o", env!("CARGO_MANIFEST_DIR"));
    let skep = match Object::open(path).unwrap().load(&linux()) {
        Ok(skep) => skep,
        Err(Error::Load(error)) if error.errno() == Some(Errno::EPERM) => {
            println!("skipped: {error}");
            return;
        }
        Err(error) => panic!("{error}"),
    };
    let controls = || {
        let path = "/proc/sys/net/ipv4/tcp_available_congestion_control";
        std::fs::read_to_string(path).unwrap_or_default()
    };
    let link = match skep.register("lazy") {
        Ok(link) => link,
        Err(error) => {
            println!("skipped: {error}");
            return;
        }
    };
    assert!(controls().contains("bpf_lazy"), "{}", controls());
    assert!(matches!(link.info().unwrap().at, Linked::StructOps { .. }));
    assert_eq!(link.place(), "structure of operations \"lazy\"");
    drop(link);
    // It is taken out once nobody looks at it any more.
    for _ in 0..500 {
        if !controls().contains("bpf_lazy") {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    assert!(!controls().contains("bpf_lazy"), "{}", controls());
    assert!(skep.register("nobody").is_err());
}

/// A bpffs in a mount namespace of the thread's own.
struct OwnBpffs(std::path::PathBuf);

impl OwnBpffs {
    fn new() -> Option<OwnBpffs> {
        use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
        use rustix::thread::{UnshareFlags, unshare_unsafe};
        let path = std::env::temp_dir().join(format!("skep-bpffs-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a folder");
        // SAFETY: the thread's mounts and its own view of the working folder are nothing that
        // memory depends on.
        let mounted = unsafe { unshare_unsafe(UnshareFlags::NEWNS) }.and_then(|()| {
            let own = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
            mount_change("/", own)?;
            mount("bpf", &path, "bpf", MountFlags::empty(), None)
        });
        match mounted {
            Ok(()) => Some(OwnBpffs(path)),
            Err(errno) => {
                println!("skipped: no bpffs can be mounted: {errno}");
                None
            }
        }
    }
}

impl Drop for OwnBpffs {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(&self.0, rustix::mount::UnmountFlags::DETACH);
        let _ = std::fs::remove_dir(&self.0);
    }
}

#[test]
fn a_pinned_link_stays_until_its_file_is_removed() {
    let Some(bed) = Bed::new("tracepoint") else { return };
    let Some(link) = bed.try_attach(Tracepoint::new("syscalls", "sys_enter_getpgid")) else {
        return;
    };
    let id = link.info().unwrap().id;
    let Some(bpffs) = OwnBpffs::new() else { return };
    let path = bpffs.0.join("pinned");
    link.pin(&path).unwrap();
    drop(link);
    assert!(link_exists(id));
    rustix::process::getpgid(None).unwrap();
    assert_eq!(bed.hits(), 1);
    let again = Link::open_pinned(&linux(), &path).unwrap();
    assert_eq!(again.info().unwrap().id, id);
    assert_eq!(Link::by_id(&linux(), id).unwrap().info().unwrap().id, id);
    std::fs::remove_file(&path).unwrap();
    assert!(link_exists(id));
    drop(again);
    assert!(!link_exists(id));
    assert_eq!(Link::by_id(&linux(), id).unwrap_err().errno(), Some(Errno::ENOENT));
    assert!(Link::open_pinned(&linux(), &path).is_err());
}

#[test]
fn sections_say_where_programs_belong() {
    let places = Places::default();
    let place = |name: &'static str, places: &Places| {
        let bed = Bed::new(name)?;
        let program = bed.skep.program(name).unwrap();
        Some(match auto::find(program, places).unwrap() {
            Found::At(hook) => hook.place(),
            Found::Open(what) => format!("open: {what}"),
        })
    };
    for (name, expected) in [
        ("tracepoint", "tracepoint syscalls/sys_enter_getpgid"),
        ("raw_tracepoint", "raw tracepoint sys_enter"),
        ("tp_btf", "the function or tracepoint that it was loaded for"),
        ("iter_task", "iterator"),
        ("xdp_pass", "open: it needs an interface"),
        (
            "at_start",
            "open: it would act on every process of the machine, which has to be asked for",
        ),
        ("kprobe", "open: it would act on every process of the machine, which has to be asked for"),
        ("cgroup_bind4", "open: it needs a cgroup"),
        ("msg", "open: it belongs to the sockets of a map"),
    ] {
        let Some(found) = place(name, &places) else { continue };
        assert_eq!(found, expected, "{name}");
    }
    let wide = Places { system_wide: true, ifindex: Some(1), ..Places::default() };
    for (name, expected) in [
        ("kprobe", "kprobe __x64_sys_getpgid"),
        ("kprobes", "kprobes __x64_sys_getpgid"),
        ("at_start", "open: its section names no function"),
        ("tcx_egress", "tcx_egress of lo"),
        ("xdp_pass", "xdp of lo"),
    ] {
        let Some(found) = place(name, &wide) else { continue };
        assert_eq!(found, expected, "{name}");
    }
}
