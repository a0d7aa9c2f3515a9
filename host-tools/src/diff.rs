//! Two models on the same windows, layer by layer: where do they part?
//!
//! Float models are run by the graph, blobs by the core; integer activations are
//! read as the real numbers they stand for, so that any two can be compared.

use ndarray::{Array2, ArrayView1};
use picovae_core::model::wire::Likelihood as WireLikelihood;
use picovae_core::score::reconstruction_error::GRID_FRAC_BITS;
use picovae_core::trace::Trace;
use picovae_core::{Model, VaeError};

use crate::graph::Vae;
use crate::recording::Clips;
use crate::simulate::{Simulator, SimulatorArena};

/// What a layer computed, `[window][element]`.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerValues {
    /// Name of the layer; `features`, `mu`, `logvar` and `latent` are called so in every model.
    pub name: String,
    /// In real numbers.
    pub values: Array2<f32>,
}

/// How far two models are apart in one layer.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerDifference {
    /// Name of the layer in the first model.
    pub name: String,
    /// Greatest difference.
    pub max_abs: f64,
    /// Mean difference.
    pub mean_abs: f64,
    /// Root mean square of the first model's values, to judge the others by.
    pub rms: f64,
}

impl LayerDifference {
    /// Whether the mean difference exceeds `tolerance` times the values' size.
    pub fn parts(&self, tolerance: f64) -> bool {
        // A difference that is not a number parts them, too.
        self.mean_abs.is_nan() || self.mean_abs > tolerance * self.rms
    }
}

/// Why two models cannot be compared.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[non_exhaustive]
pub enum DiffError {
    /// The models have other layers.
    #[error("`{first}` has the layers {first_layers}; `{second}` has {second_layers}")]
    #[diagnostic(help("compare models of one architecture, e.g. a file and what was made of it"))]
    Layers {
        /// The first model.
        first: String,
        /// Its layers with their sizes.
        first_layers: String,
        /// The second model.
        second: String,
        /// Its layers with their sizes.
        second_layers: String,
    },
    /// The recording has no window for one of them.
    #[error("the recording holds no whole window")]
    #[diagnostic(help("give at least as many frames as the models' window"))]
    NoWindows,
    /// The core refuses the windows.
    #[error(transparent)]
    Core(#[from] VaeError),
}

/// Runs a float model on the first `most` windows.
pub fn float_layers(vae: &Vae, clips: &Clips<'_>, most: usize) -> Vec<LayerValues> {
    let x = clips.features(&vae.frontend, 0..clips.window_count().min(most));
    let trace = vae.trace(x.view(), None);
    let layer = |name: &str, values: Array2<f32>| LayerValues { name: name.to_string(), values };
    let mut all = vec![layer("features", x)];
    all.extend(vae.encoder.iter().zip(trace.encoder).map(|(l, y)| layer(&l.name, y)));
    all.push(layer("mu", trace.mu));
    all.extend(trace.logvar.map(|y| layer("logvar", y)));
    all.push(layer("latent", trace.latent));
    all.extend(vae.decoder.iter().zip(trace.decoder).map(|(l, y)| layer(&l.name, y)));
    all
}

/// Runs a blob on the first `most` windows.
///
/// # Errors
/// [`DiffError::Core`] where the windows are not the model's.
pub fn blob_layers(
    model: &Model<'_>,
    clips: &Clips<'_>,
    most: usize,
) -> Result<Vec<LayerValues>, DiffError> {
    let mut arena = SimulatorArena::new(model);
    let mut simulator = Simulator::new(model, &mut arena)?;
    let mut collector = Collector { grids: Grids::of(model), layers: Vec::new(), at: 0 };
    let windows = clips.window_count().min(most);
    for index in 0..windows {
        collector.at = 0;
        simulator.score(clips.window(index).samples, &mut collector)?;
    }
    let values = |rows: Vec<f32>| {
        let columns = rows.len().checked_div(windows).unwrap_or(0);
        Array2::from_shape_vec((windows, columns), rows).unwrap_or_default()
    };
    let named = collector.layers.into_iter();
    Ok(named.map(|(name, rows)| LayerValues { name, values: values(rows) }).collect())
}

/// Differences of two models, layer by layer. Layers are paired in order.
///
/// # Errors
/// [`DiffError::Layers`] where their number or sizes differ, [`DiffError::NoWindows`].
pub fn diff(
    (first, a): (&str, &[LayerValues]),
    (second, b): (&str, &[LayerValues]),
) -> Result<Vec<LayerDifference>, DiffError> {
    if a.iter().chain(b).any(|layer| layer.values.nrows() == 0) {
        return Err(DiffError::NoWindows);
    }
    let alike =
        a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.values.dim() == b.values.dim());
    if !alike {
        let list = |layers: &[LayerValues]| {
            let sizes = layers.iter().map(|l| format!("{} ({})", l.name, l.values.ncols()));
            sizes.collect::<Vec<_>>().join(", ")
        };
        return Err(DiffError::Layers {
            first: first.to_string(),
            first_layers: list(a),
            second: second.to_string(),
            second_layers: list(b),
        });
    }
    Ok(a.iter().zip(b).map(|(a, b)| difference(a, b)).collect())
}

