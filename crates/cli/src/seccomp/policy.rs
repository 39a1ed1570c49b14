//! The policy of a command line, and where it is to hold.

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use skep_lang::seccomp::{Arch, Environment, Filter, Format, ParseError, Policy, parse};

use crate::failure::Failure;
use crate::files::{self, in_file};

/// A policy.
#[derive(clap::Args)]
pub struct PolicyArgs {
    /// The policy's file; - is the standard input
    #[arg(value_name = "POLICY")]
    file: PathBuf,
    /// POLICY is not a file but an expression
    #[arg(short = 'e', long)]
    expression: bool,
    #[command(flatten)]
    place: PlaceArgs,
}

/// Where policies are to hold.
#[derive(clap::Args)]
pub struct PlaceArgs {
    /// The form of the policy; guessed by default
    #[arg(long, value_enum)]
    format: Option<FormatName>,
    /// Architectures in the place of the policy's: x86_64, x86, aarch64 and others
    #[arg(long, value_name = "ARCH", value_delimiter = ',')]
    arch: Vec<String>,
    /// A capability that the process has, for entries that depend on it: CAP_SYS_ADMIN
    #[arg(long, value_name = "CAP", value_delimiter = ',')]
    cap: Vec<String>,
    /// The kernel that it runs on, for entries that depend on it; the newest by default
    #[arg(long, value_name = "VERSION")]
    kernel: Option<String>,
}

/// Forms of policies.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FormatName {
    /// A container profile: JSON of Docker, Podman and OCI runtimes
    Oci,
    /// TOML with [[rule]]s
    Toml,
    /// An expression
    Expression,
    /// Lines of a systemd unit
    Systemd,
}

impl FormatName {
    fn format(self) -> Format {
        match self {
            FormatName::Oci => Format::Oci,
            FormatName::Toml => Format::Toml,
            FormatName::Expression => Format::Expression,
            FormatName::Systemd => Format::Systemd,
        }
    }
}

impl PolicyArgs {
    /// Reads it.
    pub fn read(&self) -> Result<Policy, Failure> {
        self.place.read(&self.file, self.expression)
    }

    /// Its name in messages.
    pub fn name(&self) -> String {
        if self.expression { "the expression".into() } else { files::shown(&self.file) }
    }

    /// The file, where it is one.
    pub fn path(&self) -> &Path {
        &self.file
    }

    /// Reads and compiles it.
    pub fn compile(&self) -> Result<(Policy, Filter), Failure> {
        let policy = self.read()?;
        let filter = compile(&self.name(), &policy)?;
        Ok((policy, filter))
    }
}

impl PlaceArgs {
    /// Reads a policy of a file, or an expression.
    pub fn read(&self, file: &Path, is_expression: bool) -> Result<Policy, Failure> {
        let arch = |name: &String| {
            Arch::of_name(name).ok_or_else(|| {
                let names: Vec<&str> = Arch::all().map(Arch::name).collect();
                Failure::unusable(format!("there is no architecture {name:?}"))
                    .hint(format!("architectures are {}", names.join(", ")))
            })
        };
        let arches = self.arch.iter().map(arch).collect::<Result<Vec<_>, _>>()?;
        let kernel = match &self.kernel {
            None => None,
            Some(text) => Some(Environment::version(text).ok_or_else(|| {
                Failure::unusable(format!("{text:?} is no version")).hint("for example 6.1")
            })?),
        };
        let environment = Environment {
            arch: arches.first().copied().unwrap_or(Environment::default().arch),
            caps: self.cap.clone(),
            kernel,
        };
        let text = match is_expression {
            true => file.to_string_lossy().into_owned(),
            false => files::read_text(file)?,
        };
        let format = match (self.format, is_expression) {
            (Some(format), _) => format.format(),
            (None, true) => Format::Expression,
            (None, false) => Format::of_text(&text),
        };
        let mut policy = parse(&text, format, &environment).map_err(|error| {
            let hint = error.hint.clone();
            let failure = match is_expression {
                true => Failure::unusable(&error),
                false => in_file(file, &error),
            };
            with_hint(failure, &error, hint)
        })?;
        if !arches.is_empty() {
            policy.arches = arches;
        }
        Ok(policy)
    }
}

fn with_hint(failure: Failure, error: &ParseError, hint: Option<String>) -> Failure {
    match hint {
        Some(hint) => failure.hint(hint),
        None if error.place.is_empty() => {
            failure.hint("--format says what it is: oci, toml, expression, systemd")
        }
        None => failure,
    }
}

/// Compiles a policy.
pub fn compile(name: &str, policy: &Policy) -> Result<Filter, Failure> {
    Filter::new(policy).map_err(|error| {
        Failure::refused(format!("{name}: {error}"))
            .hint("--arch ARCH compiles it for one architecture; fewer rules make it shorter")
    })
}
