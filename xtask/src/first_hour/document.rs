//! A document taken apart: what there is to do, and what it says of the outcome.

use anyhow::{Result, bail};

/// A part that can be checked.
#[derive(Debug, PartialEq)]
pub enum Part {
    Step(Step),
    /// What the steps with `--json` before it print, by its members. With its line.
    Json(usize, serde_json::Value),
    /// The members of what they print, from the first column of a table.
    Members(usize, Vec<String>),
    /// Code, by lines.
    Rust(usize, Vec<String>),
}

/// A command and what is shown of its output.
#[derive(Debug, PartialEq)]
pub struct Step {
    pub line: usize,
    pub command: String,
    pub shown: Vec<String>,
}

/// The title of a table of members.
const MEMBERS: &str = "| member |";

/// All parts, in their order.
///
/// # Errors
/// A block of JSON that is none, or a block without an end.
pub fn parts(text: &str) -> Result<Vec<Part>> {
    let mut parts = Vec::new();
    let mut lines = (1..).zip(text.lines()).peekable();
    while let Some((number, line)) = lines.next() {
        if let Some(language) = line.strip_prefix("```") {
            let mut block = Vec::new();
            loop {
                match lines.next() {
                    Some((_, "```")) => break,
                    Some((_, line)) => block.push(line.to_owned()),
                    None => bail!("line {number}: a block without an end"),
                }
            }
            match language {
                "json" => match serde_json::from_str(&block.join("\n")) {
                    Ok(json) => parts.push(Part::Json(number, json)),
                    Err(error) => bail!("line {number}: no JSON: {error}"),
                },
                "rust" => parts.push(Part::Rust(number, block)),
                _ => parts.extend(steps(number + 1, &block).into_iter().map(Part::Step)),
            }
        } else if line.starts_with(MEMBERS) {
            let mut names = Vec::new();
            while let Some((_, row)) = lines.next_if(|(_, line)| line.starts_with('|')) {
                let cell = row.split('|').nth(1).unwrap_or_default();
                // `one`, `other`: what stands in backquotes.
                names.extend(cell.split('`').skip(1).step_by(2).map(str::to_owned));
            }
            parts.push(Part::Members(number, names));
        }
    }
    Ok(parts)
}

/// The commands of a block; a `\` at the end of a line continues one.
fn steps(first: usize, block: &[String]) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut goes_on = false;
    for (line, text) in (first..).zip(block) {
        let command = text.strip_prefix("$ ");
        match (command, steps.last_mut()) {
            (None, Some(step)) if goes_on => {
                step.command.push(' ');
                step.command.push_str(text.trim());
            }
            (Some(command), _) => {
                steps.push(Step { line, command: command.to_owned(), shown: Vec::new() });
            }
            (None, Some(step)) => step.shown.push(text.clone()),
            // A block of something else.
            (None, None) => return Vec::new(),
        }
        goes_on = false;
        if let Some(step) = steps.last_mut()
            && let Some(start) = step.command.strip_suffix(" \\")
        {
            step.command = start.to_owned();
            goes_on = step.shown.is_empty();
        }
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_taken_apart() {
        let text = "Text\n```console\n$ a \\\n    b\nout\n...\n$ c\n```\n```text\nnot\n```\n\
                    ```json\n{\"x\": 1}\n```\n| member | |\n|---|---|\n| `p`, `q` | `r` |\n";
        let step = |line, command: &str, shown: &[&str]| {
            let shown = shown.iter().map(|&line| line.to_owned()).collect();
            Part::Step(Step { line, command: command.into(), shown })
        };
        let expected = [
            step(3, "a b", &["out", "..."]),
            step(7, "c", &[]),
            Part::Json(12, serde_json::json!({ "x": 1 })),
            Part::Members(15, vec!["p".into(), "q".into()]),
        ];
        assert_eq!(parts(text).unwrap(), expected);
        assert!(parts("```\n").is_err());
    }
}
