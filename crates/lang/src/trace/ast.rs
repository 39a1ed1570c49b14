//! What a script says: the tree that the parser builds and that macros, expansion of
//! probes and folding rewrite. Names are still names here; [`super::checked`] is what they
//! mean.

use std::sync::Arc;

use super::place::Place;

/// A name, shared.
pub type Name = Arc<str>;

/// An expression's number, unique in a script, also after copies by macros.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ExprId(pub u32);

/// Gives out numbers.
#[derive(Clone, Debug, Default)]
pub struct Ids(u32);

impl Ids {
    /// The next number.
    pub fn fresh(&mut self) -> ExprId {
        self.0 += 1;
        ExprId(self.0)
    }

    /// How many there are.
    pub fn count(&self) -> u32 {
        self.0
    }
}

/// A whole script.
#[derive(Clone, Debug, Default)]
pub struct Script {
    /// The `#!` line with its end.
    pub header: Option<String>,
    /// C definitions and preprocessor lines in their order.
    pub definitions: Vec<Definition>,
    /// The `config = { }` block's entries.
    pub config: Vec<Setting>,
    /// Imports at the root.
    pub imports: Vec<Import>,
    /// The rest in its order.
    pub items: Vec<Item>,
    /// Comments by their first byte and the one after their last.
    pub comments: Vec<(u32, u32)>,
    /// The config block's place, if there is one.
    pub config_place: Option<Place>,
}

/// C text: a preprocessor line, or one `struct`, `union` or `enum`.
#[derive(Clone, Debug)]
pub struct Definition {
    /// The text as written.
    pub text: String,
    /// Where.
    pub place: Place,
}

/// `key = value` of the config block.
#[derive(Clone, Debug)]
pub struct Setting {
    /// The key as written.
    pub key: Name,
    /// The value.
    pub value: SettingValue,
    /// Where.
    pub place: Place,
}

/// What a setting is set to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SettingValue {
    /// A number.
    Int(u64),
    /// A string or a bare word.
    Text(String),
    /// `true` or `false`.
    Bool(bool),
}

/// `import "path";`
#[derive(Clone, Debug)]
pub struct Import {
    /// The path as written.
    pub path: String,
    /// Where.
    pub place: Place,
}

/// What stands at the root after definitions, config and imports.
#[derive(Clone, Debug)]
pub enum Item {
    /// A probe with its block.
    Probe(Probe),
    /// `fn name($a : T) : T { }`.
    Function(Function),
    /// `macro name(args) { }`.
    Macro(Macro),
    /// `let @m = hash(100);`.
    MapDeclaration(MapDeclaration),
}

/// A probe. Its predicate has become an `if` around the block.
#[derive(Clone, Debug)]
pub struct Probe {
    /// What it attaches to.
    pub points: Vec<AttachPoint>,
    /// What it does.
    pub body: Block,
    /// From the first point to the last.
    pub place: Place,
}

/// An attach point as written.
#[derive(Clone, Debug)]
pub struct AttachPoint {
    /// The text, for example `kprobe:vfs_*`.
    pub raw: String,
    /// Where.
    pub place: Place,
}

/// A function of the script.
#[derive(Clone, Debug)]
pub struct Function {
    /// Its name.
    pub name: Name,
    /// Its parameters.
    pub parameters: Vec<Parameter>,
    /// What it gives.
    pub result: TypeOf,
    /// What it does.
    pub body: Block,
    /// `fn` to the name.
    pub place: Place,
}

/// A parameter of a function.
#[derive(Clone, Debug)]
pub struct Parameter {
    /// The variable with its `$`.
    pub name: Name,
    /// Its type.
    pub of: TypeOf,
    /// Where.
    pub place: Place,
}

/// A macro.
#[derive(Clone, Debug)]
pub struct Macro {
    /// Its name.
    pub name: Name,
    /// Its parameters: variables, maps and identifiers.
    pub parameters: Vec<Expr>,
    /// What it stands for.
    pub body: Block,
    /// `macro` to the name.
    pub place: Place,
}

/// `let @name = kind(entries);`
#[derive(Clone, Debug)]
pub struct MapDeclaration {
    /// With its `@`.
    pub name: Name,
    /// `hash`, `lruhash` and others.
    pub kind: Name,
    /// How many entries at most.
    pub entries: u64,
    /// Where.
    pub place: Place,
}

/// Statements and the value of the last expression, if it has no semicolon.
#[derive(Clone, Debug)]
pub struct Block {
    /// Its number, for the variables that begin in it.
    pub id: ExprId,
    /// In their order.
    pub statements: Vec<Statement>,
    /// The value, [`ExprKind::None`] without one.
    pub value: Box<Expr>,
    /// With its braces.
    pub place: Place,
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
    /// `let $x : T;`
    Let(Let),
    /// `$x = e`, `let $x = e`, `@m = e`, `@m[k] = e`; `+=` has become `= … + …`.
    Assign(Target, Expr),
    /// `_ = e`
    Discard(Expr),
    /// `unroll(n) { }`
    Unroll(Expr, Block),
    /// `while (c) { }`
    While(Expr, Block),
    /// `for ($x : over) { }`
    For(Variable, Iterable, Block),
    /// `break`
    Break,
    /// `continue`
    Continue,
    /// `return`, `return e`
    Return(Option<Expr>),
    /// `import` in a block.
    Import(String),
}