fn difference(a: &LayerValues, b: &LayerValues) -> LayerDifference {
    let count = a.values.len().max(1) as f64;
    let (mut max_abs, mut sum, mut squares) = (0f64, 0f64, 0f64);
    for (a, b) in a.values.iter().zip(&b.values) {
        let (a, b) = (f64::from(*a), f64::from(*b));
        let distance = (a - b).abs();
        max_abs = if distance.is_nan() { distance } else { max_abs.max(distance) };
        sum += distance;
        squares += a * a;
    }
    let (mean_abs, rms) = (sum / count, (squares / count).sqrt());
    LayerDifference { name: a.name.clone(), max_abs, mean_abs, rms }
}

/// What the integers of a blob stand for.
struct Grids {
    /// Of each layer's int8 output: scale and zero point.
    layers: Vec<(String, f32, i8)>,
    features: (f32, i8),
    latent: (f32, i8),
    latent_len: usize,
    mu: f32,
    logvar: f32,
    encoder_len: usize,
    output: OutputGrid,
}

/// What the decoder's int16 output stands for.
enum OutputGrid {
    /// Logits.
    Logits(f32),
    /// Values on the features' grid.
    Features(f32, f32),
}

impl Grids {
    fn of(model: &Model<'_>) -> Self {
        let description = model.description();
        let frontend = &description.frontend;
        let (scale, zero_point) = (f32::from_bits(frontend.scale_bits), frontend.zero_point);
        let latent = &description.latent;
        let mu = 0.5f32.powi(latent.mu_frac_bits.into());
        // mu = z_scale * (z - zero point), and z is mu times the multiplier.
        let factor = f64::from(latent.z_multiplier) * 2f64.powi(i32::from(latent.z_shift) - 31);
        let layers = (0..model.layer_count()).map(|index| {
            // A table's output is on the grid its reader reads.
            let reader = model.record(index + 1).map_or(0, |next| next.input_zero_point);
            let scale = model.record(index).map_or(1.0, |own| f32::from_bits(own.scale_bits));
            (model.layer_name(index).to_string(), scale, reader)
        });
        Self {
            layers: layers.collect(),
            features: (scale, zero_point),
            latent: ((f64::from(mu) / factor) as f32, latent.z_zero_point),
            latent_len: latent.len.into(),
            mu,
            logvar: 0.5f32.powi(latent.logvar_frac_bits.into()),
            encoder_len: description.encoder_len.into(),
            output: match description.likelihood {
                WireLikelihood::Bernoulli => OutputGrid::Logits(1.0 / 256.0),
                WireLikelihood::Gaussian { .. } => {
                    let unit = scale / (1u32 << GRID_FRAC_BITS) as f32;
                    OutputGrid::Features(unit, f32::from(zero_point) * scale)
                }
            },
        }
    }
}

/// Collects every activation as real numbers, windows one behind the other.
struct Collector {
    grids: Grids,
    layers: Vec<(String, Vec<f32>)>,
    /// Layer of the present window.
    at: usize,
}

impl Collector {
    fn push(&mut self, name: &str, values: impl Iterator<Item = f32>) {
        if self.layers.len() == self.at {
            self.layers.push((name.to_string(), Vec::new()));
        }
        if let Some((_, all)) = self.layers.get_mut(self.at) {
            all.extend(values);
        }
        self.at += 1;
    }

    fn push_int8(&mut self, name: &str, (scale, zero_point): (f32, i8), values: &[i8]) {
        let real = values.iter().map(|&q| scale * (f32::from(q) - f32::from(zero_point)));
        self.push(name, real);
    }
}

impl Trace for Collector {
    fn features(&mut self, features: &[i8]) {
        self.push_int8("features", self.grids.features, features);
    }

    fn layer(&mut self, index: usize, activations: &[i8]) {
        // The int8 form of a head or an output comes again as int16.
        let last = index + 1 == self.grids.encoder_len || index + 1 == self.grids.layers.len();
        if let (false, Some((name, scale, zero_point))) =
            (last, self.grids.layers.get(index).cloned())
        {
            self.push_int8(&name, (scale, zero_point), activations);
        }
    }

