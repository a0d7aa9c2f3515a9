//! Keras layers as nodes: dense layers, activations, shapes, merges, sampling.

use super::Refused;
use super::config::Layer;
use super::model::Reader;
use super::store::Place;
use crate::graph::Activation;
use crate::import::network::{Kind, Pool, Value};
use ndarray::{Array1, ArrayD, Ix2, IxDyn};
use serde_json::Value as Json;

impl Reader {
    /// Adds the nodes of a layer called on `inputs`.
    pub(super) fn layer(
        &mut self,
        layer: Layer<'_>,
        inputs: &[Value],
        place: &Place,
    ) -> Result<Value, Refused> {
        let [x] = inputs else {
            return self.merge(layer, inputs);
        };
        let x = *x;
        let average = Pool::Average { include_padding: false };
        let y = match layer.class {
            "Dense" => self.dense(layer, x, place)?,
            "Conv1D" | "Conv2D" | "Convolution1D" | "Convolution2D" => {
                self.convolution(layer, x, place)?
            }
            "Conv1DTranspose" | "Conv2DTranspose" | "Convolution2DTranspose" => {
                self.transposed_convolution(layer, x, place)?
            }
            "DepthwiseConv1D" | "DepthwiseConv2D" => {
                self.depthwise_convolution(layer, x, place, false)?
            }
            "SeparableConv1D" | "SeparableConv2D" => {
                self.depthwise_convolution(layer, x, place, true)?
            }
            "MaxPooling1D" | "MaxPooling2D" => self.pool(layer, x, Pool::Max)?,
            "AveragePooling1D" | "AveragePooling2D" => self.pool(layer, x, average)?,
            "GlobalAveragePooling1D" | "GlobalAveragePooling2D" => {
                self.global_pool(layer, x, average)?
            }
            "GlobalMaxPooling1D" | "GlobalMaxPooling2D" => self.global_pool(layer, x, Pool::Max)?,
            "UpSampling1D" | "UpSampling2D" => self.upsampling(layer, x)?,
            "ZeroPadding1D" | "ZeroPadding2D" => self.pad(layer, x, "padding", 1)?,
            "Cropping1D" | "Cropping2D" => self.pad(layer, x, "cropping", -1)?,
            "BatchNormalization" => self.batch_norm(layer, x, place)?,
            "Flatten" => {
                let len = self.shape(x)?.iter().product();
                self.add(layer, Kind::Reshape { shape: vec![len] }, &[x])
            }
            "Reshape" => {
                let shape = self.reshaped(layer, x)?;
                self.add(layer, Kind::Reshape { shape }, &[x])
            }
            "Permute" => {
                let axes = layer.lengths("dims").unwrap_or_default();
                let axes = axes.iter().map(|axis| axis.saturating_sub(1)).collect();
                self.add(layer, Kind::Transpose { axes }, &[x])
            }
            "RepeatVector" => {
                let n = layer.lengths("n").filter(|n| n.len() == 1).unwrap_or_default();
                let mut shape = self.shape(x)?;
                shape.insert(0, 1);
                let factors = n.into_iter().chain([1]).collect();
                let row = self.add(layer, Kind::Reshape { shape }, &[x]);
                self.add(layer, Kind::Upsample { factors }, &[row])
            }
            "GetItem" => self.item(layer, x)?,
            "TimeDistributed" => self.time_distributed(layer, x, place)?,
            "Rescaling" => self.rescaling(layer, x)?,
            "Activation" => x,
            "ReLU" => {
                let kind = relu(layer)?;
                self.add(layer, kind, &[x])
            }
            "LeakyReLU" => {
                let alpha = layer.number(&["negative_slope", "alpha"], 0.3);
                self.add(layer, Kind::Activation(Activation::LeakyRelu { alpha }), &[x])
            }
            "ELU" => {
                let alpha = layer.number(&["alpha"], 1.0);
                self.add(layer, Kind::Activation(Activation::Elu { alpha }), &[x])
            }
            // What does something during training only.
            "Dropout"
            | "SpatialDropout1D"
            | "SpatialDropout2D"
            | "AlphaDropout"
            | "GaussianDropout"
            | "GaussianNoise"
            | "ActivityRegularization"
            | "Masking" => self.add(layer, Kind::Identity, &[x]),
            other => return Err(unknown(other)),
        };
        self.activation(layer, y)
    }

