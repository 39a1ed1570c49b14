//! Trees that are built by hand, lowered, verified and run by the embedded kernel, and by Linux
//! where the user may: what the programs send is what the trees say.

#[cfg(target_os = "linux")]
mod corpus;
#[cfg(target_os = "linux")]
mod live;
mod tree;

use std::sync::Arc;

use skep_lang::trace::ast::{BinaryOp, UnaryOp};
use skep_lang::trace::checked::{
    Block, Builtin, ExprKind, Function, MapId, Shape, StatementKind, VariableId,
};
use skep_lang::trace::kind::{Aggregate, Kind, Type};
use skep_lang::trace::lower::{Machine, lower};
use skep_lang::trace::plan::RING;
use skep_load::Skep;
use skep_sys::{Kernel, TestRun};
use skep_vm::Vm;
use tree::*;

/// Kernels to run on.
fn kernels() -> Vec<Arc<dyn Kernel>> {
    let mut kernels: Vec<Arc<dyn Kernel>> = vec![Arc::new(Vm::new())];
    #[cfg(target_os = "linux")]
    kernels.push(Arc::new(skep_sys::Linux::new()));
    kernels
}

/// Runs the only program of a script on each kernel; gives what it sent, without heads.
fn run(script: &Script, check: impl Fn(&Skep, Vec<Vec<u8>>)) {
    for kernel in kernels() {
        let machine = Machine { cpus: kernel.possible_cpus(), ..Machine::default() };
        let plan = lower(script, &machine).unwrap();
        let skep = match plan.object.load(&kernel) {
            Ok(skep) => skep,
            Err(error) if kernel.name() == "linux" && error.to_string().contains("EPERM") => {
                println!("skipped: {error}");
                continue;
            }
            Err(error) => panic!("{}: {error}\n{error:#?}", kernel.name()),
        };
        let mut ring = skep.ring_buffer(RING).unwrap();
        let (_, result) = skep.programs()[0].test_run(TestRun::default());
        result.unwrap();
        let records = std::iter::from_fn(|| ring.next_record());
        check(&skep, records.map(|record| record[8..].to_vec()).collect());
    }
}

fn number(record: &[u8]) -> i64 {
    i64::from_le_bytes(record[..8].try_into().unwrap())
}

/// What `print(e)` sends.
fn printed(script: &Script) -> Vec<i64> {
    let all = std::cell::RefCell::new(Vec::new());
    run(script, |_, records| {
        let numbers: Vec<i64> = records.iter().map(|record| number(record)).collect();
        all.borrow_mut().push(numbers);
    });
    let all = all.into_inner();
    assert!(all.windows(2).all(|pair| pair[0] == pair[1]), "{all:?}");
    all[0].clone()
}

#[test]
fn arithmetic_keeps_sizes_and_signs() {
    use BinaryOp::{Add, BitAnd, Div, Left, Lt, Mod, Mul, Right, Sub};
    let int8 = |number| cast(int(number), Type::int(1, true));
    let cases: Vec<(Expr, i64)> = vec![
        (binary(Add, int(2), int(3)), 5),
        (binary(Sub, int(2), int(3)), -1),
        (binary(Mul, int(-4), int(3)), -12),
        (binary(Div, int(-7), int(2)), -3),
        (binary(Mod, int(-7), int(2)), -1),
        (binary(Left, int(1), int(40)), 1 << 40),
        (binary(Right, int(-16), int(2)), -4),
        (binary(BitAnd, int(0xff0), int(0x0ff)), 0xf0),
        (cast(int8(200), Type::int64()), -56),
        (cast(int(0x1_0000_0001), Type::int(4, false)), 1),
        (cast(binary(Lt, int(-1), int(0)), Type::int64()), 1),
        (binary(Add, binary(Mul, int(2), int(3)), binary(Mul, int(4), int(5))), 26),
    ];
    let body = cases.iter().map(|(e, _)| print(cast(e.clone(), Type::int64()))).collect();
    let script = script(body, vec![], vec![]);
    let expected: Vec<i64> = cases.iter().map(|(_, number)| *number).collect();
    assert_eq!(printed(&script), expected);
}

#[test]
fn division_by_zero_gives_one_and_says_so() {
    let zero = StatementKind::SetVariable(VariableId(0), int(0));
    let e = binary(BinaryOp::Div, int(10), variable(0, Type::int64()));
    let script = script(vec![zero, print(e)], vec![Type::int64()], vec![]);
    run(&script, |_, records| {
        assert_eq!(records.len(), 2);
        assert_eq!(number(&records[1]), 1);
    });
}

