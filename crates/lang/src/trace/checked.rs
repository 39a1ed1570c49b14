//! What a script means: the tree after all checks, in which every expression has its type
//! and no name is left to look up.
//!
//! A lowering starts here. Everything that is decided before a program runs is decided:
//! which probes, the types and slots of variables, the keys and values of maps, offsets of
//! members, formats of `printf`, conditions that are constant, `sizeof`, parameters on the
//! command line. What remains is what programs do at run time.
//!
//! - [`Script`] is the whole; [`Program`] is one body with the points it attaches to.
//! - [`Expr`] carries its [`Type`]; conversions are [`ExprKind::Cast`] and stand wherever a
//!   value's size or sign changes, so that both sides of an operator, and a value and its
//!   place, have one type.
//! - A value of more than eight bytes (a string, a tuple, a record, a stack) is its bytes;
//!   `Type::inside` says that they lie in the program's own memory, `Type::space` whose
//!   memory they are read from otherwise.

use std::sync::Arc;

use super::ast::{BinaryOp, Name, UnaryOp};
use super::config::Config;
use super::kind::{Clock, RecordId, Stack, Type};
use super::place::{Place, Sources};
use super::records::Records;

/// A checked script.
#[derive(Clone, Debug, Default)]
pub struct Script {
    /// The programs, in the order of the script; a probe with several points is one program
    /// for each, unless the kernel attaches one program to many functions.
    pub programs: Vec<Program>,
    /// The maps, by [`MapId`].
    pub maps: Vec<Map>,
    /// C structures, unions and arguments, by [`RecordId`].
    pub records: Records,
    /// Enumerations, for printing values by their names.
    pub enumerations: Vec<Enumeration>,
    /// Formats of `printf` and its like, by [`FormatId`].
    pub formats: Vec<Format>,
    /// Named parameters (`getopt`), with their values on this command line.
    pub parameters: Vec<Parameter>,
    /// Settings.
    pub config: Config,
    /// The texts that places refer to.
    pub sources: Sources,
}

/// A map by its number in [`Script::maps`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct MapId(pub u32);

/// A format by its number in [`Script::formats`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct FormatId(pub u32);

/// A variable by its number in [`Program::variables`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct VariableId(pub u32);

/// A parameter by its number in [`Script::parameters`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ParameterId(pub u32);

/// One body and where it attaches.
#[derive(Clone, Debug)]
pub struct Program {
    /// The full name, as the `probe` builtin gives it.
    pub name: Name,
    /// Where it attaches: one point, or several of one kind that one program serves
    /// (functions of a wildcard by `kprobe_multi` or `uprobe_multi`).
    pub points: Vec<Point>,
    /// Entry and return of the functions both run it; [`Function::IsReturn`] tells which.
    pub session: bool,
    /// The record of `args` or `retval`, where the script uses it.
    pub arguments: Option<RecordId>,
    /// The variables, by [`VariableId`].
    pub variables: Vec<Variable>,
    /// What it does.
    pub body: Block,
    /// Where the probe stands.
    pub place: Place,
}

/// Where a program attaches.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Point {
    /// Before all others.
    Begin,
    /// After all others.
    End,
    /// `test:name`
    Test(Name),
    /// `bench:name`
    Bench(Name),
    /// `self:signal:SIGUSR1`
    SelfSignal(Name),
    /// A counter of the processor, every so many events.
    Hardware {
        /// The event's name in full.
        event: Name,
        /// 0: its default.
        count: u64,
    },
    /// A counter of the kernel, every so many events.
    Software {
        /// The event's name in full.
        event: Name,
        /// 0: its default.
        count: u64,
    },
    /// On one CPU, at a rate.
    Interval(Rate),
    /// On all CPUs, at a rate.
    Profile(Rate),
    /// A run over all of a kind.
    Iter {
        /// `task`, `task_file`, `task_vma` and others.
        kind: Name,
        /// Where it is pinned.
        pin: Option<Name>,
    },
    /// Entry or exit of a kernel function, with typed arguments.
    Fentry {
        /// `vmlinux` or a module; empty is not known.
        module: Name,
        /// The function.
        function: Name,
        /// At exit.
        exit: bool,
    },
    /// Entry or exit of a loaded BPF program.
    FentryProgram {
        /// The program's number.
        program: u32,
        /// Its function.
        function: Name,
        /// At exit.
        exit: bool,
    },
    /// A kernel instruction.
    Kprobe {
        /// `None` for any.
        module: Option<Name>,
        /// The function; empty for an address.
        function: Name,
        /// Bytes into the function, or the address.
        offset: u64,
        /// At return.
        ret: bool,
    },
    /// An event with its raw arguments.
    RawTracepoint {
        /// `vmlinux` or a module, `None` for any.
        module: Option<Name>,
        /// The event.
        event: Name,
    },
    /// An event.
    Tracepoint {
        /// Its group.
        category: Name,
        /// The event.
        event: Name,
    },
    /// An instruction of a program or library.
    Uprobe {
        /// The file.
        path: Name,
        /// The function; empty for an offset in the file.
        function: Name,
        /// Bytes into the function, or the offset.
        offset: u64,
        /// At return.
        ret: bool,
    },
    /// A probe that a program declares.
    Usdt {
        /// The file.
        path: Name,
        /// Its provider.
        provider: Name,
        /// Its name.
        name: Name,
    },
    /// Accesses to memory.
    Watchpoint {
        /// Where.
        address: u64,
        /// How many bytes.
        length: u64,
        /// Letters out of `r`, `w`, `x`.
        mode: Name,
    },
}

