//! A verdict for people: one line for what is accepted; for the rest the source line
//! with a caret, Linux's words, what was known, how it came to be, and what helps.

use std::io::{self, Write};

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use skep::verify::Counts;
use skep::verify::explain::{Event, Place};

use super::judge::{Judged, Verdict};
use crate::failure::Status;
use crate::terminal::{Paint, clean};

pub(super) fn write(judged: &Judged, out: &mut dyn Write) -> io::Result<()> {
    painted(judged, Paint::stdout(), out)
}

/// The same without colour.
pub(super) fn write_plain(judged: &Judged, out: &mut dyn Write) -> io::Result<()> {
    painted(judged, Paint::off(), out)
}

fn painted(judged: &Judged, paint: Paint, out: &mut dyn Write) -> io::Result<()> {
    let name = clean(&judged.program.def.name).into_owned();
    if let Verdict::Accepted = judged.verdict {
        let Counts { processed, total_states, .. } = judged.counts;
        let verdict = paint.green("accepted");
        let time = judged.time;
        return writeln!(
            out,
            "{verdict}  {name}: {processed} insns processed, {total_states} states, {time} us"
        );
    }
    let verdict = match judged.status() {
        Status::Unusable => "error   ",
        _ => "rejected",
    };
    match judged.errno() {
        Some(errno) => {
            let errno = errno.name().unwrap_or("an errno");
            writeln!(out, "{}  {name}: {errno}", paint.red(verdict))?;
        }
        None => writeln!(out, "{}  {name}: no verdict", paint.red(verdict))?,
    }
    writeln!(out, "{}\n", report(judged, paint))
}

fn report(judged: &Judged, paint: Paint) -> String {
    let explanation = &judged.explanation;
    let title = title(judged);
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
    if let Some(help) = help(judged) {
        group = group.element(Level::HELP.message(clean(&help).into_owned()));
    }
    let renderer = match paint.is_on() {
        true => Renderer::styled(),
        false => Renderer::plain(),
    };
    renderer.render(&[group]).to_string()
}

fn title(judged: &Judged) -> String {
    if let Some(line) = judged.message().filter(|line| !line.is_empty()) {
        return clean(&line).into_owned();
    }
    let Some(errno) = judged.errno() else { return "no verdict".into() };
    match judged.program.def.prog_type {
        Some(kind) if errno.name() == Some("EPERM") => {
            format!("programs of type {} are not permitted to this user", kind.name())
        }
        _ => errno.to_string(),
    }
}

/// What usually helps.
pub(super) fn help(judged: &Judged) -> Option<String> {
    match &judged.verdict {
        Verdict::Accepted => None,
        Verdict::Unloaded { help, .. } | Verdict::Unknown { help, .. } => Some(help.clone()),
        Verdict::Rejected(error) if error.errno.name() == Some("EPERM") && error.pc.is_none() => {
            let needed = judged.program.def.prog_type?.row().needs;
            let names: Vec<String> =
                needed.iter_names().map(|(name, _)| format!("CAP_{name}")).collect();
            Some(format!("this type takes {}", names.join(" and ")))
        }
        Verdict::Rejected(_) => judged.explanation.help.map(str::to_owned),
    }
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
