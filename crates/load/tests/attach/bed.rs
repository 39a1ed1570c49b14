//! What all tests of hooks need: the object with the programs, one of them loaded, and what it
//! counted.

use std::cell::RefCell;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use skep_abi::Errno;
use skep_load::attach::{Hook, Link};
use skep_load::{Error, LinkError, Object, Skep};
use skep_sys::{Command, Kernel, Linux, NextId, ObjectKind};

pub fn linux() -> Arc<dyn Kernel> {
    Arc::new(Linux::new())
}

pub fn object() -> Object {
    let path = format!("{}/tests/objects/attach.bpf.o", env!("CARGO_MANIFEST_DIR"));
    Object::open(path).unwrap_or_else(|error| panic!("{error}"))
}

/// Waits until no other test of this process is under way, and has the others wait until this
/// one's thread has ended. A process that one test starts has a copy of each link of another
/// test until it executes: such a link would outlive its drop by a moment.
pub fn alone() {
    static TURN: Mutex<()> = Mutex::new(());
    thread_local!(static HELD: RefCell<Option<MutexGuard<'static, ()>>> = const { RefCell::new(None) });
    HELD.with_borrow_mut(|held| {
        held.get_or_insert_with(|| TURN.lock().unwrap_or_else(PoisonError::into_inner));
    });
}

/// One program of the object, loaded.
pub struct Bed {
    pub skep: Skep,
    pub name: &'static str,
}

impl Bed {
    /// `None` where Linux does not take it.
    pub fn new(name: &'static str) -> Option<Bed> {
        Bed::with(&linux(), name, |_| {})
    }

    pub fn with(
        kernel: &Arc<dyn Kernel>,
        name: &'static str,
        edit: impl FnOnce(&mut Object),
    ) -> Option<Bed> {
        alone();
        let mut object = object();
        object.select(|program| program.name == name);
        let thread = rustix::thread::gettid().as_raw_nonzero().get() as u32;
        object.set_global("only", &thread).expect("a variable");
        edit(&mut object);
        match object.load(kernel) {
            Ok(skep) => Some(Bed { skep, name }),
            Err(Error::Load(error)) if error.errno() == Some(Errno::EPERM) => {
                println!("skipped: {name}: {error}");
                None
            }
            Err(error) => panic!("{name}: {error}"),
        }
    }

    pub fn hits(&self) -> u64 {
        self.skep.global("hits").expect("a variable")
    }

    /// Compares what was counted with what was done, and says so: `cargo xtask parity attach`
    /// adds these lines up.
    pub fn counted(&self, kind: &str, done: u64) {
        self.counted_since(kind, 0, done);
    }

    pub fn counted_since(&self, kind: &str, before: u64, done: u64) {
        let counted = self.hits() - before;
        println!("hook {kind}: done {done}, counted {counted}");
        assert_eq!(counted, done, "{kind}");
    }

    pub fn cookie(&self) -> u64 {
        self.skep.global("cookie").expect("a variable")
    }

    pub fn attach(&self, hook: impl Hook) -> Result<Link, LinkError> {
        self.skep.program(self.name).expect("it is loaded").attach(hook)
    }

    /// Attaches where this machine can; says where it cannot.
    pub fn try_attach(&self, hook: impl Hook) -> Option<Link> {
        match self.attach(hook) {
            Ok(link) => Some(link),
            Err(error) => {
                let errno = error.errno();
                let absent = [Errno::EPERM, Errno::EACCES, Errno::EOPNOTSUPP, Errno::ENOENT];
                assert!(errno.is_some_and(|errno| absent.contains(&errno)), "{error}");
                println!("skipped: {error}");
                None
            }
        }
    }
}

/// Whether a link with this id is there.
pub fn link_exists(id: u32) -> bool {
    let mut next = NextId { start_id: id - 1, ..NextId::default() };
    let kernel = linux();
    let mut command = Command::NextId(ObjectKind::Link, std::mem::take(&mut next));
    let found = kernel.bpf(&mut command);
    match command {
        Command::NextId(_, next) => found.is_ok() && next.next_id == id,
        _ => unreachable!(),
    }
}
