//! What a sequence's threads share: kernels, and what was got from them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use skep::sys::{Command, Fd, Kernel, Linux, MapCreate, Mapping, Tee, Trace};
use skep::vm::hooks::PacketHook;
use skep::vm::{Engine, Vm};

/// Most of a kind that are kept.
const MOST: usize = 24;
/// Says whether Linux permits bpf(2).
static LINUX: std::sync::OnceLock<bool> = std::sync::OnceLock::new();

/// A stream of chance.
pub struct Dice(fastrand::Rng);

impl Dice {
    pub fn new(seed: u64) -> Dice {
        Dice(fastrand::Rng::with_seed(seed))
    }

    /// The next number.
    pub fn next(&mut self) -> u64 {
        self.0.u64(..)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    /// Whether one in `of` comes up.
    pub fn one_in(&mut self, of: usize) -> bool {
        self.below(of) == 0
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next() as u8).collect()
    }

    /// A length: mostly one that something has, sometimes far off.
    pub fn len(&mut self) -> usize {
        match self.below(12) {
            0 => 0,
            1 => self.below(4096),
            2 => 4096 + self.below(70_000),
            _ => self.pick(&[1, 4, 4, 4, 8, 8, 8, 16, 24, 32, 64, 104, 232]),
        }
    }
}

/// A kernel under test.
pub struct Subject {
    pub kernel: Arc<dyn Kernel>,
    /// The same, where it is an embedded one.
    pub vm: Option<Arc<Vm>>,
}

/// What is shared.
pub struct World {
    pub kernels: [Subject; 2],
    fds: Mutex<Vec<Arc<Fd>>>,
    mappings: Mutex<Vec<Arc<Mapping>>>,
    hooks: Mutex<Vec<PacketHook>>,
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

fn linux_permits() -> bool {
    *LINUX.get_or_init(|| {
        let kernel: Arc<dyn Kernel> = Arc::new(Linux::new());
        let create = MapCreate {
            map_type: 2,
            key_size: 4,
            value_size: 8,
            max_entries: 1,
            ..Default::default()
        };
        let permitted = Fd::open(&kernel, &mut Command::MapCreate(create)).is_ok();
        if !permitted {
            println!("skipped: sequences with Linux: bpf(2) is not permitted");
        }
        permitted
    })
}

impl Subject {
    fn embedded(dice: &mut Dice) -> Subject {
        let vm = Vm::with_cpus(1 + dice.below(3) as u32)
            .with_budget(20_000)
            .with_memory_limit(1 << 20)
            .with_engine(dice.pick(&[
                Engine::Auto,
                Engine::Auto,
                Engine::Guarded,
                Engine::Interpreter,
            ]));
        let vm = Arc::new(if dice.one_in(3) { vm.unverified() } else { vm });
        Subject { kernel: vm.clone(), vm: Some(vm) }
    }

    /// An embedded kernel, alone, watched, or beside another.
    fn random(dice: &mut Dice) -> Subject {
        match dice.below(8) {
            0 if linux_permits() => Subject { kernel: Arc::new(Linux::new()), vm: None },
            1 => {
                let Subject { kernel, vm } = Subject::embedded(dice);
                Subject { kernel: Arc::new(Trace::watch(kernel, |_, _| {})), vm }
            }
            2 => {
                let (first, second) = (Subject::embedded(dice), Subject::embedded(dice));
                let tee = Tee::new(first.kernel, second.kernel);
                Subject { kernel: Arc::new(tee), vm: first.vm }
            }
            _ => Subject::embedded(dice),
        }
    }
}

impl World {
    pub fn new(dice: &mut Dice) -> Arc<World> {
        Arc::new(World {
            kernels: [Subject::embedded(dice), Subject::random(dice)],
            fds: Mutex::default(),
            mappings: Mutex::default(),
            hooks: Mutex::default(),
        })
    }

    pub fn subject(&self, dice: &mut Dice) -> &Subject {
        &self.kernels[dice.below(2)]
    }

