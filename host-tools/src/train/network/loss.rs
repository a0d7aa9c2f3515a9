//! Losses and activations as the framework differentiates them.

use super::super::Sigma;
use crate::graph::Activation;
use burn::tensor::Tensor;
use burn::tensor::activation as act;

/// `sum(softplus(l) - x * l)`, all windows.
pub(super) fn bernoulli_nll(logits: Tensor<2>, x: Tensor<2>) -> Tensor<1> {
    // softplus(l) = max(l, 0) + ln(1 + exp(-|l|)) does not overflow.
    let tail = logits.clone().abs().neg().exp().log1p();
    (act::relu(logits.clone()) + tail - x * logits).sum()
}

/// Mean over the given windows of the Gaussian NLL, nats a window.
pub(super) fn gaussian_nll(y: Tensor<2>, x: Tensor<2>, sigma: Sigma) -> Tensor<1> {
    let features = x.dims()[1] as f32;
    let mse = (x - y).powi_scalar(2).mean();
    let ln_tau = std::f32::consts::TAU.ln();
    match sigma {
        // σ² = mse makes the squared term D/2.
        Sigma::Optimal => (mse.add_scalar(1e-8).log() + (1.0 + ln_tau)).mul_scalar(0.5 * features),
        Sigma::Fixed(sigma) => {
            let variance = sigma * sigma;
            (mse.mul_scalar(1.0 / variance) + (variance.ln() + ln_tau)).mul_scalar(0.5 * features)
        }
    }
}

pub(super) fn activate(x: Tensor<2>, activation: Activation) -> Tensor<2> {
    match activation {
        Activation::Identity => x,
        Activation::Relu => act::relu(x),
        Activation::Relu6 => x.clamp(0.0, 6.0),
        Activation::LeakyRelu { alpha } => act::leaky_relu(x, alpha.into()),
        Activation::Elu { alpha } => act::elu(x, alpha.into()),
        Activation::Sigmoid => act::sigmoid(x),
        Activation::Tanh => act::tanh(x),
        Activation::Gelu => act::gelu(x),
        Activation::Silu => act::silu(x),
        Activation::Softplus => act::softplus(x, 1.0),
    }
}
