//! What came out: a line for each corpus and set of capabilities, the thresholds, and
//! the list of all that differs.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use super::Corpus;
use super::judge::{Case, Verdict};
use super::privilege::Privilege;

/// How much agrees.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// Programs with a verdict on Linux.
    pub judged: usize,
    /// Verdicts that agree.
    pub verdicts: usize,
    /// Rejections that agree; what `messages` and `insns` count.
    pub rejected: usize,
    /// Messages that agree.
    pub messages: usize,
    /// Failing instructions that agree.
    pub insns: usize,
    /// Accepted by both.
    pub accepted: usize,
    /// Of those, explored in as many steps and states.
    pub alike: usize,
    /// Of those, with the same tag; of the others nothing is compared.
    pub tags: usize,
    /// What we accept and Linux rejects.
    pub too_lax: usize,
    /// What we reject and Linux accepts.
    pub too_strict: usize,
}

impl Tally {
    /// Whether the goal of this corpus is met; there is none for the rest of A.
    pub fn meets_goal(&self, corpus: Corpus, privilege: Privilege) -> bool {
        let share = |part: usize, whole: usize, percent: usize| part * 100 >= whole * percent;
        if corpus != Corpus::Trampolines && self.tags != self.accepted {
            return false;
        }
        match (corpus, privilege) {
            (Corpus::AVerifier, Privilege::All) => {
                share(self.verdicts, self.judged, 96) && share(self.messages, self.rejected, 85)
            }
            (Corpus::AVerifier, Privilege::Reduced) => {
                share(self.verdicts, self.judged, 93) && share(self.messages, self.rejected, 85)
            }
            (Corpus::ARest | Corpus::Trampolines, _) => true,
            (Corpus::B, _) => self.too_strict == 0,
            (Corpus::C, _) => share(self.verdicts, self.judged, 99),
            (Corpus::Kfuncs | Corpus::Globals, _) => self.too_lax == 0,
            (Corpus::Tables | Corpus::Paths, _) => self.verdicts == self.judged,
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tally { judged, verdicts, rejected, messages, insns, .. } = self;
        write!(
            f,
            "agree {verdicts} of {judged}, message {messages} of {rejected}, \
             insn {insns} of {rejected}"
        )
    }
}

/// Everything that was judged.
#[derive(Default)]
pub struct Report {
    /// Figures, by corpus and capabilities.
    pub tallies: BTreeMap<(usize, usize), Tally>,
    /// What differs, a line each.
    pub differences: String,
    /// Why programs have no verdict, and how many.
    pub skipped: BTreeMap<String, usize>,
    /// What took more than twice as long as on Linux, a line each.
    pub slow: String,
    /// Our time as a share of Linux's.
    pub ratios: Vec<f64>,
    /// Rows that rejected a program.
    pub reasons: BTreeMap<&'static str, usize>,
}

impl Report {
    /// Counts a program, and notes where it differs.
    pub fn add(&mut self, corpus: Corpus, name: &str, case: &Case, with_logs: bool) {
        let place = (corpus as usize, case.privilege as usize);
        let tally = self.tallies.entry(place).or_default();
        tally.judged += 1;
        let privilege = case.privilege.name();
        let ours = match &case.ours {
            Ok(ours) => ours,
            Err(why) => {
                tally.too_strict += usize::from(case.linux.result.is_ok());
                let linux = summary(&case.linux);
                let _ = writeln!(
                    self.differences,
                    "VERDICT {privilege} {name}: {linux} | no verdict: {why}"
                );
                return;
            }
        };
        if !ours.reason.is_empty() {
            *self.reasons.entry(ours.reason).or_default() += 1;
        }
        let linux = &case.linux;
        if linux.time.as_micros() > 50 && linux.result.is_ok() && ours.result.is_ok() {
            let ratio = ours.time.as_secs_f64() / linux.time.as_secs_f64();
            self.ratios.push(ratio);
            if ratio > 2.0 {
                let (ours, theirs) = (ours.time, linux.time);
                let _ = writeln!(self.slow, "slow {privilege} {name}: {ours:?}, Linux {theirs:?}");
            }
        }
        let mark = match (linux.result, ours.result) {
            (Ok(()), Ok(())) => {
                tally.verdicts += 1;
                tally.accepted += 1;
                let same_tag = linux.tag == ours.tag || linux.tag == [0; 8];
                tally.tags += usize::from(same_tag);
                tally.alike += usize::from(linux.counts == ours.counts);
                match (same_tag, linux.counts == ours.counts) {
                    (true, true) => return,
                    (false, _) => "TAG",
                    (true, false) => "counts",
                }
            }
            (Err(theirs), Err(errno)) => {
                tally.verdicts += 1;
                tally.rejected += 1;
                let same_message = linux.message() == ours.message();
                let same_insn = same_insn(linux, ours);
                tally.messages += usize::from(same_message);
                tally.insns += usize::from(same_insn);
                match (same_message, same_insn) {
                    (true, true) if theirs == errno => return,
                    (true, true) => "errno",
                    (true, false) => "insn",
                    (false, _) => "words",
                }
            }
            (Ok(()), Err(_)) => {
                tally.too_strict += 1;
                "STRICT"
            }
            (Err(_), Ok(())) => {
                tally.too_lax += 1;
                "LAX"
            }
        };
        let _ = writeln!(
            self.differences,
            "{mark} {privilege} {name}: {} | {}",
            summary(linux),
            summary(ours)
        );
        if with_logs {
            let _ =
                writeln!(self.differences, "--- Linux\n{}\n--- ours\n{}", case.linux.log, ours.log);
        }
    }

    /// Counts a program without a verdict.
    pub fn skip(&mut self, why: impl Into<String>) {
        *self.skipped.entry(why.into()).or_default() += 1;
    }
}

/// Whether both name the same instruction. Where Linux's log names none, neither may ours.
fn same_insn(linux: &Verdict, ours: &Verdict) -> bool {
    match linux.insn {
        Some(insn) => ours.insn == Some(insn),
        None => super::judge::failing_insn(&ours.log).is_none(),
    }
}

fn summary(verdict: &Verdict) -> String {
    match verdict.result {
        Ok(()) => format!("accepted {:?}", verdict.counts),
        Err(errno) => {
            let at = verdict.insn.map(|insn| format!(" at {insn}")).unwrap_or_default();
            format!("{errno}{at} {:?}", verdict.message())
        }
    }
}
