//! What engines take from an accepted program: its instructions as they were decoded, with the
//! maps and kernel functions that they name found.

use std::convert::Infallible;
use std::sync::Arc;

use skep_abi::Kfunc;
use skep_isa::{Insn, Pc, link};

use crate::checker::Checker;
use crate::program::MapDef;

/// Linked code ([`skep_isa::link`]).
#[derive(Clone, Debug, Default)]
pub struct Linked {
    /// Instructions, one for each slot; no path reaches a slot that is none, which is a
    /// [`Insn::Hole`] here.
    pub insns: Vec<Insn>,
    /// The maps that they name by index.
    pub maps: Vec<Arc<MapDef>>,
    /// The kernel functions that they call.
    pub kfuncs: KfuncRefs,
    /// Where the subprogram starts that an exception calls, if the program has one.
    pub exception_callback: Option<Pc>,
}

/// The kernel functions that a program calls. Its instructions name them by numbers: those of
/// rows, and higher ones where no row was found.
#[derive(Clone, Debug, Default)]
pub struct KfuncRefs(Vec<KfuncRef>);

impl KfuncRefs {
    /// The number for a call of this function, which it knows from now on.
    pub fn number(&mut self, called: KfuncRef) -> u32 {
        let known = self.0.iter().position(|known| *known == called);
        let index = known.unwrap_or(self.0.len());
        if known.is_none() {
            self.0.push(called);
        }
        called.number(index)
    }

    /// The function that a number means.
    pub fn of(&self, number: u32) -> Option<&KfuncRef> {
        let all = self.0.iter().enumerate();
        all.into_iter().find(|(index, known)| known.number(*index) == number).map(|found| found.1)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &KfuncRef> {
        self.0.iter()
    }
}

/// A kernel function, and how the program named it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KfuncRef {
    /// The function; `None` where no path that the program can take calls it.
    pub row: Option<&'static Kfunc>,
    /// Its BTF id.
    pub btf_id: i32,
    /// Its module: 0, or an index into the fd array.
    pub module: i16,
}

impl KfuncRef {
    fn number(&self, index: usize) -> u32 {
        self.row.map_or((Kfunc::all().len() + index) as u32, Kfunc::number)
    }
}

impl Checker<'_> {
    /// The program with what it names.
    pub(crate) fn linked(&self) -> Linked {
        let mut insns: Vec<Insn> =
            self.code.insns.iter().map(|insn| insn.unwrap_or(Insn::Hole)).collect();
        // Behind a 64-bit load, where nothing is reached, may stand what reads as something.
        for pc in 1..insns.len() {
            if matches!(insns[pc - 1], Insn::LoadImm64 { .. }) {
                insns[pc] = Insn::Hole;
            }
        }
        let (mut maps, mut kfuncs) = (Vec::<Arc<MapDef>>::new(), KfuncRefs::default());
        let map = |pc, _| -> Result<u32, Infallible> {
            let id = self.found.aux[pc as usize].map;
            let Some(info) = id.map(|id| &self.code.maps[usize::from(id)]) else { return Ok(0) };
            let known = maps.iter().position(|known| Arc::ptr_eq(known, &info.named));
            if known.is_none() {
                maps.push(Arc::clone(&info.named));
            }
            Ok(known.unwrap_or(maps.len() - 1) as u32)
        };
        let kfunc = |_, btf_id, module| {
            let row = self.types.kfuncs.get(&(btf_id, module)).copied().flatten();
            Ok(kfuncs.number(KfuncRef { row, btf_id, module }))
        };
        let Ok(()) = link(&mut insns, map, kfunc);
        let exception_callback =
            self.code.exception_callback.map(|index| self.found.subprogs[index].start);
        Linked { insns, maps, kfuncs, exception_callback }
    }
}
