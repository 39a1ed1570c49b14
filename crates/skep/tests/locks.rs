//! `bpf_spin_lock` in the embedded kernel: what two CPUs count under a lock adds up, with
//! every engine, and who never gives a lock back keeps nobody waiting for ever: a run that
//! ends gives back what it holds.

use std::path::Path;
use std::sync::Arc;
use std::thread;

use skep::abi::flags::update;
use skep::load::{Linked, Options, Target, load, relocate};
use skep::vm::Engine;
use skep::vm::hooks::{PacketError, PacketHook};
use skep::vm::jit::Passes;
use skep::{Kernel, Object, Skep, Vm};

const FRAME: [u8; 60] = [0; 60];
const ENGINES: [Engine; 3] = [Engine::Interpreter, Engine::Guarded, Engine::Auto];

fn linked(object: &str, kernel: &Arc<dyn Kernel>) -> (Linked, Target) {
    let programs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/programs");
    let object = Object::open(programs.join(object)).expect("a committed object");
    let target = Target::of(&**kernel);
    (relocate(&object, &target).expect("nothing is missing"), target)
}

fn loaded(vm: &Arc<Vm>, change: impl FnOnce(&mut Linked)) -> Skep {
    let kernel: Arc<dyn Kernel> = vm.clone();
    let (mut linked, target) = linked("xdp_lock_count.bpf.o", &kernel);
    change(&mut linked);
    load(&linked, &target, &kernel, &Options::default()).expect("the object loads")
}

fn hook(vm: &Arc<Vm>, skep: &Skep, engine: Engine) -> PacketHook {
    let program = skep.program("lock_count").expect("a program of this name");
    let hook = PacketHook::new(vm, program.fd().raw()).expect("it takes packets");
    hook.with_engine(engine, Passes::ALL)
}

/// The words of the only element: the longest packet and the lock, packets, bytes.
fn total(skep: &Skep) -> [u64; 3] {
    let map = skep.map("total").expect("a map of this name");
    let value = map.lookup(&[0; 4]).expect("a look-up").expect("an element");
    let word = |at: usize| u64::from_ne_bytes(value[at..at + 8].try_into().expect("8 bytes"));
    [word(0), word(8), word(16)]
}

#[test]
fn what_two_cpus_count_under_a_lock_adds_up() {
    const PACKETS: u64 = 20_000;
    for first in ENGINES {
        for second in ENGINES {
            let vm = Arc::new(Vm::with_cpus(2));
            let skep = loaded(&vm, |_| ());
            thread::scope(|scope| {
                for engine in [first, second] {
                    let mut hook = hook(&vm, &skep, engine);
                    scope.spawn(move || {
                        for _ in 0..PACKETS {
                            assert_eq!(hook.run(&FRAME).map(|verdict| verdict.retval), Ok(2));
                        }
                    });
                }
            });
            assert_eq!(total(&skep), [60, 2 * PACKETS, 120 * PACKETS], "{first:?}, {second:?}");
        }
    }
}

#[test]
fn a_system_call_with_the_flag_leaves_the_lock_usable() {
    for engine in ENGINES {
        let vm = Arc::new(Vm::with_cpus(1));
        let skep = loaded(&vm, |_| ());
        let mut hook = hook(&vm, &skep, engine);
        let map = skep.map("total").expect("a map of this name");
        for (flags, first) in [(update::LOCK, 7u64), (update::EXIST, 11)] {
            // Ones in the lock's place are nobody's business.
            let value = [u64::MAX, first, 0].map(u64::to_ne_bytes).concat();
            map.update(&[0; 4], &value, flags).expect("an update");
            assert_eq!(total(&skep), [u32::MAX.into(), first, 0]);
            assert_eq!(hook.run(&FRAME).map(|verdict| verdict.retval), Ok(2));
            assert_eq!(total(&skep)[1], first + 1);
        }
    }
}

/// The object's program with this in the place of its calls of `bpf_spin_unlock`.
fn without_unlock(vm: &Arc<Vm>, code: u8, imm: i32) -> Skep {
    const UNLOCK: i32 = 94;
    loaded(vm, |linked| {
        for slot in &mut linked.programs[0].insns {
            if (slot.code, slot.src, slot.imm) == (0x85, 0, UNLOCK) {
                (slot.code, slot.imm) = (code, imm);
            }
        }
    })
}

#[test]
fn a_lock_that_is_never_given_back_ends_the_run_that_waits() {
    const LOCK: i32 = 93;
    for engine in [Engine::Interpreter, Engine::Guarded] {
        let vm = Arc::new(Vm::with_cpus(1).unverified());
        let skep = without_unlock(&vm, 0x85, LOCK);
        let mut hook = hook(&vm, &skep, engine);
        let Err(PacketError::Trapped(trap)) = hook.run(&FRAME) else {
            panic!("{engine:?}: the lock was taken twice");
        };
        let why = trap.to_string();
        assert!(why.contains("held and not given back"), "{engine:?}: {why}");
    }
}

#[test]
fn a_run_that_ends_gives_its_lock_back() {
    for engine in [Engine::Interpreter, Engine::Guarded] {
        // r0 = 0, and a helper that Linux has none of.
        for (code, imm, returns) in [(0xb7, 0, true), (0x85, 9999, false)] {
            let vm = Arc::new(Vm::with_cpus(1).unverified());
            let skep = without_unlock(&vm, code, imm);
            let mut hook = hook(&vm, &skep, engine);
            for _ in 0..3 {
                assert_eq!(hook.run(&FRAME).is_ok(), returns, "{engine:?}");
            }
            let map = skep.map("total").expect("a map of this name");
            assert_eq!(map.update(&[0; 4], &[0; 24], update::LOCK), Ok(()), "{engine:?}");
        }
    }
}
