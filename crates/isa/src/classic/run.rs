//! Runs classic programs, with every load checked: one that reaches past the packet ends
//! the run with 0, and so does division by zero.
//!
//! There are two machines that differ in corners. Linux (`net/core/filter.c`, which runs
//! a translation) has metadata at negative offsets, adds index and offset on 32 bits, and
//! shifts by an amount modulo 32. libpcap (`bpf_filter.c`, for files) has no metadata,
//! refuses an index beyond the packet, shifts everything out by 32 and more, and lets `ja`
//! jump backwards. A [`Packet`] with [`Metadata`] is Linux's, one without is libpcap's.

use super::fused::Fused;
use super::{Ancillary, ClassicError, Cond, Filter, Insn, MEM_WORDS, Op, Operand, Reg};
use crate::Size;

/// Backward jumps in a run before it ends with 0; libpcap's own loops take far fewer.
const MAX_BACKWARD: u32 = 4096;

/// Offsets below this count from the network header (`SKF_NET_OFF`).
const NETWORK: i64 = -0x10_0000;

/// Offsets below this count from the link header (`SKF_LL_OFF`).
const LINK: i64 = -0x20_0000;

/// What Linux knows of a packet beside its bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// Where its network header starts.
    pub network: u32,
    /// Ethernet protocol.
    pub protocol: u16,
    /// To us, to others, broadcast, outgoing (`PACKET_*`).
    pub packet_type: u8,
    /// Index of the interface.
    pub interface: u32,
    /// Hardware type of the interface.
    pub hardware_type: u16,
    /// The packet's mark.
    pub mark: u32,
    /// The queue.
    pub queue: u32,
    /// The packet's flow hash.
    pub hash: u32,
    /// The CPU.
    pub cpu: u32,
    /// The VLAN tag that was taken out of the packet, with its protocol.
    pub vlan: Option<(u16, u16)>,
    /// Offset of the payload.
    pub payload: u32,
    /// A random number.
    pub random: u32,
}

/// A packet, as programs see it.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    /// The bytes that were captured.
    pub data: &'a [u8],
    /// Its length on the wire.
    pub len: u32,
    /// What Linux knows of it; without, loads of metadata end the run.
    pub metadata: Option<&'a Metadata>,
}

impl<'a> Packet<'a> {
    /// A packet that was captured whole, from a file.
    pub fn of(data: &'a [u8]) -> Packet<'a> {
        Packet { data, len: data.len() as u32, metadata: None }
    }

    /// The number of this size at an offset.
    fn load(&self, size: Size, offset: i64) -> Option<u32> {
        let offset = match self.metadata {
            Some(_) if (LINK..NETWORK).contains(&offset) => offset - LINK,
            Some(metadata) if (NETWORK..0).contains(&offset) => {
                offset - NETWORK + i64::from(metadata.network)
            }
            _ => offset,
        };
        let bytes = self.data.get(usize::try_from(offset).ok()?..)?;
        Some(match size {
            Size::B => u32::from(*bytes.first()?),
            Size::H => u32::from(u16::from_be_bytes(*bytes.first_chunk()?)),
            Size::W | Size::DW => u32::from_be_bytes(*bytes.first_chunk()?),
        })
    }

    fn index(&self, x: u32, offset: i32) -> i64 {
        match self.metadata {
            Some(_) => i64::from((x as i32).wrapping_add(offset)),
            None => i64::from(x) + i64::from(offset as u32),
        }
    }

    fn absolute(&self, offset: i32) -> i64 {
        match self.metadata {
            Some(_) => i64::from(offset),
            None => i64::from(offset as u32),
        }
    }

    fn ancillary(&self, what: Ancillary, a: u32, x: u32) -> Option<u32> {
        let metadata = self.metadata?;
        Some(match what {
            Ancillary::Protocol => metadata.protocol.into(),
            Ancillary::PacketType => metadata.packet_type.into(),
            Ancillary::IfIndex => metadata.interface,
            Ancillary::Nlattr => attribute(self.data, a, x, false),
            Ancillary::NlattrNest => attribute(self.data, a, x, true),
            Ancillary::Mark => metadata.mark,
            Ancillary::Queue => metadata.queue,
            Ancillary::HardwareType => metadata.hardware_type.into(),
            Ancillary::RxHash => metadata.hash,
            Ancillary::Cpu => metadata.cpu,
            Ancillary::XorX => a ^ x,
            Ancillary::VlanTag => metadata.vlan.map_or(0, |(tag, _)| tag.into()),
            Ancillary::VlanTagPresent => metadata.vlan.is_some().into(),
            Ancillary::VlanProtocol => metadata.vlan.map_or(0, |(_, protocol)| protocol.into()),
            Ancillary::PayloadOffset => metadata.payload,
            Ancillary::Random => metadata.random,
        })
    }
}

/// The offset of the first netlink attribute of a type, searched from an offset on (for
/// `nest`, inside the attribute that stands there); 0 where there is none.
fn attribute(data: &[u8], from: u32, kind: u32, nest: bool) -> u32 {
    const HEADER: usize = 4;
    let field = |at: usize| {
        let bytes = data.get(at..).and_then(|rest| rest.first_chunk()).copied();
        bytes.map(u16::from_ne_bytes).map(usize::from)
    };
    let mut at = from as usize;
    if data.len() < HEADER || at > data.len() - HEADER {
        return 0;
    }
    let mut end = data.len();
    if nest {
        match field(at) {
            Some(len) if len <= data.len() - at => {
                end = at + len;
                at += HEADER;
            }
            _ => return 0,
        }
    }
    while let (Some(len), Some(found)) = (field(at), field(at + 2)) {
        if len < HEADER || end < at + HEADER || len > end - at {
            return 0;
        }
        // The two upper bits are flags.
        if found & 0x3fff == kind as usize {
            return at as u32;
        }
        at += len.next_multiple_of(4);
    }
    0
}

/// A program that may be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    insns: Vec<Insn>,
    /// The same for packets of files.
    fused: Option<Fused>,
}

