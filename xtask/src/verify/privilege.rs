//! The capabilities that programs are judged with. A thread gives up what is not in
//! the set for the one system call that verifies, and takes it back.

use anyhow::{Context, Result};
use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities};
use skep_abi::Capabilities;

/// Who loads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Privilege {
    /// Root: every capability
    All,
    /// CAP_BPF and CAP_NET_ADMIN alone
    Reduced,
}

impl Privilege {
    /// Both, in the order of the report.
    pub const EACH: [Privilege; 2] = [Privilege::All, Privilege::Reduced];

    /// Its name in the report.
    pub fn name(self) -> &'static str {
        match self {
            Privilege::All => "all",
            Privilege::Reduced => "reduced",
        }
    }

    /// The set as the verifier takes it.
    pub fn set(self) -> Capabilities {
        match self {
            Privilege::All => Capabilities::all(),
            Privilege::Reduced => Capabilities::BPF | Capabilities::NET_ADMIN,
        }
    }

    /// Does something with these capabilities effective in this thread only.
    ///
    /// # Errors
    /// Capabilities that this process cannot take.
    pub fn during<T>(self, action: impl FnOnce() -> T) -> Result<T> {
        if self == Privilege::All {
            return Ok(action());
        }
        let held = capabilities(None).context("capget")?;
        let effective = CapabilitySet::BPF | CapabilitySet::NET_ADMIN;
        set_capabilities(None, CapabilitySets { effective, ..held }).context("capset")?;
        let result = action();
        set_capabilities(None, held).context("capset")?;
        Ok(result)
    }
}
