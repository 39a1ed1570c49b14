//! `skep struct_ops`: structures of operations that are registered.

use std::path::PathBuf;

use serde_json::{Value as Json, json};
use skep::load::{MapOrigin, Options, Target, relocate};
use skep::sys::{Command, MapDelete, MapInfo, ObjectKind};

use super::btf::Types;
use super::words::Words;
use super::{Outcome, Session, Verb, element, pick, refused};
use crate::failure::{Failure, Status};
use crate::objects;
use crate::run::side;

pub const HELP: &str = "\
skep struct_ops show|list [MAP]
skep struct_ops register OBJECT [DIR]    those of .struct_ops.link are pinned in DIR
skep struct_ops unregister MAP
MAP: id N | name NAME
";

pub const VERBS: &[(&str, Verb)] =
    &[("show", show), ("list", show), ("register", register), ("unregister", unregister)];

/// What stands in front of the kernel's name of a structure.
const PREFIX: &str = "bpf_struct_ops_";

/// The maps that stand for structures: those that are named, or all.
fn maps(session: &Session<'_>, words: &mut Words<'_>) -> Result<Vec<skep::sys::Fd>, Failure> {
    if !words.is_empty() {
        let found = pick::several(&session.kernel, ObjectKind::Map, words)?;
        words.end()?;
        return Ok(found);
    }
    let ids = pick::ids(&session.kernel, ObjectKind::Map)?;
    let open = |id| pick::by_id(&session.kernel, ObjectKind::Map, id).ok();
    Ok(ids.into_iter().filter_map(open).collect())
}

/// What the kernel says of a map that stands for a structure; `None` for other maps.
fn structure(fd: &skep::sys::Fd) -> Option<MapInfo> {
    let info = MapInfo::query(&**fd.kernel(), fd.raw()).ok()?;
    (element::kind(&info) == Some(skep::abi::MapType::StructOps)).then_some(info)
}

fn show(session: &mut Session<'_>, words: &mut Words<'_>) -> Outcome {
    let mut types = Types::default();
    let mut all = Vec::new();
    for fd in maps(session, words)? {
        let Some(info) = structure(&fd) else { continue };
        let name = pick::text(&info.name);
        let value = types.of_map(&session.kernel, &info);
        let kind = value.as_ref().and_then(|(btf, _, id)| btf.type_by_id(*id).ok());
        let kind = kind.map_or("", |kind| kind.name().strip_prefix(PREFIX).unwrap_or_default());
        match session.json {
            true => {
                all.push(json!({ "id": info.id, "name": name, "kernel_struct_ops": kind }));
            }
            false => writeln!(session.out, "{}: {name:<15} {kind:<32}", info.id)?,
        }
    }
    if session.json {
        session.print(&Json::Array(all))?;
    }
    Ok(Status::Done)
}

fn register(session: &mut Session<'_>, words: &mut Words<'_>) -> Outcome {
    let file = PathBuf::from(words.want("the object")?);
    let folder = words.next().map(PathBuf::from);
    words.end()?;
    let object = objects::open_as(&file, skep::load::Loader::Libbpf)?;
    let target = Target::of(&*session.kernel);
    let linked = relocate(&object, &target)?;
    let (kernel, options) = (&session.kernel, Options::default());
    let (skep, _) = side::load_what_is_used(kernel, &linked, &target, &options)?;
    let structures: Vec<(String, bool)> = skep
        .maps()
        .filter_map(|map| match &map.def().origin {
            MapOrigin::StructOps(section) => {
                Some((map.name().to_owned(), section.ends_with(".link")))
            }
            _ => None,
        })
        .collect();
    if structures.is_empty() {
        return Err(Failure::unusable(format!("{} has no structure of operations", object.file)));
    }
    for (name, has_link) in structures {
        let link = skep.register(&name)?;
        match (&folder, has_link) {
            (Some(folder), true) => link.pin(&folder.join(&name))?,
            (None, true) => {
                let message = format!("structure {name:?} is registered as long as its link is");
                return Err(
                    Failure::unusable(message).hint("name a folder of a bpffs to pin it in")
                );
            }
            (_, false) => link.keep(),
        }
        if !session.json {
            writeln!(session.out, "Registered {name}")?;
        }
    }
    session.done()
}

fn unregister(session: &mut Session<'_>, words: &mut Words<'_>) -> Outcome {
    if words.is_empty() {
        return Err(Failure::unusable("the map is missing"));
    }
    for fd in maps(session, words)? {
        let Some(info) = structure(&fd) else { continue };
        let key = 0u32.to_ne_bytes();
        let (map_fd, key) = (fd.raw() as u32, Some(key[..].into()));
        let delete = MapDelete { map_fd, key, ..MapDelete::default() };
        let deleted = session.kernel.bpf(&mut Command::MapDelete(delete));
        let name = pick::text(&info.name);
        deleted.map_err(|errno| refused(format!("can't unregister {name}"), errno))?;
        if !session.json {
            writeln!(session.out, "Unregistered {name} id {}", info.id)?;
        }
    }
    session.done()
}
