//! Functions of the application that programs call: a row for the verifier from the function's
//! own type, and arguments that come to it as what it takes.
//!
//! Memory of the program is copied, since other threads may write to it meanwhile: a function
//! that takes `&mut T` gets a copy, and what it leaves there is copied back.

use skep_abi::{Arg, ArgKind, Context, Errno, Proto, Ret, RetKind, TypeFlags, helper};
use skep_vm::{Arguments, HelperEnd};

use super::member::{Integer, Member, MemberType, Number};

/// A type that a function gets a reference to: an integer or an array of them, in the program's
/// memory, or the context.
pub trait Lent: Sized + 'static {
    /// What it is to the verifier.
    const LENT: Lending;

    /// Reads it from where an argument points.
    ///
    /// # Errors
    /// The run is to end.
    fn read(call: &mut dyn Arguments, at: usize) -> Result<Self, HelperEnd>;

    /// Writes it back.
    ///
    /// # Errors
    /// The run is to end.
    fn write(&self, call: &mut dyn Arguments, at: usize) -> Result<(), HelperEnd>;
}

/// What a reference is to the verifier.
#[derive(Clone, Copy, Debug)]
pub enum Lending {
    /// Memory of the program.
    Memory(MemberType, u32),
    /// The context.
    Context(&'static Context),
}

macro_rules! lent {
    ($([$($parameters:tt)*] $type:ty;)*) => {
        $(
            impl<$($parameters)*> Lent for $type {
                const LENT: Lending =
                    Lending::Memory(<$type as Member>::TYPE, <$type as Member>::SIZE as u32);

                fn read(call: &mut dyn Arguments, at: usize) -> Result<$type, HelperEnd> {
                    with_bytes(<$type as Member>::SIZE, |bytes| {
                        call.read(at, bytes)?;
                        Ok(<$type as Member>::take(bytes, 0))
                    })
                }

                fn write(&self, call: &mut dyn Arguments, at: usize) -> Result<(), HelperEnd> {
                    with_bytes(<$type as Member>::SIZE, |bytes| {
                        self.put(bytes, 0);
                        call.write(at, bytes)
                    })
                }
            }
        )*
    };
}

lent! {
    [] u8;
    [] u16;
    [] u32;
    [] u64;
    [] i8;
    [] i16;
    [] i32;
    [] i64;
    [T: Number, const N: usize] [T; N];
}

/// Most bytes that are kept on the stack.
const FEW: usize = 128;

fn with_bytes<R>(len: usize, act: impl FnOnce(&mut [u8]) -> R) -> R {
    match len {
        0..=FEW => act(&mut [0; FEW][..len]),
        _ => act(&mut vec![0; len]),
    }
}

/// What an argument is in C.
#[derive(Clone, Copy, Debug)]
pub enum Parameter {
    /// A number.
    Number(Integer),
    /// A pointer to something; whether the function may change it.
    Pointer(Lending, bool),
    /// A pointer to bytes, of which the next argument says how many; whether it may change
    /// them.
    Bytes(bool),
    /// How many.
    Size,
}

/// What a function may take.
#[diagnostic::on_unimplemented(
    message = "a helper cannot take a `{Self}`",
    note = "it takes integers, `&T` and `&mut T` of integers, arrays of them and the hook's \
            context, `&[u8]` and `&mut [u8]`; a closure names the types of its arguments"
)]
pub trait Argument {
    /// The same for as long as a call lasts.
    type Item<'a>;
    /// What is kept meanwhile.
    type Held;
    /// What the verifier asks of the registers.
    const ARGS: &'static [Arg];
    /// What it is in C, for each register.
    const PARAMETERS: &'static [Parameter];

    /// Takes it from its registers, the first of which is `at`.
    ///
    /// # Errors
    /// The run is to end.
    fn take(call: &mut dyn Arguments, at: usize) -> Result<Self::Held, HelperEnd>;

    /// Gives it to the function.
    fn lend(held: &mut Self::Held) -> Self::Item<'_>;

    /// Writes back what the function may have changed.
    ///
    /// # Errors
    /// The run is to end.
    fn put(_held: &Self::Held, _call: &mut dyn Arguments, _at: usize) -> Result<(), HelperEnd> {
        Ok(())
    }
}

const fn arg(kind: ArgKind, flags: TypeFlags) -> Arg {
    Arg { kind, flags }
}

