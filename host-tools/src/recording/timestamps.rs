//! Columns that count time or rows rather than measure anything.

use super::csv_table::Table;

/// Rows it takes to believe that a column counts.
const MIN_ROWS: usize = 16;

/// How far steps may differ from the first one, relative to it.
const STEP_TOLERANCE: f64 = 1e-3;

const NAMES: [&str; 7] = ["time", "timestamp", "ts", "datetime", "date", "index", "unnamed: 0"];

/// Words that names of times with a unit are made of.
const TIMES: [&str; 5] = ["time", "timestamp", "ts", "elapsed", "uptime"];

/// Units a second.
const UNITS: [(&[&str], f64); 4] = [
    (&["s", "sec", "seconds"], 1.0),
    (&["ms", "msec", "millis", "milliseconds"], 1e3),
    (&["us", "µs", "usec", "micros", "microseconds"], 1e6),
    (&["ns", "nanos", "nanoseconds"], 1e9),
];

/// Whether a header names a column of timestamps or row numbers.
pub(super) fn is_named(name: &str) -> bool {
    NAMES.iter().any(|known| known.eq_ignore_ascii_case(name.trim())) || named_unit(name).is_some()
}

/// Units a second by a name such as `time_ms`, `Time (s)`, `seconds_elapsed` or `millis`.
fn named_unit(name: &str) -> Option<f64> {
    let name = name.to_lowercase();
    let words: Vec<&str> =
        name.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let unit =
        |word: &str| UNITS.iter().find(|(names, _)| names.contains(&word)).map(|(_, unit)| *unit);
    match words[..] {
        // `s` alone may be anything.
        [word] if word.len() > 4 => unit(word),
        [_, _, ..] => {
            let (times, others): (Vec<&str>, Vec<&str>) =
                words.iter().partition(|word| TIMES.contains(word));
            match others[..] {
                [other] if !times.is_empty() => unit(other),
                _ => None,
            }
        }
        _ => None,
    }
}

/// Frames a second by the first column of timestamps, if there is one: the reciprocal of the
/// median step between the first lines.
pub(super) fn rate(table: &Table) -> Option<f64> {
    let data = &table.sniffed[usize::from(table.has_header)..];
    let by_column = |column: usize| {
        let number = |cell: &str| table.number_f64(column, cell);
        let named = table.has_header
            && is_named(&table.names[column])
            && !is_row_number(&table.names[column]);
        let by_name = table.has_header.then(|| named_unit(&table.names[column])).flatten();
        let times: Option<Vec<(f64, f64)>> = data
            .iter()
            .map(|record| {
                let cell = record.get(column)?;
                match number(cell) {
                    Some(time) => named.then(|| (time, by_name.unwrap_or_else(|| unit(time)))),
                    None => Some((seconds(cell)?, 1.0)),
                }
            })
            .collect();
        let times = times.filter(|times| times.len() > 2)?;
        let mut steps: Vec<f64> = times.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
        steps.sort_by(f64::total_cmp);
        // The unit last: an epoch in seconds has few digits left for fractions.
        let step = steps[steps.len() / 2] / times[0].1;
        (step.is_finite() && step > 0.0).then(|| 1.0 / step)
    };
    (0..table.names.len()).find_map(by_column)
}

/// Frames a second of times whose unit their size tells: the reciprocal of the first lines' median step.
pub(super) fn rate_of(times: &[f64]) -> Option<f64> {
    let first = times.get(..times.len().min(50)).filter(|times| times.len() > 2)?;
    let mut steps: Vec<f64> = first.windows(2).map(|pair| pair[1] - pair[0]).collect();
    steps.sort_by(f64::total_cmp);
    let step = steps[steps.len() / 2] / unit(first[0]);
    (step.is_finite() && step > 0.0).then(|| 1.0 / step)
}

/// Row numbers are no time.
fn is_row_number(name: &str) -> bool {
    ["index", "unnamed: 0"].iter().any(|known| known.eq_ignore_ascii_case(name.trim()))
}

/// Units a second of a numeric time: epochs of nanoseconds, microseconds and milliseconds are
/// known by their size, everything else is seconds.
fn unit(time: f64) -> f64 {
    match time.abs() {
        t if t > 1e17 => 1e9,
        t if t > 1e14 => 1e6,
        t if t > 1e11 => 1e3,
        _ => 1.0,
    }
}

/// Seconds of a date and time as ISO 8601 writes it, `2020-03-09 10:14:33.5`, or of a time alone, also of
/// half a day; time zones are ignored. Of dates in another order only steps within a day are right, which is what most are.
pub(super) fn seconds(cell: &str) -> Option<f64> {
    let (cell, noon) = match cell.rsplit_once(' ') {
        Some((rest, half)) if half.eq_ignore_ascii_case("am") => (rest, Some(0.0)),
        Some((rest, half)) if half.eq_ignore_ascii_case("pm") => (rest, Some(12.0)),
        _ => (cell, None),
    };
    let (date, time) = match cell.split_once([' ', 'T']) {
        Some((date, time)) => (Some(date), time),
        None if cell.contains(':') => (None, cell),
        None => (Some(cell), "0:0"),
    };
    let days = date.map_or(Some(0), days)?;
    let time = time.trim_end_matches('Z').split(['+', '-']).next().unwrap_or(time);
    let parts: Option<Vec<f64>> = time.split(':').map(|part| part.parse().ok()).collect();
    let (hours, minutes, seconds) = match parts?[..] {
        [hours, minutes, seconds] => (hours, minutes, seconds),
        // Minutes have no fractions: these are minutes and seconds.
        [minutes, seconds] if time.contains('.') => (0.0, minutes, seconds),
        [hours, minutes] => (hours, minutes, 0.0),
        _ => return None,
    };
    let hours = noon.map_or(hours, |noon| hours % 12.0 + noon);
    Some(days as f64 * 86_400.0 + hours * 3_600.0 + minutes * 60.0 + seconds)
}

