//! The kernels that are compared, each with maps of its own.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use skep_abi::{AttachType, Errno, MapType, ProgType};
use skep_isa::{Insn, Slot, encode};
use skep_sys::{
    BtfLoad, Command, Fd, Kernel, Linux, MapCreate, MapElem, MapFreeze, ProgLoad, TestRun,
};
use skep_vm::{Engine, Vm};

use super::program::{Given, MEMORY};

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Ran {
    /// What TEST_RUN or the program returned.
    pub result: std::result::Result<u32, Errno>,
    /// What the helper gave: a number, or 1 for a pointer.
    pub gave: u64,
    /// Its memory arguments as it left them.
    pub memory: Vec<u8>,
    /// The packet.
    pub packet: Vec<u8>,
}

/// A kernel.
pub struct Bed {
    /// Its name.
    pub name: &'static str,
    kernel: Arc<dyn Kernel>,
    /// Where programs put what they found.
    results: Fd,
    /// Texts that programs may only read.
    text: Fd,
    /// Types of values: a word, and a word behind a lock.
    types: Fd,
    /// Numbers of the types of a key, a value, and a value with a lock.
    ids: [u32; 3],
    /// Maps of all types that were asked for.
    maps: BTreeMap<u32, Option<Fd>>,
}

/// The embedded kernel with each of its engines, and Linux: it comes last.
pub fn beds() -> Result<Vec<Bed>> {
    let mut beds = Vec::new();
    for (name, engine) in [
        ("interpreter", Engine::Interpreter),
        ("guarded", Engine::Guarded),
        ("elided", Engine::Auto),
    ] {
        beds.push(Bed::new(name, Arc::new(Vm::new().with_engine(engine)))?);
    }
    beds.push(Bed::new("Linux", Arc::new(Linux::new()))?);
    Ok(beds)
}

/// Bytes of the packet that programs run on.
const PACKET: usize = 90;

/// A packet of TCP over IPv4 or IPv6, or of nothing known.
fn packet(which: usize) -> Vec<u8> {
    let mut packet = vec![0; PACKET];
    for (at, byte) in packet.iter_mut().enumerate() {
        *byte = (at * 7 + which) as u8;
    }
    packet[..12].copy_from_slice(&[0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 1]);
    match which % 3 {
        0 => {
            packet[12..14].copy_from_slice(&[8, 0]);
            packet[14..24].copy_from_slice(&[
                0x45,
                (which / 3 % 4) as u8,
                0,
                76,
                0,
                1,
                0,
                0,
                64,
                6,
            ]);
            packet[46] = 0x50;
        }
        1 => {
            packet[12..14].copy_from_slice(&[0x86, 0xdd]);
            let class = (which / 3 % 4) as u8;
            packet[14..22].copy_from_slice(&[0x60, class << 4, 0, 0, 0, 36, 6, 64]);
            packet[66] = 0x50;
        }
        _ => packet[12..14].copy_from_slice(&[0x08, 0x06]),
    }
    packet
}

/// Four texts of 16 bytes, which nobody can change.
fn texts(kernel: &Arc<dyn Kernel>) -> Result<Fd, Errno> {
    let create = MapCreate {
        map_type: MapType::Array as u32,
        key_size: 4,
        value_size: 64,
        max_entries: 1,
        map_flags: skep_abi::flags::map::RDONLY_PROG,
        ..MapCreate::default()
    };
    let fd = Fd::open(kernel, &mut Command::MapCreate(create))?;
    let mut value = [0; 64];
    for (at, text) in ["%d and %x", "", "no argument", "%%, %5llu"].into_iter().enumerate() {
        value[at * 16..][..text.len()].copy_from_slice(text.as_bytes());
    }
    let elem = MapElem {
        map_fd: fd.raw() as u32,
        key: Some((&[0; 4][..]).into()),
        value: value.as_mut_slice().into(),
        ..MapElem::default()
    };
    kernel.bpf(&mut Command::MapUpdate(elem))?;
    kernel.bpf(&mut Command::MapFreeze(MapFreeze {
        map_fd: fd.raw() as u32,
        ..MapFreeze::default()
    }))?;
    Ok(fd)
}

