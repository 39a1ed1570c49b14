//! Which helper may use which map. Counterpart: `check_map_func_compatibility`.

use skep_abi::helper::id;
use skep_abi::{AttachType, Helper, MapType, ProgType, Reason};

use crate::checker::Checker;
use crate::error::{Check, fail};
use crate::log::say;
use crate::reg::MapId;

impl Checker<'_> {
    /// Which helper may use which map.
    pub(super) fn check_map_for_helper(&mut self, helper: &Helper, map: Option<MapId>) -> Check {
        let Some(map) = map else { return Ok(()) };
        let (number, kind) = (helper.id, self.code.maps[usize::from(map)].def.kind);
        let mut fits = Helper::of_map(kind).is_none_or(|helpers| helpers.contains(&number));
        if !fits
            && matches!(kind, MapType::Sockmap | MapType::Sockhash)
            && matches!(number, id::MAP_UPDATE_ELEM | id::MAP_DELETE_ELEM)
        {
            fits = self.may_update_sockmap(number);
            if !fits {
                say!(self.log, "{}\n", Reason::SockmapUpdate);
            }
        }
        if fits && helper.maps.is_none_or(|kinds| kinds.contains(&kind)) {
            return Ok(());
        }
        let name = self.helper_name(number).into();
        fail!(EINVAL, MapForHelper { map: kind as u32, name, id: number });
    }

    fn may_update_sockmap(&self, number: u32) -> bool {
        match self.program.kind {
            ProgType::Tracing => self.program.attach_type == AttachType::TraceIter as u32,
            ProgType::SockOps => number == id::MAP_DELETE_ELEM,
            ProgType::SocketFilter
            | ProgType::SchedCls
            | ProgType::SchedAct
            | ProgType::Xdp
            | ProgType::SkReuseport
            | ProgType::FlowDissector
            | ProgType::SkLookup => true,
            _ => false,
        }
    }
}
