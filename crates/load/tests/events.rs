//! Event files of version 1, kept as they are: what was written once is read for good.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use skep_abi::ProgType;
use skep_load::event::{EventReader, EventRecord};

fn read(name: &str, kind: ProgType) -> Vec<EventRecord> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/events");
    let file = File::open(folder.join(format!("{name}.v1.jsonl"))).expect("a file");
    let mut reader = EventReader::new(BufReader::new(file), kind);
    std::iter::from_fn(|| reader.next_event().expect("an event")).collect()
}

#[test]
fn everything_that_a_record_may_have() {
    let [event, empty] = &read("kprobe", ProgType::Kprobe)[..] else { panic!("two events") };
    assert_eq!(event.context[112..120], 4660u64.to_ne_bytes());
    assert_eq!(event.context[128..136], 0xffff_ffff_8100_0000u64.to_ne_bytes());
    let task = event.task.as_ref().expect("a task");
    let ids = (task.pid, task.tgid, task.uid, task.gid, task.cgroups.first().copied());
    assert_eq!(ids, (7, 6, 1000, 1000, Some(1)));
    assert_eq!(task.comm, "cat");
    assert_eq!((event.time, event.cpu), (Some(1000), Some(0)));
    let memory = [(4660, b"hello\0".to_vec()), (0xffff_8880_0000_0000, vec![1, 2])];
    assert_eq!(event.memory, memory);
    assert_eq!(event.stacks, [vec![0xffff_ffff_8100_0000], vec![0x40_0000]]);
    assert_eq!((event.function, event.cookie), (0xffff_ffff_8100_0000, 5));
    assert_eq!(*empty, EventRecord::default());
}

#[test]
fn contexts_of_each_kind() {
    let [event] = &read("cgroup_sock_addr", ProgType::CgroupSockAddr)[..] else { panic!("one") };
    assert_eq!(event.context[4..12], [10, 0, 0, 7, 0, 0, 0, 1]);
    assert_eq!(event.context[24..28], 0x5000u32.to_ne_bytes());
    assert_eq!(event.socket.as_ref().expect("a socket")[4..8], 2u32.to_ne_bytes());

    let [event] = &read("sched_cls", ProgType::SchedCls)[..] else { panic!("one") };
    assert_eq!(event.context[8..12], 7u32.to_ne_bytes());
    assert_eq!(event.data, [255, 255, 255, 255, 255, 255, 2, 0, 0, 0, 0, 1, 8, 0]);

    let [event] = &read("raw_tracepoint", ProgType::RawTracepoint)[..] else { panic!("one") };
    let words: Vec<u64> =
        event.context.as_chunks().0.iter().map(|word| u64::from_ne_bytes(*word)).collect();
    assert_eq!(words, [1, 0xffff_8880_0000_0000, u64::MAX]);

    let [hex, placed] = &read("tracepoint", ProgType::Tracepoint)[..] else { panic!("two") };
    assert_eq!(hex.context, [1, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(placed.context[16..24], 3u64.to_ne_bytes());
}
