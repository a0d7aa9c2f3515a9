//! A ring of frames, a window every hop, a verdict at every window's end.

use crate::model::Model;
use crate::score::attribution::Attribution;
#[cfg(feature = "latent-heads")]
use crate::score::resemblance::Resemblance;
use crate::score::{Score, ScoreKind};
#[cfg(feature = "recalibration")]
use crate::stream::recalibration::Recalibration;
use crate::stream::{Event, Health, HealthChecks, Judge, State};
use crate::trace::{NoTrace, Trace};
use crate::vae::{Vae, VaeError};

/// What a window's end gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Verdict {
    /// Windows judged before this one.
    pub window: u32,
    /// The window's score.
    pub score: Score,
    /// What the score measures, and so its Q format.
    pub kind: ScoreKind,
    /// The threshold, in the same format.
    pub threshold: Option<Score>,
    /// What the decision makes of it.
    pub state: State,
    /// What changed with this window.
    pub event: Option<Event>,
}

impl Verdict {
    /// Whether this window alone is an anomaly: its score reaches the threshold (never
    /// without one), its samples can be trusted and it was not learnt from. Votes and hold-off are in
    /// [`state`](Self::state).
    pub fn is_anomaly(&self) -> bool {
        let reached = self.threshold.is_some_and(|threshold| self.score >= threshold);
        reached && !matches!(self.state, State::Unhealthy(_) | State::Learning)
    }
}

/// A [`Vae`] fed frame by frame.
///
/// A frame is one raw sample of every channel. The first verdict comes with
/// frame `window_len`, the next ones every `hop` frames.
#[derive(Debug)]
pub struct Detector<'m, 'a> {
    pub(super) vae: Vae<'m, 'a>,
    ring: &'m mut [i16],
    /// Where the next frame goes, in samples.
    head: usize,
    /// Frames until the next verdict.
    wait: usize,
    pub(super) windows: u32,
    pub(super) threshold: Option<Score>,
    checks: HealthChecks<'a>,
    pub(super) judge: Judge,
    pub(super) health: Health,
    /// Before anything was learnt: the blob's threshold, or the caller's.
    #[cfg(feature = "recalibration")]
    pub(super) own_threshold: Option<Score>,
    #[cfg(feature = "recalibration")]
    pub(super) recalibration: Option<Recalibration<'m>>,
}

impl<'m, 'a> Detector<'m, 'a> {
    /// Joins a model, its arena, and a ring of `window_len * channels` samples.
    ///
    /// # Errors
    /// [`VaeError::RingTooSmall`], and those of [`Vae::new`].
    pub fn new(
        model: &'m Model<'a>,
        arena: &'m mut [u8],
        ring: &'m mut [i16],
    ) -> Result<Self, VaeError> {
        let (needed, got) = (model.window_samples(), ring.len());
        let ring = ring.get_mut(..needed).ok_or(VaeError::RingTooSmall { needed, got })?;
        Ok(Self {
            vae: Vae::new(model, arena)?,
            ring,
            head: 0,
            wait: model.frontend().window_len,
            windows: 0,
            threshold: model.threshold(),
            checks: model.health_checks(),
            judge: Judge::new(model.decision()),
            health: Health::Good,
            #[cfg(feature = "recalibration")]
            own_threshold: model.threshold(),
            #[cfg(feature = "recalibration")]
            recalibration: None,
        })
    }

    /// The inference engine, for its latent and reconstruction after a verdict.
    pub fn vae(&self) -> &Vae<'m, 'a> {
        &self.vae
    }

    /// Another threshold than the model's, in the score's Q format; `None` never alarms. It is
    /// also what a threshold is learnt from.
    pub fn set_threshold(&mut self, threshold: Option<Score>) {
        self.threshold = threshold;
        #[cfg(feature = "recalibration")]
        {
            self.own_threshold = threshold;
        }
    }

    /// Tells that frames are missing: the next verdict comes with a whole new window.
    pub fn gap(&mut self) {
        self.wait = self.vae.model().frontend().window_len;
        self.health = Health::Missing;
    }

    /// The sensor's health as of the last verdict or gap.
    pub fn health(&self) -> Health {
        self.health
    }

    /// Which channel or band carried the last window's error.
    pub fn attribution(&self) -> Attribution {
        self.vae.attribution()
    }

    /// Which known state of the machine the last window resembles, where the blob knows some.
    #[cfg(feature = "latent-heads")]
    pub fn resemblance(&self) -> Option<Resemblance<'a>> {
        self.vae.model().resemblance(self.vae.mu())
    }

    /// Takes one frame, `[channels]`; gives a verdict if it ends a window.
    /// Infallible: what is missing of a short frame keeps the sample of a window
    /// before, what is too much of a long one is dropped.
    pub fn push(&mut self, frame: &[i16]) -> Option<Verdict> {
        self.push_traced(frame, &mut NoTrace)
    }

    /// [`push`](Self::push), watched.
    pub fn push_traced(&mut self, frame: &[i16], trace: &mut impl Trace) -> Option<Verdict> {
        let frontend = self.vae.model().frontend();
        let end = self.head + frontend.channels;
        if let Some(slot) = self.ring.get_mut(self.head..end) {
            slot.iter_mut().zip(frame).for_each(|(slot, &sample)| *slot = sample);
        }
        self.head = if end >= self.ring.len() { 0 } else { end };
        self.wait = self.wait.saturating_sub(1);
        if self.wait > 0 {
            return None;
        }
        self.wait = frontend.hop;
        let (newer, older) = self.ring.split_at_checked(self.head)?;
        self.health = self.checks.examine(older, newer, frontend.channels);
        #[cfg(feature = "recalibration")]
        let (frontend, lesson) = match &mut self.recalibration {
            Some(learner) => {
                let lesson = learner.is_learning().then(|| self.judge.learn(self.health));
                if let Some((State::Learning, _)) = lesson {
                    learner.features(&mut self.vae, older, newer);
                }
                (frontend.normalized(learner.normalization()), lesson)
            }
            None => (frontend, None),
        };
        self.vae.load_through(&frontend, older, newer).ok()?;
        let score = self.vae.score_loaded(trace);
        let mut verdict = Verdict {
            window: self.windows,
            score,
            kind: self.vae.model().score_kind(),
            threshold: self.threshold,
            state: State::Normal,
            event: None,
        };
        self.windows = self.windows.wrapping_add(1);
        #[cfg(feature = "recalibration")]
        if let Some(lesson) = lesson {
            (verdict.state, verdict.event) = lesson;
            self.learn(&mut verdict);
            return Some(verdict);
        }
        (verdict.state, verdict.event) = self.judge.judge(score, self.threshold, self.health);
        #[cfg(feature = "recalibration")]
        self.learn(&mut verdict);
        Some(verdict)
    }
}
