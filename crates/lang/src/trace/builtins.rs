//! Builtins that are known before a program runs, and where builtins may stand.

use super::ast::{Expr, ExprKind, Ids, Iterable, NamedValue, Statement, StatementKind};
use super::config::{Config, MissingProbes, Unstable};
use super::diagnostic::Diagnostics;
use super::place::Place;
use super::points::{Attach, Context, Provider};
use super::unit::Unit;
use super::walk::{self, Visitor};
use super::words;
use super::world::{Feature, World};

/// How many arguments come in registers.
#[cfg(target_arch = "x86_64")]
pub const REGISTERS: u32 = 6;
#[cfg(not(target_arch = "x86_64"))]
pub const REGISTERS: u32 = 8;

/// How messages call the architecture.
#[cfg(target_arch = "x86_64")]
pub const MACHINE: &str = "x86_64";
#[cfg(not(target_arch = "x86_64"))]
pub const MACHINE: &str = "arm64";

/// Checks, before probes are expanded, that builtins fit all their points.
pub fn check_points(unit: &mut Unit<'_>) {
    for probe in &mut unit.probes {
        let mut check = PointCheck { points: &probe.points, diagnostics: &mut unit.diagnostics };
        check.block(&mut probe.body);
    }
}

struct PointCheck<'a> {
    points: &'a [Attach],
    diagnostics: &'a mut Diagnostics,
}

impl Visitor for PointCheck<'_> {
    fn expr(&mut self, expr: &mut Expr) {
        walk::expr_parts(self, expr);
        let ExprKind::Builtin(word) = &expr.kind else {
            return;
        };
        for point in self.points {
            let provider = point.provider;
            if &**word == "__builtin_retval" {
                use Provider::{Fentry, Fexit, Kretprobe, Uretprobe};
                if !matches!(provider, Kretprobe | Uretprobe | Fentry | Fexit) {
                    let hint = if provider == Provider::Tracepoint {
                        " (try to use args.ret instead)"
                    } else {
                        ""
                    };
                    let text = format!(
                        "The retval builtin can only be used with 'kretprobe' and 'uretprobe' \
                         and 'fentry' probes{hint}"
                    );
                    self.diagnostics.error(expr.place, text);
                }
            } else if words::argument_number(word).is_some() {
                use Provider::{Kprobe, RawTracepoint, Uprobe, Usdt};
                if !matches!(provider, Kprobe | Uprobe | Usdt | RawTracepoint) {
                    let text = format!(
                        "The {word} builtin can only be used with 'kprobes', 'uprobes' and \
                         'usdt' probes"
                    );
                    self.diagnostics.error(expr.place, text);
                }
            }
        }
    }
}

/// Puts in what is known, and checks the rest.
pub fn resolve(unit: &mut Unit<'_>) {
    let mut resolver = Resolver {
        world: unit.world,
        allow_unsafe: unit.options.allow_unsafe,
        config: &unit.config,
        ids: &mut unit.ids,
        diagnostics: &mut unit.diagnostics,
        point: None,
    };
    for function in &mut unit.functions {
        resolver.block(&mut function.body);
    }
    for probe in &mut unit.probes {
        let points = std::mem::take(&mut probe.points);
        resolver.point = points.first().cloned();
        resolver.block(&mut probe.body);
        probe.points = points;
    }
}

struct Resolver<'a> {
    world: &'a dyn World,
    allow_unsafe: bool,
    config: &'a Config,
    ids: &'a mut Ids,
    diagnostics: &'a mut Diagnostics,
    point: Option<Attach>,
}

