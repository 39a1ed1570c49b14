//! Random sequences of safe calls over two kernels and three threads, with fds, lengths
//! and kernels mixed. Nothing may happen but answers: AddressSanitizer watches this
//! process, bytes beside every slice watch what Linux writes, and a sequence that does not
//! end is a fault too. `cargo xtask boundaries` builds and runs it.
#![forbid(unsafe_code)]

mod calls;
mod programs;
mod world;

use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use world::{Dice, World};

/// Threads of a sequence.
const THREADS: u64 = 3;
/// Calls that each of them makes.
const CALLS: u32 = 12;
/// Seconds that no sequence takes.
const PATIENCE: u64 = 60;
/// What a callback says that panics because it is told to.
pub const ON_PURPOSE: &str = "on purpose";

/// `generator FIRST COUNT PROGRESS [NAMES]`: the sequences of the seeds from FIRST on; the
/// one that is running stands in the file PROGRESS. With NAMES, comma-separated, only
/// those calls, or with a `-` before them all others.
fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize| arguments.get(at).and_then(|text| text.parse::<u64>().ok());
    let (Some(first), Some(count), Some(progress)) = (number(0), number(1), arguments.get(2))
    else {
        eprintln!("usage: generator FIRST COUNT PROGRESS [NAMES]");
        std::process::exit(2);
    };
    let progress = std::fs::File::create(progress).expect("a file for the progress");
    let table = calls::chosen(arguments.get(3).map_or("", |names| names));
    fail_on_panics();
    let running = Arc::new(AtomicU64::new(first));
    watch(running.clone());
    for seed in first..first + count {
        running.store(seed, Ordering::Relaxed);
        progress.write_all_at(format!("{seed:<20}\n").as_bytes(), 0).expect("room for a number");
        sequence(seed, &table);
    }
}

/// One sequence: all that its threads share is made from the seed, and so is what each of
/// them does; what comes of it depends on how they meet.
fn sequence(seed: u64, table: &Arc<calls::Table>) {
    let world = World::new(&mut Dice::new(seed));
    let work = |thread: u64| {
        let mut dice = Dice::new(seed.wrapping_mul(THREADS).wrapping_add(thread) ^ 0x5eed);
        for _ in 0..CALLS {
            table.call(&world, &mut dice);
        }
    };
    std::thread::scope(|scope| {
        for thread in 1..THREADS {
            scope.spawn(move || work(thread));
        }
        work(0);
    });
    world.close();
}

/// A panic is a fault wherever it ends, but for those of callbacks.
fn fail_on_panics() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if info.payload_as_str().is_some_and(|text| text.contains(ON_PURPOSE)) {
            return;
        }
        usual(info);
        std::process::abort();
    }));
}

/// Ends the process when a sequence does not.
fn watch(running: Arc<AtomicU64>) {
    std::thread::spawn(move || {
        loop {
            let before = running.load(Ordering::Relaxed);
            for _ in 0..PATIENCE {
                std::thread::sleep(Duration::from_secs(1));
            }
            if running.load(Ordering::Relaxed) == before {
                eprintln!("seed {before} does not end");
                std::process::abort();
            }
        }
    });
}
