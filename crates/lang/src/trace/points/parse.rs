//! The parts of an attach point's text, by its provider.

use super::{Attach, Provider};
use crate::trace::config::MissingProbes;
use crate::trace::number;
use crate::trace::unit::Unit;
use crate::trace::world::{World, is_pattern};

/// Takes all attach points apart.
pub fn parse(unit: &mut Unit<'_>) {
    for at in 0..unit.probes.len() {
        let raw = std::mem::take(&mut unit.probes[at].raw);
        let mut points = Vec::new();
        let mut later = Vec::new();
        let mut has_iterator = false;
        for point in &raw {
            let mut reader = Reader {
                unit,
                raw: point.raw.clone(),
                place: point.place,
                lenient: false,
                has_iterator: &mut has_iterator,
            };
            match reader.read() {
                Ok(Read::Point(point)) => points.push(*point),
                Ok(Read::Nothing) => {}
                Ok(Read::Several(several)) => later.extend(several),
                Err(error) => {
                    unit.diagnostics.error(point.place, error);
                }
            }
        }
        points.extend(later);
        let empty = points.is_empty();
        unit.probes[at].points = points;
        if empty && unit.config.missing_probes == MissingProbes::Error {
            let place = unit.probes[at].place;
            unit.diagnostics.error(place, "No attach points for probe");
        }
    }
}

enum Read {
    Point(Box<Attach>),
    Several(Vec<Attach>),
    Nothing,
}

struct Reader<'r, 'a> {
    unit: &'r Unit<'a>,
    raw: String,
    place: crate::trace::place::Place,
    lenient: bool,
    has_iterator: &'r mut bool,
}

/// `Ok(None)` is a point that a pattern made and that does not fit.
type Parsed = Result<Option<Attach>, String>;

/// Texts of parameters are put in at most so often.
const MOST_PARAMETERS: u32 = 100;

impl Reader<'_, '_> {
    fn read(&mut self) -> Result<Read, String> {
        let mut parts = self.parts()?;
        if parts[0].is_empty() {
            // A trailing comma, perhaps.
            return Ok(Read::Nothing);
        }
        let mut given = None;
        if let Some((name, rest)) = parts[0].clone().split_once('=')
            && !rest.is_empty()
        {
            given = Some(name.to_owned());
            rest.clone_into(&mut parts[0]);
        }
        if is_pattern(&parts[0]) {
            return self.pattern(&parts);
        }
        let Some(provider) = Provider::of(&parts[0]) else {
            return Err(format!("Invalid probe type: {}", parts[0]));
        };
        let point = self.of_provider(provider, parts)?;
        Ok(match point {
            Some(mut point) => {
                point.given = given;
                Read::Point(Box::new(point))
            }
            None => Read::Nothing,
        })
    }

    /// A pattern for providers stands for a point of each.
    fn pattern(&mut self, parts: &[String]) -> Result<Read, String> {
        let front = parts[0].clone();
        let query = if parts.len() == 1 { "*" } else { &front };
        let user =
            self.unit.options.pid.is_some() || parts.get(1).is_some_and(|part| part.contains('/'));
        let providers = Provider::listed(query, user);
        if providers.is_empty() {
            return Err(format!("No probe type matched for {front}"));
        }
        let rest = match self.raw.split_once(':') {
            Some((_, rest)) => rest.to_owned(),
            None => self.raw.clone(),
        };
        let only = providers.len() == 1;
        let mut several = Vec::new();
        for provider in providers {
            let raw = if only { self.raw.clone() } else { format!("{}:{rest}", provider.name()) };
            let mut reader = Reader {
                unit: self.unit,
                raw,
                place: self.place,
                lenient: !only,
                has_iterator: self.has_iterator,
            };
            let mut parts = reader.parts()?;
            provider.name().clone_into(&mut parts[0]);
            several.extend(reader.of_provider(provider, parts)?);
        }
        Ok(Read::Several(several))
    }

    /// Parts between colons, quotes and parameters resolved; `@` is a part of its own.
    fn parts(&self) -> Result<Vec<String>, String> {
        let mut rest: Vec<char> = self.raw.chars().collect();
        let mut parts = Vec::new();
        let mut part = String::new();
        let mut quoted = false;
        let mut budget = MOST_PARAMETERS;
        let mut at = 0;
        while at < rest.len() {
            let letter = rest[at];
            at += 1;
            match letter {
                '"' => quoted = !quoted,
                '\\' if quoted && at < rest.len() => {
                    part.push(rest[at]);
                    at += 1;
                }
                ':' | '@' if !quoted => {
                    parts.push(std::mem::take(&mut part));
                    if letter == '@' {
                        parts.push("@".to_owned());
                    }
                }
                '$' if !quoted => {
                    let (value, after) = self.parameter(&rest, at)?;
                    budget =
                        budget.checked_sub(1).ok_or("too many parameters in an attach point")?;
                    rest.splice(at - 1..after, value.chars());
                    at -= 1;
                }
                _ => part.push(letter),
            }
        }
        parts.push(part);
        Ok(parts)
    }

