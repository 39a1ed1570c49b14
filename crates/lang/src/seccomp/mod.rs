//! Policies for system calls, and the seccomp filters that keep them.
//!
//! ```text
//! OCI JSON, TOML, expressions, systemd's lines -> parse -> Policy
//!     Policy -> Plan      what it says, call by call
//!     Plan   -> compile   one decision graph, as a classic BPF program
//!     Plan, program -> prove   they are equal, for all calls and arguments
//! ```
//!
//! A [`Policy`] is plain data. Its [`Plan`] is what it means: `plan.rs` says which of
//! several rules decides.
//!
//! ```
//! use skep_lang::seccomp::{Action, Arch, Call, Condition, Data, Filter, Op, Policy, Rule};
//!
//! let mut policy = Policy::new(Action::Allow);
//! policy.arches = vec![Arch::X86_64];
//! policy.rules.push(Rule {
//!     call: Call::Name("socket".into()),
//!     action: Action::Errno(97), // EAFNOSUPPORT
//!     conditions: vec![Condition { arg: 0, op: Op::Ne, value: 1 }], // AF_UNIX
//!     place: "the only rule".into(),
//! });
//! let filter = Filter::new(&policy)?;
//! filter.prove()?;
//! let call = Data { nr: 41, arch: Arch::X86_64.audit(), args: [2, 1, 0, 0, 0, 0], ip: 0 };
//! assert_eq!(filter.decide(&call).0, Action::Errno(97));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod arch;
mod compile;
pub mod convert;
mod diff;
pub mod export;
mod facts;
mod machine;
mod multiplex;
mod open;
mod parse;
mod plan;
mod policy;
mod prove;
mod question;

pub use arch::Arch;
pub use compile::CompileError;
pub use diff::{DiffError, Difference, diff};
pub use machine::{Machine, MachineError};
pub use multiplex::behind;
pub use parse::{Environment, Format, ParseError, condition, parse, sets};
pub use plan::{Data, Decision, Plan, PlanError, Reason};
pub use policy::{ARGS, Action, Call, Condition, Flags, Op, Policy, Rule};
pub use prove::{Counterexample, Proof, ProveError};

use skep_isa::classic;

/// A policy with its program.
#[derive(Clone, Debug)]
pub struct Filter {
    plan: Plan,
    machine: Machine,
}

/// Why a policy has no program.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[allow(missing_docs, reason = "each is an error of a step")]
pub enum FilterError {
    #[error(transparent)]
    Plan(#[from] PlanError),
    #[error(transparent)]
    Compile(#[from] CompileError),
    #[error(transparent)]
    Machine(#[from] MachineError),
}

/// A policy in any form that [`Format::of_text`] knows, for this machine.
impl std::str::FromStr for Policy {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Policy, ParseError> {
        parse(text, Format::of_text(text), &Environment::default())
    }
}

impl Policy {
    /// Its filter.
    ///
    /// # Errors
    /// It is for no architecture or for two byte orders, or needs too long a program.
    pub fn compile(&self) -> Result<Filter, FilterError> {
        Filter::new(self)
    }
}

impl Filter {
    /// Compiles a policy.
    ///
    /// # Errors
    /// It is for no architecture or for two byte orders, or needs too long a program.
    pub fn new(policy: &Policy) -> Result<Filter, FilterError> {
        let plan = Plan::new(policy)?;
        let filters = compile::compile(&plan)?;
        let machine = Machine::new(&filters, plan.little)?;
        Ok(Filter { plan, machine })
    }

    /// The program's instructions.
    pub fn filters(&self) -> &[classic::Filter] {
        self.machine.filters()
    }

    /// What the policy says, call by call.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The program.
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// What happens to a call, by the rules.
    pub fn decide(&self, data: &Data) -> Decision {
        self.plan.decide(data)
    }

    /// What happens to it, by the program.
    pub fn run(&self, data: &Data) -> Action {
        Action::from_value(self.machine.run(data).0)
    }

    /// Proves that the program decides as the rules do, for every call.
    ///
    /// # Errors
    /// A call on which they differ, or why there is no proof.
    pub fn prove(&self) -> Result<Proof, ProveError> {
        self.plan.prove(&self.machine)
    }
}

impl Plan {
    /// Proves that any program decides as this says.
    ///
    /// # Errors
    /// A call on which they differ, or why there is no proof.
    pub fn prove(&self, machine: &Machine) -> Result<Proof, ProveError> {
        prove::prove(self, machine)
    }

    /// What is decided of a call, in the order in which it is asked: `errno(EPERM) if
    /// arg0 == 0x10`, and what holds otherwise.
    pub fn texts(&self, arch: u32, nr: u32) -> Vec<String> {
        let Some(section) = self.sections.iter().find(|section| section.audit == arch) else {
            return vec![self.bad_arch.to_string()];
        };
        let target = section.target(nr);
        let mut texts = Vec::new();
        for rule in &target.rules {
            let conditions: Vec<String> =
                rule.conditions.iter().map(Condition::to_string).collect();
            if conditions.is_empty() {
                texts.push(rule.action.to_string());
                return texts;
            }
            texts.push(format!("{} if {}", rule.action, conditions.join(" and ")));
        }
        texts.push(target.otherwise.0.to_string());
        texts
    }
}
