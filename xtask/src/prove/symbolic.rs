//! Words that are a solver's terms: arithmetic over them builds a formula.
//!
//! A word is the number of a node in an arena, so it is `Copy`. Equal terms are one
//! node; constants are folded, so that what the code knows beforehand never reaches
//! the solver. One arena serves one query ([`Query::new`] empties it).

use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::{Add, BitAnd, BitOr, BitXor, Mul, Not, Sub};

use skep_isa::Word;
use skep_verify::domain::Register;
use skep_verify::domain::obligations::Source;

/// A node: an index into the arena.
type Node = u32;

/// A term of SMT-LIB's theory of bit vectors. Booleans have width 0.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Term {
    Variable(u32),
    Constant(u64),
    True,
    False,
    /// An operation with the name that SMT-LIB has for it.
    Apply(&'static str, Vec<Node>),
    /// Bits from the first down to the second.
    Extract(u32, u32, Node),
}

#[derive(Default)]
struct Arena {
    terms: Vec<(Term, u32)>,
    known: HashMap<(Term, u32), Node>,
}

thread_local! {
    static ARENA: RefCell<Arena> = RefCell::default();
}

impl Arena {
    fn node(&mut self, term: Term, width: u32) -> Node {
        let next = self.terms.len() as Node;
        let node = *self.known.entry((term.clone(), width)).or_insert(next);
        if node == next {
            self.terms.push((term, width));
        }
        node
    }

    fn constant(&self, node: Node) -> Option<u64> {
        match self.terms[node as usize].0 {
            Term::Constant(value) => Some(value),
            _ => None,
        }
    }

    fn truth(&self, node: Node) -> Option<bool> {
        match self.terms[node as usize].0 {
            Term::True => Some(true),
            Term::False => Some(false),
            _ => None,
        }
    }

    /// Declares and defines all terms that the roots need, and gives the text of each
    /// root. What is used more than once is a constant with an equation; a `define-fun`
    /// would be expanded at every use, over and over.
    fn define(&self, roots: &[Node], text: &mut String) -> Vec<String> {
        let mut uses = vec![0u32; self.terms.len()];
        for root in roots {
            uses[*root as usize] += 1;
        }
        // Operands have smaller numbers, so one pass downwards counts all uses.
        for node in (0..self.terms.len()).rev() {
            if uses[node] > 0 {
                for operand in operands(&self.terms[node].0) {
                    uses[*operand as usize] += 1;
                }
            }
        }
        let mut written: Vec<String> = Vec::with_capacity(self.terms.len());
        for (node, (term, width)) in self.terms.iter().enumerate() {
            if uses[node] == 0 {
                written.push(String::new());
                continue;
            }
            let sort = if *width == 0 { "Bool".into() } else { format!("(_ BitVec {width})") };
            let variable = matches!(term, Term::Variable(_));
            if !variable && (uses[node] == 1 || operands(term).is_empty()) {
                written.push(write_out(term, *width, &written));
                continue;
            }
            text.push_str(&format!("(declare-const t{node} {sort})\n"));
            if !variable {
                let body = write_out(term, *width, &written);
                text.push_str(&format!("(assert (= t{node} {body}))\n"));
            }
            written.push(format!("t{node}"));
        }
        roots.iter().map(|root| written[*root as usize].clone()).collect()
    }
}

fn operands(term: &Term) -> &[Node] {
    match term {
        Term::Apply(_, operands) => operands,
        Term::Extract(_, _, operand) => std::slice::from_ref(operand),
        _ => &[],
    }
}

/// The term over its operands as they have been written.
fn write_out(term: &Term, width: u32, written: &[String]) -> String {
    match term {
        // Declared under its own name.
        Term::Variable(_) => String::new(),
        Term::Constant(value) => format!("(_ bv{value} {width})"),
        Term::True => "true".to_owned(),
        Term::False => "false".to_owned(),
        Term::Extract(high, low, operand) => {
            format!("((_ extract {high} {low}) {})", written[*operand as usize])
        }
        Term::Apply(name, operands) => {
            let mut text = format!("({name}");
            for operand in operands {
                text.push(' ');
                text.push_str(&written[*operand as usize]);
            }
            text.push(')');
            text
        }
    }
}

fn mask(width: u32) -> u64 {
    u64::MAX >> (64 - width)
}

/// A word of `N` bits.
#[derive(Clone, Copy)]
pub struct Symbol<const N: u32>(Node);

/// A truth value.
#[derive(Clone, Copy)]
pub struct Truth(Node);

impl<const N: u32> Symbol<N> {
    fn constant(self) -> Option<u64> {
        ARENA.with_borrow(|arena| arena.constant(self.0))
    }

    fn new(term: Term) -> Self {
        Symbol(ARENA.with_borrow_mut(|arena| arena.node(term, N)))
    }

    /// The operation, or its result where both operands are known.
    fn binary(self, name: &'static str, other: Self, fold: fn(u64, u64) -> u64) -> Self {
        match (self.constant(), other.constant()) {
            (Some(left), Some(right)) => Symbol::lit(fold(left, right)),
            _ => Symbol::new(Term::Apply(name, vec![self.0, other.0])),
        }
    }

