//! Which types go together, and the type that holds both.

use crate::trace::ast::Name;
use crate::trace::kind::{Kind, Type};

/// Whether values of both may stand in one place, sizes and signs aside.
pub fn compatible(one: &Type, other: &Type) -> bool {
    match (&one.kind, &other.kind) {
        (Kind::Record { name: a, .. }, Kind::Record { name: b, .. }) => a == b,
        (Kind::Pointer(a), Kind::Pointer(b)) => compatible(a, b),
        (Kind::Tuple(a), Kind::Tuple(b)) => {
            a.len() == b.len() && a.iter().zip(b.iter()).all(|(a, b)| compatible(a, b))
        }
        (Kind::Named(a), Kind::Named(b)) => {
            a.len() == b.len()
                && a.iter().all(|(name, a)| part(b, name).is_some_and(|b| compatible(a, b)))
        }
        (Kind::Array(a, m), Kind::Array(b, n)) => a == b && (m == n || *m == 0 || *n == 0),
        (Kind::Stack(a), Kind::Stack(b)) => a == b,
        (Kind::Aggregate(a), Kind::Aggregate(b)) => {
            std::mem::discriminant(a) == std::mem::discriminant(b)
        }
        (a, b) => std::mem::discriminant(a) == std::mem::discriminant(b),
    }
}

/// The part of that name.
pub fn part<'p>(parts: &'p [(Name, Type)], name: &str) -> Option<&'p Type> {
    parts.iter().find(|(one, _)| **one == *name).map(|(_, part)| part)
}

/// Whether every value of the first is one of the second.
pub fn fits(one: &Type, other: &Type) -> bool {
    if !compatible(one, other) {
        return false;
    }
    match (&one.kind, &other.kind) {
        (Kind::String(a), Kind::String(b)) => a <= b,
        (Kind::Int { size: a, .. }, Kind::Int { size: b, .. }) => {
            if one.is_signed() == other.is_signed() || one.flexible {
                a <= b
            } else {
                !one.is_signed() && a < b
            }
        }
        (Kind::Tuple(a), Kind::Tuple(b)) => a.iter().zip(b.iter()).all(|(a, b)| fits(a, b)),
        (Kind::Named(a), Kind::Named(b)) => {
            a.iter().all(|(name, a)| part(b, name).is_some_and(|b| fits(a, b)))
        }
        (a, b) => a == b,
    }
}

/// The number type that holds both.
fn numbers(one: &Type, other: &Type) -> Type {
    let (sign, other_sign) = (one.is_signed(), other.is_signed());
    let (size, other_size) = (one.size() as u8, other.size() as u8);
    let largest = size.max(other_size);
    let flexible = one.flexible && other.flexible;
    if sign == other_sign {
        return Type { flexible, ..Type::int(largest, sign) };
    }
    if one.flexible || other.flexible {
        // A literal takes the other's sign.
        let signed = (!one.flexible && sign) || (!other.flexible && other_sign);
        return Type { flexible, ..Type::int(largest, signed) };
    }
    if (sign && size > other_size) || (other_sign && other_size > size) {
        return Type::int(largest, true);
    }
    Type::int((largest * 2).min(8), true)
}

fn element(one: &Type, other: &Type) -> Option<Type> {
    match (&one.kind, &other.kind) {
        (Kind::Int { .. }, _) => Some(numbers(one, other)),
        (Kind::Aggregate(_), _) if one.is_castable_aggregate() => {
            let mine = one.is_signed() == other.is_signed() || one.is_signed();
            Some(if mine { one.clone() } else { other.clone() })
        }
        (Kind::Tuple(_), Kind::Tuple(_)) => tuples(one, other),
        (Kind::Named(_), Kind::Named(_)) => named(one, other),
        (Kind::String(a), Kind::String(b)) => {
            Some(Type { kind: Kind::String(*a.max(b)), ..one.clone() })
        }
        (Kind::Pointer(a), Kind::Pointer(b)) => {
            let to = element(a, b)?;
            let space = other.pointee().map(|to| to.space).unwrap_or_default();
            Some(Type::pointer(to, space))
        }
        _ => Some(one.clone()),
    }
}

fn tuples(one: &Type, other: &Type) -> Option<Type> {
    let parts: Option<Vec<Type>> = one
        .parts()
        .into_iter()
        .zip(other.parts())
        .map(|(one, other)| element(one, other))
        .collect();
    parts.map(Type::tuple)
}

fn named(one: &Type, other: &Type) -> Option<Type> {
    let (Kind::Named(mine), Kind::Named(others)) = (&one.kind, &other.kind) else {
        return None;
    };
    let parts: Option<Vec<(Name, Type)>> = mine
        .iter()
        .map(|(name, mine)| Some((name.clone(), element(mine, part(others, name)?)?)))
        .collect();
    parts.map(|parts| Kind::Named(parts.into()).into())
}

/// The type that holds values of both; the first may not be known yet.
pub fn promote(one: &Type, other: &Type) -> Option<Type> {
    if one.is_none() {
        if other.is_castable_aggregate() {
            return Some(Type::int(8, other.is_signed()));
        }
        return Some(other.clone());
    }
    if one == other {
        return Some(other.clone());
    }
    if !compatible(one, other) {
        let mixed = (one.is_int() && other.is_castable_aggregate())
            || (other.is_int() && one.is_castable_aggregate());
        return mixed.then(|| numbers(one, other));
    }
    element(one, other)
}
