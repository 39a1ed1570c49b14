//! Structures of operations: a congestion control, a scheduler, a queue, in programs. What is
//! registered is a map, and not a program.

use skep_abi::AttachType;
use skep_abi::flags::{map as map_flags, update};
use skep_sys::{Command, Fd, LinkCreate, LinkUpdate, MapDelete, MapElem};

use crate::error::{LinkError, LinkErrorKind as Kind};
use crate::load::{Map, Skep};

use super::link::Link;

impl Skep {
    /// Registers the structure of operations that a map of this name stands for. One of
    /// `.struct_ops.link` is unregistered when the link is dropped, and when the process
    /// dies; one of `.struct_ops` only when the link is dropped.
    ///
    /// # Errors
    /// There is no such structure, or the kernel refuses it.
    pub fn register(&self, name: &str) -> Result<Link, LinkError> {
        let place = format!("structure of operations {name:?}");
        let registered = self.find_structure(name).and_then(|(map, value)| register(map, value));
        match registered {
            Ok(link) => Ok(link.at(place)),
            Err(kind) => Err(LinkError { program: None, place, kind }),
        }
    }

    fn find_structure(&self, name: &str) -> Result<(&Map, &[u8]), Kind> {
        let missing = || Kind::Missing("the object has none of this name".into());
        Ok((self.map(name).ok_or_else(missing)?, self.structure(name).ok_or_else(missing)?))
    }
}

impl Link {
    /// Puts another structure of the same kind in the place of this one, in one step.
    ///
    /// # Errors
    /// It is another kernel's, or of another kind.
    pub fn update_structure(&self, skep: &Skep, name: &str) -> Result<(), LinkError> {
        let failed = |kind| LinkError { program: None, place: self.place().to_owned(), kind };
        let (map, value) = skep.find_structure(name).map_err(failed)?;
        let link = self.link("replacing its structure")?;
        if !map.fd().belongs_to(link.kernel()) {
            return Err(failed(Kind::OtherKernel));
        }
        fill(map, value).map_err(failed)?;
        let update = LinkUpdate {
            link_fd: link.raw() as u32,
            new_prog_fd: map.fd().raw() as u32,
            ..LinkUpdate::default()
        };
        let updated = link.kernel().bpf(&mut Command::LinkUpdate(update));
        updated.map(drop).map_err(|errno| self.failed("replacing its structure", errno))
    }
}

/// Sets the only element, which for maps without links is what registers them.
fn fill(map: &Map, value: &[u8]) -> Result<(), Kind> {
    let (key, mut value) = (0u32.to_ne_bytes(), value.to_vec());
    let update = MapElem {
        map_fd: map.fd().raw() as u32,
        key: Some(key[..].into()),
        value: value[..].as_mut().into(),
        flags: update::ANY,
        ..MapElem::default()
    };
    let filled = map.fd().kernel().bpf(&mut Command::MapUpdate(update));
    filled.map(drop).map_err(|errno| Kind::Kernel { doing: "filling the structure", errno })
}

fn register(map: &Map, value: &[u8]) -> Result<Link, Kind> {
    fill(map, value)?;
    if map.def().flags & map_flags::LINK != 0 {
        let mut command = Command::LinkCreate(LinkCreate {
            prog_fd: map.fd().raw() as u32,
            attach_type: AttachType::StructOps as u32,
            ..LinkCreate::default()
        });
        let made = Fd::open(map.fd().kernel(), &mut command);
        return made.map(Link::of).map_err(|errno| Kind::Kernel { doing: "registering", errno });
    }
    let map = map.clone();
    Ok(Link::undone_by(move || {
        let key = 0u32.to_ne_bytes();
        let delete = MapDelete {
            map_fd: map.fd().raw() as u32,
            key: Some(key[..].into()),
            ..MapDelete::default()
        };
        // Somebody else may have unregistered it.
        let _ = map.fd().kernel().bpf(&mut Command::MapDelete(delete));
    }))
}
