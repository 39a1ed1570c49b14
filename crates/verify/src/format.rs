//! Format strings of `bpf_trace_printk`, `bpf_snprintf` and their siblings, read once for
//! whoever checks them and for whoever prints by them. Counterparts: `bpf_bprintf_prepare` in
//! `kernel/bpf/helpers.c`, and what `bstr_printf` in `lib/vsprintf.c` makes of the same.

/// A part of a format string.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Piece<'f> {
    /// Bytes that are printed as they are.
    Text(&'f [u8]),
    /// An argument.
    Argument(Conversion),
}

/// How an argument is printed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Conversion {
    /// `-`: to the left of its field.
    pub left: bool,
    /// `+`: a sign in any case.
    pub plus: bool,
    /// A space in the place of a plus.
    pub space: bool,
    /// `0`: zeros before it.
    pub zeros: bool,
    /// Width of its field, where one is given.
    pub width: Option<i32>,
    /// What it is.
    pub kind: Kind,
}

/// What an argument is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// `%d`, `%i`, `%u`, `%x`, `%X`, with `l` or `ll` of 8 bytes.
    Number {
        /// Of 8 bytes, not of 4.
        long: bool,
        /// With a sign.
        signed: bool,
        /// Of base 16, not 10.
        hex: bool,
        /// With capital letters.
        upper: bool,
    },
    /// `%c`.
    Char,
    /// `%s`: a string anywhere.
    Text,
    /// `%pks`: a string in the kernel's memory.
    KernelText,
    /// `%pus`: a string in a process's memory.
    UserText,
    /// `%p`, `%pK`, `%px`: a pointer itself.
    Pointer,
    /// `%ps`, `%pS`: the symbol at an address.
    Symbol,
    /// `%pB`: the same for a return address.
    Backtrace,
    /// `%pI4`, `%pi4`, `%pI6`, `%pi6`: the network address that a pointer leads to.
    Address {
        /// Of IPv6.
        six: bool,
        /// `i`: leading zeros, or no colons.
        plain: bool,
    },
}

/// Linux refuses the format.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Invalid;

/// No field is wider (`FIELD_WIDTH_MAX`).
const MOST_WIDTH: i32 = (1 << 23) - 1;

/// The parts of a format string, in order.
#[derive(Clone, Debug)]
pub struct Pieces<'f> {
    rest: &'f [u8],
    arguments: usize,
}

/// Reads a format string, up to its zero or its end, that has so many arguments.
pub fn pieces(format: &[u8], arguments: usize) -> Pieces<'_> {
    let end = format.iter().position(|&byte| byte == 0).unwrap_or(format.len());
    Pieces { rest: &format[..end], arguments }
}

/// Whether a format string is one, and takes no more arguments than there are.
pub(crate) fn is_valid(format: &[u8], arguments: usize) -> bool {
    pieces(format, arguments).all(|piece| piece.is_ok())
}