/// Types for maps that have to have some.
fn types(kernel: &Arc<dyn Kernel>) -> Result<(Fd, [u32; 3]), Errno> {
    let mut types = skep_btf::Builder::new();
    let word = types.int("unsigned int", 4, 0);
    let long = types.int("unsigned long", 8, 0);
    let member = |name, type_id, bit_offset| skep_btf::Member {
        name,
        type_id,
        bit_offset,
        bitfield_size: 0,
    };
    let lock = types.structure("bpf_spin_lock", 4, &[member("val", word, 0)]);
    let members = [member("lock", lock, 0), member("word", word, 32)];
    let locked = types.structure("locked", 8, &members);
    let bytes = types.to_bytes(skep_btf::Endian::Little);
    let size = bytes.len() as u32;
    let load = BtfLoad { btf: Some(bytes.into()), btf_size: size, ..BtfLoad::default() };
    Ok((Fd::open(kernel, &mut Command::BtfLoad(load))?, [word, long, locked]))
}

impl Bed {
    fn new(name: &'static str, kernel: Arc<dyn Kernel>) -> Result<Bed> {
        let create = MapCreate {
            map_type: MapType::Array as u32,
            key_size: 4,
            value_size: MEMORY as u32,
            max_entries: 1,
            ..MapCreate::default()
        };
        let results = Fd::open(&kernel, &mut Command::MapCreate(create))
            .map_err(|errno| anyhow!("{name}: {errno}"))
            .context("an array")?;
        let text = texts(&kernel).map_err(|errno| anyhow!("{name}: texts: {errno}"))?;
        let (types, ids) = types(&kernel).map_err(|errno| anyhow!("{name}: types: {errno}"))?;
        Ok(Bed { name, kernel, results, text, types, ids, maps: BTreeMap::new() })
    }

    /// A map of a type.
    fn map(&mut self, kind: MapType) -> Option<u32> {
        let (kernel, ids, types) = (&self.kernel, self.ids, self.types.raw() as u32);
        let fd = self.maps.entry(kind as u32).or_insert_with(|| {
            let (key_size, value_size, max_entries) = match kind {
                MapType::Ringbuf | MapType::UserRingbuf => (0, 0, 4096),
                MapType::Queue | MapType::Stack | MapType::BloomFilter => (0, 8, 4),
                MapType::StackTrace => (4, 64, 8),
                MapType::Devmap
                | MapType::DevmapHash
                | MapType::Xskmap
                | MapType::Sockmap
                | MapType::Sockhash
                | MapType::ReuseportSockarray
                | MapType::CgroupArray
                | MapType::PerfEventArray => (4, 4, 4),
                MapType::Cpumap => (4, 4, 1),
                _ => (4, 8, 4),
            };
            let map_type = kind as u32;
            let mut create =
                MapCreate { map_type, key_size, value_size, max_entries, ..MapCreate::default() };
            use MapType::{CgrpStorage, InodeStorage, SkStorage, TaskStorage};
            let [key, value, locked] = ids;
            match kind {
                SkStorage | InodeStorage | TaskStorage | CgrpStorage => {
                    (create.max_entries, create.map_flags) = (0, skep_abi::flags::map::NO_PREALLOC);
                    (create.btf_fd, create.btf_key_type_id) = (types, key);
                    create.btf_value_type_id = value;
                }
                MapType::CgroupStorage | MapType::PercpuCgroupStorage => {
                    (create.key_size, create.max_entries) = (16, 0);
                }
                MapType::Array => {
                    (create.btf_fd, create.btf_key_type_id) = (types, key);
                    create.btf_value_type_id = locked;
                }
                _ => {}
            }
            Fd::open(kernel, &mut Command::MapCreate(create)).ok()
        });
        fd.as_ref().map(|fd| fd.raw() as u32)
    }

