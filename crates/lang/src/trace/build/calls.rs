//! Calls: constants of a function stand in it, arguments that a program computes beside it.

use super::Builder;
use super::exprs::coerce;
use crate::trace::ast::{Call, Expr, ExprKind as Said, Name};
use crate::trace::checked::{self, Builtin, ExprKind, Function, Names, Namespace, Value};
use crate::trace::format;
use crate::trace::kind::{Kind, Type};
use crate::trace::place::Place;
use crate::trace::precheck;

fn made(kind: ExprKind, of: Type, place: Place) -> checked::Expr {
    checked::Expr { kind, of, place }
}

/// What `time()` prints.
const TIME: &str = "%H:%M:%S\n";

impl Builder<'_> {
    fn text(&self, call: &Call, at: usize) -> Option<Name> {
        call.arguments.get(at).and_then(Expr::as_text).map(|text| Name::from(&*text))
    }

    fn arguments(&mut self, arguments: &[Expr]) -> Vec<checked::Expr> {
        arguments.iter().map(|argument| self.expr(argument)).collect()
    }

    pub(super) fn call(&mut self, call: &Call, of: Type, place: Place) -> checked::Expr {
        if let Some(builtin) = self.builtin_call(call, &of) {
            return made(builtin, of, place);
        }
        let arguments = &call.arguments[..];
        let name = self.text(call, 0).unwrap_or_else(|| "".into());
        let rest = arguments.get(1..).unwrap_or(&[]);
        let (function, given): (Function, &[Expr]) = match &*call.function {
            "printf" | "errorf" | "warnf" | "debugf" | "system" | "cat" => {
                (self.formatted(call), rest)
            }
            "print" => return self.print(call, of, place),
            "clear" | "zero" => {
                let Some(Said::Map(map)) = arguments.first().map(|argument| &argument.kind) else {
                    return made(ExprKind::None, of, place);
                };
                let map = self.map(&map.name);
                let clear = &*call.function == "clear";
                (if clear { Function::Clear(map) } else { Function::Zero(map) }, &[])
            }
            "time" => {
                let format = self.text(call, 0).unwrap_or_else(|| TIME.into());
                (Function::Time(format), &[])
            }
            "join" => {
                let separator = self.text(call, 1).unwrap_or_else(|| " ".into());
                (Function::Join(separator), &arguments[..1])
            }
            "exit" => (Function::Exit, arguments),
            "unwatch" => (Function::Unwatch, arguments),
            "skboutput" => (Function::SkbOutput(name), rest),
            "str" => (Function::Str, arguments),
            "buf" => (Function::Buf, arguments),
            "path" => (Function::Path, &arguments[..1]),
            "strftime" => (Function::Strftime(name), rest),
            "ksym" => (Function::Ksym, arguments),
            "usym" => (Function::Usym, arguments),
            "kaddr" => (Function::Kaddr(name), &[]),
            "percpu_kaddr" => (Function::PercpuKaddr(name), rest),
            "__builtin_uaddr" => (Function::Uaddr(name), &[]),
            "cgroupid" => (Function::CgroupId(name), &[]),
            "cgroup_path" => (Function::CgroupPath(self.text(call, 1)), &arguments[..1]),
            "ntop" => (Function::Ntop, arguments),
            "macaddr" => (Function::MacAddr, arguments),
            "bswap" => (Function::Bswap, arguments),
            "kptr" | "uptr" => (Function::AsPointer, arguments),
            "strncmp" => {
                let count = arguments[2].as_int().unwrap_or(0);
                (Function::Strncmp(count), &arguments[..2])
            }
            "socket_cookie" => (Function::SocketCookie, arguments),
            "stack_len" => (Function::StackLen, arguments),
            "__signal" => {
                let thread = matches!(arguments[1].kind, Said::Bool(true));
                (Function::Signal { thread }, &arguments[..1])
            }
            "__override" => (Function::Override, arguments),
            "__write_user" => (Function::WriteUser, arguments),
            "__delete" | "__has_key" | "__find" | "__map_len" => {
                return self.map_call(call, of, place);
            }
            "__memcmp" => (Function::Memcmp, arguments),
            "__strlen" => (Function::Strlen, arguments),
            "__strstr" => (Function::Strstr, arguments),
            "__str_concat" => (Function::StrConcat, arguments),
            "__error_name" => (Function::NameOf(Names::Errors), arguments),
            "__signal_name" => (Function::NameOf(Names::Signals), arguments),
            "__syscall_name" => (Function::NameOf(Names::SystemCalls), arguments),
            "__comm_of" => (Function::CommOf, arguments),
            "__session_is_return" => (Function::IsReturn, &[]),
            _ => return made(ExprKind::None, of, place),
        };
        let mut given = self.arguments(given);
        if matches!(function, Function::Ksym | Function::Usym) {
            for argument in &mut given {
                if argument.of.is_int() {
                    let old =
                        std::mem::replace(argument, made(ExprKind::None, Type::none(), place));
                    *argument = coerce(old, &Type::uint64());
                }
            }
        }
        made(ExprKind::Call(function, given), of, place)
    }

    /// Calls that are builtins, or known.
    fn builtin_call(&mut self, call: &Call, of: &Type) -> Option<ExprKind> {
        let namespace = match call.arguments.first().map(|argument| &argument.kind) {
            Some(Said::Ident(word)) if &**word == "init" => Namespace::Init,
            _ => Namespace::Current,
        };
        Some(ExprKind::Builtin(match &*call.function {
            "pid" => Builtin::Pid(namespace),
            "tid" => Builtin::Tid(namespace),
            "nsecs" => Builtin::Nsecs(of.clock),
            "kstack" | "ustack" => match of.kind {
                Kind::Stack(stack) => Builtin::Stack(stack),
                _ => return None,
            },
            "__builtin_dw_ustack" => match of.kind {
                Kind::Stack(stack) => Builtin::DwarfStack(stack),
                _ => return None,
            },
            "reg" => Builtin::Register(precheck::register(&self.text(call, 0)?)?),
            "__uid_gid" => Builtin::UidGid,
            "__cgroup" => Builtin::Cgroup,
            "__random" => Builtin::Random,
            "__jiffies" => Builtin::Jiffies,
            "__numa" => Builtin::Numa,
            "__current_task" => Builtin::CurrentTask,
            "pton" => {
                let text = self.text(call, 0)?;
                let bytes: Vec<u8> = match text.parse::<std::net::IpAddr>().ok()? {
                    std::net::IpAddr::V4(address) => address.octets().to_vec(),
                    std::net::IpAddr::V6(address) => address.octets().to_vec(),
                };
                return Some(ExprKind::Constant(Value::Str(bytes.into())));
            }
            _ => return None,
        }))
    }

    fn formatted(&mut self, call: &Call) -> Function {
        let bytes = match call.arguments.first().map(|argument| &argument.kind) {
            Some(Said::Str(bytes)) => bytes.clone(),
            _ => [].into(),
        };
        let id = self.format(format::parse(&bytes));
        match &*call.function {
            "errorf" => Function::Errorf(id),
            "warnf" => Function::Warnf(id),
            "debugf" => Function::Debugf(id),
            "system" => Function::System(id),
            "cat" => Function::Cat(id),
            _ => Function::Printf(id),
        }
    }

    fn print(&mut self, call: &Call, of: Type, place: Place) -> checked::Expr {
        let number = |at: usize| call.arguments.get(at).and_then(Expr::as_int).unwrap_or(0);
        let first = &call.arguments[0];
        let kind = match &first.kind {
            Said::Map(map) => {
                let map = self.map(&map.name);
                let function = Function::PrintMap { map, top: number(1), div: number(2) };
                ExprKind::Call(function, Vec::new())
            }
            Said::Element(element) if !self.parameters.contains_key(&element.map.name) => {
                let map = self.map(&element.map.name);
                let key = self.key(map, &element.key);
                let value = self.expr(first);
                ExprKind::Call(Function::PrintElement(map), vec![key, value])
            }
            _ => ExprKind::Call(Function::PrintValue, vec![self.expr(first)]),
        };
        made(kind, of, place)
    }

    fn map_call(&mut self, call: &Call, of: Type, place: Place) -> checked::Expr {
        let Some(Said::Map(map)) = call.arguments.first().map(|argument| &argument.kind) else {
            return made(ExprKind::None, of, place);
        };
        let map = self.map(&map.name);
        let mut given = Vec::new();
        if let Some(key) = call.arguments.get(1) {
            given.push(self.key(map, key));
        }
        let function = match &*call.function {
            "__delete" => Function::Delete(map),
            "__has_key" => Function::HasKey(map),
            "__map_len" => Function::MapLen(map),
            _ => match call.arguments.get(2) {
                Some(variable) => Function::Find(map, self.variable(variable.id)),
                None => Function::HasKey(map),
            },
        };
        made(ExprKind::Call(function, given), of, place)
    }
}
