//! What must hold, each with its figure.

use super::Row;
use super::false_alarms::{Verdict, verdict};

/// Dataset, and what is required of the blob: bytes, ROC AUC.
const REQUIRED: [(&str, u64, f64); 4] = [
    ("toycar", 65_536, 0.87),
    ("toycar-search", 49_152, 0.86),
    ("ecg5000", 16_384, 0.988),
    ("fan", 16_384, 0.92),
];
/// Instructions from raw samples to verdict, counted on the emulated M4, that a window of `toycar-search` may take.
const SEARCHED_INSTRUCTIONS: u64 = 45_000;
/// ROC AUC required of every bearing fault.
const BEARING: f64 = 0.99;
/// Of the pump: bytes, F1, and the share of false alarms that it stays below.
const PUMP: (u64, f64, f64) = (24_576, 0.80, 0.15);

/// A requirement, and how it stands.
#[derive(Debug, PartialEq)]
pub struct Gate {
    /// The figure, and what it is held to.
    pub what: String,
    /// `None` where the data are too few to tell.
    pub met: Option<bool>,
}

/// All that these rows say something about.
pub fn of(rows: &[Row]) -> Vec<Gate> {
    rows.iter().flat_map(|row| if row.asked.is_some() { rate(row) } else { blob(row) }).collect()
}

/// Of a blob's row: size and quality, then the device.
fn blob(row: &Row) -> Vec<Gate> {
    let mut gates = Vec::new();
    if row.method != "picovae" {
        return gates;
    }
    let gate = |what: String, met: bool| Gate { what, met: Some(met) };
    let (name, auc) = (&row.dataset, row.roc_auc.unwrap_or(0.0));
    let bytes = row.blob_bytes.unwrap_or(u64::MAX);
    if let Some((_, most, least)) = REQUIRED.iter().find(|(required, ..)| required == name) {
        let what = format!("{name}: ROC AUC {auc:.4} of {least} in {bytes} of {most} bytes");
        gates.push(gate(what, auc >= *least && bytes <= *most));
    }
    if name.starts_with("cwru") {
        gates.push(gate(format!("{name}: ROC AUC {auc:.4} of {BEARING}"), auc >= BEARING));
    }
    if name == "skab" {
        let (f1, loud) = (row.f1.unwrap_or(0.0), row.false_alarm_rate.unwrap_or(1.0));
        let (most, least, quiet) = PUMP;
        let what = format!(
            "{name}: F1 {f1:.3} of {least}, false alarms {:.1} % of {:.0} %, in {bytes} of {most} bytes",
            100.0 * loud,
            100.0 * quiet
        );
        gates.push(gate(what, f1 >= least && loud < quiet && bytes <= most));
    }
    if let Some(device) = &row.device {
        let (windows, events) = (row.device_windows.unwrap_or(0), row.device_events.unwrap_or(0));
        let what = format!(
            "{name}: on the emulated M4 every score of {windows} windows and {events} events: {device}"
        );
        gates.push(gate(what, device == "equal"));
        if name == "toycar-search" {
            let counted = row.m4_instructions_per_window.unwrap_or(u64::MAX);
            let what =
                format!("{name}: {counted} instructions a window of {SEARCHED_INSTRUCTIONS}");
            gates.push(gate(what, counted <= SEARCHED_INSTRUCTIONS));
        }
    }
    gates
}

/// Of a row of false alarms.
fn rate(row: &Row) -> Vec<Gate> {
    let (Some(asked), Some(alarms), Some(expected)) =
        (row.asked, row.false_alarms, row.expected_alarms)
    else {
        return Vec::new();
    };
    let met = match verdict(row) {
        Some(Verdict::Kept) => Some(true),
        Some(Verdict::Missed) => Some(false),
        Some(Verdict::Untold) | None => None,
    };
    let what = format!(
        "{}: {alarms} false alarms where {expected:.1} were asked for, 1 in {:.0} windows",
        row.dataset,
        1.0 / asked
    );
    vec![Gate { what, met }]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_requirement_can_be_missed() {
        let row = |dataset: &str, roc_auc, blob_bytes| Row {
            dataset: dataset.into(),
            method: "picovae".into(),
            roc_auc: Some(roc_auc),
            blob_bytes: Some(blob_bytes),
            ..Row::default()
        };
        let met = |row: Row| of(&[row]).into_iter().map(|gate| gate.met).collect::<Vec<_>>();
        assert_eq!(met(row("fan", 0.92, 16_384)), [Some(true)]);
        assert_eq!(met(row("fan", 0.919, 16_384)), [Some(false)]);
        assert_eq!(met(row("ecg5000", 0.999, 16_385)), [Some(false)]);
        assert_eq!(met(row("cwru B_7", 0.98, 9)), [Some(false)]);
        assert_eq!(met(Row { method: "pca".into(), ..row("fan", 0.5, 9) }), []);
        let pump = Row { f1: Some(0.81), false_alarm_rate: Some(0.15), ..row("skab", 0.9, 9) };
        assert_eq!(met(pump.clone()), [Some(false)]);
        let device = Row { false_alarm_rate: Some(0.14), device: Some("DIFFERS".into()), ..pump };
        assert_eq!(met(device), [Some(true), Some(false)]);
        let searched = |counted| Row {
            device: Some("equal".into()),
            m4_instructions_per_window: Some(counted),
            ..row("toycar-search", 0.9, 9)
        };
        assert_eq!(met(searched(45_000)), [Some(true); 3]);
        assert_eq!(met(searched(45_001)), [Some(true), Some(true), Some(false)]);
    }
}
