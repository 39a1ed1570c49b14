//! What is checked before types are known: variables that are not there or twice there,
//! counts of arguments, and arguments that must be literals.

use super::ast::{
    Block, Call, Expr, ExprKind, Iterable, Let, Name, Statement, StatementKind, Target, TypeOf,
};
use super::builtins::MACHINE;
use super::diagnostic::{Diagnostic, Diagnostics};
use super::place::Place;
use super::points::Provider;
use super::unit::Unit;
use super::walk::{self, Visitor};

/// How many arguments each function takes, least and most; those that the compiler puts in
/// front counted.
const COUNTS: [(&str, usize, usize); 75] = [
    ("__builtin_dw_ustack", 0, 2),
    ("__builtin_uaddr", 1, 1),
    ("__comm_of", 1, 1),
    ("__cgroup", 0, 0),
    ("__current_task", 0, 0),
    ("__delete", 2, 2),
    ("__error_name", 1, 1),
    ("__find", 3, 3),
    ("__has_key", 2, 2),
    ("__jiffies", 0, 0),
    ("__map_len", 1, 1),
    ("__memcmp", 3, 3),
    ("__numa", 0, 0),
    ("__override", 1, 1),
    ("__random", 0, 0),
    ("__session_is_return", 0, 0),
    ("__signal", 2, 2),
    ("__signal_name", 1, 1),
    ("__str_concat", 2, 2),
    ("__strlen", 1, 1),
    ("__strstr", 2, 2),
    ("__syscall_name", 1, 1),
    ("__uid_gid", 0, 0),
    ("__write_user", 3, 3),
    ("__deprecated_delete", 1, 1),
    ("is_scalar", 1, 1),
    ("avg", 3, 3),
    ("bswap", 1, 1),
    ("buf", 1, 2),
    ("cat", 1, 128),
    ("cgroup_path", 1, 2),
    ("cgroupid", 1, 1),
    ("clear", 1, 1),
    ("count", 2, 2),
    ("debugf", 1, 128),
    ("errorf", 1, 128),
    ("exit", 0, 1),
    ("fail", 1, 128),
    ("hist", 3, 4),
    ("join", 1, 2),
    ("kaddr", 1, 1),
    ("kptr", 1, 1),
    ("kstack", 0, 2),
    ("ksym", 1, 1),
    ("lhist", 6, 6),
    ("macaddr", 1, 1),
    ("max", 3, 3),
    ("min", 3, 3),
    ("nsecs", 0, 1),
    ("ntop", 1, 2),
    ("path", 1, 2),
    ("percpu_kaddr", 1, 2),
    ("pid", 0, 1),
    ("print", 1, 3),
    ("printf", 1, 128),
    ("pton", 1, 1),
    ("reg", 1, 1),
    ("skboutput", 4, 4),
    ("socket_cookie", 1, 1),
    ("stack_len", 1, 1),
    ("stats", 3, 3),
    ("str", 1, 2),
    ("strftime", 2, 2),
    ("strncmp", 3, 3),
    ("sum", 3, 3),
    ("system", 1, 128),
    ("tid", 0, 1),
    ("time", 0, 1),
    ("tseries", 5, 6),
    ("unwatch", 1, 1),
    ("uptr", 1, 1),
    ("ustack", 0, 2),
    ("usym", 1, 1),
    ("warnf", 1, 128),
    ("zero", 1, 1),
];

/// Registers by name with their offsets in `struct pt_regs`.
#[cfg(target_arch = "x86_64")]
const REGISTERS: [(&str, u16); 22] = [
    ("r15", 0),
    ("r14", 8),
    ("r13", 16),
    ("r12", 24),
    ("bp", 32),
    ("bx", 40),
    ("r11", 48),
    ("r10", 56),
    ("r9", 64),
    ("r8", 72),
    ("ax", 80),
    ("cx", 88),
    ("dx", 96),
    ("si", 104),
    ("di", 112),
    ("orig_rax", 120),
    ("ip", 128),
    ("pc", 128),
    ("cs", 136),
    ("flags", 144),
    ("sp", 152),
    ("ss", 160),
];
#[cfg(not(target_arch = "x86_64"))]
const REGISTERS: [(&str, u16); 5] =
    [("x0", 0), ("x30", 240), ("sp", 248), ("pc", 256), ("pstate", 264)];

/// Where a register lies in `struct pt_regs`.
pub fn register(name: &str) -> Option<u16> {
    REGISTERS.iter().find(|(register, _)| *register == name).map(|(_, offset)| *offset)
}

