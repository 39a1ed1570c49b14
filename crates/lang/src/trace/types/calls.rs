//! Types of builtins and of functions, by their names.

use super::collect::Collector;
use super::rules::How;
use crate::trace::ast::{Call, Expr, ExprKind, Name};
use crate::trace::kind::{BUFFER_HEAD, Clock, Kind, Space, Stack, StackMode, Type};
use crate::trace::points::{Context, Provider};
use crate::trace::sugar::AGGREGATIONS;
use crate::trace::words;

/// The clock that a word names.
pub fn clock(word: &str) -> Option<Clock> {
    Some(match word {
        "monotonic" => Clock::Monotonic,
        "boot" => Clock::Boot,
        "tai" => Clock::Tai,
        "sw_tai" => Clock::SoftwareTai,
        _ => return None,
    })
}

/// Functions without a value.
const VOID: [&str; 15] = [
    "join",
    "printf",
    "errorf",
    "warnf",
    "system",
    "cat",
    "debugf",
    "exit",
    "print",
    "clear",
    "zero",
    "time",
    "unwatch",
    "fail",
    "__override",
];

/// Builtins and functions that always have one type.
fn simple(name: &str) -> Option<Type> {
    let int = |size, signed| Some(Type::int(size, signed));
    match name {
        "pid" | "tid" => int(4, false),
        "nsecs" | "__builtin_elapsed" | "__builtin_cpu" | "__builtin_ncpus" | "__builtin_cpid" => {
            int(8, false)
        }
        "__builtin_usermode" => int(1, false),
        _ => None,
    }
}

fn simple_call(name: &str) -> Option<Type> {
    let int = |size, signed| Some(Type::int(size, signed));
    match name {
        "ksym" => Some(Kind::Ksym.into()),
        "usym" => Some(Kind::Usym.into()),
        "cgroupid" | "strncmp" | "socket_cookie" => int(8, false),
        "cgroup_path" => Some(Kind::CgroupPath.into()),
        "stack_len" | "__map_len" | "__numa" | "__signal" => int(8, true),
        "macaddr" => Some(Kind::Mac.into()),
        "skboutput" => int(4, false),
        "__memcmp" | "__strstr" => int(4, true),
        "__uid_gid" | "__cgroup" | "__random" | "__jiffies" | "__current_task" | "__strlen" => {
            int(8, false)
        }
        "__delete" | "__has_key" | "__find" | "__write_user" | "__session_is_return" => {
            Some(Type::bool())
        }
        "__error_name" | "__signal_name" | "__syscall_name" | "__comm_of" => {
            Some(inside(Type::string(64)))
        }
        "__str_concat" => Some(inside(Type::string(1024))),
        _ => simple(name),
    }
}

fn inside(of: Type) -> Type {
    Type { inside: true, ..of }
}

/// A frame limit above this is refused.
const MOST_FRAMES: u64 = 1024;

impl Collector<'_, '_> {
    /// A builtin's type.
    pub(super) fn builtin(&mut self, expr: &Expr, word: &Name) {
        let place = expr.place;
        let mode = self.config.stack_mode;
        let stack = |kernel, mode| Type::from(Kind::Stack(Stack { kernel, limit: 127, mode }));
        let of = match &**word {
            "ctx" => self.context(expr, word),
            "__builtin_retval" => self.retval(expr, word),
            "kstack" if mode == StackMode::BuildId => {
                self.diagnostics.warning(
                    place,
                    "'build_id' stack mode can only be used for ustack. Falling back to 'raw' \
                     mode.",
                );
                stack(true, StackMode::Raw)
            }
            "kstack" => stack(true, mode),
            "ustack" | "__builtin_dw_ustack" => stack(false, mode),
            "__builtin_comm" => inside(Type::string(16)).at(Space::Kernel),
            "__builtin_func" => match self.inside_probe(word, place).map(|point| point.provider) {
                None => Type::none(),
                Some(Provider::Uprobe | Provider::Uretprobe) => Kind::Usym.into(),
                Some(_) => Kind::Ksym.into(),
            },
            "args" => self.arguments(expr, word),
            _ if words::argument_number(word).is_some() => {
                if self.inside_probe(word, place).is_none() {
                    return;
                }
                Type::uint64().at(self.space())
            }
            _ => simple(word).unwrap_or_default(),
        };
        self.set(expr, of);
    }

