//! Rows, one for each event: left out or shown, a column for each field, or counted.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::{self, Write};

use serde_json::{Map, Value};
use skep::lang::trace::output::series::strftime;

use super::flags::{Filter, Given};
use super::shape::{Column, How, Shape};
use super::table::Tool;
use super::values::{clock, now, number};
use crate::terminal::clean;

/// An event: its fields by their names.
type Event = Map<String, Value>;

/// What rows know of those before them.
#[derive(Debug, Default)]
pub struct Rows {
    /// When the first event was.
    first: Option<i64>,
    /// Arguments that came before the event that they belong to, by thread.
    words: HashMap<i64, Vec<Value>>,
    /// Rows that are counted, not shown.
    counted: BTreeMap<Vec<String>, u64>,
    /// Rows that are shown once.
    seen: HashSet<(i64, i64)>,
}

/// So many rows at most are remembered; more would be somebody's way to take all memory.
const MOST: usize = 1 << 20;

/// Writes the line of titles.
pub fn header(
    columns: &[Column],
    banner: &str,
    given: &Given,
    out: &mut dyn Write,
) -> io::Result<()> {
    if !banner.is_empty() && !given.has("csv") {
        writeln!(out, "{banner}")?;
    }
    if given.has("count") {
        return Ok(());
    }
    let titles: Vec<String> = shown(columns, given).map(|column| column.title.to_owned()).collect();
    write_row(columns, given, &titles, out)
}

fn shown<'a>(columns: &'a [Column], given: &'a Given) -> impl Iterator<Item = &'a Column> {
    columns.iter().filter(|column| column.when.is_none_or(|flag| given.has(flag)))
}

fn write_row(
    columns: &[Column],
    given: &Given,
    cells: &[String],
    out: &mut dyn Write,
) -> io::Result<()> {
    if given.has("csv") {
        return writeln!(out, "{}", cells.join(","));
    }
    let mut line = String::new();
    for (column, cell) in shown(columns, given).zip(cells) {
        let width = column.width;
        let cell: String = match column.cut {
            true => cell.chars().take(width).collect(),
            false => cell.clone(),
        };
        match column.right {
            true => line += &format!("{cell:>width$}"),
            false => line += &format!("{cell:width$}"),
        }
        if column.gap {
            line.push(' ');
        }
    }
    writeln!(out, "{}", line.trim_end())
}

impl Rows {
    /// An event comes.
    pub fn row(
        &mut self,
        tool: &Tool,
        given: &Given,
        mut event: Event,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let Shape::Rows { columns, .. } = tool.shape else { return Ok(()) };
        if let Some(word) = event.remove("word") {
            let words = self.words.entry(number(event.get("thread"))).or_default();
            words.push(word);
            return Ok(());
        }
        if columns.iter().any(|column| column.how == How::Arguments) {
            self.arguments(&mut event);
        }
        if !self.is_wanted(given, &event) {
            return Ok(());
        }
        if given.json {
            return writeln!(out, "{}", Value::Object(event));
        }
        let at = number(event.get("ns"));
        let since = at - *self.first.get_or_insert(at);
        if given.has("count") {
            let key = ["saddr", "sport", "daddr", "dport"].map(|field| plain(event.get(field)));
            if self.counted.len() < MOST || self.counted.contains_key(&key[..]) {
                *self.counted.entry(key.to_vec()).or_default() += 1;
            }
            return Ok(());
        }
        let cell = |column: &Column| clean(&cell(column, &event, since, given)).into_owned();
        let cells: Vec<String> = shown(columns, given).map(cell).collect();
        write_row(columns, given, &cells, out)
    }

    /// Puts a program's arguments together.
    fn arguments(&mut self, event: &mut Event) {
        let before = self.words.remove(&number(event.get("tid")));
        let words = match (event.remove("argv"), before) {
            (Some(Value::Array(bytes)), _) => {
                let length = usize::try_from(number(event.get("length"))).unwrap_or(0);
                let bytes = bytes.iter().take(length).map(|byte| number(Some(byte)) as u8);
                let bytes: Vec<u8> = bytes.collect();
                let bytes = bytes.strip_suffix(b"\0").unwrap_or(&bytes);
                let word = |word: &[u8]| Value::from(String::from_utf8_lossy(word).into_owned());
                bytes.split(|byte| *byte == 0).map(word).collect()
            }
            (_, before) => before.unwrap_or_default(),
        };
        event.remove("length");
        event.insert("args".into(), Value::Array(words));
    }

    fn is_wanted(&mut self, given: &Given, event: &Event) -> bool {
        let holds = |filter: &Filter| match filter {
            Filter::Equal(field, wanted) => number(event.get(*field)) == *wanted,
            Filter::Contains(field, text) => match event.get(*field) {
                Some(Value::Array(words)) => {
                    words.iter().any(|word| word.as_str().is_some_and(|word| word.contains(text)))
                }
                value => plain(value).contains(text.as_str()),
            },
        };
        let ip = number(event.get("ip"));
        let family = match (given.has("ipv4"), given.has("ipv6")) {
            (true, false) => ip == 4,
            (false, true) => ip == 6,
            _ => true,
        };
        let (local, remote) = (number(event.get("sport")), number(event.get("dport")));
        let ports = given.lists("port", remote)
            && given.lists("remoteport", remote)
            && (!given.has("localport") || given.lists("localport", local));
        let once = !given.has("unique")
            || (self.seen.len() < MOST
                && self.seen.insert((number(event.get("pid")), number(event.get("cap")))));
        given.filters.iter().all(holds) && family && ports && once
    }

