//! Types of values: what a value is, how many bytes it takes and where it lives.
//!
//! Two types are equal when their [`Kind`]s are: [`Type`]'s other fields say where a value
//! lives and how it may still change, and take no part in a comparison.

use std::sync::Arc;

use super::ast::Name;

/// A C structure or union by its number in [`super::records::Records`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RecordId(pub u32);

/// Whose memory a value's address, or the value's bytes, belong to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Space {
    /// Not known: a number, or a value in the program's own memory.
    #[default]
    None,
    /// The kernel's.
    Kernel,
    /// A process's.
    User,
}

/// Which clock a time comes from.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Clock {
    /// `CLOCK_MONOTONIC`
    Monotonic,
    /// `CLOCK_BOOTTIME`, the usual one.
    #[default]
    Boot,
    /// `CLOCK_TAI` by the helper.
    Tai,
    /// `CLOCK_TAI` by an offset that user space measures.
    SoftwareTai,
}

/// How a stack is printed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum StackMode {
    /// Symbol and offset.
    #[default]
    Bpftrace,
    /// As `perf script` does.
    Perf,
    /// Addresses.
    Raw,
    /// Build id and offset in the file.
    BuildId,
}

impl StackMode {
    /// All of them.
    pub const ALL: [StackMode; 4] =
        [StackMode::Bpftrace, StackMode::Perf, StackMode::Raw, StackMode::BuildId];

    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            StackMode::Bpftrace => "bpftrace",
            StackMode::Perf => "perf",
            StackMode::Raw => "raw",
            StackMode::BuildId => "build_id",
        }
    }

    /// The mode that a word names.
    pub fn of(word: &str) -> Option<StackMode> {
        StackMode::ALL.into_iter().find(|mode| mode.name() == word)
    }
}

/// A stack's shape.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Stack {
    /// The kernel's or the process's.
    pub kernel: bool,
    /// At most so many frames.
    pub limit: u16,
    /// How it is printed.
    pub mode: StackMode,
}

/// What an aggregating map holds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[allow(missing_docs, reason = "the names are those of the functions")]
pub enum Aggregate {
    Count,
    Sum { signed: bool },
    Min { signed: bool },
    Max { signed: bool },
    Avg { signed: bool },
    Stats { signed: bool },
    Hist,
    LHist,
    TSeries,
}

/// A type's kind.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Kind {
    /// Not known, or no value.
    #[default]
    None,
    /// No value.
    Void,
    /// A truth, one byte.
    Bool,
    /// A number of 1, 2, 4 or 8 bytes.
    Int {
        /// Bytes.
        size: u8,
        /// Whether it can be negative.
        signed: bool,
        /// The C enumeration that it belongs to.
        enumeration: Option<Name>,
    },
    /// A string of at most so many bytes, the 0 at the end included; 0 is not known yet.
    String(u32),
    /// Bytes with a length in front: so many bytes without the length.
    Buffer(u32),
    /// An address of a value.
    Pointer(Box<Type>),
    /// So many values in a row.
    Array(Box<Type>, u32),
    /// A C structure or union.
    Record {
        /// Its number.
        id: RecordId,
        /// Its name with `struct ` or `union ` in front, or a typedef's name.
        name: Name,
        /// Bytes.
        size: u32,
    },
    /// Values in a row, each of its own type.
    Tuple(Arc<[Type]>),
    /// Values with names.
    Named(Arc<[(Name, Type)]>),
    /// A stack.
    Stack(Stack),
    /// An Internet address; bytes that hold family and address.
    Inet(u32),
    /// An Ethernet address, 6 bytes.
    Mac,
    /// A kernel address that prints as its symbol.
    Ksym,
    /// A process's address that prints as its symbol.
    Usym,
    /// A user's number that prints as the name.
    Username,
    /// A control group's number that prints as its path.
    CgroupPath,
    /// A time with its format.
    Timestamp,
    /// A clock's name as argument.
    TimestampMode,
    /// What an aggregating map holds.
    Aggregate(Aggregate),
}