    fn compare(self, name: &'static str, other: Self, fold: fn(u64, u64) -> bool) -> Truth {
        match (self.constant(), other.constant()) {
            (Some(left), Some(right)) => Truth::known(fold(left, right)),
            _ => Truth::new(Term::Apply(name, vec![self.0, other.0])),
        }
    }

    fn is(self, value: u64) -> bool {
        self.constant() == Some(value & mask(N))
    }
}

impl Truth {
    fn new(term: Term) -> Self {
        Truth(ARENA.with_borrow_mut(|arena| arena.node(term, 0)))
    }

    fn known(value: bool) -> Truth {
        Truth::new(if value { Term::True } else { Term::False })
    }

    fn value(self) -> Option<bool> {
        ARENA.with_borrow(|arena| arena.truth(self.0))
    }

    /// The operands, if it is this operation.
    fn operands(self, operation: &str) -> Option<[Truth; 2]> {
        ARENA.with_borrow(|arena| match &arena.terms[self.0 as usize].0 {
            Term::Apply(name, operands) if *name == operation => {
                Some([Truth(operands[0]), Truth(operands[1])])
            }
            _ => None,
        })
    }
}

/// Sign-extends the lower `width` bits.
fn signed(value: u64, width: u32) -> i64 {
    (value << (64 - width)) as i64 >> (64 - width)
}

impl<const N: u32> Add for Symbol<N> {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        if other.is(0) {
            return self;
        }
        self.binary("bvadd", other, u64::wrapping_add)
    }
}

impl<const N: u32> Sub for Symbol<N> {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        if other.is(0) {
            return self;
        }
        self.binary("bvsub", other, u64::wrapping_sub)
    }
}

impl<const N: u32> Mul for Symbol<N> {
    type Output = Self;
    fn mul(self, other: Self) -> Self {
        self.binary("bvmul", other, u64::wrapping_mul)
    }
}

impl<const N: u32> BitAnd for Symbol<N> {
    type Output = Self;
    fn bitand(self, other: Self) -> Self {
        if self.is(u64::MAX) || other.is(0) || self.0 == other.0 {
            return other;
        }
        if other.is(u64::MAX) || self.is(0) {
            return self;
        }
        self.binary("bvand", other, |a, b| a & b)
    }
}

impl<const N: u32> BitOr for Symbol<N> {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        if self.is(0) || other.is(u64::MAX) || self.0 == other.0 {
            return other;
        }
        if other.is(0) || self.is(u64::MAX) {
            return self;
        }
        self.binary("bvor", other, |a, b| a | b)
    }
}

impl<const N: u32> BitXor for Symbol<N> {
    type Output = Self;
    fn bitxor(self, other: Self) -> Self {
        if other.is(0) {
            return self;
        }
        self.binary("bvxor", other, |a, b| a ^ b)
    }
}

impl<const N: u32> Not for Symbol<N> {
    type Output = Self;
    fn not(self) -> Self {
        match self.constant() {
            Some(value) => Symbol::lit(!value),
            None => Symbol::new(Term::Apply("bvnot", vec![self.0])),
        }
    }
}

impl BitAnd for Truth {
    type Output = Self;
    fn bitand(self, other: Self) -> Self {
        match (self.value(), other.value()) {
            (Some(true), _) | (_, Some(false)) => other,
            (_, Some(true)) | (Some(false), _) => self,
            _ if self.0 == other.0 => self,
            _ => Truth::new(Term::Apply("and", vec![self.0, other.0])),
        }
    }
}

impl BitOr for Truth {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        match (self.value(), other.value()) {
            (Some(false), _) | (_, Some(true)) => other,
            (_, Some(false)) | (Some(true), _) => self,
            _ if self.0 == other.0 => self,
            _ => Truth::new(Term::Apply("or", vec![self.0, other.0])),
        }
    }
}

impl Not for Truth {
    type Output = Self;
    fn not(self) -> Self {
        match self.value() {
            Some(value) => Truth::known(!value),
            None => Truth::new(Term::Apply("not", vec![self.0])),
        }
    }
}

impl<const N: u32> Word for Symbol<N> {
    type Bit = Truth;
    const BITS: u32 = N;

