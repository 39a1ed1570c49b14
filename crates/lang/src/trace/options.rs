//! How a script is checked: parameters, permissions, and which steps are taken.

/// Where the steps end. Each takes all before it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum Until {
    /// The text is read, and what attach points say.
    Text,
    /// Settings and imports are taken too.
    Config,
    /// Attach points are checked too.
    Points,
    /// Macros are expanded too.
    Macros,
    /// Probes are expanded, constants folded, names of C replaced.
    Fold,
    /// All but types is checked.
    Names,
    /// All.
    #[default]
    Types,
}

/// How a script is checked.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// `system`, `signal` and others are allowed.
    pub allow_unsafe: bool,
    /// Positional parameters, `$1` first.
    pub positional: Vec<String>,
    /// Named parameters: `--name=value`, or `--name` alone for a truth.
    pub named: Vec<(String, Option<String>)>,
    /// The process to trace.
    pub pid: Option<u32>,
    /// A command is started (`-c`).
    pub has_command: bool,
    /// Settings of the environment, by their names.
    pub settings: Vec<(String, String)>,
    /// Attach points are looked up for a list: patterns may stand where a probe could not be.
    pub listing: bool,
    /// Where the steps end.
    pub until: Until,
}
