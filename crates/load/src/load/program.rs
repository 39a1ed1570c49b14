//! A live program, and how it gets there.
//!
//! Counterpart: libbpf's `bpf_object_load_prog`.

use std::sync::Arc;

use skep_abi::{Diagnostic, Errno, ProgType, SectionTarget};
use skep_btf::{Btf, Kind as TypeKind};
use skep_isa::Slot;
use skep_sys::{
    BtfInfo, Command, Fd, GetById, Kernel, ObjectKind, Output, ProgInfo, ProgLoad, TestRun,
};

use super::{Map, Options, kernel_name};
use crate::error::{AccessError, LoadError, LoadErrorKind as Kind};
use crate::object::ProgramDef;
use crate::relocate::{Linked, LinkedProgram, Poisoned};
use crate::target::Target;

/// A program of a kernel. Clones are handles to the same program.
#[derive(Clone, Debug)]
pub struct Program(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    fd: Fd,
    linked: LinkedProgram,
    log: String,
}

impl Program {
    /// Its name, in full.
    pub fn name(&self) -> &str {
        &self.0.linked.def.name
    }

    /// Its definition.
    pub fn def(&self) -> &ProgramDef {
        &self.0.linked.def
    }

    /// What was loaded; references to maps are still symbolic in it.
    pub fn linked(&self) -> &LinkedProgram {
        &self.0.linked
    }

    /// Its file descriptor.
    pub fn fd(&self) -> &Fd {
        &self.0.fd
    }

    /// The verifier's log, if one was asked for.
    pub fn log(&self) -> &str {
        &self.0.log
    }

    /// Runs it once on a frame by BPF_PROG_TEST_RUN, which is the same in every kernel. The
    /// context is that of the frame. (`PacketHook` of the embedded kernel is faster, and
    /// has none of the limits of TEST_RUN.)
    ///
    /// # Errors
    /// The kernel does not take such a frame, or the program was stopped.
    pub fn run(&self, frame: &[u8]) -> Result<Ran, AccessError> {
        // What a program adds in front of or behind a frame is less than a page each.
        let mut packet = vec![0; frame.len() + 2 * 4096];
        let (run, result) = self.test_run(TestRun {
            data_in: Some(frame.into()),
            data_size_in: u32::try_from(frame.len()).unwrap_or(u32::MAX),
            data_size_out: u32::try_from(packet.len()).unwrap_or(u32::MAX),
            data_out: packet.as_mut_slice().into(),
            ..TestRun::default()
        });
        let (retval, size, diagnostic) = (run.retval, run.data_size_out, run.diagnostic.clone());
        drop(run);
        match result {
            Ok(()) => {
                packet.truncate(size as usize);
                Ok(Ran { retval, packet })
            }
            Err(errno) => {
                let (name, diagnostic) = (self.name().into(), diagnostic.map(Box::new));
                Err(AccessError::Run { name, errno, diagnostic })
            }
        }
    }

    /// Runs it as BPF_PROG_TEST_RUN says; `run` receives what comes out.
    ///
    /// # Errors
    /// The kernel's errno. Why a run was stopped stands in `run.diagnostic` then.
    pub fn test_run<'a>(&self, mut run: TestRun<'a>) -> (TestRun<'a>, Result<(), Errno>) {
        run.prog_fd = self.0.fd.raw() as u32;
        let mut command = Command::TestRun(Box::new(run));
        let result = self.0.fd.kernel().bpf(&mut command).map(drop);
        match command {
            Command::TestRun(run) => (*run, result),
            _ => (TestRun::default(), result),
        }
    }
}

/// What came of a run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ran {
    /// What the program returned.
    pub retval: u32,
    /// The frame as the program left it.
    pub packet: Vec<u8>,
}

/// What loading a program needs.
pub(super) struct Loading<'a> {
    pub linked: &'a Linked,
    pub target: &'a Target,
    pub kernel: &'a Arc<dyn Kernel>,
    pub btf: Option<&'a Fd>,
    pub maps: &'a [Option<Map>],
}

/// The first and the largest room for a verifier's log.
const LOG_ROOM: usize = 1 << 20;
const MOST_LOG_ROOM: usize = 1 << 28;

/// What a kernel said about a program that it refuses.
struct Refusal {
    errno: Errno,
    log: String,
    diagnostic: Option<Diagnostic>,
}