    fn shape(&self, x: Value) -> Result<Vec<usize>, Refused> {
        self.network.shape(x).map(<[usize]>::to_vec).ok_or_else(Refused::behind)
    }

    fn dense(&mut self, layer: Layer<'_>, x: Value, place: &Place) -> Result<Value, Refused> {
        let names: &[&[&str]] =
            if layer.flag("use_bias", true) { &[&["kernel"], &["bias"]] } else { &[&["kernel"]] };
        let mut arrays = self.store.variables(place, names)?.into_iter();
        // `[in][out]`
        let kernel = arrays.next().and_then(|k| k.into_dimensionality::<Ix2>().ok());
        let kernel = kernel.ok_or_else(|| {
            Refused::new("its kernel is no matrix", "save the model again with model.save(path)")
        })?;
        let weight = kernel.reversed_axes().as_standard_layout().into_owned();
        let bias = arrays.next().map(|bias| bias.into_iter().collect());
        Ok(self.add(layer, Kind::FullyConnected { weight, bias }, &[x]))
    }

    /// What works on the last axis works on every frame as it is.
    fn time_distributed(
        &mut self,
        layer: Layer<'_>,
        x: Value,
        place: &Place,
    ) -> Result<Value, Refused> {
        const ELEMENTWISE: [&str; 6] =
            ["Dense", "Activation", "Dropout", "ReLU", "LeakyReLU", "ELU"];
        match layer.config.get("layer").and_then(Layer::of) {
            Some(inner) if ELEMENTWISE.contains(&inner.class) => {
                self.layer(inner, &[x], &place.wrapped(inner.name))
            }
            _ => Err(unknown(layer.class)),
        }
    }

    fn batch_norm(&mut self, layer: Layer<'_>, x: Value, place: &Place) -> Result<Value, Refused> {
        let rank = self.shape(x)?.len();
        let axis = layer.config.get("axis");
        let axis = axis.and_then(|a| a.as_array().and_then(|list| list.first()).or(Some(a)));
        let axis = match axis.and_then(Json::as_i64) {
            None | Some(-1) => rank.checked_sub(1),
            Some(axis) => usize::try_from(axis).ok().and_then(|axis| axis.checked_sub(1)),
        };
        let axis = axis.filter(|axis| *axis < rank).ok_or_else(|| {
            Refused::new("normalizes an axis that is not there", "normalize the last axis")
        })?;
        let (scale, center) = (layer.flag("scale", true), layer.flag("center", true));
        let mut names: Vec<&[&str]> = Vec::new();
        names.extend(scale.then_some(&["gamma"][..]));
        names.extend(center.then_some(&["beta"][..]));
        names.extend([&["moving_mean"][..], &["moving_variance"]]);
        let arrays = self.store.variables(place, &names)?;
        let mut arrays = arrays.into_iter().map(|array| array.into_iter().collect());
        let gamma: Option<Array1<f32>> = if scale { arrays.next() } else { None };
        let beta: Option<Array1<f32>> = if center { arrays.next() } else { None };
        let (Some(mean), Some(variance)) = (arrays.next(), arrays.next()) else {
            return Err(Refused::new("its statistics are missing", "save the model again"));
        };
        let same = |other: &Array1<f32>| other.len() == mean.len();
        if !same(&variance) || !gamma.iter().all(same) || !beta.iter().all(same) {
            return Err(Refused::new(
                "its statistics have different lengths",
                "save the model again with model.save(path)",
            ));
        }
        let epsilon = layer.number(&["epsilon"], 1e-3);
        let kind = Kind::batch_norm(axis, gamma.as_ref(), beta.as_ref(), &mean, &variance, epsilon);
        Ok(self.add(layer, kind, &[x]))
    }

