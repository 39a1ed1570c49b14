//! `skep map`: maps and their elements.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map as Members, Value as Json, json};
use skep::abi::{Errno, MapType, ProgType};
use skep::btf::Btf;
use skep::sys::{
    Command, Fd, MapCreate, MapDelete, MapElem, MapFreeze, MapInfo, MapNextKey, ObjectKind, Output,
};

use super::about::{Holder, fdinfo, holders};
use super::btf::Types;
use super::element::{self, Element, Parts, holds_maps, is_per_cpu};
use super::link::named;
use super::words::{self, Words};
use super::{Session, Verb, list, pick, refused, value, writer};
use crate::failure::{Failure, Outcome, Status};

pub const HELP: &str = "\
skep map show|list [MAP]
skep map create FILE type TYPE key SIZE value SIZE entries N name NAME [flags FLAGS]
         [inner_map MAP]
skep map dump MAP
skep map update MAP [key DATA] [value VALUE] [any|exist|noexist]
skep map lookup MAP [key DATA]
skep map getnext MAP [key DATA]
skep map delete MAP key DATA
skep map pin MAP FILE
skep map peek|pop|dequeue MAP
skep map push|enqueue MAP value VALUE
skep map freeze MAP
MAP: id N | name NAME | pinned FILE
DATA: bytes, in decimal or after 0x, or after the word hex
VALUE: DATA | MAP | PROG
";

pub const VERBS: &[(&str, Verb)] = &[
    ("show", show),
    ("list", show),
    ("dump", dump),
    ("update", update),
    ("lookup", lookup),
    ("getnext", getnext),
    ("delete", delete),
    ("pin", pin),
    ("create", create),
    ("peek", lookup),
    ("push", update),
    ("enqueue", update),
    ("pop", pop),
    ("dequeue", pop),
    ("freeze", freeze),
];

/// One map that words mean, and what the kernel says of it.
fn one(session: &Session<'_>, words: &mut Words<'_>) -> Result<(Fd, MapInfo), Failure> {
    let fd = pick::one(&session.kernel, ObjectKind::Map, words)?;
    let info = info(&fd)?;
    Ok((fd, info))
}

fn info(fd: &Fd) -> Result<MapInfo, Failure> {
    MapInfo::query(&**fd.kernel(), fd.raw()).map_err(|errno| refused("the map", errno))
}

fn show(session: &mut Session<'_>, words: &mut Words<'_>) -> Outcome {
    let known = Known::new(session);
    list::show(session, words, known)
}

impl list::Told for Known {
    const KIND: ObjectKind = ObjectKind::Map;

    fn json(&mut self, fd: &Fd) -> Result<Json, Failure> {
        Ok(Known::json(self, fd, &info(fd)?))
    }

    fn plain(&mut self, fd: &Fd) -> Result<String, Failure> {
        Ok(Known::plain(self, fd, &info(fd)?))
    }
}

/// What is known of maps beside what they say themselves.
struct Known {
    pins: BTreeMap<u32, Vec<String>>,
    holders: BTreeMap<u32, Vec<Holder>>,
}

impl Known {
    fn new(session: &Session<'_>) -> Known {
        let pins = match session.bpffs {
            true => pick::pins(&session.kernel, ObjectKind::Map),
            false => BTreeMap::new(),
        };
        Known { pins, holders: holders(ObjectKind::Map) }
    }

