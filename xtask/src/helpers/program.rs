//! Programs made from a helper's row: what it takes is put together from the kinds of its
//! arguments, numbers are drawn.

use std::fmt::Write as _;

use skep_abi::helper::id;
use skep_abi::{Arg, ArgKind, Helper, MapType, ProgType, Proto, RetKind, TypeFlags};
use skep_isa::build::{Builder, Label};
use skep_isa::{AluOp, Cond, Insn, Operand, Reg, Size};

use crate::inputs::Random;

/// Bytes of memory that an argument may have.
const BUFFER: i16 = 64;
/// What a program leaves: what the helper gave, two arguments' memory, and a word of what it
/// pointed to; behind that the memory of a dynptr.
pub const MEMORY: usize = 8 + 2 * BUFFER as usize + 8 + 64;
/// Where the memory of a dynptr is in that.
const DYNPTR_MEMORY: i32 = 8 + 2 * BUFFER as i32 + 8;
/// Where a dynptr is on the stack.
const DYNPTR: i16 = -2 * BUFFER - 16;
/// Where a key is.
const KEY: i16 = -2 * BUFFER - 24;

/// Numbers that arguments are drawn from, besides random ones.
const EDGES: [i32; 30] = [
    0,
    1,
    2,
    3,
    4,
    5,
    7,
    8,
    12,
    14,
    16,
    20,
    24,
    32,
    34,
    40,
    54,
    64,
    90,
    100,
    0xfff,
    0x1000,
    0xffff,
    0x10000,
    -1,
    -4,
    15_974,
    15_975,
    i32::MAX,
    i32::MIN,
];
/// Numbers of bytes.
const SIZES: [i32; 18] = [0, 1, 2, 4, 8, 12, 14, 16, 20, 22, 24, 28, 32, 36, 40, 44, 60, 64];

/// One set of arguments for a helper.
pub struct Given {
    /// The helper.
    row: &'static Helper,
    proto: &'static Proto,
    /// The type of the program.
    pub kind: ProgType,
    /// Which packet it runs on.
    pub packet: usize,
    /// The type of the map that it takes.
    pub map: Option<MapType>,
    /// Numbers of the arguments.
    numbers: Vec<i32>,
    /// What the memory begins as.
    fill: [i32; 32],
}

/// Whether arguments like this can be made.
fn is_made(arg: &Arg) -> bool {
    match arg.kind {
        ArgKind::Anything
        | ArgKind::Context
        | ArgKind::Map
        | ArgKind::MapKey
        | ArgKind::MapValue
        | ArgKind::Mem
        | ArgKind::Size
        | ArgKind::SizeOrZero
        | ArgKind::Dynptr
        | ArgKind::AllocSize
        | ArgKind::RingbufRecord
        | ArgKind::ConstStr
        | ArgKind::SpinLock
        | ArgKind::SockCommon
        | ArgKind::Socket
        | ArgKind::KernelSock
        | ArgKind::Btf("task_struct") => true,
        ArgKind::FixedMem(bytes) => bytes <= BUFFER as u32,
        _ => false,
    }
}

/// Whether programs that call it can be made.
pub fn can_make(proto: &Proto) -> bool {
    proto.args.iter().all(is_made)
}

impl Given {
    /// The set with this number.
    pub fn new(
        row: &'static Helper,
        proto: &'static Proto,
        kind: ProgType,
        index: usize,
        random: &mut Random,
    ) -> Given {
        let takes_map = proto.args.iter().any(|arg| arg.kind == ArgKind::Map);
        let map = takes_map.then(|| {
            let kinds = row.maps.unwrap_or(&[MapType::Array, MapType::Hash, MapType::PercpuArray]);
            kinds[index % kinds.len()]
        });
        let map = match row.id {
            id::SPIN_LOCK | id::SPIN_UNLOCK => Some(MapType::Array),
            id::RINGBUF_SUBMIT
            | id::RINGBUF_DISCARD
            | id::RINGBUF_SUBMIT_DYNPTR
            | id::RINGBUF_DISCARD_DYNPTR => Some(MapType::Ringbuf),
            _ => map,
        };
        let mut number = |arg: &Arg| match arg.kind {
            ArgKind::Size | ArgKind::SizeOrZero | ArgKind::AllocSize => random.choose(&SIZES),
            _ if random.percent(15) => random.next() as i32,
            _ if random.percent(45) => random.range(0, 8) as i32,
            _ => random.choose(&EDGES),
        };
        let numbers = proto.args.iter().map(&mut number).collect();
        let mut fill = [0; 32];
        for word in &mut fill {
            *word = match random.below(4) {
                0 => random.next() as i32,
                1 => random.range(0, 3) as i32,
                _ => 0,
            };
        }
        // What names a family, a version or a key often begins its memory.
        fill[16] = random.choose(&[0, 1, 2, 3, 10, 0x45]);
        Given { row, proto, kind, packet: index, map, numbers, fill }
    }

