//! What can be wrong with BTF.

/// Why bytes are not BTF, or why a question about types has no answer.
#[derive(Debug, thiserror::Error, Clone, PartialEq, Eq)]
#[error("{message}")]
pub struct BtfError {
    message: String,
}