/// Checks a whole unit.
pub fn check(unit: &mut Unit<'_>) {
    for function in &mut unit.functions {
        let mut variables = Variables::new(&mut unit.diagnostics);
        for parameter in &mut function.parameters {
            let origin = (Origin::Parameter, parameter.place);
            variables.add(parameter.name.clone(), origin, true);
        }
        for parameter in &mut function.parameters {
            variables.type_of(&mut parameter.of);
        }
        variables.block(&mut function.body);
        variables.type_of(&mut function.result);
        variables.finish();
    }
    for probe in &mut unit.probes {
        let mut variables = Variables::new(&mut unit.diagnostics);
        variables.block(&mut probe.body);
        variables.finish();
    }
    let mut calls = Calls {
        diagnostics: &mut unit.diagnostics,
        ids: &mut unit.ids,
        allow_unsafe: unit.options.allow_unsafe,
        max_strlen: unit.config.max_strlen,
        providers: Vec::new(),
        function: None,
        argument: 0,
    };
    for function in &mut unit.functions {
        calls.block(&mut function.body);
    }
    for probe in &mut unit.probes {
        calls.providers = probe.points.iter().map(|point| point.provider).collect();
        calls.block(&mut probe.body);
    }
}

/// How a variable came to be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin {
    Declared,
    Assigned,
    Parameter,
    Loop,
}

impl Origin {
    fn text(self) -> &'static str {
        match self {
            Origin::Declared => "This is the initial declaration.",
            Origin::Assigned => "This is the initial assignment.",
            Origin::Parameter => "This is the function parameter.",
            Origin::Loop => "This is the loop variable.",
        }
    }
}

struct Known {
    name: Name,
    origin: (Origin, Place),
    assigned: bool,
}

/// Variables by scope, the outermost first.
struct Variables<'a> {
    diagnostics: &'a mut Diagnostics,
    scopes: Vec<Vec<Known>>,
    /// Scopes that have ended, for what was never assigned to.
    gone: Vec<Known>,
    /// Inside `sizeof` and its like.
    asking: u32,
}

impl<'a> Variables<'a> {
    fn new(diagnostics: &'a mut Diagnostics) -> Variables<'a> {
        Variables { diagnostics, scopes: vec![Vec::new()], gone: Vec::new(), asking: 0 }
    }

    fn finish(mut self) {
        while let Some(scope) = self.scopes.pop() {
            self.gone.extend(scope);
        }
        for known in &self.gone {
            if !known.assigned && known.origin.0 == Origin::Declared {
                let text = format!("Variable {} was never assigned to.", known.name);
                self.diagnostics.warning(known.origin.1, text);
            }
        }
    }

    fn find(&mut self, name: &str) -> Option<&mut Known> {
        self.scopes.iter_mut().flatten().find(|known| *known.name == *name)
    }

    fn add(&mut self, name: Name, origin: (Origin, Place), assigned: bool) {
        if let Some(scope) = self.scopes.last_mut() {
            scope.push(Known { name, origin, assigned });
        }
    }

    fn inside(&mut self, run: impl FnOnce(&mut Self)) {
        self.scopes.push(Vec::new());
        run(self);
        let scope = self.scopes.pop().unwrap_or_default();
        self.gone.extend(scope);
    }

    fn error_with_origin(
        &mut self,
        place: Place,
        text: String,
        origin: (Origin, Place),
    ) -> &mut Diagnostic {
        self.diagnostics.error(place, text).context(origin.1, origin.0.text())
    }

    fn declare(&mut self, declared: &mut Let) {
        if let Some(of) = &mut declared.of {
            self.type_of(of);
        }
        let name = declared.variable.name.clone();
        if let Some(known) = self.find(&name) {
            let origin = known.origin;
            let text =
                format!("Variable {name} was already declared. Variable shadowing is not allowed.");
            self.error_with_origin(declared.place, text, origin);
            return;
        }
        self.add(name, (Origin::Declared, declared.place), false);
    }

    fn assign(&mut self, name: &Name, place: Place) {
        match self.find(name) {
            Some(known) => known.assigned = true,
            None => self.add(name.clone(), (Origin::Assigned, place), true),
        }
    }

    fn used(&mut self, name: &Name, place: Place) {
        let asking = self.asking > 0;
        match self.find(name) {
            None => {
                let text = format!("Undefined or undeclared variable: {name}");
                self.diagnostics.error(place, text);
            }
            Some(known) if !known.assigned && !asking => {
                let text = format!("Variable used before it was assigned: {name}");
                self.diagnostics.warning(place, text);
            }
            Some(_) => {}
        }
    }
}

impl Visitor for Variables<'_> {
    fn expr(&mut self, expr: &mut Expr) {
        match &mut expr.kind {
            ExprKind::Variable(name) => {
                let name = name.clone();
                self.used(&name, expr.place);
            }
            ExprKind::VariableAddress(variable) => match self.find(&variable.name.clone()) {
                Some(known) => known.assigned = true,
                None => {
                    let text = format!("Undefined or undeclared variable: {}", variable.name);
                    self.diagnostics.error(variable.place, text);
                }
            },
            ExprKind::Call(Call { function, arguments, .. })
                if &**function == "__find" && arguments.len() == 3 =>
            {
                let (before, last) = arguments.split_at_mut(2);
                for argument in before {
                    self.expr(argument);
                }
                if let ExprKind::Variable(name) = &last[0].kind {
                    let name = name.clone();
                    if self.find(&name).is_some() {
                        self.assign(&name, last[0].place);
                    } else {
                        self.used(&name, last[0].place);
                    }
                }
            }
            _ => walk::expr_parts(self, expr),
        }
    }

