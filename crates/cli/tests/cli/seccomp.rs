//! `skep seccomp`: what it says of policies, and real children under real filters.

use std::path::Path;
use std::process::Command;

use crate::harness::{Folder, Ran, skep};

/// Runs `skep seccomp`.
fn seccomp(args: &[&str]) -> Ran {
    skep(&[&["seccomp"], args].concat())
}

/// A policy file in a folder.
fn write(folder: &Folder, name: &str, text: &str) -> String {
    let path = folder.path(name);
    std::fs::write(&path, text).unwrap();
    path
}

/// Builds a C program; `None`, with a line that says so, where it cannot.
fn build(folder: &Folder, source: &str) -> Option<String> {
    let (input, output) = (folder.path("child.c"), folder.path("child"));
    std::fs::write(&input, source).unwrap();
    let built = Command::new("gcc").args(["-O1", "-pthread", "-o", &output, &input]).output();
    match built {
        Ok(built) if built.status.success() => Some(output),
        Ok(built) => panic!("{}", String::from_utf8_lossy(&built.stderr)),
        Err(_) => {
            println!("skipped: children under filters: gcc is missing");
            None
        }
    }
}

#[test]
fn a_policy_is_checked_and_proved() {
    let out = seccomp(&["check", "-e", "default allow arch x86_64 errno(EPERM) { ptrace }"]).done();
    assert!(out.starts_with("1 rules, else allow; x86_64: "), "{out}");
    assert!(out.contains("proved in "), "{out}");
    let text = "default errno(EPERM) arch x86_64 allow { read }";
    let out = seccomp(&["check", "-e", text]).done();
    assert!(out.contains("no command can do without execve (errno(EPERM))"), "{out}");
    let (error, hint) = seccomp(&["check", "-e", "default allow kill { raed }"]).failed(2);
    assert_eq!(error, "line 1, column 22: no architecture has a call raed");
    assert_eq!(hint, "a call without a name is written `syscall[454]`");
}

#[test]
fn a_decision_is_explained() {
    let text = "default allow arch x86_64 errno(EPERM) { socket { family != AF_UNIX } }";
    let out = seccomp(&["why", "-e", text, "socket", "family=AF_INET"]).done();
    let expected = "\
socket(0x2, 0x0, 0x0, 0x0, 0x0, 0x0) on x86_64: errno(EPERM) by line 1, column 42, since arg0 != 0x1
    errno(EPERM) if arg0 != 0x1
    allow
";
    assert_eq!(out, expected);
    let json = seccomp(&["why", "--json", "-e", text, "read"]).json();
    assert_eq!(json[0]["action"], "allow");
    assert_eq!(json[0]["constant"], true);
    let (error, _) = seccomp(&["why", "-e", text, "socket", "color=3"]).failed(2);
    assert_eq!(error, "\"color=3\" is no argument and value");
}

#[test]
fn two_policies_are_compared() {
    let folder = Folder::new();
    let old = write(&folder, "old", "default allow arch x86_64 errno(EPERM) { ptrace }");
    let new =
        write(&folder, "new", "default allow arch x86_64 errno(EPERM) { ptrace { arg0 == 0 } }");
    assert_eq!(seccomp(&["diff", &old, &old]).done(), "");
    let ran = seccomp(&["diff", &old, &new]);
    assert_eq!(ran.status, 1);
    let expected = "x86_64 ptrace where not arg0 == 0x0: errno(EPERM) -> allow";
    assert!(ran.out.starts_with(expected), "{}", ran.out);
}

#[test]
fn a_program_of_others_is_proved_or_refuted() {
    let folder = Folder::new();
    let policy = write(&folder, "policy", "default allow arch x86_64 errno(EPERM) { ptrace }");
    let file = folder.path("filter.bpf");
    seccomp(&["export", &policy, "-o", &file]).done();
    let out = seccomp(&["prove", &policy, "--filter", &file]).done();
    assert!(out.starts_with("proved: "), "{out}");
    let listing = write(&folder, "listing", &seccomp(&["show", "-d", &policy]).done());
    seccomp(&["prove", &policy, "--filter", &listing]).done();
    let other = write(&folder, "other", "default allow arch x86_64 errno(EACCES) { ptrace }");
    let (error, hint) = seccomp(&["prove", &other, "--filter", &file]).failed(1);
    assert!(error.ends_with("the program gives errno(EPERM) where the policy says errno(EACCES)"));
    assert!(hint.starts_with("the call is ptrace("), "{hint}");
}

