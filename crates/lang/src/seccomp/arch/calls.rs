//! The table of system calls, `calls.txt`: a call in each row, its first kernel where that
//! is newer than 3.13, and its number in each architecture. `cargo xtask calls` writes it
//! from Linux's own tables.

use std::sync::OnceLock;

use rustc_hash::FxHashMap;
use skep_abi::Version;

const TEXT: &str = include_str!("calls.txt");

struct Table {
    columns: Vec<Column>,
    rows: FxHashMap<&'static str, Option<Version>>,
}

/// What one architecture has.
struct Column {
    name: &'static str,
    /// Sorted by number.
    calls: Vec<(u32, &'static str)>,
    numbers: FxHashMap<&'static str, u32>,
}

fn table() -> &'static Table {
    static TABLE: OnceLock<Table> = OnceLock::new();
    TABLE.get_or_init(|| {
        let mut lines = TEXT.lines();
        let heads = lines.next().unwrap_or_default().split(' ').skip(2);
        let column = |name| Column { name, calls: Vec::new(), numbers: FxHashMap::default() };
        let mut columns: Vec<Column> = heads.map(column).collect();
        let mut rows = FxHashMap::default();
        for line in lines {
            let mut fields = line.split(' ');
            let Some(name) = fields.next() else { continue };
            rows.insert(name, fields.next().and_then(version));
            for (column, field) in columns.iter_mut().zip(fields) {
                if let Ok(number) = field.parse() {
                    column.calls.push((number, name));
                    column.numbers.insert(name, number);
                }
            }
        }
        columns.iter_mut().for_each(|column| column.calls.sort_unstable());
        Table { columns, rows }
    })
}

/// Reads `6.12`; what stands behind the second number does not matter.
pub(crate) fn version(text: &str) -> Option<Version> {
    let mut parts = text.split('.');
    let number = |text: &str| {
        let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        text[..end].parse().ok()
    };
    Some(Version { major: number(parts.next()?)?, minor: number(parts.next()?)? })
}

fn find(column: &str) -> Option<&'static Column> {
    table().columns.iter().find(|of| of.name == column)
}

pub(super) fn number(column: &str, call: &str) -> Option<u32> {
    find(column)?.numbers.get(call).copied()
}

pub(super) fn name(column: &str, number: u32) -> Option<&'static str> {
    let calls = &find(column)?.calls;
    let index = calls.binary_search_by_key(&number, |call| call.0).ok()?;
    Some(calls[index].1)
}

pub(super) fn column(column: &str) -> impl Iterator<Item = (u32, &'static str)> + use<> {
    find(column).into_iter().flat_map(|column| column.calls.iter().copied())
}

/// Whether any architecture has this call.
pub fn exists(call: &str) -> bool {
    table().rows.contains_key(call)
}

/// Every call of any architecture, by name.
pub fn names() -> impl Iterator<Item = &'static str> {
    TEXT.lines().skip(1).filter_map(|line| line.split(' ').next())
}

/// The kernel in which a call is first found; `None` for those that were there before 3.14.
pub fn since(call: &str) -> Option<Version> {
    table().rows.get(call).copied().flatten()
}
