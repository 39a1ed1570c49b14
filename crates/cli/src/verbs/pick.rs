//! The objects that words mean: all of a kind, or those of an id, a name, a tag, a path.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use skep::abi::Errno;
use skep::sys::{
    Command, Fd, GetById, Kernel, LinkInfo, MapInfo, NextId, ObjGet, ObjectKind, ProgInfo,
};

use super::words::Words;
use super::{Failure, refused};

/// What a kind is called in messages.
fn noun(kind: ObjectKind) -> &'static str {
    match kind {
        ObjectKind::Prog => "program",
        ObjectKind::Map => "map",
        ObjectKind::Btf => "BTF",
        ObjectKind::Link => "link",
    }
}

/// The ids of all objects of a kind, upwards.
///
/// # Errors
/// The caller may not ask.
pub fn ids(kernel: &Arc<dyn Kernel>, kind: ObjectKind) -> Result<Vec<u32>, Failure> {
    let mut ids = Vec::new();
    loop {
        let start_id = ids.last().copied().unwrap_or(0);
        let mut command = Command::NextId(kind, NextId { start_id, ..NextId::default() });
        match (kernel.bpf(&mut command), &command) {
            (Ok(_), Command::NextId(_, next)) => ids.push(next.next_id),
            (Err(Errno::ENOENT), _) => return Ok(ids),
            (Err(errno), _) => {
                return Err(refused(format!("the next {} cannot be had", noun(kind)), errno));
            }
            _ => return Ok(ids),
        }
    }
}

/// The object of an id.
///
/// # Errors
/// There is none, or the caller may not ask.
pub fn by_id(kernel: &Arc<dyn Kernel>, kind: ObjectKind, id: u32) -> Result<Fd, Errno> {
    let get = GetById { id, ..GetById::default() };
    Fd::open(kernel, &mut Command::GetById(kind, get))
}

/// What is pinned at a path.
///
/// # Errors
/// Nothing, or the caller may not ask.
pub fn pinned(kernel: &Arc<dyn Kernel>, path: &Path) -> Result<Fd, Errno> {
    use std::os::unix::ffi::OsStrExt;
    let path = [path.as_os_str().as_bytes(), &[0]].concat();
    let pathname = Some((&path[..]).into());
    Fd::open(kernel, &mut Command::ObjGet(ObjGet { pathname, ..ObjGet::default() }))
}

/// The id of what is behind an fd, if it is of this kind.
pub fn id_of(kind: ObjectKind, fd: &Fd) -> Option<u32> {
    if about_kind(fd) != Some(kind) {
        return None;
    }
    let kernel = &**fd.kernel();
    match kind {
        ObjectKind::Prog => ProgInfo::brief(kernel, fd.raw()).ok().map(|info| info.id),
        ObjectKind::Map => MapInfo::query(kernel, fd.raw()).ok().map(|info| info.id),
        ObjectKind::Link => LinkInfo::query(kernel, fd.raw()).ok().map(|info| info.id),
        ObjectKind::Btf => None,
    }
}

/// What Linux calls the file behind an fd.
fn about_kind(fd: &Fd) -> Option<ObjectKind> {
    let link = std::fs::read_link(format!("/proc/self/fd/{}", fd.raw())).ok()?;
    match link.to_str()?.strip_prefix("anon_inode:")?.trim_matches(['[', ']']) {
        "bpf-prog" => Some(ObjectKind::Prog),
        "bpf-map" => Some(ObjectKind::Map),
        "bpf-link" | "bpf_link" => Some(ObjectKind::Link),
        "btf" => Some(ObjectKind::Btf),
        _ => None,
    }
}

