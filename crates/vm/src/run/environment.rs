//! What a run sees of the world besides its context: time, chance, and where its
//! messages go. A hook may have a clock of its own for its runs.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use skep_btf::Btf;

use super::printer::Printer;
use super::structures::Layout;
use super::world::World;
use crate::objects::heap::{Heap, Objects};

/// Time, chance and output of a kernel's runs.
pub struct Environment {
    /// Fixed time in ns, or 0 for the machine's clock.
    fixed_time: AtomicU64,
    started: Instant,
    random: AtomicU64,
    printer: Printer,
    /// Makes of addresses what is shown for them.
    pointers: RandomState,
    cpus: u32,
    world: RwLock<Arc<World>>,
    /// What programs made.
    pub(crate) heap: Arc<Heap>,
    /// The kernel's types, once somebody read them.
    types: OnceLock<Arc<Btf>>,
    structures: OnceLock<Option<Layout>>,
}

impl Environment {
    /// The machine's clock, a random seed, `cpus` vCPUs; prints nothing.
    pub(crate) fn new(cpus: u32) -> Environment {
        let seed =
            SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |time| time.as_nanos() as u64);
        Environment {
            fixed_time: AtomicU64::new(0),
            started: Instant::now(),
            random: AtomicU64::new(seed),
            printer: Printer::default(),
            pointers: RandomState::new(),
            cpus,
            world: RwLock::default(),
            heap: Arc::default(),
            types: OnceLock::new(),
            structures: OnceLock::new(),
        }
    }

    /// The kernel's types, where a program was verified by them.
    pub(crate) fn kernel_types(&self) -> Option<&Arc<Btf>> {
        self.types.get()
    }

    /// How structures of the kernel are laid out, where that is known.
    pub(crate) fn structures(&self) -> Option<&Layout> {
        let types = self.types.get()?;
        self.structures.get_or_init(|| Layout::of(types)).as_ref()
    }

    /// They were read.
    pub(crate) fn set_kernel_types(&self, types: &Arc<Btf>) {
        self.types.get_or_init(|| types.clone());
    }

    /// Number of vCPUs.
    pub fn cpus(&self) -> u32 {
        self.cpus
    }

    /// The world that runs see which have none of their own.
    pub fn world(&self) -> Arc<World> {
        self.world.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Has runs that begin from now on see this world.
    pub fn set_world(&self, world: World) {
        *self.world.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(world);
    }

    /// Stops the clock at `ns`, or lets it run again, for all runs that have no clock of
    /// their own.
    pub fn set_time(&self, ns: Option<u64>) {
        self.fixed_time.store(ns.map_or(0, |ns| ns.max(1)), Relaxed);
    }

    /// The time that `bpf_ktime_get_ns` gives in a run without a clock of its own.
    pub fn now(&self) -> u64 {
        match self.fixed_time.load(Relaxed) {
            0 => monotonic().unwrap_or_else(|| self.started.elapsed().as_nanos() as u64),
            ns => ns,
        }
    }

    /// How many objects programs made, and how many were freed.
    pub fn objects(&self) -> Objects {
        self.heap.counts()
    }

    /// Seeds the random numbers.
    pub fn seed(&self, seed: u64) {
        self.random.store(seed, Relaxed);
    }

    /// A random number; threads may interleave as they like.
    pub(crate) fn random(&self) -> u32 {
        let mut numbers = fastrand::Rng::with_seed(self.random.load(Relaxed));
        let number = numbers.u32(..);
        self.random.store(numbers.get_seed(), Relaxed);
        number
    }

    /// The number that is shown for an address (Linux's `ptr_to_id`): by a keyed hash, so
    /// that who reads it learns nothing of the address.
    pub(crate) fn pointer_id(&self, address: u64) -> u32 {
        self.pointers.hash_one(address) as u32
    }

    /// A hash of what a flow's packets have in common, by the same key; never 0.
    pub(crate) fn flow_hash(&self, flow: &[u8]) -> u32 {
        (self.pointers.hash_one(flow) as u32).max(1)
    }

    /// Sends what `bpf_trace_printk` prints to `printer`, from the next message on.
    ///
    /// It is called with one message at a time, in their order. It may run programs of this
    /// kernel: what they print follows when it has returned. How deeply such runs nest is
    /// bounded ([`MOST_NESTED`](crate::MOST_NESTED)). It may set another printer. When
    /// it panics it stays the printer.
    pub fn set_printer(&self, printer: impl FnMut(&str) + Send + 'static) {
        self.printer.set(Box::new(printer));
    }

    /// Prints a text, as a program's comes to the printer. One that the printer prints
    /// itself follows when it has returned, and is lost where that goes on for too long.
    pub fn print(&self, text: &str) {
        self.printer.print(text);
    }
}

/// CLOCK_MONOTONIC, which Linux's helper reads.
#[cfg(target_os = "linux")]
fn monotonic() -> Option<u64> {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    u64::try_from(time.tv_sec).ok().map(|sec| sec * 1_000_000_000 + time.tv_nsec as u64)
}

#[cfg(not(target_os = "linux"))]
fn monotonic() -> Option<u64> {
    None
}
