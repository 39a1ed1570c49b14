//! Where the messages of programs go.
//!
//! The printer is not locked while it is called: it may run programs, print by them, set
//! another printer, or panic. One message is printed at a time, in the order in which
//! they came. What is printed while the thread is inside of the printer is printed when that
//! has returned; other threads wait for their turn, but not for ever: who prints holds a
//! vCPU, for which the printer may be waiting.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};
use std::time::Instant;

use super::vcpus;

/// Receives what programs print.
type Receiver = Box<dyn FnMut(&str) + Send>;

/// Prints messages, by whatever was set to.
#[derive(Default)]
pub struct Printer {
    state: Mutex<State>,
    /// Notified when nobody prints any more.
    idle: Condvar,
}

#[derive(Default)]
struct State {
    /// Away while it is called; what is set meanwhile takes its place.
    receiver: Option<Receiver>,
    /// Who calls it.
    printing: Option<ThreadId>,
    /// How deeply nested the message is that is printed.
    depth: u32,
    /// What is to be printed next.
    queue: VecDeque<Message>,
}

struct Message {
    text: String,
    /// How deeply nested the run was that printed it. Runs that the printer starts are
    /// nested in that one, so that a printer whose runs print comes to an end.
    depth: u32,
}

impl Printer {
    /// Sends messages to `receiver` from the next one on.
    pub fn set(&self, receiver: Receiver) {
        let before = self.lock().receiver.replace(receiver);
        // What is dropped with it may print, too.
        drop(before);
    }

    /// Prints a message.
    pub fn print(&self, text: &str) {
        let me = thread::current().id();
        let mut message = Message { text: text.to_owned(), depth: vcpus::depth() };
        let mut state = self.lock();
        let started = Instant::now();
        while let Some(other) = state.printing {
            let left = vcpus::LONG.saturating_sub(started.elapsed());
            if other == me {
                // What the printer itself prints, by no run, is nested in what it prints now.
                message.depth = message.depth.max(state.depth + 1);
                if message.depth <= vcpus::MOST_NESTED {
                    state.queue.push_back(message);
                }
                return;
            }
            if left.is_zero() {
                return state.queue.push_back(message);
            }
            let waited = self.idle.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        state.queue.push_back(message);
        state.printing = Some(me);
        let mut turn = Turn { printer: self, receiver: None, over: false };
        while let Some(message) = state.queue.pop_front() {
            turn.receiver = state.receiver.take();
            let depth = message.depth.max(vcpus::depth());
            state.depth = depth;
            drop(state);
            if let Some(receiver) = &mut turn.receiver {
                vcpus::at_depth(depth, || receiver(&message.text));
            }
            state = turn.put_back();
        }
        turn.over = true;
        state.printing = None;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that could panic happens while it is locked.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A thread's turn to print; ends when this is dropped, by a panic of the printer too.
struct Turn<'p> {
    printer: &'p Printer,
    receiver: Option<Receiver>,
    over: bool,
}

impl<'p> Turn<'p> {
    /// Puts the receiver back, unless another one was set meanwhile.
    fn put_back(&mut self) -> MutexGuard<'p, State> {
        let mut state = self.printer.lock();
        if state.receiver.is_none() {
            state.receiver = self.receiver.take();
        } else if self.receiver.is_some() {
            drop(state);
            self.receiver = None;
            state = self.printer.lock();
        }
        state
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if !self.over {
            self.put_back().printing = None;
        }
        self.printer.idle.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::Arc;

    #[test]
    fn a_printer_that_panics_stays_and_others_are_not_kept_waiting() {
        let (printer, said) = (Printer::default(), Arc::new(Mutex::new(Vec::new())));
        let heard = said.clone();
        printer.set(Box::new(move |text| {
            assert_ne!(text, "bad", "on purpose");
            heard.lock().unwrap().push(text.to_owned());
        }));
        for text in ["one", "bad", "two"] {
            let printed = catch_unwind(AssertUnwindSafe(|| printer.print(text)));
            assert_eq!(printed.is_err(), text == "bad");
        }
        thread::scope(|scope| {
            scope.spawn(|| printer.print("three"));
        });
        assert_eq!(*said.lock().unwrap(), ["one", "two", "three"]);
        assert!(vcpus::depth() == 0 && printer.lock().printing.is_none());
    }

    #[test]
    fn a_printer_that_prints_comes_to_an_end() {
        let (printer, said) = (Arc::new(Printer::default()), Arc::new(Mutex::new(0)));
        let (heard, again) = (said.clone(), printer.clone());
        printer.set(Box::new(move |text| {
            *heard.lock().unwrap() += 1;
            again.print(text);
        }));
        printer.print("again");
        printer.set(Box::new(|_| {}));
        assert_eq!(*said.lock().unwrap(), vcpus::MOST_NESTED + 1);
    }

    #[test]
    fn what_a_printer_drops_with_itself_may_print() {
        struct Last(Arc<Printer>);
        impl Drop for Last {
            fn drop(&mut self) {
                self.0.print("last");
            }
        }
        let (printer, said) = (Arc::new(Printer::default()), Arc::new(Mutex::new(Vec::new())));
        let (last, heard, again) = (Last(printer.clone()), said.clone(), printer.clone());
        printer.set(Box::new(move |_| {
            let (_, heard) = (&last, heard.clone());
            again.set(Box::new(move |text| heard.lock().unwrap().push(text.to_owned())));
        }));
        printer.print("first");
        printer.print("second");
        assert_eq!(*said.lock().unwrap(), ["last", "second"]);
        printer.set(Box::new(|_| {}));
    }
}
