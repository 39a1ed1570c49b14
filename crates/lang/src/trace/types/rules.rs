//! How a type follows from others.

use std::collections::HashMap;

use super::lookup::Finder;
use super::promote::{compatible, promote};
use super::solve::{Rule, Slot, SlotId, Solver};
use crate::trace::ast::{BinaryOp, ExprId, Name, UnaryOp};
use crate::trace::diagnostic::{Diagnostic, Diagnostics};
use crate::trace::kind::{Aggregate, Kind, RecordId, Space, Type};
use crate::trace::names;
use crate::trace::place::Place;
use crate::trace::points::Provider;

/// Ways in which a type follows.
#[derive(Clone, Debug)]
pub enum How {
    /// It is the other's.
    Same,
    /// `@m[k] = e`; the map that the value is an element of.
    SetElement {
        map: Name,
        place: Place,
        from: Option<Name>,
    },
    /// `$x = e`
    SetVariable {
        scope: ExprId,
        name: Name,
        place: Place,
    },
    /// A key; checked where it is no key that was put in.
    Key {
        map: Name,
        place: Place,
        checked: bool,
    },
    /// `@m[k] = count()` and its like.
    Aggregate {
        map: Name,
        function: Name,
        place: Place,
    },
    /// `for ($kv : @m)`
    Pair(Place),
    /// `for ($i : a..b)`
    Range(Place),
    /// `sizeof`
    Size,
    /// `offsetof`
    Offset {
        fields: Vec<Name>,
        place: Place,
    },
    /// `typeinfo`
    Info,
    /// `&x`
    Address,
    Binary {
        op: BinaryOp,
        place: Place,
        left: Place,
        right: Place,
    },
    Unary {
        op: UnaryOp,
        place: Place,
    },
    /// `++` on an element gives the element's type.
    StepElement {
        map: Name,
        place: Place,
    },
    /// `++` of an element.
    Step(UnaryOp),
    /// `++` on a variable gives the variable's type.
    StepVariable {
        scope: ExprId,
        name: Name,
        place: Place,
        sized: bool,
    },
    /// `++` of a variable.
    StepOf {
        slot: SlotId,
        sized: bool,
        op: UnaryOp,
    },
    Field {
        field: Name,
        place: Place,
    },
    Part(u64),
    Index {
        at: Option<u64>,
        place: Place,
    },
    /// A cast whose type is known, from what is cast.
    CastOf(Option<Provider>),
    /// A cast whose type is found, from that type.
    CastTo {
        inner: SlotId,
        provider: Option<Provider>,
    },
    Tuple,
    Named(Vec<Name>),
    Branch {
        place: Place,
        first: bool,
    },
    /// `buf` of an array.
    Buffer {
        most: u32,
    },
    /// `kptr`, `uptr`
    InSpace(Space),
    /// `bswap`
    Swap {
        place: Place,
    },
    /// `nsecs(clock)`
    Nanoseconds,
    /// `strftime`
    Time,
}

/// What rules need beside types.
pub struct Runner<'r, 'a> {
    pub finder: &'r mut Finder<'a>,
    pub diagnostics: &'r mut Diagnostics,
    /// Maps without keys.
    pub scalar: &'r HashMap<Name, bool>,
    /// Types that were used where they can no longer change.
    pub locked: &'r HashMap<Slot, Type>,
    /// What aggregations of a map were given.
    pub given: HashMap<Name, Type>,
}

/// What a map must be filled with, for hints.
fn example(of: Aggregate) -> &'static str {
    match of {
        Aggregate::Count => "count()",
        Aggregate::Sum { .. } => "sum(retval)",
        Aggregate::Min { .. } => "min(retval)",
        Aggregate::Max { .. } => "max(retval)",
        Aggregate::Avg { .. } => "avg(retval)",
        Aggregate::Hist => "hist(retval)",
        Aggregate::LHist => "lhist(rand %10, 0, 10, 1)",
        Aggregate::TSeries => "tseries(rand %10, 10s, 1)",
        Aggregate::Stats { .. } => "stats(arg2)",
    }
}

/// Whether a value can be assigned where there is a type already.
fn assignable(of: &Type, current: &Type, to_map: bool) -> bool {
    if of.kind == Kind::Void || (of.is_aggregate() && !of.is_castable_aggregate()) {
        return false;
    }
    if !current.is_int() && of.is_castable_aggregate() {
        return !to_map && current.is_none();
    }
    true
}