const fn lent_arg(lending: Lending, changes: bool) -> Arg {
    match lending {
        Lending::Memory(_, size) => {
            let flags = if changes { TypeFlags::WRITE } else { TypeFlags::READ_ONLY };
            arg(ArgKind::FixedMem(size), flags)
        }
        Lending::Context(_) => arg(ArgKind::Context, TypeFlags::empty()),
    }
}

macro_rules! number_arguments {
    ($($type:ty)*) => {
        $(
            impl Argument for $type {
                type Item<'a> = $type;
                type Held = $type;
                const ARGS: &'static [Arg] = &[arg(ArgKind::Anything, TypeFlags::empty())];
                const PARAMETERS: &'static [Parameter] =
                    &[Parameter::Number(<$type as Number>::INTEGER)];

                #[inline]
                fn take(call: &mut dyn Arguments, at: usize) -> Result<$type, HelperEnd> {
                    call.number(at).map(<$type as Number>::of_word)
                }

                #[inline]
                fn lend(held: &mut $type) -> $type {
                    *held
                }
            }

            impl Answer for $type {
                const RET: RetKind = RetKind::Integer;

                #[inline]
                fn word(self) -> u64 {
                    self.to_word()
                }
            }
        )*
    };
}

number_arguments! { u8 u16 u32 u64 i8 i16 i32 i64 }

impl<T: Lent> Argument for &'static T {
    type Item<'a> = &'a T;
    type Held = T;
    const ARGS: &'static [Arg] = &[lent_arg(T::LENT, false)];
    const PARAMETERS: &'static [Parameter] = &[Parameter::Pointer(T::LENT, false)];

    fn take(call: &mut dyn Arguments, at: usize) -> Result<T, HelperEnd> {
        T::read(call, at)
    }

    fn lend(held: &mut T) -> &T {
        held
    }
}

impl<T: Lent> Argument for &'static mut T {
    type Item<'a> = &'a mut T;
    type Held = T;
    const ARGS: &'static [Arg] = &[lent_arg(T::LENT, true)];
    const PARAMETERS: &'static [Parameter] = &[Parameter::Pointer(T::LENT, true)];

    fn take(call: &mut dyn Arguments, at: usize) -> Result<T, HelperEnd> {
        T::read(call, at)
    }

    fn lend(held: &mut T) -> &mut T {
        held
    }

    fn put(held: &T, call: &mut dyn Arguments, at: usize) -> Result<(), HelperEnd> {
        held.write(call, at)
    }
}

/// The bytes of an argument, as many as the next one says.
fn slice(call: &mut dyn Arguments, at: usize) -> Result<Vec<u8>, HelperEnd> {
    // The verifier bounds it by memory that there is.
    let len = call.number(at + 1)? as u32 as usize;
    let mut bytes = vec![0; len];
    if len > 0 {
        call.read(at, &mut bytes)?;
    }
    Ok(bytes)
}

const SIZE: Arg = arg(ArgKind::SizeOrZero, TypeFlags::empty());

impl Argument for &'static [u8] {
    type Item<'a> = &'a [u8];
    type Held = Vec<u8>;
    const ARGS: &'static [Arg] = &[arg(ArgKind::Mem, TypeFlags::READ_ONLY), SIZE];
    const PARAMETERS: &'static [Parameter] = &[Parameter::Bytes(false), Parameter::Size];

    fn take(call: &mut dyn Arguments, at: usize) -> Result<Vec<u8>, HelperEnd> {
        slice(call, at)
    }

    fn lend(held: &mut Vec<u8>) -> &[u8] {
        held
    }
}

impl Argument for &'static mut [u8] {
    type Item<'a> = &'a mut [u8];
    type Held = Vec<u8>;
    const ARGS: &'static [Arg] = &[arg(ArgKind::Mem, TypeFlags::WRITE), SIZE];
    const PARAMETERS: &'static [Parameter] = &[Parameter::Bytes(true), Parameter::Size];

    fn take(call: &mut dyn Arguments, at: usize) -> Result<Vec<u8>, HelperEnd> {
        slice(call, at)
    }

    fn lend(held: &mut Vec<u8>) -> &mut [u8] {
        held
    }

    fn put(held: &Vec<u8>, call: &mut dyn Arguments, at: usize) -> Result<(), HelperEnd> {
        if held.is_empty() { Ok(()) } else { call.write(at, held) }
    }
}

/// What a function may give.
#[diagnostic::on_unimplemented(
    message = "a helper cannot give a `{Self}`",
    note = "it gives an integer, `bool`, nothing, or a `Result` of these with `Errno`, whose \
            negative the program sees"
)]
pub trait Answer {
    /// What it is to the verifier.
    const RET: RetKind;

