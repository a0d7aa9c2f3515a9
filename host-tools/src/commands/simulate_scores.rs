//! The scores of `picovae simulate`: written as they come, and summed up.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use miette::{IntoDiagnostic, WrapErr};

/// One line of the scores.
pub struct Line {
    /// Clip of the recording.
    pub clip: usize,
    /// First frame within the clip.
    pub start: usize,
    /// The score.
    pub score: f64,
    /// The device's.
    pub raw: i64,
    /// Whether it reaches the threshold, or the detector's alarm is raised.
    pub alarm: bool,
    /// Of the detector, where it judged.
    pub state: Option<&'static str>,
}

/// Where lines go; of many more windows than memory holds nothing is kept.
pub struct Scores {
    file: Option<(BufWriter<File>, String)>,
    keep: bool,
    /// Every score, where they are to be drawn.
    pub values: Vec<f64>,
    /// Windows so far.
    pub windows: usize,
    /// Those with an alarm.
    pub alarms: usize,
    sum: f64,
    /// Least score.
    pub min: Option<f64>,
    /// Greatest score.
    pub max: Option<f64>,
}

impl Scores {
    /// Written to `path`, if there is one; with the column `state` where a detector judges.
    pub fn new(path: Option<&Path>, keep: bool, judged: bool) -> miette::Result<Self> {
        let mut file = path.map(create).transpose()?;
        if let Some((file, path)) = &mut file {
            let state = if judged { ",state" } else { "" };
            writeln!(file, "window,clip,start_frame,score,raw,alarm{state}")
                .into_diagnostic()
                .wrap_err_with(|| path.clone())?;
        }
        let (values, sum) = (Vec::new(), 0.0);
        Ok(Self { file, keep, values, windows: 0, alarms: 0, sum, min: None, max: None })
    }

    /// Takes the next line.
    pub fn push(&mut self, line: &Line) -> miette::Result<()> {
        let &Line { clip, start, score, raw, alarm, state } = line;
        if let Some((file, path)) = &mut self.file {
            let window = self.windows;
            write!(file, "{window},{clip},{start},{score},{raw},{}", u8::from(alarm))
                .and_then(|()| state.map_or(Ok(()), |state| write!(file, ",{state}")))
                .and_then(|()| writeln!(file))
                .into_diagnostic()
                .wrap_err_with(|| path.clone())?;
        }
        if self.keep {
            self.values.push(score);
        }
        self.windows += 1;
        self.alarms += usize::from(alarm);
        self.sum += score;
        self.min = Some(self.min.map_or(score, |min| min.min(score)));
        self.max = Some(self.max.map_or(score, |max| max.max(score)));
        Ok(())
    }

    /// Mean score; 0 of none.
    pub fn mean(&self) -> f64 {
        self.sum / self.windows.max(1) as f64
    }

    /// Writes what is still buffered.
    pub fn finish(&mut self) -> miette::Result<()> {
        match &mut self.file {
            Some((file, path)) => file.flush().into_diagnostic().wrap_err_with(|| path.clone()),
            None => Ok(()),
        }
    }
}

/// A file to write, and what to call it in errors.
pub fn create(path: &Path) -> miette::Result<(BufWriter<File>, String)> {
    let name = path.display().to_string();
    let file = File::create(path).into_diagnostic().wrap_err_with(|| name.clone())?;
    Ok((BufWriter::new(file), name))
}
