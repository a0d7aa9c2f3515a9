//! Training that goes on from a model: further steps, in the device's integers if asked for,
//! with a teacher if there is one.

use super::{FitConfig, TeacherConfig, TrainReport};
use crate::graph::Vae;
use crate::quantize::{QuantizeOptions, Settled};

/// How a model is trained further.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct FineTuneConfig {
    /// Steps, rates, seed.
    pub fit: FitConfig,
    /// Quantization-aware: forward passes run the integers that these options give.
    pub quantization: Option<QuantizeOptions>,
}

/// A model to learn from, and what is taken from it.
#[derive(Debug, Clone, Copy)]
pub struct Teacher<'t> {
    /// The teacher.
    pub vae: &'t Vae,
    /// What is taken from it.
    pub config: TeacherConfig,
}

/// What came out.
#[derive(Debug, Clone, PartialEq)]
pub struct FineTuned {
    /// Float weights of the best epoch.
    pub vae: Vae,
    /// After quantization-aware training: what makes the validated integers of them
    /// ([`Settled::lower`]).
    pub settled: Option<Settled>,
    /// What happened.
    pub report: TrainReport,
}
