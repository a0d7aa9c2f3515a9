//! What a trial is judged by.

use serde::{Deserialize, Serialize};

use crate::needs::Needs;

/// Figures of a network after a rung, of its blob where that makes a difference.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// Negative ELBO of the held-out windows by the blob, nats a window.
    pub loss: f64,
    /// The same of the float model.
    pub float_loss: f64,
    /// How well scores tell what matters, 1 at best: their rank correlation with
    /// the teacher's over normal and damaged windows, or without a teacher the
    /// ROC AUC of damaged against normal ones.
    pub detection: f64,
    /// Bytes of the blob.
    pub blob_bytes: usize,
    /// Bytes of the arena.
    pub arena_bytes: usize,
    /// Predicted instructions of an inference, 0 where there is no prediction.
    pub instructions: u64,
    /// Epochs trained so far.
    pub epochs: usize,
}

impl Figures {
    /// What is made small: loss, missed detection, flash, time.
    pub fn objectives(&self) -> Vec<f64> {
        vec![self.loss, 1.0 - self.detection, self.blob_bytes as f64, self.instructions as f64]
    }

    /// What a device needs for it, as measured.
    pub fn needs(&self) -> Needs {
        Needs {
            blob_bytes: self.blob_bytes,
            arena_bytes: self.arena_bytes,
            instructions: (self.instructions > 0).then_some(self.instructions),
        }
    }

    /// The part of them that training improves.
    pub fn quality(&self) -> Vec<f64> {
        vec![self.loss, 1.0 - self.detection]
    }
}