/// A cast's type, by what is cast.
pub fn cast_to(to: &Type, from: &Type, provider: Option<Provider>) -> Type {
    let mut of = to.clone();
    if let Kind::Array(element, count) = &to.kind {
        let (size, whole) = (element.size(), from.size());
        if *count == 0 && size != 0 && whole.is_multiple_of(size) {
            of.kind = Kind::Array(element.clone(), whole / size);
        }
        if from.is_int() || from.kind == Kind::Bool {
            of.inside = true;
        }
    }
    if from.context && !of.is_int() {
        of.context = true;
    }
    of.space = from.space;
    if of.space == Space::None {
        of.space = provider.map_or(Space::Kernel, Provider::space);
    }
    of
}

impl Runner<'_, '_> {
    fn full(&self, of: &Type) -> String {
        names::full(of, &self.finder.records)
    }

    fn error(&mut self, place: Place, text: impl Into<String>) -> &mut Diagnostic {
        self.diagnostics.error(place, text)
    }

    /// Runs one rule.
    pub fn run(&mut self, solver: &mut Solver<How>, rule: &Rule<How>, inputs: &[Type]) -> Type {
        let first = &inputs[0];
        match &rule.how {
            How::Same => first.clone(),
            How::SetElement { map, place, from } => {
                self.set_element(solver, map, *place, from.as_ref(), first)
            }
            How::SetVariable { scope, name, place } => {
                let slot = Slot::Variable(*scope, name.clone());
                let current = solver.find(&slot);
                if !assignable(first, &current, false) {
                    let text = format!(
                        "Value '{}' cannot be assigned to a scratch variable.",
                        self.full(first)
                    );
                    self.error(*place, text);
                    return Type::none();
                }
                self.variable(&slot, &current, first, *place)
            }
            How::Key { map, place, checked } => {
                let current = solver.find(&Slot::Key(map.clone()));
                if *checked && !assignable(first, &current, false) {
                    let text = format!("Value '{}' cannot be used as a map key.", self.full(first));
                    self.error(*place, text);
                    return Type::none();
                }
                self.key(map, &current, first, *place)
            }
            How::Aggregate { map, function, place } => {
                self.aggregate(solver, map, function, *place, first)
            }
            How::Pair(place) => {
                let value = &inputs[1];
                if value.is_aggregate() && !value.is_castable_aggregate() {
                    let text =
                        format!("Loop expression does not support type: {}", self.full(value));
                    self.error(*place, text);
                }
                Type::tuple(inputs.to_vec())
            }
            How::Range(place) => self.range(first, &inputs[1], *place),
            How::Size => Type::int(1, false),
            How::Offset { fields, place } => self.offset(first, fields, *place),
            How::Info => self.info(first),
            How::Address => Type::pointer(first.clone(), Space::Kernel),
            How::Binary { op, place, left, right } => {
                self.binary(*op, (*place, *left, *right), first, &inputs[1])
            }
            How::Unary { op, place } => self.unary(*op, *place, first),
            How::StepElement { map, place } => {
                let current = solver.find(&Slot::Value(map.clone()));
                if current.is_pointer() {
                    return current;
                }
                self.value(map, &current, first, *place)
            }
            How::Step(op) => stepped(*op, first),
            How::StepVariable { scope, name, place, sized } => {
                if *sized {
                    return Type::none();
                }
                let slot = Slot::Variable(*scope, name.clone());
                let current = solver.find(&slot);
                if current.is_pointer() {
                    return current;
                }
                self.variable(&slot, &current, first, *place)
            }
            How::StepOf { slot, sized, op } => {
                let current = solver.get(*slot);
                if *sized || current.is_pointer() {
                    return current.clone();
                }
                stepped(*op, first)
            }
            How::Field { field, place } => self.field(first, field, *place),
            How::Part(at) => {
                let parts = first.parts();
                let found = usize::try_from(*at).ok().and_then(|at| parts.get(at));
                match found {
                    Some(part) if first.is_tuple() => (*part).clone(),
                    _ => Type::none(),
                }
            }
            How::Index { at, place } => self.index(first, *at, *place),
            How::CastOf(provider) => {
                let to = solver.get(rule.output).clone();
                if to.is_none() {
                    return to;
                }
                cast_to(&to, first, *provider)
            }
            How::CastTo { inner, provider } => {
                let from = solver.get(*inner);
                if from.is_none() {
                    return first.clone();
                }
                cast_to(first, from, *provider)
            }
            How::Tuple => Type::tuple(inputs.to_vec()),
            How::Named(names) => {
                let parts: Vec<_> = names.iter().cloned().zip(inputs.iter().cloned()).collect();
                Kind::Named(parts.into()).into()
            }
            How::Branch { place, first: then } => {
                let current = solver.get(rule.output).clone();
                let Some(both) = promote(&current, first) else {
                    let (mine, other) = (self.full(first), self.full(&current));
                    let (a, b) = if *then { (mine, other) } else { (other, mine) };
                    let text = format!(
                        "Branches must return the same type or compatible types: have '{a}' and \
                         '{b}'"
                    );
                    self.error(*place, text);
                    return Type::none();
                };
                both
            }
            How::Buffer { most } => {
                let size = match &first.kind {
                    Kind::Array(of, count) => of.size().saturating_mul(*count),
                    _ => *most,
                };
                Type::from(Kind::Buffer(size.min(*most))).at(Space::Kernel)
            }
            How::InSpace(space) => first.clone().at(*space),
            How::Swap { place } => {
                if !first.is_int() {
                    let text = format!(
                        "bswap() only supports integer arguments ({} provided)",
                        names::base(first)
                    );
                    self.error(*place, text);
                    return Type::none();
                }
                Type::int(first.size() as u8, false)
            }
            How::Nanoseconds => Type { clock: first.clock, ..Type::uint64() },
            How::Time => Type { clock: first.clock, ..Kind::Timestamp.into() },
        }
    }

