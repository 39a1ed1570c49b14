//! Functions that are verified on their own, by what their BTF says of their
//! arguments. Counterpart: `btf_prepare_func_args`, `btf_check_subprog_call`.

use skep_abi::{Errno, ProgType, Reason};
use skep_btf::{Btf, FuncLinkage, Type};

use crate::checker::Checker;
use crate::error::{Check, Fault, bug, fail};
use crate::kernel_types::AcceptedType;
use crate::reg::{DynptrKind, Flags, KERNEL_BTF, Kind, Reg};

/// What a function takes as an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arg {
    Scalar,
    Ctx,
    Dynptr,
    Mem { size: u32, flags: Flags },
    Btf { id: u32, flags: Flags },
    Arena,
}

/// What tags of an argument say.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Tags {
    ctx: bool,
    nonnull: bool,
    nullable: bool,
    trusted: bool,
    arena: bool,
    untrusted: bool,
}

impl Checker<'_> {
    /// The arguments of a function, as its BTF has them.
    pub(crate) fn function_args(&mut self, index: usize) -> Check<Vec<Arg>> {
        if let Some(args) = &self.subprogs[index].args {
            return Ok(args.clone());
        }
        let Some(info) = self.program.func_info.get(index) else { bug!("func_info undefined") };
        let Some(btf) = self.program.btf.clone() else { bug!("func_info undefined") };
        let Ok(Type::Func { name, proto, linkage }) = btf.type_by_id(info.type_id) else {
            bug!("BTF of func#{index} doesn't point to KIND_FUNC");
        };
        if self.subprogs[index].unreliable {
            bug!("unreliable BTF in function {name}()");
        }
        let global = linkage == FuncLinkage::Global;
        let quiet = |reason| {
            let reason = if global { reason } else { Reason::Silent };
            Err(Fault::new(Errno::EINVAL, reason))
        };
        let Ok(Type::FuncProto(signature)) = btf.type_by_id(proto) else {
            bug!("Invalid type of function {name}()");
        };
        let count = signature.params.len() as u32;
        if count > 5 {
            return quiet(Reason::GlobalTooManyArgs { name: name.into(), count });
        }
        if !is_number(&btf, signature.ret) {
            return quiet(Reason::GlobalReturn { name: name.into() });
        }
        let mut args = Vec::new();
        for (i, param) in signature.params.iter().enumerate() {
            let arg = i as u32;
            let tags = self.tags(&btf, info.type_id, arg, global)?;
            let tagged = tags != Tags::default();
            let bad = || Reason::GlobalArgTag { arg, tag: "invalid combination of tags".into() };
            let Ok(Type::Ptr { target }) = btf.resolved(param.type_id) else {
                if tagged {
                    let tag = "pointer tag, but is not a pointer type".into();
                    fail!(EINVAL, GlobalArgTag { arg, tag });
                }
                if is_number(&btf, param.type_id) {
                    args.push(Arg::Scalar);
                    continue;
                }
                let kind =
                    btf.resolved(param.type_id).map_or("UNKNOWN", |ty| ty.kind().dump_name());
                return quiet(Reason::GlobalArgType { arg, kind, name: name.into() });
            };
            args.push(if tags.ctx || (!tags.arena && self.is_context_type(&btf, target)) {
                if tags != (Tags { ctx: tags.ctx, ..Tags::default() }) {
                    return Err(Fault::new(Errno::EINVAL, bad()));
                }
                Arg::Ctx
            } else if is_struct(&btf, target, "bpf_dynptr") {
                if tagged {
                    return Err(Fault::new(Errno::EINVAL, bad()));
                }
                Arg::Dynptr
            } else if tags.trusted || tags.untrusted {
                if tags.nonnull {
                    return Err(Fault::new(Errno::EINVAL, bad()));
                }
                let id = btf.resolved(target).ok().and_then(|ty| {
                    let name = ty.name().split("___").next().unwrap_or_default();
                    self.btf(KERNEL_BTF)?.find(name, ty.kind())
                });
                let mut flags = if tags.trusted { Flags::TRUSTED } else { Flags::UNTRUSTED };
                flags.set(Flags::MAYBE_NULL, tags.nullable);
                match id {
                    Some(id) => Arg::Btf { id, flags },
                    None => {
                        let size = btf.size_of(target).unwrap_or(0) as u32;
                        Arg::Mem { size, flags: Flags::UNTRUSTED | Flags::RDONLY }
                    }
                }
            } else if tags.arena {
                Arg::Arena
            } else if global {
                if tags.nullable {
                    return Err(Fault::new(Errno::EINVAL, bad()));
                }
                let Ok(size) = btf.size_of(target) else {
                    let (kind, name) = btf.resolved(target).map_or_else(
                        |_| ("UNKNOWN".to_string(), "(anon)".to_string()),
                        |ty| (ty.kind().dump_name().to_string(), ty.name().to_string()),
                    );
                    fail!(EINVAL, GlobalArgSize { arg, kind, name });
                };
                let flags = if tags.nonnull { Flags::empty() } else { Flags::MAYBE_NULL };
                Arg::Mem { size: size as u32, flags }
            } else {
                return Err(Fault::new(Errno::EINVAL, Reason::Silent));
            });
        }
        self.subprogs[index].args = Some(args.clone());
        Ok(args)
    }

    fn tags(&self, btf: &Btf, func: u32, arg: u32, global: bool) -> Check<Tags> {
        let mut tags = Tags::default();
        for (name, component) in btf.decl_tags(func) {
            let Some(tag) = name.strip_prefix("arg:") else { continue };
            if component != arg as i32 {
                continue;
            }
            if !global {
                let text = format!("arg#{arg} type tag is not supported in static functions");
                fail!(EOPNOTSUPP, BtfText { text });
            }
            match tag {
                "ctx" => tags.ctx = true,
                "trusted" => tags.trusted = true,
                "untrusted" => tags.untrusted = true,
                "nonnull" => tags.nonnull = true,
                "nullable" => tags.nullable = true,
                "arena" => tags.arena = true,
                _ => fail!(EOPNOTSUPP, GlobalArgTag { arg, tag: "unsupported set of tags".into() }),
            }
        }
        Ok(tags)
    }

    /// Whether this is the type by which programs like this name their context.
    pub(crate) fn is_context_type(&self, btf: &Btf, id: u32) -> bool {
        let id = match btf.type_by_id(id) {
            Ok(Type::Typedef { name: "bpf_user_pt_regs_t", .. }) => {
                return self.program.kind == ProgType::Kprobe;
            }
            _ => id,
        };
        if self.program.kind == ProgType::Kprobe && is_struct(btf, id, "bpf_user_pt_regs_t") {
            return true;
        }
        let name = match self.program.kind {
            ProgType::SocketFilter
            | ProgType::SchedCls
            | ProgType::SchedAct
            | ProgType::CgroupSkb
            | ProgType::LwtIn
            | ProgType::LwtOut
            | ProgType::LwtXmit
            | ProgType::LwtSeg6local
            | ProgType::SkSkb
            | ProgType::FlowDissector => "__sk_buff",
            ProgType::Xdp => "xdp_md",
            ProgType::CgroupSock => "bpf_sock",
            ProgType::CgroupSockAddr => "bpf_sock_addr",
            ProgType::SockOps => "bpf_sock_ops",
            ProgType::SkMsg => "sk_msg_md",
            ProgType::Kprobe => "pt_regs",
            ProgType::PerfEvent => "bpf_perf_event_data",
            ProgType::RawTracepoint | ProgType::RawTracepointWritable => "bpf_raw_tracepoint_args",
            ProgType::CgroupDevice => "bpf_cgroup_dev_ctx",
            ProgType::CgroupSysctl => "bpf_sysctl",
            ProgType::CgroupSockopt => "bpf_sockopt",
            ProgType::SkReuseport => "sk_reuseport_md",
            ProgType::SkLookup => "bpf_sk_lookup",
            ProgType::Netfilter => "bpf_nf_ctx",
            _ => return false,
        };
        is_struct(btf, id, name)
    }

    /// The registers with which a function is entered.
    pub(crate) fn enter_global(&mut self, index: usize) -> Check {
        let args = self.function_args(index)?;
        if self.subprogs[index].is_exception_callback {
            self.cur.frame_mut().in_exception_callback = true;
            if args != [Arg::Scalar] {
                fail!(EINVAL, ExceptionCallbackArgs);
            }
        }
        for (i, arg) in args.into_iter().enumerate() {
            let reg = match arg {
                Arg::Scalar => self.unknown(),
                Arg::Ctx => Reg::pointer(Kind::Ctx, Flags::empty()),
                Arg::Dynptr => {
                    let id = self.new_id();
                    let kind = Kind::Dynptr { kind: DynptrKind::Local, first: true };
                    Reg { id, ..Reg::pointer(kind, Flags::empty()) }
                }
                Arg::Mem { size, flags } => {
                    let id = if flags.contains(Flags::MAYBE_NULL) { self.new_id() } else { 0 };
                    Reg { id, ..Reg::pointer(Kind::Mem { size, dynptr: 0 }, flags) }
                }
                Arg::Btf { id, flags } => {
                    let own = self.new_id();
                    let kind = Kind::Btf { btf: KERNEL_BTF, id };
                    Reg { id: own, ..Reg::pointer(kind, flags) }
                }
                Arg::Arena => Reg::pointer(Kind::Arena, Flags::empty()),
            };
            *self.cur.reg_mut(i + 1) = reg;
        }
        Ok(())
    }

    /// Whether the registers fit what a function's BTF says; if not, the BTF is not
    /// to be relied on.
    pub(crate) fn check_call_args(&mut self, index: usize) -> Check {
        if self.program.func_info.is_empty() || self.subprogs[index].unreliable {
            fail!(EINVAL, Silent);
        }
        let checked = self.match_args(index);
        if checked.is_err() {
            self.subprogs[index].unreliable = true;
        }
        checked
    }

    fn match_args(&mut self, index: usize) -> Check {
        let args = self.function_args(index)?;
        for (i, arg) in args.into_iter().enumerate() {
            let n = i as u8 + 1;
            let reg = *self.cur.reg(n.into());
            let number = i as u32;
            match arg {
                Arg::Scalar => {
                    if !reg.is_scalar() {
                        fail!(EINVAL, ArgNotScalar { reg: n });
                    }
                }
                Arg::Ctx => {
                    self.check_arg_offset(&reg, n, false, false)?;
                    if !reg.is_ctx() {
                        fail!(EINVAL, ArgNotCtx { arg: number });
                    }
                }
                Arg::Mem { size, flags } => {
                    if flags.contains(Flags::UNTRUSTED) {
                        // Read with care, whatever it is.
                        continue;
                    }
                    self.check_arg_offset(&reg, n, false, false)?;
                    self.check_mem_reg(n, size).map_err(|mut fault| {
                        fault.errno = Errno::EINVAL;
                        fault
                    })?;
                    let null = reg.maybe_null() || reg.is_null();
                    if !flags.contains(Flags::MAYBE_NULL) && null {
                        fail!(EINVAL, ArgNull { arg: number });
                    }
                }
                Arg::Arena => {
                    if !matches!(reg.kind, Kind::Arena | Kind::Scalar) {
                        fail!(EINVAL, ArgNotArena { reg: n });
                    }
                }
                Arg::Dynptr => {
                    self.check_arg_offset(&reg, n, false, true)?;
                    self.process_dynptr(n, skep_abi::TypeFlags::READ_ONLY, DynptrKind::Invalid, 0)?
                }
                Arg::Btf { flags, .. } if flags.contains(Flags::UNTRUSTED) => {}
                Arg::Btf { id, flags } => self.check_trusted_arg(n, id, flags)?,
            }
        }
        Ok(())
    }

    /// An argument that the called function relies on.
    fn check_trusted_arg(&mut self, n: u8, id: u32, flags: Flags) -> Check {
        let reg = *self.cur.reg(n.into());
        let nullable = flags.contains(Flags::MAYBE_NULL);
        if nullable && reg.is_null() {
            return Ok(());
        }
        let bare = if nullable { reg.flags - Flags::MAYBE_NULL } else { reg.flags };
        let known = [Flags::empty(), Flags::TRUSTED, Flags::RCU];
        let (Kind::Btf { btf, id: own }, true) = (reg.kind, known.contains(&bare)) else {
            let kind = reg.type_name();
            fail!(
                EACCES,
                ArgType { reg: n, kind, expected: "ptr_, trusted_ptr_, rcu_ptr_".into() }
            );
        };
        // Linux takes pointers without any qualifier, too; the function would rely on
        // what nobody vouches for.
        if bare.is_empty() && reg.ref_id == 0 {
            fail!(EACCES, KfuncArgUntrusted { reg: n });
        }
        let wanted = AcceptedType { btf: KERNEL_BTF, id, strict: false };
        if !self.types_match(btf, own, reg.off, wanted) {
            let (name, expected) = (self.type_name(btf, own), self.type_name(KERNEL_BTF, id));
            fail!(EACCES, BtfType { reg: n, name, expected });
        }
        self.check_arg_offset(&reg, n, false, false)
    }
}

fn is_number(btf: &Btf, id: u32) -> bool {
    matches!(btf.resolved(id), Ok(Type::Int(_) | Type::Enum(_) | Type::Enum64(_)))
}

fn is_struct(btf: &Btf, id: u32, wanted: &str) -> bool {
    matches!(btf.resolved(id), Ok(Type::Struct(composite)) if composite.name == wanted)
}
