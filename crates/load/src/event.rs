//! Events for programs to run on, one a line: JSON, version 1 (docs/run.md).
//!
//! ```json
//! {"version":1,"type":"kprobe","context":{"di":4660},"time":1000,"cpu":0,
//!  "task":{"pid":7,"comm":"cat"},"memory":[{"address":4660,"bytes":"6869"}]}
//! ```
//!
//! The context is hex text, or fields by their names: those of the type's context in
//! [`skep_abi::context`], registers, `args` and `ret`, and `@OFFSET:SIZE` anywhere. Whatever is
//! left out is 0.

use std::io::{BufRead, Read};
use std::net::IpAddr;

use serde_json::{Map, Value};
use skep_abi::context::{Loads, memory};
use skep_abi::{Context, ProgType};

/// The version that is read here.
pub const VERSION: u64 = 1;
/// Longest line.
const MOST_LINE: u64 = 1 << 20;
/// Most bytes of a context.
const MOST_CONTEXT: usize = 1 << 16;

/// Why a record is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}{}: {reason}", field_of(.field))]
pub struct EventError {
    /// The line, from 1.
    pub line: usize,
    /// The field, with those that it is in; empty for the whole record.
    pub field: String,
    /// What is wrong with it.
    pub reason: String,
}

fn field_of(field: &str) -> String {
    if field.is_empty() { String::new() } else { format!(", {field}") }
}

/// A task, as far as an event says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventTask {
    /// Thread id.
    pub pid: u32,
    /// Process id; the thread's where it was left out.
    pub tgid: u32,
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Name.
    pub comm: String,
    /// Ids of its cgroup and of those that this is in, the root's first.
    pub cgroups: Vec<u64>,
    /// Its parent's process id and name.
    pub parent: Option<(u32, String)>,
}

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventRecord {
    /// The type of program that it is for, if it says so.
    pub prog_type: Option<ProgType>,
    /// Where it comes from, as attach points name it: `tracepoint:sched:sched_process_exec`.
    pub attach: String,
    /// The context, from its start.
    pub context: Vec<u8>,
    /// Packet, message or option.
    pub data: Vec<u8>,
    /// The socket's fields (`struct bpf_sock`).
    pub socket: Option<Vec<u8>>,
    /// Memory by address.
    pub memory: Vec<(u64, Vec<u8>)>,
    /// Time in ns.
    pub time: Option<u64>,
    /// CPU.
    pub cpu: Option<u32>,
    /// Task.
    pub task: Option<EventTask>,
    /// Addresses of the kernel's stack and of the user's, the innermost first.
    pub stacks: [Vec<u64>; 2],
    /// What the link was made with.
    pub cookie: u64,
    /// Address of the function.
    pub function: u64,
}

/// Reads events, one a line; empty lines are left out.
pub struct EventReader<R> {
    input: R,
    /// `None`: each event says its own.
    kind: Option<ProgType>,
    line: usize,
}

impl<R: BufRead> EventReader<R> {
    /// Reads events for programs of this type.
    pub fn new(input: R, kind: ProgType) -> EventReader<R> {
        EventReader { input, kind: Some(kind), line: 0 }
    }

    /// Reads events for programs of all types; each has to say its type.
    pub fn of_all_types(input: R) -> EventReader<R> {
        EventReader { input, kind: None, line: 0 }
    }

    /// The number of the line that was read last.
    pub fn line(&self) -> usize {
        self.line
    }

