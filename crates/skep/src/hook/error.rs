//! Why there is no such hook, or why a program is none for it.

use skep_btf::BtfError;
use skep_load::Error;
use skep_vm::hooks::PointError;

/// Why a hook was not made, or does not take a program.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HookError {
    /// A name that no section can have.
    #[error("{0:?} is no name of a hook: letters, digits, `_`, `-` and `.`")]
    Name(String),
    /// A name that no function of C has, or that two helpers have.
    #[error("{0:?} cannot be the name of another helper")]
    HelperName(String),
    /// A helper that takes another context than the hook's.
    #[error("helper {helper} takes the context {takes}, and the hook's is {context}")]
    OtherContext {
        /// The helper.
        helper: &'static str,
        /// What it takes.
        takes: &'static str,
        /// What there is.
        context: &'static str,
    },
    /// Too many helpers.
    #[error("a hook has at most {0} helpers")]
    TooManyHelpers(usize),
    /// A helper that the kernel does not take.
    #[error("the kernel does not take one of the helpers")]
    Definition,
    /// The least that programs may return is more than the most, or a verdict is neither.
    #[error("programs return {least} to {most}, and {value} is no such value")]
    Range {
        /// The least.
        least: i32,
        /// The most.
        most: i32,
        /// What does not fit.
        value: i32,
    },
    /// The kernel to make it in loads programs unverified.
    #[error("the kernel does not verify programs, and those of hooks are verified")]
    Unverified,
    /// The description is no BTF.
    #[error("the hook cannot be described: {0}")]
    Describe(#[from] BtfError),
    /// An object without a program for this hook.
    #[error("{file}: no program in section {section:?}; there are: {has}")]
    NoProgram {
        /// The file.
        file: String,
        /// The section.
        section: String,
        /// The sections that there are.
        has: String,
    },
    /// Several programs, of which none was named; or none of the name.
    #[error("{file}: section {section:?} has the programs {has}: which one is to run?")]
    WhichProgram {
        /// The file.
        file: String,
        /// The section.
        section: String,
        /// The programs.
        has: String,
    },
    /// The object, or the kernel's verdict.
    #[error(transparent)]
    Load(Box<Error>),
    /// The program is another hook's.
    #[error(transparent)]
    Point(#[from] PointError),
}

impl From<Error> for HookError {
    fn from(error: Error) -> HookError {
        HookError::Load(Box::new(error))
    }
}
