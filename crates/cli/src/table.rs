//! Columns of text, as wide as their widest cell.

use std::io::{self, Write};

/// Rows of cells; numbers go to the right.
#[derive(Debug, Default)]
pub struct Table {
    rows: Vec<Vec<Cell>>,
}

/// A cell of a table.
#[derive(Debug, Clone)]
pub struct Cell {
    text: String,
    right: bool,
}

impl Cell {
    /// Text, to the left.
    pub fn text(text: impl Into<String>) -> Cell {
        Cell { text: text.into(), right: false }
    }

    /// A number, to the right.
    pub fn number(number: impl ToString) -> Cell {
        Cell { text: number.to_string(), right: true }
    }
}

impl Table {
    /// Adds a row. Rows may differ in length.
    pub fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// Writes the rows, each with `indent` before it.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write(&self, out: &mut dyn Write, indent: &str) -> io::Result<()> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.text.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for row in &self.rows {
            let mut line = indent.to_owned();
            for (cell, &width) in row.iter().zip(&widths) {
                match cell.right {
                    true => line.push_str(&format!("{:>width$}  ", cell.text)),
                    false => line.push_str(&format!("{:<width$}  ", cell.text)),
                }
            }
            writeln!(out, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let mut table = Table::default();
        table.row([Cell::text("XDP_PASS"), Cell::number(12), Cell::text("60 %")]);
        table.row([Cell::text("XDP_DROP"), Cell::number(1234)]);
        let mut out = Vec::new();
        table.write(&mut out, "  ").unwrap();
        let expected = "  XDP_PASS    12  60 %\n  XDP_DROP  1234\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