/// Days of a date.
fn days(date: &str) -> Option<i64> {
    let mut date = date.split(['-', '/', '.']).map(|part| part.parse::<i64>().ok());
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    // Months of a year that begins in March, so that the leap day comes last.
    let (year, month) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    Some(365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day)
}

/// Watches whether a column's values rise (or fall) by a constant step.
#[derive(Debug, Clone, Default)]
pub(super) struct Steps {
    rows: usize,
    last: f64,
    first_step: f64,
    uneven: bool,
}

impl Steps {
    /// Whether the column may still count; no need to [`Self::push`] otherwise.
    pub(super) fn may_count(&self) -> bool {
        !self.uneven
    }

    /// Takes the next row's value.
    pub(super) fn push(&mut self, value: f64) {
        let step = value - self.last;
        match self.rows {
            0 => {}
            1 => {
                self.first_step = step;
                self.uneven = step == 0.0;
            }
            _ => {
                let deviation = (step - self.first_step).abs();
                // Written so that NaN is uneven.
                let even = deviation < STEP_TOLERANCE * self.first_step.abs();
                self.uneven |= !even;
            }
        }
        self.last = value;
        self.rows += 1;
    }

    /// Whether all rows were seen to count, and were enough to tell.
    pub(super) fn counts(&self) -> bool {
        !self.uneven && self.rows >= MIN_ROWS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(values: impl Iterator<Item = f64>) -> bool {
        let mut steps = Steps::default();
        for value in values {
            steps.push(value);
        }
        steps.counts()
    }

    #[test]
    fn constant_steps_count() {
        assert!(counts((0..16).map(f64::from)));
        assert!(counts((0..16).rev().map(f64::from)));
        // Too large for f32 to tell the seconds apart; jitter within tolerance.
        assert!(counts((0..99).map(|i| 1.7e9 + f64::from(i) * 1.0001)));
        assert!(!counts((0..15).map(f64::from)));
        assert!(!counts((0..99).map(|_| 3.0)));
        assert!(!counts((0..99).map(|i| f64::from(i % 20))));
        assert!(!counts((0..99).map(|i| f64::from(i * i))));
        assert!(!counts((0..99).map(|_| f64::NAN)));
    }

    #[test]
    fn names_are_known_in_any_case() {
        assert!(is_named("Time") && is_named("TIMESTAMP") && is_named("Unnamed: 0"));
        assert!(!is_named("t") && !is_named("times") && !is_named("0"));
        let units =
            ["time_ms", "Time (s)", "seconds_elapsed", "millis", "timestamp [us]"].map(named_unit);
        assert_eq!(units, [1e3, 1.0, 1.0, 1e3, 1e6].map(Some));
        assert!(
            ["ms", "time", "valve s", "time to fail ms"].iter().all(|n| named_unit(n).is_none())
        );
    }

    #[test]
    fn the_rate_follows_from_the_median_step() {
        let rate_of = |text: &str| {
            let table = Table::sniff(std::path::Path::new("a.csv"), text).unwrap();
            rate(&table)
        };
        let dated = "datetime;x\n2020-02-28 23:59:58;1\n2020-02-28 23:59:59;2\n2020-02-29 00:00:00;3\n\
                     2020-02-29 00:00:09;4\n2020-02-29 00:00:10;4\n";
        assert_eq!(rate_of(dated), Some(1.0));
        let minutes = "timestamp,value\n2014-04-01T00:00:00Z,1\n2014-04-01T00:05:00Z,2\n2014-04-01T00:10:00Z,3\n";
        assert!((rate_of(minutes).unwrap() - 1.0 / 300.0).abs() < 1e-12);
        let epoch = "ts,x\n1700000000000,5\n1700000000010,7\n1700000000020,5\n";
        assert!((rate_of(epoch).unwrap() - 100.0).abs() < 1e-6);
        assert_eq!(rate_of("time,x\n0.0,1\n0.5,2\n1.0,1\n"), Some(2.0));
        assert!((rate_of("time_ms,x\n0,1\n10,2\n20,1\n").unwrap() - 100.0).abs() < 1e-9);
        assert!(
            (rate_of("when,x\n0:00.000,1\n0:00.004,2\n0:00.008,1\n").unwrap() - 250.0).abs() < 1e-6
        );
        let halves = "time,x\n2/14/2014 11:55 AM,1\n2/14/2014 12:00 PM,2\n2/14/2014 12:05 PM,1\n";
        assert!((rate_of(halves).unwrap() - 1.0 / 300.0).abs() < 1e-12);
        let dots = "Zeit;x\n31.12.2020 23:59:50;1\n31.12.2020 23:59:55;2\n01.01.2021 00:00:00;3\n01.01.2021 00:00:05;3\n";
        assert_eq!(rate_of(dots), Some(0.2));
        assert_eq!(rate_of("index,x\n0,1\n1,2\n2,1\n"), None);
        assert_eq!(rate_of("a,b\n1,1\n2,2\n3,1\n"), None);
    }
}
