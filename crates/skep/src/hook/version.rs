//! A program of a hook, with the maps of its object: one version of an extension.

use std::sync::Arc;

use skep_abi::{ProgType, hook};
use skep_btf::{Btf, Kind};
use skep_isa::{Callee, Insn, decode_each, encode};
use skep_load::{Error, Linked, Map, Object, Options, Skep, Target, load, relocate};
use skep_sys::Kernel;
use skep_vm::hooks::{PointProgram, RunCounts};
use skep_vm::jit::Checks;

use super::error::HookError;

/// A program that was verified for a hook, with its maps and variables.
pub struct Version {
    pub(super) ready: Arc<PointProgram>,
    skep: Skep,
    name: String,
}

impl Version {
    /// The program's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its object's maps, variables and ring buffers.
    pub fn skep(&self) -> &Skep {
        &self.skep
    }

    /// What its compiled code checks; `None` where it is interpreted.
    pub fn checks(&self) -> Option<Checks> {
        self.ready.program().checks()
    }

    /// What it did so far, in all threads together.
    pub fn counts(&self) -> RunCounts {
        self.ready.counts()
    }
}

impl std::fmt::Debug for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Version").field("name", &self.name).finish_non_exhaustive()
    }
}

/// What an object is loaded for.
pub(super) struct Loading<'l> {
    pub kernel: &'l Arc<dyn Kernel>,
    pub row: &'l skep_abi::HookRow,
    pub types: &'l Arc<Btf>,
    /// Maps to go on with.
    pub reuse: Vec<Map>,
}

impl Loading<'_> {
    /// Loads the object's programs for the hook; gives the one that is to run, by its name if
    /// there are several.
    pub fn load(&self, object: &Object, name: Option<&str>) -> Result<(Skep, String), HookError> {
        let section = format!("{}{}", hook::SECTION, self.row.name);
        let mut object = object.clone();
        let mut mine = Vec::new();
        let mut has: Vec<String> = Vec::new();
        for program in &mut object.programs {
            has.push(program.section.clone());
            program.autoload &= program.section == section;
            if program.autoload {
                program.prog_type = Some(ProgType::Unspec);
                mine.push(program.name.clone());
            }
        }
        let file = || object.file.clone();
        has.dedup();
        let runs = match (&mine[..], name) {
            ([], _) => {
                let has = if has.is_empty() { "none".to_owned() } else { has.join(", ") };
                return Err(HookError::NoProgram { file: file(), section, has });
            }
            ([only], None) => only.clone(),
            (all, Some(name)) if all.iter().any(|one| one == name) => name.to_owned(),
            (all, _) => {
                let has = all.join(", ");
                return Err(HookError::WhichProgram { file: file(), section, has });
            }
        };
        let target =
            Target::new(self.kernel.host().clone()).with_kernel_btf(Arc::clone(self.types));
        let mut linked = relocate(&object, &target).map_err(Error::from)?;
        self.call_by_number(&mut linked);
        let options = Options { reuse: self.reuse.clone(), ..Options::default() };
        let skep = load(&linked, &target, self.kernel, &options).map_err(Error::from)?;
        Ok((skep, runs))
    }

    /// Calls by name were resolved to functions of the hook's types: the helpers, which kernels
    /// know by their numbers.
    fn call_by_number(&self, linked: &mut Linked) {
        for program in &mut linked.programs {
            let insns = decode_each(&program.insns);
            for (slot, insn) in program.insns.iter_mut().zip(insns) {
                let Some(Insn::Call(Callee::Kfunc { btf_id, module: 0 })) = insn else { continue };
                let number = self.row.helpers.iter().find_map(|helper| {
                    let id = self.types.find(helper.name, Kind::Func)?;
                    (id == btf_id as u32).then_some(helper.id)
                });
                if let Some(number) = number
                    && let [call] = encode(&[Insn::Call(Callee::Helper(number))])[..]
                {
                    *slot = call;
                }
            }
        }
    }

    /// The version that was loaded.
    pub fn version(ready: PointProgram, (skep, name): (Skep, String)) -> Version {
        Version { ready: Arc::new(ready), skep, name }
    }
}
