//! Scripts at work: what they print, on the embedded kernel and on Linux where the user may.

use std::sync::Arc;

use skep_lang::trace::ast::BinaryOp;
use skep_lang::trace::checked::{
    Block, Builtin, Conversion, ExprKind, Format, FormatId, Function, MapId, Piece, Point, Program,
    Rate, Shape, StatementKind,
};
use skep_lang::trace::kind::{Aggregate, Kind, Type};
use skep_lang::trace::run::{Printer, Settings, run};
use skep_sys::{Kernel, Linux};
use skep_vm::Vm;

use super::tree::*;

/// Runs a script; gives status, output and messages. `None` where the user may not.
fn ran(
    kernel: &Arc<dyn Kernel>,
    script: &Script,
    settings: &Settings,
    json: bool,
) -> Option<(i32, String, String)> {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut printer = Printer { out: &mut out, err: &mut err, json };
    let started = std::time::Instant::now();
    let ask = || {
        assert!(started.elapsed().as_secs() < 60, "it does not end");
        None
    };
    let result = run(script, kernel, settings, &mut printer, &ask);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    match result {
        Ok(status) => Some((status, text(out), text(err))),
        Err(error) if kernel.name() == "linux" && error.to_string().contains("EPERM") => {
            println!("skipped: {error}");
            None
        }
        Err(error) => panic!("{}: {error}\n{error:#?}", kernel.name()),
    }
}

fn both() -> [Arc<dyn Kernel>; 2] {
    [Arc::new(Vm::new()), Arc::new(Linux::new())]
}

fn call(function: Function, arguments: Vec<Expr>) -> StatementKind {
    StatementKind::Expr(expr(ExprKind::Call(function, arguments), Type::void()))
}

fn add(script: &mut Script, point: Point, body: Vec<StatementKind>) {
    let program = Program {
        name: "probe".into(),
        points: vec![point],
        body: Block { statements: statements_of(body) },
        ..script.programs[0].clone()
    };
    script.programs.push(program);
}

fn printf(
    script: &mut Script,
    text: &str,
    letters: &[&str],
    arguments: Vec<Expr>,
) -> StatementKind {
    let mut pieces = vec![Piece::Text(text.into())];
    for letter in letters {
        let letter = (*letter).to_owned();
        pieces.push(Piece::Conversion(Conversion { letter, ..Conversion::default() }));
        pieces.push(Piece::Text(b"\n".to_vec()));
    }
    script.formats.push(Format { pieces });
    call(Function::Printf(FormatId(script.formats.len() as u32 - 1)), arguments)
}

#[test]
fn begin_intervals_end_and_maps_come_in_their_order() {
    let count = Type::from(Kind::Aggregate(Aggregate::Count));
    let maps = vec![map("@m", Type::string(8), count, Shape::Plain)];
    let mut script = script(vec![], vec![], maps);
    let aggregate = StatementKind::Aggregate { map: MapId(0), key: string("key", 8), value: None };
    let hello = printf(&mut script, "hello ", &["s"], vec![string("you", 4)]);
    script.programs[0].body = Block { statements: statements_of(vec![hello, aggregate]) };
    let tick = printf(&mut script, "tick\n", &[], vec![]);
    let rate = Rate::Nanoseconds(1_000_000);
    add(&mut script, Point::Interval(rate), vec![tick, call(Function::Exit, vec![int(7)])]);
    let end = printf(&mut script, "end\n", &[], vec![]);
    add(&mut script, Point::End, vec![end]);
    for kernel in both() {
        let Some((status, out, err)) = ran(&kernel, &script, &Settings::default(), false) else {
            continue;
        };
        assert_eq!(status, 7);
        assert_eq!(out, "hello you\ntick\nend\n\n\n@m[key]: 1\n", "{}", kernel.name());
        assert_eq!(err, "Attached 3 probes\n");
    }
}

#[test]
fn lines_of_json_have_type_and_data() {
    let hist = Type::from(Kind::Aggregate(Aggregate::Hist));
    let mut maps = vec![map("@h", Type::int64(), hist, Shape::Hist { bits: 0 })];
    maps[0].scalar = true;
    let value =
        |value| StatementKind::Aggregate { map: MapId(0), key: int(0), value: Some(int(value)) };
    let script = script(vec![value(2), value(1025), print(int(5))], vec![], maps);
    for kernel in both() {
        let settings = Settings { quiet: true, ..Settings::default() };
        let Some((_, out, err)) = ran(&kernel, &script, &settings, true) else { continue };
        let lines: Vec<&str> = out.lines().collect();
        assert_eq!(lines[0], "{\"type\": \"value\", \"data\": 5}");
        assert!(lines[1].starts_with(
            "{\"type\": \"hist\", \"data\": {\"@h\": [{\"min\": 2, \"max\": 3, \"count\": 1},{"
        ));
        assert!(lines[1].ends_with("{\"min\": 1024, \"max\": 2047, \"count\": 1}]}}"));
        assert_eq!(err, "");
    }
}

