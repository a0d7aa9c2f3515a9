//! A recording as a stream: frame by frame through the core's detector.

use picovae_core::{Detector, Event, Health, Model, Score, VaeError};

use super::SimulatorArena;
use crate::graph::Frontend;
use crate::recording::Clips;

/// A change of state.
#[derive(Debug, Clone, Copy, PartialEq)]
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
}

impl StreamEvent {
    /// The event's stable name.
    pub fn name(&self) -> &'static str {
        match self.event {
            Event::Raised => "raised",
            Event::Cleared => "cleared",
            Event::Recovered => "recovered",
            Event::Failed(Health::Stuck { .. }) => "stuck",
            Event::Failed(Health::Saturated { .. }) => "saturated",
            Event::Failed(Health::OutOfRange { .. }) => "out_of_range",
            Event::Failed(Health::Missing | Health::Good) => "missing",
        }
    }
}

/// Streams every clip of a recording, each from a detector's start, and gives
/// the events in order. `threshold` replaces the model's own.
///
/// # Errors
/// [`VaeError`].
pub fn stream_events(
    model: &Model<'_>,
    frontend: &Frontend,
    clips: &Clips<'_>,
    threshold: Option<Score>,
) -> Result<Vec<StreamEvent>, VaeError> {
    let mut events = Vec::new();
    let mut arena = SimulatorArena::new(model);
    let mut ring = vec![0i16; model.window_samples()];
    for clip in 0..clips.clip_count() {
        let mut detector = Detector::new(model, arena.bytes(), &mut ring)?;
        detector.set_threshold(threshold);
        let mut frame = Vec::with_capacity(frontend.channels);
        for samples in clips.clip(clip).chunks_exact(frontend.channels) {
            frame.clear();
            frame.extend(samples.iter().enumerate().map(|(c, &x)| frontend.raw(x, c)));
            let Some(verdict) = detector.push(&frame) else { continue };
            if let Some(event) = verdict.event {
                let carried = detector.attribution();
                let window = verdict.window as usize;
                events.push(StreamEvent {
                    clip,
                    window,
                    start: window * frontend.hop,
                    event,
                    score: verdict.score,
                    attribution: (carried.channel, carried.band, carried.percent()),
                });
            }
        }
    }
    Ok(events)
}
