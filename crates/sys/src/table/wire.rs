//! Fields of `union bpf_attr` as bytes: numbers, names, and pointers that are
//! slices on our side. A structure of `command` is a list of them with offsets
//! (`include/uapi/linux/bpf.h`, Linux 6.18).

use std::borrow::Cow;
use std::ops::{Deref, DerefMut};

use super::memory::Memory;
use skep_abi::Errno;

/// Size of `union bpf_attr` in Linux 6.18.
pub const ATTR_SIZE: usize = 168;

/// The bytes of a `union bpf_attr`.
pub(crate) type Attr = [u8; ATTR_SIZE];

/// Memory that a command reads; `None` is the null pointer.
pub type Input<'a> = Option<Cow<'a, [u8]>>;

/// Memory that a command writes (and for some commands reads first).
#[derive(Debug, Default)]
pub enum Output<'a> {
    /// The null pointer.
    #[default]
    Null,
    /// The caller's memory.
    Slice(&'a mut [u8]),
    /// A copy, written back by whoever made it.
    Owned {
        /// Address that the copy was taken from.
        address: u64,
        /// The bytes.
        bytes: Vec<u8>,
    },
}

impl Output<'_> {
    /// Whether it is the null pointer.
    pub fn is_null(&self) -> bool {
        matches!(self, Output::Null)
    }

    /// Writes `bytes` at `offset`.
    ///
    /// # Errors
    /// `EFAULT` where it does not fit.
    pub fn write(&mut self, offset: usize, bytes: &[u8]) -> Result<(), Errno> {
        let end = offset.checked_add(bytes.len()).ok_or(Errno::EFAULT)?;
        self.get_mut(offset..end).ok_or(Errno::EFAULT)?.copy_from_slice(bytes);
        Ok(())
    }
}

impl Deref for Output<'_> {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        match self {
            Output::Null => &[],
            Output::Slice(slice) => slice,
            Output::Owned { bytes, .. } => bytes,
        }
    }
}

impl DerefMut for Output<'_> {
    fn deref_mut(&mut self) -> &mut [u8] {
        match self {
            Output::Null => &mut [],
            Output::Slice(slice) => slice,
            Output::Owned { bytes, .. } => bytes,
        }
    }
}

impl<'a> From<&'a mut [u8]> for Output<'a> {
    fn from(slice: &'a mut [u8]) -> Output<'a> {
        Output::Slice(slice)
    }
}

/// A field of a command, to change.
pub(crate) enum Slot<'s, 'a> {
    /// A number of 32 bits.
    Number(&'s mut u32),
    /// A number of 64 bits.
    Long(&'s mut u64),
    /// Memory that the command reads.
    Input(&'s mut Input<'a>),
    /// Memory that some command with this structure writes.
    Output(&'s mut Output<'a>),
    /// Something else.
    Other,
}

/// A field of a command, to look at.
pub(crate) enum View<'s> {
    /// A number.
    Number(u64),
    /// Memory; `None` for the null pointer.
    Bytes(Option<&'s [u8]>),
}

/// A field of an attribute structure.
pub(crate) trait Field<'a>: Sized {
    /// The field, to change.
    fn slot(&mut self) -> Slot<'_, 'a> {
        Slot::Other
    }
    /// The field, to look at.
    fn view(&self) -> View<'_> {
        View::Number(0)
    }
    /// Writes it at `offset`.
    fn put(&mut self, attr: &mut Attr, offset: usize);
    /// Reads it from `offset`; pointers are resolved in `memory`.
    fn take(attr: &Attr, offset: usize, memory: &Memory) -> Self;
    /// The same field with memory of its own: inputs shared, outputs copied.
    fn copy(&self) -> Self;
    /// Writes an output that is a copy back to where it came from.
    fn write_back(&self, _memory: &mut Memory, _before: &Memory) {}
}

macro_rules! number_fields {
    ($($number:ty),*) => {$(
        impl Field<'_> for $number {
            fn put(&mut self, attr: &mut Attr, offset: usize) {
                attr[offset..offset + size_of::<$number>()].copy_from_slice(&self.to_ne_bytes());
            }
            fn take(attr: &Attr, offset: usize, _memory: &Memory) -> $number {
                let mut bytes = [0; size_of::<$number>()];
                bytes.copy_from_slice(&attr[offset..offset + size_of::<$number>()]);
                <$number>::from_ne_bytes(bytes)
            }
            fn copy(&self) -> $number { *self }
        }
    )*};
}

number_fields!(i32);

impl<'a> Field<'a> for u64 {
    fn slot(&mut self) -> Slot<'_, 'a> {
        Slot::Long(self)
    }
    fn view(&self) -> View<'_> {
        View::Number(*self)
    }
    fn put(&mut self, attr: &mut Attr, offset: usize) {
        attr[offset..offset + 8].copy_from_slice(&self.to_ne_bytes());
    }
    fn take(attr: &Attr, offset: usize, _memory: &Memory) -> u64 {
        attr[offset..].first_chunk().copied().map_or(0, u64::from_ne_bytes)
    }
    fn copy(&self) -> u64 {
        *self
    }
}

