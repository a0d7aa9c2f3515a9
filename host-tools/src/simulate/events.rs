//! A recording as a stream: frame by frame through the core's detector.

use picovae_core::stream::{Lessons, Recalibration, RecalibrationError};
use picovae_core::trace::{NoTrace, Trace};
use picovae_core::{Detector, Event, Model, Score, State, VaeError, Verdict};

use super::SimulatorArena;
use crate::graph::Frontend;
use crate::recording::{Clips, RecordingError};

/// A change of state.
#[derive(Debug, Clone, PartialEq)]
pub struct StreamEvent {
    /// Clip of the recording.
    pub clip: usize,
    /// Windows of the clip judged before.
    pub window: usize,
    /// First frame of that window within the clip.
    pub start: usize,
    /// What changed.
    pub event: Event,
    /// The window's score.
    pub score: Score,
    /// Channel, band and percent of the error's largest share.
    pub attribution: (u16, u16, u8),
    /// The known state that the window resembles most; empty where the blob knows none.
    pub resembles: String,
}

impl StreamEvent {
    /// The event's stable name.
    pub fn name(&self) -> &'static str {
        self.event.name()
    }
}

/// The stable name of a state.
pub fn state_name(state: State) -> &'static str {
    match state {
        State::Alarm => "alarm",
        State::HoldOff => "hold_off",
        State::Learning => "learning",
        State::Normal => "normal",
        State::Unhealthy(_) => "unhealthy",
        State::WarmUp => "warm_up",
    }
}

/// How a stream is judged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StreamOptions {
    /// Alarms begin here.
    pub threshold: Option<Score>,
    /// The device learns its normalization from the first rows of each clip; 0 keeps the blob's.
    pub normalization_rows: usize,
    /// The device learns its threshold from the rows behind those up to this one; 0 keeps `threshold`.
    pub threshold_rows: usize,
    /// From then on the threshold follows what is judged normal.
    pub follow: bool,
    /// The clips of a recording follow one another without a gap: one stream, of one detector.
    pub joined: bool,
}

impl StreamOptions {
    /// Judged by this threshold, nothing learnt.
    pub fn of(threshold: Option<Score>) -> Self {
        Self { threshold, ..Self::default() }
    }

    /// Whether anything is learnt.
    pub fn learns(&self) -> bool {
        self.normalization_rows > 0 || self.threshold_rows > 0 || self.follow
    }

    /// The rows in whole windows.
    fn lessons(&self, frontend: &Frontend) -> Lessons {
        let ended = |rows: usize| match rows.checked_sub(frontend.window_len) {
            Some(rest) => rest / frontend.hop + 1,
            None => 0,
        };
        let normalization = ended(self.normalization_rows);
        let threshold = ended(self.threshold_rows).saturating_sub(normalization);
        Lessons { normalization: normalization as u32, threshold: threshold as u32 }
    }
}

/// Why a stream cannot be judged.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[non_exhaustive]
pub enum StreamError {
    /// A buffer does not fit.
    #[error(transparent)]
    Vae(#[from] VaeError),
    /// A recording that cannot be read to its end.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Recording(#[from] RecordingError),
    /// The device refuses to learn.
    #[error("the device does not learn: {0}")]
    #[diagnostic(help(
        "learning needs rows for at least 20 windows, a calibrated blob, and for the normalization one written with --renormalize"
    ))]
    Learn(RecalibrationError),
}

/// Streams every clip of a recording, each from a detector's start, and shows `visit` every verdict: the clip,
/// the first frame of its window within the clip, the verdict, and the detector as it is then.
///
/// # Errors
/// [`StreamError`].
pub fn stream(
    model: &Model<'_>,
    frontend: &Frontend,
    clips: &Clips<'_>,
    options: &StreamOptions,
    visit: impl FnMut(usize, usize, &Verdict, &Detector<'_, '_>),
) -> Result<(), StreamError> {
    stream_traced(model, frontend, clips, options, &mut NoTrace, visit)
}

/// [`stream`], watched.
///
/// # Errors
/// [`StreamError`].
pub fn stream_traced(
    model: &Model<'_>,
    frontend: &Frontend,
    clips: &Clips<'_>,
    options: &StreamOptions,
    trace: &mut impl Trace,
    visit: impl FnMut(usize, usize, &Verdict, &Detector<'_, '_>),
) -> Result<(), StreamError> {
    let pieces = (0..clips.clip_count()).map(|clip| Ok((clip, clips.clip(clip))));
    stream_pieces(model, frontend, pieces, options, trace, visit)
}

