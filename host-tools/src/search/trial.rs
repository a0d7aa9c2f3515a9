//! One trial's rung: train, quantize, measure.

use indicatif::ProgressBar;

use super::candidate::Candidate;
use super::figures::Figures;
use super::inherit::inherit;
use crate::compress::{DistillConfig, Yardstick, YardstickError, distill};
use crate::emit::{Blob, BlobError};
use crate::graph::{Provenance, Vae};
use crate::needs::instructions;
use crate::quantize::{QuantizeError, QuantizeOptions, Settled, quantize_on, spread};
use crate::recording::WindowSet;
use crate::simulate::{AssembleError, DetectorOptions, assemble};
use crate::train::{
    Architecture, FineTuneConfig, FineTuned, FitConfig, TeacherConfig, TrainError, finetune,
    student,
};

/// What all trials of a study share.
pub struct Task<'a> {
    /// Windows to train and to calibrate on.
    pub train: WindowSet<'a>,
    /// Windows to measure with, and the reference.
    pub yardstick: Yardstick,
    /// What is not searched: name, activation, likelihood, score, image.
    pub like: Architecture,
    /// What the networks came from: a blob holds it, so it counts.
    pub provenance: Provenance,
    /// The first rung's training; each later one is `eta` times as long in all.
    pub fit: FitConfig,
    /// See [`Rules::eta`](super::Rules).
    pub eta: usize,
    /// The last rung.
    pub last_rung: usize,
    /// Ranges and rounding; the bits are the candidate's.
    pub quantize: QuantizeOptions,
    /// Target and false-alarm rate.
    pub detector: DetectorOptions,
    /// Learn from the reference as well as from the windows.
    pub distil: bool,
}

/// Why a trial failed.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[non_exhaustive]
pub enum TrialError {
    /// What was trained is larger or slower than was planned.
    #[error("trained, it is beyond the budget: {excess}")]
    Budget {
        /// Which limits, and by what.
        excess: String,
    },
    /// Training.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Train(#[from] TrainError),
    /// Quantization.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Quantize(#[from] QuantizeError),
    /// The blob.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Assemble(#[from] AssembleError),
    /// Reading the blob back.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Blob(#[from] BlobError),
    /// Measuring.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Yardstick(#[from] YardstickError),
}

/// What a rung leaves.
#[derive(Debug, Clone, PartialEq)]
pub struct Trained {
    /// Float weights.
    pub vae: Vae,
    /// What makes the integers that were measured of them; `None` where calibration does.
    pub settled: Option<Settled>,
    /// What it was measured by.
    pub figures: Figures,
}

impl Task<'_> {
    /// A network of the candidate's shape with random weights.
    ///
    /// # Errors
    /// [`TrainError`] where a layer is empty or the shape does not fit the features.
    pub fn network(&self, candidate: &Candidate, seed: u64) -> Result<Vae, TrainError> {
        let shape = candidate.architecture(&self.like);
        let vae = student(self.yardstick.reference(), &shape, seed)?;
        Ok(Vae { provenance: self.provenance.clone(), ..vae })
    }

    /// Epochs trained after a rung, in all.
    fn epochs(&self, rung: usize) -> usize {
        self.fit.epochs * self.eta.pow(rung as u32)
    }

    /// Trains to the end of `rung` from `start`, the weights of the rung before (or of
    /// nobody, and then from a parent's where there is one).
    ///
    /// # Errors
    /// [`TrialError`].
    pub fn run(
        &self,
        candidate: &Candidate,
        rung: usize,
        start: Option<Vae>,
        parent: Option<&Vae>,
        seed: u64,
        progress: &ProgressBar,
    ) -> Result<Trained, TrialError> {
        let vae = match start {
            Some(vae) => vae,
            None => {
                let mut vae = self.network(candidate, seed)?;
                if let Some(parent) = parent {
                    inherit(&mut vae, parent);
                }
                vae
            }
        };
        let done = if rung == 0 { 0 } else { self.epochs(rung - 1) };
        let config = FitConfig {
            epochs: self.epochs(rung) - done,
            validation: 0.0,
            patience: None,
            cosine: rung == self.last_rung,
            seed: seed.wrapping_add(rung as u64),
            ..self.fit.clone()
        };
        let options = self.options(candidate, &vae);
        // 8-bit weights lose nothing that training could mend.
        let quantization = candidate.four_bit.contains(&true).then(|| options.clone());
        let config = FineTuneConfig { fit: config, quantization };
        let tuned = if self.distil {
            let teacher = self.yardstick.reference();
            let lessons = TeacherConfig::of(teacher, &vae);
            let config = DistillConfig { fine_tune: config, teacher: lessons };
            distill(teacher, &vae, &self.train, &config, progress)?
        } else {
            finetune(&vae, &self.train, None, &config, progress)?
        };
        let FineTuned { vae, settled, .. } = tuned;
        let blob = self.blob(&options, &vae, settled.as_ref())?;
        let (int8, float) = (self.yardstick.of_blob(&blob)?, self.yardstick.of_float(&vae)?);
        let figures = Figures {
            loss: int8.negative_elbo,
            float_loss: float.negative_elbo,
            detection: if self.distil { int8.agreement } else { int8.damage_auc },
            blob_bytes: blob.bytes().len(),
            arena_bytes: blob.model()?.arena_len(),
            instructions: instructions(&vae, &options, &self.detector.target).unwrap_or(0),
            epochs: self.epochs(rung),
        };
        Ok(Trained { vae, settled, figures })
    }

    /// How a candidate is quantized.
    pub fn options(&self, candidate: &Candidate, vae: &Vae) -> QuantizeOptions {
        QuantizeOptions { weight_bits: candidate.weight_bits(vae), ..self.quantize.clone() }
    }

    /// The blob that is measured.
    pub(super) fn blob(
        &self,
        options: &QuantizeOptions,
        vae: &Vae,
        settled: Option<&Settled>,
    ) -> Result<Blob, TrialError> {
        let quantized = quantize_on(vae, &self.train, settled, options)?;
        let some = self.train.subset(&spread(self.train.len(), options.max_windows));
        Ok(assemble(quantized, &some, &self.detector)?.blob)
    }
}
