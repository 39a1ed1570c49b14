//! `skep btf show` and `skep btf dump` of what a kernel has, and the types of its objects, each
//! read once.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde_json::{Map as Members, Value as Json, json};
use skep::btf::{Btf, c::Printer, dump};
use skep::sys::{BtfInfo, Fd, Kernel, MapInfo, ObjectKind, ProgInfo};

use super::about::{Holder, holders};
use super::words::Words;
use super::{Session, Verb, list, pick, refused};
use crate::btf::json as json_form;
use crate::failure::{Failure, Outcome, Status};

pub const HELP: &str = "\
skep btf show|list [id N]
skep btf dump id N|prog PROG|map MAP [key|value|kv|all]|file FILE [format raw|c]
skep btf dump FILE [--format raw|c|json] [--base FILE]
skep btf pack [FILE] -o FILE [--for OBJECTS]
PROG: id N | name NAME | tag TAG | pinned FILE
MAP: id N | name NAME | pinned FILE
";

pub const VERBS: &[(&str, Verb)] = &[("show", show), ("list", show), ("dump", dump_of)];

fn show(session: &mut Session<'_>, words: &mut Words<'_>) -> Outcome {
    let known = Known::new(&session.kernel)?;
    list::show(session, words, known)
}

/// Who uses which types.
struct Known {
    progs: BTreeMap<u32, Vec<u32>>,
    maps: BTreeMap<u32, Vec<u32>>,
    holders: BTreeMap<u32, Vec<Holder>>,
}

impl Known {
    fn new(kernel: &Arc<dyn Kernel>) -> Result<Known, Failure> {
        let (mut progs, mut maps) =
            (BTreeMap::<_, Vec<u32>>::new(), BTreeMap::<_, Vec<u32>>::new());
        // What has gone since it was listed uses nothing any more.
        for id in pick::ids(kernel, ObjectKind::Prog)? {
            let fd = pick::by_id(kernel, ObjectKind::Prog, id);
            if let Ok(info) = fd.and_then(|fd| ProgInfo::brief(&**kernel, fd.raw())) {
                progs.entry(info.btf_id).or_default().push(id);
            }
        }
        for id in pick::ids(kernel, ObjectKind::Map)? {
            let fd = pick::by_id(kernel, ObjectKind::Map, id);
            if let Ok(info) = fd.and_then(|fd| MapInfo::query(&**kernel, fd.raw())) {
                maps.entry(info.btf_id).or_default().push(id);
            }
        }
        Ok(Known { progs, maps, holders: holders(ObjectKind::Btf) })
    }

    fn users(of: &BTreeMap<u32, Vec<u32>>, id: u32) -> &[u32] {
        of.get(&id).map_or(&[], Vec::as_slice)
    }
}

fn info(fd: &Fd) -> Result<BtfInfo, Failure> {
    BtfInfo::query(&**fd.kernel(), fd.raw()).map_err(|errno| refused("the BTF", errno))
}

impl list::Told for Known {
    const KIND: ObjectKind = ObjectKind::Btf;

    fn json(&mut self, fd: &Fd) -> Result<Json, Failure> {
        let info = info(fd)?;
        let mut members = Members::new();
        members.insert("id".into(), info.id.into());
        members.insert("size".into(), info.btf.len().into());
        members.insert("prog_ids".into(), json!(Known::users(&self.progs, info.id)));
        members.insert("map_ids".into(), json!(Known::users(&self.maps, info.id)));
        if let Some(holders) = self.holders.get(&info.id) {
            members.insert("pids".into(), super::prog::holders_json(holders));
        }
        members.insert("kernel".into(), (info.kernel_btf).into());
        if !info.name.is_empty() {
            members.insert("name".into(), info.name.into());
        }
        Ok(Json::Object(members))
    }

    fn plain(&mut self, fd: &Fd) -> Result<String, Failure> {
        let info = info(fd)?;
        let name = match (info.name.as_str(), info.kernel_btf) {
            ("", _) => "<anon>".to_owned(),
            (name, true) => format!("[{name}]"),
            (name, false) => name.to_owned(),
        };
        let mut text = format!("{}: name {name}  size {}B", info.id, info.btf.len());
        for (word, of) in [("prog_ids", &self.progs), ("map_ids", &self.maps)] {
            let ids: Vec<String> = Known::users(of, info.id).iter().map(u32::to_string).collect();
            if !ids.is_empty() {
                text.push_str(&format!("  {word} {}", ids.join(",")));
            }
        }
        text.push_str(&super::prog::pids(self.holders.get(&info.id)));
        text.push('\n');
        Ok(text)
    }
}

