//! The parser. One pass, one token ahead: what stands in parentheses is first read, and
//! then is a number, a computation, identifiers that inherit qualifiers, or a condition,
//! as it turns out.

mod arith;
mod cursor;
mod wireless;

use std::ops::Range;

use skep_isa::classic::Cond;

use super::Error;
use super::ast::{
    Arithmetic, ByteOp, Conjunction, Direction, Expr, Id, Place, Primitive, Protocol, Qualifiers,
    Step, Type,
};
use super::lex::{Keyword, Lexeme, Token};
use cursor::Cursor;

/// Reads a list of tokens that ends with [`Token::End`]. `None` is the empty expression.
///
/// # Errors
/// The first token that does not fit.
pub fn parse(lexemes: &[Lexeme]) -> Result<Option<Expr>, Error> {
    let mut cursor = Cursor::new(lexemes);
    if *cursor.peek() == Token::End {
        return Ok(None);
    }
    let (expr, _) = expression(&mut cursor, None)?;
    match cursor.peek() {
        Token::End => Ok(Some(expr)),
        _ => Err(cursor.wanted("`and`, `or` or the end")),
    }
}

/// What a piece turns out to be, with the qualifiers that it hands on.
enum Item {
    /// A number in any parentheses.
    Number(u32, Range<usize>),
    /// A computation in parentheses.
    Arithmetic(Arithmetic),
    /// Identifiers, which inherited their qualifiers.
    Ids(Expr, Inherited),
    /// A condition.
    Condition(Expr, Inherited),
}

/// Qualifiers for identifiers that have none of their own.
type Inherited = Option<Qualifiers>;

/// Conditions up to something that joins no more.
fn expression(cursor: &mut Cursor<'_>, inherited: Inherited) -> Result<(Expr, Inherited), Error> {
    let place = cursor.span();
    match item(cursor, inherited)? {
        Item::Condition(first, inherited) => chain(cursor, first, inherited, false),
        Item::Number(..) | Item::Arithmetic(_) => Err(cursor.wanted("a comparison")),
        Item::Ids(..) => Err(Error::syntax(
            place,
            "say what it is: `host`, `net`, `port` or another word belongs before it",
        )),
    }
}

/// All that is joined to a first condition; `ids` where only identifiers may be.
fn chain(
    cursor: &mut Cursor<'_>,
    first: Expr,
    mut inherited: Inherited,
    ids: bool,
) -> Result<(Expr, Inherited), Error> {
    let mut rest = Vec::new();
    loop {
        let conjunction = match cursor.peek() {
            Token::Keyword(Keyword::And) => Conjunction::And,
            Token::Keyword(Keyword::Or) => Conjunction::Or,
            _ => break,
        };
        cursor.next();
        let place = cursor.span();
        let (expr, next) = match item(cursor, inherited)? {
            Item::Condition(expr, next) if !ids => (expr, next),
            Item::Condition(..) => {
                let hint = "these parentheses hold only names, numbers or addresses";
                return Err(Error::syntax(place, hint));
            }
            Item::Ids(expr, next) => (expr, next),
            Item::Number(number, span) => (id(inherited, Id::Number(number), span), inherited),
            Item::Arithmetic(_) => return Err(cursor.wanted("a comparison")),
        };
        inherited = next;
        rest.push((conjunction, expr));
    }
    match rest.is_empty() {
        true => Ok((first, inherited)),
        false => Ok((Expr::Chain(Box::new(first), rest), inherited)),
    }
}

fn id(inherited: Inherited, id: Id, span: Range<usize>) -> Expr {
    let primitive = match inherited {
        Some(qualifiers) => Primitive::Id(qualifiers, id),
        None => Primitive::Unqualified,
    };
    let start = span.start;
    Expr::Primitive(Box::new(primitive), Place { span, start })
}