    /// The next event; `None` at the end.
    ///
    /// # Errors
    /// A line that is no event, or cannot be read.
    pub fn next_event(&mut self) -> Result<Option<EventRecord>, EventError> {
        loop {
            let mut bytes = Vec::new();
            self.line += 1;
            let fault =
                |reason: String| EventError { line: self.line, field: String::new(), reason };
            let mut limited = self.input.by_ref().take(MOST_LINE + 1);
            let read = limited.read_until(b'\n', &mut bytes);
            if read.map_err(|error| fault(error.to_string()))? == 0 {
                return Ok(None);
            }
            if bytes.len() as u64 > MOST_LINE {
                return Err(fault(format!("is longer than {MOST_LINE} bytes")));
            }
            if bytes.trim_ascii().is_empty() {
                continue;
            }
            let value: Value =
                serde_json::from_slice(&bytes).map_err(|error| fault(error.to_string()))?;
            let kind = match self.kind {
                Some(kind) => kind,
                None => own_type(&value, self.line)?,
            };
            return parse(&value, kind, self.line).map(Some);
        }
    }
}

/// The type that an event says.
fn own_type(value: &Value, line: usize) -> Result<ProgType, EventError> {
    let at = Place { line, path: String::new() };
    let missing = || at.fault("lacks its type".into());
    let name = at.object(value)?.get("type").ok_or_else(missing)?;
    let at = at.member("type");
    let name = at.text(name)?;
    ProgType::from_name(name).ok_or_else(|| at.fault(format!("no type is called {name:?}")))
}

/// An event as a line, with its end: what [`EventReader`] reads back as it was. What is 0 or
/// empty is left out. Names of tasks that are no text lose what is none.
pub fn line(record: &EventRecord) -> String {
    let mut members = Map::new();
    let mut put = |name: &str, value: Value| {
        members.insert(name.to_owned(), value);
    };
    put("version", VERSION.into());
    if let Some(kind) = record.prog_type {
        put("type", kind.name().into());
    }
    if !record.attach.is_empty() {
        put("attach", record.attach.as_str().into());
    }
    put("context", hex(&record.context).into());
    if !record.data.is_empty() {
        put("data", hex(&record.data).into());
    }
    if let Some(socket) = &record.socket {
        put("socket", hex(socket).into());
    }
    if !record.memory.is_empty() {
        let memory = record
            .memory
            .iter()
            .map(|(address, bytes)| serde_json::json!({ "address": address, "bytes": hex(bytes) }));
        put("memory", memory.collect());
    }
    if let Some(time) = record.time {
        put("time", time.into());
    }
    if let Some(cpu) = record.cpu {
        put("cpu", cpu.into());
    }
    if let Some(task) = &record.task {
        put("task", task_value(task));
    }
    for (name, stack) in ["kernel_stack", "user_stack"].into_iter().zip(&record.stacks) {
        if !stack.is_empty() {
            put(name, stack.iter().copied().collect());
        }
    }
    for (name, number) in [("cookie", record.cookie), ("function", record.function)] {
        if number != 0 {
            put(name, number.into());
        }
    }
    Value::Object(members).to_string() + "\n"
}

fn task_value(task: &EventTask) -> Value {
    let mut value = serde_json::json!({
        "pid": task.pid, "tgid": task.tgid, "uid": task.uid, "gid": task.gid, "comm": task.comm,
    });
    if !task.cgroups.is_empty() {
        value["cgroups"] = task.cgroups.iter().copied().collect();
    }
    if let Some((pid, comm)) = &task.parent {
        value["parent"] = serde_json::json!({ "pid": pid, "comm": comm });
    }
    value
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        for digit in [byte >> 4, byte & 15] {
            text.extend(char::from_digit(digit.into(), 16));
        }
    }
    text
}