    fn set_element(
        &mut self,
        solver: &mut Solver<How>,
        map: &Name,
        place: Place,
        from: Option<&Name>,
        of: &Type,
    ) -> Type {
        let current = solver.find(&Slot::Value(map.clone()));
        if assignable(of, &current, true) {
            return self.value(map, &current, of, place);
        }
        let full = self.full(of);
        let Kind::Aggregate(kind) = of.kind else {
            let text = format!("Value '{full}' cannot be assigned to a map.");
            self.error(place, text);
            return Type::none();
        };
        let text = format!(
            "Map value '{full}' cannot be assigned from one map to another. The function that \
             returns this type must be called directly e.g. `{map} = {};`.",
            example(kind)
        );
        let castable = of.is_castable_aggregate();
        let error = self.error(place, text);
        if let Some(from) = from.filter(|_| castable) {
            error.hint(format!(
                "Add a cast to integer if you want the value of the aggregate, e.g. `{map} = \
                 (int64){from};`."
            ));
        }
        Type::none()
    }

    /// The locked type, with an error where the new one does not fit it.
    fn locked(&mut self, slot: &Slot, name: &str, of: &Type, place: Place) -> Option<Type> {
        let locked = self.locked.get(slot)?.clone();
        if promote(&locked, of).as_ref() != Some(&locked) {
            let text = format!(
                "Type mismatch for {name}: this type has been locked because it was used in \
                 another part of the type graph that was already resolved (e.g. `sizeof`, \
                 `typeinfo`, etc.). The new type '{}' doesn't fit into the locked type '{}'",
                self.full(of),
                self.full(&locked)
            );
            self.error(place, text);
        }
        Some(locked)
    }

    fn variable(&mut self, slot: &Slot, current: &Type, of: &Type, place: Place) -> Type {
        let Slot::Variable(_, name) = slot else {
            return Type::none();
        };
        if let Some(locked) = self.locked(slot, name, of, place) {
            return locked;
        }
        if let Some(both) = promote(current, of) {
            return both;
        }
        let text = format!(
            "Type mismatch for {name}: trying to assign value of type '{}' when variable already \
             has a type '{}'",
            self.full(of),
            self.full(current)
        );
        self.error(place, text);
        Type::none()
    }

    fn value(&mut self, map: &Name, current: &Type, of: &Type, place: Place) -> Type {
        if let Some(locked) = self.locked(&Slot::Value(map.clone()), map, of, place) {
            return locked;
        }
        if !current.is_castable_aggregate()
            && let Some(mut both) = promote(current, of)
        {
            if both.is_record() || both.is_array() {
                both.inside = true;
            }
            return both;
        }
        self.map_mismatch(map, current, of, place)
    }