/// One piece: up to `and`, `or`, a closing parenthesis or the end.
fn item(cursor: &mut Cursor<'_>, inherited: Inherited) -> Result<Item, Error> {
    let start = cursor.span().start;
    let steps = |step| Arithmetic(vec![(step, cursor.span())]);
    match cursor.peek().clone() {
        Token::Keyword(Keyword::Not) => {
            cursor.next();
            cursor.enter()?;
            let item = match item(cursor, inherited)? {
                Item::Ids(expr, next) => Item::Ids(Expr::Not(Box::new(expr)), next),
                Item::Condition(expr, next) => Item::Condition(Expr::Not(Box::new(expr)), next),
                Item::Number(number, span) => {
                    let expr = id(inherited, Id::Number(number), span);
                    Item::Ids(Expr::Not(Box::new(expr)), inherited)
                }
                Item::Arithmetic(_) => return Err(cursor.wanted("a comparison")),
            };
            cursor.leave();
            Ok(item)
        }
        Token::Sign("(") => {
            cursor.next();
            cursor.enter()?;
            let item = group(cursor, inherited)?;
            cursor.leave();
            match item {
                Item::Number(number, _) => {
                    let span = cursor.since(start);
                    if arith::continues(cursor.peek()) || relation_sign(cursor.peek()).is_some() {
                        let steps = Arithmetic(vec![(Step::Number(number), span)]);
                        return computed(cursor, steps, start);
                    }
                    Ok(Item::Number(number, span))
                }
                Item::Arithmetic(steps) => computed(cursor, steps, start),
                other => Ok(other),
            }
        }
        Token::Number(number) => {
            let steps = steps(Step::Number(number));
            let span = cursor.next().span.clone();
            if arith::continues(cursor.peek()) || relation_sign(cursor.peek()).is_some() {
                return computed(cursor, steps, start);
            }
            Ok(Item::Number(number, span))
        }
        Token::Keyword(Keyword::Len) => {
            let steps = steps(Step::Len);
            cursor.next();
            computed(cursor, steps, start)
        }
        Token::Sign("-") => {
            let span = cursor.next().span.clone();
            let mut steps = Arithmetic::default();
            cursor.negation(&mut steps, span)?;
            computed(cursor, steps, start)
        }
        Token::Keyword(Keyword::Protocol(protocol)) => {
            cursor.next();
            if cursor.is_sign("[") {
                let mut steps = Arithmetic::default();
                cursor.load(protocol, &mut steps, start)?;
                return computed(cursor, steps, start);
            }
            primitive(cursor, Some(protocol), start)
        }
        Token::Keyword(_) => primitive(cursor, None, start),
        Token::End | Token::Sign(_) => Err(cursor.wanted("a condition")),
        _ => {
            let found = identifier(cursor)?;
            Ok(Item::Ids(id(inherited, found, cursor.since(start)), inherited))
        }
    }
}

/// What stands between parentheses, and the closing one.
fn group(cursor: &mut Cursor<'_>, inherited: Inherited) -> Result<Item, Error> {
    let joined =
        |cursor: &Cursor<'_>| cursor.is_keyword(Keyword::And) || cursor.is_keyword(Keyword::Or);
    let found = match item(cursor, inherited)? {
        Item::Number(number, span) if joined(cursor) => {
            let first = id(inherited, Id::Number(number), span);
            let (expr, next) = chain(cursor, first, inherited, true)?;
            Item::Ids(expr, next)
        }
        Item::Ids(first, next) => {
            let (expr, next) = chain(cursor, first, next, true)?;
            Item::Ids(expr, next)
        }
        Item::Condition(first, next) => {
            let (expr, _) = chain(cursor, first, next, false)?;
            Item::Condition(expr, inherited)
        }
        other => other,
    };
    match cursor.take_sign(")") {
        true => Ok(found),
        false => Err(cursor.wanted("`and`, `or` or `)`")),
    }
}

/// Signs of comparisons: condition, and whether its opposite is meant.
const RELATIONS: [(&str, Cond, bool); 6] = [
    (">", Cond::Gt, false),
    (">=", Cond::Ge, false),
    ("=", Cond::Eq, false),
    ("<=", Cond::Gt, true),
    ("<", Cond::Ge, true),
    ("!=", Cond::Eq, true),
];

fn relation_sign(token: &Token) -> Option<(Cond, bool)> {
    let Token::Sign(sign) = token else { return None };
    RELATIONS.iter().find(|row| row.0 == *sign).map(|row| (row.1, row.2))
}

/// The rest of a computation, and a comparison where there is one.
fn computed(cursor: &mut Cursor<'_>, mut left: Arithmetic, start: usize) -> Result<Item, Error> {
    cursor.operations(&mut left, 0)?;
    let Some((cond, opposite)) = relation_sign(cursor.peek()) else {
        return Ok(Item::Arithmetic(left));
    };
    cursor.next();
    let right = cursor.arithmetic()?;
    let primitive = Primitive::Relation { left, cond, opposite, right };
    Ok(Item::Condition(Expr::Primitive(Box::new(primitive), cursor.place(start)), None))
}

/// The condition with its qualifiers.
fn starting(mut expr: Expr, start: usize) -> Expr {
    if let Expr::Primitive(_, place) = &mut expr {
        place.start = start;
    }
    expr
}

