//! placeholder
pub fn execute() -> anyhow::Result<bool> { Ok(false) }
