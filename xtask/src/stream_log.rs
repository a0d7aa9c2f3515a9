//! What the app logs of a stream, read back: scores, events, counters, and how busy the core was.
//!
//! The host's side of a comparison has the same types (`streams.rs`).

use anyhow::{Context, Result};

use crate::qemu::value;

/// A change of state that an image logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The event's stable name.
    pub name: String,
    /// Windows judged before.
    pub window: u64,
    /// The window's score, raw.
    pub score: i64,
    /// Channel, band and percent of the error's largest share.
    pub carried: [u16; 3],
    /// The known state that it resembles, empty for none.
    pub resembles: String,
}

/// What a stream gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream {
    /// Hash over everything computed.
    pub hash: String,
    /// Score of each window, raw, and whether it was anomalous.
    pub scores: Vec<(i64, bool)>,
    /// Every change of state.
    pub events: Vec<Event>,
}

/// The app's counters (`picovae_app::Counters`), and what the emulator's glue adds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counters {
    /// Frames taken from the sensor.
    pub frames: u64,
    /// Times that samples were lost.
    pub overruns: u64,
    /// Frames lost.
    pub lost: u64,
    /// Faults of the sensor.
    pub faults: u64,
    /// Times that no batch was free.
    pub late: u64,
    /// Windows judged.
    pub judged: u64,
    /// Windows that were anomalous.
    pub alarmed: u64,
    /// Longest time that judging a frame took.
    pub longest_us: u64,
    /// Times that the alarm's pin became high.
    pub raised: u64,
    /// Emulated time of the whole stream.
    pub elapsed_us: u64,
    /// That of the sleep between batches.
    pub asleep_us: u64,
    /// Frames taken before the first that was lost, if one was.
    pub lost_behind: Option<u64>,
    /// Deepest use of the stack by the whole app, both tasks and all interrupts, bytes.
    pub stack_bytes: u64,
}

/// What the whole app may use of its stack, on any core. The boards' `memory.x` give 5 KB.
pub const MOST_STACK_BYTES: u64 = 4 * 1024;

impl Counters {
    /// Whether nothing was late or lost of so many frames, and nothing failed.
    pub fn kept_up(&self, frames: u64) -> bool {
        self.frames == frames && self.overruns + self.lost + self.faults + self.late == 0
    }
}

/// A number behind `key=`.
fn number<T: std::str::FromStr>(line: &str, key: &str) -> Result<T> {
    let found = value(line, key).and_then(|word| word.parse().ok());
    found.with_context(|| format!("no {key} in: {line}"))
}

/// The lines of a stream.
pub fn stream(lines: &[String]) -> Result<Stream> {
    let (mut scores, mut events, mut hash) = (Vec::new(), Vec::new(), None);
    for line in lines {
        if value(line, "stream_window").is_some() {
            scores.push((number(line, "score")?, line.starts_with("ALARM ")));
        }
        if let Some(name) = value(line, "event") {
            events.push(Event {
                name: name.into(),
                window: number(line, "event_window")?,
                score: number(line, "score")?,
                carried: [
                    number(line, "channel")?,
                    number(line, "band")?,
                    number(line, "percent")?,
                ],
                // Last on the line: a name may hold blanks.
                resembles: line.split_once("resembles=").map_or("", |(_, name)| name).into(),
            });
        }
        if let Some(value) = value(line, "stream_hash") {
            hash = Some(value.to_string());
        }
    }
    let hash = hash.context("the image did not print its stream's hash")?;
    Ok(Stream { hash, scores, events })
}

/// The lines of counters.
pub fn counters(lines: &[String]) -> Result<Counters> {
    let line = |key| {
        let found = lines.iter().rev().find(|line| value(line, key).is_some());
        found.with_context(|| format!("the image did not print {key}"))
    };
    let (app, glue) = (line("judged")?, line("elapsed_us")?);
    let lost_behind = line("lost_behind").ok().map(|line| number(line, "lost_behind"));
    Ok(Counters {
        frames: number(app, "frames")?,
        overruns: number(app, "overruns")?,
        lost: number(app, "lost")?,
        faults: number(app, "faults")?,
        late: number(app, "late")?,
        judged: number(app, "judged")?,
        alarmed: number(app, "alarmed")?,
        longest_us: number(app, "longest_us")?,
        raised: number(glue, "raised")?,
        elapsed_us: number(glue, "elapsed_us")?,
        asleep_us: number(glue, "asleep_us")?,
        lost_behind: lost_behind.transpose()?,
        stack_bytes: number(line("stack_bytes")?, "stack_bytes")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_streams_lines_are_read() {
        let lines = [
            "stream_window=16 score=-5",
            "ALARM stream_window=17 score=-6",
            "event=raised event_window=17 score=-6 channel=1 band=2 percent=30 resembles=a coin",
            "stream_hash=ffff stream_windows=18 stream_alarms=1",
        ];
        let stream = stream(&lines.map(String::from)).expect("lines of the app");
        assert_eq!(
            (stream.hash.as_str(), &stream.scores[..]),
            ("ffff", &[(-5, false), (-6, true)][..])
        );
        let event = Event {
            name: "raised".into(),
            window: 17,
            score: -6,
            carried: [1, 2, 30],
            resembles: "a coin".into(),
        };
        assert_eq!(stream.events, [event]);
    }

    #[test]
    fn counters_are_read_and_the_last_line_counts() {
        let early = "frames=1 overruns=0 lost=0 faults=0 late=0 judged=1 alarmed=0 longest_us=9";
        let lines = [
            early,
            "lost_behind=90 lost_frames=10",
            "frames=90 overruns=1 lost=10 faults=2 late=3 judged=4 alarmed=1 longest_us=9",
            "elapsed_us=1000 asleep_us=900 raised=1",
            "stack_bytes=2000 stack_free=10",
        ];
        let read = counters(&lines.map(String::from)).expect("lines of the app");
        assert_eq!((read.frames, read.lost, read.lost_behind), (90, 10, Some(90)));
        assert_eq!((read.late, read.asleep_us, read.raised), (3, 900, 1));
        assert_eq!(read.stack_bytes, 2000);
        assert!(!read.kept_up(90));
        let clean = [early, "elapsed_us=1 asleep_us=1 raised=0", "stack_bytes=1"].map(String::from);
        let clean = counters(&clean).expect("lines of the app");
        assert!(clean.kept_up(1) && !clean.kept_up(2));
        assert!(
            counters(&lines[..4].iter().map(|line| line.to_string()).collect::<Vec<_>>()).is_err()
        );
    }
}