/// How often.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rate {
    /// So many times a second.
    Hertz(u64),
    /// Every so many nanoseconds.
    Nanoseconds(u64),
}

/// A map.
#[derive(Clone, Debug)]
pub struct Map {
    /// With its `@`.
    pub name: Name,
    /// Without keys: the key is the number 0 of eight bytes.
    pub scalar: bool,
    /// The key.
    pub key: Type,
    /// The value; of an aggregation what it holds.
    pub value: Type,
    /// `hash` and others, if it was declared.
    pub declared: Option<MapKind>,
    /// At most so many keys.
    pub entries: u64,
    /// What the functions that fill it were called with, for printing and for buckets.
    pub shape: Shape,
}

/// Kinds of map that a script can ask for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "the names are those of the language")]
pub enum MapKind {
    Hash,
    LruHash,
    PercpuHash,
    PercpuArray,
    PercpuLruHash,
}

/// The constants of an aggregation.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Shape {
    /// None.
    #[default]
    Plain,
    /// `hist(n, bits)`
    Hist {
        /// 2^bits buckets for each power of two.
        bits: u8,
    },
    /// `lhist(n, min, max, step)`
    LHist {
        /// The first bucket's start.
        min: u64,
        /// The last bucket's end.
        max: u64,
        /// The width of one.
        step: u64,
    },
    /// `tseries(n, interval, count, aggregation)`
    TSeries {
        /// Nanoseconds of one bucket.
        interval: u64,
        /// How many buckets.
        count: u64,
        /// What a bucket holds.
        holds: SeriesOf,
        /// Whether the values are signed.
        signed: bool,
    },
}

/// What a bucket of a time series holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[allow(missing_docs, reason = "the names are those of the language")]
pub enum SeriesOf {
    #[default]
    Last,
    Avg,
    Max,
    Min,
    Sum,
}

/// A variable of a program.
#[derive(Clone, Debug)]
pub struct Variable {
    /// With its `$`; of macros with the macro's name.
    pub name: Name,
    /// Its one type.
    pub of: Type,
    /// Whether its address is taken, so that it needs one.
    pub addressed: bool,
}

/// A parameter `--name` of the script.
#[derive(Clone, Debug)]
pub struct Parameter {
    /// The name.
    pub name: Name,
    /// What help says.
    pub description: String,
    /// What it is on this command line, or its default.
    pub value: Value,
}

/// A value that is known.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Value {
    /// A truth.
    Bool(bool),
    /// A number, never negative.
    Int(u64),
    /// A number below 0.
    Negative(i64),
    /// Bytes.
    Str(Arc<[u8]>),
}

/// An enumeration's names.
#[derive(Clone, Debug)]
pub struct Enumeration {
    /// Without `enum `.
    pub name: Name,
    /// Values and their names.
    pub values: Vec<(u64, Name)>,
}

/// A format of `printf`.
#[derive(Clone, Debug)]
pub struct Format {
    /// Text and conversions in their order.
    pub pieces: Vec<Piece>,
}

/// A part of a format.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Piece {
    /// Printed as it is, `%%` resolved.
    Text(Vec<u8>),
    /// Prints the next argument.
    Conversion(Conversion),
}

/// A conversion: `%-10lld`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Conversion {
    /// `-`, `+`, ` `, `#`, `0` as written.
    pub flags: String,
    /// The least width.
    pub width: Option<u32>,
    /// The precision.
    pub precision: Option<u32>,
    /// `hh`, `h`, `l`, `ll` and others.
    pub length: String,
    /// `d`, `u`, `x`, `X`, `o`, `p`, `c`, `s`, `r`, `rh`, `rx`, `B`, `gr` and others.
    pub letter: String,
}

