//! Convolutions and pools of a float file.

use super::super::super::network::{Kind, Node, Padding, Pool, Value, Window};
use super::super::path::Step;
use super::super::schema::{Fused, WindowOptions, code};
use super::{EXPORT, Reader, refuse};
use ndarray::Array4;

impl<'a, 'f> Reader<'a, 'f> {
    /// A windowed operator. A signal that the converter laid along the width (height 1) is
    /// laid along the length again, where one-dimensional operators have it.
    pub(super) fn windowed(
        &mut self,
        step: &Step<'a, 'f>,
        name: &str,
        word: &str,
    ) -> Result<(Value, Fused), (String, &'static str)> {
        let options = step.operator.window()?;
        let (&[_, h, w, c], &[_, out_h, out_w, out_c]) =
            (&step.input.shape[..], &step.output.shape[..])
        else {
            return refuse(
                format!("it reads {:?} and gives {:?}", step.input.shape, step.output.shape),
                "use channels-last layers of four axes",
            );
        };
        if options.stride.contains(&0) || options.dilation.contains(&0) {
            return refuse("a stride is 0", EXPORT);
        }
        let transposed = step.operator.code == code::TRANSPOSE_CONV;
        let is_pool = options.kernel != [0; 2];
        let weight = if is_pool { None } else { Some(self.weight(step)?) };
        let kernel = weight.as_ref().map_or(options.kernel, |w| [w.dim().1, w.dim().2]);
        let flat = (h, out_h, kernel[0]) == (1, 1, 1);
        let turn = |pair: [usize; 2]| if flat { [pair[1], 1] } else { pair };
        let mut window = Window {
            stride: turn(options.stride),
            padding: if options.same { Padding::Same } else { Padding::VALID },
            dilation: turn(options.dilation),
        };
        let mut output_padding = [0; 2];
        if transposed {
            let sizes = [(h, out_h), (w, out_w)];
            let cut = |axis: usize| cut_off(&options, kernel[axis], axis, sizes[axis]);
            let (cut, added): ([_; 2], [_; 2]) = {
                let (length, width) = (cut(0)?, cut(1)?);
                if flat {
                    ([width.0, (0, 0)], [width.1, 0])
                } else {
                    ([length.0, width.0], [length.1, width.1])
                }
            };
            window.padding = Padding::Explicit(cut);
            output_padding = added;
        }
        let bias = self.constants.vector(step, if transposed { 3 } else { 2 });
        let kind = match weight {
            None => Kind::Pool {
                pool: match step.operator.code {
                    code::MAX_POOL_2D => Pool::Max,
                    _ => Pool::Average { include_padding: false },
                },
                kernel: turn(kernel),
                window,
                ceil: false,
            },
            Some(mut weight) => {
                if flat {
                    weight.swap_axes(1, 2);
                }
                let columns = weight.dim().3;
                if transposed {
                    let groups = 1;
                    Kind::TransposedConvolution {
                        weight,
                        bias: bias?,
                        window,
                        output_padding,
                        groups,
                    }
                } else {
                    let groups = c.checked_div(columns).unwrap_or(0);
                    Kind::Convolution { weight, bias: bias?, window, groups }
                }
            }
        };
        let mut value = self.value(step, if transposed { 2 } else { 0 })?;
        let shape = |h: usize, w: usize, c: usize| if flat { vec![w, c] } else { vec![h, w, c] };
        value = self.reshaped(name, value, &shape(h, w, c));
        value = self.network.add(Node::new(name, word, kind), &[value]);
        let given = shape(out_h, out_w, out_c);
        if self.network.shape(value).is_some_and(|have| have != given) {
            return refuse(format!("it does not give {:?}", step.output.shape), EXPORT);
        }
        value = self.reshaped(name, value, &[out_h, out_w, out_c]);
        Ok((value, options.fused))
    }

    /// `[out][height][width][in]`, of depthwise ones `[out][height][width][1]`.
    fn weight(&mut self, step: &Step<'a, 'f>) -> Result<Array4<f32>, (String, &'static str)> {
        let weight = self.constants.operand(step, 1)?;
        let weight: Array4<f32> = weight
            .into_dimensionality()
            .map_err(|_| ("its weights have not four axes".to_string(), EXPORT))?;
        Ok(match step.operator.code {
            // The file has the channels innermost.
            code::DEPTHWISE_CONV_2D => {
                weight.permuted_axes([3, 1, 2, 0]).as_standard_layout().into_owned()
            }
            _ => weight,
        })
    }
}

/// (before, after) cut off a transposed convolution along an axis, and what is appended instead.
type Cut = ((usize, usize), usize);

/// What the file's shapes say is cut off.
fn cut_off(
    options: &WindowOptions,
    kernel: usize,
    axis: usize,
    (input, output): (usize, usize),
) -> Result<Cut, (String, &'static str)> {
    let stride = options.stride[axis];
    // Padded as the convolution it undoes.
    let windows = match options.same {
        true => output.div_ceil(stride),
        false => output.saturating_add(stride).saturating_sub(kernel) / stride,
    };
    if windows != input || input == 0 {
        return refuse(format!("{input} inputs do not give {output} outputs"), EXPORT);
    }
    let full = (input - 1).saturating_mul(stride).saturating_add(kernel);
    let before = full.saturating_sub(output) / 2;
    let kept = full - before;
    Ok(((before, kept.saturating_sub(output)), output.saturating_sub(kept)))
}