    /// Loads and runs a program.
    ///
    /// # Errors
    /// The kernel does not accept it.
    pub fn run(&mut self, given: &Given) -> std::result::Result<Ran, String> {
        let map = match given.map {
            Some(kind) => Some(self.map(kind).ok_or("there is no such map")?),
            None => None,
        };
        let insns = given.program(self.results.raw() as u32, self.text.raw() as u32, map);
        self.run_program(&insns, given.kind, given.packet)
    }

    /// The array that programs leave their results in.
    pub fn results_fd(&self) -> u32 {
        self.results.raw() as u32
    }

    /// Loads and runs a program that leaves its results where all do.
    ///
    /// # Errors
    /// The kernel does not accept it.
    pub fn run_program(
        &mut self,
        insns: &[Insn],
        kind: ProgType,
        packet: usize,
    ) -> std::result::Result<Ran, String> {
        let bytes = Slot::join(&encode(insns));
        let sleepable = kind == ProgType::Syscall;
        let mut log = vec![0; 1 << 16];
        let load = ProgLoad {
            prog_type: kind as u32,
            expected_attach_type: match kind {
                ProgType::FlowDissector => AttachType::FlowDissector as u32,
                _ => 0,
            },
            prog_flags: if sleepable { skep_abi::flags::prog::SLEEPABLE } else { 0 },
            insn_cnt: (bytes.len() / 8) as u32,
            insns: Some((&bytes[..]).into()),
            license: Some((&b"GPL\0"[..]).into()),
            log_level: 1,
            log_size: log.len() as u32,
            log_buf: log.as_mut_slice().into(),
            ..ProgLoad::default()
        };
        let program = Fd::open(&self.kernel, &mut Command::ProgLoad(Box::new(load)));
        let program = program.map_err(|errno| {
            let log = String::from_utf8_lossy(&log);
            format!("{errno}: {}", log.trim_end_matches('\0').lines().rev().nth(1).unwrap_or(""))
        })?;
        self.reset().map_err(|errno| errno.to_string())?;
        let (result, packet) = self.test(&program, kind, packet);
        let values = self.results().map_err(|errno| errno.to_string())?;
        let gave = values.first_chunk().copied().map_or(0, u64::from_ne_bytes);
        Ok(Ran { result, gave, memory: values[8..].to_vec(), packet })
    }

    fn reset(&self) -> Result<(), Errno> {
        let (key, mut value) = ([0; 4], [0x5a; MEMORY]);
        let elem = MapElem {
            map_fd: self.results.raw() as u32,
            key: Some((&key[..]).into()),
            value: value.as_mut_slice().into(),
            ..MapElem::default()
        };
        self.kernel.bpf(&mut Command::MapUpdate(elem)).map(|_| ())
    }

    fn results(&self) -> Result<Vec<u8>, Errno> {
        let (key, mut value) = ([0; 4], vec![0; MEMORY]);
        let elem = MapElem {
            map_fd: self.results.raw() as u32,
            key: Some((&key[..]).into()),
            value: value.as_mut_slice().into(),
            ..MapElem::default()
        };
        self.kernel.bpf(&mut Command::MapLookup(elem))?;
        Ok(value)
    }

    fn test(
        &self,
        program: &Fd,
        kind: ProgType,
        which: usize,
    ) -> (std::result::Result<u32, Errno>, Vec<u8>) {
        let mut out = vec![0; PACKET + 4096];
        let data = packet(which);
        let mut run = TestRun { prog_fd: program.raw() as u32, ..TestRun::default() };
        if !matches!(kind, ProgType::Syscall | ProgType::RawTracepoint) {
            run.repeat = 1;
            run.data_size_in = data.len() as u32;
            run.data_in = Some((&data[..]).into());
            run.data_size_out = out.len() as u32;
            run.data_out = out.as_mut_slice().into();
        }
        let mut command = Command::TestRun(Box::new(run));
        let ran = self.kernel.bpf(&mut command);
        let Command::TestRun(run) = command else { return (Err(Errno::EINVAL), Vec::new()) };
        let (retval, len) = (run.retval, run.data_size_out as usize);
        drop(run);
        out.truncate(len);
        (ran.map(|_| retval), out)
    }
}
