//! Names of layers, from the tensors around them.

use std::collections::HashMap;

use super::path::Step;
use super::schema::File;

/// Last parts of a tensor's name that name no layer.
const SUFFIXES: [&str; 14] = [
    "BiasAdd",
    "MatMul",
    "Conv2D",
    "Conv1D",
    "conv_transpose",
    "conv2d_transpose",
    "depthwise",
    "ReadVariableOp",
    "resource",
    "kernel",
    "Relu",
    "Relu6",
    "Sigmoid",
    "Tanh",
];

/// Names given so far.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// A name, and how often it was asked for.
    used: HashMap<String, usize>,
}

impl Names {
    /// `name`, with a number behind it where it is used.
    pub(super) fn unique(&mut self, name: String) -> String {
        let times = self.used.entry(name.clone()).or_insert(0);
        *times += 1;
        if *times == 1 {
            return name;
        }
        let numbered = format!("{name}_{}", *times - 1);
        // A tensor may be called so already.
        self.unique(numbered)
    }
}

/// A name for the layer: Keras' own, where a tensor still carries it.
pub(super) fn layer_name<'a>(file: &File<'a>, step: &Step<'a, '_>, names: &mut Names) -> String {
    let weights = step.operand(file, 1).filter(|tensor| !tensor.data.is_empty());
    let bias = step.operand(file, 2).filter(|tensor| !tensor.data.is_empty());
    let found = [weights, bias, Some(step.output)]
        .into_iter()
        .flatten()
        .find_map(|tensor| tensor.name.rsplit(';').find_map(keras_name));
    let operator = || step.operator.operator_name().to_lowercase().replace(' ', "_");
    let name = found.unwrap_or_else(operator);
    names.unique(name)
}

/// The part of `model/dense_3/MatMul` that Keras calls the layer.
fn keras_name(name: &str) -> Option<String> {
    let mut parts = name.split('/').rev().skip_while(|part| {
        let part = part.split(':').next().unwrap_or(part);
        SUFFIXES.iter().any(|suffix| part.starts_with(suffix))
    });
    let layer = parts.next()?;
    // Without a model in front, or without a suffix behind, it is the converter's invention.
    let is_named = name.contains('/') && !name.ends_with(layer) && !layer.contains("qconst");
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    (is_named && !layer.is_empty() && layer.chars().all(plain)).then(|| layer.to_string())
}

#[cfg(test)]
mod tests {
    use super::keras_name;

    #[test]
    fn keras_names_are_found() {
        let name = |text| keras_name(text).unwrap_or_default();
        assert_eq!(name("functional_1/dense_4/MatMul"), "dense_4");
        assert_eq!(name("functional_1/dense/BiasAdd/ReadVariableOp/resource"), "dense");
        assert_eq!(name("functional_1/activation_4/Relu"), "activation_4");
        assert_eq!(name("tfl.pseudo_qconst5"), "");
        assert_eq!(name("StatefulPartitionedCall_1:0"), "");
        assert_eq!(name("Identity"), "");
    }
}
