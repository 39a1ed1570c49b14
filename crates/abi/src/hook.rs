//! Hooks of applications: what a program at one gets, may call and may return, as data, where
//! programs of Linux's types have rows of the tables.
//!
//! Linux has no such program type: a program at a hook is of type 0, with one of these beside it.

use crate::context::Context;
use crate::{Effects, Helper, PacketAccess, Proto, Yield};

/// What the sections of such programs start with: `SEC("hook/NAME")`.
pub const SECTION: &str = "hook/";

/// The number of a hook's first helper: above those of Linux's helpers, below those of linked
/// kernel functions.
const FIRST: u32 = 0x8000;
/// Most helpers of a hook.
pub const MOST_HELPERS: usize = 256;
/// Arguments that a helper may take.
const MOST_WORDS: u32 = 5;

/// What holds of the programs at a hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookRow {
    /// Its name, which sections have behind [`SECTION`].
    pub name: String,
    /// What r1 of programs points to.
    pub context: &'static Context,
    /// What programs may do with the bytes that the context leads to.
    pub packet: PacketAccess,
    /// The least and the most that they may return; `None` for anything.
    pub returns: Option<(i32, i32)>,
    /// Helpers of its own, besides those that every program has.
    pub helpers: Vec<Helper>,
}

/// What compiled code has to know of a hook's helper, which its number says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shape {
    /// Argument words that it reads.
    pub words: u32,
    /// Whether loads of the context may give something else after it.
    pub changes_context: bool,
}

impl Shape {
    /// All that there are, by the places that [`Shape::place`] gives.
    pub fn all() -> impl Iterator<Item = Shape> {
        (0..=MOST_WORDS)
            .flat_map(|words| [false, true].map(|changes_context| Shape { words, changes_context }))
    }

    /// Its place among all.
    pub fn place(self) -> usize {
        (self.words * 2 + u32::from(self.changes_context)) as usize
    }

    /// The number of the helper with this index that is of this shape.
    pub fn number(self, index: usize) -> u32 {
        FIRST + (self.place() * MOST_HELPERS + index % MOST_HELPERS) as u32
    }

    /// The shape of the helper with a number; `None` where that is none of a hook's.
    pub fn of(number: u32) -> Option<Shape> {
        let place = number.checked_sub(FIRST)? / MOST_HELPERS as u32;
        let shape = Shape { words: place / 2, changes_context: place % 2 == 1 };
        (shape.words <= MOST_WORDS).then_some(shape)
    }

    /// The index in its hook of the helper with a number.
    pub fn index(number: u32) -> Option<usize> {
        Shape::of(number)?;
        Some((number - FIRST) as usize % MOST_HELPERS)
    }
}

impl HookRow {
    /// The helper with this number.
    pub fn helper(&self, number: u32) -> Option<&Helper> {
        let helper = self.helpers.get(Shape::index(number)?)?;
        (helper.id == number).then_some(helper)
    }
}

impl Helper {
    /// A helper of a hook, with its one signature.
    pub const fn of_hook(id: u32, name: &'static str, protos: &'static [Proto]) -> Helper {
        Helper {
            id,
            name,
            since: crate::Version { major: 0, minor: 0 },
            protos,
            maps: None,
            effects: Effects::empty(),
            callback: None,
            yields: Yield::Anything,
            linux_only: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_says_index_and_shape_and_is_no_other_functions() {
        for (place, shape) in Shape::all().enumerate() {
            assert_eq!(shape.place(), place);
            for index in [0, 7, MOST_HELPERS - 1] {
                let number = shape.number(index);
                assert_eq!((Shape::of(number), Shape::index(number)), (Some(shape), Some(index)));
                assert!(number as usize > Helper::all().len() && number < 1 << 16);
            }
        }
        let next = Shape { words: MOST_WORDS, changes_context: true }.number(MOST_HELPERS - 1) + 1;
        assert_eq!((Shape::of(next), Shape::of(FIRST - 1)), (None, None));
    }
}
