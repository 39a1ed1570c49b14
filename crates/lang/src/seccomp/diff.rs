//! Which calls two policies decide differently, and for which arguments.
//!
//! Ranges of numbers on which neither changes are compared once; where arguments matter,
//! both are split until each case is decided, and cases in which the same conditions hold
//! are told as one.

use std::collections::BTreeMap;

use super::arch::Arch;
use super::facts::{ARCH, Facts, NR, Test};
use super::machine::data;
use super::open::Open;
use super::plan::{Data, Plan, Section, Target};
use super::policy::{Action, Condition};
use super::question::{Look, look};

/// Conditions looked at before a comparison is given up.
const WORK: usize = 50_000_000;
/// Cases that are told for one range of numbers.
const MAX_CASES: usize = 1000;

/// Calls that are decided differently.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Difference {
    /// The audit value; 0 for all that neither lists.
    pub arch: u32,
    /// The numbers, from the first to the last.
    pub numbers: (u32, u32),
    /// What holds of the arguments: conditions of either policy, and whether they hold.
    pub conditions: Vec<(Condition, bool)>,
    /// What the first says.
    pub old: Action,
    /// What the second says.
    pub new: Action,
    /// A call that they decide so.
    pub example: Data,
}

impl Difference {
    /// The name of the call, where it is one.
    pub fn call(&self) -> Option<&'static str> {
        let (first, last) = self.numbers;
        let mut arches = Arch::all().filter(|arch| arch.audit() == self.arch && arch.is_own(first));
        if first == last { arches.next()?.call(first) } else { None }
    }
}

/// Why two policies were not compared to the end.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DiffError {
    /// They are for machines of different byte orders.
    #[error("the policies are for different byte orders")]
    ByteOrders,
    /// It would take too long.
    #[error("the conditions on arguments meet in too many ways to be compared")]
    TooComplex,
}

/// What differs, from the lowest number on.
///
/// # Errors
/// They are for different byte orders, or too much would have to be looked at.
pub fn diff(old: &Plan, new: &Plan) -> Result<Vec<Difference>, DiffError> {
    if old.little != new.little {
        return Err(DiffError::ByteOrders);
    }
    let mut comparison = Comparison { old, new, found: Vec::new(), work: 0 };
    let mut others = Some(Facts::none());
    let of = |plan: &Plan| plan.sections.iter().map(|section| section.audit).collect::<Vec<_>>();
    let mut audits = of(old);
    audits.extend(of(new).into_iter().filter(|audit| !of(old).contains(audit)));
    for audit in audits {
        let test = Test::Range(audit, audit);
        others = others.and_then(|others| others.with(ARCH, test, false));
        if let Some(facts) = Facts::none().with(ARCH, test, true) {
            comparison.section(audit, &facts)?;
        }
    }
    if let Some(facts) = others {
        let pair = [Open::decided(old.bad_arch), Open::decided(new.bad_arch)];
        comparison.cases(0, (0, u32::MAX), pair, &[], facts)?;
    }
    Ok(comparison.found)
}

struct Comparison<'a> {
    old: &'a Plan,
    new: &'a Plan,
    found: Vec<Difference>,
    work: usize,
}

/// Conditions that hold or do not, with what both say.
type Told = (Vec<(Condition, bool)>, Action, Action);

impl<'a> Comparison<'a> {
    fn section(&mut self, audit: u32, facts: &Facts) -> Result<(), DiffError> {
        let find = |plan: &'a Plan| plan.sections.iter().find(|section| section.audit == audit);
        let (old, new) = (find(self.old), find(self.new));
        let starts = |section: Option<&'a Section>| {
            section.into_iter().flat_map(|section| section.spans.iter().map(|span| span.first))
        };
        let mut firsts: Vec<u32> = starts(old).chain(starts(new)).chain([0]).collect();
        firsts.sort_unstable();
        firsts.dedup();
        let ends = firsts.iter().skip(1).map(|next| next - 1).chain([u32::MAX]);
        for (&first, last) in firsts.iter().zip(ends) {
            let target = |section: Option<&'a Section>, plan: &Plan| match section {
                Some(section) => {
                    let target = section.target(first);
                    (Open::of(target), Some(target))
                }
                None => (Open::decided(plan.bad_arch), None),
            };
            let ((one, of_old), (other, of_new)) = (target(old, self.old), target(new, self.new));
            let conditions = |target: Option<&'a Target>| {
                target
                    .into_iter()
                    .flat_map(|target| &target.rules)
                    .flat_map(|rule| &rule.conditions)
            };
            let mut asked: Vec<Condition> =
                conditions(of_old).chain(conditions(of_new)).copied().collect();
            asked.sort_unstable();
            asked.dedup();
            if let Some(facts) = facts.with(NR, Test::Range(first, last), true) {
                self.cases(audit, (first, last), [one, other], &asked, facts)?;
            }
        }
        Ok(())
    }

    /// All cases of a range of numbers.
    fn cases(
        &mut self,
        arch: u32,
        numbers: (u32, u32),
        pair: [Open<'a>; 2],
        asked: &[Condition],
        facts: Facts,
    ) -> Result<(), DiffError> {
        let mut told: BTreeMap<Told, Data> = BTreeMap::new();
        let mut waiting = vec![(pair, facts)];
        while let Some(([old, new], facts)) = waiting.pop() {
            let (old, of_old) = old.reduce(self.old, &facts, &mut self.work);
            let (new, of_new) = new.reduce(self.new, &facts, &mut self.work);
            if self.work > WORK || told.len() > MAX_CASES {
                return Err(DiffError::TooComplex);
            }
            if let Some(&(word, test)) = of_old.first().or(of_new.first()) {
                for holds in [false, true] {
                    if let Some(facts) = facts.with(word, test, holds) {
                        waiting.push(([old.clone(), new.clone()], facts));
                    }
                }
            } else if old.otherwise != new.otherwise {
                let Some(words) = facts.pick() else { return Err(DiffError::TooComplex) };
                let known = |condition: &Condition| match look(self.old, condition, &facts) {
                    Look::Known(holds) => Some((*condition, holds)),
                    Look::Ask(..) => None,
                };
                let conditions = asked.iter().filter_map(known).collect();
                let told = told.entry((conditions, old.otherwise, new.otherwise));
                told.or_insert_with(|| data(&words, self.old.little));
            }
        }
        for ((conditions, old, new), example) in told {
            let difference = Difference { arch, numbers, conditions, old, new, example };
            // Neighbours that differ alike are one.
            match self.found.last_mut() {
                Some(last)
                    if (last.arch, last.old, last.new) == (arch, old, new)
                        && last.conditions.is_empty()
                        && difference.conditions.is_empty()
                        && last.numbers.1.checked_add(1) == Some(numbers.0)
                        && last.call().is_none()
                        && difference.call().is_none() =>
                {
                    last.numbers.1 = numbers.1;
                }
                _ => self.found.push(difference),
            }
        }
        Ok(())
    }
}
