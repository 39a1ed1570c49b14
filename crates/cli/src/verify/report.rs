//! Verdicts in the forms that continuous integration reads: SARIF 2.1.0, JUnit's XML, and
//! GitHub's workflow commands.
//!
//! A finding is what is to be mended: a program that is refused or cannot be judged, an
//! object that cannot be loaded, and what is worse than in a baseline.

use std::io::{self, Write};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value as Json, json};
use skep::verify::explain::Source;

use super::baseline::Regression;
use super::judge::Judged;
use crate::failure::Status;
use crate::terminal::{Guard, clean};

/// An object that could not be judged.
pub struct Unusable {
    pub object: String,
    pub message: String,
    pub hint: String,
}

/// All that there is to report.
pub struct Run<'a> {
    pub judged: &'a [Judged],
    pub unusable: &'a [Unusable],
    pub regressions: &'a [Regression],
}

/// Something to mend.
struct Finding<'a> {
    /// A word for its kind: an errno, `unusable`, `regression`.
    rule: String,
    object: &'a str,
    program: Option<&'a str>,
    message: String,
    source: Option<&'a Source>,
}

fn findings<'a>(run: &Run<'a>) -> Vec<Finding<'a>> {
    let mut all = Vec::new();
    for of in run.unusable {
        let message = match of.hint.as_str() {
            "" => of.message.clone(),
            hint => format!("{} ({hint})", of.message),
        };
        let (rule, object) = ("unusable".to_owned(), &*of.object);
        all.push(Finding { rule, object, program: None, message, source: None });
    }
    for of in run.judged.iter().filter(|of| of.status() != Status::Done) {
        let name = &*of.program.def.name;
        let errno = of.errno().map_or("unknown", |errno| errno.name().unwrap_or("errno"));
        let why = match of.message().filter(|message| !message.is_empty()) {
            Some(message) => message,
            None => errno.to_owned(),
        };
        let verb = if of.status() == Status::Refused { "rejected" } else { "cannot be judged" };
        let mut message = format!("{name} {verb}: {why}");
        if let Some(help) = super::render::help(of) {
            message.push_str(&format!(" (help: {help})"));
        }
        all.push(Finding {
            rule: errno.to_owned(),
            object: &of.object,
            program: Some(name),
            message,
            source: of.source(),
        });
    }
    for of in run.regressions {
        all.push(Finding {
            rule: "regression".to_owned(),
            object: &of.object,
            program: Some(&of.program),
            message: format!("{}: {}", of.program, of.message),
            source: of.source.as_ref(),
        });
    }
    all
}

/// SARIF 2.1.0: one run, a result for each finding.
pub fn sarif(run: &Run<'_>, out: &mut dyn Write) -> io::Result<()> {
    let findings = findings(run);
    let mut rules: Vec<&str> = findings.iter().map(|of| of.rule.as_str()).collect();
    rules.sort_unstable();
    rules.dedup();
    let results: Vec<Json> = findings.iter().map(|of| result(of, &rules)).collect();
    let report = json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "skep",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": rules.iter().map(|id| json!({
                    "id": id,
                    "shortDescription": { "text": description(id) },
                })).collect::<Vec<_>>(),
            } },
            "results": results,
        }],
    });
    serde_json::to_writer_pretty(Guard::json(out), &report)?;
    writeln!(out)
}

fn description(rule: &str) -> String {
    match rule {
        "unusable" => "The object cannot be loaded".into(),
        "regression" => "The program is worse than in the baseline".into(),
        "unknown" => "There is no verdict on the program".into(),
        errno => format!("Linux refuses the program with {errno}"),
    }
}

fn result(of: &Finding<'_>, rules: &[&str]) -> Json {
    let place = match of.source {
        Some(source) => {
            let mut region = json!({ "startLine": source.line.max(1) });
            if source.column > 0 {
                region["startColumn"] = source.column.into();
            }
            json!({ "artifactLocation": { "uri": uri(&source.file) }, "region": region })
        }
        None => json!({ "artifactLocation": { "uri": uri(of.object) } }),
    };
    let mut location = json!({ "physicalLocation": place });
    if let Some(program) = of.program {
        let full = format!("{}:{program}", of.object);
        location["logicalLocations"] =
            json!([{ "name": program, "fullyQualifiedName": full, "kind": "function" }]);
    }
    json!({
        "ruleId": of.rule,
        "ruleIndex": rules.iter().position(|id| *id == of.rule),
        "level": "error",
        "message": { "text": clean(&of.message) },
        "locations": [location],
    })
}

/// A path as a URI reference: what does not belong into one is escaped.
fn uri(path: &str) -> String {
    let mut uri = String::with_capacity(path.len());
    if path.starts_with('/') {
        uri.push_str("file://");
    }
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'.' | b'_' | b'~' | b'+' => {
                uri.push(byte.into());
            }
            other => uri.push_str(&format!("%{other:02X}")),
        }
    }
    uri
}

