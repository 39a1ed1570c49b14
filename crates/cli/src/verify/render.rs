//! A verdict for people: one line for what is accepted; for the rest the source line
//! with a caret, Linux's words, what was known, how it came to be, and what helps.

use std::io::{self, Write};

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use skep::verify::VerifyError;
use skep::verify::explain::{Event, Explanation, Place};
use skep::verify::permission;

use super::Judged;
use crate::terminal::{Paint, clean};

pub(super) fn write(judged: &Judged<'_>, out: &mut dyn Write) -> io::Result<()> {
    let paint = Paint::stdout();
    let name = clean(&judged.program.def.name).into_owned();
    match &judged.verdict {
        Ok(counts) => writeln!(
            out,
            "{}  {name}: {} insns processed, {} states, {} us",
            paint.green("accepted"),
            counts.processed,
            counts.total_states,
            judged.time
        ),
        Err(error) => {
            let verdict = if judged.lacks_types() { "error   " } else { "rejected" };
            let errno = error.errno.name().unwrap_or("an errno");
            writeln!(out, "{}  {name}: {errno}", paint.red(verdict))?;
            let default = Explanation::default();
            let explanation = judged.explanation.as_ref().unwrap_or(&default);
            let text = report(judged, error, explanation);
            writeln!(out, "{text}\n")
        }
    }
}

fn report(judged: &Judged<'_>, error: &VerifyError, explanation: &Explanation) -> String {
    let title = title(judged, error);
    let level = Level::ERROR.primary_title(&title);
    let source = explanation.at.as_ref().and_then(|place| place.source.as_ref());
    let label = explanation.at.as_ref().map(insn).unwrap_or_default();
    let (path, text) = match source {
        Some(source) => (short(&source.file), clean(source.text.trim_start()).into_owned()),
        None => (String::new(), String::new()),
    };
    let mut group = match source {
        Some(source) => {
            let indent = source.text.len() - source.text.trim_start().len();
            let at = (source.column as usize).saturating_sub(1 + indent);
            let at = text.char_indices().map(|(at, _)| at).find(|&known| known >= at).unwrap_or(0);
            let end = text[at..].chars().next().map_or(at, |first| at + first.len_utf8());
            let mark = AnnotationKind::Primary.span(at..end).label(&label);
            let snippet = Snippet::source(&text)
                .path(&path)
                .line_start(source.line as usize)
                .annotation(mark);
            level.element(snippet)
        }
        None if label.is_empty() => Group::with_title(level),
        None => level.element(Level::NOTE.message(format!("at {label}"))),
    };
    for sentence in &explanation.known {
        group = group.element(Level::NOTE.message(clean(sentence).into_owned()));
    }
    if !explanation.history.is_empty() {
        group = group.element(Level::NOTE.message(steps(&explanation.history)));
    }
    if !explanation.branches.is_empty() {
        group = group.element(Level::NOTE.message(branches(&explanation.branches)));
    }
    if let Some(help) = help(judged, error, explanation) {
        group = group.element(Level::HELP.message(help));
    }
    let renderer = match Paint::stdout().is_on() {
        true => Renderer::styled(),
        false => Renderer::plain(),
    };
    renderer.render(&[group]).to_string()
}

fn title(judged: &Judged<'_>, error: &VerifyError) -> String {
    let line = error.reason.to_string();
    if !line.is_empty() {
        return clean(&line).into_owned();
    }
    match judged.program.def.prog_type {
        Some(kind) if error.errno.name() == Some("EPERM") => {
            format!("programs of type {} are not permitted to this user", kind.name())
        }
        _ => error.errno.to_string(),
    }
}

fn help(judged: &Judged<'_>, error: &VerifyError, explanation: &Explanation) -> Option<String> {
    if judged.lacks_types() {
        return Some("this program needs the kernel's types: --btf FILE names them".into());
    }
    if error.errno.name() == Some("EPERM") && error.pc.is_none() {
        let needed = permission::needed(judged.program.def.prog_type?);
        let names: Vec<String> =
            needed.iter_names().map(|(name, _)| format!("CAP_{name}")).collect();
        return Some(format!("this type takes {}", names.join(" and ")));
    }
    explanation.help.map(str::to_owned)
}

/// How a value came to be: each source line, and below it what happened there.
fn steps(events: &[Event]) -> String {
    let mut lines = vec!["how it came to be:".to_owned()];
    let mut previous = String::new();
    for event in events {
        let place = line(&event.place);
        if place != previous {
            lines.push(place.clone());
            previous = place;
        }
        lines.push(format!("    {}", clean(&event.what)));
    }
    lines.join("\n")
}

/// Branches in columns: the source line, and which way it was left.
fn branches(events: &[Event]) -> String {
    let places: Vec<String> = events.iter().map(|event| line(&event.place)).collect();
    let width = places.iter().map(|place| place.chars().count()).max().unwrap_or(0);
    let mut lines = vec!["the last branches on the way:".to_owned()];
    for (event, place) in events.iter().zip(&places) {
        lines.push(format!("{place:width$}  -> {}", clean(&event.what)));
    }
    lines.join("\n")
}

/// `prog.c:42  if (data + 14 > data_end)`, or the instruction.
fn line(place: &Place) -> String {
    match &place.source {
        Some(source) => {
            let text = clean(source.text.trim()).into_owned();
            format!("{}:{}  {text}", short(&source.file), source.line)
        }
        None => insn(place),
    }
}

fn insn(place: &Place) -> String {
    format!("insn {}: {}", place.pc, clean(&place.insn))
}

/// A file's name without its folders.
fn short(file: &str) -> String {
    clean(file.rsplit('/').next().unwrap_or(file)).into_owned()
}
