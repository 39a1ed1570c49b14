//! Programs at hooks of applications: what stands in [`HookRow`] for them, where others have
//! rows of Linux's tables.

use skep_abi::{Context, HookRow, PacketAccess, Proto};
use skep_abi::{Helper, hook::Shape};

use crate::checker::Checker;

impl<'a> Checker<'a> {
    /// The hook that the program is for, if it is an application's.
    pub(crate) fn hook(&self) -> Option<&'a HookRow> {
        self.program.hook.as_deref()
    }

    /// The fields of the context; `None` where it has none.
    pub(crate) fn context_row(&self) -> Option<&'static Context> {
        match self.hook() {
            Some(hook) => Some(hook.context),
            None => Context::of(self.program.kind),
        }
    }

    /// The structure that programs name their context by, if there is one.
    pub(crate) fn context_name(&self) -> Option<&'static str> {
        match self.hook() {
            Some(hook) => Some(hook.context.name),
            None => self.program.kind.row().context,
        }
    }

    /// The helper with this number: the hook's, or Linux's.
    pub(crate) fn helper(&self, number: u32) -> Option<&'a Helper> {
        let own = self.hook().and_then(|hook| hook.helper(number));
        own.or_else(|| Helper::from_id(number))
    }

    /// Its signature for this program; `None` where the program may not call it.
    pub(crate) fn proto_of(&self, helper: &'a Helper) -> Option<&'static Proto> {
        match Shape::of(helper.id) {
            Some(_) => helper.protos.first(),
            None => helper.proto(&self.caller()),
        }
    }

    /// What the program may do with the bytes of packets.
    pub(crate) fn packet(&self) -> PacketAccess {
        self.hook().map_or_else(|| self.program.kind.row().packet, |hook| hook.packet)
    }
}