/// Takes no packet.
impl Default for Program {
    fn default() -> Program {
        Program::of(vec![Insn::RetK(0)])
    }
}

impl Program {
    /// A program that Linux would take.
    ///
    /// # Errors
    /// The first instruction that it would refuse.
    pub fn new(filters: &[Filter]) -> Result<Program, ClassicError> {
        Ok(Program::of(super::check(filters)?))
    }

    /// A program that libpcap runs: jumps may go backwards by `ja`, cells may be read before
    /// they are written (as 0). What leaves the program ends the run with 0. `None` where an
    /// instruction is unknown.
    pub fn of_libpcap(filters: &[Filter]) -> Option<Program> {
        filters.iter().map(|filter| filter.decode()).collect::<Option<_>>().map(Program::of)
    }

    fn of(insns: Vec<Insn>) -> Program {
        let fused = Fused::new(&insns);
        Program { insns, fused }
    }

    #[cfg(test)]
    pub(super) fn fused(&self) -> Option<&Fused> {
        self.fused.as_ref()
    }

    /// The instructions.
    pub fn insns(&self) -> &[Insn] {
        &self.insns
    }

    /// Runs it: how many bytes of the packet to take, 0 for none.
    #[inline]
    pub fn run(&self, packet: &Packet<'_>) -> u32 {
        match &self.fused {
            Some(fused) if packet.metadata.is_none() => fused.run(packet),
            _ => self.steps(packet, |_| {}),
        }
        .unwrap_or(0)
    }

    /// The same, and shows the index of each instruction before it is executed.
    pub fn trace(&self, packet: &Packet<'_>, visit: impl FnMut(usize)) -> u32 {
        self.steps(packet, visit).unwrap_or(0)
    }

    /// `None` where a load, a division or the budget ends the run.
    fn steps(&self, packet: &Packet<'_>, mut visit: impl FnMut(usize)) -> Option<u32> {
        let mut machine = Machine::<{ MEM_WORDS as usize }>::new();
        let (mut pc, mut backward) = (0usize, 0);
        loop {
            let insn = self.insns.get(pc)?;
            visit(pc);
            pc += 1;
            match *insn {
                Insn::Ja(off) => {
                    pc = pc.wrapping_add_signed(off as i32 as isize);
                    backward += u32::from((off as i32) < 0);
                    if backward > MAX_BACKWARD {
                        return None;
                    }
                }
                Insn::Branch { cond, src, jt, jf } => {
                    pc += usize::from(if machine.holds(cond, src) { jt } else { jf });
                }
                Insn::RetK(k) => return Some(k),
                Insn::RetA => return Some(machine.a),
                insn => machine.step(insn, packet)?,
            }
        }
    }
}

