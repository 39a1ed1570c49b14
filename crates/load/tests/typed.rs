//! Typed handles, on Linux and on the embedded kernel: variables by name, maps by Rust
//! types and by BTF, ring buffers with an event, and errors that say the cause.

use std::error::Error as _;
use std::sync::Arc;

use skep_abi::Errno;
use skep_load::{AccessError, ByBtf, Error, Object, PerCpu, Skep};
use skep_sys::{Kernel, Linux};
use skep_vm::Vm;

fn example(name: &str) -> Object {
    let path = format!("{}/../../examples/{name}.bpf.o", env!("CARGO_MANIFEST_DIR"));
    Object::open(path).unwrap_or_else(|error| panic!("{error}"))
}

/// The object, loaded into each kernel that permits it.
fn loaded(object: &Object) -> Vec<Skep> {
    let kernels: [Arc<dyn Kernel>; 2] = [Arc::new(Linux::new()), Arc::new(Vm::new())];
    let load = |kernel: &Arc<dyn Kernel>| match object.load(kernel) {
        Ok(skep) => Some(skep),
        Err(Error::Load(error)) if error.errno() == Some(Errno::EPERM) => {
            println!("skipped: no bpf(2) in {}: {error}", kernel.name());
            None
        }
        Err(error) => panic!("{}: {error}", kernel.name()),
    };
    kernels.iter().filter_map(load).collect()
}

/// An Ethernet frame with a TCP SYN over IPv4.
fn syn() -> Vec<u8> {
    let mut frame = vec![0; 60];
    frame[12..14].copy_from_slice(&[8, 0]);
    frame[14] = 0x45;
    frame[16..18].copy_from_slice(&46u16.to_be_bytes());
    frame[23] = 6;
    frame[26..34].copy_from_slice(&[192, 0, 2, 1, 192, 0, 2, 2]);
    frame[36..38].copy_from_slice(&80u16.to_be_bytes());
    frame[46] = 5 << 4;
    frame[47] = 2;
    frame
}

#[test]
fn variables_are_set_before_and_after_loading_by_their_names() {
    let mut object = example("hello");
    object.set_global("packets", &40u64).unwrap();
    for skep in loaded(&object) {
        assert_eq!(skep.global::<u64>("packets").unwrap(), 40);
        assert_eq!(skep.program("hello").unwrap().run(&[0; 60]).unwrap().retval, 2);
        assert_eq!(skep.global::<u64>(".bss:packets").unwrap(), 41);
        skep.set_global("packets", &7u64).unwrap();
        skep.program("hello").unwrap().run(&[0; 60]).unwrap();
        assert_eq!(skep.global::<u64>("packets").unwrap(), 8);
    }
}

#[test]
fn a_constant_is_known_to_the_verifier_and_cannot_be_changed_later() {
    let mut object = example("syn_guard");
    object.set_global("syn_limit", &1u32).unwrap();
    for skep in loaded(&object) {
        assert_eq!(skep.global::<u32>("syn_limit").unwrap(), 1);
        let error = skep.set_global("syn_limit", &2u32).unwrap_err();
        assert_eq!(error.errno(), Some(Errno::EPERM), "{error}");
        assert!(error.hint().unwrap().contains("set them in the Object"));
    }
}

#[test]
fn what_is_not_there_or_does_not_fit_is_named() {
    let mut object = example("syn_guard");
    let error = object.set_global("syn_limits", &1u32).unwrap_err().to_string();
    assert!(error.starts_with("no variable \"syn_limits\"; there are "), "{error}");
    assert!(error.contains("syn_limit, window_ns"), "{error}");
    let error = object.set_global("syn_limit", &1u64).unwrap_err().to_string();
    assert_eq!(error, "variable \"syn_limit\": has 4 bytes, the value has 8");
    for skep in loaded(&object) {
        let error = skep.typed::<u32, u64>("verdict").unwrap_err().to_string();
        assert!(error.starts_with("no map \"verdict\"; there are "), "{error}");
        let error = skep.typed::<u64, PerCpu<[u64; 2]>>("verdicts").unwrap_err().to_string();
        assert_eq!(error, "map \"verdicts\": the key has 4 bytes, the type has 8");
        let error = skep.typed::<u32, [u64; 2]>("verdicts").unwrap_err().to_string();
        assert_eq!(error, "map \"verdicts\": the value is one for each CPU: take PerCpu<T>");
        let error = skep.ring_buffer("verdicts").unwrap_err();
        assert_eq!(error.errno(), Some(Errno::EINVAL), "{error}");
    }
}