    fn context(&mut self, expr: &Expr, word: &Name) -> Type {
        let Some(point) = self.inside_probe(word, expr.place) else {
            return Type::none();
        };
        let name = match point.provider.context() {
            Context::Registers => "struct pt_regs".to_owned(),
            Context::Sample => "struct bpf_perf_event_data".to_owned(),
            Context::Iterator => format!("struct bpf_iter__{}", point.function),
            _ => return Type::pointer(Type::none(), Space::None),
        };
        match self.finder.named(&name) {
            Some(of) => Type::pointer(of, Space::Kernel).in_context(),
            None => Type::pointer(Type::none(), Space::None),
        }
    }

    fn retval(&mut self, expr: &Expr, word: &Name) -> Type {
        let Some(point) = self.inside_probe(word, expr.place) else {
            return Type::none();
        };
        let mut of = Type::uint64();
        if matches!(point.provider, Provider::Fentry | Provider::Fexit) {
            let found = self.finder.arguments(&point).ok().and_then(|id| {
                let field = self.finder.records.field(id, super::lookup::RETVAL)?;
                Some(field.of.clone())
            });
            match found {
                Some(found) => of = found,
                None => {
                    self.error(expr.place, "Can't find a field $retval");
                    return Type::none();
                }
            }
        }
        of.at(point.provider.space())
    }

    fn arguments(&mut self, expr: &Expr, word: &Name) -> Type {
        let Some(point) = self.inside_probe(word, expr.place) else {
            return Type::none();
        };
        let Ok(id) = self.finder.arguments(&point) else {
            return Type::none();
        };
        let mut of = self.finder.records.type_of(id).in_context();
        match point.provider {
            Provider::Tracepoint => {
                of.space = if point.target == "syscalls" { Space::User } else { Space::Kernel };
            }
            provider => {
                if self.finder.records.get(id).fields.is_empty() {
                    self.error(expr.place, "Cannot read function parameters");
                }
                of.arguments = true;
                of.space = provider.space();
                of.inside = provider == Provider::Uprobe;
            }
        }
        of
    }

    /// A call's type.
    pub(super) fn call(&mut self, expr: &Expr, call: &Call) {
        let function = &*call.function;
        if AGGREGATIONS.contains(&function) {
            self.aggregation(expr, call);
            return;
        }
        if VOID.contains(&function) {
            self.set(expr, Type::void());
            return;
        }
        let first = call.arguments.first();
        let place = expr.place;
        let of = match function {
            "__delete" | "__has_key" | "__find" => {
                self.map_access(expr, call);
                Type::bool()
            }
            "str" => self.str_type(call, expr),
            "buf" => match self.buf_type(call) {
                Some(of) => of,
                None => {
                    let most = self.most_buffer();
                    return self.by_argument(expr, call, 0, How::Buffer { most });
                }
            },
            "ntop" => Kind::Inet(24).into(),
            "pton" => match self.pton(expr, first) {
                Some(of) => of,
                None => return,
            },
            "reg" => {
                let space = match self.provider() {
                    Some(provider) => provider.space(),
                    None => Space::Kernel,
                };
                Type::uint64().at(space)
            }
            "kaddr" | "percpu_kaddr" => Type::uint64().at(Space::Kernel),
            "__builtin_uaddr" => match self.uaddr(expr, call) {
                Some(of) => of,
                None => return,
            },
            "kstack" => self.stack(expr, call, true),
            "ustack" | "__builtin_dw_ustack" => self.stack(expr, call, false),
            "path" => {
                let size = call.arguments.get(1).and_then(Expr::as_int);
                let size = size.unwrap_or(self.config.max_strlen);
                Type::string(u32::try_from(size).unwrap_or(u32::MAX))
            }
            "kptr" => return self.by_argument(expr, call, 0, How::InSpace(Space::Kernel)),
            "uptr" => return self.by_argument(expr, call, 0, How::InSpace(Space::User)),
            "bswap" => return self.by_argument(expr, call, 0, How::Swap { place }),
            "nsecs" if call.arguments.len() == 1 => {
                return self.by_argument(expr, call, 0, How::Nanoseconds);
            }
            "strftime" => return self.by_argument(expr, call, 1, How::Time),
            _ => match simple_call(function) {
                Some(of) => of,
                None => {
                    self.error(place, format!("Unknown function: '{function}'"));
                    return;
                }
            },
        };
        self.set(expr, of);
    }