/// Registers and cells.
#[derive(Clone, Debug)]
pub struct Machine<const CELLS: usize = { MEM_WORDS as usize }> {
    /// The accumulator.
    pub a: u32,
    /// The index.
    pub x: u32,
    cells: [u32; CELLS],
}

impl Default for Machine {
    fn default() -> Machine {
        Machine::new()
    }
}

impl<const CELLS: usize> Machine<CELLS> {
    /// One of zeros. Of cells that it does not have none can be read.
    #[inline(always)]
    pub(super) fn new() -> Machine<CELLS> {
        Machine { a: 0, x: 0, cells: [0; CELLS] }
    }

    /// Whether a condition on A holds.
    #[inline]
    pub fn holds(&self, cond: Cond, src: Operand) -> bool {
        holds(cond, self.a, self.operand(src))
    }

    /// The right side of an operation.
    #[inline]
    pub fn operand(&self, src: Operand) -> u32 {
        if let Operand::K(k) = src { k } else { self.x }
    }

    /// The bytes that an instruction reads, by their offset and number; `None` for those
    /// that read none.
    pub fn reads(&self, insn: Insn, packet: &Packet<'_>) -> Option<(i64, u32)> {
        let bytes = |size| match size {
            Size::B => 1,
            Size::H => 2,
            Size::W | Size::DW => 4,
        };
        match insn {
            Insn::LoadAbs { size, offset } => Some((packet.absolute(offset), bytes(size))),
            Insn::LoadInd { size, offset } => Some((packet.index(self.x, offset), bytes(size))),
            Insn::LoadHeaderLen { offset } => Some((packet.absolute(offset), 1)),
            _ => None,
        }
    }

    /// Executes an instruction that is no jump and no return; `None` where it ends the run
    /// with 0.
    #[inline(always)]
    pub fn step(&mut self, insn: Insn, packet: &Packet<'_>) -> Option<()> {
        match insn {
            Insn::LoadAbs { size, offset } => {
                self.a = packet.load(size, packet.absolute(offset))?;
            }
            Insn::LoadInd { size, offset } => {
                self.a = packet.load(size, packet.index(self.x, offset))?;
            }
            Insn::LoadAncillary { what, .. } => self.a = packet.ancillary(what, self.a, self.x)?,
            Insn::LoadLen(Reg::A) => self.a = packet.len,
            Insn::LoadLen(Reg::X) => self.x = packet.len,
            Insn::LoadImm(Reg::A, k) => self.a = k,
            Insn::LoadImm(Reg::X, k) => self.x = k,
            Insn::LoadMem(Reg::A, cell) => self.a = *self.cells.get(cell as usize)?,
            Insn::LoadMem(Reg::X, cell) => self.x = *self.cells.get(cell as usize)?,
            Insn::LoadHeaderLen { offset } => {
                self.x = 4 * (packet.load(Size::B, packet.absolute(offset))? & 0xf);
            }
            Insn::Store(reg, cell) => {
                *self.cells.get_mut(cell as usize)? = if reg == Reg::A { self.a } else { self.x };
            }
            Insn::Alu(op, src) => {
                self.a = alu(op, self.a, self.operand(src), packet.metadata.is_some())?;
            }
            Insn::Neg => self.a = self.a.wrapping_neg(),
            Insn::Tax => self.x = self.a,
            Insn::Txa => self.a = self.x,
            Insn::Ja(_) | Insn::Branch { .. } | Insn::RetK(_) | Insn::RetA => {}
        }
        Some(())
    }
}

/// Whether `left cond right`.
pub fn holds(cond: Cond, left: u32, right: u32) -> bool {
    match cond {
        Cond::Eq => left == right,
        Cond::Gt => left > right,
        Cond::Ge => left >= right,
        Cond::Set => left & right != 0,
    }
}

