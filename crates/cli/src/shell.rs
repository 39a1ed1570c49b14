//! What shells and `man` want to know: made from the command line's own definition.

use std::io::Write;
use std::path::PathBuf;

use clap::CommandFactory;

use crate::Cli;
use crate::failure::{Outcome, Status};
use crate::files::in_file;

/// Print the completions for a shell
#[derive(clap::Args)]
#[command(after_help = "Examples:
  skep completions bash > /etc/bash_completion.d/skep
  skep completions zsh > ~/.zfunc/_skep
  skep completions fish > ~/.config/fish/completions/skep.fish")]
pub struct CompletionsArgs {
    /// The shell
    shell: clap_complete::Shell,
}

/// Write the manual pages into a folder
#[derive(clap::Args)]
#[command(after_help = "Example:
  skep man ~/.local/share/man/man1")]
pub struct ManArgs {
    /// The folder, which is made if need be
    dir: PathBuf,
}

/// `skep completions`.
pub fn completions(args: CompletionsArgs, out: &mut dyn Write) -> Outcome {
    // The generator panics where it cannot write, so it writes to memory.
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "skep", &mut text);
    out.write_all(&text)?;
    Ok(Status::Done)
}

/// `skep man`.
pub fn man(args: ManArgs) -> Outcome {
    let failed = |error: std::io::Error| in_file(&args.dir, format!("cannot be written: {error}"));
    std::fs::create_dir_all(&args.dir).map_err(failed)?;
    // The generator writes to a folder only; each page is then put in its place whole.
    let beside = args.dir.join(format!(".skep-man.{}", std::process::id()));
    let made = std::fs::create_dir(&beside)
        .and_then(|()| clap_mangen::generate_to(Cli::command(), &beside))
        .and_then(|_| {
            for page in std::fs::read_dir(&beside)? {
                let page = page?;
                std::fs::rename(page.path(), args.dir.join(page.file_name()))?;
            }
            Ok(())
        });
    let _ = std::fs::remove_dir_all(&beside);
    made.map_err(failed)?;
    Ok(Status::Done)
}
