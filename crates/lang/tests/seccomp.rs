//! Policies: what each form says, which rule decides, what is refused, that a proof fails
//! where it should. The wide comparison is `cargo xtask parity seccomp`.

use skep_lang::seccomp::{
    Action, Arch, Data, Environment, Filter, Format, Machine, Policy, ProveError, Reason, convert,
    diff, export, parse,
};

fn environment() -> Environment {
    Environment { arch: Arch::X86_64, ..Environment::default() }
}

fn policy(text: &str) -> Policy {
    let parsed = parse(text, Format::of_text(text), &environment());
    parsed.unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn filter(text: &str) -> Filter {
    let filter = Filter::new(&policy(text)).unwrap();
    filter.prove().unwrap_or_else(|error| panic!("{error}\n{text}"));
    filter
}

/// What a filter makes of a call of x86-64.
fn decides(filter: &Filter, call: &str, args: [u64; 6]) -> Action {
    let nr = Arch::X86_64.number(call).unwrap();
    let data = Data { nr, arch: Arch::X86_64.audit(), ip: 0, args };
    let (action, _) = filter.decide(&data);
    assert_eq!(filter.run(&data), action, "{call}");
    action
}

fn refused(text: &str) -> String {
    let error = parse(text, Format::of_text(text), &environment()).unwrap_err();
    match &error.hint {
        Some(hint) => format!("{error} ({hint})"),
        None => error.to_string(),
    }
}

const PROFILE: &str = r#"{
  "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38,
  "archMap": [{ "architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"] }],
  "syscalls": [
    { "names": ["read", "no_such_call"], "action": "SCMP_ACT_ALLOW" },
    { "names": ["socket"], "action": "SCMP_ACT_ALLOW",
      "args": [{ "index": 0, "value": 1, "op": "SCMP_CMP_EQ" }] },
    { "names": ["clone"], "action": "SCMP_ACT_ALLOW", "excludes": { "caps": ["CAP_SYS_ADMIN"] },
      "args": [{ "index": 0, "value": 2114060288, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ" }] },
    { "names": ["mount"], "action": "SCMP_ACT_ALLOW", "includes": { "caps": ["CAP_SYS_ADMIN"] } },
    { "names": ["ptrace"], "action": "SCMP_ACT_ALLOW", "includes": { "minKernel": "4.8" } },
    { "names": ["s390_pci_mmio_read"], "action": "SCMP_ACT_ALLOW",
      "includes": { "arches": ["s390x"] } },
    { "names": ["setns"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1, "errno": "EPERM" }
  ]
}"#;

#[test]
fn a_profile_says_what_its_entries_say() {
    let filter = filter(PROFILE);
    let none = [0; 6];
    for (call, args, expected) in [
        ("read", none, Action::Allow),
        ("write", none, Action::Errno(38)),
        ("socket", [1, 0, 0, 0, 0, 0], Action::Allow),
        ("socket", [1 << 32 | 1, 0, 0, 0, 0, 0], Action::Errno(38)),
        ("clone", [0x0100_0011, 0, 0, 0, 0, 0], Action::Allow),
        ("clone", [0x1000_0000, 0, 0, 0, 0, 0], Action::Errno(38)),
        ("mount", none, Action::Errno(38)),
        ("ptrace", none, Action::Allow),
        ("setns", none, Action::Errno(1)),
    ] {
        assert_eq!(decides(&filter, call, args), expected, "{call} {args:?}");
    }
    let other = Data { arch: Arch::Aarch64.audit(), ..Data::default() };
    assert_eq!(filter.decide(&other), (Action::KillProcess, Reason::BadArch));
    let admin = Environment { caps: vec!["CAP_SYS_ADMIN".into()], ..environment() };
    let with = Filter::new(&parse(PROFILE, Format::Oci, &admin).unwrap()).unwrap();
    assert_eq!(decides(&with, "mount", none), Action::Allow);
    assert_eq!(decides(&with, "clone", none), Action::Errno(38));
}

#[test]
fn an_expression_names_arguments_and_constants() {
    let filter = filter(
        "default errno(EPERM) arch x86_64
         # comments are passed over
         allow { @basic-io, mmap { (prot & PROT_EXEC) == 0 || flags == 0x22 && !fd },
                 socket(d, t) { d == AF_UNIX && t != SOCK_RAW } }",
    );
    assert_eq!(decides(&filter, "read", [0; 6]), Action::Allow);
    assert_eq!(decides(&filter, "mmap", [0, 0, 3, 0, 0, 0]), Action::Allow);
    assert_eq!(decides(&filter, "mmap", [0, 0, 7, 0, 0, 0]), Action::Errno(1));
    assert_eq!(decides(&filter, "mmap", [0, 0, 7, 0x22, 0, 0]), Action::Allow);
    assert_eq!(decides(&filter, "socket", [1, 1, 0, 0, 0, 0]), Action::Allow);
    assert_eq!(decides(&filter, "socket", [1, 3, 0, 0, 0, 0]), Action::Errno(1));
    let kafel = self::filter("POLICY a { ALLOW { write { fd == 1 } } } USE a DEFAULT KILL");
    assert_eq!(decides(&kafel, "write", [1, 0, 0, 0, 0, 0]), Action::Allow);
    assert_eq!(decides(&kafel, "write", [2, 0, 0, 0, 0, 0]), Action::KillThread);
}

#[test]
fn toml_and_systemd_say_the_same() {
    let toml = filter(
        "default = \"errno(EPERM)\"\narches = [\"x86_64\"]\n\
         [[rule]]\ncalls = [\"@system-service\", \"@default\"]\naction = \"allow\"\n",
    );
    let lines = filter(
        "[Service]\nSystemCallArchitectures=x86-64\nSystemCallErrorNumber=EPERM\n\
         SystemCallFilter=@system-service\n",
    );
    assert_eq!(diff(toml.plan(), lines.plan()), Ok(Vec::new()));
    assert_eq!(decides(&lines, "reboot", [0; 6]), Action::Errno(1));
    assert_eq!(decides(&lines, "openat", [0; 6]), Action::Allow);
    let denied = filter("SystemCallFilter=~@mount ptrace:EACCES\nSystemCallArchitectures=x86-64");
    assert_eq!(decides(&denied, "mount", [0; 6]), Action::KillProcess);
    assert_eq!(decides(&denied, "ptrace", [0; 6]), Action::Errno(13));
    assert_eq!(decides(&denied, "read", [0; 6]), Action::Allow);
}

#[test]
fn the_strictest_rule_decides_and_the_narrower_one_of_equals() {
    let filter = filter(
        "default allow arch x86_64
         errno(5) { read { count > 128 } }  errno(6) { read { count > 256 } }
         kill_process { read { count == 1000 } }  log { read }",
    );
    let read = |count| decides(&filter, "read", [0, 0, count, 0, 0, 0]);
    assert_eq!(read(1), Action::Log);
    assert_eq!(read(129), Action::Errno(5));
    assert_eq!(read(257), Action::Errno(6));
    assert_eq!(read(1000), Action::KillProcess);
}

#[test]
fn calls_newer_than_the_policy_do_not_exist() {
    let filter = filter("default errno(EPERM) arch x86_64 kernel 5.10 allow { read, statmount }");
    assert_eq!(decides(&filter, "read", [0; 6]), Action::Allow);
    assert_eq!(decides(&filter, "statmount", [0; 6]), Action::Allow);
    assert_eq!(decides(&filter, "reboot", [0; 6]), Action::Errno(1));
    assert_eq!(decides(&filter, "futex_waitv", [0; 6]), Action::Errno(38));
    let unknown = Data { nr: 600, arch: Arch::X86_64.audit(), ..Data::default() };
    assert_eq!(filter.decide(&unknown).0, Action::Errno(38));
    assert_eq!(filter.run(&unknown), Action::Errno(38));
}

#[test]
fn what_cannot_be_seen_is_not_let_through() {
    let filter = filter("default errno(EPERM) arch x86 allow { socket { family == 1 }, bind }");
    let call = |name: &str, first| {
        let nr = Arch::X86.number(name).unwrap();
        let args = [first, 0, 0, 0, 0, 0];
        filter.run(&Data { nr, arch: Arch::X86.audit(), ip: 0, args })
    };
    assert_eq!(call("socket", 1), Action::Allow);
    assert_eq!(call("socketcall", 1), Action::Errno(1));
    assert_eq!(call("socketcall", 2), Action::Allow);
}

/// Of each program one constant or jump is changed; what the proof says is tried.
#[test]
fn a_proof_finds_what_is_wrong() {
    let filter = filter(PROFILE);
    let mut wrong = 0;
    for index in 0..filter.filters().len() {
        for change in 0..3 {
            let mut filters = filter.filters().to_vec();
            let insn = &mut filters[index];
            match change {
                0 => insn.k ^= 1,
                1 => std::mem::swap(&mut insn.jt, &mut insn.jf),
                _ => insn.k = insn.k.wrapping_add(0x1_0000),
            }
            let Ok(machine) = Machine::new(&filters, true) else { continue };
            match filter.plan().prove(&machine) {
                Ok(_) => {}
                Err(ProveError::Differs(example)) => {
                    let found = Action::from_value(machine.run(&example.data).0);
                    assert_ne!(found, filter.decide(&example.data).0, "{example:?}");
                    wrong += 1;
                }
                Err(error) => panic!("{error}"),
            }
        }
    }
    assert!(wrong > filter.filters().len());
}

#[test]
fn a_difference_says_for_which_arguments() {
    let old = filter("default allow arch x86_64 errno(1) { socket { arg0 == 16 && arg2 == 9 } }");
    let new = filter("default allow arch x86_64 errno(1) { socket { arg0 == 16 }, reboot }");
    let found = diff(old.plan(), new.plan()).unwrap();
    let texts: Vec<String> = found
        .iter()
        .map(|one| {
            let mut text = format!("{} {} -> {}", one.call().unwrap_or("?"), one.old, one.new);
            for (condition, holds) in &one.conditions {
                text += &format!(", {condition} {holds}");
            }
            assert_eq!((old.run(&one.example), new.run(&one.example)), (one.old, one.new));
            text
        })
        .collect();
    assert_eq!(
        texts,
        [
            "socket allow -> errno(EPERM), arg0 == 0x10 true, arg2 == 0x9 false",
            "reboot allow -> errno(EPERM)"
        ]
    );
    assert_eq!(diff(old.plan(), old.plan()), Ok(Vec::new()));
}

#[test]
fn forms_are_read_back_as_what_they_were() {
    let policy = policy(PROFILE);
    let plan = Filter::new(&policy).unwrap();
    for text in [convert::to_toml(&policy), convert::to_oci(&policy).unwrap()] {
        let back = filter(&text);
        assert_eq!(diff(plan.plan(), back.plan()), Ok(Vec::new()), "{text}");
    }
    let error = convert::to_systemd(&policy).unwrap_err();
    assert_eq!(error.to_string(), "syscalls[1]: systemd does not look at arguments of socket");
    let plain =
        self::policy("default errno(EPERM) arch x86_64 allow { read, @process } log { sync }");
    let lines = convert::to_systemd(&plain).unwrap();
    let (one, other) = (Filter::new(&plain).unwrap(), filter(&lines));
    assert_eq!(diff(one.plan(), other.plan()), Ok(Vec::new()), "{lines}");
}

#[test]
fn raw_programs_have_the_byte_order_of_their_machine() {
    let little = filter("default allow arch x86_64 kill { reboot }");
    let big = filter("default allow arch s390x kill { reboot }");
    assert_eq!(export::raw(&little)[..8], [0x20, 0, 0, 0, 4, 0, 0, 0]);
    assert_eq!(export::raw(&big)[..8], [0, 0x20, 0, 0, 0, 0, 0, 4]);
    let code = export::pseudo_code(little.plan());
    assert!(
        code.contains("# filter for syscall \"reboot\" (169)\n  if ($syscall == 169)"),
        "{code}"
    );
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    for (text, expected) in [
        ("{", "line 1, column 1: is no JSON: EOF while parsing an object"),
        ("{}", "there is no `defaultAction`"),
        (r#"{"defaultAction": "ALLOW_ALL"}"#, "defaultAction: no action \"ALLOW_ALL\""),
        (
            r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["a"],
               "action":"SCMP_ACT_LOG","args":[{"index":6,"value":1,"op":"SCMP_CMP_EQ"}]}]}"#,
            "syscalls[0].args[0].index: argument 6; calls have 0 to 5",
        ),
        ("default allow kill { raed }", "line 1, column 22: no architecture has a call raed"),
        ("default allow kill { read { fdd == 1 } }", "line 1, column 29: `fdd` is no argument"),
        ("default allow kill { read { fd == 1 ", "line 1, column 35: expected `}`, found the end"),
        ("kill { read }", "the policy has no default"),
        ("default = 3", "`default` is no text"),
        ("default = \"allow\"\nrules = 3", "there is no key `rules`"),
        ("SystemCallFilter=@nothing", "line 1: there is no set @nothing"),
    ] {
        let text = refused(text);
        assert!(text.starts_with(expected), "{text:?} is not {expected:?}");
    }
    let mixed = Policy { arches: vec![Arch::X86_64, Arch::S390x], ..Policy::new(Action::Allow) };
    let error = Filter::new(&mixed).unwrap_err().to_string();
    assert_eq!(error, "x86_64 and s390x have different byte orders, which takes two filters");
}