/// A condition that starts with a word; a protocol before it was already taken.
fn primitive(
    cursor: &mut Cursor<'_>,
    protocol: Option<Protocol>,
    start: usize,
) -> Result<Item, Error> {
    if let Some(qualifiers) = qualifiers(cursor, protocol) {
        let place = cursor.span();
        return match item(cursor, Some(qualifiers))? {
            // The place is that of the name: what is before it may be far away.
            Item::Ids(expr, next) => Ok(Item::Condition(starting(expr, start), next)),
            Item::Number(number, span) => {
                let inherited = Some(qualifiers);
                let expr = id(inherited, Id::Number(number), span);
                Ok(Item::Condition(starting(expr, start), inherited))
            }
            Item::Condition(..) | Item::Arithmetic(_) => {
                Err(Error::syntax(place, "here should come a name, a number or an address"))
            }
        };
    }
    let found = alone(cursor, protocol)?;
    Ok(Item::Condition(Expr::Primitive(Box::new(found), cursor.place(start)), None))
}

/// The qualifiers that come next, if there are any beside a protocol.
fn qualifiers(cursor: &mut Cursor<'_>, protocol: Option<Protocol>) -> Option<Qualifiers> {
    let plain = |kind| Some(Qualifiers { protocol, direction: None, kind: Some(kind) });
    let Token::Keyword(keyword) = *cursor.peek() else { return None };
    let only = match keyword {
        Keyword::Proto => plain(Type::Proto),
        Keyword::ProtoChain => plain(Type::ProtoChain),
        Keyword::Gateway => plain(Type::Gateway),
        _ => None,
    };
    if only.is_some() {
        cursor.next();
        return only;
    }
    let direction = direction(cursor);
    let kind = match *cursor.peek() {
        Token::Keyword(Keyword::Type(kind)) => {
            cursor.next();
            Some(kind)
        }
        _ => None,
    };
    (direction.is_some() || kind.is_some()).then_some(Qualifiers { protocol, direction, kind })
}

fn direction(cursor: &mut Cursor<'_>) -> Option<Direction> {
    let (other, single) = match *cursor.peek() {
        Token::Keyword(Keyword::Wireless(direction)) => {
            cursor.next();
            return Some(direction);
        }
        Token::Keyword(Keyword::Source) => (Keyword::Destination, Direction::Source),
        Token::Keyword(Keyword::Destination) => (Keyword::Source, Direction::Destination),
        _ => return None,
    };
    cursor.next();
    let joined = match *cursor.peek() {
        Token::Keyword(Keyword::Or) => Direction::Either,
        Token::Keyword(Keyword::And) => Direction::Both,
        _ => return Some(single),
    };
    if *cursor.peek_at(1) != Token::Keyword(other) {
        return Some(single);
    }
    cursor.next();
    cursor.next();
    Some(joined)
}

/// A name, an address, an address with a prefix or a mask.
fn identifier(cursor: &mut Cursor<'_>) -> Result<Id, Error> {
    let found = cursor.next();
    Ok(match &found.token {
        Token::Id(name) => Id::Name(name.clone()),
        Token::Ipv4(address) => {
            if cursor.take_sign("/") {
                let length = number(cursor, "the length of the prefix, 0 to 32")?;
                Id::Ipv4Prefix(address.clone(), length)
            } else if cursor.take_keyword(Keyword::Mask) {
                let Token::Ipv4(mask) = cursor.peek() else {
                    return Err(cursor.wanted("a mask, as in `mask 255.255.0.0`"));
                };
                cursor.next();
                Id::Ipv4Mask(address.clone(), mask.clone())
            } else {
                Id::Ipv4(address.clone())
            }
        }
        Token::Ipv6(address, text) => {
            let text = text.clone();
            if cursor.take_sign("/") {
                let length = number(cursor, "the length of the prefix, 0 to 128")?;
                Id::Ipv6Prefix(*address, text, length)
            } else {
                Id::Ipv6(*address, text)
            }
        }
        Token::Mac48(address) => Id::Mac48(*address),
        Token::Mac8(address) => Id::Mac8(*address),
        _ => return Err(cursor.wanted("a name, a number or an address")),
    })
}

fn number(cursor: &mut Cursor<'_>, what: &str) -> Result<u32, Error> {
    let Token::Number(value) = *cursor.peek() else { return Err(cursor.wanted(what)) };
    cursor.next();
    Ok(value)
}

