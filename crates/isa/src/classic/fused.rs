//! Programs made ready for many packets of files, with the answers of the plain interpreter:
//! what is read and compared at once is one step, and tests in a row that all must hold are
//! one comparison of sixteen bytes.
//!
//! There is a step for each instruction, at its place, that does as much as can be done from
//! there on, so that jumps keep their targets.

use super::run::{Machine, Packet};
use super::{Cond, Insn, MEM_WORDS, Op, Operand, Reg};
use crate::Size;

/// Bytes that are compared at once.
const WIDE: usize = 16;

/// Where what is compared at once starts at most.
const NEAR: i32 = 1 << 16;

/// A program without backward jumps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fused {
    steps: Vec<Step>,
    /// Whether cells of memory are used.
    cells: bool,
}

/// What is done at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Reads a number into A, and compares.
    Byte(Test),
    Half(Test),
    Word(Test),
    /// The same behind X.
    ByteBehind(Test),
    HalfBehind(Test),
    WordBehind(Test),
    /// Compares A.
    Compare(Test),
    /// Compares sixteen bytes.
    Wide(Wide),
    /// Reads the length of IPv4's header into X, and goes on.
    HeaderLen(u32, u16),
    Return(u32),
    ReturnA,
    /// Another instruction, the one at this place.
    Plain(Insn, Exits),
}

/// Where to go on where a condition holds, and where it does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Exits {
    yes: u16,
    no: u16,
}

impl Exits {
    /// A branch, and no selection: what comes next does not wait for the packet's bytes,
    /// where the processor guesses right.
    #[inline(always)]
    fn of(self, holds: bool) -> u16 {
        if holds {
            return self.yes;
        }
        std::hint::cold_path();
        self.no
    }
}

/// Whether what is read, under a mask, has a number in a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Test {
    exits: Exits,
    offset: u32,
    /// What A keeps of what is read.
    mask: u32,
    /// What of A is compared.
    seen: u32,
    /// The range: where it starts, and how far it reaches.
    from: u32,
    span: u32,
}

impl Test {
    #[inline(always)]
    fn next(&self, a: u32) -> u16 {
        self.exits.of((a & self.seen).wrapping_sub(self.from) <= self.span)
    }

    /// A comparison of A with a constant.
    fn new(cond: Cond, k: u32, exits: Exits) -> Test {
        let test = |seen, from, to: u32| {
            let span = to - from;
            Test { exits, offset: 0, mask: u32::MAX, seen, from, span }
        };
        match cond {
            Cond::Eq => test(u32::MAX, k, k),
            Cond::Ge => test(u32::MAX, k, u32::MAX),
            Cond::Set => test(k, 1, u32::MAX),
            Cond::Gt => match k.checked_add(1) {
                Some(from) => test(u32::MAX, from, u32::MAX),
                // Nothing is greater: the other way is taken by all.
                None => {
                    let exits = Exits { yes: exits.no, no: exits.no };
                    Test { exits, ..test(u32::MAX, 0, u32::MAX) }
                }
            },
        }
    }
}

/// Whether sixteen bytes, under a mask, are these; both as the machine's numbers of little
/// endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Wide {
    exits: Exits,
    /// The step for packets that end before those bytes do.
    short: u16,
    offset: u32,
    mask: u128,
    value: u128,
}

impl Fused {
    /// `None` for programs with backward jumps, and with more places than steps can name.
    pub fn new(insns: &[Insn]) -> Option<Fused> {
        let jumps_back = |insn: &Insn| matches!(*insn, Insn::Ja(off) if (off as i32) < 0);
        // A chain takes another step, behind the last one.
        if insns.len() > usize::from(u16::MAX) / 4 || insns.iter().any(jumps_back) {
            return None;
        }
        let mut steps: Vec<Step> = (0..insns.len()).map(|at| step(insns, at)).collect();
        let alive = alive(insns);
        for at in 0..insns.len() {
            if let Some(wide) = Chain::at(insns, &alive, at).and_then(|chain| chain.wide(insns)) {
                let short = steps.len() as u16;
                steps.push(steps[at]);
                steps[at] = Step::Wide(Wide { short, ..wide });
            }
        }
        let uses = |insn: &Insn| matches!(insn, Insn::LoadMem(..) | Insn::Store(..));
        Some(Fused { steps, cells: insns.iter().any(uses) })
    }