/// JUnit's XML: a suite for each object, a case for each program and each regression.
pub fn junit(run: &Run<'_>, out: &mut dyn Write) -> io::Result<()> {
    let mut objects: Vec<&str> = Vec::new();
    let of_judged = run.judged.iter().map(|of| &*of.object);
    for object in of_judged.chain(run.unusable.iter().map(|of| &*of.object)) {
        // They come object by object.
        if objects.last() != Some(&object) {
            objects.push(object);
        }
    }
    let timestamp = timestamp();
    writeln!(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>")?;
    for (id, object) in objects.iter().enumerate() {
        suite(run, id, object, &timestamp, out)?;
    }
    writeln!(out, "</testsuites>")
}

fn suite(
    run: &Run<'_>,
    id: usize,
    object: &str,
    timestamp: &str,
    out: &mut dyn Write,
) -> io::Result<()> {
    let judged: Vec<&Judged> = run.judged.iter().filter(|of| of.object == object).collect();
    let unusable: Vec<&Unusable> = run.unusable.iter().filter(|of| of.object == object).collect();
    let worse: Vec<&Regression> = run.regressions.iter().filter(|of| of.object == object).collect();
    let refused = judged.iter().filter(|of| of.status() == Status::Refused).count();
    let unknown = judged.iter().filter(|of| of.status() == Status::Unusable).count();
    let seconds = |micros: u128| format!("{:.6}", micros as f64 / 1e6);
    writeln!(
        out,
        "  <testsuite id=\"{id}\" package=\"skep\" name=\"{}\" timestamp=\"{timestamp}\" \
         hostname=\"localhost\" tests=\"{}\" failures=\"{}\" errors=\"{}\" time=\"{}\">\n    \
         <properties><property name=\"skep\" value=\"{}\"/></properties>",
        xml(object),
        judged.len() + unusable.len() + worse.len(),
        refused + worse.len(),
        unknown + unusable.len(),
        seconds(judged.iter().map(|of| of.time).sum()),
        env!("CARGO_PKG_VERSION")
    )?;
    let case = |name: &str, time: &str| {
        format!(
            "    <testcase name=\"{}\" classname=\"{}\" time=\"{time}\"",
            xml(name),
            xml(object)
        )
    };
    for of in unusable {
        writeln!(
            out,
            "{}>\n      <error type=\"unusable\" message=\"{}\">{}</error>\n    </testcase>",
            case("object", "0.000000"),
            xml(&of.message),
            xml(&of.hint)
        )?;
    }
    for of in judged {
        let start = case(&of.program.def.name, &seconds(of.time));
        let element = match of.status() {
            Status::Done => {
                writeln!(out, "{start}/>")?;
                continue;
            }
            Status::Refused => "failure",
            Status::Unusable | Status::Stopped(_) | Status::Command(_) => "error",
        };
        let errno = of.errno().and_then(|errno| errno.name()).unwrap_or("unknown");
        let mut detail = Vec::new();
        super::render::write_plain(of, &mut detail)?;
        writeln!(
            out,
            "{start}>\n      <{element} type=\"{errno}\" message=\"{}\">{}</{element}>\n    \
             </testcase>",
            xml(&of.message().unwrap_or_default()),
            xml(&String::from_utf8_lossy(&detail))
        )?;
    }
    for of in worse {
        let name = format!("{} ({} against the baseline)", of.program, of.what);
        let place = of.source.as_ref().map_or(String::new(), place);
        writeln!(
            out,
            "{}>\n      <failure type=\"regression\" message=\"{}\">{}</failure>\n    </testcase>",
            case(&name, "0.000000"),
            xml(&of.message),
            xml(&place)
        )?;
    }
    writeln!(out, "    <system-out></system-out>\n    <system-err></system-err>\n  </testsuite>")
}

/// `prog.bpf.c:42`.
pub fn place(source: &Source) -> String {
    format!("{}:{}", source.file, source.line)
}

/// Text in XML. Control characters cannot stand there, escaped or not.
fn xml(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let (line, end) = match line.strip_suffix('\n') {
            Some(line) => (line, "\n"),
            None => (line, ""),
        };
        for character in clean(line).chars() {
            match character {
                '&' => out.push_str("&amp;"),
                '<' => out.push_str("&lt;"),
                '>' => out.push_str("&gt;"),
                '"' => out.push_str("&quot;"),
                // These are no characters of XML either.
                '\u{fffe}' | '\u{ffff}' => out.push('?'),
                other => out.push(other),
            }
        }
        out.push_str(end);
    }
    out
}

/// The time of day in UTC, as XML Schema writes it.
fn timestamp() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (year, month, day) = date(now / 86_400);
    let second = now % 86_400;
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")
}

/// Year, month and day of a number of days since 1970, in the Gregorian calendar: years
/// that start in March, so that the leap day is their last.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, later) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (era * 400 + year + later, month, day)
}

/// GitHub's workflow commands: each finding becomes a remark at its line.
pub fn github(run: &Run<'_>, out: &mut dyn Write) -> io::Result<()> {
    for of in findings(run) {
        let mut place = match of.source {
            Some(source) => format!("file={},line={}", property(&source.file), source.line.max(1)),
            None => format!("file={}", property(of.object)),
        };
        if let Some(source) = of.source.filter(|source| source.column > 0) {
            place.push_str(&format!(",col={}", source.column));
        }
        let title = format!("skep: {}", of.rule);
        let message = data(&clean(&of.message));
        writeln!(out, "::error {place},title={}::{message}", property(&title))?;
    }
    Ok(())
}

fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(&clean(text)).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_have_their_dates() {
        assert_eq!(date(0), (1970, 1, 1));
        assert_eq!(date(11_016), (2000, 2, 29));
        assert_eq!(date(11_017), (2000, 3, 1));
        assert_eq!(date(20_453), (2025, 12, 31));
    }

    #[test]
    fn each_form_escapes_what_it_reads_itself() {
        assert_eq!(xml("<a & \"b\">\n\u{1b}"), "&lt;a &amp; &quot;b&quot;&gt;\n\\u{1b}");
        assert_eq!(data("50 %\nmore"), "50 %25%0Amore");
        assert_eq!(property("a:b,c"), "a%3Ab%2Cc");
        assert_eq!(uri("a b/c%.o"), "a%20b/c%25.o");
        assert_eq!(uri("/x"), "file:///x");
    }
}
