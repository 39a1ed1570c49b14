//! What Linux copies from and to a command's slices.
//!
//! A length that stands in the attribute is compared with the slice
//! ([`Command::check_lengths`]), and the slice is given to Linux as it is. For all other
//! lengths Linux gets a guarded copy. The rows of the commands say which is which.

use std::borrow::Cow;

use crate::table::Output;
use crate::table::{Command, FieldRow, Len, Role, Slot};
use skep_abi::Errno;

/// Memory that Linux works on a copy of.
pub(super) enum Bytes<'b> {
    /// Linux reads it, or what it writes is not for the caller.
    Read(&'b [u8]),
    /// Linux writes it too.
    Written(&'b mut [u8]),
}

/// Whether Linux takes the length of this field from elsewhere than the attribute.
fn is_guarded(command: &Command<'_>, field: &FieldRow) -> bool {
    match field.role {
        Role::Fd | Role::OptFd | Role::Given => false,
        // What is given back, and what is patched, is a copy in any case.
        Role::InOut(_) | Role::Nested(_) => true,
        Role::In(len, _) | Role::Out(len) => match len {
            Len::Map | Len::Text => true,
            // The whole packet, whatever has become of it.
            Len::OfOrAll(at) => command.number(at) == 0,
            Len::Of(_) | Len::Records(..) | Len::Slots(_) | Len::Words(_) | Len::Indexed(_) => {
                false
            }
            // They get an array in front of them.
            Len::Texts(_) => false,
        },
    }
}

/// The texts that Linux takes an array of addresses of, if the command has such: the offset
/// of the array's address, the texts, and how many.
pub(super) fn texts<'c>(command: &'c Command<'_>) -> Option<(usize, &'c [u8], usize)> {
    command.row().fields.iter().find_map(|field| match field.role {
        Role::In(Len::Texts(count), _) => {
            Some((field.at, command.memory(field.at)?, command.number(count) as usize))
        }
        _ => None,
    })
}

/// Shows each buffer whose length Linux does not take from the attribute, with the
/// offset of its address there, always in the same order.
pub(super) fn visit(
    command: &mut Command<'_>,
    see: &mut impl FnMut(usize, Bytes<'_>) -> Result<(), Errno>,
) -> Result<(), Errno> {
    for field in command.row().fields {
        if !is_guarded(command, field) {
            continue;
        }
        let read_only = matches!(field.role, Role::In(..));
        match command.slot(field.at) {
            Slot::Input(Some(Cow::Owned(bytes))) if !read_only => {
                see(field.at, Bytes::Written(bytes))?;
            }
            Slot::Input(Some(bytes)) => see(field.at, Bytes::Read(bytes))?,
            Slot::Output(Output::Null) => {}
            Slot::Output(bytes) if read_only => see(field.at, Bytes::Read(bytes))?,
            Slot::Output(bytes) => see(field.at, Bytes::Written(bytes))?,
            Slot::Input(None) | Slot::Number(_) | Slot::Long(_) | Slot::Other => {}
        }
    }
    Ok(())
}