#[test]
fn calls_are_resolved() {
    let out = seccomp(&["resolve", "--arch", "x86_64,aarch64", "openat", "257"]).done();
    assert_eq!(out.lines().next(), Some("x86_64       openat 257"), "{out}");
    assert!(out.contains("aarch64      openat 56"), "{out}");
    let out = seccomp(&["resolve", "--arch", "x86", "socket", "accept"]).done();
    assert_eq!(
        out,
        "x86          socket 359  also socketcall(1)\nx86          accept by socketcall(5)\n"
    );
    seccomp(&["resolve", "no_such_call"]).failed(1);
}

/// Prints what mkdir gives, as a number; 0 for done.
const MKDIR: &str = r#"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
static void on(int signal, siginfo_t *info, void *context) {
    printf("signal %d call %d\n", signal, info->si_syscall);
    fflush(stdout);
    _exit(7);
}
int main(int count, char **args) {
    struct sigaction action = { .sa_sigaction = on, .sa_flags = SA_SIGINFO };
    sigaction(SIGSYS, &action, 0);
    int given = mkdir(args[1], 0700);
    printf("%d\n", given ? errno : 0);
    return 0;
}
"#;

#[test]
fn a_child_gets_errors_signals_and_answers() {
    let folder = Folder::new();
    let Some(child) = build(&folder, MKDIR) else { return };
    let place = folder.path("made");
    let run = |action: &str| {
        let policy = format!("default allow {action} {{ mkdir, mkdirat }}");
        seccomp(&["run", "-e", &policy, "--", &child, &place])
    };
    assert_eq!(run("errno(EROFS)").done(), "30\n");
    let trapped = run("trap");
    assert_eq!(trapped.status, 7, "{}", trapped.err);
    assert!(trapped.out.starts_with("signal 31 call "), "{}", trapped.out);
    // It died of SIGSYS.
    assert_eq!(run("kill_process").status, -1);
    let notified = run("notify");
    assert!(notified.err.contains("notify: mkdir("), "{}", notified.err);
    assert_eq!(notified.done(), "38\n");
    assert!(!Path::new(&place).exists());
    assert_eq!(run("log").done(), "0\n");
    assert!(Path::new(&place).exists());
    assert_eq!(run("allow").done(), "17\n");
    let (error, _) = seccomp(&["run", "-e", "default allow", "--", "/no/such/file"]).failed(2);
    assert!(error.starts_with("/no/such/file: "), "{error}");
}

/// Linux takes each flag, with a listener and without, and the filter is the same.
#[test]
fn flags_change_nothing_that_is_decided() {
    let folder = Folder::new();
    let Some(child) = build(&folder, MKDIR) else { return };
    let place = folder.path("made");
    let all = "tsync, log, spec_allow, wait_killable_recv";
    for flags in ["tsync", "log", "spec_allow", "wait_killable_recv", all] {
        for (action, printed) in [("errno(EROFS)", "30\n"), ("notify", "38\n")] {
            let policy = format!("default allow flags {flags} {action} {{ mkdir, mkdirat }}");
            let ran = seccomp(&["run", "-e", &policy, "--", &child, &place]);
            assert_eq!(ran.out, printed, "{flags}, {action}: {}", ran.err);
        }
    }
}

/// Asks for its number by i386's call, and prints what that gives.
const OLD_CALL: &str = r#"
#include <stdio.h>
int main(void) {
    int given;
    __asm__ volatile("int $0x80" : "=a"(given) : "a"(20) : "memory", "r8", "r9", "r10", "r11");
    printf("%d\n", given > 0 ? 0 : -given);
    return 0;
}
"#;

