//! What loom runs in every order: that nothing is dropped under a guard, and that a value is
//! read whole. Each model has a sibling with a step left out, of which loom must find the
//! fault: a model that can't fail shows nothing.

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use loom::thread;

use skep_maps::grace::{Epochs, Shown};
use skep_maps::kinds::hash::bucket::{Bucket, Slot, before_filling};

/// An object that a map holds.
struct Object(UnsafeCell<u32>);

// SAFETY: loom checks each access, and panics where two overlap.
unsafe impl Sync for Object {}

/// What is retired: the object is not used after this is dropped.
struct Held(Arc<[Object; 2]>, usize);

impl Drop for Held {
    fn drop(&mut self) {
        // SAFETY: loom panics where somebody reads it meanwhile.
        self.0[self.1].0.with_mut(|object| unsafe { *object = 0 });
    }
}

/// A reader looks an object up under a guard; a writer replaces and retires it.
fn replaced_under_a_guard(guarded: bool) {
    loom::model(move || {
        let epochs = Arc::new(Epochs::new());
        let slot = Arc::new(AtomicUsize::new(0));
        let objects = Arc::new([Object(UnsafeCell::new(7)), Object(UnsafeCell::new(7))]);
        let shown: Arc<Shown> = epochs.register();
        let reader = thread::spawn({
            let (epochs, slot, objects) = (epochs.clone(), slot.clone(), objects.clone());
            move || {
                if guarded {
                    epochs.enter(&shown);
                }
                let at = slot.load(Ordering::Acquire);
                // SAFETY: loom panics where it is dropped meanwhile.
                objects[at].0.with(|object| assert_eq!(unsafe { *object }, 7));
                if guarded {
                    epochs.leave(&shown);
                }
            }
        });
        let old = slot.swap(1, Ordering::SeqCst);
        epochs.retire(Box::new(Held(objects.clone(), old)));
        reader.join().unwrap();
    });
}

#[test]
fn nothing_is_dropped_under_a_guard() {
    replaced_under_a_guard(true);
}

#[test]
#[should_panic]
fn without_a_guard_loom_finds_the_drop() {
    replaced_under_a_guard(false);
}

/// One key in one chain. Two updates put element 2 in the place of 1 and then 1 in the place
/// of 2, each filled anew; a reader copies two words.
fn read_of_against_updates(counted: bool) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(move || {
        let home = Arc::new(Bucket::default());
        home.set_slot(0, Slot::new(1, 1));
        let words = || [AtomicU32::new(0), AtomicU32::new(0)];
        let values = Arc::new([words(), words(), words()]);
        let writer = thread::spawn({
            let (home, values) = (home.clone(), values.clone());
            move || {
                let mut spare = 2;
                for number in 1..=2 {
                    let mut chain = home.lock();
                    before_filling();
                    for word in &values[spare as usize] {
                        word.store(number, Ordering::Relaxed);
                    }
                    let old = home.slot(0).element();
                    home.set_slot(0, Slot::new(1, spare));
                    chain.note_unlinked();
                    drop(chain);
                    spare = old;
                }
            }
        });
        let copy = || -> Result<[u32; 2], ()> {
            let at = home.slot(0).element() as usize;
            Ok([0, 1].map(|word| values[at][word].load(Ordering::Relaxed)))
        };
        let read = if counted { home.unless_changed(copy) } else { Some(copy()) };
        if let Some(Ok([first, second])) = read {
            assert_eq!(first, second, "torn");
        }
        writer.join().unwrap();
    });
}

#[test]
fn a_value_is_read_whole() {
    read_of_against_updates(true);
}

#[test]
#[should_panic]
fn without_the_count_loom_finds_a_torn_value() {
    read_of_against_updates(false);
}