#[test]
fn loops_turn_as_often_as_they_say() {
    let x = || variable(0, Type::int64());
    let add = |by| StatementKind::SetVariable(VariableId(0), binary(BinaryOp::Add, x(), int(by)));
    let block = |statements| Block { statements: statements_of(statements) };
    let body = vec![
        StatementKind::SetVariable(VariableId(0), int(0)),
        StatementKind::While(binary(BinaryOp::Lt, x(), int(100)), block(vec![add(3)])),
        print(x()),
        StatementKind::Unroll(10, block(vec![add(1)])),
        print(x()),
        StatementKind::ForRange(
            VariableId(1),
            int(0),
            int(5),
            block(vec![
                StatementKind::If(
                    binary(BinaryOp::Eq, variable(1, Type::int64()), int(3)),
                    block(vec![StatementKind::Break]),
                    Block::default(),
                ),
                print(variable(1, Type::int64())),
            ]),
        ),
        print(int(-1)),
    ];
    let script = script(body, vec![Type::int64(), Type::int64()], vec![]);
    assert_eq!(printed(&script), [102, 112, 0, 1, 2, -1]);
}

#[test]
fn strings_are_compared_searched_and_measured() {
    let s = |text: &str| string(text, 16);
    let call = |function, arguments| expr(ExprKind::Call(function, arguments), Type::int64());
    let as_int = |e| cast(e, Type::int64());
    let body = vec![
        print(as_int(binary(BinaryOp::Eq, s("hello"), s("hello")))),
        print(as_int(binary(BinaryOp::Eq, s("hello"), s("hellp")))),
        print(as_int(binary(BinaryOp::Ne, string("hello", 300), string("hellp", 300)))),
        print(call(Function::Strncmp(4), vec![s("hhvm"), s("hhvm-proc")])),
        print(call(Function::Strncmp(5), vec![s("hhvm"), s("hhvm-proc")])),
        print(call(Function::Strlen, vec![string("hello", 1024)])),
        print(call(Function::Strstr, vec![string("ababac", 64), s("abac")])),
        print(call(Function::Strstr, vec![s("hello"), s("x")])),
        print(call(Function::Strstr, vec![s("hello"), s("")])),
    ];
    let script = script(body, vec![], vec![]);
    assert_eq!(printed(&script), [1, 0, 1, 0, 1, 5, 2, -1, 0]);
}

#[test]
fn maps_hold_what_was_put_into_them() {
    let set = |key, value| StatementKind::SetElement(MapId(0), int(key), int(value));
    let get = |key| expr(ExprKind::Element(MapId(0), Box::new(int(key))), Type::int64());
    let step =
        |op, key| expr(ExprKind::StepElement(op, MapId(0), Box::new(int(key))), Type::int64());
    let call = |function, of| expr(ExprKind::Call(function, vec![of]), Type::bool());
    let truth = |e| cast(e, Type::int64());
    let len = expr(ExprKind::Call(Function::MapLen(MapId(0)), vec![]), Type::int64());
    let body = vec![
        set(1, 10),
        set(2, 20),
        print(get(1)),
        print(get(3)),
        print(step(UnaryOp::PostIncrement, 1)),
        print(step(UnaryOp::PreDecrement, 5)),
        print(truth(call(Function::HasKey(MapId(0)), int(2)))),
        print(truth(call(Function::Delete(MapId(0)), int(2)))),
        print(truth(call(Function::HasKey(MapId(0)), int(2)))),
        print(len),
    ];
    let script = script(body, vec![], vec![map("@m", Type::int64(), Type::int64(), Shape::Plain)]);
    assert_eq!(printed(&script), [10, 0, 10, -1, 1, 1, 0, 2]);
}

#[test]
fn walks_over_maps_see_each_element_and_can_end() {
    let pair = Type::tuple(vec![Type::int64(), Type::int64()]);
    let set = |key, value| StatementKind::SetElement(MapId(0), int(key), int(value));
    let part =
        |index| expr(ExprKind::Part(Box::new(variable(0, pair.clone())), index), Type::int64());
    let sum = || variable(1, Type::int64());
    let add = binary(BinaryOp::Add, sum(), binary(BinaryOp::Mul, part(0), part(1)));
    let walk = |body| {
        StatementKind::ForMap(VariableId(0), MapId(0), Block { statements: statements_of(body) })
    };
    let body = vec![
        StatementKind::SetVariable(VariableId(1), int(0)),
        set(2, 3),
        set(5, 7),
        walk(vec![StatementKind::SetVariable(VariableId(1), add)]),
        print(sum()),
        walk(vec![print(int(1)), StatementKind::Break]),
        walk(vec![print(int(2)), StatementKind::Return(None)]),
        print(int(3)),
    ];
    let maps = vec![map("@m", Type::int64(), Type::int64(), Shape::Plain)];
    let script = script(body, vec![pair, Type::int64()], maps);
    assert_eq!(printed(&script), [41, 1, 2]);
}

