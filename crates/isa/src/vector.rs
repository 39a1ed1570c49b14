//! Conformance vectors: the `.data` files of the BPF conformance suite and of uBPF.
//!
//! A file has sections, each opened by a line `-- name`: `asm` (in mnemonics) or `raw`
//! (slots as 64-bit numbers) is the program, `mem` its memory in hex bytes, `result`
//! what it leaves in r0 or `error` why it fails. The program starts with r1 pointing
//! to the memory and r2 holding its length. Other sections are remarks.

use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::{AsmError, DecodeError, Insn, Slot, assemble, decode};

/// A program with its input and outcome.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Vector {
    /// The program.
    pub insns: Vec<Insn>,
    /// The bytes that r1 points to; r2 holds their number.
    pub memory: Vec<u8>,
    /// How it ends.
    pub expected: Expected,
}

/// How a program ends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Expected {
    /// With this value in r0.
    Result(u64),
    /// With an error; the text is of the suite's own engine.
    Error(String),
}

/// Why a text is no vector.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum VectorError {
    /// The program does not assemble; lines are those of the file.
    #[error(transparent)]
    Asm(#[from] AsmError),
    /// The raw slots do not decode.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// A number that is none, with its line in the file.
    #[error("line {line}: expected {what}, found `{found}`")]
    Number {
        /// Counted from 1.
        line: u32,
        /// What was expected.
        what: &'static str,
        /// What stands there.
        found: String,
    },
    /// Neither `asm` nor `raw`.
    #[error("no program: neither section `asm` nor `raw`")]
    NoProgram,
    /// Neither `result` nor `error`.
    #[error("no outcome: neither section `result` nor `error`")]
    NoOutcome,
    /// `asm` and `raw` are different programs.
    #[error("sections `asm` and `raw` are different programs")]
    Differ,
}

/// Reads a vector.
///
/// # Errors
/// What is wrong with the text.
pub fn parse(text: &str) -> Result<Vector, VectorError> {
    let (mut asm, mut raw, mut memory) = (None, None, Vec::new());
    let mut expected = None;
    let mut section = "";
    // The assembly keeps its place in the file, so that errors name the file's lines.
    let mut blank = String::new();
    for (line, number) in text.lines().zip(1..) {
        let line = line.trim_end();
        if let Some(name) = line.strip_prefix("--") {
            section = name.trim();
            match section {
                "asm" => asm = Some(blank.clone() + "\n"),
                "raw" => raw = Some(Vec::new()),
                _ => {}
            }
        } else if let ("asm", Some(asm)) = (section, &mut asm) {
            asm.push_str(line);
            asm.push('\n');
        } else if let ("raw", Some(raw)) = (section, &mut raw) {
            for word in line.split_whitespace() {
                let slot = integer(word, number)?;
                raw.push(Slot::from_bytes(slot.to_le_bytes()));
            }
        } else if section == "mem" {
            for word in line.split_whitespace() {
                let byte = u8::from_str_radix(word, 16);
                memory.push(byte.map_err(|_| mistake(number, "a byte in hex", word))?);
            }
        } else if let ("result", Some(word)) = (section, line.split_whitespace().next()) {
            expected = Some(Expected::Result(integer(word, number)?));
        } else if section == "error" && !line.is_empty() {
            expected = Some(Expected::Error(line.into()));
        }
        blank.push('\n');
    }
    let asm = asm.map(|text| assemble(&text)).transpose()?;
    let raw = raw.map(|slots| decode(&slots)).transpose()?;
    let insns = match (asm, raw) {
        (Some(asm), Some(raw)) if asm != raw => return Err(VectorError::Differ),
        (Some(insns), _) | (None, Some(insns)) => insns,
        (None, None) => return Err(VectorError::NoProgram),
    };
    let expected = expected.ok_or(VectorError::NoOutcome)?;
    Ok(Vector { insns, memory, expected })
}

/// The folder of vectors: `$SKEP_CONFORMANCE`, or `shared/conformance` beside the
/// workspace; `None` where there is none.
pub fn folder(workspace: &Path) -> Option<PathBuf> {
    let folder = match std::env::var_os("SKEP_CONFORMANCE") {
        Some(folder) => folder.into(),
        None => workspace.join("../shared/conformance"),
    };
    folder.is_dir().then_some(folder)
}

/// The vectors of a folder with the names of their files, sorted.
///
/// # Errors
/// The folder or a file cannot be read, or (kind `InvalidData`) a file is no vector;
/// the message names it.
pub fn read_folder(folder: &Path) -> io::Result<Vec<(String, Vector)>> {
    let mut vectors = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "data") {
            continue;
        }
        let vector = parse(&fs::read_to_string(&path)?).map_err(|error| {
            io::Error::new(io::ErrorKind::InvalidData, format!("{}: {error}", path.display()))
        })?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        vectors.push((name, vector));
    }
    vectors.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(vectors)
}

fn integer(word: &str, line: u32) -> Result<u64, VectorError> {
    let value = match word.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => word.parse(),
    };
    value.map_err(|_| mistake(line, "a 64-bit number", word))
}

fn mistake(line: u32, what: &'static str, found: &str) -> VectorError {
    VectorError::Number { line, what, found: found.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vector_has_a_program_memory_and_an_outcome() {
        let text = "# remark\n-- c\nint x;\n-- asm\nmov %r0, 1 # one\n\nexit\n-- mem\nff 0a\n01\n\
                    -- result\n0x1\n-- no register offset\ncall instruction\n";
        let vector = parse(text).unwrap();
        assert_eq!(vector.insns, assemble("r0 = 1\nexit").unwrap());
        assert_eq!(vector.memory, [0xff, 0x0a, 0x01]);
        assert_eq!(vector.expected, Expected::Result(1));
        let raw = "-- raw\n0x00000001000000b7\n0x95\n-- error\ndivision by zero\n";
        let vector = parse(raw).unwrap();
        assert_eq!(vector.insns, assemble("r0 = 1\nexit").unwrap());
        assert_eq!(vector.expected, Expected::Error("division by zero".into()));
    }

    #[test]
    fn errors_name_the_line_of_the_file() {
        for (text, expected) in [
            ("-- asm\nexit\n", "no outcome: neither section `result` nor `error`"),
            ("-- result\n1\n", "no program: neither section `asm` nor `raw`"),
            ("-- result\nx\n", "line 2: expected a 64-bit number, found `x`"),
            ("-- mem\n00\n123\n", "line 3: expected a byte in hex, found `123`"),
            (
                "\n-- asm\nexit\nmov %r0\n",
                "line 4, column 8: expected `,`, found the end of the line",
            ),
            (
                "-- asm\nexit\n-- raw\n0x00000001000000b7\n",
                "sections `asm` and `raw` are different programs",
            ),
            ("-- raw\n0xff\n", "insn 0: opcode 0xff: no such instruction"),
        ] {
            assert_eq!(parse(text).unwrap_err().to_string(), expected, "{text}");
        }
    }
}
