//! bpftool's verbs, with its words, its flags and its JSON: `skep prog show`, `skep map dump
//! id 7`, `skep link`. What bpftool prints of an object with `-j`, these print as well, in the
//! same order; what they add comes behind.
//!
//! `words` reads the words, `pick` finds the objects that they mean, `about` knows what the
//! machine knows of them, `value` writes values by their types, `writer` lays JSON out.

mod about;
mod btf;
mod cgroup;
mod code;
mod element;
mod feature;
mod iter;
mod link;
mod list;
mod map;
mod net;
mod perf;
mod pick;
mod prog;
mod query;
mod struct_ops;
mod value;
mod words;
mod writer;

use std::io::Write;
use std::sync::Arc;

use serde_json::{Value as Json, json};
use skep::abi::Errno;
use skep::sys::Kernel;

use crate::failure::{Failure, Outcome, Status};
use crate::kernels;
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

/// `skep feature`.
pub fn feature(args: Args, out: &mut dyn Write) -> Outcome {
    run(args, out, feature::VERBS, feature::HELP)
}

/// `skep btf`, where its words are bpftool's.
pub fn btf(words: Vec<String>, json: bool, pretty: bool, out: &mut dyn Write) -> Outcome {
    let args = Args { json, pretty, bpffs: false, words };
    run(args, out, btf::VERBS, btf::HELP)
}

/// `skep cgroup`.
pub fn cgroup(args: Args, out: &mut dyn Write) -> Outcome {
    run(args, out, cgroup::VERBS, cgroup::HELP)
}

/// `skep net`.
pub fn net(args: Args, out: &mut dyn Write) -> Outcome {
    run(args, out, net::VERBS, net::HELP)
}

/// `skep perf`.
pub fn perf(args: Args, out: &mut dyn Write) -> Outcome {
    run(args, out, perf::VERBS, perf::HELP)
}

/// `skep iter`.
pub fn iter(args: Args, out: &mut dyn Write) -> Outcome {
    run(args, out, iter::VERBS, iter::HELP)
}

/// `skep struct_ops`.
pub fn struct_ops(args: Args, out: &mut dyn Write) -> Outcome {
    run(args, out, struct_ops::VERBS, struct_ops::HELP)
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
