//! Many functions of a file by one link, with a cookie for each.

use std::path::PathBuf;

use skep_abi::AttachType;
use skep_abi::flags::multi;
use skep_sys::{Command, Input, LinkCreateUprobes};

use crate::error::LinkErrorKind as Kind;
use crate::load::Program;

use super::hook::Hook;
use super::link::Link;
use super::pattern::Pattern;
use super::symbols;
use super::uprobe::{Spot, path_text};

/// One of the places of [`Uprobes`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Point {
    /// Where.
    pub spot: Spot,
    /// What `bpf_get_attach_cookie` gives there.
    pub cookie: u64,
    /// Where in the file the counter is that the kernel raises while somebody looks; 0 for
    /// none.
    pub ref_ctr_offset: u64,
}

/// Probes of many places of a file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Uprobes {
    file: PathBuf,
    points: Vec<Point>,
    pattern: Option<Pattern>,
    is_return: bool,
    pid: Option<u32>,
}

impl Uprobes {
    /// No place yet of this file.
    pub fn new(file: impl Into<PathBuf>) -> Uprobes {
        let file = file.into();
        Uprobes { file, points: Vec::new(), pattern: None, is_return: false, pid: None }
    }

    /// A function, too.
    pub fn function(self, name: impl Into<String>, cookie: u64) -> Uprobes {
        self.point(Point { spot: Spot::Function(name.into(), 0), cookie, ref_ctr_offset: 0 })
    }

    /// A place, too.
    pub fn point(mut self, point: Point) -> Uprobes {
        self.points.push(point);
        self
    }

    /// All functions that a pattern means, too.
    pub fn matching(mut self, pattern: Pattern) -> Uprobes {
        self.pattern = Some(pattern);
        self
    }

    /// At the functions' returns. (A program of a session is run at both.)
    pub fn at_return(mut self) -> Uprobes {
        self.is_return = true;
        self
    }

    /// In this process alone.
    pub fn of_process(mut self, pid: u32) -> Uprobes {
        self.pid = Some(pid);
        self
    }

    /// Where in the file each place is, with its cookie and its counter.
    fn places(&self, path: &std::path::Path) -> Result<Vec<(u64, u64, u64)>, Kind> {
        let mut places = Vec::new();
        for point in &self.points {
            let offset = match &point.spot {
                Spot::Offset(offset) => *offset,
                Spot::Function(name, behind) => symbols::offset_of(path, name)
                    .map_err(Kind::Missing)?
                    .checked_add(*behind)
                    .ok_or_else(|| Kind::Missing("no such offset".into()))?,
            };
            places.push((offset, point.cookie, point.ref_ctr_offset));
        }
        if let Some(pattern) = &self.pattern {
            let found = symbols::matching(path, pattern).map_err(Kind::Missing)?;
            places.extend(found.into_iter().map(|function| (function.offset, 0, 0)));
        }
        if places.is_empty() {
            let what = self.pattern.as_ref().map_or("", |pattern| pattern.as_str());
            return Err(Kind::Missing(format!("no function is meant by {what:?}")));
        }
        Ok(places)
    }
}

impl Hook for Uprobes {
    fn place(&self) -> String {
        let many = match (&self.pattern, self.points.len()) {
            (Some(pattern), _) => pattern.as_str().to_owned(),
            (None, many) => format!("{many} functions"),
        };
        format!("uprobes of {}: {many}", self.file.display())
    }

    fn link(&self, program: &Program) -> Result<Link, Kind> {
        let path = symbols::resolve(&self.file).map_err(Kind::Missing)?;
        let places = self.places(&path)?;
        let session = Some(AttachType::TraceUprobeSession);
        let attach_type = match program.def().attach_type {
            kind if kind == session => AttachType::TraceUprobeSession,
            _ => AttachType::TraceUprobeMulti,
        };
        let all = |of: fn(&(u64, u64, u64)) -> u64| -> Input<'_> {
            let longs: Vec<u8> = places.iter().flat_map(|place| of(place).to_ne_bytes()).collect();
            longs.iter().any(|&byte| byte != 0).then(|| longs.into())
        };
        let offsets: Vec<u8> = places.iter().flat_map(|place| place.0.to_ne_bytes()).collect();
        let mut command = Command::LinkCreateUprobes(LinkCreateUprobes {
            prog_fd: program.fd().raw() as u32,
            attach_type: attach_type as u32,
            path: Some(path_text(&path)?.into_bytes_with_nul().into()),
            offsets: Some(offsets.into()),
            cookies: all(|place| place.1),
            ref_ctr_offsets: all(|place| place.2),
            cnt: places.len() as u32,
            multi_flags: if self.is_return { multi::RETURN } else { 0 },
            pid: self.pid.unwrap_or(0),
            ..LinkCreateUprobes::default()
        });
        Link::create(program, &mut command)
    }
}