/// `left op right`; `None` for division by zero. `wrapping` shifts by the amount modulo 32,
/// as Linux does; without, 32 and more shift everything out.
pub fn alu(op: Op, left: u32, right: u32, wrapping: bool) -> Option<u32> {
    let shift = |shifted: fn(u32, u32) -> u32| match right < 32 || wrapping {
        true => shifted(left, right & 31),
        false => 0,
    };
    Some(match op {
        Op::Add => left.wrapping_add(right),
        Op::Sub => left.wrapping_sub(right),
        Op::Mul => left.wrapping_mul(right),
        Op::Div => left.checked_div(right)?,
        Op::Mod => left.checked_rem(right)?,
        Op::Or => left | right,
        Op::And => left & right,
        Op::Xor => left ^ right,
        Op::Lsh => shift(|left, right| left << right),
        Op::Rsh => shift(|left, right| left >> right),
    })
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    fn run(text: &str, packet: &Packet<'_>) -> u32 {
        Program::of_libpcap(&parse(text).unwrap()).unwrap().run(packet)
    }

    #[test]
    fn what_reaches_past_the_packet_ends_the_run_with_zero() {
        let packet = Packet { data: &[1, 2, 3, 4, 5], len: 900, metadata: None };
        for (text, expected) in [
            ("(000) ldb [4]\n(001) ret a", 5),
            ("(000) ldb [5]\n(001) ret #7", 0),
            ("(000) ldh [3]\n(001) ret a", 0x405),
            ("(000) ldh [4]\n(001) ret #7", 0),
            ("(000) ld [1]\n(001) ret a", 0x0203_0405),
            ("(000) ld [2]\n(001) ret #7", 0),
            ("(000) ld [4294967295]\n(001) ret #7", 0),
            ("(000) ldx #0x4\n(001) ldb [x + 0]\n(002) ret a", 5),
            ("(000) ldx #0x5\n(001) ldb [x + 4294967295]\n(002) ret #7", 0),
            ("(000) ldxb 4*([1]&0xf)\n(001) txa\n(002) ret a", 8),
            ("(000) ldxb 4*([9]&0xf)\n(001) ret #7", 0),
            ("(000) ld #pktlen\n(001) ret a", 900),
            ("(000) ld [mark]\n(001) ret #7", 0),
            ("(000) ld #0x9\n(001) div x\n(002) ret #7", 0),
            ("(000) ld #0x9\n(001) mod x\n(002) ret #7", 0),
            ("(000) ld #0x9\n(001) ldx #0x20\n(002) lsh x\n(003) ret a", 0),
            ("(000) ld #0x9\n(001) neg\n(002) ret a", 9u32.wrapping_neg()),
            ("(000) ld #0x9\n(001) st M[3]\n(002) ldx M[3]\n(003) txa\n(004) ret a", 9),
        ] {
            assert_eq!(run(text, &packet), expected, "{text}");
        }
    }

    #[test]
    fn a_loop_ends() {
        let looping = [Insn::Ja(u32::MAX), Insn::RetK(1)].map(Insn::encode);
        assert_eq!(Program::of_libpcap(&looping).unwrap().run(&Packet::of(&[])), 0);
    }

    #[test]
    fn netlink_attributes_are_searched_for() {
        // Two attributes, 1 and 2; the second has one of type 5 within.
        let mut data = Vec::new();
        for field in [8u16, 1, 0xffff, 0xffff, 12, 2, 8, 5, 0, 0] {
            data.extend(field.to_ne_bytes());
        }
        let metadata = Metadata::default();
        let packet = Packet { data: &data, len: data.len() as u32, metadata: Some(&metadata) };
        for (from, kind, word, expected) in [
            (0, 1, "nla", 0),
            (0, 2, "nla", 8),
            (8, 5, "nlan", 12),
            (8, 6, "nlan", 0),
            (0, 9, "nla", 0),
            (17, 5, "nla", 0),
        ] {
            let text = format!(
                "(000) ldx #{kind:#x}\n(001) ld #{from:#x}\n(002) ld [{word}]\n(003) ret a"
            );
            assert_eq!(run(&text, &packet), expected, "{text}");
        }
    }
}