#[cfg(target_arch = "x86_64")]
#[test]
fn calls_of_32_bits_are_decided_as_such() {
    let folder = Folder::new();
    let Some(child) = build(&folder, OLD_CALL) else { return };
    let run = |policy: &str| seccomp(&["run", "-e", policy, "--", &child]);
    let plain = run("default allow arch x86_64, x86");
    if plain.status != 0 {
        println!("skipped: calls of 32 bits: Linux has none here");
        return;
    }
    assert_eq!(plain.done(), "0\n");
    assert_eq!(run("default allow arch x86_64, x86 errno(EROFS) { getpid }").done(), "30\n");
    // 20 is writev there; on x86 it is getpid.
    assert_eq!(run("default allow arch x86_64, x86 errno(EROFS) { syscall[20] }").done(), "30\n");
    assert_eq!(run("default allow badarch errno(EACCES)").done(), "13\n");
    assert_eq!(run("default allow").status, -1);
    let notified = run("default allow arch x86_64, x86 notify { getpid }");
    assert!(notified.err.contains("notify: getpid("), "{}", notified.err);
}

#[test]
fn what_was_learned_is_enough() {
    let folder = Folder::new();
    let policy = folder.path("learned.toml");
    let command = ["sh", "-c", "ls / > /dev/null && echo done && exit 3"];
    let learned = seccomp(&[&["learn", "-o", &policy, "--"], &command[..]].concat());
    assert_eq!((learned.status, learned.out.as_str()), (3, "done\n"), "{}", learned.err);
    let again = seccomp(&[&["run", &policy, "--"], &command[..]].concat());
    assert_eq!((again.status, again.out.as_str()), (3, "done\n"), "{}", again.err);
    let make = format!("mkdir {}/not-learned", std::env::temp_dir().display());
    let other = seccomp(&["run", &policy, "--", "sh", "-c", &make]);
    assert_ne!(other.status, 0, "{}", other.out);
}

/// Opens a path again and again, while another thread writes another one over it.
const RACE: &str = r#"
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
static char path[4096];
static char *good, *bad;
static volatile int over;
static void *change(void *none) {
    while (!over) {
        strcpy(path, bad);
        strcpy(path, good);
    }
    return none;
}
int main(int count, char **args) {
    int tries = atoi(args[1]), opened = 0, refused = 0;
    good = args[2];
    bad = args[3];
    strcpy(path, good);
    pthread_t thread;
    pthread_create(&thread, 0, change, 0);
    for (int i = 0; i < tries; i++) {
        char byte = 0;
        int fd = openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
        if (fd < 0) {
            refused++;
            continue;
        }
        if (read(fd, &byte, 1) != 1 || byte != 'g') {
            printf("another file\n");
            return 1;
        }
        opened++;
        close(fd);
    }
    over = 1;
    pthread_join(thread, 0);
    printf("%d\n", opened + refused);
    fprintf(stderr, "%d opened, %d refused\n", opened, refused);
    return 0;
}
"#;

#[test]
fn a_path_that_is_written_over_opens_nothing_else() {
    let folder = Folder::new();
    let Some(child) = build(&folder, RACE) else { return };
    let (public, secret) = (folder.path("public"), folder.path("secret"));
    std::fs::create_dir(&public).unwrap();
    std::fs::create_dir(&secret).unwrap();
    std::fs::write(format!("{public}/file"), "good").unwrap();
    std::fs::write(format!("{secret}/file"), "bad").unwrap();
    std::os::unix::fs::symlink(&secret, format!("{public}/link")).unwrap();
    let answers = write(
        &folder,
        "answers.toml",
        &format!(
            "[[answer]]\ncall = \"openat\"\nopen = [\"{public}\", \"/lib\", \"/usr/lib\", \"/lib64\", \"/etc\"]\n"
        ),
    );
    let run = |tries: &str, bad: &str| {
        let good = format!("{public}/file");
        let policy = "default allow notify { openat }";
        let args = ["notify", &answers, "-e", policy, "--", &child, tries, &good, bad];
        seccomp(&args)
    };
    assert_eq!(run("8000", &format!("{secret}/file")).done(), "8000\n");
    // A symbolic link out of the folder, and a way out of it by `..`.
    assert_eq!(run("1000", &format!("{public}/link/file")).done(), "1000\n");
    assert_eq!(run("1000", &format!("{public}/../secret/file")).done(), "1000\n");
}