    fn parameter(&self, rest: &[char], from: usize) -> Result<(String, usize), String> {
        let digits: String =
            rest[from..].iter().take_while(|letter| letter.is_ascii_digit()).collect();
        if digits.is_empty() || digits.starts_with('0') {
            let found = rest.get(from).map(char::to_string).unwrap_or_default();
            return Err(format!(
                "invalid trailing character for positional param: {found}. Try quoting this \
                 entire part if this is intentional e.g. \"${found}\"."
            ));
        }
        let number = number::unsigned(&digits)
            .map_err(|error| format!("positional parameter is not valid: {error}"))?;
        let value =
            usize::try_from(number - 1).ok().and_then(|at| self.unit.options.positional.get(at));
        Ok((value.cloned().unwrap_or_default(), from + digits.len()))
    }

    fn count_error(&self, provider: Provider, counts: &str, parts: &[String]) -> Parsed {
        let found = parts.len() - 1;
        let name = provider.name();
        Err(format!("{name} probe type requires {counts} arguments, found {found}"))
    }

    /// An error, or nothing where a pattern made the point.
    fn misfit(&self, provider: Provider, counts: &str, parts: &[String]) -> Parsed {
        if self.lenient {
            return Ok(None);
        }
        self.count_error(provider, counts, parts)
    }

    fn of_provider(&mut self, provider: Provider, parts: Vec<String>) -> Parsed {
        let mut point = Attach::new(&self.raw, self.place, provider);
        point.lenient = self.lenient;
        match provider {
            Provider::Begin | Provider::End => {
                let plain = parts.len() == 1 || (parts.len() == 2 && parts[1] == "*");
                if !plain {
                    return self.count_error(provider, "0", &parts);
                }
                Ok(Some(point))
            }
            Provider::SelfProbe => {
                if parts.len() != 3 {
                    return self.count_error(provider, "2", &parts);
                }
                point.target.clone_from(&parts[1]);
                point.function.clone_from(&parts[2]);
                Ok(Some(point))
            }
            Provider::Test | Provider::Bench => {
                if parts.len() != 2 {
                    return self.count_error(provider, "1", &parts);
                }
                point.target.clone_from(&parts[1]);
                Ok(Some(point))
            }
            Provider::Kprobe | Provider::Kretprobe => self.kprobe(point, &parts),
            Provider::Uprobe | Provider::Uretprobe => self.uprobe(point, parts),
            Provider::Usdt => self.usdt(point, parts),
            Provider::Tracepoint => self.tracepoint(point, parts),
            Provider::Profile | Provider::Interval => self.rate(point, &parts),
            Provider::Software | Provider::Hardware => self.counter(point, &parts),
            Provider::Watchpoint => self.watchpoint(point, &parts),
            Provider::Fentry | Provider::Fexit => self.fentry(point, &parts),
            Provider::Iter => self.iterator(point, &parts),
            Provider::RawTracepoint => self.raw_tracepoint(point, &parts),
        }
    }

    /// `name+offset` into the point; `None` if there is no `+`.
    fn offset(point: &mut Attach, text: &str, allowed: bool) -> Option<Result<(), String>> {
        let pluses = text.matches('+').count();
        if pluses == 0 {
            return None;
        }
        if !allowed {
            return Some(Err("Offset not allowed".to_owned()));
        }
        if pluses > 1 {
            return Some(Err("Cannot take more than one offset".to_owned()));
        }
        let (function, offset) = text.split_once('+')?;
        if function.is_empty() || offset.is_empty() {
            return Some(Err("Invalid offset".to_owned()));
        }
        function.clone_into(&mut point.function);
        Some(match number::unsigned(offset) {
            Ok(offset) => {
                point.offset = offset;
                Ok(())
            }
            Err(error) => Err(format!("Invalid offset: {error}")),
        })
    }

    fn kprobe(&self, mut point: Attach, parts: &[String]) -> Parsed {
        let (target, function) = match parts {
            [_, function] => ("", function),
            [_, target, function] => (&**target, function),
            _ => return self.misfit(point.provider, "1 or 2", parts),
        };
        target.clone_into(&mut point.target);
        let allowed = point.provider == Provider::Kprobe;
        if let Some(done) = Self::offset(&mut point, function, allowed) {
            done?;
        } else if let Ok(address) = number::unsigned(function) {
            if !self.unit.options.allow_unsafe {
                return Err("Probing by address requires --unsafe".to_owned());
            }
            point.address = address;
        } else {
            point.function.clone_from(function);
        }
        Ok(Some(point))
    }