    /// How many bytes of the packet to take; `None` where a load or a division ends the run.
    #[inline]
    pub fn run(&self, packet: &Packet<'_>) -> Option<u32> {
        match self.cells {
            false => self.walk::<0>(packet),
            true => self.walk::<{ MEM_WORDS as usize }>(packet),
        }
    }

    #[inline(always)]
    fn walk<const CELLS: usize>(&self, packet: &Packet<'_>) -> Option<u32> {
        let mut machine = Machine::<CELLS>::new();
        let data = packet.data;
        let mut at = 0u16;
        loop {
            at = match self.steps.get(usize::from(at))? {
                Step::Byte(test) => {
                    machine.a = byte(data, test.offset.into())? & test.mask;
                    test.next(machine.a)
                }
                Step::Half(test) => {
                    machine.a = half(data, test.offset.into())? & test.mask;
                    test.next(machine.a)
                }
                Step::Word(test) => {
                    machine.a = word(data, test.offset.into())? & test.mask;
                    test.next(machine.a)
                }
                Step::ByteBehind(test) => {
                    machine.a = byte(data, behind(machine.x, test))? & test.mask;
                    test.next(machine.a)
                }
                Step::HalfBehind(test) => {
                    machine.a = half(data, behind(machine.x, test))? & test.mask;
                    test.next(machine.a)
                }
                Step::WordBehind(test) => {
                    machine.a = word(data, behind(machine.x, test))? & test.mask;
                    test.next(machine.a)
                }
                Step::Compare(test) => test.next(machine.a),
                Step::Wide(wide) => {
                    match data.get(wide.offset as usize..).and_then(<[u8]>::first_chunk) {
                        Some(bytes) => {
                            let found = u128::from_le_bytes(*bytes) & wide.mask;
                            wide.exits.of(found == wide.value)
                        }
                        None => wide.short,
                    }
                }
                Step::HeaderLen(offset, next) => {
                    machine.x = 4 * (byte(data, (*offset).into())? & 0xf);
                    *next
                }
                Step::Return(bytes) => return Some(*bytes),
                Step::ReturnA => return Some(machine.a),
                Step::Plain(Insn::Branch { cond, src, .. }, exits) => {
                    exits.of(machine.holds(*cond, *src))
                }
                Step::Plain(insn, exits) => {
                    machine.step(*insn, packet)?;
                    exits.yes
                }
            };
        }
    }
}

/// On 64 bits: what lies behind 2^32 is behind the packet.
#[inline(always)]
fn behind(x: u32, test: &Test) -> u64 {
    u64::from(x) + u64::from(test.offset)
}

#[inline(always)]
fn byte(data: &[u8], at: u64) -> Option<u32> {
    data.get(usize::try_from(at).ok()?).map(|&byte| byte.into())
}

#[inline(always)]
fn half(data: &[u8], at: u64) -> Option<u32> {
    let bytes = data.get(usize::try_from(at).ok()?..)?.first_chunk()?;
    Some(u16::from_be_bytes(*bytes).into())
}

#[inline(always)]
fn word(data: &[u8], at: u64) -> Option<u32> {
    let bytes = data.get(usize::try_from(at).ok()?..)?.first_chunk()?;
    Some(u32::from_be_bytes(*bytes))
}

/// Where a jump to an instruction ends that may be a jump itself.
fn landing(insns: &[Insn], mut at: usize) -> usize {
    while let Some(Insn::Ja(off)) = insns.get(at) {
        at += 1 + *off as usize;
    }
    at
}

/// The step of an instruction; behind the last one there is none.
fn place(insns: &[Insn], at: usize) -> u16 {
    if at < insns.len() { at as u16 } else { u16::MAX }
}