/// Statements. A block that is an expression has its value in the last one.
#[derive(Clone, Debug, Default)]
pub struct Block {
    /// In their order.
    pub statements: Vec<Statement>,
}

/// A statement.
#[derive(Clone, Debug)]
pub struct Statement {
    /// What it does.
    pub kind: StatementKind,
    /// Where.
    pub place: Place,
}

/// What a statement does.
#[derive(Clone, Debug)]
pub enum StatementKind {
    /// An expression for its effect.
    Expr(Expr),
    /// A variable begins, all zero.
    Declare(VariableId),
    /// `$x = e`
    SetVariable(VariableId, Expr),
    /// `@m[k] = e`
    SetElement(MapId, Expr, Expr),
    /// `@m[k] = count()` and its like.
    Aggregate {
        /// The map.
        map: MapId,
        /// The key.
        key: Expr,
        /// The number that is added; `None` for `count()`.
        value: Option<Expr>,
    },
    /// `if`
    If(Expr, Block, Block),
    /// `unroll(n)`, n in 1 to 100.
    Unroll(u64, Block),
    /// `while`; a kernel bounds it.
    While(Expr, Block),
    /// `for ($kv : @m)`: the variable is a tuple of key and value.
    ForMap(VariableId, MapId, Block),
    /// `for ($i : a..b)`: from the first up to and without the second.
    ForRange(VariableId, Expr, Expr, Block),
    /// Leaves the loop.
    Break,
    /// Begins the loop's next turn.
    Continue,
    /// Leaves the program with a value.
    Return(Option<Expr>),
}

/// An expression.
#[derive(Clone, Debug)]
pub struct Expr {
    /// What it is.
    pub kind: ExprKind,
    /// Its type.
    pub of: Type,
    /// Where.
    pub place: Place,
}

/// What an expression is.
#[derive(Clone, Debug)]
pub enum ExprKind {
    /// A constant.
    Constant(Value),
    /// A named parameter, whose value is in [`Script::parameters`].
    Parameter(ParameterId),
    /// What the kernel or the context gives.
    Builtin(Builtin),
    /// A call.
    Call(Function, Vec<Expr>),
    /// A variable's value.
    Variable(VariableId),
    /// A variable's address.
    VariableAddress(VariableId),
    /// A map's address.
    MapAddress(MapId),
    /// An element's value, zero where there is none; of an aggregation all CPUs' together.
    Element(MapId, Box<Expr>),
    /// `++` and `--` on a variable.
    StepVariable(UnaryOp, VariableId),
    /// `++` and `--` on an element.
    StepElement(UnaryOp, MapId, Box<Expr>),
    /// An operator; both sides have one type but for shifts and pointers.
    Binary(BinaryOp, Box<Expr>, Box<Expr>),
    /// `-`, `!`, `~`, and `*` for reading what a pointer points to.
    Unary(UnaryOp, Box<Expr>),
    /// A member of a C structure, a union or of the arguments: the member by its index.
    Member(Box<Expr>, RecordId, u32),
    /// A part of a tuple or of a record with names, by its index.
    Part(Box<Expr>, u32),
    /// An element of an array, of what a pointer points to, or a byte of a string.
    Index(Box<Expr>, Box<Expr>),
    /// A value as another type. Tuples change part by part, records by the names of their
    /// parts; an aggregation becomes the number of all processors together.
    Cast(Box<Expr>),
    /// Values of a tuple or of a record with names, in the type's order.
    Tuple(Vec<Expr>),
    /// `if` with a value; both sides have the expression's type.
    If(Box<Expr>, Box<Expr>, Box<Expr>),
    /// Statements, then a value.
    Block(Block, Box<Expr>),
    /// No value.
    None,
}

/// What the kernel or the context gives without arguments.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Builtin {
    /// The process (thread group), in which name space.
    Pid(Namespace),
    /// The thread, in which name space.
    Tid(Namespace),
    /// Nanoseconds of a clock.
    Nsecs(Clock),
    /// Nanoseconds since the tracing began.
    Elapsed,
    /// The processor's number.
    Cpu,
    /// How many processors there can be.
    Ncpus,
    /// The command that was started with `-c`, 0 without one.
    Cpid,
    /// The task's name, 16 bytes.
    Comm,
    /// The user in the low half, the group in the high half.
    UidGid,
    /// The control group's number.
    Cgroup,
    /// A random number.
    Random,
    /// Ticks of the kernel since it started.
    Jiffies,
    /// The NUMA node.
    Numa,
    /// The task's `struct task_struct`.
    CurrentTask,
    /// The kernel's or the process's stack.
    Stack(Stack),
    /// The process's stack, unwound by DWARF.
    DwarfStack(Stack),
    /// The function's address at which a probe fired.
    FunctionAddress,
    /// What a function returned.
    Retval,
    /// An argument in a register, or of a USDT probe or a raw tracepoint.
    Argument(u8),
    /// The record of arguments.
    Arguments,
    /// The program's context.
    Context,
    /// Whether the processor was in user mode: 1 or 0.
    Usermode,
    /// A register of the context, by its offset in `struct pt_regs`.
    Register(u16),
}

