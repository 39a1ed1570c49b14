//! Corpus C: random programs, most of them nearly valid. Each is a function of its
//! seed alone: what the list names can be judged again with `--seed` and `--count 1`.

mod mutate;
mod program;
mod statement;
mod writer;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use skep_abi::MapType;
use skep_btf::Btf;
use skep_sys::{Command, Kernel, MapCreate};

use super::judge::Judge;
use super::report::Report;
use super::{Corpus, Options};
pub use program::{RandomProgram, careful_program, program};
use writer::Features;
pub use writer::MapPlace;

/// Programs that are judged before their results are counted.
const BATCH: u64 = 256;

/// What the accepted programs hold.
#[derive(Default)]
struct Counts {
    lengths: Vec<usize>,
    accepted: usize,
    guarded: usize,
    loops: usize,
    spill: usize,
    call: usize,
}

impl Counts {
    fn add(&mut self, features: Features) {
        self.accepted += 1;
        self.guarded += usize::from(features.guarded);
        self.loops += usize::from(features.loops);
        self.spill += usize::from(features.spill);
        self.call += usize::from(features.call);
    }
}

/// Judges random programs, on all cores.
///
/// # Errors
/// Maps that cannot be created.
pub fn judge(vmlinux: &Arc<Btf>, options: &Options, report: &mut Report) -> Result<()> {
    let next = AtomicU64::new(0);
    let shared = Mutex::new((report, Counts::default()));
    let work = || -> Result<()> {
        let judge = Judge::of_linux(Some(Arc::clone(vmlinux)), options);
        let kernel: Arc<dyn Kernel> = judge.clone();
        let maps = create_maps(&*kernel)?;
        loop {
            let first = next.fetch_add(BATCH, Ordering::Relaxed);
            if first >= options.count {
                return Ok(());
            }
            for index in first..(first + BATCH).min(options.count) {
                let seed = options.seed + index;
                let random = program(seed, &maps);
                // The verdicts are what counts.
                drop(random.load(&kernel));
                let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
                let (report, counts) = &mut *shared;
                counts.lengths.push(random.slots.len());
                for (number, case) in judge.take_cases().iter().enumerate() {
                    if number == 0 && case.linux.result.is_ok() {
                        counts.add(random.features);
                    }
                    report.add(Corpus::C, &format!("seed {seed}"), case, options.logs);
                }
            }
        }
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().expect("no panic"))
    })?;
    let (report, mut counts) = shared.into_inner().unwrap_or_else(PoisonError::into_inner);
    counts.lengths.sort_unstable();
    let median = counts.lengths.get(counts.lengths.len() / 2).copied().unwrap_or(0);
    let share = |part: usize| 100 * part / counts.accepted.max(1);
    println!(
        "C: {} programs from seed {}, median length {median}; Linux accepts {}, of which {} % hold \
         a guarded access, {} % a loop, {} % a spill, {} % a call",
        options.count,
        options.seed,
        counts.accepted,
        share(counts.guarded),
        share(counts.loops),
        share(counts.spill),
        share(counts.call),
    );
    let mut reasons: Vec<_> = report.reasons.iter().collect();
    reasons.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    for (reason, count) in reasons {
        println!("  {count:7} {reason}");
    }
    Ok(())
}

/// The maps of all programs: an array, hashes, an array for each CPU.
///
/// # Errors
/// One cannot be created.
pub fn create_maps(kernel: &dyn Kernel) -> Result<Vec<MapPlace>> {
    let create = |kind: MapType, key: i16, value: i16| -> Result<MapPlace> {
        let mut command = Command::MapCreate(MapCreate {
            map_type: kind as u32,
            key_size: key as u32,
            value_size: value as u32,
            max_entries: if kind == MapType::Array { 1 } else { 8 },
            ..MapCreate::default()
        });
        let fd = kernel.bpf(&mut command).context("a map cannot be created")?;
        Ok(MapPlace { fd: fd as i32, key, value, direct: kind == MapType::Array })
    };
    Ok(vec![
        create(MapType::Array, 4, 64)?,
        create(MapType::Hash, 4, 48)?,
        create(MapType::Hash, 8, 32)?,
        create(MapType::PercpuArray, 4, 40)?,
        create(MapType::LruHash, 4, 16)?,
    ])
}
