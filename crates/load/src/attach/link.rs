//! A program at its place.

use std::path::Path;
use std::sync::Arc;

use skep_abi::flags::attach;
use skep_abi::{AttachType, Errno};
use skep_sys::{
    Command, Fd, GetById, Kernel, LinkCreatePerf, LinkDetach, LinkInfo, LinkUpdate, ObjGet, ObjPin,
    ObjectKind, PerfControl, PerfSpec,
};

use crate::error::{LinkError, LinkErrorKind as Kind};
use crate::load::Program;

/// A program at its place, which it leaves when this is dropped and nothing else (a pin, a
/// copy of the fd) holds the link.
#[derive(Debug)]
pub struct Link {
    held: Held,
    place: String,
}

/// What keeps a program where it is.
#[derive(Debug)]
enum Held {
    /// A link of the kernel's.
    Fd(Fd),
    /// What takes the program away, at a place that has no links.
    Undo(#[expect(dead_code, reason = "it acts when it is dropped")] Undo),
}

/// Done once, when it is dropped.
struct Undo(Option<Box<dyn FnOnce() + Send + Sync>>);

impl std::fmt::Debug for Undo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Undo")
    }
}

impl Drop for Undo {
    fn drop(&mut self) {
        if let Some(undo) = self.0.take() {
            undo();
        }
    }
}

impl Link {
    /// Takes over the fd of a link.
    pub(super) fn of(fd: Fd) -> Link {
        Link { held: Held::Fd(fd), place: String::new() }
    }

    /// A program at a place that has no links, and what takes it away.
    pub(super) fn undone_by(undo: impl FnOnce() + Send + Sync + 'static) -> Link {
        Link { held: Held::Undo(Undo(Some(Box::new(undo)))), place: String::new() }
    }

    /// Runs a command that makes a link, on the program's kernel.
    pub(super) fn create(program: &Program, command: &mut Command<'_>) -> Result<Link, Kind> {
        let made = Fd::open(program.fd().kernel(), command);
        made.map(Link::of).map_err(|errno| Kind::Kernel { doing: "attaching", errno })
    }

    /// Opens a perf event of the program's kernel and attaches the program to it. The link
    /// holds the event.
    pub(super) fn on_event(program: &Program, event: &PerfSpec, cookie: u64) -> Result<Link, Kind> {
        let failed = |doing| move |errno| Kind::Kernel { doing, errno };
        let kernel = program.fd().kernel();
        let event = Fd::perf_open(kernel, event).map_err(failed("opening the event"))?;
        let mut command = Command::LinkCreatePerf(LinkCreatePerf {
            prog_fd: program.fd().raw() as u32,
            target_fd: event.raw() as u32,
            attach_type: AttachType::PerfEvent as u32,
            bpf_cookie: cookie,
            ..LinkCreatePerf::default()
        });
        let link = Link::create(program, &mut command)?;
        event.perf_control(PerfControl::Enable).map_err(failed("enabling the event"))?;
        Ok(link)
    }

    pub(super) fn at(self, place: String) -> Link {
        Link { place, ..self }
    }

    /// The link that is pinned at a path.
    ///
    /// # Errors
    /// There is none, or something else.
    pub fn open_pinned(kernel: &Arc<dyn Kernel>, path: &Path) -> Result<Link, LinkError> {
        let place = path.display().to_string();
        let get = || {
            let path = zero_terminated(path)?;
            let pathname = Some((&path[..]).into());
            let fd =
                Fd::open(kernel, &mut Command::ObjGet(ObjGet { pathname, ..Default::default() }))?;
            LinkInfo::query(&**kernel, fd.raw()).map(|_| fd)
        };
        let failed = |errno| LinkError {
            program: None,
            place: place.clone(),
            kind: Kind::Kernel { doing: "opening the pinned link", errno },
        };
        Ok(Link::of(get().map_err(failed)?).at(place))
    }

    /// The link with this id.
    ///
    /// # Errors
    /// There is none, or the caller may not ask.
    pub fn by_id(kernel: &Arc<dyn Kernel>, id: u32) -> Result<Link, LinkError> {
        let place = format!("link {id}");
        let mut command = Command::GetById(ObjectKind::Link, GetById { id, ..GetById::default() });
        let failed = |errno| LinkError {
            program: None,
            place: place.clone(),
            kind: Kind::Kernel { doing: "opening it by its id", errno },
        };
        Ok(Link::of(Fd::open(kernel, &mut command).map_err(failed)?).at(place))
    }

