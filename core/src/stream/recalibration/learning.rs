//! The detector's part: learning asked for, refused, saved and restored.

use super::record::Saved;
use super::{Lessons, Limits, Recalibration, RecalibrationError, RestoreError};
use crate::stream::{Detector, Event, Health, State, Verdict};
use crate::vae::VaeError;

impl<'m> Detector<'m, '_> {
    /// Gives the detector memory to learn in: [`Recalibration::memory_len`] words.
    ///
    /// # Errors
    /// [`VaeError::LearningTooSmall`].
    pub fn learning_in(mut self, memory: &'m mut [u64]) -> Result<Self, VaeError> {
        self.recalibration = Some(Recalibration::new(self.vae.model(), memory)?);
        Ok(self)
    }

    /// Learns from the next healthy windows, behind the warm-up; they are scored, not judged. Two zeros end it. The
    /// last window's verdict carries [`Event::Learned`], and from the next one on what was learnt holds.
    ///
    /// # Errors
    /// [`RecalibrationError`]; nothing has changed then.
    pub fn calibrate(&mut self, lessons: Lessons) -> Result<(), RecalibrationError> {
        let limits = self.may_learn()?;
        let model = self.vae.model();
        let learner = self.recalibration.as_mut().ok_or(RecalibrationError::NoMemory)?;
        learner.begin(lessons, model, limits)?;
        self.judge.forget_votes();
        Ok(())
    }

    /// Whether the threshold goes on following the scores of windows that are judged normal, from those
    /// learnt before on. In an alarm, in the hold-off behind it and while the sensor is not healthy nothing is learnt.
    ///
    /// # Errors
    /// [`RecalibrationError`]; nothing has changed then.
    pub fn follow(&mut self, on: bool) -> Result<(), RecalibrationError> {
        let limits = if on { self.may_learn()? } else { self.own_limits() };
        let model = self.vae.model();
        let learner = self.recalibration.as_mut().ok_or(RecalibrationError::NoMemory)?;
        learner.follow(on, model, limits)
    }

    /// What is learnt, where there is memory for it.
    pub fn recalibration(&self) -> Option<&Recalibration<'m>> {
        self.recalibration.as_ref()
    }

    /// Bytes of a saved state at most; 0 without memory to learn in.
    pub fn record_len(&self) -> usize {
        self.recalibration.as_ref().map_or(0, Recalibration::record_len)
    }

    /// Writes what was learnt, what is being learnt, and the decision's state: some hundred bytes. The samples
    /// of the window that has begun are not in it. Gives the bytes written.
    ///
    /// # Errors
    /// [`RestoreError::BufferTooSmall`], [`RestoreError::NoMemory`].
    pub fn save(&self, out: &mut [u8]) -> Result<usize, RestoreError> {
        let learner = self.recalibration.as_ref().ok_or(RestoreError::NoMemory)?;
        let saved = Saved {
            windows: self.windows,
            threshold: self.threshold,
            own_threshold: self.own_threshold,
            clear: self.judge.clear(),
            judge: self.judge,
        };
        learner.save(self.vae.model(), &saved, out)
    }

    /// Goes on where [`save`](Self::save) was called; the next verdict comes with a whole new window.
    ///
    /// # Errors
    /// [`RestoreError`]. The detector is then as new, or as it was.
    pub fn restore(&mut self, record: &[u8]) -> Result<(), RestoreError> {
        let model = self.vae.model();
        let learner = self.recalibration.as_mut().ok_or(RestoreError::NoMemory)?;
        let restored = learner.restore(model, record);
        if let Ok(saved) = restored {
            self.windows = saved.windows;
            self.own_threshold = saved.own_threshold;
            self.judge = saved.judge;
            self.set_limits(Limits { threshold: saved.threshold, clear: saved.clear });
            self.gap();
            self.health = Health::Good;
        } else if restored == Err(RestoreError::Malformed) {
            self.set_limits(self.own_limits());
        }
        restored.map(|_| ())
    }

    /// Takes a verdict as a lesson, where one is due.
    pub(in crate::stream) fn learn(&mut self, verdict: &mut Verdict) {
        let (base, model) = (self.own_limits(), self.vae.model());
        let Some(learner) = &mut self.recalibration else { return };
        let limits = learner.take_score(verdict.score, verdict.state, model, base);
        let ended = verdict.state == State::Learning && !learner.is_learning();
        if let Some(limits) = limits {
            self.set_limits(limits);
        }
        if ended {
            verdict.event = Some(Event::Learned);
        }
    }

    /// Where alarms begin and end before anything was learnt.
    fn own_limits(&self) -> Limits {
        Limits { threshold: self.own_threshold, clear: self.vae.model().decision().clear }
    }

    fn set_limits(&mut self, limits: Limits) {
        self.threshold = limits.threshold;
        self.judge.set_clear(limits.clear);
    }

    /// The limits, unless what comes now is not to be learnt from.
    fn may_learn(&self) -> Result<Limits, RecalibrationError> {
        if self.judge.is_alarm() {
            return Err(RecalibrationError::Alarm);
        }
        if self.judge.is_held_off() {
            return Err(RecalibrationError::HoldOff);
        }
        if self.health != Health::Good {
            return Err(RecalibrationError::Unhealthy(self.health));
        }
        Ok(self.own_limits())
    }
}