impl Resolver<'_> {
    fn error(&mut self, place: Place, text: impl Into<String>) {
        self.diagnostics.error(place, text);
    }

    /// The probe's provider, with an error outside of one.
    fn provider(&mut self, word: &str, place: Place) -> Option<Provider> {
        let provider = self.point.as_ref().map(|point| point.provider);
        if provider.is_none() {
            self.error(place, format!("Builtin {word} not supported outside probe"));
        }
        provider
    }

    fn word(&mut self, word: &str, place: Place) -> Option<ExprKind> {
        let text = |text: &str| Some(ExprKind::Str(text.as_bytes().into()));
        if matches!(
            word,
            "__builtin_probe"
                | "__builtin_probetype"
                | "__builtin_elf_is_exe"
                | "__builtin_elf_ino"
        ) && self.point.is_none()
        {
            self.error(place, format!("{word} can only be used inside of a probe."));
            return None;
        }
        let point = self.point.as_ref();
        match word {
            "__builtin_arch" => text(MACHINE),
            "__builtin_safe_mode" => Some(ExprKind::Bool(!self.allow_unsafe)),
            "__builtin_probe" => text(&point?.name()),
            "__builtin_probetype" => text(point?.provider.type_name()),
            "__builtin_config" => Some(self.config(place)),
            _ => None,
        }
    }

    /// All settings as a record.
    fn config(&mut self, place: Place) -> ExprKind {
        let config = self.config;
        let int = |value| ExprKind::Int(value, None);
        let text = |text: &str| ExprKind::Str(text.as_bytes().into());
        let unstable = |of| match of {
            Unstable::Enable => text("enable"),
            Unstable::Warn => text("warn"),
            Unstable::Error => text("error"),
        };
        let missing = match config.missing_probes {
            MissingProbes::Error => "error",
            MissingProbes::Warn => "warn",
            MissingProbes::Ignore => "ignore",
        };
        let values = [
            ("cpp_demangle", ExprKind::Bool(config.cpp_demangle)),
            ("lazy_symbolication", ExprKind::Bool(config.lazy_symbolication)),
            ("print_maps_on_exit", ExprKind::Bool(config.print_maps_on_exit)),
            ("use_blazesym", ExprKind::Bool(config.use_blazesym)),
            ("show_debug_info", ExprKind::Bool(config.show_debug_info)),
            ("log_size", int(config.log_size)),
            ("max_bpf_progs", int(config.max_bpf_progs)),
            ("max_cat_bytes", int(config.max_cat_bytes)),
            ("max_map_keys", int(config.max_map_keys)),
            ("max_probes", int(config.max_probes)),
            ("max_strlen", int(config.max_strlen)),
            ("on_stack_limit", int(config.on_stack_limit)),
            ("perf_rb_pages", int(config.perf_rb_pages)),
            ("str_trunc_trailer", text(&config.str_trunc_trailer)),
            ("unstable_import_statement", unstable(config.unstable_import_statement)),
            ("unstable_tseries", unstable(config.unstable_tseries)),
            ("unstable_typeinfo", unstable(config.unstable_typeinfo)),
            ("unstable_dw_ustack", unstable(config.unstable_dw_ustack)),
            ("missing_probes", text(missing)),
            ("stack_mode", text(config.stack_mode.name())),
            ("license", text(config.license)),
        ];
        let values = values.into_iter().map(|(name, kind)| NamedValue {
            name: name.into(),
            value: Expr { id: self.ids.fresh(), kind, place },
            place,
        });
        ExprKind::Record(values.collect())
    }

    fn check(&mut self, word: &str, place: Place) {
        match word {
            "ctx" => {
                let Some(provider) = self.provider(word, place) else {
                    return;
                };
                match provider.context() {
                    Context::Registers | Context::Sample | Context::Iterator => {}
                    Context::Tracepoint => {
                        self.error(place, "Use args instead of ctx in tracepoint");
                    }
                    Context::Tracing | Context::Raw => {
                        let name = provider.name();
                        self.error(
                            place,
                            format!("The ctx builtin can not be used with '{name}' probes"),
                        );
                    }
                }
            }
            "__builtin_func" => self.check_func(word, place),
            "args" => self.check_args(word, place),
            _ => {
                let Some(number) = words::argument_number(word) else {
                    return;
                };
                let provider = self.provider(word, place);
                if provider.is_some_and(|one| one != Provider::Usdt) && number >= REGISTERS {
                    self.error(place, format!("{MACHINE} doesn't support {word}"));
                }
            }
        }
    }

    fn check_func(&mut self, word: &str, place: Place) {
        use Provider::{Fentry, Fexit, Kprobe, Kretprobe, Uprobe, Uretprobe};
        match self.provider(word, place) {
            None | Some(Kprobe | Uprobe) => {}
            Some(Kretprobe | Uretprobe | Fentry | Fexit) => {
                if !self.world.has(Feature::GetFuncIp) {
                    self.error(
                        place,
                        "BPF_FUNC_get_func_ip not available for your kernel version. Consider \
                         using the 'probe' builtin instead.",
                    );
                }
            }
            Some(provider) => {
                let name = provider.name();
                self.error(place, format!("The func builtin can not be used with '{name}' probes"));
            }
        }
    }

    fn check_args(&mut self, word: &str, place: Place) {
        use Provider::{Fentry, Fexit, RawTracepoint, Tracepoint, Uprobe};
        match self.provider(word, place) {
            None | Some(Uprobe | RawTracepoint | Tracepoint) => {}
            Some(Fentry | Fexit) => {
                if self.point.as_ref().is_some_and(|p| p.target == "bpf") {
                    self.error(
                        place,
                        "The args builtin cannot be used for 'fentry/fexit:bpf' probes",
                    );
                }
            }
            Some(provider) => {
                let text = format!(
                    "The args builtin can only be used with tracepoint, rawtracepoint, \
                     fentry/fexit, and uprobe probes ({} used here)",
                    provider.type_name()
                );
                self.error(place, text);
            }
        }
    }

    fn call(&mut self, function: &str, arguments: &[Expr], place: Place) -> Option<ExprKind> {
        if !function.starts_with("__builtin_") {
            return None;
        }
        let known = matches!(
            function,
            "__builtin_signal_num"
                | "__builtin_kfunc_exist"
                | "__builtin_kfunc_allowed"
                | "__builtin_is_literal"
        );
        if !known {
            return None;
        }
        let [argument] = arguments else {
            self.error(place, format!("{function} expects 1 argument"));
            return None;
        };
        if function == "__builtin_is_literal" {
            return Some(ExprKind::Bool(argument.is_literal()));
        }
        let text = argument.as_text()?;
        if function == "__builtin_signal_num" {
            let number = signal_number(&text);
            if number.is_none() {
                self.error(place, format!("Invalid string for signal: {text}"));
            }
            return Some(ExprKind::Int(number.unwrap_or(1), None));
        }
        Some(ExprKind::Bool(self.world.kfunc(&text)))
    }
}