/// `let $x`, with its type if one is written.
#[derive(Clone, Debug)]
pub struct Let {
    /// The variable.
    pub variable: Variable,
    /// The type.
    pub of: Option<TypeOf>,
    /// From `let` to the name.
    pub place: Place,
}

/// A variable at its place.
#[derive(Clone, Debug)]
pub struct Variable {
    /// Its number, for the types of uses.
    pub id: ExprId,
    /// With its `$`.
    pub name: Name,
    /// Where.
    pub place: Place,
}

/// A map at its place.
#[derive(Clone, Debug)]
pub struct Map {
    /// Its number: whether this use was found to be right.
    pub id: ExprId,
    /// With its `@`.
    pub name: Name,
    /// Where.
    pub place: Place,
}

/// What is assigned to.
#[derive(Clone, Debug)]
pub enum Target {
    /// A variable that is there or begins here.
    Variable(Variable),
    /// A variable that is declared here.
    Let(Let),
    /// A scalar map.
    Map(Map),
    /// An element of a map.
    Element(Element),
}

/// `@m[k]`
#[derive(Clone, Debug)]
pub struct Element {
    /// The map.
    pub map: Map,
    /// The key.
    pub key: Box<Expr>,
    /// Where.
    pub place: Place,
}

/// What a `for` runs over.
#[derive(Clone, Debug)]
pub enum Iterable {
    /// All elements of a map.
    Map(Map),
    /// `a..b`
    Range(Box<Expr>, Box<Expr>, Place),
}

/// A type, or an expression whose type it is.
#[derive(Clone, Debug)]
pub struct TypeOf {
    /// Its number, for the type that was found.
    pub id: ExprId,
    /// Which.
    pub kind: TypeOfKind,
    /// Where.
    pub place: Place,
}

/// A type written, or asked for.
#[derive(Clone, Debug)]
pub enum TypeOfKind {
    /// Written.
    Type(TypeName),
    /// `typeof(e)`, or where an expression stands for its type.
    Expr(Box<Expr>),
}

/// A type as written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TypeName {
    /// One word.
    Plain(Name),
    /// `struct name`
    Struct(Name),
    /// `union name`
    Union(Name),
    /// `enum name`
    Enum(Name),
    /// `T *`
    Pointer(Box<TypeName>),
    /// `T[n]`, 0 for `T[]`
    Array(Box<TypeName>, u64),
}

/// An expression.
#[derive(Clone, Debug)]
pub struct Expr {
    /// Its number.
    pub id: ExprId,
    /// What it is.
    pub kind: ExprKind,
    /// Where.
    pub place: Place,
}

/// What an expression is.
#[derive(Clone, Debug)]
pub enum ExprKind {
    /// No value.
    None,
    /// A number that is not negative, and how it was written.
    Int(u64, Option<Name>),
    /// A negative number, after folding.
    Negative(i64),
    /// `true`, `false`
    Bool(bool),
    /// A string's bytes.
    Str(Arc<[u8]>),
    /// `$1`
    Positional(u64),
    /// `$#`
    PositionalCount,
    /// A word: a constant, a macro, a mode.
    Ident(Name),
    /// A word that the language knows: `pid`, `arg0`, `__builtin_comm`.
    Builtin(Name),
    /// `f(a, b)`
    Call(Call),
    /// `sizeof(T)`
    Sizeof(Box<TypeOf>),
    /// `offsetof(T, a.b)`
    Offsetof(Box<TypeOf>, Vec<Name>),
    /// `typeinfo(T)`
    Typeinfo(Box<TypeOf>),
    /// A type as argument of a macro.
    TypeArgument(Box<TypeOf>),
    /// `comptime e`
    Comptime(Box<Expr>),
    /// `@m` without a key.
    Map(Map),
    /// `@m[k]`
    Element(Element),
    /// `$x`
    Variable(Name),
    /// `&$x`
    VariableAddress(Variable),
    /// `&@m`
    MapAddress(Map),
    /// `a + b`
    Binary(BinaryOp, Box<Expr>, Box<Expr>),
    /// `-a`
    Unary(UnaryOp, Box<Expr>),
    /// `a.b`, `a->b`
    Field(Box<Expr>, Name),
    /// `a.0`
    TupleIndex(Box<Expr>, u64),
    /// `a[b]`
    Index(Box<Expr>, Box<Expr>),
    /// `(T)a`
    Cast(Box<TypeOf>, Box<Expr>),
    /// `(a, b)`
    Tuple(Vec<Expr>),
    /// `(a=1, b=2)`
    Record(Vec<NamedValue>),
    /// `if c { } else { }`, `c ? a : b`
    If(Box<If>),
    /// `{ …; e }`
    Block(Block),
}

