//! Calls of helpers: `args` is each argument against the prototype, `effects` what the
//! call does to state, `result` what it leaves in r0, `maps` which map goes with which
//! helper. Counterpart: `check_helper_call`.

mod args;
mod effects;
mod maps;
mod result;

use skep_abi::helper::id;
use skep_abi::{Allowed, AttachType, Caller, Effects, ProgType, Proto, RetKind};
use skep_isa::{Callee, Insn};

use crate::checker::Checker;
use crate::error::{Check, fail};
use crate::mem::Access;
use crate::record::Field;
use crate::reg::{KERNEL_BTF, MapId};
use crate::stack::RawAccess;

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
    pub(crate) fn call_traits(&self, _pc: u32, callee: Callee) -> CallTraits {
        match callee {
            Callee::Helper(number) => {
                let Some(helper) = self.helper(number) else { return CallTraits::default() };
                CallTraits {
                    sync_callback: helper
                        .callback
                        .is_some_and(|callback| !callback.is_asynchronous()),
                    async_callback: helper
                        .callback
                        .is_some_and(|callback| callback.is_asynchronous()),
                    iter_next: false,
                    sleeps: self.proto_of(helper).is_some_and(|proto| proto.might_sleep),
                    changes_packet: helper.effects.contains(Effects::MOVES_PACKET),
                }
            }
            Callee::Kfunc { btf_id, module } => self.kfunc_traits(btf_id, module),
            Callee::Local(_) | Callee::Register(_) => CallTraits::default(),
        }
    }

    pub(crate) fn call_summary(&self, callee: Callee) -> Option<CallSummary> {
        match callee {
            Callee::Helper(number) => {
                let helper = self.helper(number)?;
                let proto = self.proto_of(helper)?;
                let inlined = helper.effects.contains(Effects::INLINED);
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
        let name = || self.helper_name(number).to_string();
        let helper = self.helper(number);
        if helper.is_none() && number != 0 {
            fail!(EINVAL, InvalidHelper { name: name(), id: number });
        }
        let Some((helper, proto)) = helper.and_then(|row| Some((row, self.proto_of(row)?))) else {
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
        self.record_map(helper, &meta)?;
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
        let changes = self.special_effects(helper, &mut meta)?;
        self.clear_caller_saved();
        self.set_result(helper, proto, &meta)?;
        self.check_map_for_helper(helper, meta.map)?;
        if number == id::GET_FUNC_IP {
            self.check_func_ip(number)?;
        }
        let moves = helper.effects.contains(Effects::MOVES_PACKET) && number != id::TAIL_CALL;
        if changes || moves {
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

    pub(crate) fn caller(&self) -> Caller<'_> {
        let congestion = self.code.target.ops.is_some_and(|row| row.congestion);
        let prog_type = match self.program.kind {
            // What implements anything else gets what every program gets, as netfilter's.
            ProgType::StructOps if !congestion => ProgType::Netfilter,
            // So does what is at an application's hook.
            ProgType::Unspec => ProgType::Netfilter,
            kind => kind,
        };
        Caller {
            prog_type,
            attach_type: AttachType::from_number(self.program.attach_type)
                .unwrap_or(AttachType::CgroupInetIngress),
            capabilities: self.env.caps,
            target: (!self.code.target.name.is_empty()).then_some(self.code.target.name.as_str()),
        }
    }

    /// Whether the prototype may be used where this program attaches.
    fn is_allowed_here(&self, proto: &Proto) -> bool {
        let target = self.type_name(KERNEL_BTF, self.program.attach_btf_id);
        match proto.allowed {
            Allowed::Everywhere => true,
            Allowed::SleepableHooks => self.is_sleepable(),
            Allowed::PathFunctions(names) => {
                self.program.attach_type == AttachType::TraceIter as u32
                    || names.contains(&target.as_str())
            }
            Allowed::NotTracing(prefix) => {
                use AttachType as A;
                match AttachType::from_number(self.program.attach_type) {
                    Some(A::TraceIter | A::TraceRawTp) => true,
                    Some(A::TraceFentry | A::TraceFexit) => !target.starts_with(prefix),
                    _ => false,
                }
            }
        }
    }
}