/// A signal's number by its name, with or without `SIG`.
fn signal_number(name: &str) -> Option<u64> {
    const SIGNALS: [(&str, u64); 32] = [
        ("HUP", 1),
        ("INT", 2),
        ("QUIT", 3),
        ("ILL", 4),
        ("TRAP", 5),
        ("ABRT", 6),
        ("IOT", 6),
        ("BUS", 7),
        ("FPE", 8),
        ("KILL", 9),
        ("USR1", 10),
        ("SEGV", 11),
        ("USR2", 12),
        ("PIPE", 13),
        ("ALRM", 14),
        ("TERM", 15),
        ("STKFLT", 16),
        ("CHLD", 17),
        ("CONT", 18),
        ("STOP", 19),
        ("TSTP", 20),
        ("TTIN", 21),
        ("TTOU", 22),
        ("URG", 23),
        ("XCPU", 24),
        ("XFSZ", 25),
        ("VTALRM", 26),
        ("PROF", 27),
        ("WINCH", 28),
        ("POLL", 29),
        ("IO", 29),
        ("SYS", 31),
    ];
    let upper = name.to_ascii_uppercase();
    let plain = upper.strip_prefix("SIG").unwrap_or(&upper);
    SIGNALS.iter().find(|(signal, _)| *signal == plain).map(|(_, number)| *number)
}

impl Visitor for Resolver<'_> {
    fn expr(&mut self, expr: &mut Expr) {
        walk::expr_parts(self, expr);
        let place = expr.place;
        let found = match &expr.kind {
            ExprKind::Builtin(word) => {
                let word = word.clone();
                self.check(&word, place);
                self.word(&word, place)
            }
            ExprKind::Ident(word) => {
                let word = word.clone();
                self.word(&word, place)
            }
            ExprKind::Call(call) => {
                let function = call.function.clone();
                self.call(&function, &call.arguments, place)
            }
            _ => None,
        };
        if let Some(kind) = found {
            expr.kind = kind;
            expr.id = self.ids.fresh();
        }
    }

    fn statement(&mut self, statement: &mut Statement) {
        if let StatementKind::For(_, over, block) = &mut statement.kind {
            // A loop's body has no context to read.
            let mut check = LoopCheck(self.diagnostics);
            check.block(block);
            if let Iterable::Range(first, last, _) = over {
                self.expr(first);
                self.expr(last);
            }
            self.block(block);
            return;
        }
        walk::statement_parts(self, statement);
    }
}

struct LoopCheck<'a>(&'a mut Diagnostics);

impl Visitor for LoopCheck<'_> {
    fn expr(&mut self, expr: &mut Expr) {
        if let ExprKind::Builtin(word) = &expr.kind
            && (words::argument_number(word).is_some() || &**word == "__builtin_retval")
        {
            let text = format!("'{word}' builtin is not allowed in a for-loop");
            self.0.error(expr.place, text);
        }
        walk::expr_parts(self, expr);
    }
}
