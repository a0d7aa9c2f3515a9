//! What is tried: a front-end and a network that fits the flash.

use super::{FitError, Signal};
use crate::emit::{Calibrated, write};
use crate::graph::{
    Activation, BandScale, Frontend, LikelihoodKind, ScoreKind, Spectrum, Taper, Vae,
};
use crate::quantize::{QuantizeOptions, lower, observe};
use crate::train::{Architecture, Convolution, random_vae};
use ndarray::Array2;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// A front-end and a network behind it.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// What it is, in a few words.
    pub about: String,
    /// The front-end; its normalization is fitted when it is trained.
    pub frontend: Frontend,
    /// The network.
    pub architecture: Architecture,
    /// Bytes of its blob.
    pub blob_bytes: usize,
    /// Whether channels of states, and those that were always 0, are silenced.
    pub without_states: bool,
}

/// Blobs are planned a little below the flash: the decision and the calibration come on top.
const SPARE: usize = 256;

/// Samples a window beyond which a network on their means is tried as well.
const WIDE: usize = 512;

/// All candidates that fit into `flash` bytes.
pub(super) fn candidates(
    signal: &Signal,
    window: usize,
    hop: usize,
    remove_mean: bool,
    target: &str,
    flash: usize,
    name: &str,
) -> Result<Vec<Candidate>, FitError> {
    let raw = Frontend { remove_mean, ..Frontend::identity(window, hop, signal.channels) };
    let mut fits = Vec::new();
    let mut smallest = usize::MAX;
    let mut offer = |about: &str, frontend: &Frontend, sizes: &[Shape]| -> Result<(), FitError> {
        // The largest that fits; sizes fall.
        for shape in sizes {
            let architecture = shape.architecture(name);
            let Ok(bytes) = blob_bytes(frontend, &architecture, target) else { continue };
            smallest = smallest.min(bytes);
            if bytes + SPARE <= flash {
                fits.push(Candidate {
                    about: format!("{about}, {shape}"),
                    frontend: frontend.clone(),
                    architecture,
                    blob_bytes: bytes,
                    without_states: false,
                });
                break;
            }
        }
        Ok(())
    };
    let features = raw.feature_len();
    let latent = (features / 16).clamp(3, 12);
    let dense = |widths: &[usize], latent: usize| -> Vec<Shape> {
        widths.iter().map(|w| Shape { convolutions: vec![], hidden: vec![*w], latent }).collect()
    };
    offer("samples", &raw, &dense(&[96, 64, 48, 32, 24, 16, 12, 8], latent))?;
    if features > 64 {
        offer("samples", &raw, &dense(&[32, 24, 16, 12, 8, 6], (latent / 2).max(2)))?;
    } else if features > 3 * latent {
        // A level, a slope and the phases of a day are more than three.
        offer("samples", &raw, &dense(&[96, 64, 48, 32, 24, 16, 12, 8], 2 * latent))?;
    }
    if !remove_mean {
        let latent = (signal.channels / 8).clamp(3, 16);
        for frontend in means(&raw) {
            let about = format!("means of {} samples", frontend.average);
            offer(&about, &frontend, &dense(&[96, 64, 48, 32, 24, 16, 12, 8], latent))?;
        }
    }
    if window >= 32 {
        let stages = |widths: [usize; 3], latent| Shape {
            convolutions: widths
                .into_iter()
                .map(|channels| Convolution { channels, kernel: 5, stride: 2 })
                .collect(),
            hidden: vec![],
            latent,
        };
        let sizes = [
            stages([16, 32, 32], 8),
            stages([8, 16, 32], 8),
            stages([8, 16, 16], 8),
            stages([8, 16, 8], 8),
            stages([8, 8, 4], 6),
        ];
        offer("samples", &raw, &sizes)?;
    }
    if signal.swings {
        for spectrum in spectra(window) {
            let bands = spectrum.bands * signal.channels;
            let frontend = Frontend {
                remove_mean: true,
                offset: vec![0.0; bands],
                scale: vec![1.0; bands],
                window_len: spectrum.window_len(),
                spectrum: Some(spectrum.clone()),
                ..raw.clone()
            };
            let about = format!("{} log bands of {} spectra", spectrum.bands, spectrum.stack);
            let latent = (frontend.feature_len() / 16).clamp(3, 10);
            offer(&about, &frontend, &dense(&[96, 64, 48, 32, 24, 16, 12, 8], latent))?;
        }
    }
    if !remove_mean && !signal.states.is_empty() {
        // Few recordings show too few of the states' combinations to learn any.
        let plain = |c: &&Candidate| {
            c.architecture.convolutions.is_empty() && c.frontend.average < (window / 4).max(2)
        };
        let without: Vec<Candidate> = fits
            .iter()
            .filter(plain)
            .map(|c| Candidate {
                about: format!("{} without states", c.about),
                without_states: true,
                ..c.clone()
            })
            .collect();
        fits.extend(without);
    }
    if fits.is_empty() {
        return Err(FitError::Flash { flash, smallest });
    }
    Ok(fits)
}