/// The step that begins with an instruction.
fn step(insns: &[Insn], at: usize) -> Step {
    let place = |at: usize| place(insns, landing(insns, at));
    let next = Exits { yes: place(at + 1), no: place(at + 1) };
    // The comparison with a constant at a place, and what A keeps before it.
    let test = |at: usize| {
        let (mask, at) = match insns.get(at) {
            Some(Insn::Alu(Op::And, Operand::K(mask))) => (*mask, at + 1),
            _ => (u32::MAX, at),
        };
        let Some(&Insn::Branch { cond, src: Operand::K(k), jt, jf }) = insns.get(at) else {
            return None;
        };
        let to = |skip: u8| place(at + 1 + usize::from(skip));
        Some(Test { mask, ..Test::new(cond, k, Exits { yes: to(jt), no: to(jf) }) })
    };
    // What goes on whatever was read.
    let all = Test { mask: u32::MAX, ..Test::new(Cond::Ge, 0, next) };
    match insns[at] {
        Insn::LoadAbs { size, offset } => {
            let test = Test { offset: offset as u32, ..test(at + 1).unwrap_or(all) };
            match size {
                Size::B => Step::Byte(test),
                Size::H => Step::Half(test),
                Size::W | Size::DW => Step::Word(test),
            }
        }
        Insn::LoadInd { size, offset } => {
            let test = Test { offset: offset as u32, ..test(at + 1).unwrap_or(all) };
            match size {
                Size::B => Step::ByteBehind(test),
                Size::H => Step::HalfBehind(test),
                Size::W | Size::DW => Step::WordBehind(test),
            }
        }
        Insn::LoadHeaderLen { offset } => Step::HeaderLen(offset as u32, next.yes),
        Insn::Branch { src: Operand::K(_), .. } => Step::Compare(test(at).unwrap_or(all)),
        Insn::Branch { jt, jf, .. } => {
            let to = |skip: u8| place(at + 1 + usize::from(skip));
            Step::Plain(insns[at], Exits { yes: to(jt), no: to(jf) })
        }
        // Only the first instruction is reached so: other jumps to it go past it.
        Insn::Ja(off) => {
            let to = place(at + 1 + off as usize);
            Step::Plain(Insn::Ja(off), Exits { yes: to, no: to })
        }
        Insn::RetK(bytes) => Step::Return(bytes),
        Insn::RetA => Step::ReturnA,
        insn => Step::Plain(insn, next),
    }
}

/// For each instruction, and behind the last one, whether it or one behind it asks for what
/// A was before it.
fn alive(insns: &[Insn]) -> Vec<bool> {
    let mut alive = vec![false; insns.len() + 1];
    for at in (0..insns.len()).rev() {
        let behind = |skip: usize| alive.get(at + 1 + skip).copied().unwrap_or(false);
        alive[at] = match insns[at] {
            Insn::LoadAbs { .. }
            | Insn::LoadInd { .. }
            | Insn::LoadLen(Reg::A)
            | Insn::LoadImm(Reg::A, _)
            | Insn::LoadMem(Reg::A, _)
            | Insn::Txa
            | Insn::RetK(_) => false,
            Insn::LoadLen(Reg::X)
            | Insn::LoadImm(Reg::X, _)
            | Insn::LoadMem(Reg::X, _)
            | Insn::LoadHeaderLen { .. }
            | Insn::Store(Reg::X, _) => behind(0),
            Insn::Ja(off) => behind(off as usize),
            Insn::LoadAncillary { .. }
            | Insn::Store(Reg::A, _)
            | Insn::Alu(..)
            | Insn::Neg
            | Insn::Tax
            | Insn::Branch { .. }
            | Insn::RetA => true,
        };
    }
    alive
}

/// Tests of fixed places in a row, each of which goes to the same place where it fails.
struct Chain {
    /// Offset and size of what each reads, its mask and its value.
    tests: Vec<Link>,
    fails: usize,
}

/// A test that `number & mask == value`.
struct Link {
    offset: u32,
    bytes: u32,
    mask: u32,
    value: u32,
    /// Where it goes on where that holds, and where not.
    holds: usize,
    fails: usize,
}

