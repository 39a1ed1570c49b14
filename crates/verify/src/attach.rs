//! Where a program means to attach, and the types of the arguments that it gets
//! there. Counterpart: `check_attach_btf_id`, `check_struct_ops_btf_id`,
//! `btf_ctx_access`.

use skep_abi::context::memory::{MOST_ARGUMENTS, WORD};
use skep_abi::{AttachType, IterArg, ProgType, Reason, StructOps, TracepointArg};
use skep_btf::{Btf, Kind as TypeKind, Type};

use crate::checker::Checker;
use crate::ctx::Yield;
use crate::error::{Check, ENOTSUPP, Fault, fail};
use crate::reg::{Flags, KERNEL_BTF, Kind};
use crate::state::RefKind;

/// What precedes the name of a tracepoint in that of its type.
const TRACEPOINT: &str = "btf_trace_";
/// What precedes the name of an iterator in that of its function.
const ITERATOR: &str = "bpf_iter_";

/// What a program attaches to, as far as it decides what it is given.
#[derive(Clone, Debug, Default)]
pub(crate) struct Target {
    /// The prototype by which it is called.
    pub proto: Option<u32>,
    /// The function, tracepoint, iterator or member, without its prefix.
    pub name: String,
    /// For `struct_ops`, the prototype of the kernel's stub, whose names say more.
    stub: Option<u32>,
    /// The row of its structure.
    pub ops: Option<&'static StructOps>,
    /// Arguments that the program owns from its start, with their references.
    owned: Vec<(usize, u32)>,
}

/// Security hooks whose arguments may be on their way out, or not yet set up.
const UNTRUSTED_HOOKS: [&str; 7] = [
    "bpf_map_free",
    "bpf_prog_free",
    "file_alloc_security",
    "file_free_security",
    "sk_alloc_security",
    "sk_free_security",
    "task_free",
];

