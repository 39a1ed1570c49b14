//! Functions that are verified on their own, by what their BTF says of their
//! arguments. Counterpart: `btf_prepare_func_args`, `btf_check_subprog_call`.

use skep_abi::{AttachType, Errno, ProgType, Reason};
use skep_btf::{Btf, FuncLinkage, Type, core};

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
        if let Some(args) = &self.found.subprogs[index].args {
            return Ok(args.clone());
        }
        let Some(info) = self.program.func_info.get(index) else { bug!("func_info undefined") };
        let Some(btf) = self.program.btf.clone() else { bug!("func_info undefined") };
        let Ok(Type::Func { name, proto, linkage }) = btf.type_by_id(info.type_id) else {
            bug!("BTF of func#{index} doesn't point to KIND_FUNC");
        };
        if self.found.subprogs[index].unreliable {
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
            args.push(self.pointer_arg(&btf, param.type_id, target, arg, tags, global)?);
        }
        self.found.subprogs[index].args = Some(args.clone());
        Ok(args)
    }

    /// What a parameter takes that is a pointer to `target`.
    fn pointer_arg(
        &self,
        btf: &Btf,
        pointer: u32,
        target: u32,
        arg: u32,
        tags: Tags,
        global: bool,
    ) -> Check<Arg> {
        let only = |one: Tags| tags == one;
        let bad = |tag: &str| {
            Err(Fault::new(Errno::EINVAL, Reason::GlobalArgTag { arg, tag: tag.into() }))
        };
        let text = |text: String| Fault::new(Errno::EINVAL, Reason::BtfText { text });
        let combination = "invalid combination of tags";
        if tags.ctx || self.is_context_type(btf, target) {
            if tags.ctx && !only(Tags { ctx: true, ..Tags::default() })
                || !tags.ctx && !only(Tags::default())
            {
                return bad(combination);
            }
            if tags.ctx {
                self.check_context_tag(btf, pointer, arg).map_err(text)?;
            }
            return Ok(Arg::Ctx);
        }
        if is_struct(btf, target, "bpf_dynptr") || is_declared(btf, target, "bpf_dynptr") {
            return if only(Tags::default()) { Ok(Arg::Dynptr) } else { bad(combination) };
        }
        if tags.trusted {
            if tags.nonnull {
                return bad(combination);
            }
            let id = self.kernel_type(btf, target, arg)?;
            let mut flags = Flags::TRUSTED;
            flags.set(Flags::MAYBE_NULL, tags.nullable);
            return Ok(Arg::Btf { id, flags });
        }
        if tags.untrusted {
            if !only(Tags { untrusted: true, ..Tags::default() }) {
                let text = format!("arg#{arg} untrusted cannot be combined with any other tags");
                fail!(EINVAL, BtfText { text });
            }
            if matches!(btf.resolved(target), Ok(Type::Void)) || is_number(btf, target) {
                let flags = Flags::UNTRUSTED | Flags::RDONLY;
                return Ok(Arg::Mem { size: 0, flags });
            }
            let id = self.kernel_type(btf, target, arg)?;
            let kernel = self.btf(KERNEL_BTF);
            let ty = kernel.as_ref().and_then(|kernel| kernel.type_by_id(id).ok());
            if ty.is_none_or(|ty| ty.composite().is_none()) {
                let kind = ty.map_or("UNKNOWN", |ty| ty.kind().dump_name());
                let text = format!(
                    "arg#{arg} has type {kind} '(anon)', but only struct or primitive types are allowed"
                );
                fail!(EINVAL, BtfText { text });
            }
            return Ok(Arg::Btf { id, flags: Flags::UNTRUSTED });
        }
        if tags.arena {
            if !only(Tags { arena: true, ..Tags::default() }) {
                let text = format!("arg#{arg} arena cannot be combined with any other tags");
                fail!(EINVAL, BtfText { text });
            }
            return Ok(Arg::Arena);
        }
        if !global {
            return Err(Fault::new(Errno::EINVAL, Reason::Silent));
        }
        if tags.nullable {
            return bad(combination);
        }
        let Ok(size) = btf.size_of(target) else {
            let (kind, name) = described(btf, target);
            fail!(EINVAL, GlobalArgSize { arg, kind: kind.into(), name });
        };
        let flags = if tags.nonnull { Flags::empty() } else { Flags::MAYBE_NULL };
        Ok(Arg::Mem { size: size as u32, flags })
    }

    /// The kernel's type of the same name, which there must be one of.
    fn kernel_type(&self, btf: &Btf, target: u32, arg: u32) -> Check<u32> {
        let (kind, name) = described(btf, target);
        let refuse = |errno, what: String| {
            let text = format!("arg#{arg} reference type('{kind} {name}') {what}");
            Err(Fault::new(errno, Reason::BtfText { text }))
        };
        let Ok(ty) = btf.resolved(target) else { return refuse(Errno::EINVAL, String::new()) };
        let essential = core::essential_name(ty.name());
        if essential.is_empty() {
            return refuse(Errno::EINVAL, "candidate matching error: -22".into());
        }
        let found: Vec<u32> = self.btf(KERNEL_BTF).map_or_else(Vec::new, |kernel| {
            let same = |id: &u32| kernel.type_by_id(*id).is_ok_and(|of| of.kind() == ty.kind());
            kernel.flavors(essential).filter(same).collect()
        });
        match found[..] {
            [id] => Ok(id),
            [] => refuse(Errno::ENOENT, "has no matches".into()),
            _ => refuse(Errno::ESRCH, "is ambiguous".into()),
        }
    }

    /// Whether a parameter with the tag `ctx` points to what programs like this may call
    /// their context; if not, what Linux says. Counterpart: `btf_validate_prog_ctx_type`.
    fn check_context_tag(&self, btf: &Btf, pointer: u32, arg: u32) -> Result<(), String> {
        let Ok(Type::Ptr { target }) = btf.resolved(pointer) else {
            return Err(format!("arg#{arg} type isn't a pointer"));
        };
        let kind = self.program.kind;
        if matches!(kind, ProgType::Kprobe | ProgType::PerfEvent)
            && typedef_name(btf, target) == Some("bpf_user_pt_regs_t")
        {
            return Ok(());
        }
        let Ok(ty) = btf.resolved(target) else { return Err(format!("arg#{arg}")) };
        if matches!(ty, Type::Void) {
            return Ok(());
        }
        let name = ty.name();
        if name.is_empty() {
            return Err(format!("arg#{arg} type doesn't have a name"));
        }
        let is_struct = matches!(ty, Type::Struct(_));
        let is_word = matches!(ty, Type::Int(int) if int.size == 8);
        let attach = AttachType::from_number(self.program.attach_type);
        let fits = match kind {
            ProgType::Kprobe => is_struct && name == "pt_regs",
            ProgType::PerfEvent => is_struct && name == user_registers(),
            ProgType::RawTracepoint | ProgType::RawTracepointWritable => is_word,
            ProgType::Tracing => match attach {
                Some(AttachType::TraceRawTp) => {
                    is_word || is_struct && name == "bpf_raw_tracepoint_args"
                }
                Some(AttachType::TraceIter) => is_struct && name.starts_with("bpf_iter__"),
                Some(
                    AttachType::TraceFentry | AttachType::TraceFexit | AttachType::ModifyReturn,
                ) => is_word,
                _ => false,
            },
            ProgType::Lsm | ProgType::StructOps => is_word,
            ProgType::Tracepoint | ProgType::Syscall | ProgType::Ext => true,
            _ => false,
        };
        match self.context_name() {
            _ if fits => Ok(()),
            None => Err(format!("arg#{arg} should be void pointer")),
            Some(wanted) if is_struct && name == wanted => Ok(()),
            Some(wanted) => Err(format!("arg#{arg} should be `struct {wanted} *`")),
        }
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

    /// Whether this is the type by which programs like this name their context: the
    /// one of the interface, or the kernel's own behind it. Counterpart:
    /// `btf_is_prog_ctx_type`.
    pub(crate) fn is_context_type(&self, btf: &Btf, id: u32) -> bool {
        let kind = self.program.kind;
        if kind == ProgType::Kprobe && typedef_name(btf, id) == Some("bpf_user_pt_regs_t") {
            return true;
        }
        let Some(name) = self.context_name() else { return false };
        let behind = match name {
            "__sk_buff" => "sk_buff",
            "xdp_md" => "xdp_buff",
            _ => name,
        };
        is_struct(btf, id, name)
            || is_struct(btf, id, behind)
            || kind == ProgType::Kprobe && is_struct(btf, id, "bpf_user_pt_regs_t")
    }

    /// The registers with which a function is entered.
    pub(crate) fn enter_global(&mut self, index: usize) -> Check {
        let args = self.function_args(index)?;
        if self.found.subprogs[index].is_exception_callback {
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
                // The caller may give a number.
                Arg::Arena => self.unknown(),
            };
            *self.cur.reg_mut(i + 1) = reg;
        }
        Ok(())
    }

    /// Whether the registers fit what a function's BTF says; if not, the BTF is not
    /// to be relied on.
    pub(crate) fn check_call_args(&mut self, index: usize) -> Check {
        if self.program.func_info.is_empty() || self.found.subprogs[index].unreliable {
            fail!(EINVAL, Silent);
        }
        let checked = self.match_args(index);
        if checked.is_err() {
            self.found.subprogs[index].unreliable = true;
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

/// What `bpf_user_pt_regs_t` stands for, on x86-64.
fn user_registers() -> &'static str {
    "pt_regs"
}

/// The name of a typedef, behind nothing but qualifiers.
fn typedef_name(btf: &Btf, mut id: u32) -> Option<&str> {
    loop {
        id = match btf.type_by_id(id).ok()? {
            Type::Typedef { name, .. } => return Some(name),
            Type::Const { target } | Type::Volatile { target } | Type::Restrict { target } => {
                target
            }
            Type::TypeTag { target, .. } => target,
            _ => return None,
        }
    }
}

/// Kind and name of a type, as Linux shows them.
fn described(btf: &Btf, id: u32) -> (&'static str, String) {
    btf.resolved(id).map_or(("UNKNOWN", "(anon)".into()), |ty| {
        let name = if ty.name().is_empty() { "(anon)" } else { ty.name() };
        (ty.kind().dump_name(), name.to_string())
    })
}

fn is_declared(btf: &Btf, id: u32, wanted: &str) -> bool {
    matches!(btf.resolved(id), Ok(Type::Fwd { name, is_union: false }) if name == wanted)
}

fn is_struct(btf: &Btf, id: u32, wanted: &str) -> bool {
    matches!(btf.resolved(id), Ok(Type::Struct(composite)) if composite.name == wanted)
}
