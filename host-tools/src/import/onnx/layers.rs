//! Operators with weights, and pools.

use super::reader::{Item, Now, Reader, Refusal, again, label};
use super::tensor::Tensor;
use crate::import::network::{Kind, Padding, Pool, Window};
use ndarray::{Array1, Array2, Array4, Ix2};

impl Reader<'_> {
    /// Operators that become layers.
    pub(super) fn layer(&mut self, now: &Now<'_>) -> Option<Result<Vec<Item>, Refusal>> {
        Some(match now.node.op_type.as_str() {
            "Gemm" => self.gemm(now),
            "MatMul" => self.matmul(now),
            "Conv" => self.convolution(now),
            "ConvTranspose" => self.transposed(now),
            "BatchNormalization" => self.batch_norm(now),
            "MaxPool" | "AveragePool" => self.pool(now),
            "GlobalAveragePool" => now.value(0).map(|x| {
                let pool = Pool::Average { include_padding: false };
                self.one(now, Kind::GlobalPool { pool, keep_axes: true }, &[x])
            }),
            "GlobalMaxPool" => now.value(0).map(|x| {
                self.one(now, Kind::GlobalPool { pool: Pool::Max, keep_axes: true }, &[x])
            }),
            "ReduceMean" | "ReduceMax" | "ReduceSum" | "ReduceSumSquare" | "ReduceL1"
            | "ReduceL2" | "ReduceProd" | "ReduceMin" | "ReduceLogSumExp" => self.reduce(now),
            _ => return None,
        })
    }

    fn gemm(&mut self, now: &Now<'_>) -> Result<Vec<Item>, Refusal> {
        let attributes = &now.attributes;
        if attributes.int("transA", 0) != 0 {
            return Err(again("reads its input transposed"));
        }
        let x = now.value(0)?;
        let mut weight = matrix(now.wanted(1, "weight")?)?;
        if attributes.int("transB", 0) == 0 {
            weight = weight.reversed_axes();
        }
        let (alpha, beta) = (attributes.float("alpha", 1.0), attributes.float("beta", 1.0));
        if alpha != 1.0 {
            weight *= alpha;
        }
        // An optimizer may have taken a sum of computed values for a bias.
        let summed = match now.inputs.get(2) {
            Some(Some(Item::Value(value))) if beta == 1.0 => Some(*value),
            _ => None,
        };
        let mut bias = if now.has(2) && summed.is_none() {
            let bias = now.wanted(2, "bias")?;
            Some(match bias.floats()[..] {
                [one] => Array1::from_elem(weight.nrows(), one),
                ref all => Array1::from_vec(all.to_vec()),
            })
        } else {
            None
        };
        if let Some(bias) = bias.as_mut().filter(|_| beta != 1.0) {
            *bias *= beta;
        }
        let kind = Kind::FullyConnected { weight: standard(weight), bias };
        let items = self.named(now, kind, x);
        match (summed, &items[..]) {
            (Some(other), [Item::Value(product)]) => {
                Ok(self.one(now, Kind::Add, &[*product, other]))
            }
            _ => Ok(items),
        }
    }

    fn matmul(&mut self, now: &Now<'_>) -> Result<Vec<Item>, Refusal> {
        let x = now.value(0).map_err(|_| again("multiplies a constant by the window"))?;
        let tensor = now.constant(1).ok_or_else(|| {
            (
                "multiplies two computed values".to_string(),
                "attention is not read: use convolutions or fully connected layers".to_string(),
            )
        })?;
        let weight = standard(matrix(tensor)?.reversed_axes());
        Ok(self.named(now, Kind::FullyConnected { weight, bias: None }, x))
    }

    /// Adds a layer named after its weights.
    fn named(&mut self, now: &Now<'_>, kind: Kind, x: crate::import::network::Value) -> Vec<Item> {
        let name = layer_name(now, &self.wrappers);
        vec![Item::Value(self.add(&name, &now.node.op_type, kind, &[x]))]
    }

    fn convolution(&mut self, now: &Now<'_>) -> Result<Vec<Item>, Refusal> {
        let x = now.value(0)?;
        // `[out][in / groups][length][width]`
        let weight = kernel(now.wanted(1, "weight")?)?.permuted_axes([0, 2, 3, 1]);
        let (_, length, width, _) = weight.dim();
        let kind = Kind::Convolution {
            window: window(now, [length, width])?,
            weight: weight.as_standard_layout().into_owned(),
            bias: bias(now)?,
            groups: groups(now)?,
        };
        Ok(self.named(now, kind, x))
    }

    fn transposed(&mut self, now: &Now<'_>) -> Result<Vec<Item>, Refusal> {
        let x = now.value(0)?;
        // `[in][out / groups][length][width]`
        let weight = kernel(now.wanted(1, "weight")?)?.permuted_axes([1, 2, 3, 0]);
        let (_, length, width, _) = weight.dim();
        let mut window = window(now, [length, width])?;
        let output_padding = pair(now.attributes.ints("output_padding"), 0)?;
        if let Some(wanted) = now.attributes.ints("output_shape") {
            let full = self.full_shape(x)?;
            let spatial = full.len().saturating_sub(2);
            let wanted = &wanted[wanted.len().saturating_sub(spatial)..];
            let upper = now.attributes.text("auto_pad", "NOTSET") == "SAME_UPPER";
            let mut padding = [(0, 0); 2];
            for (axis, out) in wanted.iter().enumerate().take(2) {
                let taps = ([length, width][axis] - 1) * window.dilation[axis] + 1;
                let most = full[axis + 2].saturating_sub(1) * window.stride[axis]
                    + output_padding[axis]
                    + taps;
                let cut = usize::try_from(*out).ok().and_then(|out| most.checked_sub(out));
                let cut = cut.ok_or_else(|| again("its output shape is larger than it can be"))?;
                let (small, large) = (cut / 2, cut - cut / 2);
                padding[axis] = if upper { (small, large) } else { (large, small) };
            }
            window.padding = Padding::Explicit(padding);
        }
        let kind = Kind::TransposedConvolution {
            weight: weight.as_standard_layout().into_owned(),
            bias: bias(now)?,
            window,
            output_padding,
            groups: groups(now)?,
        };
        Ok(self.named(now, kind, x))
    }

    fn batch_norm(&mut self, now: &Now<'_>) -> Result<Vec<Item>, Refusal> {
        let x = now.value(0)?;
        if now.attributes.int("training_mode", 0) != 0 {
            let remedy = "call model.eval() before exporting".to_string();
            return Err(("is in training mode".into(), remedy));
        }
        let get = |i: usize| -> Result<Array1<f32>, Refusal> {
            Ok(Array1::from_vec(now.wanted(i, "statistics")?.floats()))
        };
        let (gamma, beta, mean, variance) = (get(1)?, get(2)?, get(3)?, get(4)?);
        let len = gamma.len();
        if [beta.len(), mean.len(), variance.len()] != [len; 3] {
            return Err(again("its statistics differ in length"));
        }
        let epsilon = now.attributes.float("epsilon", 1e-5);
        let kind = Kind::batch_norm(0, Some(&gamma), Some(&beta), &mean, &variance, epsilon);
        Ok(self.one(now, kind, &[x]))
    }

    fn pool(&mut self, now: &Now<'_>) -> Result<Vec<Item>, Refusal> {
        let x = now.value(0)?;
        let kernel = pair(now.attributes.ints("kernel_shape"), 1)?;
        if now.node.output.iter().skip(1).any(|name| !name.is_empty()) {
            let remedy = "do not return the indices of a pool".to_string();
            return Err(("gives the places of its maxima".into(), remedy));
        }
        let include_padding = now.attributes.int("count_include_pad", 0) != 0;
        let pool = match now.node.op_type.as_str() {
            "MaxPool" => Pool::Max,
            _ => Pool::Average { include_padding },
        };
        let ceil = now.attributes.int("ceil_mode", 0) != 0;
        let kind = Kind::Pool { pool, kernel, window: window(now, kernel)?, ceil };
        Ok(self.one(now, kind, &[x]))
    }
}