    fn map_mismatch(&mut self, map: &Name, current: &Type, of: &Type, place: Place) -> Type {
        let text = format!(
            "Type mismatch for {map}: trying to assign value of type '{}' when map already has a \
             type '{}'",
            self.full(of),
            self.full(current)
        );
        self.error(place, text);
        Type::none()
    }

    fn key(&mut self, map: &Name, current: &Type, of: &Type, place: Place) -> Type {
        if self.scalar.get(map) == Some(&true) {
            return Type::int64();
        }
        if let Some(locked) = self.locked(&Slot::Key(map.clone()), map, of, place) {
            return locked;
        }
        if let Some(both) = promote(current, of) {
            return both;
        }
        let text = format!(
            "Argument mismatch for {map}: trying to access with arguments: '{}' when map expects \
             arguments: '{}'",
            self.full(of),
            self.full(current)
        );
        self.error(place, text);
        Type::none()
    }

    fn aggregate(
        &mut self,
        solver: &mut Solver<How>,
        map: &Name,
        function: &Name,
        place: Place,
        of: &Type,
    ) -> Type {
        let signed = of.is_signed();
        let plain = match &**function {
            "count" => Some(Aggregate::Count),
            "hist" => Some(Aggregate::Hist),
            "lhist" => Some(Aggregate::LHist),
            "tseries" => Some(Aggregate::TSeries),
            _ => None,
        };
        let kind = match plain {
            Some(plain) => plain,
            None => {
                if !of.is_int() {
                    let text = format!(
                        "{function}() only supports integer arguments ({} provided)",
                        self.full(of)
                    );
                    self.error(place, text);
                    return Type::none();
                }
                let before = self.given.get(map).cloned().unwrap_or_default();
                let Some(both) = promote(&before, of) else {
                    let text = format!(
                        "Type mismatch for {function}: trying to call function with type '{}' \
                         when it already has a type '{}'",
                        self.full(of),
                        self.full(&before)
                    );
                    self.error(place, text);
                    return Type::none();
                };
                self.given.insert(map.clone(), both);
                match &**function {
                    "avg" => Aggregate::Avg { signed },
                    "max" => Aggregate::Max { signed },
                    "min" => Aggregate::Min { signed },
                    "stats" => Aggregate::Stats { signed },
                    _ => Aggregate::Sum { signed },
                }
            }
        };
        let of = Type::from(Kind::Aggregate(kind));
        let slot = Slot::Value(map.clone());
        if let Some(locked) = self.locked(&slot, map, &of, place) {
            return locked;
        }
        let current = solver.find(&slot);
        if current.is_none() {
            return of;
        }
        if current.is_aggregate()
            && compatible(&current, &of)
            && let Some(both) = promote(&current, &of)
        {
            return both;
        }
        self.map_mismatch(map, &current, &of, place)
    }

    fn range(&mut self, first: &Type, last: &Type, place: Place) -> Type {
        for (of, which) in [(first, "start"), (last, "end")] {
            if !of.is_int() {
                let text = format!("Loop range requires an integer for the {which} value");
                self.error(place, text);
            }
        }
        if first.is_int() && last.is_int() && first.size() != last.size() {
            return promote(first, last).unwrap_or_else(|| first.clone());
        }
        first.clone()
    }

    fn offset(&mut self, of: &Type, fields: &[Name], place: Place) -> Type {
        let mut of = of.clone();
        for field in fields {
            let full = self.full(&of);
            let Kind::Record { id, .. } = of.kind else {
                self.error(place, format!("'{full}' is not a C type."));
                return Type::none();
            };
            if !self.finder.complete(id) {
                self.error(place, format!("'{full}' does not exist."));
                return Type::none();
            }
            match self.finder.records.field(id, field) {
                Some(found) => of = found.of.clone(),
                None => {
                    self.error(place, format!("'{full}' has no field named '{field}'"));
                    return Type::none();
                }
            }
        }
        Type::int(1, false)
    }