impl Checker<'_> {
    /// Whether a program like this may attach to what it names.
    pub(crate) fn check_attach(&mut self) -> Check {
        let sleepable = self.is_sleepable();
        match self.program.kind {
            ProgType::Syscall if sleepable => return Ok(()),
            ProgType::Syscall => fail!(EINVAL, SleepableOnly),
            _ => {}
        }
        if sleepable && !self.program.kind.row().may_sleep(self.program.attach_type) {
            fail!(EINVAL, CannotSleep);
        }
        match self.program.kind {
            ProgType::StructOps => self.check_struct_ops(),
            ProgType::Tracing | ProgType::Lsm | ProgType::Ext => self.check_target(),
            _ => Ok(()),
        }
    }

    fn check_target(&mut self) -> Check {
        let id = self.program.attach_btf_id;
        if id == 0 {
            fail!(EINVAL, AttachNeedsBtfId);
        }
        let Some(btf) = self.btf(KERNEL_BTF) else { fail!(EINVAL, AttachNoBtf) };
        let Ok(target) = btf.type_by_id(id) else { fail!(EINVAL, AttachTypeInvalid { id }) };
        let name = target.name();
        self.code.target.name = name.to_string();
        match self.attach_type() {
            Some(AttachType::TraceRawTp) if self.program.kind == ProgType::Tracing => {
                let Type::Typedef { target, .. } = target else {
                    fail!(EINVAL, AttachNotTypedef { id });
                };
                let Some(name) = name.strip_prefix(TRACEPOINT) else {
                    fail!(EINVAL, AttachWrongName { id, name: name.into() });
                };
                self.code.target.name = name.to_string();
                // The function that hands over the arguments knows their names.
                let template = btf.find(&format!("__bpf_trace_{name}"), TypeKind::Func);
                self.code.target.proto = match template.map(|id| btf.type_by_id(id)) {
                    Some(Ok(Type::Func { proto, .. })) => Some(proto),
                    _ => btf.resolved(target).ok().and_then(|pointer| pointer.target()),
                };
            }
            _ => {
                let Type::Func { proto, .. } = target else {
                    fail!(EINVAL, AttachNotFunction { id });
                };
                self.code.target.proto = Some(proto);
            }
        }
        Ok(())
    }

    fn check_struct_ops(&mut self) -> Check {
        if !self.program.gpl {
            fail!(EINVAL, StructOpsGpl);
        }
        let (id, index) = (self.program.attach_btf_id, self.program.attach_type);
        let unknown = |id| Err(Fault::new(ENOTSUPP, Reason::StructOpsUnknown { id }));
        let (true, Some(btf)) = (id != 0, self.btf(KERNEL_BTF)) else {
            return Err(Fault::new(ENOTSUPP, Reason::Silent));
        };
        let Ok(Type::Struct(composite)) = btf.type_by_id(id) else { return unknown(id) };
        let name = composite.name.to_string();
        // Each structure that programs may implement has one with its state.
        if btf.find(&format!("bpf_struct_ops_{name}"), TypeKind::Struct).is_none() {
            return unknown(id);
        }
        let Some(member) = composite.members.get(index as usize) else {
            fail!(EINVAL, StructOpsMember { index, name });
        };
        let proto = match btf.resolved(member.type_id) {
            Ok(Type::Ptr { target }) => btf.resolve_modifiers(target).ok(),
            _ => None,
        };
        let proto = proto.filter(|&id| matches!(btf.type_by_id(id), Ok(Type::FuncProto(_))));
        let member = member.name.to_string();
        let Some(proto) = proto else { fail!(EINVAL, StructOpsNotFunc { member, index, name }) };
        let row = StructOps::from_name(&name);
        if row.is_some_and(|row| row.unsupported.contains(&member.as_str())) {
            let reason = Reason::StructOpsUnsupported { member, name };
            return Err(Fault::new(ENOTSUPP, reason));
        }
        let may_sleep = row.and_then(|row| row.sleepable);
        if self.is_sleepable() && may_sleep.is_some_and(|only| !only.contains(&member.as_str())) {
            fail!(EINVAL, StructOpsUnsupported { member, name });
        }
        let stub = btf.find(&format!("{name}__{member}"), TypeKind::Func);
        let stub = match stub.map(|id| btf.type_by_id(id)) {
            Some(Ok(Type::Func { proto, .. })) => Some(proto),
            _ => None,
        };
        self.code.target =
            Target { proto: Some(proto), name: member, stub, ops: row, owned: Vec::new() };
        Ok(())
    }

    /// Takes the references that come with arguments; the program must give them up.
    pub(crate) fn acquire_arguments(&mut self) {
        let stub = self.btf(KERNEL_BTF).zip(self.code.target.stub);
        let owned: Vec<usize> = match stub.as_ref().map(|(btf, id)| btf.type_by_id(*id)) {
            Some(Ok(Type::FuncProto(proto))) => {
                let is_owned = |param: &skep_btf::Param<'_>| param.name.ends_with("__ref");
                proto
                    .params
                    .iter()
                    .enumerate()
                    .filter(|(_, param)| is_owned(param))
                    .map(|(at, _)| at)
                    .collect()
            }
            _ => Vec::new(),
        };
        for index in owned {
            let id = self.new_id();
            self.cur.acquire(RefKind::Pointer, id, self.pc);
            self.code.target.owned.push((index, id));
        }
    }

    fn attach_type(&self) -> Option<AttachType> {
        AttachType::from_number(self.program.attach_type)
    }

    /// Whether what it attaches to takes no return value.
    pub(crate) fn target_is_void(&self) -> bool {
        let proto = self.btf(KERNEL_BTF).zip(self.code.target.proto);
        proto.is_some_and(
            |(btf, id)| matches!(btf.type_by_id(id), Ok(Type::FuncProto(proto)) if proto.ret == 0),
        )
    }

    /// Whether the kernel vouches for pointers among the arguments.
    fn has_trusted_args(&self) -> bool {
        match self.program.kind {
            ProgType::Tracing => {
                matches!(self.attach_type(), Some(AttachType::TraceRawTp | AttachType::TraceIter))
            }
            ProgType::Lsm => {
                let hook = self
                    .code
                    .target
                    .name
                    .strip_prefix("bpf_lsm_")
                    .unwrap_or(&self.code.target.name);
                !UNTRUSTED_HOOKS.contains(&hook)
            }
            ProgType::StructOps => true,
            _ => false,
        }
    }

    /// An argument of the function that it attaches to.
    pub(crate) fn typed_argument(&self, off: i32, size: i32, write: bool) -> Option<Yield> {
        let scalar = Yield { kind: Kind::Scalar, flags: Flags::empty(), ref_id: 0 };
        if write
            || !(0..(MOST_ARGUMENTS * WORD) as i32).contains(&off)
            || off % size != 0
            || off % 8 != 0
        {
            return None;
        }
        let btf = self.btf(KERNEL_BTF)?;
        let Ok(Type::FuncProto(proto)) = btf.type_by_id(self.code.target.proto?) else {
            return None;
        };
        let tracepoint = self.program.kind == ProgType::Tracing
            && self.attach_type() == Some(AttachType::TraceRawTp);
        let index = argument_at(&btf, proto, off)?;
        let skip = usize::from(tracepoint);
        let count = proto.params.len().checked_sub(skip)?;
        let type_id = if index < count {
            proto.params.get(index + skip)?.type_id
        } else if index == count && self.sees_return_value() {
            proto.ret
        } else {
            return None;
        };
        let target = match btf.resolved(type_id).ok()? {
            Type::Int(int) if int.size <= 8 => return Some(scalar),
            Type::Enum(_) | Type::Enum64(_) | Type::Struct(_) | Type::Union(_) => {
                return Some(scalar);
            }
            Type::Ptr { target } if size == 8 => target,
            _ => return None,
        };
        let given = self.iterator_argument(index);
        match given {
            Some(IterArg::ReadOnly) => {
                let flags = Flags::MAYBE_NULL | Flags::RDONLY;
                return Some(Yield { kind: Kind::Buf, flags, ref_id: 0 });
            }
            Some(IterArg::Bytes) => {
                return Some(Yield { kind: Kind::Buf, flags: Flags::MAYBE_NULL, ref_id: 0 });
            }
            _ => {}
        }
        if matches!(btf.resolved(target), Ok(Type::Void | Type::Int(_))) {
            return Some(scalar);
        }
        let mut flags = Flags::empty();
        match given {
            Some(IterArg::Trusted) => flags |= Flags::MAYBE_NULL | Flags::TRUSTED,
            Some(_) => flags |= Flags::MAYBE_NULL,
            None => {
                flags.set(Flags::TRUSTED, self.has_trusted_args());
                let named = |proto: Option<u32>, at: usize| match btf.type_by_id(proto?) {
                    Ok(Type::FuncProto(proto)) => proto.params.get(at).map(|param| param.name),
                    _ => None,
                };
                let nullable = [
                    named(self.code.target.proto, index + skip),
                    named(self.code.target.stub, index),
                ]
                .iter()
                .flatten()
                .any(|name| name.ends_with("__nullable"));
                flags.set(Flags::MAYBE_NULL, nullable);
                if let Ok(Type::TypeTag { name, is_attribute: false, .. }) = btf.type_by_id(target)
                {
                    flags.set(Flags::USER, name == "user");
                    flags.set(Flags::PERCPU, name == "percpu");
                }
            }
        }
        let mut id = btf.resolve_modifiers(target).ok()?;
        let Ok(Type::Struct(composite) | Type::Union(composite)) = btf.type_by_id(id) else {
            return None;
        };
        if tracepoint {
            match TracepointArg::of(&self.code.target.name, index) {
                TracepointArg::Valid => {}
                TracepointArg::Nullable => flags |= Flags::MAYBE_NULL,
                TracepointArg::Error => return Some(scalar),
            }
        }
        if let Some((from, to)) = self.code.target.ops.and_then(|row| row.promotes)
            && composite.name == from
            && !flags.unsafe_modifiers()
        {
            id = btf.find(to, TypeKind::Struct)?;
        }
        let owned = self.code.target.owned.iter().find(|(at, _)| *at == index);
        let ref_id = owned.map_or(0, |(_, id)| *id);
        Some(Yield { kind: Kind::Btf { btf: KERNEL_BTF, id }, flags, ref_id })
    }

    /// What an iterator hands over in this place, if that is not what its type says.
    fn iterator_argument(&self, index: usize) -> Option<IterArg> {
        let iterates = self.program.kind == ProgType::Tracing
            && self.attach_type() == Some(AttachType::TraceIter);
        let name = self.code.target.name.strip_prefix(ITERATOR).filter(|_| iterates)?;
        IterArg::of(name, index)
    }

    /// Whether it runs behind the function and sees what that returned.
    fn sees_return_value(&self) -> bool {
        use AttachType as A;
        matches!(
            self.attach_type(),
            Some(A::LsmMac | A::LsmCgroup | A::TraceFexit | A::ModifyReturn)
        ) && matches!(self.program.kind, ProgType::Tracing | ProgType::Lsm)
    }
}

/// Index of the argument at this offset of a context; the number of arguments for what
/// the function returned.
fn argument_at(btf: &Btf, proto: skep_btf::FuncProto<'_>, off: i32) -> Option<usize> {
    let size = |id| match btf.resolved(id) {
        Ok(Type::Ptr { .. }) => 8,
        _ => btf.size_of(id).unwrap_or(0).next_multiple_of(8),
    };
    let mut end = 0;
    for (index, param) in proto.params.iter().enumerate() {
        end += size(param.type_id);
        if (off as u64) < end {
            return Some(index);
        }
    }
    ((off as u64) < end + size(proto.ret)).then_some(proto.params.len())
}
