//! Policies as short expressions, close to kafel's language:
//!
//! ```text
//! default errno(ENOSYS)  arch x86_64, x86  kernel 6.1
//! allow { @basic-io, exit_group, mmap { (prot & PROT_EXEC) == 0 } }
//! errno(EPERM) { socket { family != AF_UNIX && family != AF_INET }, syscall[454] }
//! ```
//!
//! kafel's `POLICY name { ... } USE name DEFAULT kill` is read as well; of several rules
//! that hold the strictest decides here, not the first.

use rustc_hash::FxHashMap;

use super::logic::Logic;
use super::token::{Token, Tokens};
use super::{Environment, ParseError, sets};
use crate::seccomp::arch::{self, Arch};
use crate::seccomp::policy::{Action, Call, Condition, Op, Policy, Rule, integer};

/// Parentheses and `!` within each other.
const MAX_DEPTH: usize = 100;

/// Reads a policy.
pub(super) fn parse(text: &str, environment: &Environment) -> Result<Policy, ParseError> {
    let mut reader = Reader {
        tokens: Tokens::new(text)?,
        constants: FxHashMap::default(),
        named: FxHashMap::default(),
        policy: Policy { arches: Vec::new(), ..Policy::new(Action::KillProcess) },
        default: None,
        depth: 0,
    };
    while reader.tokens.peek().is_some() {
        reader.item()?;
    }
    let mut policy = reader.policy;
    policy.default = reader.default.ok_or_else(|| {
        ParseError::new("", "the policy has no default")
            .hint("begin with `default errno(ENOSYS)`, or another action")
    })?;
    if policy.arches.is_empty() {
        policy.arches.push(environment.arch);
    }
    Ok(policy)
}

/// Reads the condition of a call, `(prot & PROT_EXEC) == 0`: the cases in which it holds, in
/// each of which all comparisons do.
///
/// # Errors
/// What is wrong with it, and where.
pub fn condition(text: &str, call: &str) -> Result<Vec<Vec<Condition>>, ParseError> {
    let mut reader = Reader {
        tokens: Tokens::new(text)?,
        constants: FxHashMap::default(),
        named: FxHashMap::default(),
        policy: Policy::new(Action::Allow),
        default: None,
        depth: 0,
    };
    let logic = reader.any(&Names { call, own: None })?;
    if reader.tokens.peek().is_some() {
        return Err(reader.tokens.error("the end of the condition"));
    }
    reader.alternatives(&logic)
}

struct Reader<'a> {
    tokens: Tokens<'a>,
    /// Of `#define`.
    constants: FxHashMap<&'a str, u64>,
    /// Of `POLICY name { ... }`.
    named: FxHashMap<&'a str, Vec<Rule>>,
    policy: Policy,
    default: Option<Action>,
    depth: usize,
}

/// What names mean in a condition.
struct Names<'a> {
    call: &'a str,
    /// Of arguments, where the policy gives its own.
    own: Option<Vec<&'a str>>,
}

/// A side of a comparison.
enum Value {
    Constant(u64),
    Argument { arg: u8, mask: u64 },
}

