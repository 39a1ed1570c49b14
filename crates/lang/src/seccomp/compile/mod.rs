//! From a plan to a program: one decision graph, written once.
//!
//! ```text
//! Plan -> arguments (a graph for each call's rules) -> tree (numbers of calls) -> emit
//! ```
//!
//! Calls that are decided whatever their arguments are decided before any argument is read:
//! Linux keeps a bitmap of those that are allowed so, and does not run filters for them.

mod arguments;
mod emit;
mod graph;
mod tree;

use skep_isa::classic::{BuildError, Filter};

use super::facts::{ARCH, Test};
use super::plan::Plan;
use graph::Graph;

/// Why a policy does not become a program.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CompileError {
    /// Linux takes no program of that length.
    #[error("{0}")]
    Build(#[from] BuildError),
    /// Conditions meet in more ways than can be looked at.
    #[error("the conditions on arguments take a program that is far too long")]
    TooComplex,
}

/// Writes the program of a plan.
///
/// # Errors
/// It has more instructions than Linux takes.
pub(super) fn compile(plan: &Plan) -> Result<Vec<Filter>, CompileError> {
    let mut graph = Graph::default();
    let mut root = graph.leaf(plan.bad_arch.value());
    for section in plan.sections.iter().rev() {
        let mut spans = Vec::with_capacity(section.spans.len());
        for span in &section.spans {
            let node = arguments::node(plan, &span.target, &mut graph)?;
            spans.push(tree::Span { first: span.first, weight: span.calls, node });
        }
        let numbers = tree::node(&spans, &mut graph);
        let audit = Test::Range(section.audit, section.audit);
        root = graph.test(ARCH, audit, numbers, root);
    }
    Ok(emit::emit(&graph, root)?)
}