/// Whose numbers of processes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Namespace {
    /// The tracer's own.
    #[default]
    Current,
    /// The first one.
    Init,
}

/// Functions with arguments. What is constant stands in the function; arguments are those
/// that a program computes.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Function {
    /// `printf`: prints later.
    Printf(FormatId),
    /// `errorf`: prints later, to standard error, with the place.
    Errorf(FormatId),
    /// `warnf`: prints later, to standard error, with the place.
    Warnf(FormatId),
    /// `debugf`: into the kernel's trace buffer.
    Debugf(FormatId),
    /// `system`: runs later.
    System(FormatId),
    /// `cat`: prints a file later.
    Cat(FormatId),
    /// `print(value)`: prints the argument later.
    PrintValue,
    /// `print(@m, top, div)`: prints a map later.
    PrintMap {
        /// The map.
        map: MapId,
        /// So many of the largest; 0 for all.
        top: u64,
        /// Divides values; 0 and 1 do not.
        div: u64,
    },
    /// `print(@m[k])`: prints an element with its key later; arguments: key, value.
    PrintElement(MapId),
    /// `clear(@m)`: later.
    Clear(MapId),
    /// `zero(@m)`: later.
    Zero(MapId),
    /// `time(format)`: later.
    Time(Name),
    /// `join(array, separator)`: prints later.
    Join(Name),
    /// `exit(code)`: ends the tracing later; the program returns at once.
    Exit,
    /// `unwatch(address)`: later.
    Unwatch,
    /// `skboutput(file, skb, length, offset)`
    SkbOutput(Name),
    /// `str(pointer)`, `str(pointer, length)`: reads to the first 0 byte; size by the type.
    Str,
    /// `buf(data)`, `buf(data, length)`: reads bytes; most by the type.
    Buf,
    /// `path(pointer)`
    Path,
    /// `strftime(format, nanoseconds)`
    Strftime(Name),
    /// `ksym(address)`
    Ksym,
    /// `usym(address)`: with the process.
    Usym,
    /// `kaddr(name)`
    Kaddr(Name),
    /// `percpu_kaddr(name)`, with the processor as argument or this one's.
    PercpuKaddr(Name),
    /// `uaddr(name)`: a pointer into the traced file, not yet moved.
    Uaddr(Name),
    /// `cgroupid(path)`: known before a program runs.
    CgroupId(Name),
    /// `cgroup_path(number)`, with a part of the path to look in.
    CgroupPath(Option<Name>),
    /// `ntop(address)`, `ntop(family, address)`
    Ntop,
    /// `macaddr(pointer)`
    MacAddr,
    /// `bswap(number)`
    Bswap,
    /// `kptr(pointer)`, `uptr(pointer)`: the same number in another space.
    AsPointer,
    /// `strncmp(a, b, n)`: 0 where the first n bytes are equal.
    Strncmp(u64),
    /// `socket_cookie(sock)`
    SocketCookie,
    /// `len` of a stack.
    StackLen,
    /// `signal(number)`: to the process or the thread.
    Signal {
        /// To the thread alone.
        thread: bool,
    },
    /// `override(value)`
    Override,
    /// `write_user(to, from, length)`: whether it worked.
    WriteUser,
    /// `delete(@m, key)`: whether it was there.
    Delete(MapId),
    /// `has_key(@m, key)`
    HasKey(MapId),
    /// `find(@m, key, $x)`: the value into the variable, if it is there.
    Find(MapId, VariableId),
    /// `len(@m)`: how many keys.
    MapLen(MapId),
    /// `memcmp(a, b, n)`: 0 where the bytes are equal; arguments are values or addresses.
    Memcmp,
    /// `strlen`: bytes before the first 0, of at most so many.
    Strlen,
    /// `strstr(haystack, needle)`: where it begins, or -1.
    Strstr,
    /// `str_concat(a, b)`
    StrConcat,
    /// The name of an error, a signal or a system call by its number.
    NameOf(Names),
    /// `comm(pid)`: the name of another task.
    CommOf,
    /// The address of a process's file mapping, for `uaddr`.
    MappingOf,
    /// Runs at entry and return of one session: whether it is the return.
    IsReturn,
}

/// Tables of names that a program can ask for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Names {
    Errors,
    Signals,
    SystemCalls,
}
