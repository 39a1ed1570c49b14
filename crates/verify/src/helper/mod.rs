//! Calls of helpers: `args` is each argument against the prototype, `effects` what the
//! call does to state, `result` what it leaves in r0, `maps` which map goes with which
//! helper. Counterpart: `check_helper_call`.

mod args;
mod effects;
mod maps;
mod result;

pub(crate) use effects::{element_arguments, timer_arguments};

use skep_abi::{Allowed, AttachType, Caller, Helper, ProgType, Proto, RetKind};
use skep_isa::{Callee, Insn};

use crate::checker::Checker;
use crate::disasm::helper_name;
use crate::error::{Check, fail};
use crate::mem::Access;
use crate::record::Field;
use crate::reg::{KERNEL_BTF, MapId};
use crate::stack::RawAccess;
use crate::structure::subprogs::TAIL_CALL;

/// Helpers that the verifier knows by name.
pub(crate) mod id {
    pub(crate) const MAP_LOOKUP: u32 = 1;
    pub(crate) const MAP_UPDATE: u32 = 2;
    pub(crate) const MAP_DELETE: u32 = 3;
    pub(crate) const GET_SMP_PROCESSOR_ID: u32 = 8;
    pub(crate) const PROBE_READ_STR: u32 = 45;
    pub(crate) const GET_STACK: u32 = 67;
    pub(crate) const GET_LOCAL_STORAGE: u32 = 81;
    pub(crate) const SK_RELEASE: u32 = 86;
    pub(crate) const SPIN_LOCK: u32 = 93;
    pub(crate) const PROBE_READ_USER_STR: u32 = 114;
    pub(crate) const PROBE_READ_KERNEL_STR: u32 = 115;
    pub(crate) const GET_TASK_STACK: u32 = 141;
    pub(crate) const FOR_EACH_MAP_ELEM: u32 = 164;
    pub(crate) const SNPRINTF: u32 = 165;
    pub(crate) const TIMER_SET_CALLBACK: u32 = 170;
    pub(crate) const GET_FUNC_IP: u32 = 173;
    pub(crate) const FIND_VMA: u32 = 180;
    pub(crate) const LOOP: u32 = 181;
    pub(crate) const SET_RETVAL: u32 = 187;
    pub(crate) const KPTR_XCHG: u32 = 194;
    pub(crate) const DYNPTR_FROM_MEM: u32 = 197;
    pub(crate) const DYNPTR_WRITE: u32 = 202;
    pub(crate) const DYNPTR_DATA: u32 = 203;
    pub(crate) const USER_RINGBUF_DRAIN: u32 = 209;
}

/// Helpers after which packet pointers are worth nothing.
const CHANGES_PACKET: &[u32] =
    &[9, 10, 11, 13, 18, 19, 31, 38, 39, 43, 44, 54, 62, 65, 73, 74, 75, 76, 90, 91, 143, 12];
/// Helpers that yield a reference.
const ACQUIRES: &[u32] = &[84, 85, 99, 131, id::KPTR_XCHG];
/// Helpers that see the same socket as another type.
const CASTS: &[u32] = &[95, 96, 136, 137, 138, 139, 140, 196];

/// What the flow graph needs to know of a call.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CallTraits {
    pub sync_callback: bool,
    pub async_callback: bool,
    pub iter_next: bool,
    pub sleeps: bool,
    pub changes_packet: bool,
}

/// What a call does to registers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CallSummary {
    pub params: u32,
    pub is_void: bool,
    pub fast: bool,
}

/// What the arguments of a call have shown.
#[derive(Default)]
struct Meta {
    map: Option<MapId>,
    map_uid: u32,
    raw_mode: bool,
    raw: RawAccess,
    release: Option<u8>,
    ref_id: u32,
    size_max: u64,
    mem_size: u32,
    subprog: u32,
    dynptr_id: u32,
    kptr: Option<Field>,
    const_key: Option<u64>,
    ret_btf: Option<(u8, u32)>,
}