/// An event as a value, for programs of this type.
///
/// # Errors
/// The first field that is none.
pub fn parse(value: &Value, kind: ProgType, line: usize) -> Result<EventRecord, EventError> {
    let at = Place { line, path: String::new() };
    let members = at.object(value)?;
    let mut record = EventRecord::default();
    for (name, value) in members {
        let at = at.member(name);
        match name.as_str() {
            "version" => match at.number(value)? {
                VERSION => {}
                other => {
                    return Err(
                        at.fault(format!("{other} is none that is known; this is {VERSION}"))
                    );
                }
            },
            "type" => {
                let name = at.text(value)?;
                let named = ProgType::from_name(name);
                let named = named.ok_or_else(|| at.fault(format!("no type is called {name:?}")))?;
                if named != kind {
                    return Err(at.fault(format!("is {named}, and the program is of type {kind}")));
                }
                record.prog_type = Some(named);
            }
            "attach" => record.attach = at.text(value)?.into(),
            "context" => record.context = context(&at, value, kind)?,
            "data" => record.data = at.hex(value)?,
            "socket" => record.socket = Some(fields(&at, value, Some(Context::socket()), kind)?),
            "memory" => record.memory = captured(&at, value)?,
            "time" => record.time = Some(at.number(value)?),
            "cpu" => record.cpu = Some(at.number32(value)?),
            "task" => record.task = Some(task(&at, value)?),
            "kernel_stack" => record.stacks[0] = at.numbers(value)?,
            "user_stack" => record.stacks[1] = at.numbers(value)?,
            "cookie" => record.cookie = at.number(value)?,
            "function" => record.function = at.number(value)?,
            _ => return Err(at.fault("no event has such a field".into())),
        }
    }
    Ok(record)
}

/// Where we are, for errors.
struct Place {
    line: usize,
    path: String,
}

impl Place {
    fn member(&self, name: &str) -> Place {
        let dot = if self.path.is_empty() { "" } else { "." };
        Place { line: self.line, path: format!("{}{dot}{name}", self.path) }
    }

    fn fault(&self, reason: String) -> EventError {
        EventError { line: self.line, field: self.path.clone(), reason }
    }

    fn object<'v>(&self, value: &'v Value) -> Result<&'v Map<String, Value>, EventError> {
        value.as_object().ok_or_else(|| self.fault("expected { \"field\": value }".into()))
    }

    fn array<'v>(&self, value: &'v Value) -> Result<&'v Vec<Value>, EventError> {
        value.as_array().ok_or_else(|| self.fault("expected a list".into()))
    }

    fn text<'v>(&self, value: &'v Value) -> Result<&'v str, EventError> {
        value.as_str().ok_or_else(|| self.fault("expected a text".into()))
    }

    /// `7`, `-1`, `"0xffff888000000000"`.
    fn number(&self, value: &Value) -> Result<u64, EventError> {
        let found = match value {
            Value::Number(number) => {
                number.as_u64().or(number.as_i64().map(|number| number as u64))
            }
            Value::String(text) => match text.strip_prefix("0x") {
                Some(hex) => u64::from_str_radix(hex, 16).ok(),
                None => text.parse().ok(),
            },
            Value::Bool(truth) => Some((*truth).into()),
            _ => None,
        };
        found.ok_or_else(|| self.fault("expected a number of 64 bits".into()))
    }

    fn number32(&self, value: &Value) -> Result<u32, EventError> {
        let number = self.number(value)?;
        u32::try_from(number).map_err(|_| self.fault(format!("{number} has more than 32 bits")))
    }

    fn numbers(&self, value: &Value) -> Result<Vec<u64>, EventError> {
        self.array(value)?.iter().map(|value| self.number(value)).collect()
    }

    /// `"00 ff 10"`
    fn hex(&self, value: &Value) -> Result<Vec<u8>, EventError> {
        let text = self.text(value)?;
        let digits: Option<Vec<u8>> = text
            .chars()
            .filter(|sign| !sign.is_whitespace() && *sign != ':')
            .map(|sign| sign.to_digit(16).map(|digit| digit as u8))
            .collect();
        let digits = digits.filter(|digits| digits.len().is_multiple_of(2));
        let digits =
            digits.ok_or_else(|| self.fault("expected bytes as pairs of hex digits".into()))?;
        Ok(digits.chunks_exact(2).map(|two| two[0] << 4 | two[1]).collect())
    }
}