    fn info(&mut self, of: &Type) -> Type {
        let string = |text: &str| Type::string(text.len() as u32 + 1);
        let (base, full) = (string(names::base(of)), string(&self.full(of)));
        let parts = [
            ("btf_id".into(), Type::uint64()),
            ("base_type".into(), base),
            ("full_type".into(), full),
        ];
        Kind::Named(parts.into()).into()
    }

    fn operands(&mut self, op: BinaryOp, place: Place, left: &Type, right: &Type) -> Type {
        let text = format!(
            "The {} operator can not be used on expressions of types {}, {}",
            op.sign(),
            self.full(left),
            self.full(right)
        );
        self.error(place, text);
        Type::none()
    }

    fn binary(
        &mut self,
        op: BinaryOp,
        places: (Place, Place, Place),
        left: &Type,
        right: &Type,
    ) -> Type {
        let truths = left.kind == Kind::Bool && right.kind == Kind::Bool;
        if truths {
            return Type::bool();
        }
        if left.is_pointer() || right.is_pointer() {
            return self.pointers(op, places, left, right);
        }
        let space = match (left.space, right.space) {
            (a, b) if a != b && a != Space::None && b != Space::None => {
                self.diagnostics.warning(places.0, "Addrspace mismatch");
                Space::None
            }
            (Space::None, b) => b,
            (a, _) => a,
        };
        let number = |of: &Type| of.is_castable_aggregate() || of.is_int() || of.kind == Kind::Bool;
        let of = if number(left) && number(right) {
            self.numbers(op, places.0, left, right)
        } else if op.gives_truth() {
            Type::bool()
        } else {
            let signed = match op {
                BinaryOp::Left | BinaryOp::Right => left.is_signed(),
                _ => left.is_signed() || right.is_signed(),
            };
            Type::int(8, signed)
        };
        of.at(space)
    }

    fn numbers(&mut self, op: BinaryOp, place: Place, left: &Type, right: &Type) -> Type {
        if op.gives_truth() {
            return Type::bool();
        }
        let mut signs = (left.is_signed(), right.is_signed());
        if left.flexible && !right.flexible {
            signs.0 = signs.1;
        } else if right.flexible && !left.flexible {
            signs.1 = signs.0;
        }
        let same = left.size() == right.size() && signs.0 == signs.1;
        let divides = matches!(op, BinaryOp::Div | BinaryOp::Mod);
        if !same && divides && (signs.0 || signs.1) {
            let text = format!(
                "signed operands for '{}' can lead to undefined behavior (cast to unsigned to \
                 silence warning)",
                op.sign()
            );
            self.diagnostics.warning(place, text);
        }
        Type::int(8, signs.0 || signs.1 || op == BinaryOp::Sub)
    }

    fn pointers(
        &mut self,
        op: BinaryOp,
        (place, left_place, right_place): (Place, Place, Place),
        left: &Type,
        right: &Type,
    ) -> Type {
        let (pointer, other) = if left.is_pointer() { (left, right) } else { (right, left) };
        if other.is_pointer() {
            if !op.gives_truth() {
                return self.operands(op, place, left, right);
            }
            let (a, b) = (left.pointee(), right.pointee());
            if let (Some(a), Some(b)) = (a, b)
                && a != b
            {
                let (a, b) = (self.full(&a), self.full(&b));
                self.diagnostics
                    .warning(place, format!("comparison of distinct pointer types: {a}, {b}"))
                    .context(left_place, format!("left ({a})"))
                    .context(right_place, format!("right ({b})"));
            }
            return Type::bool();
        }
        if !other.is_int() && other.kind != Kind::Bool {
            return self.operands(op, place, left, right);
        }
        match op {
            BinaryOp::Sub if !left.is_pointer() => self.operands(op, place, left, right),
            BinaryOp::Add | BinaryOp::Sub => {
                let to = pointer.pointee().unwrap_or_default();
                Type::pointer(to, pointer.space)
            }
            _ if op.gives_truth() => Type::bool(),
            _ => self.operands(op, place, left, right),
        }
    }

    fn unary(&mut self, op: UnaryOp, place: Place, of: &Type) -> Type {
        let deref = op == UnaryOp::Deref;
        let wrong = if of.kind == Kind::Bool {
            op != UnaryOp::Not
        } else {
            !(of.is_int() || (deref && (of.is_pointer() || of.context)))
        };
        if wrong {
            let text = format!(
                "The {} operator can not be used on expressions of type '{}'",
                op.sign(),
                self.full(of)
            );
            self.error(place, text);
            return Type::none();
        }
        match op {
            UnaryOp::Deref => self.deref(of, place),
            UnaryOp::Not => Type::bool(),
            _ => Type::int(8, of.is_signed()),
        }
    }

