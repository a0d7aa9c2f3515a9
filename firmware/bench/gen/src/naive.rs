//! Every operator once more, written from its definition and not from the kernels:
//! one loop nest an operator, scatter for the transposed convolution.

use picovae_core::fixed::Rounding;
use picovae_core::fixed::requantize::requantize;
use picovae_core::model::wire::{LayerRecord, op};
use picovae_core::model::{LayerView, Matrix, Operator, Output};

/// The outputs of a layer.
pub fn layer(
    layer: &LayerView<'_>,
    record: &LayerRecord,
    rounding: Rounding,
    input: &[i8],
) -> Vec<i32> {
    let end = |matrix: &Matrix<'_>, row: usize, sum: i64| {
        let numbers = matrix.numbers(row).expect("a row of the matrix");
        let acc = i32::try_from(sum + i64::from(numbers.bias)).expect("proven not to overflow");
        let value = requantize(acc, numbers.multiplier, numbers.shift, rounding);
        match layer.output {
            Output::Int8 { zero_point, .. } => {
                int8(&layer.output, value.saturating_add(zero_point.into()))
            }
            Output::Int16 | Output::Widened { .. } => value.clamp(-32768, 32767),
        }
    };
    if let Operator::FullyConnected(matrix) = &layer.operator {
        return (0..matrix.outputs())
            .map(|o| {
                let products = input.iter().enumerate();
                end(
                    matrix,
                    o,
                    products.map(|(i, &a)| i64::from(matrix.weight(o, i)) * i64::from(a)).sum(),
                )
            })
            .collect();
    }
    let [il, iw, ic] = record.in_shape.map(i64::from);
    let [ol, ow, oc] = record.out_shape.map(i64::from);
    let [kl, kw] = record.kernel.map(i64::from);
    let [sl, sw] = record.stride.map(i64::from);
    let [pl, pw] = record.padding.map(i64::from);
    let zero_point = i64::from(record.input_zero_point);
    let at = |l: i64, w: i64, c: i64| {
        let inside = (0..il).contains(&l) && (0..iw).contains(&w);
        inside.then(|| i64::from(input[((l * iw + w) * ic + c) as usize]))
    };
    let mut out = Vec::new();
    for l in 0..ol {
        for w in 0..ow {
            for o in 0..oc {
                let taps = (0..kl).flat_map(|a| (0..kw).map(move |b| (a, b)));
                out.push(match &layer.operator {
                    Operator::Convolution(_, matrix) => {
                        let mut sum = 0;
                        for (a, b) in taps {
                            for c in 0..ic {
                                let weight =
                                    matrix.weight(o as usize, ((a * kw + b) * ic + c) as usize);
                                let value =
                                    at(l * sl - pl + a, w * sw - pw + b, c).unwrap_or(zero_point);
                                sum += i64::from(weight) * value;
                            }
                        }
                        end(matrix, o as usize, sum)
                    }
                    Operator::DepthwiseConvolution(_, matrix) => {
                        let mut sum = 0;
                        for (a, b) in taps {
                            let weight = matrix.weight(o as usize, (a * kw + b) as usize);
                            let value =
                                at(l * sl - pl + a, w * sw - pw + b, o).unwrap_or(zero_point);
                            sum += i64::from(weight) * value;
                        }
                        end(matrix, o as usize, sum)
                    }
                    Operator::TransposedConvolution(phases) => {
                        let (tl, tw) = (l + pl, w + pw);
                        let matrix =
                            phases.matrix((tl % sl) as i32, (tw % sw) as i32).expect("a phase");
                        let count =
                            |k: i64, t: i64, s: i64| (k - t % s + s - 1).div_euclid(s).max(0);
                        let (nl, nw) = (count(kl, tl, sl), count(kw, tw, sw));
                        let mut sum = 0;
                        for (a, b) in taps.filter(|&(a, b)| a % sl == tl % sl && b % sw == tw % sw)
                        {
                            // Highest tap first.
                            let column = (nl - 1 - a / sl) * nw + (nw - 1 - b / sw);
                            for c in 0..ic {
                                let weight = matrix.weight(o as usize, (column * ic + c) as usize);
                                let value = at((tl - a).div_euclid(sl), (tw - b).div_euclid(sw), c);
                                sum += i64::from(weight) * value.unwrap_or(zero_point);
                            }
                        }
                        end(&matrix, o as usize, sum)
                    }
                    _ => {
                        let values: Vec<i64> = taps
                            .filter_map(|(a, b)| at(l * sl - pl + a, w * sw - pw + b, o))
                            .collect();
                        let value = if record.op == op::MAX_POOL {
                            *values.iter().max().expect("a window touches its input")
                        } else {
                            // Half away from zero.
                            (values.iter().sum::<i64>() as f64 / values.len() as f64).round() as i64
                        };
                        int8(&layer.output, value as i32)
                    }
                });
            }
        }
    }
    out
}

fn int8(output: &Output<'_>, value: i32) -> i32 {
    let &Output::Int8 { min, max, table, .. } = output else {
        return value;
    };
    let q = value.clamp(min.into(), max.into());
    table.map_or(q, |table| table[(q + 128) as usize].into())
}