/// Registers of x86-64 in the order of `struct pt_regs`.
const REGISTERS: [&str; 21] = [
    "r15", "r14", "r13", "r12", "bp", "bx", "r11", "r10", "r9", "r8", "ax", "cx", "dx", "si", "di",
    "orig_ax", "ip", "cs", "flags", "sp", "ss",
];

fn context(at: &Place, value: &Value, kind: ProgType) -> Result<Vec<u8>, EventError> {
    fields(at, value, Context::of(kind), kind)
}

/// Hex text, or fields by name.
fn fields(
    at: &Place,
    value: &Value,
    row: Option<&'static Context>,
    kind: ProgType,
) -> Result<Vec<u8>, EventError> {
    if value.is_string() {
        let bytes = at.hex(value)?;
        return match bytes.len() {
            ..=MOST_CONTEXT => Ok(bytes),
            len => Err(at.fault(format!("{len} bytes are more than any context has"))),
        };
    }
    let mut bytes = Vec::new();
    for (name, value) in at.object(value)? {
        let at = at.member(name);
        if let Some(place) = name.strip_prefix('@') {
            let (start, size) = place.split_once(':').unwrap_or((place, "8"));
            let place = start.parse::<usize>().ok().zip(size.parse::<usize>().ok());
            let (start, size) = place.ok_or_else(|| at.fault("expected @OFFSET:SIZE".into()))?;
            put(&at, &mut bytes, start, size, value)?;
        } else if let Some(field) =
            row.and_then(|row| row.fields.iter().find(|field| field.name == name))
        {
            if field.loads != Loads::Number {
                return Err(
                    at.fault("is a pointer: give what it leads to as data or socket".into())
                );
            }
            put(&at, &mut bytes, field.at as usize, field.size as usize, value)?;
        } else if let Some(start) = register(name, kind) {
            put(&at, &mut bytes, start, memory::WORD as usize, value)?;
        } else if row.is_none() && name == "args" {
            let words = at.numbers(value)?;
            for (index, word) in words.iter().enumerate().take(memory::MOST_ARGUMENTS as usize) {
                put(&at, &mut bytes, index * memory::WORD as usize, 8, &(*word).into())?;
            }
        } else if row.is_none() && name == "ret" {
            // Behind the arguments, which come first in the order of names.
            let end = bytes.len();
            put(&at, &mut bytes, end, memory::WORD as usize, value)?;
        } else {
            return Err(at.fault(unknown(row, kind)));
        }
    }
    Ok(bytes)
}

fn register(name: &str, kind: ProgType) -> Option<usize> {
    if !matches!(kind, ProgType::Kprobe | ProgType::PerfEvent) {
        return None;
    }
    let word = memory::WORD as usize;
    let sample = ["sample_period", "addr"].iter().position(|known| *known == name);
    let sample = sample.filter(|_| kind == ProgType::PerfEvent);
    let register = REGISTERS.iter().position(|known| *known == name);
    register.or(sample.map(|index| REGISTERS.len() + index)).map(|index| index * word)
}

fn unknown(row: Option<&'static Context>, kind: ProgType) -> String {
    let known: Vec<&str> = match row {
        Some(row) => row
            .fields
            .iter()
            .filter(|field| field.loads == Loads::Number)
            .map(|field| field.name)
            .collect(),
        None if register("ip", kind).is_some() => REGISTERS.to_vec(),
        None => vec!["args", "ret"],
    };
    format!("a context of {kind} has no such field; it has {}, and @OFFSET:SIZE", known.join(", "))
}

