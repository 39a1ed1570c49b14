//! The verifier at work: the program with what is known of each instruction, the
//! path being followed, and the paths still to follow. The stages stand in
//! [`Checker::run`], in order. Counterpart: `struct bpf_verifier_env`, `bpf_check`.

use std::sync::Arc;

use rustc_hash::FxHashMap;
use skep_abi::{Kfunc, MapType, Reason, flags};
use skep_btf::Btf;
use skep_isa::{Insn, Slot, decode_each, imm64_at};

use crate::Counts;
use crate::attach::Target;
use crate::env::{Env, Rights};
use crate::error::{Check, VerifyError, fail};
use crate::explain::trail::Trail;
use crate::explore::Pending;
use crate::explored::Explored;
use crate::facts::Facts;
use crate::log::{Log, say};
use crate::program::{MapDef, MapsByFd, Program};
use crate::record::Record;
use crate::reg::{BtfId, Flags, KERNEL_BTF, Kind, MapId, PROGRAM_BTF, Reg};
use crate::state::State;

/// What is known of one instruction on all paths.
#[derive(Clone, Debug, Default)]
pub(crate) struct Aux {
    /// States are compared here.
    pub prune_point: bool,
    /// The path must be recorded here.
    pub jump_point: bool,
    /// A state is always kept here.
    pub force_checkpoint: bool,
    pub calls_callback: bool,
    pub iter_next: bool,
    /// The loop that it is in, 0 for none.
    pub scc: u32,
    /// Registers that may be read from here on.
    pub live_before: u16,
    pub fastcall_pattern: bool,
    pub fastcall_spills: u8,
    /// The kind of pointer that it reads or writes through.
    pub pointer: Option<(Kind, Flags)>,
    /// A barrier stands before it.
    pub nospec: bool,
    /// A barrier stands after it.
    pub nospec_result: bool,
    pub alu_state: u8,
    pub alu_limit: u32,
    /// The map that its immediate names.
    pub map: Option<MapId>,
    pub map_off: u32,
    /// The kernel variable that its immediate names.
    pub btf_var: Option<(Kind, Flags)>,
    pub loop_inline: Option<(bool, u32)>,
}

/// One function of the program.
#[derive(Clone, Debug, Default)]
pub(crate) struct Subprog {
    pub start: u32,
    pub stack_depth: i32,
    pub has_tail_call: bool,
    pub has_ld_abs: bool,
    pub is_callback: bool,
    pub is_async_callback: bool,
    pub is_exception_callback: bool,
    pub changes_packet: bool,
    pub might_sleep: bool,
    pub is_global: bool,
    /// Called from code that was followed.
    pub called: bool,
    pub verified: bool,
    /// Its BTF does not describe how it is called.
    pub unreliable: bool,
    /// Below this offset only fastcall patterns use the stack.
    pub fastcall_off: i32,
    pub keep_fastcall_stack: bool,
    /// First entry in the postorder.
    pub postorder: usize,
    pub args: Option<Vec<crate::global::Arg>>,
}

/// A map that the program uses.
#[derive(Clone, Debug)]
pub(crate) struct MapInfo {
    pub def: Arc<MapDef>,
    /// As it was given.
    pub named: Arc<MapDef>,
    /// Special fields of its values.
    pub record: Record,
    /// What a look-up in a map of maps yields.
    pub inner: Option<MapId>,
}

impl MapInfo {
    pub(crate) fn new(mut def: Arc<MapDef>, checker: &mut Checker<'_>) -> MapInfo {
        let named = Arc::clone(&def);
        if matches!(def.kind, MapType::Devmap | MapType::DevmapHash) {
            // A look-up gives a part of the kernel's own device.
            Arc::make_mut(&mut def).flags |= flags::map::RDONLY_PROG;
        }
        let btf = def.btf.as_ref().map_or(PROGRAM_BTF, |btf| checker.add_btf(btf));
        let record = Record::of_map(&def, btf, checker);
        MapInfo { def, named, record, inner: None }
    }

    /// Whether its contents are constants for the program.
    pub(crate) fn is_constant(&self) -> bool {
        self.def.flags & flags::map::RDONLY_PROG != 0 && self.def.frozen.is_some()
    }

    pub(crate) fn has_direct_value(&self) -> bool {
        self.def.kind.row().direct_value
    }
}

/// The program as it stands: what nothing that is found along a path changes.
pub(crate) struct Code {
    /// Its instructions, by slot; none where a slot is none.
    pub insns: Vec<Option<Insn>>,
    /// Instructions of each subprogram, successors first.
    pub postorder: Vec<u32>,
    pub exception_callback: Option<usize>,
    pub maps: Vec<MapInfo>,
    pub map_ids: FxHashMap<i32, MapId>,
    /// Whether one of them is an arena.
    pub arena: bool,
    pub strict_alignment: bool,
    /// What it attaches to.
    pub target: Target,
}