#[test]
fn a_full_map_is_said_with_its_place() {
    let set = |key| StatementKind::SetElement(MapId(0), int(key), int(1));
    let mut maps = vec![map("@m", Type::int64(), Type::int64(), Shape::Plain)];
    maps[0].entries = 1;
    let script = script(vec![set(1), set(2)], vec![], maps);
    for kernel in both() {
        let Some((_, out, err)) = ran(&kernel, &script, &Settings::default(), false) else {
            continue;
        };
        assert_eq!(out, "\n\n@m[1]: 1\n");
        assert!(err.contains("WARNING: Map full; can't update element."), "{err}");
    }
}

#[test]
fn what_finds_no_room_is_counted() {
    let text = || string("x", 1000);
    let body = vec![StatementKind::Unroll(
        100,
        Block {
            statements: statements_of(vec![StatementKind::Unroll(
                100,
                Block { statements: statements_of(vec![print(text())]) },
            )]),
        },
    )];
    let script = script(body, vec![], vec![]);
    for kernel in both() {
        let Some((_, out, err)) = ran(&kernel, &script, &Settings::default(), false) else {
            continue;
        };
        let printed = out.lines().filter(|line| *line == "x").count();
        let line = err.lines().find(|line| line.contains("lost event count")).unwrap();
        let lost: usize =
            line.split_once("count: ").unwrap().1.split(' ').next().unwrap().parse().unwrap();
        assert_eq!(printed + lost, 10_000, "{err}");
        assert!(line.ends_with("of begin)"), "{line}");
    }
}

#[test]
fn only_the_commands_processes_are_seen() {
    let linux: Arc<dyn Kernel> = Arc::new(Linux::new());
    let count = Type::from(Kind::Aggregate(Aggregate::Count));
    let maps = vec![map("@m", Type::string(16), count, Shape::Plain)];
    let mut script = script(vec![], vec![], maps);
    let comm = expr(ExprKind::Builtin(Builtin::Comm), Type::string(16));
    let aggregate = StatementKind::Aggregate { map: MapId(0), key: comm, value: None };
    let point = Point::Tracepoint { category: "syscalls".into(), event: "sys_enter_getcwd".into() };
    script.programs.clear();
    script.programs.push(Program {
        name: "tracepoint:syscalls:sys_enter_getcwd".into(),
        points: vec![point],
        session: false,
        arguments: None,
        variables: vec![],
        body: Block { statements: statements_of(vec![aggregate]) },
        place: Default::default(),
    });
    // Two processes of the command's, and its own shell, which asks where it is.
    let command = "sh -c '/bin/pwd -P; /bin/pwd -P'";
    let settings = Settings { command: Some(command.into()), only: true, ..Settings::default() };
    let Some((status, out, _)) = ran(&linux, &script, &settings, false) else { return };
    assert_eq!(status, 0);
    assert!(out.contains("@m[pwd]: 2\n"), "{out}");
    let keys: Vec<&str> = out.lines().filter_map(|line| line.split("]:").next()).collect();
    assert!(keys.iter().all(|key| ["", "@m[pwd", "@m[sh"].contains(key)), "{out}");
}

#[test]
fn conditions_of_tracepoints_see_the_process() {
    let pid = expr(ExprKind::Builtin(Builtin::Pid(Default::default())), Type::int(4, false));
    let mine = cast(int(i64::from(std::process::id())), Type::int(4, false));
    let is_mine = binary(BinaryOp::Eq, pid, mine);
    let script = script(vec![print(cast(is_mine, Type::int64()))], vec![], vec![]);
    let linux: Arc<dyn Kernel> = Arc::new(Linux::new());
    let Some((_, out, _)) = ran(&linux, &script, &Settings::default(), false) else { return };
    assert_eq!(out, "1\n\n\n");
}

/// What one program prints on Linux, by lines; `None` where the user may not.
fn printed_on_linux(script: &Script) -> Option<Vec<String>> {
    let linux: Arc<dyn Kernel> = Arc::new(Linux::new());
    let settings = Settings { quiet: true, ..Settings::default() };
    let (_, out, err) = ran(&linux, script, &settings, false)?;
    assert_eq!(err, "");
    Some(out.trim_end().lines().map(str::to_owned).collect())
}

fn at_user(address: u64, of: Type) -> Expr {
    let pointer = Type::pointer(of, skep_lang::trace::kind::Space::User);
    expr(ExprKind::Constant(skep_lang::trace::checked::Value::Int(address)), pointer)
}

#[test]
fn memory_of_the_process_is_read_as_text_and_bytes() {
    use skep_lang::trace::checked::Value;
    let text: &'static [u8] = Box::leak(b"hello, world\0".to_vec().into_boxed_slice());
    let address = || at_user(text.as_ptr() as u64, Type::int(1, true));
    let str_of = |size, length: Vec<Expr>| {
        let arguments = std::iter::once(address()).chain(length).collect();
        expr(ExprKind::Call(Function::Str, arguments), Type::string(size))
    };
    let length = |number| expr(ExprKind::Constant(Value::Int(number)), Type::uint64());
    let buffer = |size, arguments| {
        expr(ExprKind::Call(Function::Buf, arguments), Type::from(Kind::Buffer(size)))
    };
    let body = vec![
        print(str_of(64, vec![])),
        print(str_of(5, vec![])),
        print(str_of(64, vec![length(6)])),
        print(buffer(16, vec![address(), length(5)])),
        print(buffer(13, vec![string("ok_value", 13), length(7)])),
        print(expr(ExprKind::Call(Function::Strlen, vec![address()]), Type::uint64())),
        print(cast(
            expr(ExprKind::Index(Box::new(address()), Box::new(int(4))), Type::int(1, true)),
            Type::int64(),
        )),
    ];
    let script = script(body, vec![], vec![]);
    let Some(lines) = printed_on_linux(&script) else { return };
    assert_eq!(
        lines,
        ["hello, world", "hello..", "hello", "hello", "ok_valu", "12", &b'o'.to_string()]
    );
}