    fn deref(&mut self, of: &Type, place: Place) -> Type {
        if let Some(mut to) = of.pointee() {
            to.context |= of.context;
            to.inside = of.inside;
            to.space = of.space;
            return to;
        }
        if of.is_record() && of.context {
            // `*args` is an old spelling of `args`.
            return of.clone();
        }
        if of.is_int() {
            return Type::uint64();
        }
        let full = self.full(of);
        let text = if of.is_record() {
            format!("Can not dereference struct/union of type '{full}'. It is not a pointer.")
        } else {
            format!("Can not dereference type '{full}'. It is not a pointer.")
        };
        self.error(place, text);
        Type::none()
    }

    fn field(&mut self, of: &Type, field: &Name, place: Place) -> Type {
        let (context, inside) = (of.context, of.inside);
        let mut of = of.clone();
        while let Some(to) = of.pointee() {
            of = to;
        }
        if let Kind::Named(parts) = &of.kind {
            return match super::promote::part(parts, field) {
                Some(part) => Type { inside, space: of.space, ..part.clone() },
                None => {
                    self.error(place, format!("Record does not contain a field named '{field}'"));
                    Type::none()
                }
            };
        }
        let full = self.full(&of);
        let Kind::Record { id, ref name, .. } = of.kind else {
            let text = format!("Can not access field '{field}' on expression of type '{full}'");
            self.error(place, text);
            return Type::none();
        };
        if of.arguments {
            return self.argument(id, &of, field, place);
        }
        if !self.finder.complete(id) {
            self.error(place, format!("Unknown struct/union: '{name}'"));
            return Type::none();
        }
        let Some(found) = self.finder.records.field(id, field).cloned() else {
            let text =
                format!("Struct/union of type '{name}' does not contain a field named '{field}'");
            self.error(place, text);
            return Type::none();
        };
        for tag in found.of.tags.iter().filter(|tag| &***tag != "rcu") {
            let text = format!(
                "Attempting to access pointer field '{field}' with unsupported tag attribute: \
                 {tag}"
            );
            self.error(place, text);
        }
        let mut result = found.of;
        if context && (result.is_array() || result.is_record()) {
            result.context = true;
        }
        result.inside = inside;
        result.space = of.space;
        result
    }

    fn argument(&mut self, id: RecordId, of: &Type, field: &Name, place: Place) -> Type {
        let found = self.finder.records.field(id, field).map(|found| &found.of);
        match found {
            Some(found) if found.is_none() => {
                self.error(place, format!("{field} has unsupported type"));
                Type::none()
            }
            Some(found) => found.clone().at(of.space),
            None => {
                self.error(place, format!("Can't find function parameter {field}"));
                Type::none()
            }
        }
    }

    fn index(&mut self, of: &Type, at: Option<u64>, place: Place) -> Type {
        let mut element = match &of.kind {
            Kind::Array(element, _) => (**element).clone(),
            Kind::Pointer(_) => of.pointee().unwrap_or_default(),
            Kind::String(_) => Type::int(1, true),
            Kind::Tuple(parts) => {
                let Some(at) = at else {
                    return Type::none();
                };
                let found = usize::try_from(at).ok().and_then(|at| parts.get(at));
                match found {
                    Some(part) => part.clone(),
                    None => {
                        let text = format!(
                            "Invalid tuple index: {at}. Found {} elements in tuple.",
                            parts.len()
                        );
                        self.error(place, text);
                        return Type::none();
                    }
                }
            }
            _ => {
                let text = format!(
                    "The array index operator [] can only be used on arrays, pointers, and \
                     tuples, found {}.",
                    self.full(of)
                );
                self.error(place, text);
                return Type::none();
            }
        };
        element.space = of.space;
        element.inside = of.inside && !element.is_pointer() && !of.is_pointer();
        element
    }
}

/// What `++` and `--` give.
fn stepped(op: UnaryOp, of: &Type) -> Type {
    Type::int(8, of.is_signed() || op.is_decrement())
}