/// [`stream_traced`] of clips that come piece by piece, in order, each with its clip's number: of
/// [`Source::pieces`](crate::recording::Source::pieces).
///
/// # Errors
/// [`StreamError`].
pub fn stream_pieces<S: AsRef<[f32]>>(
    model: &Model<'_>,
    frontend: &Frontend,
    pieces: impl Iterator<Item = Result<(usize, S), RecordingError>>,
    options: &StreamOptions,
    trace: &mut impl Trace,
    mut visit: impl FnMut(usize, usize, &Verdict, &Detector<'_, '_>),
) -> Result<(), StreamError> {
    let mut arena = SimulatorArena::new(model);
    let mut ring = vec![0i16; model.window_samples()];
    let groups = model.frontend().groups();
    let mut memory = vec![0; Recalibration::memory_len(groups)];
    let lessons = options.lessons(frontend);
    let mut pieces = pieces
        .map(|piece| piece.map(|(clip, samples)| (if options.joined { 0 } else { clip }, samples)))
        .peekable();
    while let Some(first) = pieces.peek() {
        // What cannot be read is met below, whatever clip it is of.
        let clip = first.as_ref().map_or(0, |(clip, _)| *clip);
        let mut detector = Detector::new(model, arena.bytes(), &mut ring)?;
        if options.learns() {
            detector = detector.learning_in(&mut memory)?;
        }
        detector.set_threshold(options.threshold);
        if lessons != Lessons::default() {
            detector.calibrate(lessons).map_err(StreamError::Learn)?;
        } else if options.normalization_rows > 0 || options.threshold_rows > 0 {
            // Not a single window.
            let few = Lessons { normalization: 0, threshold: 1 };
            detector.calibrate(few).map_err(StreamError::Learn)?;
        }
        let mut frame = Vec::with_capacity(frontend.channels);
        while let Some(piece) =
            pieces.next_if(|piece| piece.as_ref().map_or(true, |(next, _)| *next == clip))
        {
            let (_, samples) = piece?;
            for samples in samples.as_ref().chunks_exact(frontend.channels) {
                frame.clear();
                frame.extend(samples.iter().enumerate().map(|(c, &x)| frontend.raw(x, c)));
                let Some(verdict) = detector.push_traced(&frame, trace) else { continue };
                visit(clip, verdict.window as usize * frontend.hop, &verdict, &detector);
                if options.follow
                    && detector
                        .recalibration()
                        .is_some_and(|r| !r.is_learning() && !r.is_following())
                {
                    // Refused in an alarm; asked for again.
                    let _ = detector.follow(true);
                }
            }
        }
    }
    Ok(())
}

/// The events of [`stream`], in order, watched.
///
/// # Errors
/// [`StreamError`].
pub fn stream_events(
    model: &Model<'_>,
    frontend: &Frontend,
    clips: &Clips<'_>,
    options: &StreamOptions,
    trace: &mut impl Trace,
) -> Result<Vec<StreamEvent>, StreamError> {
    let pieces = (0..clips.clip_count()).map(|clip| Ok((clip, clips.clip(clip))));
    events_of_pieces(model, frontend, pieces, options, trace)
}

/// The events of [`stream_pieces`], in order.
///
/// # Errors
/// [`StreamError`].
pub fn events_of_pieces<S: AsRef<[f32]>>(
    model: &Model<'_>,
    frontend: &Frontend,
    pieces: impl Iterator<Item = Result<(usize, S), RecordingError>>,
    options: &StreamOptions,
    trace: &mut impl Trace,
) -> Result<Vec<StreamEvent>, StreamError> {
    let mut events = Vec::new();
    stream_pieces(model, frontend, pieces, options, trace, |clip, start, verdict, detector| {
        events.extend(verdict.event.map(|event| {
            let carried = detector.attribution();
            StreamEvent {
                clip,
                window: verdict.window as usize,
                start,
                event,
                score: verdict.score,
                attribution: (carried.channel, carried.band, carried.percent()),
                resembles: detector.resemblance().map_or(String::new(), |known| known.name.into()),
            }
        }));
    })?;
    Ok(events)
}
