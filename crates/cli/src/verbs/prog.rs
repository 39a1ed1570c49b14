//! `skep prog`: programs of a kernel.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Map as Members, Value as Json, json};
use skep::abi::{AttachType, Errno, ProgType, SectionDef};
use skep::btf::{Btf, Type};
use skep::load::attach::auto::{self, Found, Places};
use skep::load::{Object, Options, Skep, Target, relocate};
use skep::sys::{Command, Fd, ObjPin, ObjectKind, Output, ProgAttach, ProgCode, ProgInfo, TestRun};

use super::about::{self, Holder, fdinfo, holders};
use super::btf::Types;
use super::words::{self, Words};
use super::{Session, Verb, list, pick, refused};
use crate::failure::{Failure, Outcome, Status};
use crate::run::side;
use crate::{files, objects, output};

pub const HELP: &str = "\
skep prog show|list [PROG]
skep prog dump xlated PROG [opcodes] [file FILE]
skep prog dump jited PROG [opcodes] [file FILE]
skep prog pin PROG FILE
skep prog load|loadall OBJECT PATH [type TYPE] [map name NAME MAP] [pinmaps DIR] [autoattach]
skep prog run PROG [data_in FILE] [data_out FILE] [ctx_in FILE] [ctx_out FILE] [repeat N]
skep prog attach PROG ATTACH_TYPE [MAP]
skep prog detach PROG ATTACH_TYPE [MAP]
PROG: id N | name NAME | tag TAG | pinned FILE
MAP: id N | name NAME | pinned FILE
ATTACH_TYPE: sk_msg_verdict | sk_skb_verdict | sk_skb_stream_verdict | sk_skb_stream_parser |
             flow_dissector
";

pub const VERBS: &[(&str, Verb)] = &[
    ("show", show),
    ("list", show),
    ("dump", dump),
    ("pin", pin),
    ("load", load),
    ("loadall", load_all),
    ("attach", attach),
    ("detach", detach),
    ("run", test_run),
];

