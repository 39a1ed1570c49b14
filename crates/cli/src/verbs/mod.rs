//! bpftool's verbs, with its words, its flags and its JSON: `skep prog show`, `skep map dump
//! id 7`, `skep link`. What bpftool prints of an object with `-j`, these print as well, in the
//! same order; what they add comes behind.
//!
//! `words` reads the words, `pick` finds the objects that they mean, `about` knows what the
//! machine knows of them, `value` writes values by their types, `writer` lays JSON out.

mod about;
mod btf;
mod code;
mod element;
mod link;
mod map;
mod pick;
mod prog;
mod value;
mod words;
mod writer;

use std::io::Write;
use std::sync::Arc;

use serde_json::{Value as Json, json};
use skep::abi::Errno;
use skep::sys::Kernel;

use crate::failure::{Failure, Status};
use crate::{Outcome, kernels};
use words::Words;

/// The flags and words of a verb.
#[derive(clap::Args)]
pub struct Args {
    /// Print JSON
    #[arg(short, long)]
    json: bool,
    /// Print JSON, to be read
    #[arg(short, long)]
    pretty: bool,
    /// Show where in a bpffs objects are pinned
    #[arg(short = 'f', long)]
    bpffs: bool,
    /// The words, as bpftool has them; `help` lists them
    #[arg(value_name = "WORD")]
    words: Vec<String>,
}

/// What a verb works with.
struct Session<'o> {
    kernel: Arc<dyn Kernel>,
    json: bool,
    pretty: bool,
    bpffs: bool,
    out: &'o mut dyn Write,
}

impl Session<'_> {
    /// Prints what there is to be told, in the form that was asked for.
    fn print(&mut self, json: &Json) -> Result<(), Failure> {
        let text = writer::text(json, self.pretty);
        Ok(writeln!(self.out, "{text}")?)
    }

    /// What a verb that only acts says: nothing, and in JSON `null`.
    fn done(&mut self) -> Outcome {
        if self.json {
            self.print(&Json::Null)?;
        }
        Ok(Status::Done)
    }
}

/// A verb of a kind of objects: words that follow, and what is done.
type Verb = fn(&mut Session<'_>, &mut Words<'_>) -> Outcome;

/// `skep prog`.
pub fn prog(args: Args, out: &mut dyn Write) -> Outcome {
    run(args, out, prog::VERBS, prog::HELP)
}

/// `skep map`.
pub fn map(args: Args, out: &mut dyn Write) -> Outcome {
    run(args, out, map::VERBS, map::HELP)
}

/// `skep link`.
pub fn link(args: Args, out: &mut dyn Write) -> Outcome {
    run(args, out, link::VERBS, link::HELP)
}

/// Runs the verb that the first word names, by as much of it as there is. Without a word the
/// first one.
fn run(args: Args, out: &mut dyn Write, verbs: &[(&str, Verb)], help: &str) -> Outcome {
    let mut words = Words::new(&args.words);
    let json = args.json || args.pretty;
    let word = words.next().unwrap_or(verbs[0].0);
    if words::is_prefix(word, "help") {
        write!(out, "{help}")?;
        return Ok(Status::Done);
    }
    let Some((_, verb)) = verbs.iter().find(|(name, _)| words::is_prefix(word, name)) else {
        let names: Vec<&str> = verbs.iter().map(|(name, _)| *name).collect();
        let failure = Failure::unusable(format!("there is no verb {word:?}"));
        return Err(failure.hint(format!("there are {}", names.join(", "))));
    };
    let kernel = kernels::linux()?;
    let mut session =
        Session { kernel, json, pretty: args.pretty, bpffs: args.bpffs, out: &mut *out };
    let outcome = verb(&mut session, &mut words);
    if let (Err(failure), true) = (&outcome, json) {
        let text = writer::text(&json!({ "error": failure.message() }), args.pretty);
        writeln!(out, "{text}")?;
    }
    outcome
}

/// What a kernel answered.
fn refused(doing: impl std::fmt::Display, errno: Errno) -> Failure {
    let failure = Failure::refused(format!("{doing}: {errno}"));
    match errno {
        Errno::EPERM | Errno::EACCES => failure.hint("that takes root, or CAP_SYS_ADMIN"),
        _ => failure,
    }
}
