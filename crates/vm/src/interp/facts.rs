//! The interpreter as the verifier's judge: what it was sure of is compared with what
//! happens, at every instruction.

use skep_abi::TrapKind;
use skep_isa::{Callee, Insn, Operand, Pc, Reg, condition};
use skep_verify::{CallMap, Region};

use crate::memory::value::Kind;
use crate::objects::program::{Program, Proof};
use crate::run::{Run, Stop};

impl Run<'_> {
    /// Compares what `insn` is about to do with what the verifier said of it.
    pub(super) fn assert_facts(&self, program: &Program, pc: Pc, insn: &Insn) -> Result<(), Stop> {
        let Some(proof) = &program.proof else { return Ok(()) };
        match self.broken_fact(proof, pc, insn) {
            None => Ok(()),
            Some(what) => Err(TrapKind::FactViolated { what }.into()),
        }
    }

    fn broken_fact(&self, proof: &Proof, pc: Pc, insn: &Insn) -> Option<String> {
        let facts = proof.verified.facts().at(pc);
        if !facts.reached {
            return Some("this instruction is never reached".into());
        }
        match *insn {
            Insn::Branch { cond, width, dst, src, .. } => {
                let right = match src {
                    Operand::Reg(src) => self.regs.bits(src),
                    Operand::Imm(imm) => imm as i64 as u64,
                };
                let jumps = condition(cond, width, self.regs.bits(dst), right);
                let known = if jumps { facts.edges.jumps } else { facts.edges.falls };
                let way = if jumps { "is never taken" } else { "is always taken" };
                (!known).then(|| format!("this branch {way}"))
            }
            Insn::Load { base, .. }
            | Insn::Store { base, .. }
            | Insn::Atomic { base, .. }
            | Insn::LoadAcquire { base, .. }
            | Insn::StoreRelease { base, .. } => self.broken_region(proof, facts.region, base),
            Insn::Call(Callee::Helper(_)) => match facts.map {
                CallMap::One(index) => self.broken_map(proof, index),
                CallMap::None | CallMap::Mixed => None,
            },
            _ => None,
        }
    }

    fn broken_region(&self, proof: &Proof, region: Region, base: Reg) -> Option<String> {
        let pointer = self.regs.get(base);
        let kind = pointer.kind();
        let holds = match region {
            Region::Mixed | Region::Other => true,
            Region::None => false,
            Region::Stack => kind == Kind::Stack,
            Region::Context => kind == Kind::Context || self.is_memory_context(&pointer),
            Region::Packet => kind == Kind::Packet,
            Region::Record => kind == Kind::Record,
            Region::MapValue(index) => {
                let definition = proof.verified.facts().maps.get(usize::from(index))?;
                kind == Kind::MapValue && pointer.region().size() >= definition.value_size
            }
        };
        let base = base.number();
        (!holds).then(|| format!("r{base} points into {region:?}, and it is a {}", kind.name()))
    }

    /// The helper's map, which the verifier knows, is in r1 (or r2, of a tail call).
    fn broken_map(&self, proof: &Proof, index: u16) -> Option<String> {
        let expected = proof.maps.get(usize::from(index))?.as_ref()?;
        let argument = [Reg::R1, Reg::R2]
            .into_iter()
            .map(|reg| self.regs.get(reg))
            .find(|value| value.kind() == Kind::Map)?;
        let given = self.map(argument);
        let same = std::sync::Arc::ptr_eq(expected, &given);
        (!same).then(|| format!("the map is number {}, and it is {}", expected.id, given.id))
    }
}
