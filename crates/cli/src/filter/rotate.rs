//! Captures written while they grow: one file, or one after the other by size (`-C`), by
//! time (`-G`), in a circle or up to a number (`-W`), with a command for each that is
//! complete (`-z`). Names and their order are tcpdump's.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use super::Live;
use super::capture::Packet;
use super::print::date;
use crate::failure::Failure;
use crate::files::in_file;

/// Bytes that `-C` counts.
const MEGABYTE: u64 = 1_000_000;

/// Files of a capture.
pub struct Files {
    path: PathBuf,
    /// Bytes after which the next file begins.
    size: Option<u64>,
    /// Seconds after which it does.
    seconds: Option<u64>,
    /// How many there are.
    most: Option<u64>,
    command: Option<String>,
    at_once: bool,
    link: u16,
    snaplen: u32,
    number: u64,
    rounds: u64,
    began: u64,
    current: Current,
}

/// The file that is written.
struct Current {
    path: PathBuf,
    out: BufWriter<Box<dyn Write>>,
    written: u64,
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

impl Files {
    /// Opens the first one.
    pub fn new(path: &Path, live: &Live, link: u16, snaplen: u32) -> Result<Files, Failure> {
        let began = now();
        let size = live.file_size.map(|megabytes| megabytes.saturating_mul(MEGABYTE));
        let mut files = Files {
            path: path.into(),
            size,
            seconds: live.rotate_seconds,
            most: live.file_count.filter(|&count| count > 0),
            command: live.postrotate.clone(),
            at_once: live.packet_buffered,
            link,
            snaplen,
            number: 0,
            rounds: 0,
            began,
            current: Current {
                path: path.into(),
                out: BufWriter::new(Box::new(io::sink())),
                written: 0,
            },
        };
        files.open()?;
        Ok(files)
    }

    /// The name of the file that comes next.
    fn name(&self) -> PathBuf {
        let base = match self.seconds {
            Some(_) => strftime(&self.path.to_string_lossy(), self.began),
            None => self.path.to_string_lossy().into_owned(),
        };
        // As many digits as the largest number has.
        let digits = match (self.size, self.most) {
            (Some(_), Some(most)) if most > 1 => (most - 1).to_string().len(),
            _ => 0,
        };
        match (self.number, digits) {
            (0, 0) => base.into(),
            (number, digits) => format!("{base}{number:0digits$}").into(),
        }
    }

    fn open(&mut self) -> Result<(), Failure> {
        let path = self.name();
        let out: Box<dyn Write> = match path.as_os_str() == "-" {
            true => Box::new(io::stdout()),
            false => {
                let failed = |error| in_file(&path, format!("cannot be written: {error}"));
                Box::new(File::create(&path).map_err(failed)?)
            }
        };
        let mut out = BufWriter::with_capacity(1 << 16, out);
        let mut header = Vec::with_capacity(24);
        for word in [0xa1b2_c3d4, 0x0004_0002, 0, 0, self.snaplen, self.link.into()] {
            header.extend(word.to_ne_bytes());
        }
        // The two halves of the version stand in their own order.
        header[4..6].copy_from_slice(&2u16.to_ne_bytes());
        header[6..8].copy_from_slice(&4u16.to_ne_bytes());
        let written = header.len() as u64;
        let result = out.write_all(&header).and_then(|()| out.flush());
        result.map_err(|error| in_file(&path, format!("cannot be written: {error}")))?;
        self.current = Current { path, out, written };
        Ok(())
    }

    /// Ends the file that is written, and has the command see it.
    fn close(&mut self) -> Result<(), Failure> {
        let flushed = self.current.out.flush();
        let path = &self.current.path;
        flushed.map_err(|error| in_file(path, format!("cannot be written: {error}")))?;
        if let Some(command) = &self.command {
            // It is not waited for, as packets go on.
            if let Err(error) = Command::new(command).arg(path).spawn() {
                let message = format!("{command:?} cannot be run: {error}");
                return Err(Failure::unusable(message).hint("-z names a program"));
            }
        }
        Ok(())
    }

    /// Adds a packet; false where all files are full.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn write(&mut self, packet: &Packet<'_>) -> Result<bool, Failure> {
        if let Some(seconds) = self.seconds {
            let time = now();
            if time.saturating_sub(self.began) >= seconds {
                self.began = time;
                self.rounds += 1;
                if self.size.is_none() && self.most.is_some_and(|most| self.rounds >= most) {
                    return Ok(false);
                }
                self.close()?;
                self.number = 0;
                self.open()?;
            }
        }
        if self.size.is_some_and(|size| self.current.written > size) {
            self.close()?;
            self.number += 1;
            if self.most.is_some_and(|most| self.number >= most) {
                self.number = 0;
            }
            self.open()?;
        }
        let (seconds, part) = (packet.time / 1_000_000_000, packet.time % 1_000_000_000 / 1000);
        let mut record = [0; 16];
        let words = [seconds as u32, part as u32, packet.data.len() as u32, packet.len];
        for (field, word) in record.chunks_exact_mut(4).zip(words) {
            field.copy_from_slice(&word.to_ne_bytes());
        }
        let current = &mut self.current;
        current.written += (record.len() + packet.data.len()) as u64;
        let mut result = current.out.write_all(&record);
        result = result.and_then(|()| current.out.write_all(packet.data));
        if self.at_once {
            result = result.and_then(|()| current.out.flush());
        }
        result.map_err(|error| in_file(&current.path, format!("cannot be written: {error}")))?;
        Ok(true)
    }

    /// Ends the last one.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn finish(mut self) -> Result<(), Failure> {
        let path = self.current.path.clone();
        let flushed = self.current.out.flush();
        flushed.map_err(|error| in_file(&path, format!("cannot be written: {error}")))
    }
}

/// A name with the parts of a time (UTC) in it: `%Y%m%d%H%M%S` and their like.
fn strftime(name: &str, time: u64) -> String {
    let (year, month, day) = date(time / 86_400);
    let (hour, minute, second) = (time / 3600 % 24, time / 60 % 60, time % 60);
    let mut out = String::new();
    let mut letters = name.chars();
    while let Some(letter) = letters.next() {
        if letter != '%' {
            out.push(letter);
            continue;
        }
        let _ = match letters.next() {
            Some('Y') => write!(out, "{year:04}"),
            Some('y') => write!(out, "{:02}", year % 100),
            Some('m') => write!(out, "{month:02}"),
            Some('d') => write!(out, "{day:02}"),
            Some('H') => write!(out, "{hour:02}"),
            Some('M') => write!(out, "{minute:02}"),
            Some('S') => write!(out, "{second:02}"),
            Some('s') => write!(out, "{time}"),
            Some('F') => write!(out, "{year:04}-{month:02}-{day:02}"),
            Some('T') => write!(out, "{hour:02}:{minute:02}:{second:02}"),
            Some('%') => write!(out, "%"),
            Some(other) => write!(out, "%{other}"),
            None => write!(out, "%"),
        };
    }
    out
}
