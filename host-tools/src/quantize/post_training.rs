//! The passes between a float model and its integers that need no training, in their order.

use indicatif::ProgressBar;
use ndarray::ArrayView2;

use super::{
    AdaRound, QuantizeError, QuantizeOptions, QuantizedVae, Ranges, adaround, correct_biases,
    equalize, lower,
};
use crate::graph::Vae;

/// Which passes run; none by default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PostTraining {
    /// [`equalize`].
    pub equalize: bool,
    /// [`correct_biases`]; [`adaround`] does so by itself.
    pub correct_bias: bool,
    /// [`adaround`].
    pub adaround: Option<AdaRound>,
}

impl PostTraining {
    /// The model whose ranges are to be observed: the same function, its channels equalized where that
    /// is asked for.
    pub fn prepare(
        &self,
        vae: &Vae,
        features: ArrayView2<'_, f32>,
        options: &QuantizeOptions,
    ) -> Vae {
        if self.equalize { equalize(vae, features, options) } else { vae.clone() }
    }

    /// The integers of a [prepared](Self::prepare) model.
    ///
    /// # Errors
    /// As [`lower`].
    pub fn lower(
        &self,
        vae: &Vae,
        ranges: &Ranges,
        options: &QuantizeOptions,
        features: ArrayView2<'_, f32>,
        progress: &ProgressBar,
    ) -> Result<QuantizedVae, QuantizeError> {
        if let Some(config) = &self.adaround {
            let (vae, options) = adaround(vae, ranges, options, features, config, progress)?;
            return lower(&vae, ranges, &options);
        }
        if self.correct_bias {
            return lower(&correct_biases(vae, ranges, options, features)?, ranges, options);
        }
        lower(vae, ranges, options)
    }
}
