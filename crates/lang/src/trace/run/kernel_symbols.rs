//! The kernel's symbols, as `/proc/kallsyms` has them for this user.

/// Symbols by their addresses.
#[derive(Debug, Default)]
pub struct KernelSymbols {
    /// Sorted; where each name lies in the text.
    symbols: Vec<(u64, usize, usize)>,
    text: String,
}

impl KernelSymbols {
    /// Reads them; none where the user may not know addresses.
    pub fn read() -> KernelSymbols {
        KernelSymbols::parse(std::fs::read_to_string("/proc/kallsyms").unwrap_or_default())
    }

    fn parse(text: String) -> KernelSymbols {
        let mut symbols = Vec::new();
        let mut start = 0;
        for line in text.split_inclusive('\n') {
            let mut words = line.split_ascii_whitespace();
            if let (Some(address), Some(_), Some(name)) = (words.next(), words.next(), words.next())
                && let Ok(address) = u64::from_str_radix(address, 16)
                && address != 0
            {
                let at = start + line.find(name).unwrap_or(0);
                symbols.push((address, at, at + name.len()));
            }
            start += line.len();
        }
        symbols.sort_by_key(|(address, ..)| *address);
        KernelSymbols { symbols, text }
    }

    /// The symbol that an address lies in, with the distance from its start if that is asked
    /// for; the number where there is none.
    pub fn name(&self, address: u64, with_offset: bool) -> String {
        let after = self.symbols.partition_point(|(start, ..)| *start <= address);
        let Some((start, from, to)) = after.checked_sub(1).map(|at| self.symbols[at]) else {
            return format!("{address:#x}");
        };
        let name = &self.text[from..to];
        match with_offset {
            true => format!("{name}+{}", address - start),
            false => name.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::KernelSymbols;

    #[test]
    fn an_address_is_in_the_symbol_before_it() {
        let text = "ffff000000000010 T b\nffff000000000000 t a\n0000000000000000 t none\n";
        let symbols = KernelSymbols::parse(text.into());
        assert_eq!(symbols.name(0xffff_0000_0000_0004, true), "a+4");
        assert_eq!(symbols.name(0xffff_0000_0000_0010, false), "b");
        assert_eq!(symbols.name(1, false), "0x1");
    }
}