/// A type, and where its value lives.
#[derive(Clone, Debug, Default)]
pub struct Type {
    /// What it is.
    pub kind: Kind,
    /// Whose memory it points into, or lies in.
    pub space: Space,
    /// It is the program's context, or a part of it.
    pub context: bool,
    /// Its bytes lie in the program's own memory (a map, a variable, a constant), so that
    /// they are read directly.
    pub inside: bool,
    /// It is the record of a probe's arguments.
    pub arguments: bool,
    /// A literal's type, whose sign is not decided yet.
    pub flexible: bool,
    /// The clock of a time.
    pub clock: Clock,
    /// Attributes of a pointer in BTF: `rcu`, `percpu`, `user`.
    pub tags: Arc<[Name]>,
}

impl PartialEq for Type {
    fn eq(&self, other: &Type) -> bool {
        self.kind == other.kind
    }
}

impl Eq for Type {}

impl PartialOrd for Type {
    fn partial_cmp(&self, other: &Type) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Type {
    fn cmp(&self, other: &Type) -> std::cmp::Ordering {
        self.kind.cmp(&other.kind)
    }
}

impl std::hash::Hash for Type {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.kind.hash(state);
    }
}

/// Bytes in front of a buffer's contents: its length.
pub const BUFFER_HEAD: u32 = 4;

impl From<Kind> for Type {
    fn from(kind: Kind) -> Type {
        let inside = matches!(kind, Kind::Inet(_) | Kind::Mac);
        Type { kind, inside, ..Type::default() }
    }
}

impl Type {
    /// Nothing.
    pub fn none() -> Type {
        Type::default()
    }

    /// No value.
    pub fn void() -> Type {
        Kind::Void.into()
    }

    /// A truth.
    pub fn bool() -> Type {
        Kind::Bool.into()
    }

    /// A number.
    pub fn int(size: u8, signed: bool) -> Type {
        Kind::Int { size, signed, enumeration: None }.into()
    }

    /// A signed number of 64 bits.
    pub fn int64() -> Type {
        Type::int(8, true)
    }

    /// An unsigned number of 64 bits.
    pub fn uint64() -> Type {
        Type::int(8, false)
    }

    /// A value of an enumeration.
    pub fn enumeration(name: Name, size: u8) -> Type {
        Kind::Int { size, signed: false, enumeration: Some(name) }.into()
    }

    /// A string.
    pub fn string(size: u32) -> Type {
        Kind::String(size).into()
    }

    /// An address.
    pub fn pointer(to: Type, space: Space) -> Type {
        Type::from(Kind::Pointer(Box::new(to))).at(space)
    }

    /// An array.
    pub fn array(of: Type, count: u32) -> Type {
        Kind::Array(Box::new(of), count).into()
    }

    /// A tuple.
    pub fn tuple(of: Vec<Type>) -> Type {
        Kind::Tuple(of.into()).into()
    }

    /// The same in another space.
    #[must_use]
    pub fn at(self, space: Space) -> Type {
        Type { space, ..self }
    }

    /// The same as a part of the context.
    #[must_use]
    pub fn in_context(self) -> Type {
        Type { context: true, ..self }
    }

    /// Its size in bytes; 0 for what has none.
    pub fn size(&self) -> u32 {
        match &self.kind {
            Kind::None | Kind::Void | Kind::TimestampMode => 0,
            Kind::Bool => 1,
            Kind::Int { size, .. } => u32::from(*size),
            Kind::String(size) | Kind::Inet(size) => *size,
            Kind::Buffer(size) => size.saturating_add(BUFFER_HEAD),
            Kind::Pointer(_) | Kind::Ksym | Kind::Username | Kind::Aggregate(_) => 8,
            Kind::Array(of, count) => of.size().saturating_mul(*count),
            Kind::Record { size, .. } => *size,
            Kind::Tuple(_) | Kind::Named(_) => self.layout().size,
            Kind::Stack(stack) => {
                let frame = if stack.mode == StackMode::BuildId { 32 } else { 8 };
                u32::from(stack.limit) * frame + if stack.kernel { 8 } else { 16 }
            }
            Kind::Mac => 6,
            Kind::Usym | Kind::CgroupPath | Kind::Timestamp => 16,
        }
    }

    /// Its alignment in a tuple.
    pub fn align(&self) -> u32 {
        match &self.kind {
            Kind::String(_)
            | Kind::Usym
            | Kind::Inet(_)
            | Kind::Buffer(_)
            | Kind::Timestamp
            | Kind::Mac
            | Kind::CgroupPath => 1,
            Kind::Tuple(_) | Kind::Named(_) => self.layout().align,
            Kind::Record { .. } => 1,
            Kind::Array(of, _) if self.size() > 2 => of.align(),
            _ => match self.size() {
                0 | 1 => 1,
                2 => 2,
                3 | 4 => 4,
                _ => 8,
            },
        }
    }

