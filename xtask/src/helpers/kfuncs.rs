//! Kernel functions in the same way: programs of ours that call one with drawn arguments, written
//! for each group of functions that take the same, and run by TEST_RUN on both kernels.

use skep_abi::ProgType;
use skep_btf::{Btf, Kind};
use skep_isa::build::{Builder, Label};
use skep_isa::{AluOp, Cond, Insn, Operand, Reg, Size};

use crate::inputs::Random;

/// What a group of functions takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Takes {
    /// A mask; two; three, of which the first is written.
    Masks(usize),
    /// A CPU and a mask.
    CpuAndMask,
    /// A text and a number.
    TextAndNumber,
    /// Texts, and a number where there are three arguments.
    Texts(usize),
    /// A text, a number and a byte.
    TextNumberByte,
    /// A dynptr and numbers.
    Dynptr(usize),
    /// Two dynptrs and numbers.
    Dynptrs,
    /// A range, which is gone through.
    Range,
    /// Words, whose bits are gone through.
    Bits,
    /// A number of a task.
    Pid,
    /// Nothing, and its counterpart is called behind it.
    Section(&'static str),
}

/// The functions, by what they take.
const FUNCTIONS: &[(Takes, ProgType, &[&str])] = &[
    (
        Takes::Masks(1),
        ProgType::Syscall,
        &[
            "bpf_cpumask_first",
            "bpf_cpumask_first_zero",
            "bpf_cpumask_setall",
            "bpf_cpumask_clear",
            "bpf_cpumask_empty",
            "bpf_cpumask_full",
            "bpf_cpumask_weight",
            "bpf_cpumask_create",
            "bpf_cpumask_release",
        ],
    ),
    (
        Takes::Masks(2),
        ProgType::Syscall,
        &[
            "bpf_cpumask_equal",
            "bpf_cpumask_intersects",
            "bpf_cpumask_subset",
            "bpf_cpumask_copy",
            "bpf_cpumask_first_and",
        ],
    ),
    (Takes::Masks(3), ProgType::Syscall, &["bpf_cpumask_and", "bpf_cpumask_or", "bpf_cpumask_xor"]),
    (
        Takes::CpuAndMask,
        ProgType::Syscall,
        &[
            "bpf_cpumask_set_cpu",
            "bpf_cpumask_clear_cpu",
            "bpf_cpumask_test_cpu",
            "bpf_cpumask_test_and_set_cpu",
            "bpf_cpumask_test_and_clear_cpu",
        ],
    ),
    (Takes::Texts(1), ProgType::SchedCls, &["bpf_strlen"]),
    (
        Takes::Texts(2),
        ProgType::SchedCls,
        &["bpf_strcmp", "bpf_strcasecmp", "bpf_strspn", "bpf_strcspn", "bpf_strstr"],
    ),
    (Takes::Texts(3), ProgType::SchedCls, &["bpf_strnstr"]),
    (
        Takes::TextAndNumber,
        ProgType::SchedCls,
        &["bpf_strchr", "bpf_strchrnul", "bpf_strrchr", "bpf_strnlen"],
    ),
    (Takes::TextNumberByte, ProgType::SchedCls, &["bpf_strnchr"]),
    (
        Takes::Dynptr(0),
        ProgType::SchedCls,
        &["bpf_dynptr_is_null", "bpf_dynptr_is_rdonly", "bpf_dynptr_size"],
    ),
    (Takes::Dynptr(2), ProgType::SchedCls, &["bpf_dynptr_adjust"]),
    (
        Takes::Dynptr(3),
        ProgType::SchedCls,
        &[
            "bpf_dynptr_memset",
            "bpf_probe_read_user_dynptr",
            "bpf_probe_read_user_str_dynptr",
            "bpf_probe_read_kernel_dynptr",
            "bpf_probe_read_kernel_str_dynptr",
        ],
    ),
    (Takes::Dynptrs, ProgType::SchedCls, &["bpf_dynptr_copy", "bpf_dynptr_clone"]),
    (
        Takes::Range,
        ProgType::SchedCls,
        &["bpf_iter_num_new", "bpf_iter_num_next", "bpf_iter_num_destroy"],
    ),
    (
        Takes::Bits,
        ProgType::SchedCls,
        &["bpf_iter_bits_new", "bpf_iter_bits_next", "bpf_iter_bits_destroy"],
    ),
    (
        Takes::Pid,
        ProgType::Syscall,
        &["bpf_task_from_pid", "bpf_task_from_vpid", "bpf_task_release"],
    ),
    (
        Takes::Section("bpf_rcu_read_unlock"),
        ProgType::SchedCls,
        &["bpf_rcu_read_lock", "bpf_rcu_read_unlock"],
    ),
    (
        Takes::Section("bpf_preempt_enable"),
        ProgType::SchedCls,
        &["bpf_preempt_disable", "bpf_preempt_enable"],
    ),
];