impl Link {
    /// The test that begins with an instruction.
    fn at(insns: &[Insn], at: usize) -> Option<Link> {
        let Some(&Insn::LoadAbs { size, offset }) = insns.get(at) else { return None };
        let bytes = match size {
            Size::B => 1,
            Size::H => 2,
            Size::W | Size::DW => 4,
        };
        let (kept, at) = match insns.get(at + 1) {
            Some(Insn::Alu(Op::And, Operand::K(mask))) => (*mask, at + 2),
            _ => (u32::MAX, at + 1),
        };
        let Some(&Insn::Branch { cond, src: Operand::K(k), jt, jf }) = insns.get(at) else {
            return None;
        };
        let to = |skip: u8| landing(insns, at + 1 + usize::from(skip));
        let (mask, value, holds, fails) = match cond {
            Cond::Eq => (kept, k, to(jt), to(jf)),
            Cond::Set => (kept & k, 0, to(jf), to(jt)),
            Cond::Gt | Cond::Ge => return None,
        };
        // Of what is read there are only so many bits.
        let mask = mask & (u32::MAX >> (32 - 8 * bytes));
        let can_hold = value & !mask == 0;
        let is_near = (0..NEAR).contains(&offset);
        (can_hold && is_near).then_some(Link {
            offset: offset as u32,
            bytes,
            mask,
            value,
            holds,
            fails,
        })
    }
}

impl Chain {
    /// The chain that begins with an instruction. No test behind it may ask for A.
    fn at(insns: &[Insn], alive: &[bool], at: usize) -> Option<Chain> {
        let dead = |at: usize| alive.get(at) == Some(&false);
        let first = Link::at(insns, at)?;
        let fails = first.fails;
        // Answers are the same wherever they stand.
        let is_same = |at: usize| {
            let same = match (insns.get(fails), insns.get(at)) {
                (Some(Insn::RetK(one)), Some(Insn::RetK(other))) => one == other,
                _ => false,
            };
            same || at == fails
        };
        if !dead(fails) {
            return None;
        }
        let mut tests = vec![first];
        while let Some(next) = tests.last().and_then(|last| Link::at(insns, last.holds)) {
            let low = tests.iter().map(|test| test.offset).min().unwrap_or(0).min(next.offset);
            let ends = tests.iter().chain([&next]).map(|test| test.offset + test.bytes);
            if !is_same(next.fails) || ends.max() > Some(low + WIDE as u32) {
                break;
            }
            tests.push(next);
        }
        while tests.last().is_some_and(|last| !dead(last.holds)) {
            tests.pop();
        }
        (tests.len() > 1).then_some(Chain { tests, fails })
    }

    /// All its tests at once; `None` where two of them cannot both hold.
    fn wide(&self, insns: &[Insn]) -> Option<Wide> {
        let end = self.tests.iter().map(|test| test.offset + test.bytes).max()?;
        // As far in front as can be, so that packets are long enough.
        let offset = end.saturating_sub(WIDE as u32);
        let (mut mask, mut value) = (0u128, 0u128);
        for test in &self.tests {
            let place = |number: u32| {
                let mut bytes = [0; WIDE];
                let start = (test.offset - offset) as usize;
                let number = number.to_be_bytes();
                let number = &number[number.len() - test.bytes as usize..];
                bytes[start..start + number.len()].copy_from_slice(number);
                u128::from_le_bytes(bytes)
            };
            let (more, wanted) = (place(test.mask), place(test.value));
            if value & more != wanted & mask {
                return None;
            }
            (mask, value) = (mask | more, value | wanted);
        }
        let holds = self.tests.last()?.holds;
        let exits = Exits { yes: place(insns, holds), no: place(insns, self.fails) };
        Some(Wide { exits, short: 0, offset, mask, value })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Filter, Program};
    use super::*;

    /// Numbers that depend on a seed alone.
    struct Numbers(u64);

    impl Numbers {
        fn below(&mut self, bound: u32) -> u32 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            ((self.0 >> 33) % u64::from(bound)) as u32
        }

        /// Tests in a row.
        fn chain(&mut self, len: u32) -> Vec<Insn> {
            let mut insns = Vec::new();
            for at in 0..len {
                let (size, bits) = [(Size::B, 0), (Size::H, 8)][self.below(2) as usize];
                insns.push(Insn::LoadAbs { size, offset: self.below(20) as i32 });
                let rest = (2 * (len - at) - 1) as u8;
                let src = Operand::K(self.below(2) << bits | self.below(2));
                insns.push(match self.below(4) {
                    0 => Insn::Branch { cond: Cond::Set, src, jt: rest, jf: 0 },
                    _ => Insn::Branch { cond: Cond::Eq, src, jt: 0, jf: rest },
                });
            }
            insns.extend([Insn::RetK(5), Insn::RetK(7)]);
            insns
        }

