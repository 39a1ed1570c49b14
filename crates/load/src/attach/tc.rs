//! Filters of the classic traffic control, which has no links: the program stays where a
//! process is killed, until the filter is removed. What comes later than 6.6 has
//! [`Tcx`](super::Tcx).

use std::sync::Mutex;

use skep_abi::Errno;
use skep_sys::host::netlink::{Direction, Route, TcFilter};

use crate::error::LinkErrorKind as Kind;
use crate::load::Program;

use super::hook::Hook;
use super::interface::name_of;
use super::link::Link;

/// A filter of an interface, one way; what its program returns decides.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClassicTc {
    ifindex: u32,
    way: Direction,
    priority: u16,
    handle: u32,
}

impl ClassicTc {
    /// What comes in.
    pub fn ingress(ifindex: u32) -> ClassicTc {
        ClassicTc { ifindex, way: Direction::Ingress, priority: 1, handle: 1 }
    }

    /// What goes out.
    pub fn egress(ifindex: u32) -> ClassicTc {
        ClassicTc { way: Direction::Egress, ..ClassicTc::ingress(ifindex) }
    }

    /// Lower ones come first.
    pub fn priority(self, priority: u16) -> ClassicTc {
        ClassicTc { priority, ..self }
    }

    /// Its number among those of its priority.
    pub fn handle(self, handle: u32) -> ClassicTc {
        ClassicTc { handle, ..self }
    }
}

impl Hook for ClassicTc {
    fn place(&self) -> String {
        let way = if self.way == Direction::Ingress { "ingress" } else { "egress" };
        format!("clsact/{way} of {}", name_of(self.ifindex))
    }

    fn link(&self, program: &Program) -> Result<Link, Kind> {
        let failed = |doing: &'static str| {
            move |error: std::io::Error| match error.raw_os_error() {
                Some(errno) => Kind::Kernel { doing, errno: Errno(errno) },
                None => Kind::Missing("netlink takes programs of Linux alone".into()),
            }
        };
        let filter = TcFilter {
            ifindex: self.ifindex,
            priority: self.priority,
            handle: self.handle,
            name: program.name().to_owned(),
            id: 0,
            direct: true,
        };
        // A socket of this network namespace: whoever drops the link may be in another.
        let mut route = Route::open().map_err(failed("opening netlink"))?;
        let is_new =
            route.add_clsact(self.ifindex).map_err(failed("making a place for filters"))?;
        let added = route.add_filter(self.way, &filter, program.fd());
        if let Err(error) = added {
            if is_new {
                // It was there for this filter alone.
                let _ = route.remove_clsact(self.ifindex);
            }
            return Err(failed("attaching")(error));
        }
        let (route, way) = (Mutex::new(route), self.way);
        Ok(Link::undone_by(move || {
            let Ok(mut route) = route.into_inner() else { return };
            // Somebody else may have removed it, or the interface gone. The place for filters
            // goes with its last one, if it was made here.
            let _ = route.remove_filter(way, &filter);
            let left = [Direction::Ingress, Direction::Egress]
                .map(|way| route.filters(filter.ifindex, way).map_or(0, |all| all.len()));
            if is_new && left == [0, 0] {
                let _ = route.remove_clsact(filter.ifindex);
            }
        }))
    }
}