impl Loading<'_> {
    /// Loads a program.
    pub fn load(&self, program: &LinkedProgram, options: &Options) -> Result<Program, LoadError> {
        let name = || program.def.name.clone();
        let Some(prog_type) = program.def.prog_type else {
            let section = program.def.section.clone();
            return Err(Kind::NoType { program: name(), section }.into());
        };
        let attach = self
            .attach(program, options)
            .map_err(|reason| Kind::AttachTarget { program: name(), reason })?;
        let request = Request {
            loading: self,
            program,
            prog_type,
            attach,
            insns: self.insns(program)?,
            func_info: func_info(program),
            line_info: line_info(program),
            license: [self.linked.license.as_bytes(), &[0]].concat(),
        };
        let (fd, log) = request.send(options.log_level).map_err(|refusal| {
            let poisoned = reached(program, &refusal).cloned();
            let Refusal { errno, log, diagnostic } = *refusal;
            Kind::Program { name: name(), prog_type, errno, log, diagnostic, poisoned }
        })?;
        Ok(Program(Arc::new(Inner { fd, linked: program.clone(), log })))
    }

    /// What a program attaches to, as far as the verifier has to know it.
    fn attach(&self, program: &LinkedProgram, options: &Options) -> Result<Attach, String> {
        let def = &program.def;
        if let Some((_, target, function)) = options.targets.iter().find(|of| of.0 == def.name) {
            return self.attach_to(target, function, def);
        }
        match def.section_def.map(|def| def.target) {
            Some(SectionTarget::Program) => {
                Err("it replaces a function of another program, which has to be given".into())
            }
            Some(SectionTarget::StructOps) => {
                let mut members = self.linked.structures.iter().flat_map(|structure| {
                    structure.members.iter().map(|member| (structure.type_id, member))
                });
                match members.find(|(_, member)| member.program == program.index) {
                    Some((btf_id, member)) => {
                        Ok(Attach { btf_id, attach_type: member.index, program: 0 })
                    }
                    None => Err("no structure of operations refers to it".into()),
                }
            }
            _ => Ok(Attach {
                btf_id: self
                    .target
                    .attach_btf_id(def)
                    .map_err(|error| error.to_string())?
                    .unwrap_or(0),
                attach_type: def.attach_type.map_or(0, |of| of as u32),
                program: 0,
            }),
        }
    }

    /// A function of another program, by that one's own types.
    fn attach_to(
        &self,
        target: &Program,
        function: &str,
        def: &ProgramDef,
    ) -> Result<Attach, String> {
        let kernel = target.fd().kernel();
        if !target.fd().belongs_to(self.kernel) {
            return Err("the program that it is for is another kernel's".into());
        }
        let types = || {
            let info = ProgInfo::query(&**kernel, target.fd().raw())?;
            let get = GetById { id: info.btf_id, ..GetById::default() };
            let fd = Fd::open(kernel, &mut Command::GetById(ObjectKind::Btf, get))?;
            BtfInfo::query(&**kernel, fd.raw())
        };
        let bytes = types().map_err(|errno: Errno| {
            format!("the types of the program that it is for cannot be had: {errno}")
        })?;
        let btf = Btf::parse(bytes.btf).map_err(|error| error.to_string())?;
        let found = btf.find(function, TypeKind::Func);
        let btf_id = found
            .ok_or_else(|| format!("program {:?} has no function {function:?}", target.name()))?;
        let attach_type = def.attach_type.map_or(0, |of| of as u32);
        Ok(Attach { btf_id, attach_type, program: target.fd().raw() as u32 })
    }

    /// The instructions, with the maps' fds.
    fn insns(&self, program: &LinkedProgram) -> Result<Vec<u8>, LoadError> {
        let mut slots = program.insns.clone();
        for reference in &program.map_references {
            let map = self.maps.get(reference.map).and_then(Option::as_ref);
            if let (Some(slot), Some(map)) = (slots.get_mut(reference.at as usize), map) {
                slot.imm = map.fd().raw();
            }
        }
        Ok(Slot::join(&slots))
    }
}

/// A program's expected attach type, and the BTF id of what it attaches to.
struct Attach {
    btf_id: u32,
    attach_type: u32,
    /// The program whose function that is; 0 for the kernel.
    program: u32,
}

/// A load command, ready to be sent more than once.
struct Request<'a> {
    loading: &'a Loading<'a>,
    program: &'a LinkedProgram,
    prog_type: ProgType,
    attach: Attach,
    insns: Vec<u8>,
    func_info: Vec<u8>,
    line_info: Vec<u8>,
    license: Vec<u8>,
}