    fn type_of(&mut self, of: &mut TypeOf) {
        self.asking += 1;
        walk::type_parts(self, of);
        self.asking -= 1;
    }

    fn block(&mut self, block: &mut Block) {
        self.inside(|inner| walk::block_parts(inner, block));
    }

    fn statement(&mut self, statement: &mut Statement) {
        let place = statement.place;
        match &mut statement.kind {
            StatementKind::Let(declared) => self.declare(declared),
            StatementKind::Assign(target, value) => {
                if let Target::Element(element) = target {
                    self.expr(&mut element.key);
                }
                self.expr(value);
                match target {
                    Target::Let(declared) => {
                        self.declare(declared);
                        let name = declared.variable.name.clone();
                        self.assign(&name, place);
                    }
                    Target::Variable(variable) => {
                        let name = variable.name.clone();
                        self.assign(&name, place);
                    }
                    Target::Map(_) | Target::Element(_) => {}
                }
            }
            StatementKind::For(variable, over, block) => {
                let name = variable.name.clone();
                if let Some(known) = self.find(&name) {
                    let origin = known.origin;
                    let text = format!("Loop declaration shadows existing variable: {name}");
                    self.error_with_origin(variable.place, text, origin);
                }
                if let Iterable::Range(first, last, _) = over {
                    self.expr(first);
                    self.expr(last);
                }
                let origin = (Origin::Loop, variable.place);
                self.inside(|inner| {
                    inner.add(name, origin, true);
                    inner.block(block);
                });
            }
            _ => walk::statement_parts(self, statement),
        }
    }
}

struct Calls<'a> {
    diagnostics: &'a mut Diagnostics,
    ids: &'a mut super::ast::Ids,
    allow_unsafe: bool,
    max_strlen: u64,
    providers: Vec<Provider>,
    /// The call that an argument stands in.
    function: Option<Name>,
    argument: usize,
}