    fn head(&mut self, index: usize, values: &[i16]) {
        let real = |values: &[i16], unit: f32, shift: f32| -> Vec<f32> {
            values.iter().map(|&v| unit * f32::from(v) - shift).collect()
        };
        if index + 1 == self.grids.encoder_len {
            let (mu, logvar) = values.split_at(self.grids.latent_len.min(values.len()));
            let (mu, logvar) = (real(mu, self.grids.mu, 0.0), real(logvar, self.grids.logvar, 0.0));
            self.push("mu", mu.into_iter());
            if !logvar.is_empty() {
                self.push("logvar", logvar.into_iter());
            }
            return;
        }
        let values = match self.grids.output {
            OutputGrid::Logits(unit) => real(values, unit, 0.0),
            OutputGrid::Features(unit, shift) => real(values, unit, shift),
        };
        let name = self.grids.layers.get(index).map_or(String::new(), |layer| layer.0.clone());
        self.push(&name, values.into_iter());
    }

    fn latent(&mut self, z: &[i8]) {
        self.push_int8("latent", self.grids.latent, z);
    }
}

/// The windows that differ most in the last layer, worst first: (window, largest difference).
pub fn worst_windows(a: &LayerValues, b: &LayerValues, most: usize) -> Vec<(usize, f64)> {
    let gap = |a: ArrayView1<'_, f32>, b: ArrayView1<'_, f32>| {
        a.iter().zip(b).fold(0f64, |max, (a, b)| max.max((f64::from(*a) - f64::from(*b)).abs()))
    };
    let rows = a.values.rows().into_iter().zip(b.values.rows());
    let mut windows: Vec<(usize, f64)> = rows.map(|(a, b)| gap(a, b)).enumerate().collect();
    windows.sort_by(|a, b| b.1.total_cmp(&a.1));
    windows.truncate(most);
    windows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::emit::{Calibrated, write};
    use crate::graph::tests::tiny;
    use crate::quantize::{QuantizeOptions, lower, observe};
    use crate::recording::Recording;

    fn recording() -> Recording {
        let samples = (0..64).map(|i| ((i * 7) % 11) as f32 - 5.0).collect();
        Recording {
            path: "x.npy".into(),
            shape: vec![32, 2],
            samples,
            columns: Vec::new(),
            sample_rate: None,
            jumps: Vec::new(),
        }
    }

    #[test]
    fn the_first_layer_that_changed_is_named() {
        let (vae, recording) = (tiny(), recording());
        let clips = recording.clips(&vae.frontend).unwrap();
        let mut other = vae.clone();
        if let Some((weight, _)) = other.decoder[0].op.parameters_mut() {
            weight[1] += 0.5;
        }
        let (a, b) = (float_layers(&vae, &clips, 16), float_layers(&other, &clips, 16));
        let names: Vec<&str> = a.iter().map(|layer| layer.name.as_str()).collect();
        assert_eq!(names, ["features", "encoder.0", "mu", "logvar", "latent", "decoder.0"]);
        assert!(diff(("a", &a), ("a", &a)).unwrap().iter().all(|layer| !layer.parts(0.0)));
        let parting = diff(("a", &a), ("b", &b)).unwrap();
        let first = parting.iter().find(|layer| layer.parts(1e-4)).unwrap();
        assert_eq!(first.name, "decoder.0");
        // mu is x0 + x1, and half of it was added.
        let largest = a[4].values.iter().fold(0f32, |max, z| max.max(z.abs()));
        assert!((first.max_abs - 0.5 * f64::from(largest)).abs() < 1e-5, "{}", first.max_abs);
    }

    #[test]
    fn a_blob_is_read_as_real_numbers() {
        let (vae, recording) = (tiny(), recording());
        let clips = recording.clips(&vae.frontend).unwrap();
        let options = QuantizeOptions::default();
        let x = clips.features(&vae.frontend, 0..clips.window_count());
        let ranges = observe(&vae, x.view(), &options).unwrap();
        let quantized = lower(&vae, &ranges, &options).unwrap();
        let blob = write(&quantized, "portable", Calibrated::default()).unwrap();
        let int8 = blob_layers(&blob.model().unwrap(), &clips, 16).unwrap();
        let float = float_layers(&vae, &clips, 16);
        for layer in diff(("float", &float), ("blob", &int8)).unwrap() {
            assert!(!layer.parts(0.05), "{layer:?}");
        }
        let mut short = int8.clone();
        short.pop();
        let error = diff(("a", &float), ("b", &short)).unwrap_err();
        assert!(error.to_string().contains("decoder.0 (2)"), "{error}");
    }
}
