//! Timers, work queues and work of tasks, which lie in values of maps: what is to be called, and
//! when. One thread of the kernel's calls it, on a vCPU as every program. What a value holds goes
//! with the value; a timer whose program or map is gone is not called any more. Counterpart:
//! `bpf_timer_*` and `bpf_wq_*` in `kernel/bpf/helpers.c`.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use skep_abi::Errno;

use super::map::MapHandle;
use super::program::Program;

/// A call that is due.
pub(crate) struct Due {
    /// The program whose subprogram it is.
    pub program: Arc<Program>,
    /// The first slot of the subprogram.
    pub function: u32,
    /// The map, and the address of the value that the timer lies in.
    pub map: Arc<MapHandle>,
    pub value: u64,
}

/// How something is called; false where nothing can be called any more.
type Caller = Box<dyn Fn(Due) -> bool + Send + Sync>;

/// What is to be called.
#[derive(Default)]
pub(crate) struct Alarms {
    state: Mutex<State>,
    changed: Condvar,
    caller: OnceLock<Caller>,
}

#[derive(Default)]
struct State {
    /// By the address of the field.
    alarms: BTreeMap<u64, Alarm>,
    /// What is called right now.
    running: Option<u64>,
    /// Whether there is a thread that calls.
    has_thread: bool,
    stopped: bool,
}

struct Alarm {
    map: Weak<MapHandle>,
    /// Address of the value.
    value: u64,
    callback: Option<(Weak<Program>, u32)>,
    due: Option<Instant>,
}

impl Alarms {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has calls made like this, from the first one on.
    pub fn set_caller(&self, caller: Caller) {
        let _the_first_one_stays = self.caller.set(caller);
    }

    /// Whether a field is to be called.
    pub fn is_due(&self, field: u64) -> bool {
        self.state().alarms.get(&field).is_some_and(|alarm| alarm.due.is_some())
    }

    /// Makes the field at an address one of a map's value.
    ///
    /// # Errors
    /// `EBUSY`: it is one already.
    pub fn make(&self, field: u64, map: &Arc<MapHandle>, value: u64) -> Result<(), Errno> {
        let mut state = self.state();
        if state.alarms.contains_key(&field) {
            return Err(Errno::EBUSY);
        }
        let map = Arc::downgrade(map);
        state.alarms.insert(field, Alarm { map, value, callback: None, due: None });
        Ok(())
    }

    /// Says what it calls.
    ///
    /// # Errors
    /// `EINVAL`: it was not made.
    pub fn call(&self, field: u64, program: &Arc<Program>, function: u32) -> Result<(), Errno> {
        let mut state = self.state();
        let alarm = state.alarms.get_mut(&field).ok_or(Errno::EINVAL)?;
        alarm.callback = Some((Arc::downgrade(program), function));
        Ok(())
    }

    /// Has it called after this time.
    ///
    /// # Errors
    /// `EINVAL`: it was not made, or nobody said what it calls.
    pub fn start(self: &Arc<Self>, field: u64, after: Duration) -> Result<(), Errno> {
        let mut state = self.state();
        let alarm = state.alarms.get_mut(&field).ok_or(Errno::EINVAL)?;
        if alarm.callback.is_none() {
            return Err(Errno::EINVAL);
        }
        // What lies beyond all times never comes.
        alarm.due = Instant::now().checked_add(after);
        if !std::mem::replace(&mut state.has_thread, true) {
            let alarms = Arc::clone(self);
            let thread = std::thread::Builder::new().name("skep-timers".into());
            state.has_thread = thread.spawn(move || alarms.serve()).is_ok();
        }
        drop(state);
        self.changed.notify_all();
        Ok(())
    }

    /// Has it not called, unless it is running; gives whether it was to be.
    ///
    /// # Errors
    /// `EINVAL`: it was not made.
    pub fn cancel(&self, field: u64) -> Result<bool, Errno> {
        let mut state = self.state();
        let alarm = state.alarms.get_mut(&field).ok_or(Errno::EINVAL)?;
        Ok(alarm.due.take().is_some())
    }

    /// What is called right now.
    pub fn running(&self) -> Option<u64> {
        self.state().running
    }

    /// The fields at these addresses are gone.
    pub fn forget(&self, addresses: Range<u64>) {
        let mut state = self.state();
        let gone: Vec<u64> = state.alarms.range(addresses).map(|(&at, _)| at).collect();
        for field in gone {
            state.alarms.remove(&field);
        }
    }

    /// Nothing is called any more.
    pub fn stop(&self) {
        let mut state = self.state();
        state.stopped = true;
        state.alarms.clear();
        drop(state);
        self.changed.notify_all();
    }

    /// What the thread does: waits for the next call, and makes it.
    fn serve(&self) {
        let mut state = self.state();
        while !state.stopped {
            let next = state.alarms.iter().filter_map(|(at, alarm)| Some((alarm.due?, *at))).min();
            let now = Instant::now();
            state = match next {
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some((due, _)) if due > now => {
                    let waited = self.changed.wait_timeout(state, due - now);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                Some((_, field)) => {
                    let due = state.alarms.get_mut(&field).and_then(Alarm::take);
                    state.running = Some(field);
                    drop(state);
                    let goes_on =
                        due.is_none_or(|due| self.caller.get().is_some_and(|call| call(due)));
                    let mut state = self.state();
                    state.running = None;
                    state.stopped |= !goes_on;
                    state
                }
            };
        }
    }
}

impl Alarm {
    /// The call, which is made once; `None` where there is nothing left to call.
    fn take(&mut self) -> Option<Due> {
        self.due = None;
        let (program, function) = self.callback.as_ref()?;
        let (program, map) = (program.upgrade()?, self.map.upgrade()?);
        Some(Due { program, function: *function, map, value: self.value })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_made_is_neither_started_nor_cancelled() {
        let alarms = Arc::new(Alarms::default());
        assert_eq!(alarms.start(8, Duration::ZERO), Err(Errno::EINVAL));
        assert_eq!(alarms.cancel(8), Err(Errno::EINVAL));
        assert!(!alarms.is_due(8));
        let mut state = alarms.state();
        let alarm = || Alarm { map: Weak::new(), value: 0, callback: None, due: None };
        state.alarms.insert(8, alarm());
        state.alarms.insert(64, alarm());
        drop(state);
        assert_eq!(alarms.start(8, Duration::ZERO), Err(Errno::EINVAL), "it calls nothing");
        assert_eq!(alarms.cancel(8), Ok(false));
        alarms.forget(0..64);
        assert_eq!(alarms.cancel(8), Err(Errno::EINVAL));
        assert_eq!(alarms.cancel(64), Ok(false));
    }

    #[test]
    fn a_timer_whose_program_is_gone_calls_nothing_and_its_thread_ends() {
        let alarms = Arc::new(Alarms::default());
        alarms.set_caller(Box::new(|_| panic!("nothing is left to call")));
        let callback = Some((Weak::new(), 3));
        let alarm = Alarm { map: Weak::new(), value: 0, callback, due: None };
        alarms.state().alarms.insert(8, alarm);
        assert_eq!(alarms.start(8, Duration::ZERO), Ok(()));
        // The thread takes the timer, and goes on waiting.
        while alarms.is_due(8) || alarms.running().is_some() {
            std::thread::yield_now();
        }
        alarms.stop();
        while Arc::strong_count(&alarms) > 1 {
            std::thread::yield_now();
        }
    }
}