impl<'a> Reader<'a> {
    fn item(&mut self) -> Result<(), ParseError> {
        if self.tokens.take(",") {
            return Ok(());
        }
        if self.tokens.take_word("#define") {
            let name = self.tokens.word("a name")?;
            let value = self.constant()?;
            self.constants.insert(name, value);
        } else if self.tokens.take_word("#include") {
            return Err(ParseError::new(self.tokens.place(), "other files are not included"));
        } else if self.tokens.take_word("default") {
            self.default = Some(self.action()?);
        } else if self.tokens.take_word("badarch") {
            self.policy.bad_arch = self.action()?;
        } else if self.tokens.take_word("arch") {
            self.words("an architecture", |reader, name| {
                let arch = Arch::of_name(name)?;
                if !reader.policy.arches.contains(&arch) {
                    reader.policy.arches.push(arch);
                }
                Some(())
            })?;
        } else if self.tokens.take_word("flags") {
            self.words("a flag: tsync, log, spec_allow, wait_killable_recv", |reader, name| {
                let name = format!("SECCOMP_FILTER_FLAG_{}", name.to_ascii_uppercase());
                reader.policy.flags.set(&name).then_some(())
            })?;
        } else if self.tokens.take_word("kernel") {
            let error = self.tokens.error("a version like 5.10");
            let version = arch::version(self.tokens.word("a version")?);
            self.policy.kernel = Some(version.ok_or(error)?);
        } else if self.tokens.take_word("policy") {
            let name = self.tokens.word("the policy's name")?;
            self.tokens.expect("{")?;
            let mut rules = Vec::new();
            while !self.tokens.take("}") {
                if !self.tokens.take(",") {
                    rules.extend(self.block()?);
                }
            }
            self.named.insert(name, rules);
        } else if self.tokens.take_word("use") {
            self.words("the name of a policy above", |reader, name| {
                let rules = reader.named.get(name)?.clone();
                reader.policy.rules.extend(rules);
                Some(())
            })?;
        } else {
            let rules = self.block()?;
            self.policy.rules.extend(rules);
        }
        match self.policy.rules.len() <= super::MAX_RULES {
            true => Ok(()),
            false => Err(ParseError::new(self.tokens.place(), "there are too many rules")),
        }
    }

    /// Words with commas between them.
    fn words(
        &mut self,
        what: &str,
        mut take: impl FnMut(&mut Self, &'a str) -> Option<()>,
    ) -> Result<(), ParseError> {
        loop {
            let error = self.tokens.error(what);
            let word = self.tokens.word(what)?;
            take(self, word).ok_or(error)?;
            if !self.tokens.take(",") {
                return Ok(());
            }
        }
    }

    fn action(&mut self) -> Result<Action, ParseError> {
        let error = self.tokens.error(
            "an action: allow, log, errno(NAME), kill_process, kill_thread, trap, trace(N), notify",
        );
        let name = self.tokens.word("an action")?;
        let text = match self.tokens.take("(") {
            true => {
                let data = self.tokens.word("a number or the name of an error")?;
                self.tokens.expect(")")?;
                let value = self.constants.get(data).map(u64::to_string);
                format!("{name}({})", value.as_deref().unwrap_or(data))
            }
            false => name.to_owned(),
        };
        Action::of_text(&text).ok_or(error)
    }

    /// `allow { read, write }`
    fn block(&mut self) -> Result<Vec<Rule>, ParseError> {
        let action = self.action()?;
        self.tokens.expect("{")?;
        let mut rules = Vec::new();
        while !self.tokens.take("}") {
            self.entry(action, &mut rules)?;
            if !self.tokens.take(",") {
                self.tokens.expect("}")?;
                break;
            }
        }
        Ok(rules)
    }

    /// `read`, `@basic-io`, `syscall[454]`, `mmap { (prot & PROT_EXEC) == 0 }`
    fn entry(&mut self, action: Action, rules: &mut Vec<Rule>) -> Result<(), ParseError> {
        let place = self.tokens.place();
        let error = self.tokens.error("the name of a call");
        let name = self.tokens.word("the name of a call")?;
        let mut push = |call, conditions| {
            rules.push(Rule { call, action, conditions, place: place.clone() });
        };
        if name.starts_with('@') {
            let calls = sets::calls(name).ok_or_else(|| {
                ParseError::new(&place, format!("there is no set {name}")).hint(sets::hint())
            })?;
            calls.into_iter().for_each(|name| push(Call::Name(name.to_owned()), Vec::new()));
            return Ok(());
        }
        let (call, known) = if name.eq_ignore_ascii_case("syscall") && self.tokens.take("[") {
            let number = u32::try_from(self.constant()?);
            self.tokens.expect("]")?;
            (Call::Number(number.map_err(|_| error)?), "")
        } else if arch::exists(name) {
            (Call::Name(name.to_owned()), name)
        } else {
            let error = ParseError::new(&place, format!("no architecture has a call {name}"));
            let close = arch::names().find(|of| is_close(of, name));
            return Err(match close {
                Some(close) => error.hint(format!("is `{close}` meant?")),
                None => error.hint("a call without a name is written `syscall[454]`"),
            });
        };
        let mut names = Names { call: known, own: None };
        if self.tokens.take("(") {
            let mut own = Vec::new();
            while !self.tokens.take(")") {
                own.push(self.tokens.word("the name of an argument")?);
                self.tokens.take(",");
            }
            names.own = Some(own);
        }
        if !self.tokens.take("{") {
            push(call, Vec::new());
            return Ok(());
        }
        let logic = self.any(&names)?;
        self.tokens.expect("}")?;
        for conditions in self.alternatives(&logic)? {
            rules.push(Rule { call: call.clone(), action, conditions, place: place.clone() });
        }
        Ok(())
    }

    fn alternatives(&self, logic: &Logic) -> Result<Vec<Vec<Condition>>, ParseError> {
        let error = || ParseError::new(self.tokens.place(), "the condition has too many cases");
        logic.alternatives().ok_or_else(error)
    }

    fn any(&mut self, names: &Names<'_>) -> Result<Logic, ParseError> {
        let mut parts = vec![self.all(names)?];
        // Kafel has commas for `||` between conditions.
        while self.tokens.take("||") || self.tokens.take_word("or") || self.tokens.take(",") {
            parts.push(self.all(names)?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Logic::Any(parts) })
    }

    fn all(&mut self, names: &Names<'_>) -> Result<Logic, ParseError> {
        let mut parts = vec![self.not(names)?];
        while self.tokens.take("&&") || self.tokens.take_word("and") {
            parts.push(self.not(names)?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Logic::All(parts) })
    }

    fn not(&mut self, names: &Names<'_>) -> Result<Logic, ParseError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(ParseError::new(self.tokens.place(), "too many parentheses"));
        }
        let logic = if self.tokens.take("!") || self.tokens.take_word("not") {
            Logic::Not(Box::new(self.not(names)?))
        } else if self.is_condition_in_parentheses() {
            self.tokens.expect("(")?;
            let logic = self.any(names)?;
            self.tokens.expect(")")?;
            logic
        } else {
            self.comparison(names)?
        };
        self.depth -= 1;
        Ok(logic)
    }

