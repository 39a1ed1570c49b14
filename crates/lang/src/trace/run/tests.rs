//! `test:` and `bench:` probes: each is run here, and said to be right or not.

use std::time::{Duration, Instant};

use super::super::checked::Point;
use super::super::output::json;
use super::{RunError, Session};

const GREEN: &str = "\x1b[32m";
const RED: &str = "\x1b[31m";
const PLAIN: &str = "\x1b[0m";

/// A bench is repeated until it takes so long.
const LONG_ENOUGH: Duration = Duration::from_millis(1);

impl Session<'_, '_> {
    fn named(&self, name: impl Fn(&Point) -> Option<String>) -> Vec<(usize, String)> {
        let programs = self.script.programs.iter().enumerate();
        programs.filter_map(|(at, of)| Some((at, name(of.points.first()?)?))).collect()
    }

    fn begin(&mut self) -> Result<(), RunError> {
        for program in self.at(&Point::Begin) {
            self.run_program(program)?;
        }
        self.drain().map(drop)
    }

    fn finish(&mut self) -> Result<(), RunError> {
        self.exit = None;
        for program in self.at(&Point::End) {
            self.run_program(program)?;
        }
        self.drain()?;
        self.printer.end()?;
        Ok(self.printer.flush()?)
    }

    /// Runs all tests. One is right that returns 0, reports no error and does not end with
    /// another status.
    pub(super) fn tests(&mut self) -> Result<(), RunError> {
        let tests = self.named(|point| match point {
            Point::Test(name) => Some(name.to_string()),
            _ => None,
        });
        if tests.is_empty() {
            return Err(RunError::Attach("there is no test: probe".into()));
        }
        self.begin()?;
        let count = tests.len();
        let of = |count: usize| if count == 1 { "test" } else { "tests" };
        if !self.printer.json {
            writeln!(self.printer.out, "{GREEN}[==========]{PLAIN} Running {count} tests.")?;
        }
        let mut failed = Vec::new();
        for (program, name) in tests {
            if !self.printer.json {
                writeln!(self.printer.out, "{GREEN}[ RUN      ]{PLAIN} {name}")?;
            }
            let (started, errors) = (Instant::now(), self.errors);
            let result = self.run_program(program)?;
            let took = started.elapsed();
            self.drain()?;
            let passed = result == 0 && self.status == 0 && self.errors == errors;
            (self.status, self.exit) = (0, None);
            self.say_result(&name, passed, took)?;
            if !passed {
                failed.push(name);
            }
        }
        self.status = i32::from(!failed.is_empty());
        if !self.printer.json {
            let (passed, out) = (count - failed.len(), &mut *self.printer.out);
            writeln!(out, "{GREEN}[==========]{PLAIN} {count} {} ran.", of(count))?;
            writeln!(out, "{GREEN}[  PASSED  ]{PLAIN} {passed} {}.", of(passed))?;
            if !failed.is_empty() {
                let (bad, tests) = (failed.len(), of(failed.len()));
                writeln!(out, "{RED}[  FAILED  ]{PLAIN} {bad} {tests}, listed below:")?;
                for name in &failed {
                    writeln!(out, "{RED}[  FAILED  ]{PLAIN} {name}")?;
                }
            }
        }
        self.finish()
    }

    fn say_result(&mut self, name: &str, passed: bool, took: Duration) -> Result<(), RunError> {
        let out = &mut *self.printer.out;
        let nanos = took.as_nanos();
        if self.printer.json {
            json::write_record(out, "test_result", |out| {
                out.write_all(b"{")?;
                json::write_string(out, name.as_bytes())?;
                write!(out, ": {{\"duration\": {nanos}, \"passed\": {passed}, \"output\": \"\"}}}}")
            })?;
            return Ok(());
        }
        let (colour, word) = if passed { (GREEN, "      OK ") } else { (RED, " FAILED  ") };
        writeln!(out, "{colour}[ {word}]{PLAIN} {name} ({nanos} ns)")?;
        Ok(())
    }

    /// Runs all benches, each so often that it takes long enough to be measured. What they
    /// print is not printed. One that returns another value than 0 is left out.
    pub(super) fn benches(&mut self) -> Result<(), RunError> {
        let benches = self.named(|point| match point {
            Point::Bench(name) => Some(name.to_string()),
            _ => None,
        });
        if benches.is_empty() {
            return Err(RunError::Attach("there is no bench: probe".into()));
        }
        self.begin()?;
        let width = benches.iter().map(|(_, name)| name.len()).max().unwrap_or(0).max(40);
        let mut is_first = true;
        for (program, name) in benches {
            let Some((average, count)) = self.measure(program)? else { continue };
            let out = &mut *self.printer.out;
            if self.printer.json {
                json::write_record(out, "benchmark_result", |out| {
                    out.write_all(b"{")?;
                    json::write_string(out, name.as_bytes())?;
                    write!(out, ": {{\"average\": {average}, \"iters\": {count}}}}}")
                })?;
                continue;
            }
            if is_first {
                writeln!(out, "{:<width$} {:<15}Iterations", "Benchmark", "Time(ns)")?;
                writeln!(out, "{}", "-".repeat(width + 1 + 15 + "Iterations".len()))?;
            }
            writeln!(out, "{name:<width$} {average:<15}{count}")?;
            is_first = false;
        }
        self.finish()
    }

    /// Nanoseconds of a run on average, and of how many.
    fn measure(&mut self, program: usize) -> Result<Option<(u128, u64)>, RunError> {
        let mut count = 1u64;
        loop {
            let started = Instant::now();
            for _ in 0..count {
                if self.run_program(program)? != 0 {
                    return Ok(None);
                }
            }
            let took = started.elapsed();
            while self.ring.next_record().is_some() {}
            if took >= LONG_ENOUGH || count >= 1 << 30 {
                return Ok(Some((took.as_nanos() / u128::from(count), count)));
            }
            count *= if took < LONG_ENOUGH / 10 { 10 } else { 2 };
        }
    }
}