#[test]
fn the_current_task_is_this_one() {
    use skep_lang::trace::checked::Value;
    use skep_lang::trace::kind::Space;
    use skep_lang::trace::records::{Field, Record};
    let linux: Arc<dyn Kernel> = Arc::new(Linux::new());
    let target = skep_load::Target::of(&*linux);
    let Ok(btf) = target.kernel_btf() else {
        println!("skipped: the kernel has no types");
        return;
    };
    let id = btf.find("task_struct", skep_btf::Kind::Struct).unwrap();
    let skep_btf::Type::Struct(of) = btf.type_by_id(id).unwrap() else { panic!() };
    let place =
        |name: &str| of.members.iter().find(|member| member.name == name).unwrap().bit_offset / 8;
    let field = |name: &str, of| Field {
        name: name.into(),
        of,
        offset: place(name),
        bits: None,
        data_loc: false,
    };
    let (tgid, comm) = (field("tgid", Type::int(4, true)), field("comm", Type::string(16)));
    let mut script = script(vec![], vec![], vec![]);
    let id = script.records.add(Record {
        name: "struct task_struct".into(),
        size: of.size,
        fields: vec![tgid, comm],
        tracepoint: false,
        complete: true,
        anonymous: false,
    });
    let task = || {
        let of = Type::pointer(script.records.type_of(id), Space::Kernel);
        expr(ExprKind::Builtin(Builtin::CurrentTask), of)
    };
    let member = |index, of| expr(ExprKind::Member(Box::new(task()), id, index), of);
    let comm = expr(ExprKind::Builtin(Builtin::Comm), Type::string(16));
    let same = binary(BinaryOp::Eq, member(1, Type::string(16)), comm);
    let number = |number| expr(ExprKind::Constant(Value::Int(number)), Type::uint64());
    let names = |of| Function::NameOf(of);
    let name = |of, at| expr(ExprKind::Call(names(of), vec![number(at)]), Type::string(64));
    use skep_lang::trace::checked::Names::{Errors, Signals, SystemCalls};
    let body = vec![
        print(member(0, Type::int(4, true))),
        print(cast(same, Type::int64())),
        print(name(Errors, 1)),
        print(name(Signals, 9)),
        print(name(SystemCalls, 0)),
        print(name(SystemCalls, 100_000)),
    ];
    script.programs[0].body = Block { statements: statements_of(body) };
    let Some(lines) = printed_on_linux(&script) else { return };
    let expected = ["1", "Operation not permitted", "SIGKILL", "read", "unknown"];
    assert_eq!(lines[0], std::process::id().to_string());
    assert_eq!(lines[1..], expected);
}

#[test]
fn addresses_of_variables_are_read_through() {
    use skep_lang::trace::checked::VariableId;
    use skep_lang::trace::kind::Space;
    let pointer = Type::pointer(Type::int(1, true), Space::None);
    let address = expr(ExprKind::VariableAddress(VariableId(0)), pointer.clone());
    let at = |number| {
        let of = Box::new(variable(1, pointer.clone()));
        let byte = expr(ExprKind::Index(of, Box::new(int(number))), Type::int(1, true));
        cast(byte, Type::int64())
    };
    let body = vec![
        StatementKind::SetVariable(VariableId(0), string("hello", 8)),
        StatementKind::SetVariable(VariableId(1), address),
        print(at(0)),
        print(at(1)),
    ];
    let script = script(body, vec![Type::string(8), pointer.clone()], vec![]);
    for kernel in both() {
        let settings = Settings { quiet: true, ..Settings::default() };
        let Some((_, out, _)) = ran(&kernel, &script, &settings, false) else { continue };
        assert_eq!(out.trim_end(), "104\n101", "{}", kernel.name());
    }
}

#[test]
fn stacks_end_where_they_end() {
    use skep_lang::trace::kind::{Stack, StackMode};
    let stack = |kernel| {
        let stack = Stack { kernel, limit: 16, mode: StackMode::Bpftrace };
        expr(ExprKind::Builtin(Builtin::Stack(stack)), Type::from(Kind::Stack(stack)))
    };
    let script = script(vec![print(stack(true)), print(stack(false))], vec![], vec![]);
    let Some(lines) = printed_on_linux(&script) else { return };
    assert!(lines.iter().any(|line| line.contains("bpf_prog_test_run_raw_tp+")), "{lines:?}");
}