        fn insn(&mut self, behind: u32) -> Insn {
            let size = [Size::B, Size::H, Size::W][self.below(3) as usize];
            let reg = [Reg::A, Reg::X][self.below(2) as usize];
            let k = [self.below(3), self.below(0x300), u32::MAX][self.below(3) as usize];
            let src = if self.below(5) == 0 { Operand::X } else { Operand::K(k) };
            let offset = self.below(24) as i32;
            if behind == 0 {
                return if self.below(2) == 0 { Insn::RetK(k) } else { Insn::RetA };
            }
            match self.below(20) {
                0..=5 => Insn::LoadAbs { size, offset },
                6 => Insn::LoadInd { size, offset },
                7 => Insn::LoadHeaderLen { offset },
                8 => Insn::Alu(Op::And, Operand::K(k)),
                9 => Insn::LoadMem(reg, self.below(17)),
                10 => Insn::Store(reg, self.below(3)),
                11 => [Insn::Tax, Insn::Txa, Insn::Neg, Insn::LoadLen(reg)][self.below(4) as usize],
                12 => Insn::Ja(self.below(behind)),
                13 => Insn::Alu(Op::Sub, src),
                14 => Insn::LoadImm(reg, k),
                15 => Insn::RetK(self.below(2)),
                _ => {
                    let cond = [Cond::Eq, Cond::Eq, Cond::Set, Cond::Gt, Cond::Ge];
                    let cond = cond[self.below(5) as usize];
                    let near = |it: &mut Numbers| it.below(behind.min(4) + 1) as u8;
                    let (jt, jf) = (near(self), near(self));
                    Insn::Branch { cond, src, jt, jf }
                }
            }
        }
    }

    #[test]
    fn steps_decide_as_instructions_do() {
        let mut numbers = Numbers(3);
        let mut wide = 0;
        for _ in 0..20_000 {
            let len = 2 + numbers.below(14);
            let insns: Vec<Insn> = match numbers.below(3) {
                0 => numbers.chain(len),
                _ => (0..len).map(|at| numbers.insn(len - at - 1)).collect(),
            };
            let filters: Vec<Filter> = insns.iter().map(|insn| insn.encode()).collect();
            let program = Program::of_libpcap(&filters).unwrap();
            let steps = &program.fused().unwrap().steps;
            wide += usize::from(steps.iter().any(|step| matches!(step, Step::Wide(_))));
            for _ in 0..8 {
                let len = numbers.below(40);
                let data: Vec<u8> = (0..len).map(|_| (numbers.below(5) / 3) as u8).collect();
                let packet = Packet { data: &data, len: numbers.below(50), metadata: None };
                let expected = program.trace(&packet, |_| {});
                assert_eq!(program.run(&packet), expected, "{insns:?} {data:?} {steps:?}");
            }
        }
        assert!(wide > 100, "{wide}");
    }

    #[test]
    fn tests_in_a_row_are_one() {
        let text = "(000) ldh [12]\n(001) jeq #0x800 jt 2 jf 7\n(002) ldb [23]\n\
                    (003) jeq #0x6 jt 4 jf 7\n(004) ldh [20]\n(005) jset #0x1fff jt 7 jf 6\n\
                    (006) ret #96\n(007) ret #0";
        let program = Program::new(&super::super::parse(text).unwrap()).unwrap();
        let Step::Wide(wide) = program.fused().unwrap().steps[0] else { panic!() };
        assert_eq!((wide.offset, wide.exits), (8, Exits { yes: 6, no: 7 }));
        let mut packet = [0; 24];
        (packet[12], packet[23], packet[20]) = (8, 6, 0xe0);
        assert_eq!(program.run(&Packet::of(&packet)), 96);
        assert_eq!(program.run(&Packet::of(&packet[..23])), 0);
        packet[20] = 0xf0;
        assert_eq!(program.run(&Packet::of(&packet)), 0);
    }
}
