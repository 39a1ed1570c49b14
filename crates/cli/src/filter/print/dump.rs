//! Bytes of packets below their lines: `-x`, `-X`, `-A`, with the link header where the
//! letter stands twice.

use std::fmt::Write as _;

/// What is shown of the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dump {
    /// As hexadecimal numbers.
    pub hex: bool,
    /// As text.
    pub text: bool,
    /// With the link header.
    pub link: bool,
}

const LINE: usize = 16;

/// Columns of the hexadecimal numbers of a line.
const COLUMNS: usize = 39;

impl Dump {
    /// Adds lines; the link header has so many bytes.
    pub fn print(self, data: &[u8], link: usize, out: &mut String) {
        let data = if self.link { data } else { data.get(link..).unwrap_or_default() };
        if !self.hex {
            for &byte in data {
                out.push(match byte {
                    b'\t' | b'\n' | b' '..=b'~' => byte as char,
                    _ => '.',
                });
            }
            out.push('\n');
            return;
        }
        for (index, line) in data.chunks(LINE).enumerate() {
            let words: Vec<String> = line
                .chunks(2)
                .map(|pair| pair.iter().map(|byte| format!("{byte:02x}")).collect())
                .collect();
            let words = words.join(" ");
            let _ = match self.text {
                true => {
                    let text: String = line
                        .iter()
                        .map(|&byte| if byte.is_ascii_graphic() { byte as char } else { '.' })
                        .collect();
                    writeln!(out, "\t0x{:04x}:  {words:COLUMNS$}  {text}", index * LINE)
                }
                false => writeln!(out, "\t0x{:04x}:  {words}", index * LINE),
            };
        }
    }
}
