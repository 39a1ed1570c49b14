//! Two handles of the running Linux as two kernels: each has fds of its own, so that
//! whatever is sent to both has to be translated. Where `bpf(2)` is not permitted, the test
//! says so and is skipped.

use std::sync::Arc;

use skep_abi::{AttachType, Errno, MapType, ProgType};
use skep_sys::{
    Command, Fd, Kernel, Linux, MapBatch, MapCreate, MapElem, ProgInfo, ProgLoad, RawFd, Tee,
};

/// `r0 = 2; exit`
const PASS: [u8; 16] = [0xb7, 0, 0, 0, 2, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0];

struct Bed {
    tee: Arc<Tee>,
    kernel: Arc<dyn Kernel>,
}

impl Bed {
    fn new() -> Bed {
        let tee = Arc::new(Tee::new(Arc::new(Linux::new()), Arc::new(Linux::new())));
        Bed { kernel: tee.clone(), tee }
    }

    fn map(&self, kind: MapType, value_size: u32) -> Result<Fd, Errno> {
        let create = MapCreate {
            map_type: kind as u32,
            key_size: 4,
            value_size,
            max_entries: 4,
            ..MapCreate::default()
        };
        Fd::open(&self.kernel, &mut Command::MapCreate(create))
    }

    fn program(&self, attach: AttachType) -> Fd {
        let load = ProgLoad {
            prog_type: ProgType::Xdp as u32,
            expected_attach_type: attach as u32,
            insn_cnt: 2,
            insns: Some(PASS[..].into()),
            license: Some((&b"GPL\0"[..]).into()),
            ..ProgLoad::default()
        };
        Fd::open(&self.kernel, &mut Command::ProgLoad(Box::new(load))).expect("it loads")
    }

    /// The second kernel's own fd.
    fn second(&self, fd: &Fd) -> RawFd {
        self.tee.second_fd(fd.raw()).expect("both kernels have it")
    }
}

/// The element with key 0, asked of one kernel alone.
fn element(kernel: &dyn Kernel, map: RawFd, value: &mut [u8]) {
    let key = 0u32.to_ne_bytes();
    let lookup = MapElem {
        map_fd: map as u32,
        key: Some(key[..].into()),
        value: value.into(),
        ..MapElem::default()
    };
    kernel.bpf(&mut Command::MapLookup(lookup)).expect("the element is there");
}

fn word(bytes: &[u8], at: usize) -> u32 {
    bytes[at..].first_chunk().copied().map_or(0, u32::from_ne_bytes)
}

/// A value of a devmap is an interface and a program, of a cpumap a length and a program.
#[test]
fn programs_in_values_are_each_kernels_own() {
    let bed = Bed::new();
    let kinds = [
        (MapType::Devmap, AttachType::XdpDevmap),
        (MapType::DevmapHash, AttachType::XdpDevmap),
        (MapType::Cpumap, AttachType::XdpCpumap),
    ];
    for (kind, attach) in kinds {
        let map = match bed.map(kind, 8) {
            Ok(map) => map,
            Err(Errno::EPERM) => {
                println!("skipped: bpf(2) is not permitted");
                return;
            }
            Err(errno) => panic!("{kind}: {errno}"),
        };
        let program = bed.program(attach);
        let (key, mut value) = (0u32.to_ne_bytes(), [0; 8]);
        // Interface 1 is `lo`; a queue of one frame.
        value[..4].copy_from_slice(&1u32.to_ne_bytes());
        value[4..].copy_from_slice(&program.raw().to_ne_bytes());
        let update = MapElem {
            map_fd: map.raw() as u32,
            key: Some(key[..].into()),
            value: (&mut value[..]).into(),
            ..MapElem::default()
        };
        assert_eq!(bed.kernel.bpf(&mut Command::MapUpdate(update)), Ok(0), "{kind}");
        assert_eq!(bed.tee.differences(), [], "{kind}");
        let mut found = [0; 8];
        element(&**bed.tee.second(), bed.second(&map), &mut found);
        let id = ProgInfo::query(&**bed.tee.second(), bed.second(&program)).expect("a program").id;
        assert_eq!((word(&found, 0), word(&found, 4)), (1, id), "{kind}");
    }
}

/// Values without room for a program hold none, in a batch too.
#[test]
fn interfaces_alone_are_no_fds() {
    let bed = Bed::new();
    let map = match bed.map(MapType::DevmapHash, 4) {
        Ok(map) => map,
        Err(errno) => {
            println!("skipped: no devmap: {errno}");
            return;
        }
    };
    let (mut keys, mut values) = ([0; 8], [0; 8]);
    keys[4] = 1;
    (values[0], values[4]) = (1, 1);
    let batch = MapBatch {
        map_fd: map.raw() as u32,
        keys: (&mut keys[..]).into(),
        values: (&mut values[..]).into(),
        count: 2,
        ..MapBatch::default()
    };
    let result = bed.kernel.bpf(&mut Command::MapUpdateBatch(batch));
    assert_eq!(bed.tee.differences(), [], "{result:?}");
}
