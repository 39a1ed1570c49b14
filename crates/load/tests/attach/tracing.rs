//! Hooks that watch: tracepoints, events, functions.

use std::hint::black_box;

use skep_load::attach::{
    Kprobe, Kprobes, PerfEvent, RawTracepoint, Spot, Tracepoint, Tracing, Uprobe, Uprobes, symbols,
};
use skep_sys::perf::software;
use skep_sys::{Linked, PerfLinked};

use crate::bed::{Bed, link_exists, linux};

/// So many calls of a system call that nobody else here makes.
fn calls(times: u32) {
    for _ in 0..times {
        rustix::process::getpgid(None).expect("our own group");
    }
}

/// The number of that system call.
fn number() -> u64 {
    match std::env::consts::ARCH {
        "x86_64" => 121,
        _ => 155,
    }
}

/// A function of this very file that nobody else calls.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn skep_attach_probed(value: u64) -> u64 {
    black_box(value) + 1
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn skep_attach_probed_too(value: u64) -> u64 {
    black_box(value) + 2
}

fn this_file() -> std::path::PathBuf {
    std::env::current_exe().expect("a path")
}

#[test]
fn a_tracepoint_counts_each_call_until_its_link_is_dropped() {
    let Some(bed) = Bed::new("tracepoint") else { return };
    let hook = Tracepoint::new("syscalls", "sys_enter_getpgid").cookie(42);
    let Some(link) = bed.try_attach(&hook) else { return };
    assert_eq!(link.place(), "tracepoint syscalls/sys_enter_getpgid");
    calls(10);
    assert_eq!((bed.hits(), bed.cookie()), (10, 42));
    let info = link.info().unwrap();
    let expected = PerfLinked::Tracepoint { name: "sys_enter_getpgid".into(), cookie: 42 };
    assert_eq!(info.at, Linked::Perf(expected));
    assert!(link_exists(info.id));
    drop(link);
    assert!(!link_exists(info.id));
    calls(10);
    assert_eq!(bed.hits(), 10);

    let missing = bed.attach(Tracepoint::new("syscalls", "sys_enter_no_such")).unwrap_err();
    let line = missing.to_string();
    assert!(line.contains("tracepoint syscalls/sys_enter_no_such"), "{line}");
}

#[test]
fn raw_tracepoints_count_with_and_without_types() {
    for name in ["raw_tracepoint", "tp_btf"] {
        let wanted = |object: &mut skep_load::Object| {
            object.set_global("wanted", &number()).expect("a variable");
        };
        let Some(bed) = Bed::with(&linux(), name, wanted) else { continue };
        let link = match name {
            "tp_btf" => bed.try_attach(Tracing::new().cookie(7)),
            _ => bed.try_attach(RawTracepoint::new("sys_enter").cookie(7)),
        };
        let Some(link) = link else { continue };
        calls(10);
        assert_eq!((bed.hits(), bed.cookie()), (10, 7), "{name}");
        match link.info().unwrap().at {
            Linked::RawTracepoint { name, cookie } => {
                assert_eq!((name.as_str(), cookie), ("sys_enter", 7));
            }
            // What a program names by BTF is told so.
            Linked::Tracing { cookie, .. } => assert_eq!(cookie, 7),
            other => panic!("{other:?}"),
        }
        drop(link);
        calls(10);
        assert_eq!(bed.hits(), 10, "{name}");
    }
}

#[test]
fn events_are_counted_by_number_and_by_time() {
    let Some(bed) = Bed::new("on_event") else { return };
    let switches = PerfEvent::software(software::CONTEXT_SWITCHES).of_process(0).cookie(5);
    if let Some(link) = bed.try_attach(switches) {
        for _ in 0..20 {
            std::thread::sleep(std::time::Duration::from_micros(50));
        }
        let hits = bed.hits();
        assert!(hits >= 20, "{hits}");
        assert_eq!(bed.cookie(), 5);
        let info = link.info().unwrap();
        assert!(
            matches!(&info.at, Linked::Perf(PerfLinked::Event { event_type: 1, config, .. })
                if *config == software::CONTEXT_SWITCHES),
            "{info:?}"
        );
    }
    let before = bed.hits();
    let links: Vec<_> = PerfEvent::cpu_clock(1000)
        .on_each_cpu()
        .iter()
        .filter_map(|event| bed.try_attach(event))
        .collect();
    // Until there is a sample; the work is bounded.
    for _ in 0..1_000_000 {
        if bed.hits() > before || links.is_empty() {
            break;
        }
        (0..1000u64).for_each(|value| {
            black_box(value);
        });
    }
    assert!(links.is_empty() || bed.hits() > before);
}

