//! The only place that writes to standard output: text for people, or one JSON
//! object for scripts.

use serde::Serialize;
use std::io::Write;

/// Where verbs report to.
#[derive(Debug)]
pub struct Printer {
    json: bool,
}

impl Printer {
    /// A printer of JSON or of text.
    pub fn new(json: bool) -> Self {
        Self { json }
    }

    /// Whether scripts read: other programs' output must not be passed on.
    pub fn is_json(&self) -> bool {
        self.json
    }

    /// Prints a verb's outcome: `report` as JSON with `--json`, else `text`.
    pub fn report(&mut self, report: &impl Serialize, text: &str) -> miette::Result<()> {
        if self.json {
            let json = serde_json::to_string(report).map_err(|e| miette::miette!("{e}"))?;
            write_out(&json);
        } else {
            write_out(text.trim_end());
        }
        Ok(())
    }
}

/// A reader that went away (`| head`) is no failure of ours.
fn write_out(text: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

/// Two columns, names and values, aligned.
#[derive(Debug, Default)]
pub struct Listing {
    rows: Vec<(String, String)>,
}

impl Listing {
    /// An empty listing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a line.
    pub fn row(mut self, name: impl Into<String>, value: impl std::fmt::Display) -> Self {
        self.rows.push((name.into(), value.to_string()));
        self
    }
}

impl std::fmt::Display for Listing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let width = self.rows.iter().map(|(name, _)| name.chars().count()).max();
        for (name, value) in &self.rows {
            writeln!(f, "{name:<width$}  {value}", width = width.unwrap_or(0))?;
        }
        Ok(())
    }
}

/// Rows and columns of text; cells after the first column are right-aligned.
#[derive(Debug)]
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these column heads.
    pub fn new<S: Into<String>>(heads: impl IntoIterator<Item = S>) -> Self {
        Self { rows: vec![heads.into_iter().map(Into::into).collect()] }
    }

    /// Adds a row.
    pub fn row<S: Into<String>>(&mut self, cells: impl IntoIterator<Item = S>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }
}

impl std::fmt::Display for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |c: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(c));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for row in &self.rows {
            let mut line = String::new();
            for (c, cell) in row.iter().enumerate() {
                if c == 0 {
                    line.push_str(&format!("{cell:<w$}", w = widths[c]));
                } else {
                    line.push_str(&format!("  {cell:>w$}", w = widths[c]));
                }
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let mut table = Table::new(["layer", "macs"]);
        table.row(["encoder.0", "12"]);
        table.row(["mu", "1234"]);
        assert_eq!(table.to_string(), "layer      macs\nencoder.0    12\nmu         1234\n");
        let listing = Listing::new().row("a", 1).row("long", "x");
        assert_eq!(listing.to_string(), "a     1\nlong  x\n");
    }
}