impl<'f> Pieces<'f> {
    fn take(&mut self, len: usize) -> &'f [u8] {
        let (taken, rest) = self.rest.split_at(len);
        self.rest = rest;
        taken
    }

    fn next_if(&mut self, wanted: impl FnOnce(u8) -> bool) -> Option<u8> {
        let byte = *self.rest.first()?;
        wanted(byte).then(|| self.take(1)[0])
    }

    /// Text up to the next `%`. Bytes that are not ASCII go through as they are.
    fn text(&mut self) -> Result<Piece<'f>, Invalid> {
        let end = self.rest.iter().position(|&byte| byte == b'%').unwrap_or(self.rest.len());
        let text = self.take(end);
        let plain = |byte: &u8| match byte {
            0x80.. | b' '..=b'~' | b'\t'..=b'\r' => true,
            0..b'\t' | 0x0e..b' ' | 0x7f => false,
        };
        if text.iter().all(plain) { Ok(Piece::Text(text)) } else { Err(Invalid) }
    }

    /// What is behind a `%`.
    fn argument(&mut self) -> Result<Conversion, Invalid> {
        self.arguments = self.arguments.checked_sub(1).ok_or(Invalid)?;
        let (mut left, mut plus, mut space, mut zeros) = (false, false, false, false);
        while let Some(flag) = self.next_if(|byte| b"0+- ".contains(&byte)) {
            match flag {
                b'-' => left = true,
                b'+' => plus = true,
                b' ' => space = true,
                _ => zeros = true,
            }
        }
        // Digits are those of a C `int`, which wraps.
        let mut width = None;
        while let Some(digit) = self.next_if(|byte| byte.is_ascii_digit()) {
            let digit = i32::from(digit - b'0');
            width = Some(width.unwrap_or(0i32).wrapping_mul(10).wrapping_add(digit));
        }
        let width = width.map(|width| width.clamp(-MOST_WIDTH, MOST_WIDTH));
        let kind = match self.next_if(|byte| b"psc".contains(&byte)) {
            Some(b'p') => self.pointer()?,
            Some(b's') => self.string(Kind::Text)?,
            Some(_) => Kind::Char,
            None => self.number()?,
        };
        Ok(Conversion { left, plus, space, zeros, width, kind })
    }

    fn number(&mut self) -> Result<Kind, Invalid> {
        let long = self.next_if(|byte| byte == b'l').is_some();
        if long {
            self.next_if(|byte| byte == b'l');
        }
        let number = |signed, hex, upper| Kind::Number { long, signed, hex, upper };
        match self.next_if(|byte| b"iduxX".contains(&byte)) {
            Some(b'i' | b'd') => Ok(number(true, false, false)),
            Some(b'u') => Ok(number(false, false, false)),
            Some(b'x') => Ok(number(false, true, false)),
            Some(_) => Ok(number(false, true, true)),
            None => Err(Invalid),
        }
    }

    /// Nothing that a word goes on with may follow a string's letter.
    fn string(&self, kind: Kind) -> Result<Kind, Invalid> {
        match self.rest.first() {
            Some(byte) if !ends_word(*byte) => Err(Invalid),
            _ => Ok(kind),
        }
    }

    fn pointer(&mut self) -> Result<Kind, Invalid> {
        let letter = |at: usize| self.rest.get(at).copied();
        let kind = match (letter(0), letter(1)) {
            (None, _) => Kind::Pointer,
            (Some(byte), _) if ends_word(byte) => Kind::Pointer,
            (Some(b'k'), Some(b's')) => {
                self.take(2);
                self.string(Kind::KernelText)?
            }
            (Some(b'u'), Some(b's')) => {
                self.take(2);
                self.string(Kind::UserText)?
            }
            (Some(b'K' | b'x'), _) => Kind::Pointer,
            (Some(b's' | b'S'), _) => Kind::Symbol,
            (Some(b'B'), _) => Kind::Backtrace,
            (Some(form @ (b'i' | b'I')), Some(version @ (b'4' | b'6'))) => {
                Kind::Address { six: version == b'6', plain: form == b'i' }
            }
            _ => return Err(Invalid),
        };
        // Letters and digits behind it are taken for a part of it, and not printed.
        let end = self.rest.iter().position(|byte| !byte.is_ascii_alphanumeric());
        self.take(end.unwrap_or(self.rest.len()));
        Ok(kind)
    }
}

fn ends_word(byte: u8) -> bool {
    matches!(byte, b'\t'..=b'\r' | b' ') || byte.is_ascii_punctuation()
}

impl<'f> Iterator for Pieces<'f> {
    type Item = Result<Piece<'f>, Invalid>;

    fn next(&mut self) -> Option<Self::Item> {
        let piece = match *self.rest {
            [] => return None,
            [b'%', b'%', ..] => Ok(Piece::Text(&self.take(2)[..1])),
            [b'%', ..] => {
                self.take(1);
                self.argument().map(Piece::Argument)
            }
            _ => self.text(),
        };
        if piece.is_err() {
            self.rest = &[];
        }
        Some(piece)
    }
}

#[cfg(test)]
mod tests {
    use super::{Kind, Piece, is_valid, pieces};

    #[test]
    fn conversions_count_their_arguments() {
        assert!(is_valid(b"%d %s %llx %%", 3));
        assert!(!is_valid(b"%d", 0));
        assert!(is_valid(b"%d", 2));
        assert!(!is_valid(b"%e", 1));
        assert!(is_valid(b"%pI4 %ps", 2));
        assert!(is_valid(b"%pK %px %p % 9c", 4));
        assert!(!is_valid(b"%pk", 1));
        assert!(!is_valid(b"%p%", 2));
        assert!(is_valid(b"%p%d", 2));
        assert!(is_valid("\u{fc}".as_bytes(), 0));
        assert!(!is_valid(b"%\x80", 1));
        assert!(!is_valid(b"\x01", 0));
    }

    #[test]
    fn letters_behind_a_pointer_are_a_part_of_it() {
        let mut all = pieces(b"%pKabc!\0%d", 1);
        let Some(Ok(Piece::Argument(first))) = all.next() else { panic!("an argument") };
        assert_eq!(first.kind, Kind::Pointer);
        assert_eq!(all.next(), Some(Ok(Piece::Text(b"!"))));
        assert_eq!(all.next(), None);
    }
}
