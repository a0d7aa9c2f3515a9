//! The report as Markdown: the tables of docs/benchmarks.md.

use super::Row;
use super::false_alarms::{Verdict, verdict};

/// All tables that have rows.
pub fn of(rows: &[Row]) -> String {
    let (judged, rest): (Vec<&Row>, Vec<&Row>) =
        rows.iter().partition(|row| row.asked.is_none() && row.accuracy.is_none());
    let device: Vec<&Row> = judged.iter().copied().filter(|row| row.device.is_some()).collect();
    let (asked, known): (Vec<&Row>, Vec<&Row>) =
        rest.into_iter().partition(|row| row.asked.is_some());
    [detection(&judged), device_path(&device), false_alarms(&asked), known_states(&known)]
        .into_iter()
        .filter(|table| !table.is_empty())
        .collect::<Vec<_>>()
        .join("\n")
}

fn figure(value: Option<f64>) -> String {
    value.map_or("–".to_string(), |value| format!("{value:.4}"))
}

/// With a comma before every three digits.
fn count(value: Option<u64>) -> String {
    let Some(value) = value else { return "–".into() };
    let digits = value.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A table with this head; nothing without lines.
fn table(head: &[&str], lines: Vec<Vec<String>>) -> String {
    if lines.is_empty() {
        return String::new();
    }
    let mut text = format!("| {} |\n|{}\n", head.join(" | "), "---|".repeat(head.len()));
    for line in lines {
        text += &format!("| {} |\n", line.join(" | "));
    }
    text
}

fn detection(rows: &[&Row]) -> String {
    let line = |row: &&Row| {
        vec![
            row.dataset.clone(),
            row.method.clone(),
            count(row.blob_bytes),
            figure(row.roc_auc),
            figure(row.f1),
            figure(row.false_alarm_rate),
        ]
    };
    let head = ["dataset", "method", "blob", "ROC AUC", "F1", "false alarms"];
    table(&head, rows.iter().map(line).collect())
}

fn device_path(rows: &[&Row]) -> String {
    let line = |row: &&Row| {
        let stages = row.m4_stages_percent.unwrap_or_default();
        let mut line = vec![
            row.dataset.clone(),
            row.device.clone().unwrap_or_default(),
            count(row.device_windows),
            count(row.device_events),
            count(row.m4_instructions_per_window),
            row.m4_instructions_per_frame.map_or("–".into(), |count| format!("{count:.0}")),
        ];
        line.extend(stages.map(|percent| format!("{percent:.1} %")));
        line
    };
    let head = [
        "dataset",
        "device",
        "windows",
        "events",
        "instructions a window",
        "a frame",
        "front-end",
        "encoder",
        "decoder",
        "score",
        "decision",
    ];
    table(&head, rows.iter().map(line).collect())
}

fn false_alarms(rows: &[&Row]) -> String {
    let line = |row: &&Row| {
        let interval = row.ratio_interval;
        vec![
            row.dataset.clone(),
            row.asked.map_or("–".into(), |asked| format!("1 in {:.0}", 1.0 / asked)),
            row.expected_alarms.map_or("–".into(), |alarms| format!("{alarms:.1}")),
            count(row.false_alarms),
            row.ratio.map_or("–".into(), |ratio| format!("{ratio:.2}")),
            interval.map_or("–".into(), |[low, high]| format!("{low:.2} to {high:.2}")),
            match verdict(row) {
                Some(Verdict::Kept) => "yes",
                Some(Verdict::Missed) => "NO",
                Some(Verdict::Untold) | None => "too few to tell",
            }
            .into(),
        ]
    };
    let head = [
        "dataset",
        "asked a window",
        "alarms expected",
        "alarms",
        "ratio",
        "90 % interval",
        "within a factor of 3",
    ];
    table(&head, rows.iter().map(line).collect())
}

fn known_states(rows: &[&Row]) -> String {
    let line = |row: &&Row| {
        vec![row.dataset.clone(), row.method.clone(), count(row.blob_bytes), figure(row.accuracy)]
    };
    table(&["dataset", "known states by", "blob", "accuracy"], rows.iter().map(line).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_find_their_tables() {
        let row = |dataset: &str| Row { dataset: dataset.into(), ..Row::default() };
        let rows = [
            Row { roc_auc: Some(0.5), device: Some("equal".into()), ..row("a") },
            Row { asked: Some(0.01), ..row("b") },
            Row { accuracy: Some(0.9), ..row("c") },
        ];
        let text = of(&rows);
        let tables: Vec<&str> = text.split("\n\n").collect();
        assert_eq!(tables.len(), 4, "{text}");
        assert_eq!([7, 1_234, 13_232_000].map(|n| count(Some(n))), ["7", "1,234", "13,232,000"]);
        assert!(tables[0].contains("| a |") && tables[1].contains("| a | equal |"));
        assert!(tables[2].contains("| b | 1 in 100 |") && tables[3].contains("| c |"));
    }
}
