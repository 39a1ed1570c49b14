//! Types of a script as the least solution of rules.
//!
//! Each expression, variable, and key and value of a map is a slot. A rule gives the type of
//! a slot from those of others; it runs when all of them are known, and again when one
//! changes. Types only grow, so that this ends; a bound on the runs makes sure.

use std::collections::{HashMap, VecDeque};

use crate::trace::ast::{ExprId, Name};
use crate::trace::kind::Type;

/// What has a type.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Slot {
    /// An expression, or a type that is written.
    Node(ExprId),
    /// A variable, by the block, loop or function that it begins in.
    Variable(ExprId, Name),
    /// A map's key.
    Key(Name),
    /// A map's value.
    Value(Name),
}

/// A slot's number.
pub type SlotId = u32;

/// A rule, with what tells its kinds apart.
pub struct Rule<H> {
    /// The slot whose type it gives.
    pub output: SlotId,
    /// The slots that must be known.
    pub inputs: Vec<SlotId>,
    /// How.
    pub how: H,
}

/// Slots, their types, and rules.
pub struct Solver<H> {
    slots: HashMap<Slot, SlotId>,
    types: Vec<Type>,
    rules: Vec<std::rc::Rc<Rule<H>>>,
    dependents: Vec<Vec<u32>>,
    seeds: Vec<SlotId>,
}

impl<H> Default for Solver<H> {
    fn default() -> Solver<H> {
        Solver {
            slots: HashMap::new(),
            types: Vec::new(),
            rules: Vec::new(),
            dependents: Vec::new(),
            seeds: Vec::new(),
        }
    }
}

/// A rule runs at most so often on average.
const RUNS: usize = 64;

impl<H> Solver<H> {
    /// A slot's number.
    pub fn slot(&mut self, slot: Slot) -> SlotId {
        let next = self.types.len() as SlotId;
        *self.slots.entry(slot).or_insert_with(|| {
            self.types.push(Type::none());
            self.dependents.push(Vec::new());
            next
        })
    }

    /// An expression's slot.
    pub fn node(&mut self, id: ExprId) -> SlotId {
        self.slot(Slot::Node(id))
    }

    /// Gives a slot a type that is known.
    pub fn set(&mut self, slot: SlotId, of: Type) {
        if of.is_none() {
            return;
        }
        self.types[slot as usize] = of;
        self.seeds.push(slot);
    }

    /// A slot's type.
    pub fn get(&self, slot: SlotId) -> &Type {
        &self.types[slot as usize]
    }

    /// The type of what has one.
    pub fn find(&self, slot: &Slot) -> Type {
        self.slots.get(slot).map(|id| self.types[*id as usize].clone()).unwrap_or_default()
    }

    /// Adds a rule.
    pub fn rule(&mut self, output: SlotId, inputs: Vec<SlotId>, how: H) {
        let at = self.rules.len() as u32;
        for input in &inputs {
            self.dependents[*input as usize].push(at);
        }
        self.rules.push(std::rc::Rc::new(Rule { output, inputs, how }));
    }

    /// Runs rules until nothing changes. Maps in `values` whose value nothing says are
    /// numbers of one byte: they are only counted up and down.
    pub fn solve(
        &mut self,
        values: &[Name],
        mut run: impl FnMut(&mut Solver<H>, &Rule<H>, &[Type]) -> Type,
    ) {
        let mut budget = self.rules.len() * RUNS + 1000;
        let mut queue = VecDeque::new();
        let mut queued = vec![false; self.rules.len()];
        loop {
            for seed in std::mem::take(&mut self.seeds) {
                self.enqueue(seed, &mut queue, &mut queued);
            }
            while let Some(at) = queue.pop_front() {
                queued[at as usize] = false;
                budget = budget.saturating_sub(1);
                if budget == 0 {
                    return;
                }
                let rule = self.rules[at as usize].clone();
                let inputs: Vec<Type> =
                    rule.inputs.iter().map(|input| self.get(*input).clone()).collect();
                if inputs.iter().any(Type::is_none) {
                    continue;
                }
                let of = run(self, &rule, &inputs);
                if of.is_none() || !changes(self.get(rule.output), &of) {
                    continue;
                }
                self.types[rule.output as usize] = of;
                self.enqueue(rule.output, &mut queue, &mut queued);
            }
            for name in values {
                let slot = self.slot(Slot::Value(name.clone()));
                if self.get(slot).is_none() {
                    self.set(slot, Type::int(1, true));
                }
            }
            if self.seeds.is_empty() {
                return;
            }
        }
    }

    fn enqueue(&self, slot: SlotId, queue: &mut VecDeque<u32>, queued: &mut [bool]) {
        for at in &self.dependents[slot as usize] {
            if !std::mem::replace(&mut queued[*at as usize], true) {
                queue.push_back(*at);
            }
        }
    }
}

/// Whether a new type says more than the old one.
fn changes(old: &Type, new: &Type) -> bool {
    let flexible = old.flexible && !new.flexible;
    let space = old.space != new.space && old.space == Default::default();
    old != new || flexible || space || old.context != new.context
}
