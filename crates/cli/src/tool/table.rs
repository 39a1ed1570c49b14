//! The tools, a row each: what it is for, its flags, on which hooks it stands in order of
//! preference, and what its output looks like. Flags and columns are those of bcc's tools, which
//! scripts read.

use super::shape::{Column, Counted, How, Shape, column};

/// A tool.
#[derive(Debug)]
pub struct Tool {
    /// What it is called.
    pub name: &'static str,
    /// What it is for, in a line.
    pub about: &'static str,
    /// Its own flags and operands.
    pub flags: &'static [Flag],
    /// Ways to do it, the best first.
    pub ways: &'static [Way],
    /// What its output looks like.
    pub shape: Shape,
    /// Its events happen in the process that causes them: it can be kept to a command's.
    pub tree: bool,
    /// What does nearly the same, where no way is there.
    pub nearest: &'static str,
}

/// A way to do what a tool does.
#[derive(Debug)]
pub struct Way {
    /// What the kernel must have.
    pub hooks: &'static [Hook],
    /// The script.
    pub script: &'static str,
    /// What this way cannot do, or nothing.
    pub without: &'static str,
}

/// What a kernel has or has not.
#[derive(Clone, Copy, Debug)]
pub enum Hook {
    /// A tracepoint: its category and name.
    Tracepoint(&'static str, &'static str),
    /// A tracepoint with its arguments as the kernel has them.
    Raw(&'static str),
    /// Programs at a function's entry and end.
    Fentry(&'static str),
    /// A breakpoint in a function.
    Kprobe(&'static str),
    /// Samples of what processors do.
    Samples,
    /// Whatever the patterns on the command line ask for.
    Patterns,
}

/// A flag or an operand.
#[derive(Debug)]
pub struct Flag {
    /// Its letter.
    pub short: Option<char>,
    /// Its word; an operand's name.
    pub long: &'static str,
    /// What its value is called, where it takes one.
    pub value: Option<&'static str>,
    /// What help says.
    pub about: &'static str,
    /// What it does.
    pub to: To,
}

/// What a flag does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum To {
    /// It is a named parameter of the script.
    Parameter,
    /// The same, in another unit: its value is multiplied.
    Scaled(u64),
    /// It changes what is shown.
    Shown,
    /// Rows whose field has another number are left out.
    Equal(&'static str),
    /// Rows whose field does not contain the text are left out.
    Contains(&'static str),
    /// The script sees this process alone.
    Process,
    /// The script ends after so many seconds.
    Duration,
    /// An operand: seconds between outputs.
    Interval,
    /// An operand: so many outputs.
    Count,
    /// An operand: what is to be traced. There may be several.
    Pattern,
}

impl Flag {
    const fn value(mut self, name: &'static str) -> Flag {
        self.value = Some(name);
        self
    }

    /// Whether it stands by its place.
    pub fn is_operand(&self) -> bool {
        self.short.is_none() && matches!(self.to, To::Interval | To::Count | To::Pattern)
            || self.long == "least"
            || self.long == "device"
    }
}

const fn flag(short: char, long: &'static str, about: &'static str, to: To) -> Flag {
    Flag { short: Some(short), long, value: None, about, to }
}

const fn word(long: &'static str, about: &'static str, to: To) -> Flag {
    Flag { short: None, long, value: None, about, to }
}

const PID: Flag = flag('p', "pid", "This process alone", To::Equal("pid")).value("PID");
const UID: Flag = flag('u', "uid", "This user alone", To::Equal("uid")).value("UID");
const IPV4: Flag = flag('4', "ipv4", "IPv4 alone", To::Shown);
const IPV6: Flag = flag('6', "ipv6", "IPv6 alone", To::Shown);
const INTERVAL: Flag = word("interval", "Seconds between outputs", To::Interval).value("INTERVAL");
const COUNT: Flag = word("count", "So many outputs", To::Count).value("COUNT");
const TIMES: Flag = flag('T', "timestamp", "The time in front of each output", To::Shown);
const MILLISECONDS: Flag =
    flag('m', "milliseconds", "Milliseconds instead of microseconds", To::Parameter);
const PRINT_UID: Flag = flag('U', "print-uid", "A column for the user", To::Shown);
const DURATION: Flag =
    flag('d', "duration", "End after so many seconds", To::Duration).value("SECONDS");
const EVERY: Flag = flag('i', "interval", "Seconds between outputs", To::Interval).value("SECONDS");

macro_rules! script {
    ($name:literal) => {
        include_str!(concat!("scripts/", $name, ".bt"))
    };
}

const fn way(hooks: &'static [Hook], script: &'static str) -> Way {
    Way { hooks, script, without: "" }
}

/// The tool of a name.
pub fn find(name: &str) -> Option<&'static Tool> {
    TOOLS.iter().find(|tool| tool.name == name)
}

const COMPLETE: Hook = Hook::Raw("block_rq_complete");

/// All of them.
pub const TOOLS: &[Tool] = &[
    Tool {
        name: "biolatency",
        about: "How long disks take, as a histogram",
        flags: &[
            INTERVAL,
            COUNT,
            TIMES,
            MILLISECONDS,
            flag('Q', "queued", "With the time in the queue", To::Parameter),
            flag('D', "disks", "A histogram for each disk", To::Shown),
            flag('F', "flags", "A histogram for each set of flags", To::Parameter),
            flag('e', "extension", "Average and total too", To::Shown),
            flag('d', "disk", "This disk alone", To::Parameter).value("DISK"),
        ],
        ways: &[way(&[COMPLETE], script!("biolatency"))],
        shape: Shape::Histogram {
            map: "@latency",
            banner: "Tracing block device I/O... Hit Ctrl-C to end.",
        },
        tree: false,
        nearest: "",
    },
    Tool {
        name: "biolatpcts",
        about: "How long a disk takes: percentiles of reads, writes, discards and flushes",
        flags: &[
            word("device", "The disk, by its name", To::Parameter).value("DEV"),
            flag('i', "interval", "Seconds between outputs; 0: one, at the end", To::Interval)
                .value("SECONDS"),
            flag('w', "which", "from-rq-alloc, after-rq-alloc or on-device", To::Parameter)
                .value("WHICH"),
            flag('p', "pcts", "Percentiles, with commas between them", To::Shown).value("PCT,..."),
        ],
        ways: &[way(&[COMPLETE], script!("biolatpcts"))],
        shape: Shape::Percentiles { map: "@latency" },
        tree: false,
        nearest: "",
    },
    Tool {
        name: "biosnoop",
        about: "Each request that a disk does",
        flags: &[
            flag('Q', "queue", "A column for the time in the queue", To::Shown),
            flag('d', "disk", "This disk alone", To::Contains("disk")).value("DISK"),
        ],
        ways: &[way(
            &[Hook::Raw("block_rq_insert"), Hook::Raw("block_rq_issue"), COMPLETE],
            script!("biosnoop"),
        )],
        shape: Shape::Rows { columns: BIOSNOOP, banner: "" },
        tree: false,
        nearest: "",
    },
    Tool {
        name: "cachestat",
        about: "How often the page cache had what was asked for",
        flags: &[INTERVAL, COUNT, TIMES],
        ways: &[way(
            &[
                Hook::Tracepoint("filemap", "mm_filemap_get_pages"),
                Hook::Tracepoint("filemap", "mm_filemap_add_to_page_cache"),
                Hook::Tracepoint("writeback", "writeback_dirty_folio"),
            ],
            script!("cachestat"),
        )],
        shape: Shape::Cache,
        tree: true,
        nearest: "",
    },
    Tool {
        name: "capable",
        about: "Capabilities that the kernel looks for",
        flags: &[
            PID,
            flag('x', "extra", "Columns for the thread and what comes of it", To::Shown),
            flag('v', "verbose", "All checks: here as without it", To::Shown),
            word("unique", "Each process and capability once", To::Shown),
        ],
        ways: &[Way {
            hooks: &[Hook::Tracepoint("capability", "cap_capable")],
            script: script!("capable"),
            without: "AUDIT and INSETID are not in the tracepoint",
        }],
        shape: Shape::Rows { columns: CAPABLE, banner: "" },
        tree: true,
        nearest: "",
    },
    Tool {
        name: "dcsnoop",
        about: "Names that are not in the cache of directory entries",
        flags: &[flag('a', "all", "Those found too", To::Parameter)],
        ways: &[
            way(&[Hook::Fentry("lookup_fast"), Hook::Fentry("d_lookup")], script!("dcsnoop")),
            way(
                &[
                    Hook::Kprobe("lookup_fast"),
                    Hook::Kprobe("__d_lookup"),
                    Hook::Kprobe("d_lookup"),
                ],
                script!("dcsnoop.kprobe"),
            ),
        ],
        shape: Shape::Rows { columns: DCSNOOP, banner: "" },
        tree: true,
        nearest: "opensnoop: paths that are opened, and those that are not there",
    },
    Tool {
        name: "dddos",
        about: "Sources that send packets faster than they should",
        flags: &[
            word("gap", "Nanoseconds that should lie between packets", To::Parameter).value("NS"),
            word("most", "So many packets in a row are an alert", To::Parameter).value("PACKETS"),
            DURATION,
        ],
        ways: &[way(&[Hook::Tracepoint("net", "netif_receive_skb")], script!("dddos"))],
        shape: Shape::Rows {
            columns: DDDOS,
            banner: "DDOS detector started ... Hit Ctrl-C to end!",
        },
        tree: false,
        nearest: "",
    },
    Tool {
        name: "execsnoop",
        about: "Programs that are started, with their arguments",
        flags: &[
            flag('T', "time", "A column for the time", To::Shown),
            flag('t', "timestamp", "A column for seconds since the start", To::Shown),
            flag('x', "fails", "Failed calls too", To::Parameter),
            UID,
            flag('q', "quote", "Arguments in quotation marks", To::Shown),
            flag('n', "name", "Commands whose name contains this", To::Contains("comm"))
                .value("NAME"),
            flag('l', "line", "Commands an argument of which contains this", To::Contains("args"))
                .value("LINE"),
            PRINT_UID,
            flag('C', "print-cpu", "A column for the processor", To::Shown),
            flag('M', "print-pcomm", "A column for the parent's name", To::Shown),
            word("max-args", "So many arguments are shown", To::Shown).value("COUNT"),
            flag('P', "ppid", "Children of this process alone", To::Equal("ppid")).value("PPID"),
        ],
        ways: &[way(
            &[
                Hook::Tracepoint("syscalls", "sys_enter_execve"),
                Hook::Tracepoint("syscalls", "sys_exit_execve"),
                Hook::Tracepoint("syscalls", "sys_exit_execveat"),
            ],
            script!("execsnoop"),
        )],
        shape: Shape::Rows { columns: EXECSNOOP, banner: "" },
        tree: true,
        nearest: "",
    },
    Tool {
        name: "ext4slower",
        about: "What ext4 takes long for",
        flags: &[
            Flag {
                short: None,
                long: "least",
                value: Some("MIN_MS"),
                about: "Milliseconds that are slow: 10",
                to: To::Scaled(1_000_000),
            },
            PID,
            flag('j', "csv", "Fields with commas between them", To::Shown),
        ],
        ways: &[
            way(
                &[
                    Hook::Fentry("ext4_file_read_iter"),
                    Hook::Fentry("ext4_file_write_iter"),
                    Hook::Fentry("ext4_file_open"),
                    Hook::Fentry("ext4_sync_file"),
                ],
                script!("ext4slower.fentry"),
            ),
            Way {
                hooks: &[
                    Hook::Tracepoint("ext4", "ext4_sync_file_enter"),
                    Hook::Tracepoint("ext4", "ext4_sync_file_exit"),
                ],
                script: script!("ext4slower"),
                without: "syncs alone, with inodes instead of names: reads, writes and opens have no tracepoints",
            },
        ],
        shape: Shape::Rows {
            columns: EXT4SLOWER,
            banner: "Tracing ext4 operations slower than {least} ms",
        },
        tree: true,
        nearest: "",
    },
    Tool {
        name: "funccount",
        about: "How often functions, tracepoints and others are hit",
        flags: &[
            word("pattern", "vfs_*, c:malloc, ./app:parse_*, t:block:*, u:lib:probe", To::Pattern)
                .value("PATTERN"),
            flag('p', "pid", "This process alone", To::Process).value("PID"),
            EVERY,
            DURATION,
            TIMES,
        ],
        ways: &[way(&[Hook::Patterns], script!("funccount"))],
        shape: Shape::Counts(Counted::Probes),
        tree: true,
        nearest: "",
    },
    Tool {
        name: "hello_world",
        about: "Says hello each time a process is started",
        flags: &[],
        ways: &[way(&[Hook::Tracepoint("syscalls", "sys_enter_clone")], script!("hello_world"))],
        shape: Shape::Lines { banner: "" },
        tree: true,
        nearest: "",
    },
    Tool {
        name: "opensnoop",
        about: "Files that are opened, and what came of it",
        flags: &[
            flag('T', "timestamp", "A column for seconds since the start", To::Shown),
            PRINT_UID,
            flag('x', "failed", "Failed calls alone", To::Parameter),
            PID,
            flag('t', "tid", "This thread alone", To::Equal("tid")).value("TID"),
            UID,
            DURATION,
            flag('n', "name", "Processes whose name contains this", To::Contains("comm"))
                .value("NAME"),
            flag('e', "extended_fields", "Columns for flags and mode", To::Shown),
        ],
        ways: &[way(
            &[
                Hook::Tracepoint("syscalls", "sys_enter_openat"),
                Hook::Tracepoint("syscalls", "sys_exit_openat"),
                Hook::Tracepoint("syscalls", "sys_exit_openat2"),
            ],
            script!("opensnoop"),
        )],
        shape: Shape::Rows { columns: OPENSNOOP, banner: "" },
        tree: true,
        nearest: "",
    },
    Tool {
        name: "profile",
        about: "Where processors are, by samples of stacks",
        flags: &[
            word("duration", "Seconds", To::Interval).value("DURATION"),
            flag('p', "pid", "This process alone", To::Process).value("PID"),
            flag('F', "frequency", "Samples a second: 49", To::Shown).value("HZ"),
            flag('U', "user-stacks-only", "The programs' parts alone", To::Parameter),
            flag('K', "kernel-stacks-only", "The kernel's parts alone", To::Parameter),
            flag('d', "delimited", "A line between both parts", To::Shown),
            flag('a', "annotations", "_[k] behind the kernel's functions", To::Shown),
            flag('I', "include-idle", "Idle processors too", To::Parameter),
            flag('f', "folded", "A line for each stack, for flame graphs", To::Shown),
        ],
        ways: &[way(&[Hook::Samples], script!("profile"))],
        shape: Shape::Stacks { samples: true },
        tree: true,
        nearest: "",
    },
    Tool {
        name: "runqlat",
        about: "How long tasks wait for a processor, as a histogram",
        flags: &[
            INTERVAL,
            COUNT,
            TIMES,
            MILLISECONDS,
            flag('P', "pids", "A histogram for each process", To::Parameter),
            flag('L', "tids", "A histogram for each thread", To::Parameter),
            flag('p', "pid", "This process alone", To::Parameter).value("PID"),
        ],
        ways: &[way(
            &[
                Hook::Raw("sched_switch"),
                Hook::Tracepoint("sched", "sched_wakeup"),
                Hook::Tracepoint("sched", "sched_wakeup_new"),
            ],
            script!("runqlat"),
        )],
        shape: Shape::Histogram {
            map: "@latency",
            banner: "Tracing run queue latency... Hit Ctrl-C to end.",
        },
        tree: false,
        nearest: "",
    },
    Tool {
        name: "stackcount",
        about: "Ways on which functions, tracepoints and others are reached",
        flags: &[
            word("pattern", "As funccount's", To::Pattern).value("PATTERN"),
            flag('p', "pid", "This process alone", To::Process).value("PID"),
            EVERY,
            flag('D', "duration", "End after so many seconds", To::Duration).value("SECONDS"),
            TIMES,
            flag('P', "perpid", "By process", To::Parameter),
            flag('K', "kernel-stacks-only", "The kernel's parts alone", To::Parameter),
            flag('U', "user-stacks-only", "The programs' parts alone", To::Parameter),
            flag('d', "delimited", "A line between both parts", To::Shown),
            flag('f', "folded", "A line for each stack, for flame graphs", To::Shown),
        ],
        ways: &[way(&[Hook::Patterns], script!("stackcount"))],
        shape: Shape::Stacks { samples: false },
        tree: true,
        nearest: "",
    },
    Tool {
        name: "syscount",
        about: "System calls, counted",
        flags: &[
            flag('p', "pid", "This process alone", To::Process).value("PID"),
            EVERY,
            DURATION,
            flag('T', "top", "So many of the most: 10", To::Shown).value("COUNT"),
            flag('x', "failures", "Failed ones alone", To::Parameter),
            flag('e', "errno", "With this error alone, by its number", To::Parameter)
                .value("ERRNO"),
            flag('L', "latency", "A column for their time", To::Parameter),
            flag('m', "milliseconds", "Milliseconds instead of microseconds", To::Shown),
            flag('P', "process", "By process", To::Parameter),
        ],
        ways: &[way(
            &[
                Hook::Tracepoint("raw_syscalls", "sys_enter"),
                Hook::Tracepoint("raw_syscalls", "sys_exit"),
            ],
            script!("syscount"),
        )],
        shape: Shape::Counts(Counted::Calls),
        tree: true,
        nearest: "",
    },
    Tool {
        name: "tcpconnect",
        about: "Connections that processes make",
        flags: &[
            flag('t', "timestamp", "A column for seconds since the start", To::Shown),
            PID,
            flag('P', "port", "These remote ports alone", To::Shown).value("PORT,..."),
            IPV4,
            IPV6,
            flag('L', "lport", "A column for the local port", To::Parameter),
            PRINT_UID,
            UID,
            flag('c', "count", "Connections counted, by addresses and port", To::Shown),
        ],
        ways: &[way(&[Hook::Tracepoint("sock", "inet_sock_set_state")], script!("tcpconnect"))],
        shape: Shape::Rows { columns: TCPCONNECT, banner: "Tracing connect ... Hit Ctrl-C to end" },
        tree: true,
        nearest: "",
    },
    Tool {
        name: "tcplife",
        about: "Connections when they end: how long they were, and what they moved",
        flags: &[
            flag('T', "time", "A column for the time", To::Shown),
            flag('t', "timestamp", "A column for seconds since the start", To::Shown),
            flag('s', "csv", "Fields with commas between them", To::Shown),
            PID,
            flag('L', "localport", "These local ports alone", To::Shown).value("PORT,..."),
            flag('D', "remoteport", "These remote ports alone", To::Shown).value("PORT,..."),
            IPV4,
            IPV6,
        ],
        ways: &[way(&[Hook::Tracepoint("sock", "inet_sock_set_state")], script!("tcplife"))],
        shape: Shape::Rows { columns: TCPLIFE, banner: "" },
        tree: false,
        nearest: "",
    },
    Tool {
        name: "tcpretrans",
        about: "Segments that TCP sends again",
        flags: &[
            flag('s', "sequence", "A column for the sequence number", To::Shown),
            flag('c', "count", "Counted, by connection", To::Shown),
            IPV4,
            IPV6,
        ],
        ways: &[Way {
            hooks: &[Hook::Tracepoint("tcp", "tcp_retransmit_skb")],
            script: script!("tcpretrans"),
            without: "loss probes (-l) have no tracepoint",
        }],
        shape: Shape::Rows {
            columns: TCPRETRANS,
            banner: "Tracing retransmits ... Hit Ctrl-C to end",
        },
        tree: false,
        nearest: "",
    },
    Tool {
        name: "trace",
        about: "A line for each hit of a probe: 'p:lib:fn (condition) \"format\", values'",
        flags: &[
            word("pattern", "[p|r|t|u]:where:what [(condition)] [\"format\", values]", To::Pattern)
                .value("PROBE"),
            flag('p', "pid", "This process alone", To::Process).value("PID"),
            flag('t', "timestamp", "A column for seconds since the start", To::Shown),
            flag('T', "time", "A column for the time", To::Shown),
            flag('C', "print_cpu", "A column for the processor", To::Shown),
            flag('M', "max-events", "End after so many", To::Shown).value("COUNT"),
            flag('n', "name", "Processes of this name alone", To::Shown).value("NAME"),
            flag('K', "kernel-stack", "The kernel's stack too", To::Shown),
            flag('U', "user-stack", "The program's stack too", To::Shown),
        ],
        ways: &[way(&[Hook::Patterns], "")],
        shape: Shape::Lines { banner: "" },
        tree: true,
        nearest: "",
    },
];

const EXECSNOOP: &[Column] = &[
    column("TIME", 9, "ns", How::Clock).tight().when("time"),
    column("TIME(s)", 8, "ns", How::Since(3)).tight().when("timestamp"),
    column("UID", 6, "uid", How::Plain).tight().when("print-uid"),
    column("COMM", 16, "comm", How::Plain),
    column("PID", 7, "pid", How::Plain),
    column("PCOMM", 16, "pcomm", How::Plain).when("print-pcomm"),
    column("PPID", 7, "ppid", How::Plain),
    column("CPU", 4, "cpu", How::Plain).when("print-cpu"),
    column("RET", 3, "ret", How::Plain).right(),
    column("ARGS", 0, "args", How::Arguments),
];

const OPENSNOOP: &[Column] = &[
    column("TIME(s)", 14, "ns", How::Since(9)).tight().when("timestamp"),
    column("UID", 6, "uid", How::Plain).tight().when("print-uid"),
    column("PID", 6, "pid", How::Plain),
    column("COMM", 16, "comm", How::Plain),
    column("FD", 4, "ret", How::Descriptor).right(),
    column("ERR", 3, "ret", How::Errno).right(),
    column("FLAGS", 8, "flags", How::Octal(8)).when("extended_fields"),
    column("MODE", 4, "mode", How::OpenMode).when("extended_fields"),
    column("PATH", 0, "path", How::Plain),
];

const BIOSNOOP: &[Column] = &[
    column("TIME(s)", 11, "ns", How::Since(6)),
    column("COMM", 14, "comm", How::Plain).cut(),
    column("PID", 7, "pid", How::Plain),
    column("DISK", 9, "disk", How::Plain),
    column("T", 1, "flags", How::Operation),
    column("SECTOR", 10, "sector", How::Plain),
    column("BYTES", 7, "bytes", How::Plain),
    column("QUE(ms)", 7, "queued", How::Milliseconds).right().when("queue"),
    column("LAT(ms)", 7, "took", How::Milliseconds).right(),
];

const CAPABLE: &[Column] = &[
    column("TIME", 9, "ns", How::Clock),
    column("UID", 6, "uid", How::Plain),
    column("PID", 6, "pid", How::Plain),
    column("TID", 6, "tid", How::Plain).when("extra"),
    column("COMM", 16, "comm", How::Plain),
    column("CAP", 4, "cap", How::Plain),
    column("NAME", 20, "cap", How::Capability),
    column("AUDIT", 6, "audit", How::Plain),
    column("INSETID", 0, "insetid", How::Plain).when("extra"),
];

const DCSNOOP: &[Column] = &[
    column("TIME(s)", 11, "ns", How::Since(6)),
    column("PID", 7, "pid", How::Plain),
    column("COMM", 16, "comm", How::Plain),
    column("T", 1, "kind", How::Plain),
    column("FILE", 0, "file", How::Plain),
];

const DDDOS: &[Column] =
    &[column("TIME(s)", 26, "ns", How::Date), column("MESSAGE", 0, "count", How::Alert)];

const EXT4SLOWER: &[Column] = &[
    column("TIME", 8, "ns", How::Clock),
    column("COMM", 14, "comm", How::Plain).cut(),
    column("PID", 7, "pid", How::Plain),
    column("T", 1, "kind", How::Plain),
    column("BYTES", 7, "bytes", How::Plain),
    column("OFF_KB", 8, "offset", How::Kilobytes),
    column("LAT(ms)", 7, "took", How::Milliseconds).right(),
    column("FILENAME", 0, "file", How::File),
];

const TCPCONNECT: &[Column] = &[
    column("TIME(s)", 9, "ns", How::Since(3)).tight().when("timestamp"),
    column("UID", 6, "uid", How::Plain).tight().when("print-uid"),
    column("PID", 7, "pid", How::Plain),
    column("COMM", 12, "comm", How::Plain).cut(),
    column("IP", 2, "ip", How::Plain),
    column("SADDR", 16, "saddr", How::Plain),
    column("LPORT", 6, "sport", How::Plain).when("lport"),
    column("DADDR", 16, "daddr", How::Plain),
    column("DPORT", 0, "dport", How::Plain),
];

const TCPLIFE: &[Column] = &[
    column("TIME", 8, "ns", How::Clock).when("time"),
    column("TIME(s)", 9, "ns", How::Since(6)).when("timestamp"),
    column("PID", 5, "pid", How::Plain),
    column("COMM", 10, "comm", How::Plain).cut(),
    column("LADDR", 15, "saddr", How::Plain),
    column("LPORT", 5, "sport", How::Plain),
    column("RADDR", 15, "daddr", How::Plain),
    column("RPORT", 5, "dport", How::Plain),
    column("TX_KB", 5, "sent", How::Kilobytes).right(),
    column("RX_KB", 5, "received", How::Kilobytes).right(),
    column("MS", 0, "took", How::Milliseconds),
];

const TCPRETRANS: &[Column] = &[
    column("TIME", 8, "ns", How::Clock),
    column("PID", 7, "pid", How::Plain),
    column("IP", 2, "ip", How::Plain),
    column("LADDR:LPORT", 20, "saddr", How::Endpoint("sport")),
    column("T>", 2, "kind", How::Arrow),
    column("RADDR:RPORT", 20, "daddr", How::Endpoint("dport")),
    column("STATE", 12, "state", How::TcpState),
    column("SEQ", 0, "seq", How::Plain).when("sequence"),
];
