//! bcc's way to say what is traced, as attach points: `vfs_*`, `p::vfs_read`, `c:malloc`,
//! `r:c:malloc`, `t:block:*`, `u:lib:probe`, `./app:parse_*`; and the probes of `trace`.

use std::fmt::Write as _;

use super::flags::Given;

/// An attach point for a pattern.
pub fn point(pattern: &str) -> Result<String, String> {
    let parts: Vec<&str> = pattern.split(':').collect();
    if parts
        .iter()
        .any(|part| part.contains(|c: char| c.is_whitespace() || "{}/,\"".contains(c) && c != '/'))
    {
        return Err(format!("{pattern:?} is no pattern"));
    }
    let function = |library: &str, name: &str, ret: bool| {
        let (kernel, user) = if ret { ("kretprobe", "uretprobe") } else { ("kprobe", "uprobe") };
        match library {
            "" => format!("{kernel}:{name}"),
            // The name of its file: `libc` alone may be a linker's script.
            "c" => format!("{user}:libc.so.6:{name}"),
            library => format!("{user}:{library}:{name}"),
        }
    };
    Ok(match parts[..] {
        [name] => function("", name, false),
        ["t", category, event] => format!("tracepoint:{category}:{event}"),
        ["u", library, name] => format!("usdt:{library}:{name}"),
        ["p", library, name] => function(library, name, false),
        ["r", library, name] => function(library, name, true),
        ["p", name] => function("", name, false),
        ["r", name] => function("", name, true),
        [library, name] => function(library, name, false),
        _ => {
            let forms = "NAME, LIB:NAME, p:LIB:NAME, r:LIB:NAME, t:CATEGORY:EVENT or u:LIB:PROBE";
            return Err(format!("{pattern:?}: a pattern is {forms}"));
        }
    })
}

/// The script of `trace`: a line for each hit of each probe.
pub fn lines(given: &Given) -> Result<String, String> {
    let mut text = String::from(
        "// trace: a line for each hit of a probe.\n\nconfig = { perf_rb_pages = 1024; print_maps_on_exit = false }\n",
    );
    let mut titles = String::new();
    let (mut format, mut values) = (String::new(), Vec::new());
    let mut column = |title: &str, width: usize, conversion: &str, value: &'static str| {
        let _ = write!(titles, "{title:width$} ");
        let _ = write!(format, "%-{width}{conversion} ");
        values.push(value);
    };
    if given.has("time") {
        column("TIME", 8, "s", "strftime(\"%H:%M:%S\", nsecs)");
    }
    if given.has("timestamp") {
        column("TIME(ns)", 14, "llu", "elapsed");
    }
    if given.has("print_cpu") {
        column("CPU", 3, "d", "cpu");
    }
    column("PID", 7, "d", "pid");
    column("TID", 7, "d", "tid");
    column("COMM", 15, "s", "comm");
    let _ = write!(text, "\nbegin\n{{\n  printf(\"{titles}{:16} -\\n\");\n}}\n", "FUNC");
    for pattern in &given.patterns {
        let probe = Probe::read(pattern)?;
        let condition = match (given.value("name"), &probe.condition) {
            (None, None) => String::new(),
            (None, Some(condition)) => format!(" / {condition} /"),
            (Some(name), None) => format!(" / comm == {} /", quoted(name)),
            (Some(name), Some(condition)) => {
                format!(" / comm == {} && ({condition}) /", quoted(name))
            }
        };
        let mut all: Vec<String> = values.iter().map(|value| (*value).to_owned()).collect();
        all.push(quoted(&probe.name));
        all.extend(probe.values);
        let stack = |flag: &str, word: &str| match given.has(flag) {
            true => format!("  print({word});\n"),
            false => String::new(),
        };
        let (kernel, user) = (stack("kernel-stack", "kstack"), stack("user-stack", "ustack"));
        let most = given.number("max-events").map_or_else(String::new, |most| {
            format!("  @events = @events + 1;\n  if (@events >= {most}) {{\n    exit();\n  }}\n")
        });
        let _ = write!(
            text,
            "\n{}{condition}\n{{\n  printf(\"{format}%-16s {}\\n\", {});\n{kernel}{user}{most}}}\n",
            probe.point,
            probe.format,
            all.join(", ")
        );
    }
    Ok(text)
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// A probe of `trace`: what, when, and what is shown.
#[derive(Debug)]
struct Probe {
    point: String,
    name: String,
    condition: Option<String>,
    format: String,
    values: Vec<String>,
}