    fn by_argument(&mut self, expr: &Expr, call: &Call, at: usize, how: How) {
        let Some(argument) = call.arguments.get(at) else {
            return;
        };
        let input = self.node(argument);
        self.rule(expr, vec![input], how);
    }

    fn aggregation(&mut self, expr: &Expr, call: &Call) {
        let [map, key, rest @ ..] = &call.arguments[..] else {
            return;
        };
        let ExprKind::Map(map) = &map.kind else {
            let text = format!("{}() expects a map argument", call.function);
            self.error(map.place, text);
            return;
        };
        let counted = matches!(&*call.function, "count" | "hist" | "lhist" | "tseries");
        let from = match rest.first() {
            Some(argument) if !counted => self.node(argument),
            _ => self.node(expr),
        };
        let value = self.value_slot(&map.name);
        let how = How::Aggregate {
            map: map.name.clone(),
            function: call.function.clone(),
            place: expr.place,
        };
        self.solver.rule(value, vec![from], how);
        self.key_of(map.name.clone(), key, expr, false);
        self.set(expr, Type::void());
    }

    fn key_of(&mut self, map: Name, key: &Expr, expr: &Expr, checked: bool) {
        let slot = self.key_slot(&map);
        let input = self.node(key);
        let how = How::Key { map, place: expr.place, checked };
        self.solver.rule(slot, vec![input], how);
    }

    /// `__find(@m, key, $x)` and its like.
    fn map_access(&mut self, expr: &Expr, call: &Call) {
        let [map, key, rest @ ..] = &call.arguments[..] else {
            return;
        };
        let ExprKind::Map(map) = &map.kind else {
            return;
        };
        self.key_of(map.name.clone(), key, expr, true);
        if let Some(variable) = rest.first()
            && let ExprKind::Variable(name) = &variable.kind
        {
            let name = name.clone();
            let scope = self.scope_of(&name);
            if self.sized.contains(&(scope, name.clone())) {
                return;
            }
            let value = self.value_slot(&map.name);
            let slot = super::solve::Slot::Variable(scope, name.clone());
            let slot = self.solver.slot(slot);
            let how = How::SetVariable { scope, name, place: expr.place };
            self.solver.rule(slot, vec![value], how);
        }
    }

    fn most_strlen(&self) -> u32 {
        u32::try_from(self.config.max_strlen).unwrap_or(u32::MAX)
    }

    fn str_type(&mut self, call: &Call, expr: &Expr) -> Type {
        let most = self.most_strlen();
        let mut size = most;
        match call.arguments.get(1).map(|length| &length.kind) {
            Some(ExprKind::Int(length, _)) => {
                if length.saturating_add(1) > u64::from(most) {
                    let text = format!(
                        "length param ({length}) is too long and will be shortened to {most} \
                         bytes (see BPFTRACE_MAX_STRLEN)"
                    );
                    self.diagnostics.warning(expr.place, text);
                } else {
                    size = *length as u32 + 1;
                }
            }
            Some(ExprKind::Negative(length)) => {
                let text = format!("strcannot use negative length ({length})");
                self.error(expr.place, text);
            }
            _ => {}
        }
        inside(Type::string(size)).at(Space::Kernel)
    }