/// Types that were looked up, so that they are looked up once.
pub(crate) struct Types {
    /// The kernel's BTF, the program's, and others.
    pub btfs: Vec<Option<Arc<Btf>>>,
    pub records: FxHashMap<(BtfId, u32), Option<Arc<Record>>>,
    /// The kernel functions that it names; `None` where it may not call one.
    pub kfuncs: FxHashMap<(i32, i16), Option<&'static Kfunc>>,
}

/// What is known of instructions and subprograms, before and by following paths.
pub(crate) struct Findings {
    pub aux: Vec<Aux>,
    pub subprogs: Vec<Subprog>,
    /// What will be published.
    pub facts: Facts,
}

/// How the path came here, and the paths still to follow.
#[derive(Default)]
pub(crate) struct Path {
    /// Whether the current instruction has a step in the history.
    pub history_open: bool,
    pub pending: Vec<Pending>,
    /// The last id that was given.
    pub id_gen: u32,
    /// Registers along the path, where an explanation is wanted.
    pub trail: Option<Trail>,
    /// Whether limits of pointer arithmetic are being collected, for which numbers must be
    /// the same.
    pub explore_alu_limits: bool,
    /// Instructions that were followed.
    pub processed: u32,
    /// Jumps that were followed.
    pub jumps: u32,
}

/// What was shown of the path, so that only what is new is shown.
#[derive(Default)]
pub(crate) struct Shown {
    pub touched_regs: u16,
    pub touched_slots: u64,
    pub prev_log_pos: usize,
    pub prev_insn_len: usize,
    pub prev_line: Option<usize>,
}

/// The verifier at work, in parts of which each can be lent without the others.
pub(crate) struct Checker<'a> {
    pub program: &'a Program,
    pub env: &'a Env,
    pub maps: MapsByFd<'a>,
    pub rights: Rights,
    pub code: Code,
    pub types: Types,
    pub found: Findings,
    /// The state that the path is in, before instruction `pc`.
    pub cur: State,
    pub pc: u32,
    /// The instruction before it, -1 for none.
    pub prev_pc: i32,
    pub path: Path,
    pub explored: Explored,
    pub log: &'a mut Log,
    pub shown: Shown,
}

impl Code {
    /// The instruction at this slot; `None` where the slot is none.
    #[inline]
    pub(crate) fn insn(&self, pc: u32) -> Option<Insn> {
        self.insns.get(pc as usize).copied().flatten()
    }
}

