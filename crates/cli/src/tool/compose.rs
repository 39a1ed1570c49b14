//! A tool's script for a command line: the script of its way, its probes where patterns or a
//! beat say them, and what ends or prints it.

use std::fmt::Write as _;

use super::flags::{Filter, Given};
use super::patterns;
use super::shape::Shape;
use super::table::{Tool, Way};

/// A script and its parameters.
#[derive(Debug)]
pub struct Composed {
    /// The text.
    pub text: String,
    /// Named parameters.
    pub named: Vec<(String, Option<String>)>,
}

/// What stands for probes in a script.
const PROBES: &str = "PROBES\n";

/// Samples a second, where nothing else is said: no round number, so as to run in step with
/// nothing.
const BEAT: u64 = 49;

/// What a script prints at the end of an interval, to say that all is printed.
pub const TICK: &str = "tick";
/// The same at the end of all.
pub const END: &str = "end";

/// Makes the script.
pub fn compose(tool: &Tool, way: &Way, given: &Given) -> Result<Composed, String> {
    let mut text = match (tool.name, &tool.shape) {
        ("trace", _) => patterns::lines(given)?,
        (_, Shape::Stacks { samples: true }) => {
            let hz = given.number("frequency").unwrap_or(BEAT);
            with_probes(way.script, &format!("profile:hz:{hz}"))
        }
        _ if given.patterns.is_empty() => way.script.to_owned(),
        _ => {
            let probes: Result<Vec<String>, String> =
                given.patterns.iter().map(|pattern| patterns::point(pattern)).collect();
            with_probes(way.script, &probes?.join(",\n"))
        }
    };
    if let Some(seconds) = given.duration {
        let _ = write!(text, "\ninterval:s:{seconds}\n{{\n  exit();\n}}\n");
    }
    let maps = printed(way.script);
    if !maps.is_empty() && !matches!(tool.shape, Shape::Rows { .. } | Shape::Lines { .. }) {
        outputs(&mut text, &maps, tool, given);
    }
    let mut named = given.named.clone();
    named.extend(filtered(way.script, given));
    Ok(Composed { text, named })
}

/// What rows must have, as far as the script can leave out others itself: what it does not send
/// costs nothing.
fn filtered(script: &str, given: &Given) -> Vec<(String, Option<String>)> {
    let parameter = |filter: &Filter| match filter {
        Filter::Equal(field, value) if script.contains(&format!("getopt(\"{field}\"")) => {
            Some(((*field).to_owned(), Some(value.to_string())))
        }
        _ => None,
    };
    given.filters.iter().filter_map(parameter).collect()
}

fn with_probes(script: &str, probes: &str) -> String {
    match script.find(&format!("\n{PROBES}")) {
        Some(at) => {
            let (before, after) = script.split_at(at + 1);
            format!("{before}{probes}\n{}", &after[PROBES.len()..])
        }
        None => script.to_owned(),
    }
}

/// The maps that a script fills for others to read: those that it counts, sums or names in.
fn printed(script: &str) -> Vec<&str> {
    let mut found: Vec<&str> = Vec::new();
    for line in script.lines() {
        let Some((place, value)) = line.trim().split_once(" = ") else { continue };
        let name = place.split('[').next().unwrap_or_default();
        let is_one = ["count()", "sum(", "hist("].iter().any(|word| value.starts_with(word));
        if place.starts_with('@') && (is_one || name == "@names") && !found.contains(&name) {
            found.push(name);
        }
    }
    found
}

/// Adds what prints the maps: at each interval, and at the end.
fn outputs(text: &mut String, maps: &[&str], tool: &Tool, given: &Given) {
    let prints: String = maps.iter().map(|map| format!("  print({map});\n")).collect();
    let interval = given.interval.filter(|seconds| *seconds > 0).or(match tool.shape {
        Shape::Cache => Some(1),
        Shape::Percentiles { .. } if given.interval.is_none() => Some(3),
        _ => None,
    });
    let Some(seconds) = interval else {
        let _ = write!(text, "\nend\n{{\n{prints}  print(\"{END}\");\n}}\n");
        return;
    };
    let kept = ["@names"];
    let clears: String = maps
        .iter()
        .filter(|map| !kept.contains(map))
        .map(|map| format!("  clear({map});\n"))
        .collect();
    let _ = write!(text, "\ninterval:s:{seconds}\n{{\n{prints}{clears}  print(\"{TICK}\");\n");
    // A duration of samples is one interval.
    let count = given.count.or((tool.name == "profile").then_some(1));
    if let Some(count) = count {
        let _ = write!(
            text,
            "  @ticks = @ticks + 1;\n  if (@ticks >= {count}) {{\n    exit();\n  }}\n"
        );
    }
    text.push_str("}\n");
    match count {
        Some(count) => {
            let _ = write!(
                text,
                "\nend\n{{\n  if (@ticks < {count}) {{\n{}    print(\"{END}\");\n  }}\n}}\n",
                maps.iter().map(|map| format!("    print({map});\n")).collect::<String>()
            );
        }
        None => {
            let _ = write!(text, "\nend\n{{\n{prints}  print(\"{END}\");\n}}\n");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_that_are_counted_in_are_printed_and_others_are_not() {
        let script = "a {\n @start[tid] = nsecs;\n @n[pid] = count();\n @names[pid] = comm;\n @s = sum(1); }";
        assert_eq!(printed(script), ["@n", "@names", "@s"]);
    }

    #[test]
    fn probes_take_the_place_of_their_word() {
        let script = "// PROBES stands for probes.\n\nPROBES\n{ @ = 1; }\n";
        let text = with_probes(script, "begin");
        assert!(text.ends_with("\n\nbegin\n{ @ = 1; }\n"), "{text}");
    }
}