    /// Drops all that was kept: callbacks hold the world, and the world the callbacks.
    pub fn close(&self) {
        for subject in &self.kernels {
            if let Some(vm) = &subject.vm {
                vm.environment().set_printer(|_| {});
            }
        }
        drop(std::mem::take(&mut *lock(&self.hooks)));
        drop(std::mem::take(&mut *lock(&self.mappings)));
        drop(std::mem::take(&mut *lock(&self.fds)));
    }

    /// A number for an fd: one of either kernel, or anything.
    pub fn number(&self, dice: &mut Dice) -> u32 {
        if dice.one_in(12) {
            return dice.pick(&[0, 1, 2, 3, 5, 9, 40, 1 << 20, u32::MAX, i32::MIN as u32]);
        }
        self.fd(dice).map_or(3, |fd| fd.raw() as u32)
    }

    /// An fd that was opened.
    pub fn fd(&self, dice: &mut Dice) -> Option<Arc<Fd>> {
        let fds = lock(&self.fds);
        (!fds.is_empty()).then(|| fds[dice.below(fds.len())].clone())
    }

    pub fn mapping(&self, dice: &mut Dice) -> Option<Arc<Mapping>> {
        let mappings = lock(&self.mappings);
        (!mappings.is_empty()).then(|| mappings[dice.below(mappings.len())].clone())
    }

    /// Takes a hook out, to be run and kept again.
    pub fn hook(&self, dice: &mut Dice) -> Option<PacketHook> {
        let mut hooks = lock(&self.hooks);
        (!hooks.is_empty()).then(|| {
            let at = dice.below(hooks.len());
            hooks.swap_remove(at)
        })
    }

    pub fn keep_fd(&self, fd: Fd, dice: &mut Dice) {
        let dropped = keep(&mut lock(&self.fds), Arc::new(fd), dice);
        drop(dropped);
    }

    pub fn keep_mapping(&self, mapping: Mapping, dice: &mut Dice) {
        let dropped = keep(&mut lock(&self.mappings), Arc::new(mapping), dice);
        drop(dropped);
    }

    pub fn keep_hook(&self, hook: PacketHook, dice: &mut Dice) {
        let dropped = keep(&mut lock(&self.hooks), hook, dice);
        drop(dropped);
    }

    /// Forgets something, which may be in use elsewhere.
    pub fn drop_something(&self, dice: &mut Dice) {
        fn take<T>(from: &Mutex<Vec<T>>, dice: &mut Dice) -> Option<T> {
            let mut from = lock(from);
            (!from.is_empty()).then(|| {
                let at = dice.below(from.len());
                from.swap_remove(at)
            })
        }
        match dice.below(4) {
            0 => drop(take(&self.mappings, dice)),
            1 => drop(take(&self.hooks, dice)),
            _ => drop(take(&self.fds, dice)),
        }
    }
}

/// Puts one in, in the place of another where there are many: that is given back, to be
/// dropped without the lock.
fn keep<T>(among: &mut Vec<T>, one: T, dice: &mut Dice) -> Option<T> {
    if among.len() < MOST {
        among.push(one);
        return None;
    }
    let at = dice.below(among.len());
    Some(std::mem::replace(&mut among[at], one))
}

/// Memory with bytes on both sides that nobody may touch.
pub struct Fenced {
    bytes: Vec<u8>,
    len: usize,
}

impl Fenced {
    const SIDE: usize = 64;
    const MARK: u8 = 0xa5;

    pub fn new(content: &[u8]) -> Fenced {
        let side = [Fenced::MARK; Fenced::SIDE];
        Fenced { bytes: [&side, content, &side].concat(), len: content.len() }
    }

    /// So many random bytes.
    pub fn random(len: usize, dice: &mut Dice) -> Fenced {
        Fenced::new(&dice.bytes(len.min(256)).into_iter().cycle().take(len).collect::<Vec<u8>>())
    }

    pub fn get(&mut self) -> &mut [u8] {
        &mut self.bytes[Fenced::SIDE..Fenced::SIDE + self.len]
    }
}

impl Drop for Fenced {
    fn drop(&mut self) {
        let sides = self.bytes[..Fenced::SIDE].iter().chain(&self.bytes[Fenced::SIDE + self.len..]);
        let changed = sides.filter(|&&byte| byte != Fenced::MARK).count();
        assert_eq!(changed, 0, "bytes beside a slice of {} changed", self.len);
    }
}
