//! `export` and `convert`: programs and policies for others.

use std::io::Write;
use std::path::PathBuf;

use clap::ValueEnum;
use skep::isa::classic::c_source;
use skep_lang::seccomp::{convert as forms, export as programs};

use super::policy::PolicyArgs;
use crate::failure::{Failure, Outcome, Status};
use crate::output;
use crate::terminal::Guard;

/// Write a policy's filter for others
#[derive(clap::Args)]
#[command(after_help = "Examples:
  skep seccomp export profile.json -o filter.bpf   for bwrap --seccomp 3 3< filter.bpf
  skep seccomp export profile.json --c             initializers of struct sock_filter
  skep seccomp export profile.json --pfc           libseccomp's pseudo filter code")]
pub struct ExportArgs {
    #[command(flatten)]
    policy: PolicyArgs,
    /// Raw instructions, in the byte order of the architecture (the default)
    #[arg(long, group = "form")]
    raw: bool,
    /// C
    #[arg(long, group = "form")]
    c: bool,
    /// Pseudo filter code
    #[arg(long, group = "form")]
    pfc: bool,
    /// Where to; the standard output by default
    #[arg(short = 'o', long, value_name = "FILE", default_value = "-")]
    output: PathBuf,
}

/// Write a policy in another form
#[derive(clap::Args)]
#[command(after_help = "Example:
  skep seccomp convert --to toml profile.json -o profile.toml")]
pub struct ConvertArgs {
    #[command(flatten)]
    policy: PolicyArgs,
    /// The form
    #[arg(long)]
    to: Form,
    /// Where to; the standard output by default
    #[arg(short = 'o', long, value_name = "FILE", default_value = "-")]
    output: PathBuf,
}

/// Forms that are written.
#[derive(Clone, Copy, ValueEnum)]
enum Form {
    /// A container profile
    Oci,
    /// TOML
    Toml,
    /// Lines of a systemd unit
    Systemd,
}

/// `skep seccomp export`.
pub fn export(args: &ExportArgs, out: &mut dyn Write) -> Outcome {
    let (_, filter) = args.policy.compile()?;
    let text = match (args.c, args.pfc) {
        (true, _) => c_source(filter.filters()),
        (_, true) => programs::pseudo_code(filter.plan()),
        _ => {
            output::write(&args.output, &[args.policy.path()], &programs::raw(&filter))?;
            return Ok(Status::Done);
        }
    };
    write(&args.output, &args.policy, &text, out)
}

/// `skep seccomp convert`.
pub fn convert(args: &ConvertArgs, out: &mut dyn Write) -> Outcome {
    let policy = args.policy.read()?;
    let text = match args.to {
        Form::Toml => Ok(forms::to_toml(&policy)),
        Form::Oci => forms::to_oci(&policy),
        Form::Systemd => forms::to_systemd(&policy),
    };
    let text = text.map_err(|error| {
        Failure::refused(format!("{}: {error}", args.policy.name()))
            .hint("TOML has words for everything: --to toml")
    })?;
    write(&args.output, &args.policy, &text, out)
}

fn write(file: &std::path::Path, policy: &PolicyArgs, text: &str, out: &mut dyn Write) -> Outcome {
    match file.as_os_str() == "-" {
        true => Guard::new(out).write_all(text.as_bytes())?,
        false => output::write(file, &[policy.path()], text.as_bytes())?,
    }
    Ok(Status::Done)
}
