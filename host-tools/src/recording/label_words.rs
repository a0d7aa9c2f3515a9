//! Labels written as words.

/// Names of columns that label the others.
const COLUMNS: [&str; 10] = [
    "label",
    "labels",
    "class",
    "anomaly",
    "anomalies",
    "is_anomaly",
    "outlier",
    "is_outlier",
    "ground_truth",
    "changepoint",
];

/// Whether a header names a column of labels.
pub(super) fn is_column(name: &str) -> bool {
    COLUMNS.iter().any(|known| known.eq_ignore_ascii_case(name.trim()))
}

/// Words that belong together in one column: normal ones, anomalous ones.
const FAMILIES: [(&[&str], &[&str]); 3] = [
    (&["false"], &["true"]),
    (&["no"], &["yes"]),
    (&["normal", "ok", "good"], &["anomaly", "abnormal", "anomalous", "fault", "faulty"]),
];

/// What [`value`] reads, for messages.
pub(super) const EXPECTED: &str = "labels are integers (0 normal, anything else anomalous) or one \
     of false/true, no/yes, normal/anomaly, normal/abnormal, normal/anomalous, ok/fault, good/faulty";

/// 0 for a word that means normal, 1 for one that means anomalous.
pub(super) fn value(cell: &str) -> Option<u8> {
    FAMILIES.iter().find_map(|(normal, anomalous)| {
        let among = |words: &[&str]| words.iter().any(|word| word.eq_ignore_ascii_case(cell));
        if among(normal) { Some(0) } else { among(anomalous).then_some(1) }
    })
}

/// Which family a word is of.
pub(super) fn family(cell: &str) -> Option<usize> {
    FAMILIES.iter().position(|(normal, anomalous)| {
        normal.iter().chain(*anomalous).any(|word| word.eq_ignore_ascii_case(cell))
    })
}
