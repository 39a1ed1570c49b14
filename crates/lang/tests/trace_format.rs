//! Tracing scripts printed formatted, and scripts that were damaged.
//!
//! A formatted script is read as the same script: formatted again it stays as it is, and the
//! checks say of it what they said before. A damaged one gets a diagnostic or a tree.

use std::path::PathBuf;

use serde_json::Value;
use skep_lang::trace::world::Fixture;
use skep_lang::trace::{Options, Until, check, format};

fn scripts() -> Vec<String> {
    let given = std::env::var_os("SKEP_DATA").map(PathBuf::from);
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let above = here.ancestors().map(|folder| folder.join("shared/data")).collect::<Vec<_>>();
    let mut folders = given.into_iter().chain(above);
    let folder = folders.find(|folder| folder.is_dir()).unwrap_or_default();
    let Ok(data) = std::fs::read_to_string(folder.join("bpftrace-unit.jsonl")) else {
        println!("skipped: no bpftrace-unit.jsonl");
        return Vec::new();
    };
    let script = |line: &str| {
        let line: Value = serde_json::from_str(line).expect("a line is JSON");
        line["script"].as_str().unwrap_or("").to_owned()
    };
    data.lines().map(script).collect()
}

fn world() -> Fixture {
    Fixture::read(include_str!("trace/fixture.json")).expect("the fixture describes a world")
}

fn accepted(text: &str, world: &Fixture) -> bool {
    let options = Options { allow_unsafe: true, until: Until::Types, ..Options::default() };
    check(text, "stdin", world, &options).diagnostics.is_ok()
}

#[test]
fn formatted_scripts_stay() {
    let world = world();
    let mut wrong = 0;
    let mut count = 0;
    for script in scripts() {
        let Ok(once) = format(&script, "stdin") else { continue };
        count += 1;
        let twice = format(&once, "stdin").unwrap_or_else(|failure| format!("{failure:?}"));
        let stays = once == twice;
        let same = accepted(&script, &world) == accepted(&once, &world);
        if !stays || !same {
            wrong += 1;
            println!("--- stays {stays} same {same}\n{script}\n=>\n{once}\n=>\n{twice}");
        }
    }
    println!("formatted {count}");
    assert_eq!(wrong, 0, "scripts that change by being formatted");
}

/// Numbers without a pattern, always the same.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap_or(0) % end.max(1)
    }
}

#[test]
fn damaged_scripts_are_answered() {
    let world = world();
    let scripts = scripts();
    if scripts.is_empty() {
        return;
    }
    let rounds = std::env::var("SKEP_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(2_000);
    let mut numbers = Numbers(1);
    for _ in 0..rounds {
        let mut words = pieces(&scripts[numbers.below(scripts.len())]);
        let other = pieces(&scripts[numbers.below(scripts.len())]);
        for _ in 0..=numbers.below(3) {
            let at = numbers.below(words.len());
            let from = numbers.below(other.len());
            match numbers.below(4) {
                0 if !words.is_empty() => drop(words.remove(at)),
                1 if !words.is_empty() => words.insert(at, words[numbers.below(words.len())]),
                2 if !other.is_empty() && !words.is_empty() => words[at] = other[from],
                _ if !other.is_empty() => {
                    let end = other.len().min(from + 6);
                    let rest = words.split_off(at);
                    words.extend(&other[from..end]);
                    words.extend(rest);
                }
                _ => {}
            }
        }
        let text: String = words.concat();
        let options = Options { allow_unsafe: true, ..Options::default() };
        let answer = std::panic::catch_unwind(|| {
            let outcome = check(&text, "stdin", &world, &options);
            assert_eq!(outcome.script.is_some(), outcome.diagnostics.is_ok());
            let _shown = outcome.shown();
            if let Ok(once) = format(&text, "stdin") {
                assert_eq!(format(&once, "stdin").as_ref(), Ok(&once));
            }
        });
        assert!(answer.is_ok(), "{text}");
    }
}

/// Words, spaces and single other letters of a text.
fn pieces(text: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut start = 0;
    let mut last = None;
    for (at, letter) in text.char_indices() {
        let kind = (letter.is_alphanumeric() || letter == '_').then_some(true);
        if at > 0 && (kind.is_none() || kind != last) {
            pieces.push(&text[start..at]);
            start = at;
        }
        last = kind;
    }
    pieces.push(&text[start..]);
    pieces
}

/// Scripts that nest or grow: a diagnostic, in a thread's two megabytes.
#[test]
fn deep_scripts_are_answered() {
    let world = world();
    let many = |word: &str, count: usize| word.repeat(count);
    let inside = |open: &str, middle: &str, close: &str, count: usize| {
        format!("begin {{ {}{middle}{}; }}", many(open, count), many(close, count))
    };
    let behind = |first: &str, next: &str, count: usize| {
        format!("begin {{ {first}{}; }}", many(next, count))
    };
    let mut scripts = Vec::new();
    for count in [90, 99, 480, 10_000] {
        scripts.extend([
            inside("(", "1", ")", count),
            behind("@ = 1", " + pid", count),
            behind("@ = pid", " ? 1 : pid", count),
            inside("-", "1", "", count),
            inside("*", "$x", "", count),
            inside("(int8)", "1", "", count),
            inside("@[", "1", "]", count),
            inside("$x = (", "1", ",)", count),
            inside("$x = (a=", "1", ")", count),
            inside("print(", "1", ")", count),
            inside("if pid {", "print(1);", "}", count),
            inside("if pid { print(1); } else ", "{ print(2); }", "", count),
            inside("while pid {", "print(1);", "}", count),
            inside("$x = { let $y = 1; ", "1", "}", count),
            behind("$x = curtask", ".parent", count),
            behind("$x = pid", "[1]", count),
            behind("let $x : int8", "*", count),
            behind("let $x : int8", "[1]", count),
            inside("print(sizeof(", "int8", "))", count),
            format!(
                "{} begin {{ }}",
                inside("struct A {", "int a;", "} b;", count).replace("begin {", "")
            ),
            format!("struct A {{ int {}a; }} begin {{ }}", many("*", count)),
            format!("struct A {{ int a{}; }} begin {{ }}", many("[2]", count)),
            format!("#define A {}1{}\nbegin {{ print(A); }}", many("(", count), many(")", count)),
            format!("#if {}1{}\n#endif\nbegin {{ }}", many("(", count), many(")", count)),
            format!(
                "macro d(x) {{ x + x }} begin {{ print({}1{}); }}",
                many("d(", count),
                many(")", count)
            ),
        ]);
    }
    let mut nested = String::new();
    for at in 0..60 {
        let next = if at == 0 {
            "x".into()
        } else {
            format!("m{}({}x{})", at - 1, many("-(", 40), many(")", 40))
        };
        nested += &format!("macro m{at}(x) {{ {next} }} ");
    }
    scripts.extend([5, 20, 39, 59].map(|at| format!("{nested} begin {{ print(m{at}(1)); }}")));
    for script in scripts {
        let options = Options { allow_unsafe: true, ..Options::default() };
        let shown = check(&script, "stdin", &world, &options).shown();
        let _formatted = format(&script, "stdin");
        let start: String = script.chars().take(60).collect();
        println!(
            "{start} => {}",
            shown.lines().next().unwrap_or("").chars().take(200).collect::<String>()
        );
    }
}