    /// The rows that were counted.
    pub fn finish(&mut self, tool: &Tool, given: &Given, out: &mut dyn Write) -> io::Result<()> {
        if !given.has("count") || given.json {
            return Ok(());
        }
        let mut counted: Vec<(Vec<String>, u64)> =
            std::mem::take(&mut self.counted).into_iter().collect();
        if tool.name == "tcpretrans" {
            writeln!(out, "\n{:25} {:25} {:10}", "LADDR:LPORT", "RADDR:RPORT", "RETRANSMITS")?;
            for (key, count) in counted {
                let (local, remote) =
                    (format!("{}:{}", key[0], key[1]), format!("{}:{}", key[2], key[3]));
                writeln!(out, "{local:20} <-> {remote:20} {count:10}")?;
            }
            return Ok(());
        }
        // Each connection has a local port of its own, which is not told apart here.
        let mut sums: BTreeMap<[String; 3], u64> = BTreeMap::new();
        for (key, count) in counted.drain(..) {
            *sums.entry([key[0].clone(), key[2].clone(), key[3].clone()]).or_default() += count;
        }
        let mut sums: Vec<([String; 3], u64)> = sums.into_iter().collect();
        sums.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        writeln!(out, "\n{:25} {:25} {:20} {:10}", "LADDR", "RADDR", "RPORT", "CONNECTS")?;
        for ([local, remote, port], count) in sums {
            writeln!(out, "{local:25} {remote:25} {port:20} {count}")?;
        }
        Ok(())
    }
}

/// A field as it is.
fn plain(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::from("-"),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// What stands in a column.
fn cell(column: &Column, event: &Event, since: i64, given: &Given) -> String {
    let field = event.get(column.field);
    let of = number(field);
    match column.how {
        How::Plain => plain(field),
        How::Clock => clock(),
        How::Date => strftime("%Y-%m-%d %H:%M:%S.%f", now()),
        How::Since(digits) => format!("{:.*}", digits, since as f64 / 1e9),
        How::Milliseconds => format!("{:.2}", of as f64 / 1e6),
        How::Kilobytes => (of / 1024).to_string(),
        How::Descriptor => of.max(-1).to_string(),
        How::Errno => (-of.min(0)).to_string(),
        How::Octal(digits) => format!("{of:0digits$o}"),
        How::OpenMode => {
            /// Those that make a file, and those that make one without a name.
            const MAKES: i64 = 0o100 | 0o20_000_000;
            match number(event.get("flags")) & MAKES {
                0 => "n/a".into(),
                _ => format!("{of:04o}"),
            }
        }
        How::Arguments => arguments(field, given),
        How::Operation => operation(of),
        How::Capability => capability(of),
        How::Endpoint(port) => format!("{}:{}", plain(field), number(event.get(port))),
        How::Arrow => format!("{}>", plain(field)),
        How::TcpState => tcp_state(of),
        How::File => match (field, event.get("inode")) {
            (None, Some(inode)) => format!("inode {inode}"),
            _ => plain(field),
        },
        How::Alert => {
            let source = plain(event.get("source"));
            format!(" DDOS Attack => nb of packets up to now :  {of} from {source}")
        }
    }
}

fn arguments(field: Option<&Value>, given: &Given) -> String {
    let words = field.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let most = given.number("max-args").and_then(|most| usize::try_from(most).ok()).unwrap_or(20);
    let word = |word: &Value| {
        let word = word.as_str().unwrap_or_default();
        match given.has("quote") {
            true => format!("\"{}\"", word.replace('"', "\\\"")),
            false => word.replace('\n', "\\n"),
        }
    };
    let mut shown: Vec<String> = words.iter().take(most).map(word).collect();
    if words.len() > most {
        shown.push("...".into());
    }
    shown.join(" ")
}

/// What a request does, by the operation in its flags' low byte.
fn operation(flags: i64) -> String {
    let letter = match flags & 0xff {
        0 => "R",
        1 => "W",
        2 => "F",
        3 => "D",
        _ => "?",
    };
    letter.into()
}

/// States of TCP by their numbers, as `include/net/tcp_states.h` has them.
const TCP_STATES: [&str; 13] = [
    "?",
    "ESTABLISHED",
    "SYN_SENT",
    "SYN_RECV",
    "FIN_WAIT1",
    "FIN_WAIT2",
    "TIME_WAIT",
    "CLOSE",
    "CLOSE_WAIT",
    "LAST_ACK",
    "LISTEN",
    "CLOSING",
    "NEW_SYN_RECV",
];

fn tcp_state(number: i64) -> String {
    let name = usize::try_from(number).ok().and_then(|at| TCP_STATES.get(at));
    name.map_or_else(|| number.to_string(), |name| (*name).to_owned())
}

/// Capabilities by their numbers, as `capabilities(7)` lists them.
const CAPABILITIES: [&str; 41] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
];

fn capability(number: i64) -> String {
    let name = usize::try_from(number).ok().and_then(|at| CAPABILITIES.get(at));
    name.copied().unwrap_or("?").to_owned()
}
