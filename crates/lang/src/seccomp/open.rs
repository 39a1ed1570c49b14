//! What of a call's rules is still open when something is known of its arguments.

use super::facts::{Facts, Test};
use super::plan::{Plan, Target};
use super::policy::{Action, Condition};
use super::question::{Look, look};

/// Rules that may hold, in their order, and what holds without them.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Open<'a> {
    rules: Vec<(Action, Vec<&'a Condition>)>,
    pub otherwise: Action,
}

impl<'a> Open<'a> {
    /// All of a target.
    pub fn of(target: &'a Target) -> Open<'a> {
        let rules = target.rules.iter();
        let rules = rules.map(|bound| (bound.action, bound.conditions.iter().collect()));
        Open { rules: rules.collect(), otherwise: target.otherwise.0 }
    }

    /// Nothing: this happens.
    pub fn decided(action: Action) -> Open<'a> {
        Open { rules: Vec::new(), otherwise: action }
    }

    /// Leaves out what is decided. Gives also the tests that are open; where there are none,
    /// `otherwise` is what happens. `work` counts conditions that were looked at.
    pub fn reduce(
        &self,
        plan: &Plan,
        facts: &Facts,
        work: &mut usize,
    ) -> (Open<'a>, Vec<(u8, Test)>) {
        let mut open = Open { rules: Vec::with_capacity(self.rules.len()), ..*self };
        let mut tests: Vec<Vec<(u8, Test)>> = Vec::with_capacity(self.rules.len());
        'rules: for (action, conditions) in &self.rules {
            let mut left = Vec::new();
            let mut asked = Vec::new();
            for &condition in conditions {
                *work += 1;
                match look(plan, condition, facts) {
                    Look::Known(false) => continue 'rules,
                    Look::Known(true) => {}
                    Look::Ask(word, test) => {
                        left.push(condition);
                        asked.push((word, test));
                    }
                }
            }
            if left.is_empty() {
                open.otherwise = *action;
                break;
            }
            open.rules.push((*action, left));
            tests.push(asked);
        }
        // The last ones make no difference where they say what holds without them.
        while open.rules.last().is_some_and(|rule| rule.0 == open.otherwise) {
            open.rules.pop();
            tests.pop();
        }
        (open, tests.concat())
    }

    /// The words that it is about, a bit each.
    pub fn words(&self, plan: &Plan) -> u16 {
        let conditions = self.rules.iter().flat_map(|rule| &rule.1);
        let halves = conditions.flat_map(|condition| plan.halves(condition.arg));
        halves.fold(0, |words, word| words | 1 << word)
    }
}