    /// The arguments in words.
    pub fn text(&self) -> String {
        let mut text = format!("{}(", self.row.name);
        for (arg, number) in self.proto.args.iter().zip(&self.numbers) {
            let _ = write!(text, "{:?} {number}, ", arg.kind);
        }
        let _ = write!(text, ") packet {} map {:?} fill {:x?}", self.packet, self.map, self.fill);
        text
    }

    /// The program: `results` and `map` are fds.
    pub fn program(&self, results: u32, text: u32, map: Option<u32>) -> Vec<Insn> {
        let mut b = Builder::new();
        let out = b.label();
        b.copy(Reg::R6, Reg::R1);
        b.map_value(Reg::R7, results, 0);
        for (index, word) in self.fill.iter().enumerate() {
            b.store(Size::W, Reg::R10, -2 * BUFFER + 4 * index as i16, Operand::Imm(*word));
        }
        b.store(Size::DW, Reg::R10, KEY, Operand::Imm(self.fill[0] & 7));
        self.prepare(&mut b, map.unwrap_or_default(), out);
        let mut buffers = [-BUFFER, -2 * BUFFER].into_iter();
        for (at, arg) in self.proto.args.iter().enumerate() {
            let reg = ARGUMENTS[at];
            match arg.kind {
                ArgKind::Context => b.copy(reg, Reg::R6),
                ArgKind::Map => b.map(reg, map.unwrap_or_default()),
                ArgKind::MapKey => place(&mut b, reg, KEY),
                ArgKind::Dynptr => place(&mut b, reg, DYNPTR),
                ArgKind::ConstStr => b.map_value(reg, text, (self.packet % 4 * 16) as u32),
                ArgKind::Mem if self.row.id == id::DYNPTR_FROM_MEM => {
                    b.copy(reg, Reg::R7);
                    b.alu(AluOp::Add, reg, Operand::Imm(DYNPTR_MEMORY));
                }
                ArgKind::Mem | ArgKind::MapValue | ArgKind::FixedMem(_) => {
                    place(&mut b, reg, buffers.next().unwrap_or(-BUFFER));
                }
                ArgKind::SockCommon
                | ArgKind::Socket
                | ArgKind::KernelSock
                | ArgKind::RingbufRecord
                | ArgKind::SpinLock
                | ArgKind::Btf(_) => b.copy(reg, Reg::R8),
                _ => b.set(reg, self.numbers[at]),
            }
        }
        b.helper(self.row.id);
        self.keep(&mut b);
        b.place(out);
        b.set(Reg::R0, 0);
        b.exit();
        b.finish().unwrap_or_default()
    }