    /// Whether a `(` that is next holds a condition, and not a value that is compared.
    fn is_condition_in_parentheses(&self) -> bool {
        if self.tokens.peek() != Some(Token::Sign("(")) {
            return false;
        }
        let mut open = 0;
        for count in 0.. {
            match self.tokens.ahead(count) {
                Some(Token::Sign("(")) => open += 1,
                Some(Token::Sign(")")) if open == 1 => {
                    let next = self.tokens.ahead(count + 1);
                    return !matches!(
                        next,
                        Some(Token::Sign("==" | "!=" | "<" | "<=" | ">" | ">=" | "&"))
                    );
                }
                Some(Token::Sign(")")) => open -= 1,
                Some(Token::Sign("&&" | "||" | "!")) | None => return true,
                Some(_) => {}
            }
        }
        true
    }

    fn comparison(&mut self, names: &Names<'_>) -> Result<Logic, ParseError> {
        let place = self.tokens.place();
        let left = self.value(names)?;
        let op = match self.tokens.peek() {
            Some(Token::Sign(sign @ ("==" | "!=" | "<" | "<=" | ">" | ">="))) => sign,
            // Alone it is compared with zero.
            _ => return compare(left, "!=", Value::Constant(0), &place),
        };
        self.tokens.next();
        let right = self.value(names)?;
        compare(left, op, right, &place)
    }

    /// `prot & PROT_EXEC`, `AF_UNIX`, `(fd)`
    fn value(&mut self, names: &Names<'_>) -> Result<Value, ParseError> {
        let mut value = self.operand(names)?;
        loop {
            let place = self.tokens.place();
            let joined = if self.tokens.take("&") {
                match (value, self.operand(names)?) {
                    (Value::Constant(one), Value::Constant(other)) => Value::Constant(one & other),
                    (Value::Argument { arg, mask }, Value::Constant(other))
                    | (Value::Constant(other), Value::Argument { arg, mask }) => {
                        Value::Argument { arg, mask: mask & other }
                    }
                    _ => return Err(ParseError::new(place, "two arguments cannot be joined")),
                }
            } else if self.tokens.take("|") {
                match (value, self.operand(names)?) {
                    (Value::Constant(one), Value::Constant(other)) => Value::Constant(one | other),
                    _ => return Err(ParseError::new(place, "`|` joins constants only")),
                }
            } else {
                return Ok(value);
            };
            value = joined;
        }
    }