#[test]
fn aggregations_of_all_kinds_hold_what_they_say() {
    let of = |kind| Type::from(Kind::Aggregate(kind));
    let signed = true;
    let kinds = [
        (Aggregate::Count, Shape::Plain),
        (Aggregate::Sum { signed }, Shape::Plain),
        (Aggregate::Min { signed }, Shape::Plain),
        (Aggregate::Max { signed }, Shape::Plain),
        (Aggregate::Avg { signed }, Shape::Plain),
        (Aggregate::Hist, Shape::Hist { bits: 3 }),
        (Aggregate::LHist, Shape::LHist { min: 0, max: 100, step: 10 }),
    ];
    let maps: Vec<_> = kinds
        .iter()
        .enumerate()
        .map(|(index, (kind, shape))| map(&format!("@{index}"), Type::int64(), of(*kind), *shape))
        .collect();
    let values = [-5, 3, 40, 1000, 1 << 40];
    let mut body = Vec::new();
    for value in values {
        for (index, (kind, _)) in kinds.iter().enumerate() {
            let value = (*kind != Aggregate::Count).then(|| int(value));
            body.push(StatementKind::Aggregate { map: MapId(index as u32), key: int(7), value });
        }
    }
    for (index, (kind, _)) in kinds.iter().enumerate().take(5) {
        let element = ExprKind::Element(MapId(index as u32), Box::new(int(7)));
        body.push(print(cast(expr(element, of(*kind)), Type::int64())));
    }
    let script = script(body, vec![], maps);
    let sum: i64 = values.iter().sum();
    let expected = [5, sum, -5, 1 << 40, sum / 5];
    assert_eq!(printed(&script), expected);
    run(&script, |skep, _| {
        let read = |name: &str| {
            let map = skep.map(name).unwrap();
            let cpus = map.lookup_per_cpu(&7i64.to_le_bytes()).unwrap().unwrap();
            let words = cpus[0].len() / 8;
            let word = |cpu: &Vec<u8>, at: usize| {
                u64::from_le_bytes(cpu[8 * at..8 * at + 8].try_into().unwrap())
            };
            (0..words)
                .filter(|at| cpus.iter().map(|cpu| word(cpu, *at)).sum::<u64>() > 0)
                .collect::<Vec<usize>>()
        };
        let buckets = values.map(|value| skep_lang::trace::output::histogram::log_bucket(value, 3));
        assert_eq!(read("AT_5"), buckets);
        assert_eq!(read("AT_6"), [0, 1, 5, 11]);
    });
}

#[test]
fn tuples_and_text_are_kept_whole() {
    let of = Type::tuple(vec![Type::int(1, true), Type::string(6), Type::int64()]);
    let tuple = expr(
        ExprKind::Tuple(vec![cast(int(-1), Type::int(1, true)), string("hello", 6), int(9)]),
        of.clone(),
    );
    let comm = expr(ExprKind::Builtin(Builtin::Comm), Type::string(16));
    let body = vec![
        StatementKind::SetVariable(VariableId(0), tuple),
        StatementKind::SetElement(MapId(0), variable(0, of.clone()), int(1)),
        print(variable(0, of.clone())),
        print(comm),
    ];
    let maps = vec![map("@m", of.clone(), Type::int64(), Shape::Plain)];
    let script = script(body, vec![of], maps);
    run(&script, |skep, records| {
        let mut expected = vec![0xff];
        expected.extend(b"hello\0\0");
        expected[6] = 0;
        assert_eq!(records[0][..7], *b"\xffhello\0");
        assert_eq!(records[0][8..16], 9i64.to_le_bytes());
        let keys: Vec<Vec<u8>> = skep.map("AT_m").unwrap().keys().map(Result::unwrap).collect();
        assert_eq!(keys, [records[0][..16].to_vec()]);
        assert_ne!(records[1][0], 0);
    });
}

#[test]
fn programs_explain_themselves_in_the_scripts_lines() {
    let script = script(vec![print(int(1))], vec![], vec![]);
    let plan = lower(&script, &Machine::default()).unwrap();
    let lines = &plan.object.functions[0].line_info;
    assert!(!lines.is_empty());
    assert_eq!(lines[0].insn_off, 0);
    let btf = plan.object.btf.as_ref().unwrap();
    assert_eq!(btf.string(lines[0].line_off).unwrap(), "begin { print(1) }");
}