impl<'a> Field<'a> for u32 {
    fn slot(&mut self) -> Slot<'_, 'a> {
        Slot::Number(self)
    }
    fn view(&self) -> View<'_> {
        View::Number((*self).into())
    }
    fn put(&mut self, attr: &mut Attr, offset: usize) {
        attr[offset..offset + 4].copy_from_slice(&self.to_ne_bytes());
    }
    fn take(attr: &Attr, offset: usize, _memory: &Memory) -> u32 {
        attr[offset..].first_chunk().copied().map_or(0, u32::from_ne_bytes)
    }
    fn copy(&self) -> u32 {
        *self
    }
}

impl Field<'_> for [u8; 16] {
    fn put(&mut self, attr: &mut Attr, offset: usize) {
        attr[offset..offset + 16].copy_from_slice(self);
    }
    fn take(attr: &Attr, offset: usize, _memory: &Memory) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&attr[offset..offset + 16]);
        bytes
    }
    fn copy(&self) -> [u8; 16] {
        *self
    }
}

impl<'a> Field<'a> for Input<'a> {
    fn slot(&mut self) -> Slot<'_, 'a> {
        Slot::Input(self)
    }
    fn view(&self) -> View<'_> {
        View::Bytes(self.as_deref())
    }
    fn put(&mut self, attr: &mut Attr, offset: usize) {
        let mut address =
            self.as_ref().map_or(0, |bytes| bytes.as_ptr().expose_provenance() as u64);
        address.put(attr, offset);
    }
    fn take(attr: &Attr, offset: usize, memory: &Memory) -> Input<'a> {
        let address = u64::take(attr, offset, memory);
        (address != 0).then(|| Cow::Owned(memory.rest(address).to_vec()))
    }
    fn copy(&self) -> Input<'a> {
        self.clone()
    }
}

impl<'a> Field<'a> for Output<'a> {
    fn slot(&mut self) -> Slot<'_, 'a> {
        Slot::Output(self)
    }
    fn view(&self) -> View<'_> {
        View::Bytes((!self.is_null()).then_some(self))
    }
    fn put(&mut self, attr: &mut Attr, offset: usize) {
        let mut address = if self.is_null() {
            0
        } else {
            self.deref_mut().as_mut_ptr().expose_provenance() as u64
        };
        address.put(attr, offset);
    }
    fn take(attr: &Attr, offset: usize, memory: &Memory) -> Output<'a> {
        let address = u64::take(attr, offset, memory);
        if address == 0 {
            return Output::Null;
        }
        Output::Owned { address, bytes: memory.rest(address).to_vec() }
    }
    fn copy(&self) -> Output<'a> {
        match self {
            Output::Null => Output::Null,
            other => Output::Owned { address: 0, bytes: other.to_vec() },
        }
    }
    fn write_back(&self, memory: &mut Memory, before: &Memory) {
        if let Output::Owned { address, bytes } = self {
            memory.write(*address, bytes, before);
        }
    }
}

/// Declares attribute structures: each field with its type and its offset in
/// `union bpf_attr`.
macro_rules! attributes {
    ($($(#[$doc:meta])* $name:ident<$life:lifetime> {
        $($(#[$field_doc:meta])* $field:ident: $type:ty = $offset:literal,)*
        $(=> $($(#[$plain_doc:meta])* $plain:ident: $plain_type:ty,)*)?
    })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Default)]
        pub struct $name<$life> {
            $($(#[$field_doc])* pub $field: $type,)*
            $($($(#[$plain_doc])* pub $plain: $plain_type,)*)?
            #[doc(hidden)]
            pub lifetime: std::marker::PhantomData<&$life ()>,
        }

        impl<$life> $name<$life> {
            /// The field at this place, to change.
            pub(crate) fn slot(&mut self, at: usize) -> $crate::table::wire::Slot<'_, $life> {
                match at {
                    $($offset => $crate::table::wire::Field::slot(&mut self.$field),)*
                    _ => $crate::table::wire::Slot::Other,
                }
            }

            /// The field at this place, to look at.
            pub(crate) fn view(&self, at: usize) -> $crate::table::wire::View<'_> {
                match at {
                    $($offset => $crate::table::wire::Field::view(&self.$field),)*
                    _ => $crate::table::wire::View::Number(0),
                }
            }

            /// Lays the fields out as Linux reads them. Pointers are addresses of
            /// this structure's slices, which must outlive the use of the bytes.
            pub(crate) fn encode(&mut self) -> $crate::table::wire::Attr {
                let mut attr = [0; $crate::table::wire::ATTR_SIZE];
                self.encode_into(&mut attr);
                attr
            }

            pub(crate) fn encode_into(&mut self, attr: &mut $crate::table::wire::Attr) {
                $($crate::table::wire::Field::put(&mut self.$field, attr, $offset);)*
            }

            /// Reads raw bytes; pointers are resolved in `memory`.
            pub(crate) fn decode(attr: &$crate::table::wire::Attr, memory: &$crate::table::memory::Memory) -> Self {
                Self {
                    $($field: $crate::table::wire::Field::take(attr, $offset, memory),)*
                    ..Self::default()
                }
            }

            /// A copy with output memory of its own.
            pub(crate) fn copy(&self) -> Self {
                Self {
                    $($field: $crate::table::wire::Field::copy(&self.$field),)*
                    ..Self::default()
                }
            }

            /// Writes copied outputs back to where they came from.
            pub(crate) fn write_back(
                &self,
                memory: &mut $crate::table::memory::Memory,
                before: &$crate::table::memory::Memory,
            ) {
                $($crate::table::wire::Field::write_back(&self.$field, memory, before);)*
            }
        }
    )*};
}
pub(crate) use attributes;