/// A number that may be left out, in any parentheses.
fn optional(cursor: &mut Cursor<'_>) -> Result<Option<u32>, Error> {
    let mut open = 0;
    while cursor.take_sign("(") {
        open += 1;
    }
    if open == 0 && !matches!(cursor.peek(), Token::Number(_)) {
        return Ok(None);
    }
    let value = number(cursor, "a number")?;
    for _ in 0..open {
        if !cursor.take_sign(")") {
            return Err(cursor.wanted("`)`"));
        }
    }
    Ok(Some(value))
}

/// A condition that is no identifier.
fn alone(cursor: &mut Cursor<'_>, protocol: Option<Protocol>) -> Result<Primitive, Error> {
    let Token::Keyword(keyword) = *cursor.peek() else {
        return abbreviation(cursor, protocol);
    };
    // These may have a protocol before them.
    match keyword {
        Keyword::Broadcast => {
            cursor.next();
            return Ok(Primitive::Broadcast(protocol));
        }
        Keyword::Multicast => {
            cursor.next();
            return Ok(Primitive::Multicast(protocol));
        }
        Keyword::WlanType => {
            cursor.next();
            return cursor.frame_type();
        }
        Keyword::WlanSubtype => {
            cursor.next();
            return cursor.frame_subtype();
        }
        Keyword::WlanDirection => {
            cursor.next();
            return cursor.frame_direction();
        }
        _ => {}
    }
    if protocol.is_some() {
        return abbreviation(cursor, protocol);
    }
    cursor.next();
    Ok(match keyword {
        Keyword::Less => Primitive::Less(number(cursor, "a number of bytes")?),
        Keyword::Greater => Primitive::Greater(number(cursor, "a number of bytes")?),
        Keyword::Byte => {
            let index = number(cursor, "the index of a byte")?;
            let op = match cursor.peek() {
                Token::Sign("=") => ByteOp::Equal,
                Token::Sign("<") => ByteOp::Less,
                Token::Sign(">") => ByteOp::Greater,
                Token::Sign("&") => ByteOp::And,
                Token::Sign("|") => ByteOp::Or,
                _ => return Err(cursor.wanted("one of `= < > & |`")),
            };
            cursor.next();
            Primitive::Byte(index, op, number(cursor, "a number")?)
        }
        Keyword::Inbound => Primitive::Inbound,
        Keyword::Outbound => Primitive::Outbound,
        Keyword::IfIndex => Primitive::IfIndex(number(cursor, "the index of an interface")?),
        Keyword::Vlan => Primitive::Vlan(optional(cursor)?),
        Keyword::Mpls => Primitive::Mpls(optional(cursor)?),
        Keyword::Pppoed => Primitive::Pppoed,
        Keyword::Pppoes => Primitive::Pppoes(optional(cursor)?),
        Keyword::Geneve => Primitive::Geneve(optional(cursor)?),
        Keyword::Vxlan => Primitive::Vxlan(optional(cursor)?),
        Keyword::Llc => return cursor.llc(),
        Keyword::Firewall(word) => {
            if !matches!(cursor.peek(), Token::Id(_) | Token::Number(_)) {
                return Err(cursor.wanted("a value"));
            }
            cursor.next();
            Primitive::Elsewhere(word, "PFLOG linktype")
        }
        Keyword::Atm(word) => Primitive::Elsewhere(word, "SUNATM"),
        Keyword::Ss7(word) => Primitive::Elsewhere(word, "SS7"),
        Keyword::AtmField(word) => {
            values(cursor)?;
            Primitive::Elsewhere(word, "SUNATM")
        }
        Keyword::Ss7Field(word) => {
            values(cursor)?;
            Primitive::Elsewhere(word, "SS7")
        }
        _ => {
            return Err(Error::syntax(
                cursor.since(cursor.span().start),
                "this word cannot stand here; see `skep filter --help` for what a condition is",
            ));
        }
    })
}

fn abbreviation(cursor: &Cursor<'_>, protocol: Option<Protocol>) -> Result<Primitive, Error> {
    protocol.map(Primitive::Protocol).ok_or_else(|| cursor.wanted("a condition"))
}

/// A number, a comparison with one, or several in parentheses.
fn values(cursor: &mut Cursor<'_>) -> Result<(), Error> {
    if relation_sign(cursor.peek()).is_some() {
        cursor.next();
        return number(cursor, "a number").map(|_| ());
    }
    if !cursor.take_sign("(") {
        return number(cursor, "a number").map(|_| ());
    }
    loop {
        number(cursor, "a number")?;
        if !cursor.take_keyword(Keyword::Or) {
            break;
        }
    }
    match cursor.take_sign(")") {
        true => Ok(()),
        false => Err(cursor.wanted("`or` or `)`")),
    }
}