/// A call by name.
#[derive(Clone, Debug)]
pub struct Call {
    /// The function.
    pub function: Name,
    /// The arguments.
    pub arguments: Vec<Expr>,
    /// How many of them the compiler put in front: the map and key of an aggregation.
    pub injected: usize,
}

/// A condition with both branches.
#[derive(Clone, Debug)]
pub struct If {
    /// The condition.
    pub condition: Expr,
    /// If it holds.
    pub then: Expr,
    /// If not.
    pub otherwise: Expr,
}

/// `name=value` of a record.
#[derive(Clone, Debug)]
pub struct NamedValue {
    /// The name.
    pub name: Name,
    /// The value.
    pub value: Expr,
    /// Where.
    pub place: Place,
}

/// Operators between two values.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[allow(missing_docs, reason = "the names are those of the operators")]
pub enum BinaryOp {
    Eq,
    Ne,
    Le,
    Ge,
    Lt,
    Gt,
    And,
    Or,
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    BitAnd,
    BitOr,
    BitXor,
    Left,
    Right,
}

/// Operators on one value.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[allow(missing_docs, reason = "the names are those of the operators")]
pub enum UnaryOp {
    Minus,
    Not,
    BitNot,
    Deref,
    PreIncrement,
    PreDecrement,
    PostIncrement,
    PostDecrement,
}

impl BinaryOp {
    /// How it is written.
    pub fn sign(self) -> &'static str {
        match self {
            BinaryOp::Eq => "==",
            BinaryOp::Ne => "!=",
            BinaryOp::Le => "<=",
            BinaryOp::Ge => ">=",
            BinaryOp::Lt => "<",
            BinaryOp::Gt => ">",
            BinaryOp::And => "&&",
            BinaryOp::Or => "||",
            BinaryOp::Add => "+",
            BinaryOp::Sub => "-",
            BinaryOp::Mul => "*",
            BinaryOp::Div => "/",
            BinaryOp::Mod => "%",
            BinaryOp::BitAnd => "&",
            BinaryOp::BitOr => "|",
            BinaryOp::BitXor => "^",
            BinaryOp::Left => "<<",
            BinaryOp::Right => ">>",
        }
    }

    /// Whether it compares.
    pub fn compares(self) -> bool {
        use BinaryOp::{Eq, Ge, Gt, Le, Lt, Ne};
        matches!(self, Eq | Ne | Le | Ge | Lt | Gt)
    }

    /// Whether it gives a truth: comparisons, `&&` and `||`.
    pub fn gives_truth(self) -> bool {
        self.compares() || self.is_logical()
    }

    /// Whether it joins truths.
    pub fn is_logical(self) -> bool {
        matches!(self, BinaryOp::And | BinaryOp::Or)
    }
}

impl UnaryOp {
    /// How it is written.
    pub fn sign(self) -> &'static str {
        match self {
            UnaryOp::Minus => "-",
            UnaryOp::Not => "!",
            UnaryOp::BitNot => "~",
            UnaryOp::Deref => "*",
            UnaryOp::PreIncrement | UnaryOp::PostIncrement => "++",
            UnaryOp::PreDecrement | UnaryOp::PostDecrement => "--",
        }
    }

    /// Whether it writes to what it is applied to.
    pub fn steps(self) -> bool {
        !matches!(self, UnaryOp::Minus | UnaryOp::Not | UnaryOp::BitNot | UnaryOp::Deref)
    }

    /// Whether it counts down.
    pub fn is_decrement(self) -> bool {
        matches!(self, UnaryOp::PreDecrement | UnaryOp::PostDecrement)
    }
}

impl Expr {
    /// Whether it is a literal: a number, a truth, a string, or a tuple or record of them.
    pub fn is_literal(&self) -> bool {
        match &self.kind {
            ExprKind::Int(..) | ExprKind::Negative(_) | ExprKind::Bool(_) | ExprKind::Str(_) => {
                true
            }
            ExprKind::Tuple(values) => values.iter().all(Expr::is_literal),
            ExprKind::Record(values) => values.iter().all(|value| value.value.is_literal()),
            _ => false,
        }
    }

    /// Whether it is nothing.
    pub fn is_none(&self) -> bool {
        matches!(self.kind, ExprKind::None)
    }

    /// The string, if it is one.
    pub fn as_text(&self) -> Option<std::borrow::Cow<'_, str>> {
        match &self.kind {
            ExprKind::Str(bytes) => Some(String::from_utf8_lossy(bytes)),
            _ => None,
        }
    }

    /// The number, if it is one that is not negative.
    pub fn as_int(&self) -> Option<u64> {
        match self.kind {
            ExprKind::Int(value, _) => Some(value),
            _ => None,
        }
    }
}