/// Puts a value into `size` bytes from `start` on.
fn put(
    at: &Place,
    bytes: &mut Vec<u8>,
    start: usize,
    size: usize,
    value: &Value,
) -> Result<(), EventError> {
    let end = start.checked_add(size).filter(|&end| end <= MOST_CONTEXT && size > 0);
    let end = end.ok_or_else(|| at.fault(format!("no context has {size} bytes at {start}")))?;
    let address = value.as_str().and_then(|text| text.parse::<IpAddr>().ok());
    let found = match (address, value) {
        (Some(IpAddr::V4(address)), _) if size == 4 => address.octets().to_vec(),
        (Some(IpAddr::V6(address)), _) if size == 16 => address.octets().to_vec(),
        (_, Value::Array(_)) => {
            let words = at.numbers(value)?;
            words.iter().flat_map(|word| (*word as u32).to_le_bytes()).collect()
        }
        (_, Value::String(text)) if size > 8 && !text.starts_with("0x") => at.hex(value)?,
        _ if size > 8 => {
            return Err(at.fault(format!("expected {size} bytes as hex, or a list of words")));
        }
        _ => {
            let number = at.number(value)?;
            let bits = 8 * size as u32;
            let negative = (number as i64) < 0 && (number as i64) >> (bits - 1) == -1;
            if bits < 64 && number >> bits != 0 && !negative {
                return Err(at.fault(format!("{number} has more than {bits} bits")));
            }
            number.to_le_bytes()[..size].to_vec()
        }
    };
    if found.len() > size {
        return Err(at.fault(format!("{} bytes are more than {size}", found.len())));
    }
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    bytes[start..start + found.len()].copy_from_slice(&found);
    Ok(())
}

fn captured(at: &Place, value: &Value) -> Result<Vec<(u64, Vec<u8>)>, EventError> {
    let mut all = Vec::new();
    for (index, value) in at.array(value)?.iter().enumerate() {
        let at = at.member(&index.to_string());
        let (mut address, mut bytes) = (None, None);
        for (name, value) in at.object(value)? {
            let at = at.member(name);
            match name.as_str() {
                "address" => address = Some(at.number(value)?),
                "bytes" => bytes = Some(at.hex(value)?),
                // With a zero behind it.
                "text" => bytes = Some([at.text(value)?.as_bytes(), &[0]].concat()),
                _ => return Err(at.fault("memory has address and bytes, or text".into())),
            }
        }
        let both = address.zip(bytes);
        all.push(both.ok_or_else(|| at.fault("lacks its address, or its bytes".into()))?);
    }
    Ok(all)
}

fn task(at: &Place, value: &Value) -> Result<EventTask, EventError> {
    let mut task = EventTask::default();
    let mut tgid = None;
    for (name, value) in at.object(value)? {
        let at = at.member(name);
        match name.as_str() {
            "pid" => task.pid = at.number32(value)?,
            "tgid" => tgid = Some(at.number32(value)?),
            "uid" => task.uid = at.number32(value)?,
            "gid" => task.gid = at.number32(value)?,
            "comm" => task.comm = at.text(value)?.into(),
            "cgroup" => task.cgroups = vec![at.number(value)?],
            "cgroups" => task.cgroups = at.numbers(value)?,
            "parent" => task.parent = Some(parent(&at, value)?),
            _ => {
                let known = "a task has pid, tgid, uid, gid, comm, cgroup, cgroups, parent";
                return Err(at.fault(known.into()));
            }
        }
    }
    task.tgid = tgid.unwrap_or(task.pid);
    Ok(task)
}