/// The objects that the next words mean. A name or a tag may be that of several.
///
/// # Errors
/// None is meant.
pub fn several(
    kernel: &Arc<dyn Kernel>,
    kind: ObjectKind,
    words: &mut Words<'_>,
) -> Result<Vec<Fd>, Failure> {
    let what = noun(kind);
    if words.take("id") {
        let id = words.number("the id")?;
        let fd = by_id(kernel, kind, id);
        return Ok(vec![fd.map_err(|errno| refused(format!("{what} with ID {id}"), errno))?]);
    }
    if words.take("pinned") {
        let path = words.want("the path of the pin")?;
        let fd = pinned(kernel, Path::new(path)).map_err(|errno| refused(path, errno))?;
        if about_kind(&fd) != Some(kind) {
            return Err(Failure::unusable(format!("what is pinned at {path} is no {what}")));
        }
        return Ok(vec![fd]);
    }
    let by_tag = kind == ObjectKind::Prog && words.take("tag");
    if by_tag || (kind != ObjectKind::Link && words.take("name")) {
        let wanted = words.want(if by_tag { "the tag" } else { "the name" })?;
        let mut found = Vec::new();
        for id in ids(kernel, kind)? {
            // It may have gone since it was listed.
            let Ok(fd) = by_id(kernel, kind, id) else { continue };
            if is_called(kind, &fd, wanted, by_tag) {
                found.push(fd);
            }
        }
        let how = if by_tag { "tag" } else { "name" };
        return match found.is_empty() {
            false => Ok(found),
            true => Err(Failure::refused(format!("there is no {what} of {how} {wanted:?}"))),
        };
    }
    let got = words.peek().map_or("nothing".to_owned(), |word| format!("{word:?}"));
    let forms = match kind {
        ObjectKind::Prog => "id, tag, name or pinned",
        ObjectKind::Map => "id, name or pinned",
        _ => "id or pinned",
    };
    Err(Failure::unusable(format!("expected {forms}, got {got}")))
}

fn is_called(kind: ObjectKind, fd: &Fd, wanted: &str, by_tag: bool) -> bool {
    let kernel = &**fd.kernel();
    match kind {
        ObjectKind::Prog => ProgInfo::brief(kernel, fd.raw()).is_ok_and(|info| {
            if by_tag { super::prog::tag(&info) == wanted } else { starts(&info.name, wanted) }
        }),
        _ => MapInfo::query(kernel, fd.raw()).is_ok_and(|info| starts(&info.name, wanted)),
    }
}

/// A kernel keeps the first 15 bytes of a name.
fn starts(name: &[u8; 16], wanted: &str) -> bool {
    let kept = &wanted.as_bytes()[..wanted.len().min(15)];
    text(name).as_bytes() == kept
}

/// A name of a kernel.
pub fn text(name: &[u8; 16]) -> String {
    let end = name.iter().position(|&byte| byte == 0).unwrap_or(16);
    String::from_utf8_lossy(&name[..end]).into_owned()
}

/// The one object that the next words mean.
///
/// # Errors
/// None is meant, or several.
pub fn one(
    kernel: &Arc<dyn Kernel>,
    kind: ObjectKind,
    words: &mut Words<'_>,
) -> Result<Fd, Failure> {
    let mut found = several(kernel, kind, words)?;
    match (found.pop(), found.is_empty()) {
        (Some(fd), true) => Ok(fd),
        (_, _) => {
            let what = noun(kind);
            let failure = Failure::unusable(format!("several {what}s are meant"));
            Err(failure.hint("say which by its id"))
        }
    }
}

/// Where in the mounted bpffs objects of a kind are pinned, by their ids.
pub fn pins(kernel: &Arc<dyn Kernel>, kind: ObjectKind) -> BTreeMap<u32, Vec<String>> {
    /// More files than that are not looked at.
    const MOST: usize = 100_000;
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let mut folders: Vec<std::path::PathBuf> = mounts
        .lines()
        .filter_map(|line| {
            let mut parts = line.split(' ').skip(1);
            let (path, fs) = (parts.next()?, parts.next()?);
            (fs == "bpf").then(|| path.replace("\\040", " ").into())
        })
        .collect();
    let mut found = BTreeMap::<u32, Vec<String>>::new();
    let mut seen = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            seen += 1;
            if seen > MOST {
                return found;
            }
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                Ok(of) if of.is_file() => {
                    let id = pinned(kernel, &entry.path()).ok().and_then(|fd| id_of(kind, &fd));
                    if let Some(id) = id {
                        found.entry(id).or_default().push(entry.path().display().to_string());
                    }
                }
                _ => {}
            }
        }
    }
    found.values_mut().for_each(|paths| paths.sort());
    found
}