    fn most_buffer(&self) -> u32 {
        self.most_strlen().saturating_sub(BUFFER_HEAD)
    }

    fn buf_type(&self, call: &Call) -> Option<Type> {
        let most = self.most_buffer();
        let length = call.arguments.get(1)?.as_int();
        let size = length.map_or(most, |length| u32::try_from(length).unwrap_or(u32::MAX));
        Some(inside(Kind::Buffer(size.min(most)).into()).at(Space::Kernel))
    }

    fn pton(&mut self, expr: &Expr, argument: Option<&Expr>) -> Option<Type> {
        let place = expr.place;
        let Some(text) = argument.and_then(Expr::as_text) else {
            self.error(place, "pton() expects an string literal at the first argument");
            return None;
        };
        let size = if text.contains('.') {
            4
        } else if text.contains(':') {
            16
        } else {
            let text =
                format!("pton() expects an string argument of an IPv4/IPv6 address, got {text}");
            self.error(place, text);
            return None;
        };
        let valid = match size {
            4 => text.parse::<std::net::Ipv4Addr>().is_ok(),
            _ => text.parse::<std::net::Ipv6Addr>().is_ok(),
        };
        if !valid {
            let text = format!("pton() expects a valid IPv4/IPv6 address, got {text}");
            self.error(place, text);
            return None;
        }
        Some(inside(Type::array(Type::int(1, false), size)).at(Space::Kernel))
    }

    fn uaddr(&mut self, expr: &Expr, call: &Call) -> Option<Type> {
        let point = self.inside_probe(&call.function, expr.place)?;
        let mut size = 8;
        if let Some(name) = call.arguments.first().and_then(Expr::as_text) {
            match self.finder.world.symbol_size(&point.target, &name) {
                Some(known @ (1 | 2 | 4)) => size = known as u8,
                Some(_) => {}
                None => {
                    let text = format!("Could not resolve symbol: {}:{name}", point.target);
                    self.error(expr.place, text);
                }
            }
        }
        Some(Type::pointer(Type::int(size, true), Space::User))
    }

    /// `kstack(mode, limit)`, both at choice.
    fn stack(&mut self, expr: &Expr, call: &Call, kernel: bool) -> Type {
        let function = &call.function;
        let mut mode = self.config.stack_mode;
        let mut limit = 127;
        let arguments = &call.arguments[..];
        let rest = match arguments {
            [first, rest @ ..] if matches!(first.kind, ExprKind::Ident(_)) => {
                if let ExprKind::Ident(word) = &first.kind {
                    match StackMode::of(word) {
                        Some(found) => mode = found,
                        None => {
                            let text = format!(
                                "Error parsing stack mode: {function}: Invalid value for \
                                 stack_mode: valid values are bpftrace, raw, perf, and build_id."
                            );
                            self.error(first.place, text);
                        }
                    }
                }
                rest
            }
            [_, rest @ ..] if !rest.is_empty() => {
                self.error(expr.place, "Expected stack mode as first argument");
                rest
            }
            all => all,
        };
        if let Some(given) = rest.first() {
            match given.as_int() {
                Some(given) => limit = given,
                None => self.error(expr.place, format!("{function}: invalid limit value")),
            }
        }
        if limit > MOST_FRAMES {
            let text = format!(
                "{function}([int limit]): limit shouldn't exceed {MOST_FRAMES}, {limit} given"
            );
            self.error(expr.place, text);
        }
        if mode == StackMode::BuildId && kernel {
            self.error(expr.place, "'build_id' stack mode can only be used for ustack");
        }
        Kind::Stack(Stack { kernel, limit: u16::try_from(limit).unwrap_or(u16::MAX), mode }).into()
    }
}