    /// What has to be there before the call: a dynptr, a socket, a task.
    fn prepare(&self, b: &mut Builder, map: u32, out: Label) {
        let takes = |is: &dyn Fn(&Arg) -> bool| self.proto.args.iter().any(is);
        match self.row.id {
            id::RINGBUF_SUBMIT_DYNPTR | id::RINGBUF_DISCARD_DYNPTR => {
                b.map(Reg::R1, map);
                b.set(Reg::R2, self.numbers[1] & 0xff);
                b.set(Reg::R3, 0);
                place(b, Reg::R4, DYNPTR);
                return b.helper(id::RINGBUF_RESERVE_DYNPTR);
            }
            id::RINGBUF_SUBMIT | id::RINGBUF_DISCARD => {
                b.map(Reg::R1, map);
                b.set(Reg::R2, 24);
                b.set(Reg::R3, 0);
                b.helper(id::RINGBUF_RESERVE);
                b.branch(Cond::Eq, Reg::R0, Operand::Imm(0), out);
                b.store(Size::DW, Reg::R0, 8, Operand::Imm(self.fill[0]));
                b.copy(Reg::R8, Reg::R0);
            }
            id::SPIN_LOCK | id::SPIN_UNLOCK => {
                b.store(Size::DW, Reg::R10, KEY, Operand::Imm(0));
                b.map(Reg::R1, map);
                place(b, Reg::R2, KEY);
                b.helper(id::MAP_LOOKUP_ELEM);
                b.branch(Cond::Eq, Reg::R0, Operand::Imm(0), out);
                b.copy(Reg::R8, Reg::R0);
                if self.row.id == id::SPIN_UNLOCK {
                    b.copy(Reg::R1, Reg::R8);
                    b.helper(id::SPIN_LOCK);
                    b.store(Size::W, Reg::R8, 4, Operand::Imm(self.fill[0]));
                }
            }
            _ => {}
        }
        if takes(&|arg| arg.kind == ArgKind::Dynptr && !arg.flags.contains(TypeFlags::UNINIT)) {
            b.copy(Reg::R1, Reg::R7);
            b.alu(AluOp::Add, Reg::R1, Operand::Imm(DYNPTR_MEMORY));
            b.set(Reg::R2, 40);
            b.set(Reg::R3, 0);
            place(b, Reg::R4, DYNPTR);
            b.helper(id::DYNPTR_FROM_MEM);
        }
        let socket = |arg: &Arg| {
            matches!(arg.kind, ArgKind::SockCommon | ArgKind::Socket | ArgKind::KernelSock)
        };
        if takes(&socket) {
            b.load(Size::DW, Reg::R8, Reg::R6, skep_abi::context::at::skb::SK as i16);
            b.branch(Cond::Eq, Reg::R8, Operand::Imm(0), out);
            b.copy(Reg::R1, Reg::R8);
            b.helper(id::SK_FULLSOCK);
            b.branch(Cond::Eq, Reg::R0, Operand::Imm(0), out);
            b.copy(Reg::R8, Reg::R0);
        }
        if takes(&|arg| matches!(arg.kind, ArgKind::Btf(_))) {
            b.helper(id::GET_CURRENT_TASK_BTF);
            b.copy(Reg::R8, Reg::R0);
        }
    }

    /// Puts what came of the call where it is looked at.
    fn keep(&self, b: &mut Builder) {
        let null = b.label();
        match self.proto.ret.kind {
            RetKind::Integer => b.store(Size::DW, Reg::R7, 0, Operand::Reg(Reg::R0)),
            RetKind::Void => {
                if self.row.id == id::SPIN_LOCK {
                    b.store(Size::W, Reg::R8, 4, Operand::Imm(self.fill[0]));
                    b.copy(Reg::R1, Reg::R8);
                    b.helper(id::SPIN_UNLOCK);
                }
                b.store(Size::DW, Reg::R7, 0, Operand::Imm(0));
            }
            kind => {
                b.store(Size::DW, Reg::R7, 0, Operand::Imm(0));
                b.branch(Cond::Eq, Reg::R0, Operand::Imm(0), null);
                b.store(Size::DW, Reg::R7, 0, Operand::Imm(1));
                match kind {
                    RetKind::RingbufRecord => {
                        b.copy(Reg::R1, Reg::R0);
                        b.set(Reg::R2, 0);
                        b.helper(id::RINGBUF_DISCARD);
                    }
                    RetKind::Socket | RetKind::SockCommon if is_look_up(self.row.id) => {
                        b.copy(Reg::R1, Reg::R0);
                        b.helper(id::SK_RELEASE);
                    }
                    RetKind::MapValue if self.map != Some(MapType::CgroupArray) => {
                        b.load(Size::DW, Reg::R1, Reg::R0, 0);
                        let at = 8 + 2 * BUFFER;
                        b.store(Size::DW, Reg::R7, at, Operand::Reg(Reg::R1));
                    }
                    _ => {}
                }
            }
        }
        b.place(null);
        if self.row.id == id::RINGBUF_RESERVE_DYNPTR {
            place(b, Reg::R1, DYNPTR);
            b.set(Reg::R2, 0);
            b.helper(id::RINGBUF_DISCARD_DYNPTR);
        }
        for at in (0..2 * BUFFER).step_by(8) {
            b.load(Size::DW, Reg::R1, Reg::R10, at - 2 * BUFFER);
            b.store(Size::DW, Reg::R7, 8 + at, Operand::Reg(Reg::R1));
        }
    }
}

fn is_look_up(helper: u32) -> bool {
    matches!(helper, id::SK_LOOKUP_TCP | id::SK_LOOKUP_UDP | id::SKC_LOOKUP_TCP)
}

fn place(b: &mut Builder, reg: Reg, at: i16) {
    b.copy(reg, Reg::R10);
    b.alu(AluOp::Add, reg, Operand::Imm(at.into()));
}

const ARGUMENTS: [Reg; 5] = [Reg::R1, Reg::R2, Reg::R3, Reg::R4, Reg::R5];