/// One call.
pub struct Case {
    /// The function.
    pub name: &'static str,
    takes: Takes,
    /// The type of the program.
    pub kind: ProgType,
    numbers: [i32; 6],
    texts: [[u8; 16]; 2],
}

/// The type of program and what is taken of each function that is judged.
pub fn judged() -> impl Iterator<Item = &'static str> {
    FUNCTIONS.iter().flat_map(|(.., names)| names.iter().copied())
}

impl Case {
    /// One with arguments that are drawn.
    pub fn draw(name: &'static str, random: &mut Random) -> Option<Case> {
        let row = FUNCTIONS.iter().find(|(.., names)| names.contains(&name))?;
        let mut numbers = [0; 6];
        for number in &mut numbers {
            *number = match random.below(4) {
                0 => random.choose(&[0, 1, -1, 63, 64, i32::MAX, i32::MIN, 8192]),
                _ => random.range(0, 20) as i32,
            };
        }
        let mut texts = [[0; 16]; 2];
        for (at, text) in texts.iter_mut().enumerate() {
            let len = random.index(if at == 0 { 15 } else { 4 });
            for byte in &mut text[..len] {
                *byte = random.choose(b"abAB/");
            }
        }
        Some(Case { name, takes: row.0, kind: row.1, numbers, texts })
    }

    /// In words.
    pub fn text(&self) -> String {
        format!("{} {:?} {:?}", self.name, self.numbers, self.texts)
    }

    /// The program, which leaves what it found in the value of a map; `None` where the kernel has
    /// no such function.
    pub fn program(&self, results: u32, types: &Btf) -> Option<Vec<Insn>> {
        let mut b = Builder::new();
        let out = b.label();
        b.map_value(Reg::R7, results, 0);
        for (at, text) in self.texts.iter().enumerate() {
            for half in 0..4 {
                let word = text[half * 4..].first_chunk().copied().map_or(0, i32::from_ne_bytes);
                let place = TEXTS + 16 * at as i16 + 4 * half as i16;
                b.store(Size::W, Reg::R10, place, Operand::Imm(word));
            }
        }
        let mut call = Calls { b, types };
        match self.takes {
            Takes::Masks(count) => self.masks(&mut call, count, out)?,
            Takes::CpuAndMask => self.cpu(&mut call, out)?,
            Takes::Texts(count) => {
                let third = (count == 3).then_some(self.numbers[0]);
                self.texts(&mut call, count.min(2), third, None)?;
            }
            Takes::TextAndNumber => {
                self.texts(&mut call, 1, Some(self.numbers[0] & 0x7f), None)?;
            }
            Takes::TextNumberByte => {
                let byte = i32::from(self.texts[1][0]);
                self.texts(&mut call, 1, Some(self.numbers[0]), Some(byte))?;
            }
            Takes::Dynptr(numbers) => self.dynptr(&mut call, numbers)?,
            Takes::Dynptrs => self.dynptrs(&mut call)?,
            Takes::Range => self.range(&mut call)?,
            Takes::Bits => self.bits(&mut call)?,
            Takes::Pid => self.task(&mut call, out)?,
            Takes::Section(counterpart) => {
                let enters = if self.name.ends_with("unlock") || self.name.ends_with("enable") {
                    self.name.replace("unlock", "lock").replace("enable", "disable")
                } else {
                    self.name.to_owned()
                };
                call.kfunc(&enters)?;
                call.b.store(Size::DW, Reg::R7, 0, Operand::Imm(self.numbers[0]));
                call.kfunc(counterpart)?;
            }
        }
        let mut b = call.b;
        b.place(out);
        b.set(Reg::R0, 0);
        b.exit();
        b.finish().ok()
    }