    /// The place in words.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// The kernel's link; `None` at places that have none.
    pub fn fd(&self) -> Option<&Fd> {
        match &self.held {
            Held::Fd(fd) => Some(fd),
            Held::Undo(_) => None,
        }
    }

    /// What the kernel says of it.
    ///
    /// # Errors
    /// The place has no links.
    pub fn info(&self) -> Result<LinkInfo, LinkError> {
        let fd = self.link("asking for it")?;
        LinkInfo::query(&**fd.kernel(), fd.raw()).map_err(|errno| self.failed("asking", errno))
    }

    /// Pins it in a bpffs: it stays when this is dropped, until the file is removed.
    ///
    /// # Errors
    /// The place has no links, or the kernel's errno.
    pub fn pin(&self, path: &Path) -> Result<(), LinkError> {
        let fd = self.link("pinning it")?;
        let pin = || {
            let path = zero_terminated(path)?;
            let (pathname, bpf_fd) = (Some((&path[..]).into()), fd.raw() as u32);
            let pin = ObjPin { pathname, bpf_fd, ..ObjPin::default() };
            fd.kernel().bpf(&mut Command::ObjPin(pin)).map(drop)
        };
        pin().map_err(|errno| self.failed("pinning it", errno))
    }

    /// Puts another program in the place of this one, in one step: each event meets the old
    /// one or the new one.
    ///
    /// # Errors
    /// The program is another kernel's, or the kernel refuses it: of another type, or at a
    /// place where programs stay what they are (`EINVAL`).
    pub fn update(&self, program: &Program) -> Result<(), LinkError> {
        self.replace(program, None)
    }

    /// The same, unless somebody else has put another one than `old` there.
    ///
    /// # Errors
    /// As above; `EPERM` where there is another one by now.
    pub fn update_from(&self, old: &Program, program: &Program) -> Result<(), LinkError> {
        self.replace(program, Some(old))
    }

    fn replace(&self, program: &Program, old: Option<&Program>) -> Result<(), LinkError> {
        let fd = self.link("replacing its program")?;
        if ![Some(program), old].iter().flatten().all(|of| of.fd().belongs_to(fd.kernel())) {
            let (program, place) = (Some(program.name().to_owned()), self.place.clone());
            return Err(LinkError { program, place, kind: Kind::OtherKernel });
        }
        let update = LinkUpdate {
            link_fd: fd.raw() as u32,
            new_prog_fd: program.fd().raw() as u32,
            flags: if old.is_some() { attach::REPLACE } else { 0 },
            old_prog_fd: old.map_or(0, |old| old.fd().raw() as u32),
            ..LinkUpdate::default()
        };
        let updated = fd.kernel().bpf(&mut Command::LinkUpdate(update));
        updated.map(drop).map_err(|errno| self.failed("replacing its program", errno))
    }

    /// Takes the program away, whoever else holds the link: pins of it are there still, and
    /// do nothing.
    ///
    /// # Errors
    /// The kernel cannot take programs away from such a place (`EOPNOTSUPP`); they go when
    /// nothing holds the link any more.
    pub fn detach(&self) -> Result<(), LinkError> {
        let fd = self.link("detaching it")?;
        let link_fd = fd.raw() as u32;
        let detach = LinkDetach { link_fd, ..LinkDetach::default() };
        let detached = fd.kernel().bpf(&mut Command::LinkDetach(detach));
        detached.map(drop).map_err(|errno| self.failed("detaching it", errno))
    }

    pub(super) fn link(&self, doing: &'static str) -> Result<&Fd, LinkError> {
        self.fd().ok_or_else(|| self.failed(doing, Errno::EOPNOTSUPP))
    }

    pub(super) fn failed(&self, doing: &'static str, errno: Errno) -> LinkError {
        let kind = Kind::Kernel { doing, errno };
        LinkError { program: None, place: self.place.clone(), kind }
    }
}

/// A path for a kernel.
fn zero_terminated(path: &Path) -> Result<Vec<u8>, Errno> {
    use std::os::unix::ffi::OsStrExt;
    let bytes = path.as_os_str().as_bytes();
    if bytes.contains(&0) {
        return Err(Errno::ENOENT);
    }
    Ok([bytes, &[0]].concat())
}
