//! Columns that count time or rows rather than measure anything.

use super::BRIDGED;
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

/// A column of timestamps.
pub(super) struct Clock {
    /// Its place.
    pub(super) column: usize,
    /// The header says that numbers are times.
    is_named: bool,
    /// Units a second, where the header tells.
    unit: Option<f64>,
    /// Seconds from row to row: the median of the first lines.
    step: f64,
}

impl Clock {
    /// The first column of timestamps, if there is one.
    pub(super) fn of(table: &Table) -> Option<Self> {
        let data = &table.sniffed[usize::from(table.has_header)..];
        let by_column = |column: usize| {
            let name = table.has_header.then(|| &*table.names[column]);
            let clock = Self {
                column,
                is_named: name.is_some_and(|name| is_named(name) && !is_row_number(name)),
                unit: name.and_then(named_unit),
                step: 0.0,
            };
            let times: Option<Vec<(f64, f64)>> =
                data.iter().map(|record| clock.time(table, record.get(column)?)).collect();
            let times = times.filter(|times| times.len() > 2)?;
            // The unit last: an epoch in seconds has few digits left for fractions.
            let step = median(times.windows(2).map(|pair| pair[1].0 - pair[0].0))? / times[0].1;
            (step.is_finite() && step > 0.0).then_some(Self { step, ..clock })
        };
        (0..table.names.len()).find_map(by_column)
    }

    /// Frames a second: the reciprocal of the median step between the first lines.
    pub(super) fn rate(&self) -> f64 {
        1.0 / self.step
    }

    /// A cell's time in seconds.
    pub(super) fn seconds(&self, table: &Table, cell: &str) -> Option<f64> {
        self.time(table, cell).map(|(time, unit)| time / unit)
    }

    /// A cell's time, and its units a second.
    fn time(&self, table: &Table, cell: &str) -> Option<(f64, f64)> {
        match table.number_f64(self.column, cell) {
            Some(time) => self.is_named.then(|| (time, self.unit.unwrap_or_else(|| unit(time)))),
            None => Some((seconds(cell)?, 1.0)),
        }
    }
}

/// The middle of these numbers, the greater one of two; `None` of none.
fn median(numbers: impl Iterator<Item = f64>) -> Option<f64> {
    let mut numbers: Vec<f64> = numbers.collect();
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied()
}

/// Jumps are believed where they are at most one in so many rows: times that leap more often are no clock of a
/// stream.
const RARE: usize = 50;

/// Rows before which the time jumps: by more rows than may be missing at the median step ([`BRIDGED`]), or back by one
/// or more. NaN is no time.
pub(super) fn jumps(times: &[f64]) -> Vec<usize> {
    let known: Vec<(usize, f64)> =
        times.iter().copied().enumerate().filter(|(_, time)| time.is_finite()).collect();
    let each =
        || known.windows(2).map(|pair| (pair[1].0, pair[1].0 - pair[0].0, pair[1].1 - pair[0].1));
    let step = median(each().map(|(_, rows, time)| time / rows as f64));
    let Some(step) = step.filter(|step| *step > 0.0) else { return Vec::new() };
    let jumps = each().filter(|(_, rows, time)| {
        let missing = time / step - *rows as f64;
        // Half a row of jitter.
        missing > BRIDGED as f64 + 0.5 || missing < -(*rows as f64) - 0.5
    });
    let jumps: Vec<usize> = jumps.map(|(row, ..)| row).collect();
    if jumps.len() * RARE > times.len() { Vec::new() } else { jumps }
}

/// Frames a second of times whose unit their size tells: the reciprocal of the first lines' median step.
pub(super) fn rate_of(times: &[f64]) -> Option<f64> {
    let first = times.get(..times.len().min(50)).filter(|times| times.len() > 2)?;
    let step = median(first.windows(2).map(|pair| pair[1] - pair[0]))? / unit(first[0]);
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
/// half a day; time zones are ignored. Dates may begin with the day (`31.12.2020`, `31/12/2020`) or the month
/// (`12/31/2020`); of days up to the twelfth before a slash only steps within a day are right.
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

/// Days of a date, year, month or day first.
fn days(date: &str) -> Option<i64> {
    let is_dotted = date.contains('.');
    let mut date = date.split(['-', '/', '.']).map(|part| part.parse::<i64>().ok());
    let fields = (date.next()??, date.next()??, date.next()??);
    let (year, month, day) = match fields {
        (day, month, year) if day <= 31 && year > 31 && (is_dotted || day > 12) => {
            (year, month, day)
        }
        (month, day, year) if month <= 12 && year > 31 => (year, month, day),
        _ => fields,
    };
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
            Clock::of(&table).map(|clock| clock.rate())
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

    #[test]
    fn times_jump_where_more_than_a_few_rows_are_missing() {
        let mut times: Vec<f64> = (0..1_000).map(|i| 1.7e9 + f64::from(i) * 0.5).collect();
        // Jitter, five missing rows, and a row without a time are no jump.
        times[100] += 0.2;
        times[300..].iter_mut().for_each(|time| *time += 2.5);
        times[400] = f64::NAN;
        assert!(jumps(&times).is_empty());
        times[500..].iter_mut().for_each(|time| *time += 3.0);
        times[700] = f64::NAN;
        times[701..].iter_mut().for_each(|time| *time -= 80.0);
        assert_eq!(jumps(&times), [500, 701]);
        // Every tenth row: no clock.
        let leaps: Vec<f64> = (0..1_000).map(|i| f64::from(i + i / 10 * 50)).collect();
        assert!(jumps(&leaps).is_empty());
        assert!(jumps(&[]).is_empty());
        assert!(jumps(&[f64::NAN; 9]).is_empty());
        assert!(jumps(&[5.0; 90]).is_empty());
    }

    #[test]
    fn days_follow_one_another_in_every_order() {
        for [last, first] in [
            ["2020-12-31 23:59:59", "2021-01-01 00:00:00"],
            ["31.12.2020 23:59:59", "01.01.2021 00:00:00"],
            ["28/02/2021 23:59:59", "3/1/2021 00:00:00"],
            ["12/31/2020 23:59:59", "1/1/2021 00:00:00"],
        ] {
            assert_eq!(seconds(first).unwrap() - seconds(last).unwrap(), 1.0, "{last}");
        }
    }
}
