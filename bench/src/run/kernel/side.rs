//! A loaded object on one of the two kernels: both are driven by the same code, through
//! `bpf()`, with the same packets.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use skep::abi::MapType;
use skep::load::{Linked, Map, Options, load};
use skep::{Kernel, RingBuffer, Skep, Target, TestRun};

use crate::linux;
use crate::run::peers::{Engine, LowMemory};

/// What tells the time of a run.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Clock {
    /// The `duration` that BPF_PROG_TEST_RUN gives: the runs alone, in whole nanoseconds.
    Reported,
    /// The thread's CPU time for the whole system call.
    Thread,
}

/// One program of a loaded object, and the packets that it runs on.
pub struct Side {
    skep: Skep,
    program: String,
    packets: Vec<Vec<u8>>,
    rings: Vec<RingBuffer>,
    clock: Clock,
}

/// All that runs leave behind, by what it is.
pub type Traces = BTreeMap<String, Vec<u8>>;

/// A program of this name is run once before the other is measured.
pub const PREPARE: &str = "prepare";
/// Maps whose names start like this hold times or random numbers.
const ANY: &str = "any_";
/// More than the longest packet.
const ROOM: usize = 4096;

impl Side {
    /// Loads an object and prepares it.
    pub fn new(
        linked: &Linked,
        target: &Target,
        kernel: &Arc<dyn Kernel>,
        program: &str,
        packets: &[Vec<u8>],
    ) -> Result<Side> {
        let skep = load(linked, target, kernel, &Options::default())?;
        let rings = skep.maps().filter(|map| map.def().kind() == Some(MapType::Ringbuf));
        let rings = rings.map(RingBuffer::new).collect::<Result<_, _>>()?;
        let clock = if kernel.name() == "linux" { Clock::Reported } else { Clock::Thread };
        let (program, packets) = (program.to_owned(), packets.to_vec());
        let side = Side { skep, program, packets, rings, clock };
        if side.skep.program(PREPARE).is_some() {
            let packet = side.packets.first().context("no packet")?;
            side.test_run(PREPARE, packet, 1, &mut [])?;
        }
        Ok(side)
    }

    /// Its program's file descriptor.
    pub fn fd(&self) -> Option<i32> {
        self.skep.program(&self.program).map(|program| program.fd().raw())
    }

    /// Runs a program `repeat` times on a packet: its verdict, the bytes that came out,
    /// the time that the kernel says a run took.
    fn test_run(
        &self,
        name: &str,
        packet: &[u8],
        repeat: u32,
        out: &mut [u8],
    ) -> Result<(u32, usize, u32)> {
        let program = self.skep.program(name).context("no such program")?;
        let mut run = TestRun {
            data_size_in: packet.len() as u32,
            data_in: Some(packet.into()),
            repeat,
            ..TestRun::default()
        };
        if !out.is_empty() {
            run.data_size_out = out.len() as u32;
            run.data_out = out.into();
        }
        let (run, result) = program.test_run(run);
        let why = run.diagnostic.as_ref().map_or("", |diagnostic| diagnostic.message.as_str());
        result.map_err(|errno| anyhow!("{name}: {errno} {why}"))?;
        Ok((run.retval, run.data_size_out as usize, run.duration))
    }

    /// Runs it on each packet, and gives everything that can be seen afterwards.
    pub fn traces(&mut self, repeat: u32) -> Result<Traces> {
        let mut traces = Traces::new();
        for (number, packet) in self.packets.iter().enumerate() {
            let mut out = vec![0; ROOM];
            let (verdict, size, _) = self.test_run(&self.program, packet, repeat, &mut out)?;
            out.truncate(size);
            traces.insert(format!("verdict of packet {number}"), verdict.to_be_bytes().into());
            traces.insert(format!("bytes of packet {number}"), out);
        }
        for (ring, buffer) in self.rings.iter_mut().enumerate() {
            for (number, record) in buffer.enumerate() {
                traces.insert(format!("record {number} of ring buffer {ring}"), record);
            }
        }
        for map in self.skep.maps().filter(|map| !map.name().starts_with(ANY)) {
            elements(map, &mut traces)?;
        }
        Ok(traces)
    }

    /// Empties the ring buffers, as their readers would.
    fn drain(&mut self) {
        for ring in &mut self.rings {
            ring.for_each(drop);
        }
    }
}

/// The elements of a map that holds values. On which CPU a value lies does not matter.
fn elements(map: &Map, traces: &mut Traces) -> Result<()> {
    use MapType::{Array, Hash, LpmTrie, LruHash, LruPercpuHash, PercpuArray, PercpuHash};
    if let Some(Array | Hash | LpmTrie | LruHash | LruPercpuHash | PercpuArray | PercpuHash) =
        map.def().kind()
    {
        for entry in map.entries() {
            let (key, value) = entry?;
            let mut values = map.split_cpus(&value);
            values.sort();
            traces.insert(format!("map {}, key {key:02x?}", map.name()), values.concat());
        }
    }
    Ok(())
}

/// What is not the same in two of them.
pub fn difference(linux: &Traces, ours: &Traces) -> Option<String> {
    let mut all = linux.keys().chain(ours.keys());
    let what = all.find(|what| linux.get(*what) != ours.get(*what))?;
    let (linux, ours) = (linux.get(what), ours.get(what));
    Some(format!("{what}: Linux {linux:02x?}, skep {ours:02x?}"))
}

impl Engine for Side {
    fn once(&mut self, _memory: &LowMemory) -> u32 {
        let verdict = |packet: &Vec<u8>| {
            let run = self.test_run(&self.program, packet, 1, &mut []);
            run.map_or(u32::MAX, |(verdict, ..)| verdict)
        };
        self.packets.iter().map(verdict).fold(0, |all, one| all.rotate_left(5) ^ one)
    }

    /// Of one packet, where a round is all of them.
    fn time(&mut self, _memory: &LowMemory, rounds: u64) -> f64 {
        self.drain();
        let repeat = u32::try_from(rounds).unwrap_or(u32::MAX);
        let mut reported = 0.0;
        let start = linux::thread_time();
        for packet in &self.packets {
            let run = self.test_run(&self.program, packet, repeat, &mut []);
            reported += run.map_or(f64::NAN, |(.., duration)| duration.into());
        }
        let spent = (linux::thread_time() - start) as f64 / f64::from(repeat);
        let all = if self.clock == Clock::Reported { reported } else { spent };
        all / self.packets.len() as f64
    }
}
