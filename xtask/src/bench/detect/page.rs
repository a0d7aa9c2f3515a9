//! The tables in docs/benchmarks.md: `--write` puts there what this run measured, and of other datasets what an earlier
//! run did.

use std::path::PathBuf;

use anyhow::{Result, bail};

use super::{Row, table};
use crate::shell;

/// Around the tables.
const MARKS: [&str; 2] = ["<!-- bench detect -->\n", "<!-- /bench detect -->\n"];
/// In the page's order.
const ORDER: [&str; 6] = ["ecg5000", "fan", "toycar", "toycar-search", "cwru", "skab"];

/// Keeps a dataset's rows beside its model.
pub fn keep(dataset: &str, rows: &[Row]) -> Result<()> {
    std::fs::write(kept(dataset)?, serde_json::to_string(rows)?)?;
    Ok(())
}

fn kept(dataset: &str) -> Result<PathBuf> {
    Ok(shell::scratch("detect")?.join(format!("{dataset}-rows.json")))
}

/// Writes the tables of all datasets.
pub fn write() -> Result<()> {
    let mut rows: Vec<Row> = Vec::new();
    for dataset in ORDER {
        let Ok(text) = std::fs::read_to_string(kept(dataset)?) else {
            eprintln!("{dataset} was never run here: left out of the page");
            continue;
        };
        let of_it: Vec<Row> = serde_json::from_str(&text)?;
        rows.extend(of_it);
    }
    let page = shell::root().join("docs/benchmarks.md");
    let text = std::fs::read_to_string(&page)?;
    std::fs::write(&page, replaced(&text, &table::of(&rows))?)?;
    Ok(())
}

/// The page with other tables between the marks.
fn replaced(page: &str, tables: &str) -> Result<String> {
    let [start, end] = MARKS;
    let Some((before, (_, after))) =
        page.split_once(start).and_then(|(before, rest)| Some((before, rest.split_once(end)?)))
    else {
        bail!("docs/benchmarks.md has no {} … {}", start.trim(), end.trim())
    };
    Ok(format!("{before}{start}\n{tables}\n{end}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_between_the_marks_is_replaced() {
        let [start, end] = MARKS;
        let page = format!("a\n{start}old\n{end}b\n");
        assert_eq!(replaced(&page, "new\n").unwrap(), format!("a\n{start}\nnew\n\n{end}b\n"));
        assert!(replaced("a\n", "new\n").is_err());
        let text = std::fs::read_to_string(shell::root().join("docs/benchmarks.md")).unwrap();
        assert!(replaced(&text, "").is_ok());
    }
}