    /// The target of a Reshape; one of its lengths may be left open.
    fn reshaped(&self, layer: Layer<'_>, x: Value) -> Result<Vec<usize>, Refused> {
        let odd = || Refused::new("its target_shape is not read", "give whole numbers");
        let len: usize = self.shape(x)?.iter().product();
        let target = layer.config.get("target_shape").and_then(Json::as_array).ok_or_else(odd)?;
        let lengths: Option<Vec<i64>> = target.iter().map(Json::as_i64).collect();
        let lengths = lengths.ok_or_else(odd)?;
        let fixed = lengths.iter().filter(|n| **n != -1);
        let product = fixed.clone().try_fold(1usize, |product, n| {
            usize::try_from(*n).ok().and_then(|n| product.checked_mul(n))
        });
        let product = product.filter(|n| *n > 0).ok_or_else(odd)?;
        let length = |n: &i64| usize::try_from(*n).unwrap_or(len / product);
        Ok(lengths.iter().map(length).collect())
    }

    /// `x * scale + offset`, the same for all elements.
    fn rescaling(&mut self, layer: Layer<'_>, x: Value) -> Result<Value, Refused> {
        let shape = self.shape(x)?;
        let (Some(axis), Some(len)) = (shape.len().checked_sub(1), shape.last()) else {
            return Err(Refused::new("rescales nothing", "remove the layer"));
        };
        let of = |key: &str, default: f64| match layer.config.get(key) {
            None => Some(Array1::from_elem(*len, default as f32)),
            Some(Json::Array(list)) if list.len() == *len => {
                list.iter().map(|n| n.as_f64().map(|n| n as f32)).collect()
            }
            Some(value) => value.as_f64().map(|n| Array1::from_elem(*len, n as f32)),
        };
        let (Some(scale), Some(shift)) = (of("scale", 1.0), of("offset", 0.0)) else {
            return Err(Refused::new("its scale or offset is not read", "give one number each"));
        };
        Ok(self.add(layer, Kind::Affine { axis, scale, shift }, &[x]))
    }

    /// Layers that read several values.
    fn merge(&mut self, layer: Layer<'_>, inputs: &[Value]) -> Result<Value, Refused> {
        let pairwise = match layer.class {
            "Add" => Some(Kind::Add),
            "Multiply" => Some(Kind::Multiply),
            "Subtract" => Some(Kind::Subtract),
            "Concatenate" => None,
            _ => return self.sampling(layer, inputs),
        };
        let [first, rest @ ..] = inputs else {
            return Err(Refused::new("reads nothing", "save the model again"));
        };
        if let Some(kind) = pairwise {
            let each = |sum: Value, x: &Value| self.add(layer, kind.clone(), &[sum, *x]);
            return Ok(rest.iter().fold(*first, each));
        }
        let rank = self.shape(*first)?.len();
        let axis = match layer.config.get("axis").and_then(Json::as_i64) {
            None | Some(-1) => rank.saturating_sub(1),
            Some(axis) => usize::try_from(axis - 1).unwrap_or(usize::MAX),
        };
        Ok(self.add(layer, Kind::Concat { axis }, inputs))
    }

    /// A layer of the user's own that reads two values of one shape is the
    /// sampling step: its code is not in the file, or not to be run.
    fn sampling(&mut self, layer: Layer<'_>, inputs: &[Value]) -> Result<Value, Refused> {
        let [mu, logvar] = inputs else {
            return Err(unknown(layer.class));
        };
        let shape = self.shape(*mu)?;
        if shape != self.shape(*logvar)? || is_kerass_own(layer) {
            return Err(unknown(layer.class));
        }
        let constant = ArrayD::from_elem(IxDyn(&[1]), 0.5);
        let half = self.add(layer, Kind::Constant(constant), &[]);
        let noise = self.add(layer, Kind::RandomNormal { shape }, &[]);
        let scaled = self.add(layer, Kind::Multiply, &[*logvar, half]);
        let sigma = self.add(layer, Kind::Exp, &[scaled]);
        let spread = self.add(layer, Kind::Multiply, &[sigma, noise]);
        self.notes.push(format!(
            "layer `{}` ({}) is taken to sample: mean first, then ln σ² (its code is not read)",
            layer.name, layer.class
        ));
        Ok(self.add(layer, Kind::Add, &[*mu, spread]))
    }