    fn json(&self, fd: &Fd, info: &MapInfo) -> Json {
        let mut members = Members::new();
        head_json(info, &mut members);
        let mut put = |name: &str, value: Json| {
            members.insert(name.into(), value);
        };
        if info.ifindex != 0 {
            put("dev", super::prog::device(info.ifindex, info.netns_dev, info.netns_ino));
        }
        put("bytes_key", info.key_size.into());
        put("bytes_value", info.value_size.into());
        put("max_entries", info.max_entries.into());
        if let Some(memlock) = fdinfo(fd, "memlock") {
            put("bytes_memlock", memlock.into());
        }
        if element::kind(info) == Some(MapType::ProgArray) {
            if let Some(kind) = fdinfo(fd, "owner_prog_type") {
                let kind = kind as u32;
                let name = ProgType::from_number(kind).map(ProgType::name);
                put("owner_prog_type", named(name, kind));
            }
            if let Some(jited) = fdinfo(fd, "owner_jited") {
                put("owner_jited", (jited != 0).into());
            }
        }
        put("frozen", fdinfo(fd, "frozen").unwrap_or(0).into());
        if info.btf_id != 0 {
            put("btf_id", info.btf_id.into());
        }
        if !self.pins.is_empty() {
            put("pinned", json!(self.pins.get(&info.id).map_or(&[][..], Vec::as_slice)));
        }
        if let Some(holders) = self.holders.get(&info.id) {
            put("pids", super::prog::holders_json(holders));
        }
        Json::Object(members)
    }

    fn plain(&self, fd: &Fd, info: &MapInfo) -> String {
        let mut text = head(info);
        text.push_str(&format!(
            "\tkey {}B  value {}B  max_entries {}",
            info.key_size, info.value_size, info.max_entries
        ));
        if let Some(memlock) = fdinfo(fd, "memlock") {
            text.push_str(&format!("  memlock {memlock}B"));
        }
        if element::kind(info) == Some(MapType::ProgArray) {
            let (kind, jited) = (fdinfo(fd, "owner_prog_type"), fdinfo(fd, "owner_jited"));
            if kind.is_some() || jited.is_some() {
                text.push_str("\n\t");
            }
            if let Some(kind) = kind {
                let name = ProgType::from_number(kind as u32);
                let name = name.map_or_else(|| kind.to_string(), |kind| kind.name().into());
                text.push_str(&format!("owner_prog_type {name}  "));
            }
            if let Some(jited) = jited {
                text.push_str(if jited != 0 { "owner jited" } else { "owner not jited" });
            }
        }
        for path in self.pins.get(&info.id).into_iter().flatten() {
            text.push_str(&format!("\n\tpinned {path}"));
        }
        let frozen = fdinfo(fd, "frozen").is_some_and(|frozen| frozen != 0);
        if info.btf_id != 0 || frozen {
            text.push_str("\n\t");
        }
        if info.btf_id != 0 {
            text.push_str(&format!("btf_id {}", info.btf_id));
        }
        if frozen {
            text.push_str(if info.btf_id != 0 { "  frozen" } else { "frozen" });
        }
        text.push_str(&super::prog::pids(self.holders.get(&info.id)));
        text.push('\n');
        text
    }
}

fn head_json(info: &MapInfo, members: &mut Members<String, Json>) {
    let kind = element::kind(info).map(MapType::name);
    members.insert("id".into(), info.id.into());
    members.insert("type".into(), named(kind, info.map_type));
    let name = pick::text(&info.name);
    if !name.is_empty() {
        members.insert("name".into(), name.into());
    }
    members.insert("flags".into(), info.map_flags.into());
}

fn head(info: &MapInfo) -> String {
    let kind = element::kind(info)
        .map_or_else(|| format!("type {}", info.map_type), |kind| kind.name().into());
    let name = pick::text(&info.name);
    let name = if name.is_empty() { name } else { format!("name {name}  ") };
    format!("{}: {kind}  {name}flags {:#x}\n", info.id, info.map_flags)
}

/// The element of a key; the value has room for all CPUs.
fn look_up(fd: &Fd, info: &MapInfo, key: &[u8], and_delete: bool) -> Result<Vec<u8>, Errno> {
    let mut value = vec![0; element::value_len(&**fd.kernel(), info)];
    let command = MapElem {
        map_fd: fd.raw() as u32,
        key: (!key.is_empty()).then(|| key.into()),
        value: value[..].as_mut().into(),
        ..MapElem::default()
    };
    let mut command = match and_delete {
        true => Command::MapLookupAndDelete(command),
        false => Command::MapLookup(command),
    };
    fd.kernel().bpf(&mut command)?;
    drop(command);
    Ok(value)
}

