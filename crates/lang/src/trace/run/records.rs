//! What records ask for.

use std::io::Read as _;
use std::process::Command;

use skep_abi::helper::id;

use super::super::checked::{FormatId, Map, MapId};
use super::super::diagnostic::{Diagnostics, Severity as Graveness};
use super::super::output::decode::{Decoder, number};
use super::super::output::format::format;
use super::super::output::maps::{Element, Wanted};
use super::super::output::series::strftime;
use super::super::output::value::{MapContent, Value};
use super::super::place::Place;
use super::super::plan::{Action, Failure, HEAD, Severity, Slot};
use super::{RunError, Session, live_map};

impl Session<'_, '_> {
    fn decoder(&self) -> Decoder<'_> {
        Decoder {
            records: &self.script.records,
            enumerations: &self.script.enumerations,
            trailer: &self.script.config.str_trunc_trailer,
            names: &self.names,
        }
    }

    /// Does what a record asks for.
    pub(super) fn record(&mut self, record: &[u8]) -> Result<(), RunError> {
        let plan = self.plan;
        let Some(action) = plan.actions.get(number(record, 0, 4) as usize) else {
            return Ok(());
        };
        match action {
            Action::Printf { format, values, severity, place } => {
                let text = self.formatted(*format, values, record);
                self.say(*severity, *place, &text)?;
            }
            Action::System { format, values } => {
                let text = self.formatted(*format, values, record);
                self.system(&text)?;
            }
            Action::Cat { format, values } => {
                let text = self.formatted(*format, values, record);
                self.cat(&text)?;
            }
            Action::Value(slot) => {
                let value = self.slot(slot, record);
                self.printer.value(&value)?;
            }
            Action::Map { map, top, div } => {
                let wanted = Wanted { top: usize::try_from(*top).unwrap_or(0), div: *div };
                self.print_map(map.0 as usize, wanted, true)?;
            }
            Action::Element { map, key } => self.print_element(*map, key, record)?,
            Action::Clear(map) => self.clear(*map),
            Action::Zero(map) => self.zero(*map),
            Action::Time(format) => {
                let text = strftime(format, now());
                self.printer.text("time", text.as_bytes())?;
            }
            Action::Join { separator, count, size } => {
                let text = joined(record, separator, *count, *size);
                self.printer.line("join", &text)?;
            }
            Action::Exit => {
                let status = number(record, HEAD as usize, 4) as u32;
                self.status = status.cast_signed();
                self.exit = Some(self.status);
            }
            Action::Failed { what, place } => {
                let result = number(record, HEAD as usize, 8).cast_signed();
                self.say_failed(*what, *place, result)?;
            }
        }
        Ok(())
    }

    fn slot(&self, slot: &Slot, record: &[u8]) -> Value {
        let bytes = record.get(slot.at as usize..).unwrap_or_default();
        self.decoder().value(&slot.of, bytes)
    }

    fn formatted(&self, of: FormatId, values: &[Slot], record: &[u8]) -> Vec<u8> {
        let values: Vec<Value> = values.iter().map(|slot| self.slot(slot, record)).collect();
        match self.script.formats.get(of.0 as usize) {
            Some(of) => format(of, &values),
            None => Vec::new(),
        }
    }

    fn say(&mut self, severity: Severity, place: Place, text: &[u8]) -> Result<(), RunError> {
        let word = match severity {
            Severity::Plain => return Ok(self.printer.text("printf", text)?),
            Severity::Warning if self.settings.no_warnings => return Ok(()),
            Severity::Warning => "warnf",
            Severity::Error => {
                self.errors += 1;
                "errorf"
            }
        };
        let text = String::from_utf8_lossy(text).into_owned();
        if self.printer.json {
            return Ok(self.json_message(word, &text, place)?);
        }
        let graveness = if word == "errorf" { Graveness::Error } else { Graveness::Warning };
        let shown = self.shown(graveness, place, &text);
        // The first line alone: the call needs not be shown, what it came through does.
        let mut lines = shown.lines();
        let first = lines.next().unwrap_or_default().to_owned() + "\n";
        let rest = shown.find("expanded from").map(|_| {
            let calls = lines.skip_while(|line| !line.contains("expanded from"));
            calls.map(|line| format!("{line}\n")).collect::<String>()
        });
        Ok(self.printer.message(&(first + &rest.unwrap_or_default()))?)
    }

    fn shown(&self, graveness: Graveness, place: Place, text: &str) -> String {
        let mut all = Diagnostics::default();
        match graveness {
            Graveness::Error => all.error(place, text),
            Graveness::Warning => all.warning(place, text),
        };
        all.show(graveness, &self.script.sources)
    }

    fn json_message(&mut self, kind: &str, text: &str, place: Place) -> std::io::Result<()> {
        use super::super::output::json::write_string;
        let position = self.script.sources.position(place.source, place.start);
        let source = self.script.sources.source(place.source);
        let file = source.map_or("", |source| &source.name).to_owned();
        let out = &mut *self.printer.out;
        write!(out, "{{\"type\": \"{kind}\", \"msg\": ")?;
        write_string(out, text.as_bytes())?;
        out.write_all(b", \"filename\": ")?;
        write_string(out, file.as_bytes())?;
        writeln!(out, ", \"line\": {}, \"col\": {}}}", position.line, position.column)
    }

    fn say_failed(&mut self, what: Failure, place: Place, result: i64) -> Result<(), RunError> {
        if self.settings.no_warnings {
            return Ok(());
        }
        let errno = |result: i64| {
            let number = i32::try_from(-result).unwrap_or(0);
            reason(&std::io::Error::from_raw_os_error(number))
        };
        const E2BIG: i64 = -7;
        let text = match what {
            Failure::Division => "Divide or modulo by 0 detected. This can lead to unexpected \
                                  results. 1 is being used as the result."
                .to_owned(),
            Failure::Index => "Array index out of bounds.".to_owned(),
            Failure::Helper(helper) => {
                let reason = match (helper, result) {
                    (id::MAP_UPDATE_ELEM, E2BIG) => {
                        "Map full; can't update element. Try increasing max_map_keys config or \
                         manually setting the max entries in a map declaration e.g. \
                         `let @a = hash(5000)`"
                            .to_owned()
                    }
                    _ => errno(result),
                };
                let name = skep_abi::Helper::from_id(helper).map_or("?", |of| of.name);
                let name = name.trim_start_matches("bpf_");
                format!("{reason}\nAdditional Info - helper: {name}, retcode: {result}")
            }
        };
        if self.printer.json {
            let kind =
                if matches!(what, Failure::Helper(_)) { "helper_error" } else { "runtime_error" };
            return Ok(self.json_message(kind, &text, place)?);
        }
        let shown = self.shown(Graveness::Warning, place, &text);
        Ok(self.printer.message(&shown)?)
    }

    /// Runs a command, and prints what it printed.
    fn system(&mut self, command: &[u8]) -> Result<(), RunError> {
        if !self.settings.allow_unsafe {
            let text = "ERROR: system() is not allowed in safe mode. Use '--unsafe'.\n";
            return Ok(self.printer.message(text)?);
        }
        self.printer.flush()?;
        let command = String::from_utf8_lossy(command).into_owned();
        match Command::new("/bin/sh").args(["-c", &command]).output() {
            Ok(output) => {
                let mut text = output.stdout;
                text.extend(output.stderr);
                while text.last() == Some(&b'\n') {
                    text.pop();
                }
                Ok(self.printer.line("syscall", &text)?)
            }
            Err(error) => Ok(self.printer.message(&format!("ERROR: {command}: {error}\n"))?),
        }
    }

    fn cat(&mut self, path: &[u8]) -> Result<(), RunError> {
        let path = String::from_utf8_lossy(path).into_owned();
        let most = self.script.config.max_cat_bytes;
        let mut text = Vec::new();
        let read =
            std::fs::File::open(&path).and_then(|file| file.take(most).read_to_end(&mut text));
        match read {
            Ok(_) => Ok(self.printer.text("cat", &text)?),
            Err(error) => {
                let reason = reason(&error);
                let line = format!("ERROR: failed to open file '{path}' ({reason})\n");
                Ok(self.printer.message(&line)?)
            }
        }
    }

    /// The elements of a map, as the kernel has them.
    fn elements(&self, map: &Map) -> Vec<Element> {
        let Some(live) = live_map(self.skep, &map.name) else { return Vec::new() };
        let entries = live.entries().filter_map(Result::ok);
        entries.map(|(key, value)| (key, live.split_cpus(&value))).collect()
    }

    fn content(&self, map: &Map, elements: Vec<Element>, wanted: Wanted) -> MapContent {
        let plain = self.settings.clock.is_some();
        let moment = |nanos| self.names.series_moment(nanos, plain);
        self.decoder().map(map, elements, wanted, &moment)
    }

    /// Prints a map; one without keys and values is zero where it was asked for.
    pub(super) fn print_map(
        &mut self,
        index: usize,
        wanted: Wanted,
        asked: bool,
    ) -> Result<(), RunError> {
        let Some(map) = self.script.maps.get(index) else { return Ok(()) };
        let elements = self.elements(map);
        let content = match elements.is_empty() && asked && map.scalar {
            true if !map.value.is_histogram() => self.decoder().empty(map),
            _ => self.content(map, elements, wanted),
        };
        self.printer.map(&map.name, &content)?;
        Ok(())
    }

    fn print_element(&mut self, map: MapId, key: &Slot, record: &[u8]) -> Result<(), RunError> {
        let map = &self.script.maps[map.0 as usize];
        let size = key.of.size() as usize;
        let key: Vec<u8> = record.iter().skip(key.at as usize).take(size).copied().collect();
        let Some(live) = live_map(self.skep, &map.name) else { return Ok(()) };
        let Ok(Some(value)) = live.lookup(&key) else { return Ok(()) };
        let element = (key, live.split_cpus(&value));
        let content = self.content(map, vec![element], Wanted::default());
        Ok(self.printer.map(&map.name, &content)?)
    }

    fn clear(&mut self, map: MapId) {
        let map = &self.script.maps[map.0 as usize];
        let Some(live) = live_map(self.skep, &map.name) else { return };
        let keys: Vec<Vec<u8>> = live.keys().filter_map(Result::ok).collect();
        for key in keys {
            // Gone already, or an array's, which is set to zero.
            if live.delete(&key).is_err() {
                let _ = live.update(&key, &vec![0; live.transfer_size()], 0);
            }
        }
    }

    fn zero(&mut self, map: MapId) {
        let map = &self.script.maps[map.0 as usize];
        let Some(live) = live_map(self.skep, &map.name) else { return };
        let keys: Vec<Vec<u8>> = live.keys().filter_map(Result::ok).collect();
        for key in keys {
            let zeros = vec![0; live.transfer_size()];
            // An element that is gone meanwhile stays so.
            let _ = live.update(&key, &zeros, skep_abi::flags::update::EXIST);
        }
    }
}

fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(0))
}

/// An error as `strerror(3)` words it.
fn reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_owned()
}

fn joined(record: &[u8], separator: &str, count: u32, size: u32) -> Vec<u8> {
    let mut text = Vec::new();
    for index in 0..count {
        let start = (HEAD + index * size) as usize;
        let part = record.get(start..start + size as usize).unwrap_or_default();
        let end = part.iter().position(|byte| *byte == 0).unwrap_or(part.len());
        if end == 0 {
            break;
        }
        if index > 0 {
            text.extend_from_slice(separator.as_bytes());
        }
        text.extend_from_slice(&part[..end]);
    }
    text
}