    /// The activation that a layer has as a setting.
    fn activation(&mut self, layer: Layer<'_>, x: Value) -> Result<Value, Refused> {
        let Some(setting) = layer.config.get("activation") else { return Ok(x) };
        // A name, or an object that holds one.
        let name = match setting {
            Json::Null => return Ok(x),
            Json::String(name) => name,
            object => {
                if let Some(inner) = Layer::of(object).filter(|inner| inner.config.is_object()) {
                    let place = Place::layer(None, inner.name, inner.class, 0);
                    return self.layer(inner, &[x], &place);
                }
                let named = object.get("config").and_then(Json::as_str);
                named.or_else(|| object.get("class_name").and_then(Json::as_str)).unwrap_or("")
            }
        };
        let activation = match name {
            "linear" => return Ok(x),
            "relu" => Activation::Relu,
            "relu6" => Activation::Relu6,
            "leaky_relu" => Activation::LeakyRelu { alpha: 0.2 },
            "elu" => Activation::Elu { alpha: 1.0 },
            "sigmoid" => Activation::Sigmoid,
            "tanh" => Activation::Tanh,
            "gelu" => Activation::Gelu,
            "silu" | "swish" => Activation::Silu,
            "softplus" => Activation::Softplus,
            "selu" => return self.selu(layer, x),
            "exponential" => return Ok(self.add(layer, Kind::Exp, &[x])),
            other => {
                return Err(Refused::new(
                    format!("the activation `{other}` is not read"),
                    "use relu, leaky_relu, elu, selu, sigmoid, tanh, gelu, silu or softplus",
                ));
            }
        };
        Ok(self.add(layer, Kind::Activation(activation), &[x]))
    }
}

impl Reader {
    /// `scale * elu(x)`, with the alpha of self-normalizing networks.
    fn selu(&mut self, layer: Layer<'_>, x: Value) -> Result<Value, Refused> {
        let elu = Kind::Activation(Activation::Elu { alpha: 1.673_263_2 });
        let y = self.add(layer, elu, &[x]);
        let scale = Kind::Constant(ArrayD::from_elem(IxDyn(&[1]), 1.050_701));
        let scale = self.add(layer, scale, &[]);
        Ok(self.add(layer, Kind::Multiply, &[y, scale]))
    }
}

/// `ReLU` with its settings.
fn relu(layer: Layer<'_>) -> Result<Kind, Refused> {
    let slope = layer.number(&["negative_slope"], 0.0);
    let max = layer.number(&["max_value"], f32::INFINITY);
    if layer.number(&["threshold"], 0.0) != 0.0 || slope != 0.0 && max.is_finite() {
        return Err(Refused::new(
            "a threshold, or a slope together with a max_value, is not read",
            "use ReLU with one of negative_slope and max_value",
        ));
    }
    if slope != 0.0 {
        return Ok(Kind::Activation(Activation::LeakyRelu { alpha: slope }));
    }
    Ok(Kind::clip(0.0, max))
}

/// Whether a class is one of Keras' own rather than the user's.
fn is_kerass_own(layer: Layer<'_>) -> bool {
    const MERGES: [&str; 6] =
        ["Average", "Maximum", "Minimum", "Dot", "Attention", "MultiHeadAttention"];
    MERGES.contains(&layer.class)
}

fn unknown(class: &str) -> Refused {
    let remedy = match class {
        "LSTM" | "GRU" | "SimpleRNN" | "Bidirectional" | "ConvLSTM1D" => {
            "recurrent layers are not read: use Dense or convolutions over a window"
        }
        "LayerNormalization" | "GroupNormalization" | "UnitNormalization" => {
            "use BatchNormalization, which becomes part of the layer before it"
        }
        "TimeDistributed" => "use Dense alone, which works on every frame anyway, or convolutions",
        "Softmax" | "PReLU" | "ThresholdedReLU" => "use ReLU, LeakyReLU or ELU",
        "Lambda" => "write it with layers: Rescaling, Reshape, Activation; its code is not run",
        _ => "leave it out of the saved model, or build it of Dense, convolutions and pools",
    };
    Refused::new(format!("the layer class `{class}` is not read"), remedy)
}
