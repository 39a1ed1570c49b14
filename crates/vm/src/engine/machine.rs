//! What programs of a kernel run on, and how.

use std::sync::Arc;

use skep_jit::Passes;

use super::workspaces::Workspaces;
use super::{Engine, alarms};
use crate::objects::program::How;
use crate::run::environment::Environment;
use crate::run::vcpus::Vcpus;

/// Instructions that a run may execute unless told otherwise.
pub const DEFAULT_BUDGET: u64 = 1 << 32;

/// vCPUs and the world that programs see, which all processes of a kernel share, and how one
/// of them has its programs run.
#[derive(Clone)]
pub(crate) struct Machine {
    /// Time, chance and output.
    pub env: Arc<Environment>,
    pub vcpus: Arc<Vcpus>,
    pub workspaces: Arc<Workspaces>,
    /// Instructions that a run may execute.
    pub budget: u64,
    /// Whether runs compare what they do with what the verifier was sure of.
    pub asserts: bool,
    pub engine: Engine,
    pub passes: Passes,
}

impl Machine {
    /// One with so many vCPUs.
    pub fn new(cpus: u32) -> Machine {
        let machine = Machine {
            env: Arc::new(Environment::new(cpus)),
            vcpus: Arc::new(Vcpus::new(cpus)),
            workspaces: Arc::default(),
            budget: DEFAULT_BUDGET,
            asserts: false,
            engine: Engine::Auto,
            passes: Passes::ALL,
        };
        alarms::serve(&machine);
        machine
    }

    /// What runs programs. Only the interpreter compares with the verifier's facts.
    pub fn engine(&self) -> Engine {
        if self.asserts { Engine::Interpreter } else { self.engine }
    }

    /// How programs are compiled, if they are.
    pub fn how(&self) -> Option<How> {
        self.engine().how(self.passes)
    }
}