fn next_key(fd: &Fd, info: &MapInfo, key: Option<&[u8]>) -> Result<Vec<u8>, Errno> {
    let mut next = vec![0; info.key_size as usize];
    let mut command = Command::MapNextKey(MapNextKey {
        map_fd: fd.raw() as u32,
        key: key.map(Into::into),
        next_key: Output::Slice(&mut next),
        ..MapNextKey::default()
    });
    fd.kernel().bpf(&mut command)?;
    drop(command);
    Ok(next)
}

/// The types of a map's elements.
type KeyAndValue = Option<(Arc<Btf>, u32, u32)>;

fn dump(session: &mut Session<'_>, words: &mut Words<'_>) -> Outcome {
    let kernel = session.kernel.clone();
    let fds = pick::several(&kernel, ObjectKind::Map, words)?;
    words.end()?;
    let mut types = Types::default();
    let several = fds.len() > 1;
    let infos = fds.iter().map(info).collect::<Result<Vec<MapInfo>, Failure>>()?;
    let typed: Vec<KeyAndValue> = infos.iter().map(|info| types.of_map(&kernel, info)).collect();
    // For people, values with types are JSON as well, all of them or none.
    let as_json = session.json || typed.iter().any(Option::is_some);
    let pretty = session.pretty || !session.json;
    if several && as_json {
        write!(session.out, "[")?;
    }
    for (index, ((fd, info), typed)) in fds.iter().zip(&infos).zip(&typed).enumerate() {
        if !as_json {
            if several {
                write!(session.out, "{}{}", if index > 0 { "\n" } else { "" }, head(info))?;
            }
            plain_elements(session, fd, info)?;
            continue;
        }
        if index > 0 {
            write!(session.out, ",")?;
        }
        let mut depth = usize::from(several);
        if several {
            let mut members = Members::new();
            head_json(info, &mut members);
            let mut text = String::new();
            members.insert("elements".into(), json!([]));
            depth += 1;
            match pretty {
                true => writer::write(&Json::Object(members), 1, &mut text),
                false => text = Json::Object(members).to_string(),
            }
            // The elements go where the empty list stands.
            write!(session.out, "{}", text.rsplit_once("[]").map_or("", |(head, _)| head))?;
        }
        json_elements(session, (fd, info, typed), pretty, depth)?;
        if several {
            write!(session.out, "{}}}", if pretty { "\n    " } else { "" })?;
        }
    }
    if several && as_json {
        write!(session.out, "{}]", if pretty { "\n" } else { "" })?;
    }
    if as_json {
        writeln!(session.out)?;
    }
    Ok(Status::Done)
}

/// All keys, one after the other. Programs that change the map meanwhile may have some seen
/// twice or not at all; the walk ends all the same.
fn each_key(
    fd: &Fd,
    info: &MapInfo,
    see: &mut dyn FnMut(&[u8]) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut key: Option<Vec<u8>> = None;
    // A map that others write to may begin anew without end.
    for _ in 0..u64::from(info.max_entries).saturating_mul(2).max(16) {
        key = match next_key(fd, info, key.as_deref()) {
            Ok(next) => Some(next),
            Err(Errno::ENOENT) => return Ok(()),
            Err(errno) => return Err(refused("the next key", errno)),
        };
        see(key.as_deref().unwrap_or_default())?;
    }
    Ok(())
}

fn json_elements(
    session: &mut Session<'_>,
    (fd, info, typed): (&Fd, &MapInfo, &KeyAndValue),
    pretty: bool,
    depth: usize,
) -> Result<(), Failure> {
    write!(session.out, "[")?;
    let (mut is_first, out, json) = (true, &mut *session.out, session.json);
    each_key(fd, info, &mut |key| {
        let told = match look_up(fd, info, key, false) {
            Ok(value) if json => entry(info, key, &value, typed),
            Ok(value) => formatted(info, key, &value, typed, true),
            Err(errno) => lost(key, errno),
        };
        let mut text = String::new();
        match pretty {
            true => writer::write(&told, depth + 1, &mut text),
            false => text = told.to_string(),
        }
        write!(out, "{}{text}", if is_first { "" } else { "," })?;
        is_first = false;
        Ok(())
    })?;
    if pretty && !is_first {
        write!(out, "\n{}", "    ".repeat(depth))?;
    }
    write!(out, "]")?;
    Ok(())
}