impl Checker<'_> {
    /// The prototype under which this program may call a helper.
    pub(crate) fn proto(&self, number: u32) -> Option<&'static Proto> {
        let helper = Helper::from_id(number)?;
        self.proto_of(helper)
    }

    pub(crate) fn call_traits(&self, _pc: u32, callee: Callee) -> CallTraits {
        match callee {
            Callee::Helper(number) => CallTraits {
                sync_callback: matches!(
                    number,
                    id::FOR_EACH_MAP_ELEM | id::FIND_VMA | id::LOOP | id::USER_RINGBUF_DRAIN
                ),
                async_callback: number == id::TIMER_SET_CALLBACK,
                iter_next: false,
                sleeps: self.proto(number).is_some_and(|proto| proto.might_sleep),
                changes_packet: CHANGES_PACKET.contains(&number),
            },
            Callee::Kfunc { btf_id, module } => self.kfunc_traits(btf_id, module),
            Callee::Local(_) | Callee::Register(_) => CallTraits::default(),
        }
    }

    pub(crate) fn call_summary(&self, callee: Callee) -> Option<CallSummary> {
        match callee {
            Callee::Helper(number) => {
                let proto = self.proto(number)?;
                let inlined = number == id::GET_SMP_PROCESSOR_ID || matches!(number, 35 | 158);
                Some(CallSummary {
                    params: proto.args.len() as u32,
                    is_void: proto.ret.kind == RetKind::Void,
                    fast: proto.fastcall && inlined,
                })
            }
            Callee::Kfunc { btf_id, module } => self.kfunc_summary(btf_id, module),
            Callee::Local(_) | Callee::Register(_) => None,
        }
    }

    pub(crate) fn check_helper_call(&mut self, number: u32) -> Check {
        let name = || helper_name(number).to_string();
        if number as usize > Helper::all().len() {
            fail!(EINVAL, InvalidHelper { name: name(), id: number });
        }
        let Some(proto) = self.proto(number) else {
            fail!(EINVAL, HelperNotForType { name: name(), id: number });
        };
        if !self.program.gpl && proto.gpl_only {
            fail!(EINVAL, HelperGpl);
        }
        if !self.is_allowed_here(proto) {
            fail!(EINVAL, HelperInProbe);
        }
        if proto.might_sleep {
            if !self.in_sleepable() {
                fail!(EINVAL, HelperSleeps);
            }
            if self.cur.rcu_lock {
                fail!(EINVAL, HelperInRcu { name: name(), id: number });
            }
            if self.cur.preempt_locks > 0 {
                fail!(EINVAL, HelperInPreempt { name: name(), id: number });
            }
            if self.cur.irq_id != 0 {
                fail!(EINVAL, HelperInIrq { name: name(), id: number });
            }
        }
        let mut meta = Meta::default();
        for (index, arg) in proto.args.iter().enumerate() {
            self.check_arg(number, proto, index, *arg, &mut meta)?;
        }
        self.record_map(number, &meta)?;
        for at in 0..meta.raw.size {
            self.check_access(Access {
                base: meta.raw.reg,
                off: at,
                size: skep_isa::Size::B,
                write: true,
                value: None,
                strict: false,
                signed: false,
            })?;
        }
        self.release_argument(number, proto, &meta)?;
        let changes = self.special_effects(number, &mut meta)?;
        self.clear_caller_saved();
        self.set_result(number, proto, &meta)?;
        self.check_map_for_helper(number, meta.map)?;
        if number == id::GET_FUNC_IP {
            self.check_func_ip(number)?;
        }
        if changes || CHANGES_PACKET.contains(&number) && number != TAIL_CALL {
            self.clear_packet_pointers();
        }
        Ok(())
    }
    /// Whether the current frame is the comparison of a tree's `bpf_rbtree_add`.
    pub(crate) fn in_rbtree_callback(&self) -> bool {
        let frame = self.cur.frame();
        self.cur.depth() > 0
            && frame.in_callback
            && match self.insn(frame.callsite as u32) {
                Some(Insn::Call(Callee::Kfunc { btf_id, module })) => self
                    .kfunc_name(btf_id, module)
                    .is_some_and(|name| name.starts_with("bpf_rbtree_")),
                _ => false,
            }
    }

    fn caller(&self) -> Caller<'_> {
        let congestion = self.target.ops.is_some_and(|row| row.congestion);
        let prog_type = match self.program.kind {
            // What implements anything else gets what every program gets, as netfilter's.
            ProgType::StructOps if !congestion => ProgType::Netfilter,
            kind => kind,
        };
        Caller {
            prog_type,
            attach_type: AttachType::from_number(self.program.attach_type)
                .unwrap_or(AttachType::CgroupInetIngress),
            capabilities: self.env.caps,
            target: (!self.target.name.is_empty()).then_some(self.target.name.as_str()),
        }
    }

    fn proto_of(&self, helper: &'static Helper) -> Option<&'static Proto> {
        helper.proto(&self.caller())
    }

    /// Whether the prototype may be used where this program attaches.
    fn is_allowed_here(&self, proto: &Proto) -> bool {
        let target = self.type_name(KERNEL_BTF, self.program.attach_btf_id);
        match proto.allowed {
            Allowed::Everywhere => true,
            Allowed::SleepableHooks => self.is_sleepable(),
            Allowed::PathFunctions(names) => {
                self.program.attach_type == 28 || names.contains(&target.as_str())
            }
            Allowed::NotTracing(prefix) => {
                self.program.kind != ProgType::Tracing || !target.starts_with(prefix)
            }
        }
    }
}