    fn uprobe(&self, mut point: Attach, mut parts: Vec<String>) -> Parsed {
        let world = self.unit.world;
        let short = parts.len() == 2 || (parts.len() == 3 && parts[1] == "cpp");
        if self.unit.options.pid.is_some() && short {
            parts.insert(1, String::new());
        }
        let by_line = parts.len() > 2 && parts[2] == "@";
        if !by_line && parts.len() != 3 && parts.len() != 4 {
            return self.misfit(point.provider, "2 or 3", &parts);
        }
        if parts.len() == 4 {
            point.language.clone_from(&parts[2]);
        }
        point.target.clone_from(&parts[1]);
        if !is_pattern(&parts[1])
            && parts[1].starts_with("lib")
            && let Some(path) = world.library(&parts[1])
        {
            point.target = (*path).to_owned();
        }
        if by_line {
            return self.source_line(point, &parts);
        }
        let function = parts[parts.len() - 1].clone();
        let allowed = point.provider == Provider::Uprobe;
        if let Some(done) = Self::offset(&mut point, &function, allowed) {
            done?;
        } else if let Ok(address) = number::unsigned(&function) {
            if is_pattern(&point.target) {
                return Err("Cannot use wildcards with absolute address".to_owned());
            }
            point.address = address;
        } else {
            point.function = function;
        }
        Ok(Some(point))
    }

    /// `uprobe:file@source:line[:column]`
    fn source_line(&self, mut point: Attach, parts: &[String]) -> Parsed {
        if point.provider != Provider::Uprobe {
            return Err("Source code location not allowed".to_owned());
        }
        if is_pattern(&point.target) {
            return Err("Cannot use wildcards with source code location".to_owned());
        }
        let complete =
            (parts.len() == 5 || parts.len() == 6) && !parts[3].is_empty() && !parts[4].is_empty();
        if !complete {
            return Err("Invalid uprobe arguments, expected format: \
                        uprobe:TARGET@FILE:LINE[:COL]"
                .to_owned());
        }
        let line =
            number::unsigned(&parts[4]).map_err(|error| format!("Invalid line number: {error}"))?;
        let column = match parts.get(5) {
            Some(column) => number::unsigned(column)
                .map_err(|error| format!("Invalid column number: {error}"))?,
            None => 0,
        };
        point.language.clear();
        let world = self.unit.world;
        let what = if point.target.is_empty() {
            "Unspecified target binary".to_owned()
        } else if !world.has_debug_info(&point.target) {
            format!("No DWARF debug info found for '{}'", point.target)
        } else {
            let address = world.line_address(&point.target, &parts[3], line, column);
            let Some(address) = address else {
                return Err(format!("No code found at {}:{line} in '{}'", parts[3], point.target));
            };
            point.address = address;
            point.line = Some((parts[3].clone(), line, column));
            return Ok(Some(point));
        };
        Err(format!("{what}, cannot attach by source code location."))
    }

    fn usdt(&self, mut point: Attach, mut parts: Vec<String>) -> Parsed {
        if self.unit.options.pid.is_some() && parts.len() == 2 {
            parts.insert(1, String::new());
        }
        match &parts[..] {
            [_, target, name] => {
                point.target.clone_from(target);
                point.function.clone_from(name);
            }
            [_, target, namespace, name] => {
                point.target.clone_from(target);
                point.namespace.clone_from(namespace);
                point.function.clone_from(name);
            }
            _ => return self.misfit(point.provider, "2 or 3", &parts),
        }
        Ok(Some(point))
    }

    fn tracepoint(&self, mut point: Attach, mut parts: Vec<String>) -> Parsed {
        if parts.len() == 2 && is_pattern(&parts[1]) {
            parts.insert(1, "*".to_owned());
        }
        let [_, target, event] = &parts[..] else {
            return self.misfit(point.provider, "2", &parts);
        };
        point.target.clone_from(target);
        point.function.clone_from(event);
        Ok(Some(point))
    }

    fn rate(&self, mut point: Attach, parts: &[String]) -> Parsed {
        let name = point.provider.name();
        let invalid = |error| format!("Invalid rate of {name} probe: {error}");
        match parts {
            [_, pattern] if is_pattern(pattern) => point.target.clone_from(pattern),
            [_, time] => {
                let nanoseconds = number::unsigned(time).map_err(invalid)?;
                if nanoseconds < 1000 {
                    return Err(format!(
                        "Invalid rate of {name} probe. Minimum is 1000 or 1us. Found: \
                         {nanoseconds} nanoseconds"
                    ));
                }
                "us".clone_into(&mut point.target);
                point.frequency = nanoseconds / 1000;
            }
            [_, unit, rate] => {
                point.target.clone_from(unit);
                point.frequency = number::unsigned(rate).map_err(invalid)?;
            }
            _ => return self.count_error(point.provider, "1 or 2", parts),
        }
        Ok(Some(point))
    }