impl Request<'_> {
    /// Sends it; where it is refused without a log, again with one, and with more room
    /// while the log does not fit.
    fn send(&self, log_level: u32) -> Result<(Fd, String), Box<Refusal>> {
        let mut level = log_level;
        let mut room = if level == 0 { 0 } else { LOG_ROOM };
        loop {
            match self.send_once(level, room) {
                Err(refusal) if refusal.errno == Errno::EPERM => return Err(refusal),
                Err(_) if room == 0 => {
                    level = 1;
                    room = LOG_ROOM;
                }
                Err(refusal) if refusal.errno == Errno::ENOSPC && room < MOST_LOG_ROOM => room *= 4,
                other => return other,
            }
        }
    }

    fn send_once(&self, log_level: u32, room: usize) -> Result<(Fd, String), Box<Refusal>> {
        let def = &self.program.def;
        let mut log = vec![0; room];
        let mut load = ProgLoad {
            prog_type: self.prog_type as u32,
            insn_cnt: (self.insns.len() / Slot::SIZE) as u32,
            insns: Some(self.insns[..].into()),
            license: Some(self.license[..].into()),
            log_level,
            log_size: room as u32,
            log_buf: if room == 0 { Output::Null } else { log.as_mut_slice().into() },
            kern_version: self
                .loading
                .linked
                .kernel_version
                .or_else(|| self.loading.target.kernel_version())
                .unwrap_or(0),
            prog_flags: def.flags,
            prog_name: kernel_name(&def.name),
            expected_attach_type: self.attach.attach_type,
            attach_btf_id: self.attach.btf_id,
            attach_prog_fd: self.attach.program,
            ..ProgLoad::default()
        };
        if let Some(btf) = self.loading.btf {
            load.prog_btf_fd = btf.raw() as u32;
            if !self.func_info.is_empty() {
                load.func_info_rec_size = FUNC_INFO_SIZE as u32;
                load.func_info_cnt = (self.func_info.len() / FUNC_INFO_SIZE) as u32;
                load.func_info = Some(self.func_info[..].into());
            }
            if !self.line_info.is_empty() {
                load.line_info_rec_size = LINE_INFO_SIZE as u32;
                load.line_info_cnt = (self.line_info.len() / LINE_INFO_SIZE) as u32;
                load.line_info = Some(self.line_info[..].into());
            }
        }
        let mut command = Command::ProgLoad(Box::new(load));
        let result = Fd::open(self.loading.kernel, &mut command);
        let diagnostic = match &mut command {
            Command::ProgLoad(load) => load.diagnostic.take(),
            _ => None,
        };
        drop(command);
        let text = log.split(|&byte| byte == 0).next().unwrap_or_default();
        let log = String::from_utf8_lossy(text).into_owned();
        match result {
            Ok(fd) => Ok((fd, log)),
            Err(errno) => Err(Box::new(Refusal { errno, log, diagnostic })),
        }
    }
}

const FUNC_INFO_SIZE: usize = 8;
const LINE_INFO_SIZE: usize = 16;

fn words(words: &[u32]) -> impl Iterator<Item = u8> + use<'_> {
    words.iter().flat_map(|word| word.to_ne_bytes())
}

fn func_info(program: &LinkedProgram) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(FUNC_INFO_SIZE * program.func_info.len());
    for record in &program.func_info {
        bytes.extend(words(&[record.insn_off, record.type_id]));
    }
    bytes
}

fn line_info(program: &LinkedProgram) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(LINE_INFO_SIZE * program.line_info.len());
    for record in &program.line_info {
        let place = record.line << 10 | record.column & 0x3ff;
        bytes.extend(words(&[record.insn_off, record.file_name_off, record.line_off, place]));
    }
    bytes
}

/// The poisoned instruction that a refusal is about: by its place where the kernel
/// says one, else by the line before `invalid func unknown#NUMBER`, which starts with
/// the place.
fn reached<'a>(program: &'a LinkedProgram, refusal: &Refusal) -> Option<&'a Poisoned> {
    let from_diagnostic = refusal.diagnostic.as_ref().and_then(|diagnostic| diagnostic.pc);
    let from_log = || {
        let lines: Vec<&str> = refusal.log.lines().collect();
        let at = lines.iter().rposition(|line| line.starts_with("invalid func unknown#"))?;
        lines[..at].last()?.split(':').next()?.parse().ok()
    };
    let pc: u32 = from_diagnostic.or_else(from_log)?;
    program.poisoned.iter().find(|poisoned| poisoned.at == pc)
}