/// A window's mean, and the means of its quarters: of channels with a level, noise averages out
/// and what is steady stays.
fn means(raw: &Frontend) -> Vec<Frontend> {
    let (window, hop) = (raw.window_len, raw.hop);
    let whole = Frontend { average: window, decimate: hop, ..raw.clone() };
    let quarter = Frontend { average: window / 4, decimate: window / 4, ..raw.clone() };
    let fits = |frontend: &Frontend| {
        frontend.average > 1 && frontend.validate().is_ok() && frontend.feature_len() <= 4_096
    };
    // Of many channels whole windows of samples take more flash than there is.
    let few = window_of_few(raw);
    [Some(whole), Some(quarter), few].into_iter().flatten().filter(fits).collect()
}

/// The means of sixteenths of a window, where its samples are many.
fn window_of_few(raw: &Frontend) -> Option<Frontend> {
    let average = raw.window_len / 16;
    (raw.feature_len() > WIDE && raw.window_len.is_multiple_of(16)).then(|| Frontend {
        average,
        decimate: average,
        ..raw.clone()
    })
}

/// Spectra that fill a window: one long frame, and several shorter ones.
fn spectra(window: usize) -> Vec<Spectrum> {
    let power = |len: usize| if len == 0 { 0 } else { 1 << len.ilog2() };
    let longest = power(window).min(1024);
    [longest, longest / 2]
        .into_iter()
        .filter(|frame_len| *frame_len >= 64)
        .map(|frame_len| {
            let spare = window - frame_len;
            // As many frames as half-overlapping ones, spread so that they end with the window.
            let hops = spare.div_ceil(frame_len / 2).min(7);
            let frame_hop = spare.checked_div(hops).unwrap_or(frame_len / 2);
            Spectrum {
                frame_len,
                frame_hop: frame_hop.max(1),
                stack: hops + 1,
                taper: Taper::Hann,
                bands: (frame_len / 4).min(32),
                scale: BandScale::Log,
                sample_rate: None,
                min_hz: None,
                max_hz: None,
            }
        })
        .collect()
}

/// A network's shape.
struct Shape {
    convolutions: Vec<Convolution>,
    hidden: Vec<usize>,
    latent: usize,
}

impl std::fmt::Display for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for convolution in &self.convolutions {
            write!(f, "{convolution} ")?;
        }
        for width in &self.hidden {
            write!(f, "{width} ")?;
        }
        write!(f, "latent {}", self.latent)
    }
}

impl Shape {
    fn architecture(&self, name: &str) -> Architecture {
        Architecture {
            name: name.to_string(),
            convolutions: self.convolutions.clone(),
            decoder_convolutions: None,
            image: None,
            hidden: self.hidden.clone(),
            decoder_hidden: self.hidden.iter().rev().copied().collect(),
            latent: self.latent,
            activation: Activation::Relu,
            likelihood: LikelihoodKind::Gaussian,
            score: ScoreKind::GaussianNll,
        }
    }
}

/// Bytes of the blob that a network of this shape will make.
fn blob_bytes(
    frontend: &Frontend,
    architecture: &Architecture,
    target: &str,
) -> Result<usize, FitError> {
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let mut vae: Vae = random_vae(frontend.clone(), architecture, &mut rng)?;
    let precision = ndarray::Array1::ones(vae.input_len());
    vae.likelihood = crate::graph::Likelihood::Gaussian { precision: Some(precision) };
    vae.validate()?;
    let options = QuantizeOptions::default();
    let features = Array2::from_shape_fn((2, vae.input_len()), |(row, _)| row as f32);
    let ranges = observe(&vae, features.view(), &options)?;
    let quantized = lower(&vae, &ranges, &options)?;
    let calibrated = Calibrated { threshold: Some(1 << 30), ..Calibrated::default() };
    Ok(write(&quantized, target, calibrated)?.bytes().len())
}