    fn counter(&self, mut point: Attach, parts: &[String]) -> Parsed {
        if parts.len() != 2 && parts.len() != 3 {
            return self.misfit(point.provider, "1 or 2", parts);
        }
        point.target.clone_from(&parts[1]);
        if let Some(count) = parts.get(2).filter(|count| **count != "*") {
            point.frequency = number::unsigned(count).map_err(|error| {
                format!("Invalid count for {} probe: {error}", point.provider.name())
            })?;
        }
        Ok(Some(point))
    }

    fn watchpoint(&self, mut point: Attach, parts: &[String]) -> Parsed {
        let [_, address, length, mode] = parts else {
            return self.count_error(point.provider, "3", parts);
        };
        point.address = number::unsigned(address)
            .map_err(|error| format!("Invalid function/address argument: {error}"))?;
        point.length = number::unsigned(length)
            .map_err(|error| format!("Invalid length argument: {error}"))?;
        point.mode.clone_from(mode);
        Ok(Some(point))
    }

    fn fentry(&self, mut point: Attach, parts: &[String]) -> Parsed {
        if !(2..=4).contains(&parts.len()) {
            return self.misfit(point.provider, "1 or 3", parts);
        }
        if parts[1] == "bpf" {
            return Self::program(point, parts).map(Some);
        }
        match parts {
            [_, function] => {
                point.function.clone_from(function);
                if is_pattern(function) {
                    "*".clone_into(&mut point.target);
                } else {
                    point.target = module_of(self.unit.world, function)?;
                }
            }
            [_, module, function] => {
                point.target.clone_from(module);
                point.function.clone_from(function);
            }
            _ => {
                return Err("Only the 'bpf' variant of this probe supports 4 arguments".to_owned());
            }
        }
        Ok(Some(point))
    }

    fn program(mut point: Attach, parts: &[String]) -> Result<Attach, String> {
        "bpf".clone_into(&mut point.target);
        match parts {
            [_, _, function] => point.function.clone_from(function),
            [_, _, number, function] => {
                point.function.clone_from(function);
                if number != "*" {
                    point.program = number::unsigned(number)
                        .map_err(|_| "bpf program id must be a number or '*'")?;
                }
            }
            _ => {
                return Err("the 'bpf' variant of this probe requires a bpf program name and \
                            optional bpf program id"
                    .to_owned());
            }
        }
        Ok(point)
    }

    fn iterator(&mut self, mut point: Attach, parts: &[String]) -> Parsed {
        let name = point.provider.name();
        if parts.len() != 2 && parts.len() != 3 {
            if self.lenient {
                return Ok(None);
            }
            return Err(format!("{name} probe type takes 2 arguments (1 optional)"));
        }
        if *self.has_iterator && !self.unit.options.listing {
            return Err(format!("{name} probe only supports one attach point."));
        }
        let is_pattern = parts[1..].iter().any(|part| is_pattern(part));
        if is_pattern && !self.unit.options.listing {
            if self.lenient {
                return Ok(None);
            }
            return Err(format!("{name} probe type does not support wildcards"));
        }
        point.function.clone_from(&parts[1]);
        if let Some(pin) = parts.get(2) {
            point.pin.clone_from(pin);
        }
        *self.has_iterator = true;
        Ok(Some(point))
    }

    fn raw_tracepoint(&self, mut point: Attach, parts: &[String]) -> Parsed {
        match parts {
            [_, event] => {
                "*".clone_into(&mut point.target);
                point.function.clone_from(event);
            }
            [_, module, event] => {
                point.target.clone_from(module);
                point.function.clone_from(event);
            }
            _ => return self.misfit(point.provider, "2 or 1", parts),
        }
        Ok(Some(point))
    }
}

/// The only module that has a function; empty if none has.
fn module_of(world: &dyn World, function: &str) -> Result<String, String> {
    let functions = world.functions();
    let mut modules: Vec<_> = functions
        .iter()
        .filter(|(_, name)| **name == *function)
        .map(|(module, _)| module)
        .collect();
    modules.sort();
    modules.dedup();
    match &modules[..] {
        [] => Ok(String::new()),
        [module] => Ok((***module).to_owned()),
        _ => Err(format!(
            "ambiguous attach point, please specify module containing the function '{function}'"
        )),
    }
}