fn plain_elements(session: &mut Session<'_>, fd: &Fd, info: &MapInfo) -> Result<(), Failure> {
    let (mut count, out) = (0u64, &mut *session.out);
    each_key(fd, info, &mut |key| {
        match look_up(fd, info, key, false) {
            Ok(value) => {
                write!(out, "{}", plain(info, key, &value))?;
                count += 1;
            }
            Err(errno) => write!(out, "{}", plain_lost(info, key, errno))?,
        }
        Ok(())
    })?;
    writeln!(out, "Found {count} element{}", if count == 1 { "" } else { "s" })?;
    Ok(())
}

fn hex_list(bytes: &[u8]) -> Json {
    bytes.iter().map(|byte| Json::from(format!("0x{byte:02x}"))).collect()
}

/// A value of each CPU.
fn by_cpu<'v>(info: &MapInfo, value: &'v [u8]) -> impl Iterator<Item = (usize, &'v [u8])> {
    let (step, size) = (element::round_up(info.value_size).max(8), info.value_size as usize);
    value.chunks(step).map(move |of| &of[..size.min(of.len())]).enumerate()
}

/// An element as bpftool's JSON has it.
fn entry(info: &MapInfo, key: &[u8], value: &[u8], typed: &KeyAndValue) -> Json {
    let mut members = Members::new();
    members.insert("key".into(), hex_list(key));
    if is_per_cpu(info) {
        let one = |(cpu, value)| json!({ "cpu": cpu, "value": hex_list(value) });
        members.insert("values".into(), by_cpu(info, value).map(one).collect());
    } else {
        members.insert("value".into(), hex_list(value));
    }
    if holds_maps(info) {
        let id = value.first_chunk().copied().map_or(0, u32::from_ne_bytes);
        members.insert("inner_map_id".into(), id.into());
    }
    if typed.is_some() {
        members.insert("formatted".into(), formatted(info, key, value, typed, false));
    }
    Json::Object(members)
}

/// An element by its types.
fn formatted(info: &MapInfo, key: &[u8], bytes: &[u8], typed: &KeyAndValue, plain: bool) -> Json {
    let Some((btf, key_type, value_type)) = typed else {
        return entry(info, key, bytes, typed);
    };
    let mut members = Members::new();
    if *key_type != 0 {
        members.insert("key".into(), value::json(btf, *key_type, key, plain));
    }
    if is_per_cpu(info) {
        let one =
            |(cpu, of)| json!({ "cpu": cpu, "value": value::json(btf, *value_type, of, plain) });
        members.insert("values".into(), by_cpu(info, bytes).map(one).collect());
    } else {
        members.insert("value".into(), value::json(btf, *value_type, bytes, plain));
    }
    Json::Object(members)
}

fn lost(key: &[u8], errno: Errno) -> Json {
    json!({ "key": hex_list(key), "value": { "error": errno.text().unwrap_or("Unknown error") } })
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    for (index, byte) in bytes.iter().enumerate() {
        // Sixteen on a line, and a gap in the middle.
        let gap = match index {
            0 => "",
            _ if index.is_multiple_of(16) => "\n",
            _ if index.is_multiple_of(8) => "  ",
            _ => " ",
        };
        text.push_str(&format!("{gap}{byte:02x}"));
    }
    text
}

