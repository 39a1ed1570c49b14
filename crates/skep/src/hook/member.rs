//! What a context's fields may be, and how they go to programs and come back: integers and
//! arrays of them, of which every pattern of bits is one, and the two ends of the bytes that an
//! event brings along.

use skep_abi::Context;
use skep_abi::context::{Access, Field, Loads, When, Wider};

/// A structure that programs at a hook get in r1. Made by `#[derive(HookContext)]`:
///
/// ```
/// #[derive(skep::HookContext)]
/// #[repr(C)]
/// struct Request {
///     client: u32,
///     path_len: u32,
///     #[hook(write)]
///     status: u32,
///     method: [u8; 4],
/// }
/// ```
///
/// What lies between fields would be nobody's, and is refused:
///
/// ```compile_fail
/// #[derive(skep::HookContext)]
/// #[repr(C)]
/// struct Request {
///     method: u8,
///     client: u32,
/// }
/// ```
///
/// So is what is not laid out as C does it,
///
/// ```compile_fail
/// #[derive(skep::HookContext)]
/// struct Request {
///     client: u32,
/// }
/// ```
///
/// and fields of which some patterns of bits are no value, or that lead to the host's memory:
///
/// ```compile_fail
/// #[derive(skep::HookContext)]
/// #[repr(C)]
/// struct Request {
///     secure: bool,
/// }
/// ```
/// ```compile_fail
/// #[derive(skep::HookContext)]
/// #[repr(C)]
/// struct Request {
///     path: &'static str,
/// }
/// ```
pub trait HookContext: Sized + 'static {
    /// Its fields, in order.
    const FIELDS: &'static [FieldRow];
    /// What the verifier goes by.
    const ROW: &'static Context;

    /// Writes the fields as programs see them.
    fn put(&self, to: &mut [u8]);

    /// Reads them.
    fn take(from: &[u8]) -> Self;
}

/// What a field of a context may be.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a field of a hook's context",
    note = "a field is an integer of 8 to 64 bits, an array of them, `DataStart` or `DataEnd`"
)]
pub trait Member: Sized + 'static {
    /// Bytes.
    const SIZE: usize = size_of::<Self>();
    /// What it is.
    const TYPE: MemberType;

    /// Writes it at a place.
    fn put(&self, to: &mut [u8], at: usize);

    /// Reads it.
    fn take(from: &[u8], at: usize) -> Self;
}

/// An integer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Integer {
    /// Bytes: 1, 2, 4 or 8.
    pub bytes: u32,
    /// Whether it may be negative.
    pub signed: bool,
}

/// The type of a field, as programs see it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MemberType {
    /// An integer.
    Integer(Integer),
    /// So many integers.
    Array(Integer, u32),
    /// A pointer to the first of the bytes that come with an event.
    DataStart,
    /// A pointer behind the last of them.
    DataEnd,
}

/// A field of a context.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FieldRow {
    /// Its name.
    pub name: &'static str,
    /// Its first byte.
    pub at: u32,
    /// Bytes.
    pub size: u32,
    /// What it is.
    pub of: MemberType,
    /// Whether programs may write it.
    pub written: bool,
}

impl FieldRow {
    /// The field of this name and type, at this place.
    pub const fn of<T: Member>(name: &'static str, at: usize, written: bool) -> FieldRow {
        let (at, size) = (at as u32, T::SIZE as u32);
        FieldRow { name, at, size, of: T::TYPE, written }
    }

    /// As the verifier has it.
    pub const fn field(self) -> Field {
        let loads = match self.of {
            MemberType::Integer(_) | MemberType::Array(..) => Loads::Number,
            MemberType::DataStart => Loads::Packet,
            MemberType::DataEnd => Loads::PacketEnd,
        };
        let pointer = !matches!(loads, Loads::Number);
        assert!(!(pointer && self.written), "programs do not write where the data are");
        // A part of an integer, and several elements of an array at once, are fine.
        let (mut sizes, mut size) = (0, if pointer { 8 } else { 1 });
        while size <= 8 && size <= self.size {
            sizes |= size;
            size *= 2;
        }
        let always = Access { sizes, at_start: pointer, when: When::Always };
        let never = Access { sizes: 0, ..always };
        Field {
            name: self.name,
            at: self.at,
            size: self.size,
            loads,
            read: always,
            write: if self.written { always } else { never },
            wider: Wider::No,
        }
    }
}

macro_rules! integers {
    ($($type:ty, $signed:literal;)*) => {
        $(
            impl Member for $type {
                const TYPE: MemberType = MemberType::Integer(<$type as Number>::INTEGER);

                #[inline]
                fn put(&self, to: &mut [u8], at: usize) {
                    to[at..at + size_of::<$type>()].copy_from_slice(&self.to_ne_bytes());
                }

                #[inline]
                fn take(from: &[u8], at: usize) -> $type {
                    let mut bytes = [0; size_of::<$type>()];
                    bytes.copy_from_slice(&from[at..at + size_of::<$type>()]);
                    <$type>::from_ne_bytes(bytes)
                }
            }

            impl Number for $type {
                const INTEGER: Integer =
                    Integer { bytes: size_of::<$type>() as u32, signed: $signed };

                #[inline]
                fn of_word(word: u64) -> $type {
                    word as $type
                }

                #[inline]
                fn to_word(self) -> u64 {
                    // A negative number keeps its sign.
                    self as i64 as u64
                }
            }
        )*
    };
}

/// An integer of 8 to 64 bits.
pub trait Number: Member + Copy {
    /// Which.
    const INTEGER: Integer;

    /// Of a register.
    fn of_word(word: u64) -> Self;

    /// As a register has it.
    fn to_word(self) -> u64;
}

integers! {
    u8, false;
    u16, false;
    u32, false;
    u64, false;
    i8, true;
    i16, true;
    i32, true;
    i64, true;
}

impl<T: Number, const N: usize> Member for [T; N] {
    const TYPE: MemberType = {
        assert!(N > 0, "an array has elements");
        MemberType::Array(T::INTEGER, N as u32)
    };

    #[inline]
    fn put(&self, to: &mut [u8], at: usize) {
        for (index, number) in self.iter().enumerate() {
            number.put(to, at + index * T::SIZE);
        }
    }

    #[inline]
    fn take(from: &[u8], at: usize) -> [T; N] {
        std::array::from_fn(|index| T::take(from, at + index * T::SIZE))
    }
}

/// Where the bytes start that come with an event: a pointer to programs, nothing to others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct DataStart(u64);

/// Where they end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct DataEnd(u64);

impl Member for DataStart {
    const TYPE: MemberType = MemberType::DataStart;

    #[inline]
    fn put(&self, _to: &mut [u8], _at: usize) {}

    #[inline]
    fn take(_from: &[u8], _at: usize) -> DataStart {
        DataStart::default()
    }
}

impl Member for DataEnd {
    const TYPE: MemberType = MemberType::DataEnd;

    #[inline]
    fn put(&self, _to: &mut [u8], _at: usize) {}

    #[inline]
    fn take(_from: &[u8], _at: usize) -> DataEnd {
        DataEnd::default()
    }
}
