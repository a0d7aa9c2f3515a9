//! A chain of passes, and what came of it.

use serde::Serialize;

use super::Quality;
use crate::needs::Needs;
use crate::report::Pass;
use crate::search::Limit;

/// A chain of passes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Chain {
    /// Another network, as wide as fits, taught by the model.
    pub student: bool,
    /// Share of the parameters that pruning keeps; 1 prunes nothing.
    pub keep: f64,
    /// Bits of the weights; 4 bits are trained in the device's integers.
    pub bits: u8,
}

impl std::fmt::Display for Chain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.student {
            f.write_str("train and distill a student, ")?;
        } else if self.keep < 1.0 {
            write!(f, "prune to {:.1} %, ", 100.0 * self.keep)?;
        }
        match self.bits {
            4 => f.write_str("4-bit weights trained in integers, quantize"),
            _ => f.write_str("quantize"),
        }
    }
}

/// What a chain gave, or why it was not run.
#[derive(Debug, Clone, Serialize)]
pub struct ChainReport {
    /// The passes, in words.
    pub chain: String,
    /// The passes.
    #[serde(flatten)]
    pub passes: Chain,
    /// Flash, RAM and time: of the blob, or predicted where the chain was not run or failed.
    pub needs: Needs,
    /// Limits it is beyond.
    pub beyond: Vec<Limit>,
    /// The model, and what it is after each pass; empty where the chain was not run or failed.
    pub after: Vec<Pass>,
    /// Of the float model before quantization; `None` where the chain was not run or failed.
    pub float: Option<Quality>,
    /// Of the blob.
    pub int8: Option<Quality>,
    /// Rise of the negative ELBO over the model's, as a share of it.
    pub loss: Option<f64>,
    /// Whether budget and loss are kept.
    pub fits: bool,
    /// Why a chain within the budget gave nothing: its training or its quantization failed.
    pub failed: Option<String>,
    /// Seconds it took.
    pub seconds: f64,
}

impl ChainReport {
    /// Of a chain that the planner alone rules out.
    pub(super) fn planned(passes: Chain, needs: Needs, beyond: Vec<Limit>) -> Self {
        Self {
            chain: passes.to_string(),
            passes,
            needs,
            beyond,
            after: Vec::new(),
            float: None,
            int8: None,
            loss: None,
            fits: false,
            failed: None,
            seconds: 0.0,
        }
    }

    /// Of a chain that the planner let through, and that failed.
    pub(super) fn failed(passes: Chain, planned: Needs, error: &impl std::fmt::Display) -> Self {
        Self { failed: Some(error.to_string()), ..Self::planned(passes, planned, Vec::new()) }
    }

    /// Why it was chosen, or not.
    pub fn reason(&self, max_loss: f64) -> String {
        if let Some(error) = &self.failed {
            return format!("failed: {error}");
        }
        let beyond: Vec<String> = self.beyond.iter().map(ToString::to_string).collect();
        match self.loss {
            _ if !beyond.is_empty() => format!("beyond the limit of {}", beyond.join(", ")),
            Some(loss) if loss <= max_loss => "fits".into(),
            Some(loss) => {
                format!("loses {:.2} %, more than {:.2} %", 100.0 * loss, 100.0 * max_loss)
            }
            None => "not run".into(),
        }
    }
}
