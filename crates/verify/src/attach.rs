//! Where a program means to attach, and the types of the arguments that it gets
//! there. Counterpart: `check_attach_btf_id`, `btf_ctx_access`.

use skep_abi::ProgType;
use skep_btf::Type;

use crate::checker::Checker;
use crate::ctx::Yield;
use crate::error::{Check, fail};
use crate::reg::{Flags, KERNEL_BTF, Kind};

impl Checker<'_> {
    /// Whether a program like this may attach to what it names.
    pub(crate) fn check_attach(&mut self) -> Check {
        let sleepable = self.is_sleepable();
        match self.program.kind {
            ProgType::Syscall if sleepable => return Ok(()),
            ProgType::Syscall => fail!(EINVAL, SleepableOnly),
            _ => {}
        }
        if sleepable && !self.may_be_sleepable() {
            fail!(EINVAL, CannotSleep);
        }
        if !matches!(
            self.program.kind,
            ProgType::Tracing | ProgType::Lsm | ProgType::Ext | ProgType::StructOps
        ) {
            return Ok(());
        }
        let id = self.program.attach_btf_id;
        if id == 0 {
            fail!(EINVAL, AttachNeedsBtfId);
        }
        let Some(btf) = self.btf(KERNEL_BTF) else { fail!(EINVAL, AttachNoBtf) };
        let Ok(target) = btf.type_by_id(id) else { fail!(EINVAL, AttachTypeInvalid { id }) };
        self.attach_proto = match target {
            Type::Func { proto, .. } => Some(proto),
            Type::Typedef { target, .. } => {
                btf.resolved(target).ok().and_then(|pointer| pointer.target())
            }
            _ => None,
        };
        Ok(())
    }

    fn may_be_sleepable(&self) -> bool {
        match self.program.kind {
            // Fentry, fexit, modify_return and iterators.
            ProgType::Tracing => matches!(self.program.attach_type, 24 | 25 | 26 | 28),
            ProgType::Lsm => self.program.attach_type != 43,
            ProgType::Kprobe | ProgType::StructOps => true,
            _ => false,
        }
    }

    /// An argument of the function that it attaches to.
    pub(crate) fn typed_argument(&self, off: i32, size: i32, write: bool) -> Option<Yield> {
        if write || off % 8 != 0 {
            return None;
        }
        let btf = self.btf(KERNEL_BTF)?;
        let Ok(Type::FuncProto(proto)) = btf.type_by_id(self.attach_proto?) else { return None };
        let skip =
            usize::from(self.program.attach_type == 23 && self.program.kind == ProgType::Tracing);
        let param = proto.params.get(off as usize / 8 + skip)?;
        let resolved = btf.resolve_modifiers(param.type_id).ok()?;
        let scalar = Yield { kind: Kind::Scalar, flags: Flags::empty(), ref_id: 0 };
        match btf.type_by_id(resolved).ok()? {
            Type::Int(int) => (size <= int.size as i32).then_some(scalar),
            Type::Enum(_) | Type::Enum64(_) => Some(scalar),
            Type::Ptr { target } => {
                if size != 8 {
                    return None;
                }
                let id = btf.resolve_modifiers(target).ok()?;
                match btf.type_by_id(id).ok()? {
                    Type::Struct(_) | Type::Union(_) => Some(Yield {
                        kind: Kind::Btf { btf: KERNEL_BTF, id },
                        flags: Flags::TRUSTED,
                        ref_id: 0,
                    }),
                    _ => Some(scalar),
                }
            }
            _ => None,
        }
    }
}