    fn operand(&mut self, names: &Names<'_>) -> Result<Value, ParseError> {
        if self.tokens.take("(") {
            self.depth += 1;
            if self.depth > MAX_DEPTH {
                return Err(ParseError::new(self.tokens.place(), "too many parentheses"));
            }
            let value = self.value(names)?;
            self.depth -= 1;
            self.tokens.expect(")")?;
            return Ok(value);
        }
        let error = self.tokens.error("an argument, a constant or a number");
        let place = self.tokens.place();
        let word = self.tokens.word("an argument, a constant or a number")?;
        if word.starts_with(|c: char| c.is_ascii_digit() || c == '-') {
            return number(word).map(Value::Constant).ok_or(error);
        }
        let arg = match &names.own {
            Some(own) => own.iter().position(|of| *of == word).map(|index| index as u8),
            None => arch::argument(names.call, word),
        };
        if let Some(arg) = arg {
            return match arg {
                0..6 => Ok(Value::Argument { arg, mask: u64::MAX }),
                _ => Err(ParseError::new(place, "calls have six arguments")),
            };
        }
        let constant = self.constants.get(word).copied().or_else(|| arch::constant(word));
        constant.map(Value::Constant).ok_or_else(|| {
            let known = arch::arguments(names.call).join(", ");
            let error = ParseError::new(place, format!("`{word}` is no argument and no constant"));
            match known.is_empty() {
                true => error.hint("arguments are arg0 to arg5"),
                false => error.hint(format!("arguments are {known}; or arg0 to arg5")),
            }
        })
    }

    /// A number or the name of one.
    fn constant(&mut self) -> Result<u64, ParseError> {
        match self.value(&Names { call: "", own: Some(Vec::new()) })? {
            Value::Constant(value) => Ok(value),
            Value::Argument { .. } => Err(self.tokens.error("a constant")),
        }
    }
}

/// A number, which may be negative.
fn number(word: &str) -> Option<u64> {
    match word.strip_prefix('-') {
        Some(word) => integer(word).map(u64::wrapping_neg),
        None => integer(word),
    }
}

fn compare(left: Value, op: &str, right: Value, place: &str) -> Result<Logic, ParseError> {
    let (arg, mask, value, op) = match (left, right) {
        (Value::Argument { arg, mask }, Value::Constant(value)) => (arg, mask, value, op),
        (Value::Constant(value), Value::Argument { arg, mask }) => {
            let turned = match op {
                "<" => ">",
                "<=" => ">=",
                ">" => "<",
                ">=" => "<=",
                same => same,
            };
            (arg, mask, value, turned)
        }
        (Value::Constant(_), Value::Constant(_)) => {
            return Err(ParseError::new(place, "a comparison of constants decides nothing"));
        }
        (Value::Argument { .. }, Value::Argument { .. }) => {
            return Err(ParseError::new(place, "two arguments cannot be compared"));
        }
    };
    let is = |op| Logic::Is(Condition { arg, op, value });
    if mask != u64::MAX {
        let equal = match value & !mask {
            0 => is(Op::MaskedEq(mask)),
            _ => Logic::constant(false),
        };
        return match op {
            "==" => Ok(equal),
            "!=" => Ok(Logic::Not(Box::new(equal))),
            _ => Err(ParseError::new(place, "bits under a mask are compared by `==` or `!=`")),
        };
    }
    Ok(match op {
        "==" => is(Op::Eq),
        "!=" => is(Op::Ne),
        "<" => is(Op::Lt),
        "<=" => is(Op::Le),
        ">" => is(Op::Gt),
        _ => is(Op::Ge),
    })
}

/// Whether one letter more, less or other makes two names the same.
fn is_close(one: &str, other: &str) -> bool {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    let same = one.iter().zip(other).take_while(|(one, other)| one == other).count();
    let end = |from: usize, to: usize| one.get(from..) == other.get(to..);
    one.len().abs_diff(other.len()) < 2
        && (end(same + 1, same + 1) || end(same + 1, same) || end(same, same + 1))
}