/// The tag, as it is shown.
pub fn tag(info: &ProgInfo) -> String {
    info.tag.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `\n\tpids name(12),other(13)`, or nothing.
pub fn pids(holders: Option<&Vec<Holder>>) -> String {
    let one = |holder: &Holder| format!("{}({})", holder.comm, holder.pid);
    match holders {
        Some(holders) => {
            let all: Vec<String> = holders.iter().map(one).collect();
            format!("\n\tpids {}", all.join(", "))
        }
        None => String::new(),
    }
}

/// The same for JSON.
pub fn holders_json(holders: &[Holder]) -> Json {
    holders.iter().map(|of| json!({ "pid": of.pid, "comm": of.comm })).collect()
}

/// The device that an object is bound to.
pub fn device(ifindex: u32, netns_dev: u64, netns_ino: u64) -> Json {
    json!({ "ifindex": ifindex, "ns_dev": netns_dev, "ns_inode": netns_ino })
}

/// Pins what is behind an fd.
///
/// # Errors
/// The path is in no bpffs, or taken.
pub fn pin_fd(fd: &Fd, path: &str) -> Result<(), Failure> {
    let bytes = [path.as_bytes(), &[0]].concat();
    let pin = ObjPin {
        pathname: Some((&bytes[..]).into()),
        bpf_fd: fd.raw() as u32,
        ..ObjPin::default()
    };
    fd.kernel().bpf(&mut Command::ObjPin(pin)).map(drop).map_err(|errno| {
        let failure = refused(format!("{path} cannot be pinned"), errno);
        match errno {
            Errno::ENOENT | Errno::EPERM => {
                failure.hint("pins are files of a bpffs: mount -t bpf bpf /sys/fs/bpf")
            }
            _ => failure,
        }
    })
}

fn show(session: &mut Session<'_>, words: &mut Words<'_>) -> Outcome {
    let known = Known::new(session);
    list::show(session, words, known)
}

impl list::Told for Known {
    const KIND: ObjectKind = ObjectKind::Prog;

    fn json(&mut self, fd: &Fd) -> Result<Json, Failure> {
        Ok(Known::json(self, fd, &info(fd)?))
    }

    fn plain(&mut self, fd: &Fd) -> Result<String, Failure> {
        Ok(Known::plain(self, fd, &info(fd)?))
    }
}

fn info(fd: &Fd) -> Result<ProgInfo, Failure> {
    ProgInfo::brief(&**fd.kernel(), fd.raw()).map_err(|errno| refused("the program", errno))
}

/// What is known of programs beside what they say themselves.
struct Known {
    pins: BTreeMap<u32, Vec<String>>,
    holders: BTreeMap<u32, Vec<Holder>>,
    names: Names,
}

/// The names of programs in full: a kernel keeps 15 bytes of one, the types have all of it.
#[derive(Default)]
pub struct Names {
    types: Types,
}

impl Names {
    /// The name of the program behind an fd.
    pub fn of(&mut self, fd: &Fd, info: &ProgInfo) -> String {
        let short = pick::text(&info.name);
        if short.len() < 15 || info.btf_id == 0 || info.func_count == 0 {
            return short;
        }
        let mut long = || {
            let code = ProgCode::query(&**fd.kernel(), fd.raw()).ok()?;
            let id = code.func_info.get(4..8)?.first_chunk().copied().map(u32::from_ne_bytes)?;
            let btf = self.types.of(fd.kernel(), info.btf_id)?;
            function_name(&btf, id)
        };
        long().unwrap_or(short)
    }
}

impl Known {
    fn new(session: &Session<'_>) -> Known {
        let pins = match session.bpffs {
            true => pick::pins(&session.kernel, ObjectKind::Prog),
            false => BTreeMap::new(),
        };
        Known { pins, holders: holders(ObjectKind::Prog), names: Names::default() }
    }

    fn json(&mut self, fd: &Fd, info: &ProgInfo) -> Json {
        let name = self.names.of(fd, info);
        let mut members = Members::new();
        let mut put = |name: &str, value: Json| {
            members.insert(name.into(), value);
        };
        put("id", info.id.into());
        let kind = ProgType::from_number(info.prog_type).map(ProgType::name);
        put("type", super::link::named(kind, info.prog_type));
        if !name.is_empty() {
            put("name", name.into());
        }
        put("tag", tag(info).into());
        put("gpl_compatible", info.gpl_compatible.into());
        if info.run_time_ns > 0 {
            put("run_time_ns", info.run_time_ns.into());
            put("run_cnt", info.run_cnt.into());
        }
        if info.recursion_misses > 0 {
            put("recursion_misses", info.recursion_misses.into());
        }
        if info.ifindex != 0 {
            put("dev", device(info.ifindex, info.netns_dev, info.netns_ino));
        }
        if info.load_time > 0 {
            put("loaded_at", about::wall_clock(info.load_time).into());
            put("uid", info.created_by_uid.into());
        }
        put("orphaned", false.into());
        put("bytes_xlated", info.xlated_prog_len.into());
        put("jited", (info.jited_prog_len > 0).into());
        if info.jited_prog_len > 0 {
            put("bytes_jited", info.jited_prog_len.into());
        }
        if let Some(memlock) = fdinfo(fd, "memlock") {
            put("bytes_memlock", memlock.into());
        }
        if !info.map_ids.is_empty() {
            put("map_ids", json!(info.map_ids));
        }
        if info.btf_id != 0 {
            put("btf_id", info.btf_id.into());
        }
        if !self.pins.is_empty() {
            put("pinned", json!(self.pins.get(&info.id).map_or(&[][..], Vec::as_slice)));
        }
        if let Some(holders) = self.holders.get(&info.id) {
            put("pids", holders_json(holders));
        }
        Json::Object(members)
    }

    fn plain(&mut self, fd: &Fd, info: &ProgInfo) -> String {
        let kind = match ProgType::from_number(info.prog_type) {
            Some(kind) => kind.name().to_owned(),
            None => format!("type {}", info.prog_type),
        };
        let name = self.names.of(fd, info);
        let name = if name.is_empty() { name } else { format!("name {name}  ") };
        let mut text = format!("{}: {kind}  {name}tag {}", info.id, tag(info));
        if info.gpl_compatible {
            text.push_str("  gpl");
        }
        if info.run_time_ns > 0 {
            let (time, count) = (info.run_time_ns, info.run_cnt);
            text.push_str(&format!(" run_time_ns {time} run_cnt {count}"));
        }
        if info.recursion_misses > 0 {
            text.push_str(&format!(" recursion_misses {}", info.recursion_misses));
        }
        if info.load_time > 0 {
            let date = about::date(about::wall_clock(info.load_time));
            text.push_str(&format!("\n\tloaded_at {date}  uid {}", info.created_by_uid));
        }
        text.push_str(&format!("\n\txlated {}B", info.xlated_prog_len));
        match info.jited_prog_len {
            0 => text.push_str("  not jited"),
            len => text.push_str(&format!("  jited {len}B")),
        }
        if let Some(memlock) = fdinfo(fd, "memlock") {
            text.push_str(&format!("  memlock {memlock}B"));
        }
        if !info.map_ids.is_empty() {
            let ids: Vec<String> = info.map_ids.iter().map(u32::to_string).collect();
            text.push_str(&format!("  map_ids {}", ids.join(",")));
        }
        for path in self.pins.get(&info.id).into_iter().flatten() {
            text.push_str(&format!("\n\tpinned {path}"));
        }
        if info.btf_id != 0 {
            text.push_str(&format!("\n\tbtf_id {}", info.btf_id));
        }
        text.push_str(&pids(self.holders.get(&info.id)));
        text.push('\n');
        text
    }
}

fn function_name(btf: &Btf, id: u32) -> Option<String> {
    match btf.type_by_id(id).ok()? {
        Type::Func { name, .. } => Some(name.to_owned()),
        _ => None,
    }
}

fn pin(session: &mut Session<'_>, words: &mut Words<'_>) -> Outcome {
    let fd = pick::one(&session.kernel, ObjectKind::Prog, words)?;
    let path = words.want("the file to pin it as")?;
    words.end()?;
    pin_fd(&fd, path)?;
    session.done()
}

fn dump(session: &mut Session<'_>, words: &mut Words<'_>) -> Outcome {
    let jited = match words.next() {
        Some(word) if words::is_prefix(word, "xlated") => false,
        Some(word) if words::is_prefix(word, "jited") => true,
        other => {
            let got = other.unwrap_or("nothing");
            return Err(Failure::unusable(format!("expected xlated or jited, got {got:?}")));
        }
    };
    let fd = pick::one(&session.kernel, ObjectKind::Prog, words)?;
    let (mut opcodes, mut file) = (false, None);
    while let Some(word) = words.next() {
        if words::is_prefix(word, "opcodes") {
            opcodes = true;
        } else if words::is_prefix(word, "file") {
            file = Some(PathBuf::from(words.want("the file")?));
        } else {
            return Err(Failure::unusable(format!("there is no place for {word:?}")));
        }
    }
    let code = ProgCode::query(&*session.kernel, fd.raw());
    let code = code.map_err(|errno| refused("the program", errno))?;
    let bytes = if jited { &code.jited } else { &code.xlated };
    if bytes.is_empty() {
        let failure = Failure::refused("there are no instructions to be read");
        return Err(failure.hint(
            "the kernel shows them to who holds CAP_BPF; of programs that \
                                 are interpreted there is no machine code",
        ));
    }
    if let Some(file) = file {
        output::write(&file, &[], bytes)?;
        return session.done();
    }
    let info = info(&fd)?;
    let names = |index: usize| {
        let id = code.func_info.get(index * 8 + 4..)?.first_chunk().copied();
        let btf = Types::default().of(&session.kernel, info.btf_id)?;
        function_name(&btf, u32::from_ne_bytes(id?))
    };
    match jited {
        true => super::code::machine(session.out, session.json, opcodes, &code, &names)?,
        false => super::code::instructions(session.out, session.json, opcodes, &code, &names)?,
    }
    Ok(Status::Done)
}

fn load(session: &mut Session<'_>, words: &mut Words<'_>) -> Outcome {
    load_and_pin(session, words, false)
}

fn load_all(session: &mut Session<'_>, words: &mut Words<'_>) -> Outcome {
    load_and_pin(session, words, true)
}

fn load_and_pin(session: &mut Session<'_>, words: &mut Words<'_>, all: bool) -> Outcome {
    let file = PathBuf::from(words.want("the object")?);
    let path = words.want("where to pin")?;
    let mut object = objects::open_as(&file, skep::load::Loader::Libbpf)?;
    let (mut pin_maps, mut attaches) = (None, false);
    while let Some(word) = words.next() {
        if words::is_prefix(word, "type") {
            set_type(&mut object, words.want("the type")?)?;
        } else if words::is_prefix(word, "pinmaps") {
            pin_maps = Some(PathBuf::from(words.want("the folder of maps")?));
        } else if words::is_prefix(word, "autoattach") {
            attaches = true;
        } else {
            return Err(Failure::unusable(format!("there is no place for {word:?}")));
        }
    }
    if !all {
        let first = object.programs.first().map(|program| program.name.clone());
        let Some(first) = first else {
            return Err(Failure::unusable(format!("{} has no program", object.file)));
        };
        object.select(|program| program.name == first);
    }
    let target = Target::of(&*session.kernel);
    let linked = relocate(&object, &target)?;
    let options = Options::default();
    let (skep, _) = side::load_what_is_used(&session.kernel, &linked, &target, &options)?;
    let mut made = Made::default();
    if let Some(folder) = &pin_maps {
        made.folder(folder)?;
        for map in skep.maps() {
            let name = map.name().replace('.', "_");
            made.pin(map.fd(), &folder.join(name))?;
        }
    }
    pin_programs(&skep, Path::new(path), all, attaches, &mut made)?;
    made.keep();
    session.done()
}

fn set_type(object: &mut Object, name: &str) -> Result<(), Failure> {
    let found = SectionDef::find(name).map(|found| found.0).or_else(|| SectionDef::of_type(name));
    let def = found.ok_or_else(|| Failure::unusable(format!("there is no type {name:?}")))?;
    object.programs.iter_mut().for_each(|program| program.set_type(def));
    Ok(())
}

/// Pins each program, or what attaches it.
fn pin_programs(
    skep: &Skep,
    path: &Path,
    all: bool,
    attaches: bool,
    made: &mut Made,
) -> Result<(), Failure> {
    if all {
        made.folder(path)?;
    }
    for program in skep.programs() {
        let place = if all { path.join(program.name()) } else { path.to_owned() };
        if !attaches {
            made.pin(program.fd(), &place)?;
            continue;
        }
        match auto::find(program, &Places::default()).map_err(Failure::unusable)? {
            Found::At(hook) => {
                let link = program.attach(hook)?;
                link.pin(&place)?;
                made.pins.push(place);
            }
            Found::Open(why) => {
                eprintln!("note: program {} is not attached: {why}", program.name());
            }
        }
    }
    Ok(())
}

/// Pins and folders that were made, to be taken away again where not all of them can be.
#[derive(Default)]
struct Made {
    pins: Vec<PathBuf>,
    folders: Vec<PathBuf>,
}

impl Made {
    fn pin(&mut self, fd: &Fd, path: &Path) -> Result<(), Failure> {
        pin_fd(fd, &path.display().to_string())?;
        self.pins.push(path.to_owned());
        Ok(())
    }

    fn folder(&mut self, path: &Path) -> Result<(), Failure> {
        match std::fs::create_dir(path) {
            Ok(()) => self.folders.push(path.to_owned()),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => {
                return Err(Failure::unusable(format!("{}: {error}", path.display())));
            }
        }
        Ok(())
    }

    fn keep(mut self) {
        self.pins.clear();
        self.folders.clear();
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        for pin in &self.pins {
            let _ = std::fs::remove_file(pin);
        }
        for folder in &self.folders {
            let _ = std::fs::remove_dir(folder);
        }
    }
}

fn attach(session: &mut Session<'_>, words: &mut Words<'_>) -> Outcome {
    let (command, held) = place(session, words)?;
    let attached = session.kernel.bpf(&mut Command::ProgAttach(command));
    drop(held);
    attached.map_err(|errno| refused("failed to attach", errno))?;
    session.done()
}

fn detach(session: &mut Session<'_>, words: &mut Words<'_>) -> Outcome {
    let (command, held) = place(session, words)?;
    let detached = session.kernel.bpf(&mut Command::ProgDetach(command));
    drop(held);
    detached.map_err(|errno| refused("failed to detach", errno))?;
    session.done()
}

/// Program, attach type, and the map whose sockets it is for.
fn place(
    session: &Session<'_>,
    words: &mut Words<'_>,
) -> Result<(ProgAttach<'static>, Vec<Fd>), Failure> {
    const SHORT: [(&str, AttachType); 5] = [
        ("msg_verdict", AttachType::SkMsgVerdict),
        ("skb_verdict", AttachType::SkSkbVerdict),
        ("stream_verdict", AttachType::SkSkbStreamVerdict),
        ("stream_parser", AttachType::SkSkbStreamParser),
        ("flow_dissector", AttachType::FlowDissector),
    ];
    let program = pick::one(&session.kernel, ObjectKind::Prog, words)?;
    let name = words.want("the attach type")?;
    let short = SHORT.iter().find(|(short, _)| words::is_prefix(name, short));
    let found = AttachType::from_name(name).or(short.map(|(_, of)| *of));
    let taken = found.filter(|of| SHORT.iter().any(|(_, known)| known == of));
    let Some(attach_type) = taken else {
        let names: Vec<&str> = SHORT.iter().map(|(_, of)| of.name()).collect();
        let failure = Failure::unusable(format!("programs are not attached so at {name:?}"));
        return Err(failure.hint(format!("there are {}", names.join(", "))));
    };
    let mut command = ProgAttach {
        attach_bpf_fd: program.raw() as u32,
        attach_type: attach_type as u32,
        ..ProgAttach::default()
    };
    let mut held = vec![program];
    if attach_type != AttachType::FlowDissector {
        let map = pick::one(&session.kernel, ObjectKind::Map, words)?;
        command.target_fd = map.raw() as u32;
        held.push(map);
    }
    words.end()?;
    Ok((command, held))
}

fn test_run(session: &mut Session<'_>, words: &mut Words<'_>) -> Outcome {
    /// Room for what comes out.
    const ROOM: usize = 32 << 10;
    let fd = pick::one(&session.kernel, ObjectKind::Prog, words)?;
    let (mut data_in, mut ctx_in) = (Vec::new(), Vec::new());
    let (mut data_out, mut ctx_out, mut repeat) = (None, None, 1);
    while let Some(word) = words.next() {
        match word {
            "data_in" => {
                data_in = files::read(Path::new(words.want("the file")?), files::MAX_TEXT)?
            }
            "ctx_in" => ctx_in = files::read(Path::new(words.want("the file")?), files::MAX_TEXT)?,
            "data_out" => data_out = Some(PathBuf::from(words.want("the file")?)),
            "ctx_out" => ctx_out = Some(PathBuf::from(words.want("the file")?)),
            "repeat" => repeat = words.number("how often")?,
            other => return Err(Failure::unusable(format!("there is no place for {other:?}"))),
        }
    }
    let (mut data, mut context) = (vec![0; ROOM + data_in.len()], vec![0; ROOM]);
    let wants = (data_out.is_some(), ctx_out.is_some());
    let given = |bytes: &Vec<u8>| u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    let mut command = Command::TestRun(Box::new(TestRun {
        prog_fd: fd.raw() as u32,
        data_size_in: given(&data_in),
        data_in: (!data_in.is_empty()).then(|| data_in[..].into()),
        ctx_size_in: given(&ctx_in),
        ctx_in: (!ctx_in.is_empty()).then(|| ctx_in[..].into()),
        data_size_out: if wants.0 { given(&data) } else { 0 },
        data_out: if wants.0 { data[..].as_mut().into() } else { Output::Null },
        ctx_size_out: if wants.1 { given(&context) } else { 0 },
        ctx_out: if wants.1 { context[..].as_mut().into() } else { Output::Null },
        repeat,
        ..TestRun::default()
    }));
    let ran = session.kernel.bpf(&mut command);
    ran.map_err(|errno| refused("failed to run the program", errno))?;
    let Command::TestRun(run) = &command else { return session.done() };
    let (retval, duration) = (run.retval, run.duration);
    let sizes = (run.data_size_out as usize, run.ctx_size_out as usize);
    drop(command);
    for (file, bytes, size) in [(data_out, data, sizes.0), (ctx_out, context, sizes.1)] {
        if let Some(file) = file {
            output::write(&file, &[], &bytes[..size.min(bytes.len())])?;
        }
    }
    match session.json {
        true => session.print(&json!({ "retval": retval, "duration": duration }))?,
        false => {
            let average = if repeat > 1 { " (average)" } else { "" };
            writeln!(session.out, "Return value: {retval}, duration{average}: {duration}ns")?;
        }
    }
    Ok(Status::Done)
}