    /// r0.
    fn word(self) -> u64;
}

impl Answer for () {
    const RET: RetKind = RetKind::Void;

    #[inline]
    fn word(self) -> u64 {
        0
    }
}

impl Answer for bool {
    const RET: RetKind = RetKind::Integer;

    #[inline]
    fn word(self) -> u64 {
        self.into()
    }
}

impl<A: Answer> Answer for Result<A, Errno> {
    const RET: RetKind = RetKind::Integer;

    #[inline]
    fn word(self) -> u64 {
        match self {
            Ok(answer) => answer.word(),
            Err(errno) => -i64::from(errno.0) as u64,
        }
    }
}

/// A function that programs may call; `M` is its type.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no helper",
    note = "a helper takes integers, `&T` and `&mut T` of integers, arrays of them and the \
            hook's context, `&[u8]` and `&mut [u8]`; a closure names the types of its arguments"
)]
pub trait Helper<M>: Send + Sync + 'static {
    /// Its signature, to the verifier.
    const PROTOS: &'static [Proto];
    /// What its arguments are in C.
    const PARAMETERS: &'static [&'static [Parameter]];

    /// Calls it.
    ///
    /// # Errors
    /// The run is to end.
    fn call(&self, call: &mut dyn Arguments) -> Result<u64, HelperEnd>;
}

/// Most registers with arguments.
const MOST: usize = 5;

/// Arguments one behind the other.
struct Joined {
    args: [Arg; MOST],
    len: usize,
}

impl Joined {
    const fn of(all: &[&'static [Arg]]) -> Joined {
        let mut args = [arg(ArgKind::Anything, TypeFlags::empty()); MOST];
        let (mut len, mut at) = (0, 0);
        while at < all.len() {
            let mut next = 0;
            while next < all[at].len() {
                assert!(len < MOST, "a helper takes at most five words; a slice takes two");
                args[len] = all[at][next];
                len += 1;
                next += 1;
            }
            at += 1;
        }
        Joined { args, len }
    }

    const fn list(&'static self) -> &'static [Arg] {
        self.args.split_at(self.len).0
    }
}

/// Whether all memory is only read: such helpers take bytes of events, too.
const fn only_reads(args: &[Arg]) -> bool {
    let mut at = 0;
    while at < args.len() {
        if args[at].flags.contains(TypeFlags::WRITE) {
            return false;
        }
        at += 1;
    }
    true
}

const fn signature(args: &'static [Arg], ret: RetKind) -> Proto {
    let plain = helper::proto(args, Ret { kind: ret, flags: TypeFlags::empty() });
    if only_reads(args) { plain.packet() } else { plain }
}

macro_rules! helpers {
    ($($name:ident)*) => {
        impl<F, R, $($name,)*> Helper<fn($($name,)*) -> R> for F
        where
            F: Fn($($name,)*) -> R + Send + Sync + 'static,
            F: for<'a> Fn($(<$name as Argument>::Item<'a>,)*) -> R,
            R: Answer,
            $($name: Argument,)*
        {
            const PROTOS: &'static [Proto] = &[signature(
                const { &Joined::of(&[$(<$name as Argument>::ARGS,)*]) }.list(),
                R::RET,
            )];
            const PARAMETERS: &'static [&'static [Parameter]] =
                &[$(<$name as Argument>::PARAMETERS,)*];

            #[allow(non_snake_case, unused_variables, unused_mut, unused_assignments)]
            fn call(&self, call: &mut dyn Arguments) -> Result<u64, HelperEnd> {
                /// The function as one of arguments that live as long as the call.
                fn lent<R, $($name,)*>(
                    function: impl Fn($($name,)*) -> R,
                    $($name: $name,)*
                ) -> R {
                    function($($name,)*)
                }
                let mut at = 0;
                $(
                    let mut $name = <$name as Argument>::take(call, at)?;
                    at += <$name as Argument>::ARGS.len();
                )*
                let answer = lent(self, $(<$name as Argument>::lend(&mut $name),)*);
                let mut at = 0;
                $(
                    <$name as Argument>::put(&$name, call, at)?;
                    at += <$name as Argument>::ARGS.len();
                )*
                Ok(answer.word())
            }
        }
    };
}

helpers! {}
helpers! { A }
helpers! { A B }
helpers! { A B C }
helpers! { A B C D }
helpers! { A B C D E }