impl<'a> Checker<'a> {
    pub(crate) fn new(
        program: &'a Program,
        env: &'a Env,
        maps: MapsByFd<'a>,
        log: &'a mut Log,
    ) -> Checker<'a> {
        let len = program.slots.len();
        let bit = |flag| program.flags & flag != 0;
        Checker {
            program,
            env,
            maps,
            rights: Rights::of(env),
            code: Code {
                insns: decode_each(&program.slots),
                postorder: Vec::with_capacity(len),
                exception_callback: None,
                maps: Vec::new(),
                map_ids: FxHashMap::default(),
                arena: false,
                strict_alignment: bit(flags::prog::STRICT_ALIGNMENT)
                    && !bit(flags::prog::ANY_ALIGNMENT),
                target: Target::default(),
            },
            types: Types {
                btfs: vec![env.vmlinux.clone(), program.btf.clone()],
                records: FxHashMap::default(),
                kfuncs: FxHashMap::default(),
            },
            found: Findings {
                aux: vec![Aux::default(); len],
                subprogs: Vec::new(),
                facts: Facts::new(len),
            },
            cur: State::empty(),
            pc: 0,
            prev_pc: -1,
            path: Path::default(),
            explored: Explored::new(len),
            log,
            shown: Shown::default(),
        }
    }

    /// The whole verification.
    pub(crate) fn run(&mut self) -> Result<(), VerifyError> {
        let refuse = |pc| {
            move |fault: Box<crate::error::Fault>| VerifyError {
                pc,
                errno: fault.errno,
                reason: fault.reason,
            }
        };
        let result = match self.structure() {
            Err(fault) => Err(refuse(None)(fault)),
            Ok(()) => match self.explore_all() {
                Err(fault) => Err(refuse(Some(self.pc))(fault)),
                Ok(()) => self.finish().map_err(refuse(None)),
            },
        };
        if let Err(error) = &result
            && error.reason != Reason::Silent
        {
            // Linux forgets to end these two lines.
            let open = matches!(
                error.reason,
                Reason::TailCallMap | Reason::ExceptionCallbackCalled { .. }
            );
            say!(self.log, "{}{}", error.reason, if open { "" } else { "\n" });
        }
        self.log_statistics();
        result
    }

    fn finish(&mut self) -> Check {
        self.shrink_fastcall_stacks();
        self.check_stack_depth()?;
        for pc in 0..self.len() {
            let no_kfunc = skep_isa::Callee::Kfunc { btf_id: 0, module: 0 };
            if self.found.facts.at(pc).reached && self.insn(pc) == Some(Insn::Call(no_kfunc)) {
                fail!(EINVAL, KfuncNotEliminated);
            }
        }
        Ok(())
    }

    pub(crate) fn counts(&self) -> Counts {
        Counts {
            processed: self.path.processed,
            max_states_per_insn: self.explored.max_states_per_insn,
            total_states: self.explored.total_states,
            peak_states: self.explored.peak_states,
        }
    }

    fn log_statistics(&mut self) {
        if self.log.wants_stats() {
            let depths: Vec<String> =
                self.found.subprogs.iter().map(|subprog| subprog.stack_depth.to_string()).collect();
            say!(self.log, "verification time 0 usec\nstack depth {}\n", depths.join("+"));
        }
        say!(
            self.log,
            "processed {} insns (limit 1000000) max_states_per_insn {} total_states {} \
             peak_states {} mark_read 0\n",
            self.path.processed,
            self.explored.max_states_per_insn,
            self.explored.total_states,
            self.explored.peak_states
        );
    }

    /// Number of slots.
    pub(crate) fn len(&self) -> u32 {
        self.program.slots.len() as u32
    }

    /// The instruction at this slot; `None` where the slot is none.
    #[inline]
    pub(crate) fn insn(&self, pc: u32) -> Option<Insn> {
        self.code.insn(pc)
    }

    pub(crate) fn slot(&self, pc: u32) -> Slot {
        self.program.slots[pc as usize]
    }

    /// Whether a 64-bit immediate load starts here.
    pub(crate) fn is_imm64(&self, pc: u32) -> bool {
        imm64_at(&self.program.slots, pc as usize).is_some()
    }

    pub(crate) fn aux(&mut self) -> &mut Aux {
        &mut self.found.aux[self.pc as usize]
    }

    pub(crate) fn new_id(&mut self) -> u32 {
        self.path.id_gen += 1;
        self.path.id_gen
    }

    pub(crate) fn btf(&self, id: BtfId) -> Option<Arc<Btf>> {
        self.types.btfs.get(usize::from(id))?.clone()
    }

    pub(crate) fn add_btf(&mut self, btf: &Arc<Btf>) -> BtfId {
        let same =
            |other: &Option<Arc<Btf>>| other.as_ref().is_some_and(|other| Arc::ptr_eq(other, btf));
        if let Some(index) = self.types.btfs.iter().position(same) {
            return index as BtfId;
        }
        self.types.btfs.push(Some(Arc::clone(btf)));
        (self.types.btfs.len() - 1) as BtfId
    }

    /// Whether a BTF is the kernel's or a module's.
    pub(crate) fn is_kernel_btf(&self, id: BtfId) -> bool {
        id == KERNEL_BTF
            || self.types.btfs.get(usize::from(id)).and_then(Option::as_ref).is_some_and(|btf| {
                self.program.modules.iter().any(|(_, module)| Arc::ptr_eq(module, btf))
            })
    }

    /// Name of a type, "" where there is none.
    pub(crate) fn type_name(&self, btf: BtfId, id: u32) -> String {
        self.btf(btf)
            .and_then(|btf| btf.type_by_id(id).map(|ty| ty.name().to_string()).ok())
            .unwrap_or_default()
    }

    /// Whether the program as a whole may sleep.
    pub(crate) fn is_sleepable(&self) -> bool {
        self.program.flags & flags::prog::SLEEPABLE != 0
    }

    /// Whether the current path may sleep.
    pub(crate) fn in_sleepable(&self) -> bool {
        self.is_sleepable() || self.cur.sleepable
    }

    /// Whether RCU-protected objects cannot go away here.
    pub(crate) fn in_rcu(&self) -> bool {
        self.cur.rcu_lock || self.cur.active_locks > 0 || !self.in_sleepable()
    }

    /// Any number; precise at once without CAP_BPF, where nothing is tracked.
    pub(crate) fn unknown(&self) -> Reg {
        Reg { precise: !self.rights.bpf, ..Reg::UNKNOWN }
    }

    /// The number 0, as read from memory.
    pub(crate) fn zero(&self) -> Reg {
        Reg { precise: !self.rights.bpf, ..Reg::constant(0) }
    }

    /// What is left of a pointer to something that went away.
    pub(crate) fn invalid(&self) -> Reg {
        if self.rights.leak_pointers { self.unknown() } else { Reg::UNINIT }
    }
}