#[test]
fn functions_of_a_file_are_counted_at_start_and_return() {
    for (name, at_return) in [("at_start", false), ("at_return", true)] {
        let Some(bed) = Bed::new(name) else { continue };
        let file = this_file();
        let mut hook = Uprobe::new(&file, "skep_attach_probed").cookie(9);
        if at_return {
            hook = hook.at_return();
        }
        for hook in [hook.clone(), hook.of_process(std::process::id())] {
            let before = bed.hits();
            let Some(link) = bed.try_attach(&hook) else { continue };
            (0..10).for_each(|value| {
                black_box(skep_attach_probed(value));
            });
            assert_eq!((bed.hits() - before, bed.cookie()), (10, 9), "{hook:?}");
            let Linked::Perf(PerfLinked::Uprobe { file: told, is_return, cookie, .. }) =
                link.info().unwrap().at
            else {
                panic!("{link:?}")
            };
            assert_eq!((told, is_return, cookie), (file.display().to_string(), at_return, 9));
            drop(link);
            black_box(skep_attach_probed(0));
            assert_eq!(bed.hits() - before, 10);
        }
    }
}

#[test]
fn a_probe_may_be_at_an_offset_and_says_what_is_missing() {
    let Some(bed) = Bed::new("at_start") else { return };
    let offset = symbols::offset_of(&this_file(), "skep_attach_probed").expect("it is there");
    let Some(_link) = bed.try_attach(Uprobe::at(this_file(), Spot::Offset(offset))) else {
        return;
    };
    black_box(skep_attach_probed(1));
    assert_eq!(bed.hits(), 1);
    let error = bed.attach(Uprobe::new(this_file(), "skep_no_such")).unwrap_err().to_string();
    assert!(error.contains("has no function \"skep_no_such\""), "{error}");
    let error = bed.attach(Uprobe::new("no_such_file.so", "malloc")).unwrap_err().to_string();
    assert!(error.contains("nowhere among the libraries"), "{error}");
    assert!(symbols::resolve("libc.so.6".as_ref()).is_ok());
}

#[test]
fn many_functions_of_a_file_have_one_link_and_a_cookie_each() {
    let Some(bed) = Bed::new("uprobes") else { return };
    let hook = Uprobes::new(this_file())
        .function("skep_attach_probed", 1)
        .function("skep_attach_probed_too", 1000)
        .of_process(std::process::id());
    let Some(link) = bed.try_attach(&hook) else { return };
    black_box(skep_attach_probed(1));
    black_box(skep_attach_probed_too(1));
    black_box(skep_attach_probed_too(1));
    assert_eq!((bed.hits(), bed.cookie()), (3, 2001));
    let Linked::UprobeMulti { path, offsets, cookies, pid, .. } = link.info().unwrap().at else {
        panic!("{link:?}")
    };
    let (of, too) = ("skep_attach_probed", "skep_attach_probed_too");
    let expected = [of, too].map(|name| symbols::offset_of(&this_file(), name).unwrap());
    assert_eq!((offsets, cookies), (expected.to_vec(), vec![1, 1000]));
    assert_eq!((path, pid), (this_file().display().to_string(), std::process::id()));
    drop(link);
    black_box(skep_attach_probed(1));
    assert_eq!(bed.hits(), 3);

    let Some(session) = Bed::new("uprobe_session") else { return };
    let hook = Uprobes::new(this_file()).function(of, 3);
    let Some(_link) = session.try_attach(&hook) else { return };
    black_box(skep_attach_probed(1));
    assert_eq!((session.hits(), session.cookie()), (2, 3), "at start and return");
}

#[test]
fn functions_of_the_kernel_are_counted_where_there_are_probes() {
    if let Some(bed) = Bed::new("kprobe")
        && let Some(link) = bed.try_attach(Kprobe::system_call("getpgid").cookie(3))
    {
        calls(10);
        assert_eq!((bed.hits(), bed.cookie()), (10, 3));
        drop(link);
    }
    if let Some(bed) = Bed::new("kprobes")
        && let Some(link) = bed.try_attach(Kprobes::new().function("__x64_sys_getpgid", 3))
    {
        calls(10);
        assert_eq!((bed.hits(), bed.cookie()), (10, 3));
        drop(link);
    }
    for name in ["fentry", "fexit", "lsm"] {
        if let Some(bed) = Bed::new(name)
            && let Some(link) = bed.try_attach(Tracing::new().cookie(3))
        {
            calls(10);
            assert_eq!((bed.hits(), bed.cookie()), (10, 3), "{name}");
            drop(link);
        }
    }
}