impl Calls<'_> {
    fn error(&mut self, place: Place, text: impl Into<String>) {
        self.diagnostics.error(place, text);
    }

    /// Whether a function can be used in a probe.
    fn available(function: &str, provider: Provider) -> bool {
        match function {
            "reg" => provider.has_registers(),
            "__builtin_uaddr" => {
                matches!(provider, Provider::Uprobe | Provider::Uretprobe | Provider::Usdt)
            }
            "skboutput" | "socket_cookie" => provider.is_tracing(),
            _ => true,
        }
    }

    /// Whether the count of arguments is right.
    fn count(&mut self, call: &Call, place: Place) -> bool {
        let function = &call.function;
        let Some((_, least, most)) = COUNTS.iter().find(|(name, ..)| *name == &**function) else {
            return true;
        };
        let (least, most) =
            (least.saturating_sub(call.injected), most.saturating_sub(call.injected));
        let found = call.arguments.len() - call.injected;
        if (least..=most).contains(&found) {
            return true;
        }
        let wanted = if least == most {
            match least {
                0 => "requires no arguments".to_owned(),
                1 => "requires one argument".to_owned(),
                count => format!("requires {count} arguments"),
            }
        } else if found < least {
            match least {
                1 => "requires at least one argument".to_owned(),
                count => format!("requires at least {count} arguments"),
            }
        } else {
            match most {
                0 => "requires no arguments".to_owned(),
                1 => "takes up to one argument".to_owned(),
                count => format!("takes up to {count} arguments"),
            }
        };
        self.error(place, format!("{function}() {wanted} ({found} provided)"));
        false
    }

    fn literals(&mut self, call: &mut Call, place: Place) {
        match &*call.function {
            "hist" => self.hist(call, place),
            "lhist" => self.lhist(call, place),
            "tseries" => self.tseries(call, place),
            "reg" => {
                let name = call.arguments[0].as_text().map(|name| name.into_owned());
                if let Some(name) = name.filter(|name| register(name).is_none()) {
                    let text = format!(
                        "'{name}' is not a valid register on this architecture ({MACHINE})"
                    );
                    self.error(place, text);
                }
            }
            "debugf" => {
                self.diagnostics.warning(
                    place,
                    "The debugf() builtin is not recommended for production use. For more \
                     information see bpf_trace_printk in bpf-helpers(7).",
                );
                if call.arguments.len() > 4 {
                    self.error(place, "cannot use more than 3 conversion specifiers");
                }
            }
            "path" => {
                if call.arguments.get(1).is_some_and(|size| size.as_int().is_none()) {
                    self.error(place, "path: invalid size value, need non-negative literal");
                }
                let fits = |one: &Provider| one.is_tracing();
                if !self.providers.iter().all(fits) {
                    self.error(
                        place,
                        "The path function can only be used with 'fentry', 'fexit', 'iter' probes",
                    );
                }
            }
            "strncmp" if call.arguments[2].as_int().is_none() => {
                self.error(place, "Builtin strncmp requires a non-negative literal");
            }
            "pid" | "tid" => {
                let argument = call.arguments.first();
                if argument.is_some_and(|one| !matches!(one.kind, ExprKind::Ident(_))) {
                    let text = format!(
                        "{}() only supports curr_ns and init as the argument",
                        call.function
                    );
                    self.error(place, text);
                }
            }
            "__builtin_uaddr" => self.symbol(call, place),
            _ => {}
        }
    }

    fn hist(&mut self, call: &mut Call, place: Place) {
        if call.arguments.len() == 3 {
            call.arguments.push(Expr { id: self.ids.fresh(), kind: ExprKind::Int(0, None), place });
        }
        if let Some(bits) = call.arguments[3].as_int().filter(|bits| *bits > 5) {
            self.error(place, format!("hist: bits {bits} must be 0..5"));
        }
    }

    fn lhist(&mut self, call: &Call, place: Place) {
        const NEEDS: [&str; 3] = [
            "invalid min value (must be non-negative literal)",
            "invalid max value (must be non-negative literal)",
            "invalid step value",
        ];
        let mut values = [0u64; 3];
        for (at, value) in values.iter_mut().enumerate() {
            match call.arguments[3 + at].as_int() {
                Some(given) => *value = given,
                None => return self.error(place, format!("lhist: {}", NEEDS[at])),
            }
        }
        let [min, max, step] = values;
        let range = max.wrapping_sub(min);
        match range.checked_div(step).map(|buckets| buckets as i32) {
            None => self.error(place, format!("lhist() step must be >= 1 ({step} provided)")),
            Some(buckets) if buckets > 1000 => {
                let text =
                    format!("lhist() too many buckets, must be <= 1000 (would need {buckets})");
                self.error(place, text);
            }
            Some(_) => {}
        }
        if min > max {
            let text =
                format!("lhist() min must be less than max (provided min {min} and max {max})");
            self.error(place, text);
        }
        if range < step {
            let text = format!(
                "lhist() step is too large for the given range (provided step {step} for range \
                 {range})"
            );
            self.error(place, text);
        }
    }

    fn tseries(&mut self, call: &Call, place: Place) {
        let needs =
            |name: &str| format!("tseries: invalid {name} value (must be non-negative literal)");
        let Some(interval) = call.arguments[3].as_int() else {
            return self.error(place, needs("interval_ns"));
        };
        let Some(count) = call.arguments[4].as_int() else {
            return self.error(place, needs("num_intervals"));
        };
        if interval == 0 {
            return self
                .error(place, format!("tseries() interval_ns must be >= 1 ({interval} provided)"));
        }
        if count == 0 {
            return self
                .error(place, format!("tseries() num_intervals must be >= 1 ({count} provided)"));
        }
        if count > 1_000_000 {
            let text = format!("tseries() num_intervals must be < 1000000 ({count} provided)");
            self.error(place, text);
        }
        let holds = call.arguments.get(5).and_then(Expr::as_text);
        if let Some(holds) = holds
            && !["avg", "max", "min", "sum"].contains(&&*holds)
        {
            let text = format!(
                "tseries() expects one of the following aggregation functions: avg, max, min, \
                 sum (\"{holds}\" provided)"
            );
            self.error(place, text);
        }
    }

    fn symbol(&mut self, call: &Call, place: Place) {
        let function = &call.function;
        let Some(symbol) = call.arguments[0].as_text() else {
            let text = format!("{function}() expects a string literal as the first argument");
            return self.error(place, text);
        };
        let valid = |letter: char| letter.is_ascii_alphanumeric() || "./_-".contains(letter);
        if symbol.is_empty() || !symbol.chars().all(valid) {
            let text = format!(
                "{function}() expects a string that is a valid symbol (^[a-zA-Z0-9./_-]+$) as \
                 input (\"{symbol}\" provided)"
            );
            self.error(place, text);
        }
    }

    fn call(&mut self, expr: &mut Expr) {
        let place = expr.place;
        let ExprKind::Call(call) = &mut expr.kind else {
            return;
        };
        let function = call.function.clone();
        if !self.allow_unsafe && &*function == "system" {
            self.error(
                place,
                format!("{function}() is an unsafe function being used in safe mode"),
            );
        }
        for provider in self.providers.clone() {
            if !Self::available(&function, provider) {
                let name = provider.name();
                self.error(place, format!("{function} can not be used with \"{name}\" probes"));
            }
        }
        if !self.count(call, place) {
            return;
        }
        let before = (self.function.replace(function.clone()), self.argument);
        for (at, argument) in call.arguments.iter_mut().enumerate() {
            self.argument = at;
            self.expr(argument);
        }
        (self.function, self.argument) = before;
        if matches!(&*function, "clear" | "zero")
            && !matches!(call.arguments[0].kind, ExprKind::Map(_))
        {
            let text = format!("{function}() expects a map argument");
            self.error(call.arguments[0].place, text);
        }
        self.literals(call, place);
    }
}

