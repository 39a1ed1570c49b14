//! Many functions of the kernel by one link, with a cookie for each.

use skep_abi::AttachType;
use skep_abi::flags::multi;
use skep_sys::host::tracefs::Tracefs;
use skep_sys::{Command, LinkCreateKprobes};

use crate::error::LinkErrorKind as Kind;
use crate::load::Program;

use super::hook::Hook;
use super::link::Link;
use super::pattern::Pattern;

/// Probes of many functions of the kernel.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Kprobes {
    functions: Vec<(String, u64)>,
    pattern: Option<Pattern>,
    is_return: bool,
}

impl Kprobes {
    /// None yet.
    pub fn new() -> Kprobes {
        Kprobes::default()
    }

    /// A function, too, with what `bpf_get_attach_cookie` gives there.
    pub fn function(mut self, name: impl Into<String>, cookie: u64) -> Kprobes {
        self.functions.push((name.into(), cookie));
        self
    }

    /// All functions that a pattern means and that can be probed, too.
    pub fn matching(mut self, pattern: Pattern) -> Kprobes {
        self.pattern = Some(pattern);
        self
    }

    /// At their returns. (A program of a session is run at both.)
    pub fn at_return(mut self) -> Kprobes {
        self.is_return = true;
        self
    }

    fn all(&self) -> Result<Vec<(String, u64)>, Kind> {
        let mut all = self.functions.clone();
        if let Some(pattern) = &self.pattern {
            let text = Tracefs::open()
                .and_then(|tracefs| tracefs.read("available_filter_functions"))
                .map_err(|error| Kind::Missing(format!("the list of functions: {error}")))?;
            let names = text.lines().filter_map(|line| line.split_ascii_whitespace().next());
            let mut names: Vec<&str> = names.filter(|name| pattern.matches(name)).collect();
            names.sort_unstable();
            // A name that several functions have means none of them.
            let once = names.chunk_by(|one, other| one == other).filter(|of| of.len() == 1);
            all.extend(once.map(|of| (of[0].to_owned(), 0)));
        }
        if all.is_empty() {
            return Err(Kind::Missing("no function is meant".into()));
        }
        Ok(all)
    }
}

impl Hook for Kprobes {
    fn place(&self) -> String {
        match (&self.pattern, self.functions.len()) {
            (Some(pattern), _) => format!("kprobes {}", pattern.as_str()),
            (None, many) => format!("kprobes of {many} functions"),
        }
    }

    fn link(&self, program: &Program) -> Result<Link, Kind> {
        let all = self.all()?;
        let session = Some(AttachType::TraceKprobeSession);
        let attach_type = match program.def().attach_type {
            kind if kind == session => AttachType::TraceKprobeSession,
            _ => AttachType::TraceKprobeMulti,
        };
        let names: Vec<u8> = all.iter().flat_map(|(name, _)| name.bytes().chain([0])).collect();
        let cookies: Vec<u8> = all.iter().flat_map(|(_, cookie)| cookie.to_ne_bytes()).collect();
        let has_cookies = cookies.iter().any(|&byte| byte != 0);
        let mut command = Command::LinkCreateKprobes(LinkCreateKprobes {
            prog_fd: program.fd().raw() as u32,
            attach_type: attach_type as u32,
            cnt: all.len() as u32,
            syms: Some(names.into()),
            cookies: has_cookies.then(|| cookies.into()),
            multi_flags: if self.is_return { multi::RETURN } else { 0 },
            ..LinkCreateKprobes::default()
        });
        Link::create(program, &mut command)
    }
}