fn parent(at: &Place, value: &Value) -> Result<(u32, String), EventError> {
    let mut parent = (0, String::new());
    for (name, value) in at.object(value)? {
        let at = at.member(name);
        match name.as_str() {
            "pid" => parent.0 = at.number32(value)?,
            "comm" => parent.1 = at.text(value)?.into(),
            _ => return Err(at.fault("a parent has pid and comm".into())),
        }
    }
    Ok(parent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_as_it_was() {
        let record = EventRecord {
            prog_type: Some(ProgType::Tracepoint),
            attach: "tracepoint:syscalls:sys_enter_openat".into(),
            context: (0..64).collect(),
            data: vec![1, 2],
            socket: Some(vec![3; 8]),
            memory: vec![(u64::MAX, vec![0, 255]), (0, Vec::new())],
            time: Some(u64::MAX),
            cpu: Some(3),
            task: Some(EventTask {
                pid: 7,
                tgid: 6,
                uid: 5,
                gid: 4,
                comm: "a \"b\" \u{1}\u{e9}".into(),
                cgroups: vec![1, 9],
                parent: Some((1, "init".into())),
            }),
            stacks: [vec![1], vec![2, 3]],
            cookie: 8,
            function: 9,
        };
        let text = line(&record) + &line(&EventRecord { data: Vec::new(), ..record.clone() });
        let mut reader = EventReader::of_all_types(text.as_bytes());
        assert_eq!(reader.next_event(), Ok(Some(record)));
        assert!(matches!(reader.next_event(), Ok(Some(record)) if record.data.is_empty()));
        assert_eq!(reader.next_event(), Ok(None));
        let untyped = line(&EventRecord::default());
        let fault = EventReader::of_all_types(untyped.as_bytes()).next_event();
        assert_eq!(fault.expect_err("no type").to_string(), "line 1: lacks its type");
    }

    fn read(text: &str, kind: ProgType) -> Result<Option<EventRecord>, EventError> {
        EventReader::new(text.as_bytes(), kind).next_event()
    }

    #[test]
    fn fields_registers_and_arguments_have_their_places() {
        let kprobe = r#"{"version":1,"context":{"di":4660,"ip":"0xffffffff81000000"},
            "task":{"pid":7,"comm":"cat"},"memory":[{"address":16,"text":"hi"}],"cpu":1}"#;
        let found = read(&kprobe.replace('\n', " "), ProgType::Kprobe).expect("an event");
        let found = found.expect("one");
        assert_eq!(found.context[112..120], 4660u64.to_le_bytes());
        assert_eq!(found.context.len(), 17 * 8);
        assert_eq!(found.memory, [(16, b"hi\0".to_vec())]);
        assert_eq!(found.task.map(|task| (task.pid, task.tgid)), Some((7, 7)));
        let address = r#"{"context":{"user_ip4":"127.0.0.1","user_port":80}}"#;
        let found = read(address, ProgType::CgroupSockAddr).expect("an event").expect("one");
        assert_eq!(found.context[4..8], [127, 0, 0, 1]);
        let arguments = r#"{"context":{"args":[1,-1],"ret":5}}"#;
        let found = read(arguments, ProgType::Tracing).expect("an event").expect("one");
        assert_eq!(found.context[8..24], [u64::MAX.to_le_bytes(), 5u64.to_le_bytes()].concat());
    }

    #[test]
    fn what_is_wrong_is_named_by_line_and_field() {
        let fault =
            |text: &str| read(text, ProgType::CgroupSysctl).expect_err("no event").to_string();
        assert_eq!(
            fault("\n{\"context\":{\"wrong\":1}}"),
            "line 2, context.wrong: a context of cgroup_sysctl has no such field; it has write, \
             file_pos, and @OFFSET:SIZE"
        );
        assert_eq!(
            fault(r#"{"context":{"write":4294967296}}"#),
            "line 1, context.write: 4294967296 has more than 32 bits"
        );
        assert_eq!(
            fault(r#"{"version":2}"#),
            "line 1, version: 2 is none that is known; this is 1"
        );
        assert_eq!(
            fault(r#"{"type":"xdp"}"#),
            "line 1, type: is xdp, and the program is of type cgroup_sysctl"
        );
        assert!(fault("{").starts_with("line 1: EOF"));
        assert!(fault(r#"{"context":{"@70000:8":1}}"#).contains("no context has 8 bytes at 70000"));
        assert!(fault(r#"{"context":{"@8:0":1}}"#).contains("no context has 0 bytes"));
    }
}