#[test]
fn typed_maps_move_rust_values() {
    for skep in loaded(&example("syn_guard")) {
        let verdicts = skep.typed::<u32, PerCpu<[u64; 2]>>("verdicts").unwrap();
        let cpus = verdicts.get(&0).unwrap().unwrap().len();
        let values = PerCpu((0..cpus as u64).map(|cpu| [cpu, 2 * cpu + 1]).collect());
        verdicts.insert(&1, &values).unwrap();
        assert_eq!(verdicts.get(&1).unwrap(), Some(values));
        let wrong = verdicts.insert(&1, &PerCpu(vec![[0; 2]; cpus + 1])).unwrap_err();
        assert!(matches!(wrong, AccessError::Element { part: "value", .. }), "{wrong}");
        assert_eq!(verdicts.get(&99).unwrap(), None);
        let keys: Vec<u32> = verdicts.iter().map(|entry| entry.unwrap().0).collect();
        assert_eq!(keys, [0, 1, 2]);

        let sources = skep.typed::<[u8; 16], [u64; 3]>("sources").unwrap();
        sources.insert(&[1; 16], &[1, 2, 3]).unwrap();
        assert_eq!(sources.get(&[1; 16]).unwrap(), Some([1, 2, 3]));
        assert!(sources.remove(&[1; 16]).unwrap());
        assert!(!sources.remove(&[1; 16]).unwrap());
    }
}

#[derive(serde::Serialize, serde::Deserialize, PartialEq, Debug)]
struct Source {
    // In another order than in C, and without a member.
    syns: u32,
    dropped: u64,
    #[serde(default)]
    flooding: u32,
}

#[test]
fn serde_finds_members_by_their_names() {
    for skep in loaded(&example("syn_guard")) {
        let sources = skep.typed::<ByBtf<std::net::IpAddr>, ByBtf<Source>>("sources").unwrap();
        let address = ByBtf("2001:db8::1".parse().unwrap());
        let source = ByBtf(Source { syns: 3, dropped: 1 << 40, flooding: 0 });
        sources.insert(&address, &source).unwrap();
        assert_eq!(sources.get(&address).unwrap().as_ref(), Some(&source));
        let raw = skep.typed::<[u8; 16], [u64; 3]>("sources").unwrap();
        let key = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
        assert_eq!(raw.get(&key).unwrap(), Some([0, 1 << 40, 3]));

        let wrong = skep.typed::<[u8; 16], ByBtf<Vec<u8>>>("sources").unwrap();
        let error = wrong.get(&key).unwrap_err();
        assert!(error.source().is_some(), "{error}");
    }
}

#[derive(serde::Serialize, serde::Deserialize, PartialEq, Debug)]
struct Alert {
    source: std::net::IpAddr,
    port: u16,
}

/// Whether the event of a ring buffer is signalled.
fn is_ready(ring: &mut skep_load::RingBuffer) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    let event = ring.event().unwrap();
    poll(&mut [PollFd::new(&event, PollFlags::IN)], Some(&now)).unwrap() > 0
}

/// Two connections from a source that may open none: an alert.
fn flood(skep: &Skep) {
    skep.typed::<[u8; 16], [u64; 3]>("sources").unwrap().remove(&MAPPED).unwrap();
    for _ in 0..2 {
        skep.program("syn_guard").unwrap().run(&syn()).unwrap();
    }
}

/// `::ffff:192.0.2.1`.
const MAPPED: [u8; 16] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 1];

#[test]
fn a_ring_buffers_event_is_there_while_records_are() {
    let mut object = example("syn_guard");
    object.set_global("syn_limit", &0u32).unwrap();
    for skep in loaded(&object) {
        let mut alerts = skep.ring_buffer("alerts").unwrap();
        assert!(!is_ready(&mut alerts));
        for _ in 0..2 {
            flood(&skep);
            assert!(is_ready(&mut alerts));
            let alert = alerts.records::<ByBtf<Alert>>().next().unwrap().unwrap().0;
            assert_eq!(alert, Alert { source: "::ffff:192.0.2.1".parse().unwrap(), port: 80 });
            assert!(alerts.next_record().is_none());
            assert!(!is_ready(&mut alerts));
        }
        // An event that is made when records are there already says so.
        flood(&skep);
        drop(alerts);
        assert!(is_ready(&mut skep.ring_buffer("alerts").unwrap()));
    }
}

#[test]
fn errors_say_the_cause_and_have_a_source() {
    let mut object = example("mistakes");
    object.programs.iter_mut().skip(1).for_each(|program| program.autoload = false);
    let kernels: [Arc<dyn Kernel>; 2] = [Arc::new(Linux::new()), Arc::new(Vm::new())];
    for kernel in kernels {
        let Err(Error::Load(error)) = object.load(&kernel) else { panic!("it loads") };
        if error.errno() == Some(Errno::EPERM) {
            println!("skipped: no bpf(2): {error}");
            continue;
        }
        let text = error.to_string();
        assert!(text.contains("the kernel refuses it: Permission denied (EACCES): "), "{text}");
        assert!(
            text.contains("invalid mem access 'map_value_or_null'"),
            "{}: {text}",
            kernel.name()
        );
        assert_eq!(error.source().unwrap().to_string(), Errno::EACCES.to_string());
    }
    let missing = Object::open("no/such/file.bpf.o").unwrap_err();
    assert_eq!(missing.to_string(), "no/such/file.bpf.o: cannot be read: no such file");
    let source = missing.source().unwrap().source().unwrap();
    let io = source.downcast_ref::<std::io::Error>().unwrap();
    assert_eq!(io.kind(), std::io::ErrorKind::NotFound);
}