/// The name under which a state dict would hold the layer.
fn layer_name(now: &Now<'_>, wrappers: &str) -> String {
    let inputs = &now.node.input;
    for (i, suffix) in [(1, ".weight"), (2, ".bias")] {
        if let Some(name) = inputs.get(i).and_then(|name| name.strip_suffix(suffix)) {
            return name.strip_prefix(wrappers).unwrap_or(name).to_string();
        }
    }
    let name = label(now.node);
    // `/encoder/encoder.0/MatMul` and `vae/dense_1/MatMul` are named by their scope.
    let mut parts = name.rsplit('/');
    match (parts.next(), parts.next()) {
        (Some(_), Some(scope)) if !scope.is_empty() => scope.to_string(),
        _ => name,
    }
}

fn matrix(tensor: &Tensor) -> Result<Array2<f32>, Refusal> {
    let array = tensor.array().into_dimensionality::<Ix2>();
    array.map_err(|_| again(format!("its weight has shape {:?}", tensor.shape)))
}

fn standard(matrix: Array2<f32>) -> Array2<f32> {
    matrix.as_standard_layout().into_owned()
}

/// Four axes; the width of a 1-D kernel is 1.
fn kernel(tensor: &Tensor) -> Result<Array4<f32>, Refusal> {
    let shape = match tensor.shape[..] {
        [a, b, length] => [a, b, length, 1],
        [a, b, length, width] => [a, b, length, width],
        _ => return Err(("is neither 1-D nor 2-D".into(), "use 1-D or 2-D convolutions".into())),
    };
    if shape.contains(&0) {
        return Err(again("its weight is empty"));
    }
    Array4::from_shape_vec(shape, tensor.floats()).map_err(|_| again("its weight is damaged"))
}

