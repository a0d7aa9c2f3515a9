//! Where the table of a text begins, and what separates its columns, told from its first lines. Called by
//! [`super::csv_table`].

use std::io::Read;

/// Lines looked at to tell separator, header and numeric columns.
pub(super) const SNIFFED_LINES: usize = 50;
/// Lines that may stand above a table, and lines of it that it takes to see that they do.
const MOST_ABOVE: usize = 30;
const LEAST_BELOW: usize = 8;

/// Separator, and lines above the table: a logger's name, its settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) separator: u8,
    pub(super) above: usize,
}

impl Layout {
    pub(super) fn of(text: &str) -> Self {
        let mut lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        let first: Vec<&str> = lines.by_ref().take(SNIFFED_LINES).collect();
        let found = separator(&first);
        let agrees = |separator: u8, lines: &[&str]| {
            let mut counts = lines.iter().map(|line| occurrences(line, separator));
            counts.next().is_some_and(|first| first > 0 && counts.all(|count| count == first))
        };
        if agrees(found, &first) {
            return Self { separator: found, above: 0 };
        }
        let long: Vec<&str> = first.iter().copied().chain(lines.take(MOST_ABOVE)).collect();
        for above in 1..=MOST_ABOVE.min(long.len().saturating_sub(LEAST_BELOW)) {
            let (head, body) = long.split_at(above);
            let separator = separator(body);
            let fields = occurrences(body[0], separator);
            // A line as wide as the table's is one of its own: one further down was damaged then.
            let foreign = head.iter().all(|line| occurrences(line, separator) != fields);
            if separator != b' ' && foreign && agrees(separator, body) {
                return Self { separator, above };
            }
        }
        Self { separator: found, above: 0 }
    }
}

/// The separator that splits the first lines into equally many fields. A `;`, tab or `|`
/// that does so wins over `,`, which is a decimal comma then; otherwise
/// the one that most lines agree on, and that splits into the most fields. Blanks separate where nothing else does.
fn separator(lines: &[&str]) -> u8 {
    let counts = |separator: u8| -> Vec<usize> {
        lines.iter().map(|line| occurrences(line, separator)).collect()
    };
    let quality = |separator: u8| {
        let counts = counts(separator);
        let first = counts.first().copied().unwrap_or(0);
        let agreeing = counts.iter().filter(|count| **count == first && first > 0).count();
        let consistent = agreeing > 0 && agreeing == lines.len();
        let no_comma = separator != b',' && first > 0;
        (consistent, consistent && no_comma, agreeing, no_comma, first)
    };
    let mut best = b',';
    for candidate in *b";\t|" {
        if quality(candidate) > quality(best) {
            best = candidate;
        }
    }
    let blanks = counts(b' ');
    let is_blank = lines.len() > 1 && blanks[0] > 0 && blanks.iter().all(|n| *n == blanks[0]);
    if is_blank && !quality(best).0 { b' ' } else { best }
}

/// How often a separator occurs in a line outside quotes; of blanks, how many stretches within it.
fn occurrences(line: &str, separator: u8) -> usize {
    let mut quoted = false;
    let (mut count, mut before) = (0, 0);
    let line = if separator == b' ' { line.trim() } else { line };
    for byte in line.bytes() {
        if byte == b'"' {
            quoted = !quoted;
        } else if byte == separator && !quoted && !(separator == b' ' && before == b' ') {
            count += 1;
        }
        before = byte;
    }
    count
}

/// A text whose columns are parted by blanks, with one blank between them and none around a line.
pub(super) struct SingleBlanks<R> {
    text: R,
    active: bool,
    /// Whether a blank waits for what comes behind it.
    waiting: bool,
    line_begins: bool,
}

impl<R: Read> SingleBlanks<R> {
    /// Leaves the text as it is unless `active`.
    pub(super) fn new(text: R, active: bool) -> Self {
        Self { text, active, waiting: false, line_begins: true }
    }
}

impl<R: Read> Read for SingleBlanks<R> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        // A blank that waited takes a place of its own.
        if !self.active || out.len() < 2 {
            return self.text.read(out);
        }
        let mut bytes = vec![0; out.len() - 1];
        loop {
            let read = self.text.read(&mut bytes)?;
            if read == 0 {
                return Ok(0);
            }
            let mut len = 0;
            for &byte in &bytes[..read] {
                if byte == b' ' {
                    self.waiting = !self.line_begins;
                    continue;
                }
                let ends = matches!(byte, b'\n' | b'\r');
                if self.waiting && !ends {
                    out[len] = b' ';
                    len += 1;
                }
                out[len] = byte;
                len += 1;
                (self.waiting, self.line_begins) = (false, ends);
            }
            if len > 0 {
                return Ok(len);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(text: &str) -> (char, usize) {
        let Layout { separator, above } = Layout::of(text);
        (separator.into(), above)
    }

    fn table(separator: char) -> String {
        (0..12).map(|i| format!("{i}{separator}{}{separator}3\n", i * i)).collect()
    }

    #[test]
    fn any_separator() {
        for separator in [',', ';', '\t', '|', ' '] {
            assert_eq!(layout(&table(separator)), (separator, 0), "{separator:?}");
        }
        // A date and a time are one cell.
        assert_eq!(layout("time,x\n2020-01-01 10:00:00,1\n2020-01-01 10:00:01,2\n"), (',', 0));
        assert_eq!(layout("my value\n1\n2\n"), (',', 0));
    }

    #[test]
    fn lines_above_a_table() {
        let text = format!("Logger 7\nstarted: 10:00, by hand\n\na;b;c\n{}", table(';'));
        assert_eq!(layout(&text), (';', 2));
        // A line that was damaged is none: what is above it is data.
        let damaged = format!("a;b;c\n{}7;8\n{}", table(';'), table(';'));
        assert_eq!(layout(&damaged).1, 0);
    }

    #[test]
    fn blanks_become_one() {
        let text = "  1.0   2.0  \r\n 3.0 4.0\n";
        for buffer in [2, 3, 64] {
            let mut reader = SingleBlanks::new(text.as_bytes(), true);
            let (mut all, mut piece) = (Vec::new(), vec![0; buffer]);
            loop {
                let read = reader.read(&mut piece).unwrap();
                if read == 0 {
                    break;
                }
                all.extend_from_slice(&piece[..read]);
            }
            assert_eq!(String::from_utf8(all).unwrap(), "1.0 2.0\r\n3.0 4.0\n", "{buffer}");
        }
    }
}