    /// Masks in r6, r8 and r9, with CPUs by the numbers.
    fn masks(&self, call: &mut Calls<'_>, count: usize, out: Label) -> Option<()> {
        let masks = [Reg::R6, Reg::R8, Reg::R9];
        let made: Vec<Label> = (0..count).map(|_| call.b.label()).collect();
        for at in 0..count {
            call.kfunc("bpf_cpumask_create")?;
            call.b.branch(Cond::Eq, Reg::R0, Operand::Imm(0), if at == 0 { out } else { made[at] });
            call.b.copy(masks[at], Reg::R0);
            for bit in 0..2 {
                call.b.set(Reg::R1, self.numbers[at * 2 + bit]);
                call.b.copy(Reg::R2, masks[at]);
                call.kfunc("bpf_cpumask_set_cpu")?;
            }
        }
        let own = ["bpf_cpumask_create", "bpf_cpumask_release"].contains(&self.name);
        if !own {
            for (at, mask) in masks.iter().take(count).enumerate() {
                call.b.copy(ARGUMENTS[at], *mask);
            }
            call.kfunc(self.name)?;
            if !VOID.contains(&self.name) {
                call.keep(self.name, 0);
            }
        }
        for (at, mask) in masks.iter().take(count).enumerate() {
            call.b.load(Size::DW, Reg::R1, *mask, 0);
            // Of two CPUs, which most machines have: of others both know nothing.
            call.b.alu(AluOp::And, Reg::R1, Operand::Imm(3));
            call.b.store(Size::DW, Reg::R7, 8 + 8 * at as i16, Operand::Reg(Reg::R1));
        }
        for at in (0..count).rev() {
            call.b.copy(Reg::R1, masks[at]);
            call.kfunc("bpf_cpumask_release")?;
            if at > 0 {
                call.b.place(made[at]);
            }
        }
        Some(())
    }

    fn cpu(&self, call: &mut Calls<'_>, out: Label) -> Option<()> {
        call.kfunc("bpf_cpumask_create")?;
        call.b.branch(Cond::Eq, Reg::R0, Operand::Imm(0), out);
        call.b.copy(Reg::R6, Reg::R0);
        for (name, number) in [("bpf_cpumask_set_cpu", 0), (self.name, 1), (self.name, 2)] {
            call.b.set(Reg::R1, self.numbers[number]);
            call.b.copy(Reg::R2, Reg::R6);
            call.kfunc(name)?;
            if name.contains("test") {
                call.keep(name, 8 * number as i16);
            }
        }
        call.b.load(Size::DW, Reg::R1, Reg::R6, 0);
        call.b.store(Size::DW, Reg::R7, 24, Operand::Reg(Reg::R1));
        call.b.copy(Reg::R1, Reg::R6);
        call.kfunc("bpf_cpumask_release")
    }

    fn texts(
        &self,
        call: &mut Calls<'_>,
        count: usize,
        number: Option<i32>,
        byte: Option<i32>,
    ) -> Option<()> {
        for (at, reg) in ARGUMENTS.iter().enumerate().take(count) {
            place(&mut call.b, *reg, TEXTS + 16 * at as i16);
        }
        for (at, number) in number.into_iter().chain(byte).enumerate() {
            call.b.set(ARGUMENTS[count + at], number);
        }
        call.kfunc(self.name)?;
        call.keep(self.name, 0);
        Some(())
    }

    /// A dynptr of the map's value at -24 of the stack.
    fn make(&self, call: &mut Calls<'_>, at: i16, size: i32) {
        let b = &mut call.b;
        b.copy(Reg::R1, Reg::R7);
        b.alu(AluOp::Add, Reg::R1, Operand::Imm(16));
        b.set(Reg::R2, size);
        b.set(Reg::R3, i32::from(self.numbers[5] == 1));
        place(b, Reg::R4, at);
        b.helper(skep_abi::helper::id::DYNPTR_FROM_MEM);
    }

    fn dynptr(&self, call: &mut Calls<'_>, numbers: usize) -> Option<()> {
        self.make(call, -24, 40);
        place(&mut call.b, Reg::R1, -24);
        for at in 0..numbers {
            call.b.set(ARGUMENTS[1 + at], self.numbers[at]);
        }
        call.kfunc(self.name)?;
        call.keep(self.name, 0);
        place(&mut call.b, Reg::R1, -24);
        call.kfunc("bpf_dynptr_size")?;
        call.keep("bpf_dynptr_size", 8);
        Some(())
    }

    fn dynptrs(&self, call: &mut Calls<'_>) -> Option<()> {
        self.make(call, -24, 40);
        let clones = self.name.ends_with("clone");
        if !clones {
            self.make(call, -48, 32);
        }
        place(&mut call.b, Reg::R1, -24);
        match clones {
            true => place(&mut call.b, Reg::R2, -48),
            false => {
                call.b.set(Reg::R2, self.numbers[0]);
                place(&mut call.b, Reg::R3, -48);
                call.b.set(Reg::R4, self.numbers[1]);
                call.b.set(Reg::R5, self.numbers[2]);
            }
        }
        call.kfunc(self.name)?;
        call.keep(self.name, 0);
        place(&mut call.b, Reg::R1, -48);
        call.kfunc("bpf_dynptr_size")?;
        call.keep("bpf_dynptr_size", 8);
        Some(())
    }