/// `dump id 7 format c`.
fn dump_of(session: &mut Session<'_>, words: &mut Words<'_>) -> Outcome {
    let kernel = session.kernel.clone();
    let mut types = Types::default();
    // The types that are asked for; none for all.
    let mut roots = Vec::new();
    let btf = if words.take("id") {
        let id = words.number("the id")?;
        let fd = pick::by_id(&kernel, ObjectKind::Btf, id);
        let fd = fd.map_err(|errno| refused(format!("BTF with ID {id}"), errno))?;
        drop(fd);
        types.of(&kernel, id)
    } else if words.take("prog") {
        let fd = pick::one(&kernel, ObjectKind::Prog, words)?;
        let info = ProgInfo::brief(&*kernel, fd.raw());
        let info = info.map_err(|errno| refused("the program", errno))?;
        types.of(&kernel, info.btf_id)
    } else if words.take("map") {
        let fd = pick::one(&kernel, ObjectKind::Map, words)?;
        let info = MapInfo::query(&*kernel, fd.raw());
        let info = info.map_err(|errno| refused("the map", errno))?;
        let (key, value) = (info.btf_key_type_id, info.btf_value_type_id);
        if words.take("key") {
            roots = vec![key];
        } else if words.take("value") {
            roots = vec![value];
        } else if !words.take("all") {
            words.take("kv");
            roots = vec![key, value];
        }
        types.of_map(&kernel, &info).map(|(btf, ..)| btf)
    } else {
        return Err(Failure::unusable("expected id, prog, map or file"));
    };
    let btf = btf.ok_or_else(|| Failure::refused("it has no types"))?;
    let c = words.take("format") && {
        let form = words.want("the format")?;
        match form {
            "c" => true,
            "raw" => false,
            other => return Err(Failure::unusable(format!("there is no format {other:?}"))),
        }
    };
    words.end()?;
    write(session, &btf, &roots, c)
}

fn write(session: &mut Session<'_>, btf: &Btf, roots: &[u32], c: bool) -> Outcome {
    match (c, session.json) {
        (true, true) => return Err(Failure::unusable("JSON is no C: leave one of them out")),
        (true, false) if roots.is_empty() => skep::btf::c::write_header(btf, &mut *session.out)?,
        (true, false) => {
            let mut printer = Printer::new(btf);
            for &id in roots {
                // Through names and pointers, to what there is to be defined.
                printer.define(btf.resolve_modifiers(id)?)?;
            }
            write!(session.out, "{}", printer.take())?;
        }
        (false, true) => json_form::write_some(btf, roots, &mut *session.out)?,
        (false, false) if roots.is_empty() => dump::write_raw(btf, &mut *session.out)?,
        (false, false) => dump::write_types(btf, roots, &mut *session.out)?,
    }
    Ok(Status::Done)
}

/// BTF by id.
#[derive(Default)]
pub struct Types {
    read: HashMap<u32, Option<Arc<Btf>>>,
    kernel: Option<Option<Arc<Btf>>>,
}

impl Types {
    /// The BTF of an id; `None` where it cannot be had.
    pub fn of(&mut self, kernel: &Arc<dyn Kernel>, id: u32) -> Option<Arc<Btf>> {
        let read = || {
            let fd = pick::by_id(kernel, ObjectKind::Btf, id).ok()?;
            let info = BtfInfo::query(&**kernel, fd.raw()).ok()?;
            Btf::parse(info.btf).ok().map(Arc::new)
        };
        self.read.entry(id).or_insert_with(read).clone()
    }

    /// Types of a map's keys and values, and their ids there: 0 for none.
    pub fn of_map(
        &mut self,
        kernel: &Arc<dyn Kernel>,
        info: &MapInfo,
    ) -> Option<(Arc<Btf>, u32, u32)> {
        if info.btf_vmlinux_value_type_id != 0 {
            let own = || skep::load::Target::of(&**kernel).kernel_btf().ok().cloned();
            let btf = self.kernel.get_or_insert_with(own).clone()?;
            return Some((btf, 0, info.btf_vmlinux_value_type_id));
        }
        if info.btf_value_type_id == 0 {
            return None;
        }
        let btf = self.of(kernel, info.btf_id)?;
        Some((btf, info.btf_key_type_id, info.btf_value_type_id))
    }
}
