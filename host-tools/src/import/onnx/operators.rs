//! Which operators are read, and what to use instead of those that are not.

use super::reader::Refusal;

/// Operators that are read, in one form or another.
const READ: [&str; 83] = [
    "Abs",
    "Add",
    "And",
    "AveragePool",
    "BatchNormalization",
    "Cast",
    "Ceil",
    "Celu",
    "Clip",
    "Concat",
    "Constant",
    "ConstantOfShape",
    "Conv",
    "ConvTranspose",
    "Div",
    "Dropout",
    "Elu",
    "Equal",
    "Erf",
    "Erfc",
    "Exp",
    "Expand",
    "Flatten",
    "Floor",
    "Gather",
    "Gelu",
    "Gemm",
    "GlobalAveragePool",
    "GlobalMaxPool",
    "Greater",
    "GreaterOrEqual",
    "Identity",
    "LeakyRelu",
    "Less",
    "LessOrEqual",
    "Log",
    "MatMul",
    "Max",
    "MaxPool",
    "Min",
    "Mod",
    "Mul",
    "Neg",
    "Not",
    "Or",
    "PRelu",
    "Pad",
    "Pow",
    "RandomNormal",
    "RandomNormalLike",
    "Range",
    "Reciprocal",
    "ReduceL1",
    "ReduceL2",
    "ReduceLogSumExp",
    "ReduceMax",
    "ReduceMean",
    "ReduceMin",
    "ReduceProd",
    "ReduceSum",
    "ReduceSumSquare",
    "Relu",
    "Reshape",
    "Resize",
    "Selu",
    "Shape",
    "Sigmoid",
    "Size",
    "Slice",
    "Softplus",
    "Split",
    "Sqrt",
    "Squeeze",
    "StatelessRandomNormalV2",
    "Sub",
    "Sum",
    "Swish",
    "Tanh",
    "Tile",
    "Transpose",
    "Unsqueeze",
    "Upsample",
    "Where",
];

/// Operators whose output is shaped as their input, read or not.
const SHAPE_KEPT: [&str; 22] = [
    "Abs",
    "Celu",
    "Clip",
    "Cos",
    "Dropout",
    "Gelu",
    "GroupNormalization",
    "HardSigmoid",
    "HardSwish",
    "InstanceNormalization",
    "LayerNormalization",
    "LogSoftmax",
    "LpNormalization",
    "MeanVarianceNormalization",
    "Mish",
    "PRelu",
    "Sign",
    "Sin",
    "Softmax",
    "Softsign",
    "Swish",
    "ThresholdedRelu",
];

/// Whether an operator is read, in one form or another.
pub(super) fn is_read(operator: &str) -> bool {
    READ.contains(&operator)
}

/// Whether an operator's output is shaped as its input.
pub(super) fn keeps_shape(operator: &str) -> bool {
    SHAPE_KEPT.contains(&operator)
}

/// What stands in for operators that no layer does.
pub(super) fn unknown(operator: &str) -> Refusal {
    let remedy = match operator {
        "LSTM" | "GRU" | "RNN" => "use convolutions or fully connected layers over the window",
        "Softmax" | "LogSoftmax" | "Attention" | "MultiHeadAttention" => {
            "attention is not read: use convolutions or fully connected layers"
        }
        "LayerNormalization"
        | "InstanceNormalization"
        | "GroupNormalization"
        | "LpNormalization"
        | "MeanVarianceNormalization" => "use batch normalization, which is folded into the layers",
        "HardSigmoid" => "use a sigmoid: on the device both are one table",
        "HardSwish" | "Mish" => "use silu: on the device both are one table",
        "Celu" | "ThresholdedRelu" | "Softsign" | "Sign" | "Abs" | "Sin" | "Cos" => {
            "use one of relu, relu6, leaky relu, elu, sigmoid, tanh, gelu, silu, softplus"
        }
        "DepthToSpace" | "SpaceToDepth" => "use a transposed or strided convolution",
        "If" | "Loop" | "Scan" => "export without control flow (trace the model)",
        "QuantizeLinear"
        | "DequantizeLinear"
        | "QLinearConv"
        | "QLinearMatMul"
        | "DynamicQuantizeLinear"
        | "ConvInteger"
        | "MatMulInteger" => "import the float model: picovae quantizes it",
        _ => "leave it out, or write it with operators that docs/import.md lists",
    };
    ("is an operator that is not read".into(), remedy.into())
}