    /// Goes through an iterator, and adds what it gives to the map's value.
    fn go_through(&self, call: &mut Calls<'_>, kind: &str) -> Option<()> {
        call.keep("", 0);
        call.b.store(Size::DW, Reg::R7, 8, Operand::Imm(0));
        let (done, again) = (call.b.label(), call.b.here());
        place(&mut call.b, Reg::R1, -24);
        call.kfunc(&format!("bpf_iter_{kind}_next"))?;
        call.b.branch(Cond::Eq, Reg::R0, Operand::Imm(0), done);
        call.b.load(Size::W, Reg::R1, Reg::R0, 0);
        call.b.load(Size::DW, Reg::R2, Reg::R7, 8);
        call.b.alu(AluOp::Mul, Reg::R2, Operand::Imm(3));
        call.b.alu(AluOp::Add, Reg::R2, Operand::Reg(Reg::R1));
        call.b.store(Size::DW, Reg::R7, 8, Operand::Reg(Reg::R2));
        call.b.goto(again);
        call.b.place(done);
        place(&mut call.b, Reg::R1, -24);
        call.kfunc(&format!("bpf_iter_{kind}_destroy"))
    }

    fn range(&self, call: &mut Calls<'_>) -> Option<()> {
        place(&mut call.b, Reg::R1, -24);
        call.b.set(Reg::R2, self.numbers[0]);
        call.b.set(Reg::R3, self.numbers[1]);
        call.kfunc("bpf_iter_num_new")?;
        self.go_through(call, "num")
    }

    fn bits(&self, call: &mut Calls<'_>) -> Option<()> {
        place(&mut call.b, Reg::R1, -24);
        place(&mut call.b, Reg::R2, TEXTS);
        // No more than there are, or more than there may be.
        let words = [0, 1, 2, 3, 4, 512, -1][self.numbers[0].unsigned_abs() as usize % 7];
        call.b.set(Reg::R3, words);
        call.kfunc("bpf_iter_bits_new")?;
        self.go_through(call, "bits")
    }

    fn task(&self, call: &mut Calls<'_>, out: Label) -> Option<()> {
        let own = std::process::id() as i32;
        let pid = [own, 0, -1, 4_194_305, i32::MAX][self.numbers[0].unsigned_abs() as usize % 5];
        call.b.set(Reg::R1, pid);
        let name = if self.name.ends_with("release") { "bpf_task_from_pid" } else { self.name };
        call.kfunc(name)?;
        call.b.store(Size::DW, Reg::R7, 0, Operand::Imm(0));
        call.b.branch(Cond::Eq, Reg::R0, Operand::Imm(0), out);
        call.b.store(Size::DW, Reg::R7, 0, Operand::Imm(1));
        call.b.copy(Reg::R1, Reg::R0);
        call.kfunc("bpf_task_release")
    }
}

/// Functions that give nothing.
const VOID: [&str; 5] = [
    "bpf_cpumask_setall",
    "bpf_cpumask_clear",
    "bpf_cpumask_copy",
    "bpf_cpumask_or",
    "bpf_cpumask_xor",
];

/// Functions that give one byte: whether something is so.
const TRUTHS: [&str; 11] = [
    "bpf_cpumask_empty",
    "bpf_cpumask_full",
    "bpf_cpumask_equal",
    "bpf_cpumask_intersects",
    "bpf_cpumask_subset",
    "bpf_cpumask_and",
    "bpf_cpumask_test_cpu",
    "bpf_cpumask_test_and_set_cpu",
    "bpf_cpumask_test_and_clear_cpu",
    "bpf_dynptr_is_null",
    "bpf_dynptr_is_rdonly",
];

/// Where the texts are on the stack.
const TEXTS: i16 = -96;

const ARGUMENTS: [Reg; 5] = [Reg::R1, Reg::R2, Reg::R3, Reg::R4, Reg::R5];

fn place(b: &mut Builder, reg: Reg, at: i16) {
    b.copy(reg, Reg::R10);
    b.alu(AluOp::Add, reg, Operand::Imm(at.into()));
}

/// A program in the making, and the kernel's types.
struct Calls<'t> {
    b: Builder,
    types: &'t Btf,
}

impl Calls<'_> {
    /// Puts what a function gave into the map's value: no more of it than its type has.
    fn keep(&mut self, name: &str, at: i16) {
        let size = if TRUTHS.contains(&name) { Size::B } else { Size::W };
        self.b.store(size, Reg::R7, at, Operand::Reg(Reg::R0));
    }

    fn kfunc(&mut self, name: &str) -> Option<()> {
        let id = self.types.find(name, Kind::Func)?;
        self.b.kfunc(id as i32, 0);
        Some(())
    }
}
