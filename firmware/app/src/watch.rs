//! A live stream: one frame in, now and then a verdict out.

#[cfg(feature = "recalibration")]
use picovae_core::stream::{Lessons, RecalibrationError};
use picovae_core::trace::ActivationHash;
use picovae_core::{Detector, Model, VaeError, Verdict};

use crate::{Embedded, run};

/// A [`Detector`] that logs its verdicts.
#[derive(Debug)]
pub struct Watch<'m, 'a> {
    detector: Detector<'m, 'a>,
    hash: ActivationHash,
    windows: u32,
    alarms: u32,
}

impl<'m, 'a> Watch<'m, 'a> {
    /// Joins a model, its arena, and a ring of [`Model::window_samples`] samples.
    ///
    /// # Errors
    /// Those of [`Detector::new`]; they are logged as well.
    pub fn new(
        model: &'m Model<'a>,
        arena: &'m mut [u8],
        ring: &'m mut [i16],
    ) -> Result<Self, VaeError> {
        match Detector::new(model, arena, ring) {
            Ok(detector) => {
                Ok(Self { detector, hash: ActivationHash::new(), windows: 0, alarms: 0 })
            }
            Err(error) => {
                defmt::error!("detector refused: {}", error);
                Err(error)
            }
        }
    }

    /// How a board begins: scores the windows embedded in its image, then joins the same parts for a sensor that
    /// gives `channels` values a frame. `None` where the model reads other frames, or none at all; it is logged.
    pub fn begin(
        model: &'m Model<'a>,
        arena: &'m mut [u8],
        ring: &'m mut [i16],
        windows: &[u8],
        channels: usize,
    ) -> Option<Self> {
        // What goes wrong is logged, and does not stop the stream.
        let _ = run(model, arena, ring, &mut Embedded::new(windows));
        let read = model.frontend().channels;
        if read != channels {
            defmt::error!(
                "the model reads {=usize} channels, the sensor gives {=usize}: no stream",
                read,
                channels
            );
            return None;
        }
        Self::new(model, arena, ring).ok()
    }

    /// Gives the detector memory to learn in, see [`Detector::learning_in`].
    ///
    /// # Errors
    /// Those of [`Detector::learning_in`].
    #[cfg(feature = "recalibration")]
    pub fn learning_in(self, memory: &'m mut [u64]) -> Result<Self, VaeError> {
        Ok(Self { detector: self.detector.learning_in(memory)?, ..self })
    }

    /// Learns from the next windows, see [`Detector::calibrate`].
    ///
    /// # Errors
    /// Those of [`Detector::calibrate`]; they are logged as well.
    #[cfg(feature = "recalibration")]
    pub fn calibrate(&mut self, lessons: Lessons) -> Result<(), RecalibrationError> {
        let result = self.detector.calibrate(lessons);
        if let Err(error) = result {
            defmt::error!("no calibration: {}", error);
        }
        result
    }

    /// Tells that frames are missing, see [`Detector::gap`].
    pub fn gap(&mut self) {
        self.detector.gap();
    }

    /// Takes one frame, `[channels]`; logs and gives the verdict if it ends a window.
    pub fn push(&mut self, frame: &[i16]) -> Option<Verdict> {
        let verdict = self.detector.push_traced(frame, &mut self.hash)?;
        self.windows = self.windows.wrapping_add(1);
        if verdict.is_anomaly() {
            self.alarms = self.alarms.wrapping_add(1);
            defmt::warn!(
                "ALARM stream_window={=u32} score={=i64}",
                verdict.window,
                verdict.score.0
            );
        } else {
            defmt::debug!("stream_window={=u32} score={=i64}", verdict.window, verdict.score.0);
        }
        if let Some(event) = verdict.event {
            let carried = self.detector.attribution();
            defmt::info!(
                "event={=str} event_window={=u32} score={=i64} channel={=u16} band={=u16} percent={=u8} resembles={=str}",
                event.name(),
                verdict.window,
                verdict.score.0,
                carried.channel,
                carried.band,
                carried.percent(),
                self.resemblance(),
            );
        }
        Some(verdict)
    }

    /// Name of the known state that an alarm resembles, empty for none.
    #[cfg(feature = "latent-heads")]
    fn resemblance(&self) -> &'a str {
        self.detector.resemblance().map_or("", |known| known.name)
    }

    #[cfg(not(feature = "latent-heads"))]
    fn resemblance(&self) -> &'static str {
        ""
    }

    /// Logs the hash over everything the stream computed, and how much that was.
    pub fn report(&self) {
        defmt::info!(
            "stream_hash={=u64:016x} stream_windows={=u32} stream_alarms={=u32}",
            self.hash.value(),
            self.windows,
            self.alarms,
        );
    }
}