/// An element for people.
fn plain(info: &MapInfo, key: &[u8], value: &[u8]) -> String {
    let mut text = String::new();
    if is_per_cpu(info) {
        if !key.is_empty() {
            text.push_str(&format!("key:\n{}\n", hex(key)));
        }
        for (cpu, of) in by_cpu(info, value) {
            let gap = if info.value_size > 16 { "\n" } else { " " };
            text.push_str(&format!("value (CPU {cpu:02}):{gap}{}\n", hex(of)));
        }
        return text;
    }
    let breaks = info.key_size > 16 || info.value_size > 16;
    let one_line = info.key_size + info.value_size <= 24 && !breaks;
    let gap = if breaks { "\n" } else { " " };
    if !key.is_empty() {
        text.push_str(&format!("key:{gap}{}{}", hex(key), if one_line { "  " } else { "\n" }));
    }
    if holds_maps(info) {
        let id = value.first_chunk().copied().map_or(0, u32::from_ne_bytes);
        text.push_str(&format!("inner_map_id:{gap}{id} "));
    } else if !value.is_empty() {
        text.push_str(&format!("value:{gap}{}", hex(value)));
    }
    text.push('\n');
    text
}

fn plain_lost(info: &MapInfo, key: &[u8], errno: Errno) -> String {
    let breaks = info.key_size > 16 || info.value_size > 16;
    let gap = if breaks { "\n" } else { " " };
    format!("key:{gap}{}  value:{gap}{}\n", hex(key), errno.text().unwrap_or("<error>"))
}

/// Prints an element that was asked for alone.
fn print(session: &mut Session<'_>, info: &MapInfo, key: &[u8], value: &[u8]) -> Outcome {
    let typed = Types::default().of_map(&session.kernel, info);
    if session.json {
        session.print(&entry(info, key, value, &typed))?;
    } else if typed.is_some() {
        let mut text = String::new();
        writer::write(&formatted(info, key, value, &typed, true), 0, &mut text);
        writeln!(session.out, "{text}")?;
    } else {
        write!(session.out, "{}", plain(info, key, value))?;
    }
    Ok(Status::Done)
}

fn lookup(session: &mut Session<'_>, words: &mut Words<'_>) -> Outcome {
    let (fd, info) = one(session, words)?;
    let parts = Parts { key: info.key_size > 0, value: false, flags: false };
    let Element { key, .. } = element::read(&session.kernel, &info, parts, words)?;
    let key = key.unwrap_or_default();
    match look_up(&fd, &info, &key, false) {
        Ok(value) => print(session, &info, &key, &value),
        Err(Errno::ENOENT) => not_found(session, &key),
        Err(errno) => Err(refused("lookup failed", errno)),
    }
}

fn not_found(session: &mut Session<'_>, key: &[u8]) -> Outcome {
    match session.json {
        true => session.print(&Json::Null)?,
        false if key.is_empty() => writeln!(session.out, "Error: empty map")?,
        false => writeln!(session.out, "key:\n{}\n\nNot found", hex(key))?,
    }
    Ok(Status::Refused)
}

fn pop(session: &mut Session<'_>, words: &mut Words<'_>) -> Outcome {
    let (fd, info) = one(session, words)?;
    words.end()?;
    match look_up(&fd, &info, &[], true) {
        Ok(value) => print(session, &info, &[], &value),
        Err(Errno::ENOENT) => not_found(session, &[]),
        Err(errno) => Err(refused("pop failed", errno)),
    }
}

fn update(session: &mut Session<'_>, words: &mut Words<'_>) -> Outcome {
    let (fd, info) = one(session, words)?;
    let parts = Parts { key: info.key_size > 0, value: true, flags: true };
    let Element { key, value, flags, held } = element::read(&session.kernel, &info, parts, words)?;
    let mut value = value.unwrap_or_default();
    let command = MapElem {
        map_fd: fd.raw() as u32,
        key: key.as_deref().map(Into::into),
        value: value[..].as_mut().into(),
        flags,
        ..MapElem::default()
    };
    let updated = session.kernel.bpf(&mut Command::MapUpdate(command));
    updated.map_err(|errno| refused("update failed", errno))?;
    drop(held);
    session.done()
}