impl Visitor for Calls<'_> {
    fn expr(&mut self, expr: &mut Expr) {
        let function = self.function.as_deref();
        match &expr.kind {
            ExprKind::Call(_) => self.call(expr),
            ExprKind::Ident(word) => {
                let fits = matches!(&**word, "curr_ns" | "init");
                if matches!(function, Some("pid" | "tid")) && !fits {
                    let text =
                        format!("Invalid PID namespace mode: {word} (expects: curr_ns or init)");
                    self.error(expr.place, text);
                }
            }
            ExprKind::Str(bytes) => {
                let is_format =
                    matches!(function, Some("printf" | "errorf" | "warnf")) && self.argument == 0;
                let known = function == Some("cgroupid");
                if !is_format && !known && bytes.len() as u64 > self.max_strlen.saturating_sub(1) {
                    let text = format!(
                        "String is too long (over {} bytes): {}",
                        self.max_strlen,
                        String::from_utf8_lossy(bytes)
                    );
                    self.error(expr.place, text);
                }
            }
            _ => walk::expr_parts(self, expr),
        }
    }

    fn type_of(&mut self, of: &mut TypeOf) {
        let mut writes = Writes { diagnostics: self.diagnostics };
        walk::type_parts(&mut writes, of);
        walk::type_parts(self, of);
    }

    fn statement(&mut self, statement: &mut Statement) {
        if let StatementKind::Unroll(count, _) = &statement.kind {
            match count.as_int() {
                None => {
                    self.error(statement.place, "invalid unroll value");
                    return;
                }
                Some(0) => self.error(statement.place, "unroll minimum value is 1"),
                Some(count) if count > 100 => {
                    self.error(statement.place, "unroll maximum value is 100");
                }
                Some(_) => {}
            }
        }
        walk::statement_parts(self, statement);
    }
}

/// Assignments to maps where only a type is asked for.
struct Writes<'a> {
    diagnostics: &'a mut Diagnostics,
}

impl Visitor for Writes<'_> {
    fn statement(&mut self, statement: &mut Statement) {
        if matches!(statement.kind, StatementKind::Assign(Target::Element(_) | Target::Map(_), _)) {
            self.diagnostics
                .error(statement.place, "Map assignments not allowed inside of typeof or typeinfo");
        }
        walk::statement_parts(self, statement);
    }
}