    fn lit(value: u64) -> Self {
        Symbol::new(Term::Constant(value & mask(N)))
    }
    fn shl(self, amount: Self) -> Self {
        if amount.is(0) {
            return self;
        }
        self.binary("bvshl", amount, |a, n| a.checked_shl(n as u32).unwrap_or(0))
    }
    fn shr(self, amount: Self) -> Self {
        if amount.is(0) {
            return self;
        }
        self.binary("bvlshr", amount, |a, n| a.checked_shr(n as u32).unwrap_or(0))
    }
    fn sar(self, amount: Self) -> Self {
        match (self.constant(), amount.constant()) {
            (_, Some(0)) => self,
            (Some(value), Some(amount)) => Symbol::lit((signed(value, N) >> amount.min(63)) as u64),
            _ => Symbol::new(Term::Apply("bvashr", vec![self.0, amount.0])),
        }
    }
    fn udiv(self, divisor: Self) -> Self {
        Symbol::new(Term::Apply("bvudiv", vec![self.0, divisor.0]))
    }
    fn urem(self, divisor: Self) -> Self {
        Symbol::new(Term::Apply("bvurem", vec![self.0, divisor.0]))
    }
    fn eq(self, other: Self) -> Truth {
        if self.0 == other.0 {
            return Truth::known(true);
        }
        self.compare("=", other, |a, b| a == b)
    }
    fn ult(self, other: Self) -> Truth {
        if self.0 == other.0 || other.is(0) {
            return Truth::known(false);
        }
        self.compare("bvult", other, |a, b| a < b)
    }
    fn slt(self, other: Self) -> Truth {
        match (self.constant(), other.constant()) {
            (Some(left), Some(right)) => Truth::known(signed(left, N) < signed(right, N)),
            _ if self.0 == other.0 => Truth::known(false),
            _ => Truth::new(Term::Apply("bvslt", vec![self.0, other.0])),
        }
    }
    fn pick(bit: Truth, yes: Self, no: Self) -> Self {
        match bit.value() {
            Some(value) => {
                if value {
                    yes
                } else {
                    no
                }
            }
            None if yes.0 == no.0 => yes,
            None => Symbol::new(Term::Apply("ite", vec![bit.0, yes.0, no.0])),
        }
    }
    fn bit(value: bool) -> Truth {
        Truth::known(value)
    }
}

macro_rules! registers {
    ($($bits:literal $half:literal;)*) => {$(
        impl Register for Symbol<$bits> {
            type Half = Symbol<$half>;

            fn lower(self) -> Symbol<$half> {
                match self.constant() {
                    Some(value) => Symbol::lit(value),
                    None => Symbol::new(Term::Extract($half - 1, 0, self.0)),
                }
            }
            fn upper(self) -> Symbol<$half> {
                match self.constant() {
                    Some(value) => Symbol::lit(value >> $half),
                    None => Symbol::new(Term::Extract($bits - 1, $half, self.0)),
                }
            }
            fn join(upper: Symbol<$half>, lower: Symbol<$half>) -> Self {
                match (upper.constant(), lower.constant()) {
                    (Some(upper), Some(lower)) => Symbol::lit(upper << $half | lower),
                    _ => Symbol::new(Term::Apply("concat", vec![upper.0, lower.0])),
                }
            }
            fn decided(bit: Truth) -> Option<bool> {
                bit.value()
            }
        }

        impl Source<Symbol<$bits>> for Query {
            fn word(&mut self) -> Symbol<$bits> {
                Symbol::new(self.variable())
            }
            fn half(&mut self) -> Symbol<$half> {
                Symbol::new(self.variable())
            }
            fn assume(&mut self, bit: Truth) -> Option<()> {
                self.assumptions.push(bit);
                Some(())
            }
        }
    )*};
}

registers! {
    64 32;
    32 16;
    16 8;
    8 4;
    4 2;
    2 1;
}

/// A question to a solver: is there a draw for which all assumptions hold and the
/// claim does not?
pub struct Query {
    assumptions: Vec<Truth>,
    variables: u32,
}

impl Query {
    /// A new question, in an empty arena.
    pub fn new() -> Query {
        ARENA.with_borrow_mut(|arena| *arena = Arena::default());
        Query { assumptions: Vec::new(), variables: 0 }
    }

    fn variable(&mut self) -> Term {
        self.variables += 1;
        Term::Variable(self.variables)
    }

    /// The question as SMT-LIB scripts, one for each part of the claim; each is
    /// unsatisfiable if the claim holds of all draws. A solver finds a dozen small
    /// questions much easier than the one that they make.
    pub fn scripts(&self, claim: Truth) -> Vec<String> {
        let mut parts = Vec::new();
        split(claim, &mut parts);
        parts.into_iter().map(|part| self.script(part)).collect()
    }

    /// The question as one script.
    pub fn script(&self, claim: Truth) -> String {
        let claim = !claim;
        let asserted: Vec<Node> =
            self.assumptions.iter().chain([&claim]).map(|truth| truth.0).collect();
        let mut text = "(set-logic QF_BV)\n".to_owned();
        let roots = ARENA.with_borrow(|arena| arena.define(&asserted, &mut text));
        for root in roots {
            text.push_str(&format!("(assert {root})\n"));
        }
        text += "(check-sat)\n";
        text
    }
}

/// The parts of a conjunction, also under a condition.
fn split(claim: Truth, parts: &mut Vec<Truth>) {
    match Truth::operands(claim, "and") {
        Some([left, right]) => {
            split(left, parts);
            split(right, parts);
        }
        None => match Truth::operands(claim, "or") {
            Some([left, right]) => {
                let (mut lefts, mut rights) = (Vec::new(), Vec::new());
                split(left, &mut lefts);
                split(right, &mut rights);
                for left in &lefts {
                    parts.extend(rights.iter().map(|right| *left | *right));
                }
            }
            None => parts.push(claim),
        },
    }
}