fn delete(session: &mut Session<'_>, words: &mut Words<'_>) -> Outcome {
    let (fd, info) = one(session, words)?;
    let parts = Parts { key: true, value: false, flags: false };
    let Element { key, .. } = element::read(&session.kernel, &info, parts, words)?;
    let (map_fd, key) = (fd.raw() as u32, key.as_deref().map(Into::into));
    let command = MapDelete { map_fd, key, ..MapDelete::default() };
    let deleted = session.kernel.bpf(&mut Command::MapDelete(command));
    deleted.map_err(|errno| refused("delete failed", errno))?;
    session.done()
}

fn getnext(session: &mut Session<'_>, words: &mut Words<'_>) -> Outcome {
    let (fd, info) = one(session, words)?;
    let key = match words.is_empty() {
        true => None,
        false => {
            let parts = Parts { key: true, value: false, flags: false };
            element::read(&session.kernel, &info, parts, words)?.key
        }
    };
    let next = next_key(&fd, &info, key.as_deref());
    let next = next.map_err(|errno| refused("can't get next key", errno))?;
    if session.json {
        let key = key.as_deref().map_or(Json::Null, hex_list);
        session.print(&json!({ "key": key, "next_key": hex_list(&next) }))?;
        return Ok(Status::Done);
    }
    match key {
        Some(key) => writeln!(session.out, "key:\n{}", hex(&key))?,
        None => writeln!(session.out, "key: None")?,
    }
    writeln!(session.out, "next key:\n{}", hex(&next))?;
    Ok(Status::Done)
}

fn pin(session: &mut Session<'_>, words: &mut Words<'_>) -> Outcome {
    let (fd, _) = one(session, words)?;
    let path = words.want("the file to pin it as")?;
    words.end()?;
    super::prog::pin_fd(&fd, path)?;
    session.done()
}

fn freeze(session: &mut Session<'_>, words: &mut Words<'_>) -> Outcome {
    let (fd, _) = one(session, words)?;
    words.end()?;
    let freeze = MapFreeze { map_fd: fd.raw() as u32, ..MapFreeze::default() };
    let frozen = session.kernel.bpf(&mut Command::MapFreeze(freeze));
    frozen.map_err(|errno| refused("failed to freeze the map", errno))?;
    session.done()
}

fn create(session: &mut Session<'_>, words: &mut Words<'_>) -> Outcome {
    let path = words.want("the file to pin the map as")?;
    let mut map = MapCreate::default();
    let mut inner = None;
    while let Some(word) = words.next() {
        if words::is_prefix(word, "type") {
            let name = words.want("the type")?;
            let kind = MapType::from_name(name).map(|kind| kind as u32);
            let kind = kind.or_else(|| words::number(name));
            map.map_type =
                kind.ok_or_else(|| Failure::unusable(format!("there is no map type {name:?}")))?;
        } else if words::is_prefix(word, "name") {
            let name = words.want("the name")?;
            for (to, from) in map.map_name[..15].iter_mut().zip(name.bytes()) {
                *to = from;
            }
        } else if words::is_prefix(word, "key") {
            map.key_size = words.number("the key's size")?;
        } else if words::is_prefix(word, "value") {
            map.value_size = words.number("the value's size")?;
        } else if words::is_prefix(word, "entries") {
            map.max_entries = words.number("the most entries")?;
        } else if words::is_prefix(word, "flags") {
            map.map_flags = words.number("the flags")?;
        } else if words::is_prefix(word, "inner_map") {
            let fd = pick::one(&session.kernel, ObjectKind::Map, words)?;
            map.inner_map_fd = fd.raw() as u32;
            inner = Some(fd);
        } else {
            return Err(Failure::unusable(format!("there is no place for {word:?}")));
        }
    }
    if map.map_name[0] == 0 {
        return Err(Failure::unusable("the map's name is missing"));
    }
    let made = Fd::open(&session.kernel, &mut Command::MapCreate(map));
    let fd = made.map_err(|errno| refused("map create failed", errno))?;
    drop(inner);
    super::prog::pin_fd(&fd, path)?;
    session.done()
}
