//! Loads a program into the running Linux and gives its verifier's log.

use std::sync::Arc;

use skep_abi::{AttachType, Errno, ProgType};
use skep_isa::{Insn, Slot, assemble, encode};
use skep_sys::{Command, Fd, Kernel, Linux, Output, ProgLoad};

/// Number 0, which stands for no attach type too.
pub const NO_ATTACH_TYPE: AttachType = AttachType::CgroupInetIngress;

/// What Linux said of a program.
pub struct Answer {
    /// Whether it was loaded, or why not.
    pub result: Result<(), Errno>,
    /// The verifier's log.
    pub log: String,
}

/// The running Linux, if it lets us load programs.
pub struct Probe {
    kernel: Arc<dyn Kernel>,
}

impl Probe {
    /// `None`, and a word about it, where `bpf(2)` is not permitted.
    pub fn new() -> Option<Probe> {
        let probe = Probe { kernel: Arc::new(Linux::new()) };
        let program = assemble("r0 = 0\nexit").expect("assembles");
        let answer = probe.load(ProgType::SocketFilter, NO_ATTACH_TYPE, 0, &program);
        match answer.result {
            Ok(()) => Some(probe),
            Err(errno) => {
                println!("skipped: BPF_PROG_LOAD: {errno}");
                None
            }
        }
    }

    /// Loads the program, closes it, and gives the log at level 2.
    pub fn load(
        &self,
        prog_type: ProgType,
        attach_type: AttachType,
        prog_flags: u32,
        program: &[Insn],
    ) -> Answer {
        let bytes = Slot::join(&encode(program));
        let mut log = vec![0; 1 << 20];
        let mut command = Command::ProgLoad(Box::new(ProgLoad {
            prog_type: prog_type as u32,
            insn_cnt: program.len() as u32,
            insns: Some(bytes[..].into()),
            license: Some(b"GPL\0"[..].into()),
            log_level: 2,
            log_size: log.len() as u32,
            log_buf: Output::Slice(&mut log),
            prog_flags,
            expected_attach_type: attach_type as u32,
            ..ProgLoad::default()
        }));
        let result = Fd::open(&self.kernel, &mut command).map(drop);
        let end = log.iter().position(|byte| *byte == 0).unwrap_or(log.len());
        Answer { result, log: String::from_utf8_lossy(&log[..end]).into_owned() }
    }
}
