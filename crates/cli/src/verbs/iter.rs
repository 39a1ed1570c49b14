//! `skep iter`: iterators as files.

use std::io::Read;
use std::path::{Path, PathBuf};

use skep::load::attach::{Iter, Link};
use skep::load::{Map, Options, Target, relocate};
use skep::sys::ObjectKind;

use super::words::Words;
use super::{Outcome, Session, Verb, pick, refused};
use crate::failure::{Failure, Status};
use crate::objects;
use crate::run::side;

pub const HELP: &str = "\
skep iter pin OBJECT FILE [map MAP]
skep iter show pinned FILE|id N          what it gives, read once
MAP: id N | name NAME | pinned FILE
";

pub const VERBS: &[(&str, Verb)] = &[("pin", pin), ("show", show)];

fn pin(session: &mut Session<'_>, words: &mut Words<'_>) -> Outcome {
    let file = PathBuf::from(words.want("the object")?);
    let path = words.want("the file to pin it as")?;
    let map = match words.take("map") {
        true => {
            let fd = pick::one(&session.kernel, ObjectKind::Map, words)?;
            Some(Map::from_fd(fd).map_err(|errno| refused("the map", errno))?)
        }
        false => None,
    };
    words.end()?;
    let mut object = objects::open_as(&file, skep::load::Loader::Libbpf)?;
    let is_iterator = |program: &skep::load::ProgramDef| {
        program.attach_type == Some(skep::abi::AttachType::TraceIter)
    };
    let first = object.programs.iter().find(|program| is_iterator(program));
    let Some(name) = first.map(|program| program.name.clone()) else {
        return Err(Failure::unusable(format!("{} has no iterator", object.file)));
    };
    object.select(|program| program.name == name);
    let target = Target::of(&*session.kernel);
    let linked = relocate(&object, &target)?;
    let (kernel, options) = (&session.kernel, Options::default());
    let (skep, _) = side::load_what_is_used(kernel, &linked, &target, &options)?;
    let program = skep.program(&name).ok_or_else(|| Failure::unusable("it did not load"))?;
    let hook = map.as_ref().map_or_else(Iter::new, Iter::over_map);
    program.attach(hook)?.pin(Path::new(path))?;
    session.done()
}

fn show(session: &mut Session<'_>, words: &mut Words<'_>) -> Outcome {
    let link = match words.take("pinned") {
        true => {
            let path = words.want("the path of the pin")?;
            Link::open_pinned(&session.kernel, Path::new(path))?
        }
        false if words.take("id") => Link::by_id(&session.kernel, words.number("the id")?)?,
        false => return Err(Failure::unusable("expected id or pinned")),
    };
    words.end()?;
    let mut pass = link.iterate()?;
    let mut room = vec![0; 64 << 10];
    loop {
        let failed = |error: std::io::Error| Failure::refused(format!("reading it: {error}"));
        match pass.read(&mut room) {
            Ok(0) => return Ok(Status::Done),
            Ok(len) => session.out.write_all(&room[..len])?,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(failed(error)),
        }
    }
}