impl Probe {
    fn read(text: &str) -> Result<Probe, String> {
        let text = text.trim();
        let end = text.find([' ', '(', '"']).unwrap_or(text.len());
        let (what, mut rest) = text.split_at(end);
        // A signature is taken as said: arguments are numbers here.
        if rest.starts_with('(') {
            rest = closed(rest).ok_or_else(|| format!("{text:?}: a ( without its )"))?.1;
        }
        rest = rest.trim_start();
        let mut condition = None;
        if rest.starts_with('(') {
            let (inside, after) =
                closed(rest).ok_or_else(|| format!("{text:?}: a ( without its )"))?;
            let is_tracepoint = what.starts_with("t:");
            condition = Some(expression(inside, is_tracepoint));
            rest = after.trim_start();
        }
        let (mut format, mut values) = (String::new(), Vec::new());
        if let Some(after) = rest.strip_prefix('"') {
            let end =
                after.find('"').ok_or_else(|| format!("{text:?}: a format without its end"))?;
            format = after[..end].replace("%K", "%s").replace("%U", "%s");
            let tail = after[end + 1..].trim_start().trim_start_matches(',');
            let is_tracepoint = what.starts_with("t:");
            let is_given = |part: &&str| !part.trim().is_empty();
            values = split(tail)
                .into_iter()
                .filter(is_given)
                .map(|part| expression(part.trim(), is_tracepoint))
                .collect();
            strings(&format, &mut values);
        } else if !rest.is_empty() {
            return Err(format!("{text:?}: a format stands in quotation marks, not {rest:?}"));
        }
        let name = what.rsplit(':').next().unwrap_or(what).to_owned();
        Ok(Probe { point: point(what)?, name, condition, format, values })
    }
}

/// What stands in the first parentheses, and what behind them.
fn closed(text: &str) -> Option<(&str, &str)> {
    let mut depth = 0;
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => {
                depth -= 1;
                if depth == 0 {
                    return Some((&text[1..at], &text[at + 1..]));
                }
            }
            _ => {}
        }
    }
    None
}

/// Parts between commas that stand in no parentheses.
fn split(text: &str) -> Vec<&str> {
    let (mut depth, mut start, mut parts) = (0, 0, Vec::new());
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

/// bcc's words for values as those of the language: `arg1` is the first argument there.
fn expression(text: &str, is_tracepoint: bool) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let length =
            rest.find(|c: char| !(c.is_alphanumeric() || "_$".contains(c))).unwrap_or(rest.len());
        if length == 0 {
            out.push(c);
            rest = &rest[c.len_utf8()..];
            continue;
        }
        let (word, after) = rest.split_at(length);
        let number = word.strip_prefix("arg").and_then(|number| number.parse::<u32>().ok());
        match (word, number) {
            (_, Some(number)) if number > 0 => {
                let _ = write!(out, "arg{}", number - 1);
            }
            ("args", _) if is_tracepoint && after.starts_with("->") => {
                out.push_str("args.");
                rest = &after[2..];
                continue;
            }
            ("$pid", _) => out.push_str("pid"),
            ("$tgid", _) => out.push_str("pid"),
            ("$uid", _) => out.push_str("uid"),
            ("$gid", _) => out.push_str("gid"),
            ("$cpu", _) => out.push_str("cpu"),
            ("$task", _) => out.push_str("curtask"),
            _ => out.push_str(word),
        }
        rest = after;
    }
    out
}

/// Values for `%s` are the text that they point to.
fn strings(format: &str, values: &mut [String]) {
    let mut index = 0;
    let mut chars = format.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '%' {
            continue;
        }
        if chars.peek() == Some(&'%') {
            chars.next();
            continue;
        }
        let conversion = chars.by_ref().find(|c| c.is_alphabetic() && !"lhzjt".contains(*c));
        if conversion == Some('s')
            && let Some(value) = values.get_mut(index)
            && !value.starts_with("str(")
            && value != "comm"
        {
            *value = format!("str({value})");
        }
        index += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_attach_points() {
        let cases = [
            ("vfs_*", "kprobe:vfs_*"),
            ("p::vfs_read", "kprobe:vfs_read"),
            ("r::vfs_read", "kretprobe:vfs_read"),
            ("c:malloc", "uprobe:libc.so.6:malloc"),
            ("r:c:malloc", "uretprobe:libc.so.6:malloc"),
            ("./app:parse_*", "uprobe:./app:parse_*"),
            ("t:block:*", "tracepoint:block:*"),
            ("u:pthread:mutex_entry", "usdt:pthread:mutex_entry"),
        ];
        for (pattern, expected) in cases {
            assert_eq!(point(pattern).unwrap(), expected);
        }
        for wrong in ["a:b:c:d:e", "a b", "x{}"] {
            assert!(point(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn probes_of_trace_are_read() {
        let probe = Probe::read("p:c:open (arg2 == 42) \"%s %d\", arg1, arg2").unwrap();
        assert_eq!(probe.point, "uprobe:libc.so.6:open");
        assert_eq!(probe.condition.as_deref(), Some("arg1 == 42"));
        assert_eq!(probe.values, ["str(arg0)", "arg1"]);
        let probe =
            Probe::read("t:block:block_rq_complete \"sectors=%d\", args->nr_sector").unwrap();
        assert_eq!(
            (&probe.point[..], &probe.values[0][..]),
            ("tracepoint:block:block_rq_complete", "args.nr_sector")
        );
        assert!(Probe::read("p:c:open nonsense").is_err());
        assert!(Probe::read("p:c:open (a").is_err());
    }
}