fn bias(now: &Now<'_>) -> Result<Option<Array1<f32>>, Refusal> {
    if !now.has(2) {
        return Ok(None);
    }
    Ok(Some(Array1::from_vec(now.wanted(2, "bias")?.floats())))
}

fn groups(now: &Now<'_>) -> Result<usize, Refusal> {
    let groups = usize::try_from(now.attributes.int("group", 1)).ok().filter(|g| *g > 0);
    groups.ok_or_else(|| again("its number of groups makes no sense"))
}

/// One or two numbers as length and width.
fn pair(numbers: Option<Vec<i64>>, default: usize) -> Result<[usize; 2], Refusal> {
    let number = |n: i64| {
        usize::try_from(n)
            .ok()
            .filter(|n| *n <= 1 << 16)
            .ok_or_else(|| again("kernel, stride or padding make no sense"))
    };
    match numbers.as_deref() {
        None | Some([]) => Ok([default; 2]),
        // The width of a signal: one tap, one step, no padding.
        Some([length]) => Ok([number(*length)?, default]),
        Some([length, width]) => Ok([number(*length)?, number(*width)?]),
        Some(_) => Err(("is neither 1-D nor 2-D".into(), "use 1-D or 2-D operators".into())),
    }
}

fn window(now: &Now<'_>, kernel: [usize; 2]) -> Result<Window, Refusal> {
    let attributes = &now.attributes;
    let padding = match attributes.text("auto_pad", "NOTSET").as_str() {
        "SAME_UPPER" => Padding::Same,
        "SAME_LOWER" => Padding::SameLower,
        "VALID" => Padding::VALID,
        _ => {
            let pads = attributes.ints("pads").unwrap_or_default();
            let (before, after) = pads.split_at(pads.len() / 2);
            let before = pair(Some(before.to_vec()), 0)?;
            let after = pair(Some(after.to_vec()), 0)?;
            Padding::Explicit([(before[0], after[0]), (before[1], after[1])])
        }
    };
    if kernel.contains(&0) {
        return Err(again("its kernel is empty"));
    }
    Ok(Window {
        stride: pair(attributes.ints("strides"), 1)?,
        padding,
        dilation: pair(attributes.ints("dilations"), 1)?,
    })
}