    /// Where the parts of a tuple or of a record with names lie: in their order, each at
    /// its alignment, the whole filled up to the largest.
    pub fn layout(&self) -> Layout {
        let mut layout = Layout { offsets: Vec::new(), size: 0, align: 1 };
        for part in self.parts() {
            let align = part.align().max(1);
            let at = layout.size.next_multiple_of(align);
            layout.offsets.push(at);
            layout.size = at.saturating_add(part.size());
            layout.align = layout.align.max(align);
        }
        layout.size = layout.size.next_multiple_of(layout.align);
        layout
    }

    /// The types of a tuple's or a record's parts.
    pub fn parts(&self) -> Vec<&Type> {
        match &self.kind {
            Kind::Tuple(parts) => parts.iter().collect(),
            Kind::Named(parts) => parts.iter().map(|(_, part)| part).collect(),
            _ => Vec::new(),
        }
    }

    /// What a pointer points to, in the pointer's space.
    pub fn pointee(&self) -> Option<Type> {
        let Kind::Pointer(to) = &self.kind else {
            return None;
        };
        let mut to = (**to).clone();
        if self.space == Space::User || (self.space == Space::Kernel && to.space != Space::None) {
            to.space = self.space;
        }
        Some(to)
    }

    /// Whether it is known.
    pub fn is_none(&self) -> bool {
        self.kind == Kind::None
    }

    /// Whether it is a number.
    pub fn is_int(&self) -> bool {
        matches!(self.kind, Kind::Int { .. })
    }

    /// Whether it is a pointer.
    pub fn is_pointer(&self) -> bool {
        matches!(self.kind, Kind::Pointer(_))
    }

    /// Whether it is a string.
    pub fn is_string(&self) -> bool {
        matches!(self.kind, Kind::String(_))
    }

    /// Whether it is an array.
    pub fn is_array(&self) -> bool {
        matches!(self.kind, Kind::Array(..))
    }

    /// Whether it is a C structure or union.
    pub fn is_record(&self) -> bool {
        matches!(self.kind, Kind::Record { .. })
    }

    /// Whether it is a tuple.
    pub fn is_tuple(&self) -> bool {
        matches!(self.kind, Kind::Tuple(_))
    }

    /// Whether it is a record with names.
    pub fn is_named(&self) -> bool {
        matches!(self.kind, Kind::Named(_))
    }

    /// Whether it is a stack.
    pub fn is_stack(&self) -> bool {
        matches!(self.kind, Kind::Stack(_))
    }

    /// Whether it is negative at times.
    pub fn is_signed(&self) -> bool {
        match &self.kind {
            Kind::Int { signed, .. } => *signed,
            Kind::Aggregate(
                Aggregate::Sum { signed }
                | Aggregate::Min { signed }
                | Aggregate::Max { signed }
                | Aggregate::Avg { signed }
                | Aggregate::Stats { signed },
            ) => *signed,
            _ => false,
        }
    }

    /// Whether it is an aggregation that reads as one number.
    pub fn is_castable_aggregate(&self) -> bool {
        matches!(
            self.kind,
            Kind::Aggregate(
                Aggregate::Count
                    | Aggregate::Sum { .. }
                    | Aggregate::Min { .. }
                    | Aggregate::Max { .. }
                    | Aggregate::Avg { .. }
            )
        )
    }

    /// Whether it is an aggregation that is kept per CPU.
    pub fn is_aggregate(&self) -> bool {
        matches!(self.kind, Kind::Aggregate(_))
    }

    /// Whether one value takes several elements of a map.
    pub fn is_histogram(&self) -> bool {
        matches!(
            self.kind,
            Kind::Aggregate(Aggregate::Hist | Aggregate::LHist | Aggregate::TSeries)
        )
    }
}

/// Offsets of parts, and the whole.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Layout {
    /// Of each part.
    pub offsets: Vec<u32>,
    /// The whole.
    pub size: u32,
    /// The largest alignment.
    pub align: u32,
}
