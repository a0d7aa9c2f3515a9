//! Batch normalizations of a state dict, folded into the Linear beside them.
//!
//! A state dict does not say in which order layers run, but `nn.Sequential`
//! numbers them: `encoder.1` runs between `encoder.0` and `encoder.2`. A
//! normalization with a Linear directly before or directly after it is folded
//! into that Linear, which is exact; any other is refused by
//! [`super::tensors`].

use ndarray::{Array1, Array2, Axis};

/// What is added to the variance: PyTorch's default. A state dict does not
/// hold it.
pub(super) const EPSILON: f64 = 1e-5;

/// `scale * x + shift`, one pair a feature.
#[derive(Debug, Clone)]
pub(super) struct BatchNorm {
    pub(super) scale: Array1<f32>,
    pub(super) shift: Array1<f32>,
}

/// The four tensors of a normalization, as far as they were found.
#[derive(Debug, Clone, Default)]
pub(super) struct Statistics {
    pub(super) weight: Option<Array1<f32>>,
    pub(super) mean: Option<Array1<f32>>,
    pub(super) variance: Option<Array1<f32>>,
}

impl Statistics {
    /// Whether there are any.
    pub(super) fn is_empty(&self) -> bool {
        self.weight.is_none() && self.mean.is_none() && self.variance.is_none()
    }

    /// The normalization that they make with `bias`; `None` unless mean and
    /// variance are there and all lengths agree. Weight and bias are absent
    /// from one with `affine=False`.
    pub(super) fn normalization(&self, bias: Option<&Array1<f32>>) -> Option<BatchNorm> {
        let (mean, variance) = (self.mean.as_ref()?, self.variance.as_ref()?);
        let len = mean.len();
        let fits = |tensor: Option<&Array1<f32>>| tensor.is_none_or(|t| t.len() == len);
        let negative = variance.iter().any(|v| *v < 0.0);
        if variance.len() != len || negative || !fits(self.weight.as_ref()) || !fits(bias) {
            return None;
        }
        let at = |tensor: Option<&Array1<f32>>, i: usize, default: f64| {
            tensor.and_then(|t| t.get(i)).map_or(default, |v| f64::from(*v))
        };
        let scale =
            |i: usize| at(self.weight.as_ref(), i, 1.0) / (f64::from(variance[i]) + EPSILON).sqrt();
        let shift = |i: usize| at(bias, i, 0.0) - f64::from(mean[i]) * scale(i);
        Some(BatchNorm {
            scale: (0..len).map(|i| scale(i) as f32).collect(),
            shift: (0..len).map(|i| shift(i) as f32).collect(),
        })
    }
}

impl BatchNorm {
    /// The Linear `weight[out][in]` with this normalization of its outputs.
    pub(super) fn after(&self, weight: &mut Array2<f32>, bias: &mut Array1<f32>) {
        for (mut row, scale) in weight.axis_iter_mut(Axis(0)).zip(&self.scale) {
            row *= *scale;
        }
        *bias *= &self.scale;
        *bias += &self.shift;
    }

    /// The Linear `weight[out][in]` with this normalization of its inputs.
    pub(super) fn before(&self, weight: &mut Array2<f32>, bias: &mut Array1<f32>) {
        *bias += &weight.dot(&self.shift);
        for mut row in weight.axis_iter_mut(Axis(0)) {
            row *= &self.scale;
        }
    }
}

/// Names of the layers that `nn.Sequential` runs directly before and after.
pub(super) fn neighbors(name: &str) -> [Option<String>; 2] {
    let (stem, number) = match name.rsplit_once('.') {
        Some((stem, number)) => (format!("{stem}."), number),
        None => (String::new(), name),
    };
    let beside = |step: i64| {
        let number = number.parse::<u32>().ok()?;
        let other = u32::try_from(i64::from(number) + step).ok()?;
        Some(format!("{stem}{other}"))
    };
    [beside(-1), beside(1)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{arr1, arr2};

    fn norm() -> BatchNorm {
        let statistics = Statistics {
            weight: Some(arr1(&[2.0, 3.0])),
            mean: Some(arr1(&[1.0, -1.0])),
            variance: Some(arr1(&[4.0 - 1e-5, 1.0 - 1e-5])),
        };
        statistics.normalization(Some(&arr1(&[0.5, 0.0]))).unwrap()
    }

    #[test]
    fn both_sides_by_hand() {
        // Channel 0: 2 (x - 1) / 2 + 0.5, channel 1: 3 (x + 1).
        assert_eq!(norm().scale, arr1(&[1.0, 3.0]));
        assert_eq!(norm().shift, arr1(&[-0.5, 3.0]));
        let (mut weight, mut bias) = (arr2(&[[1.0, 2.0], [3.0, 4.0]]), arr1(&[10.0, 20.0]));
        norm().after(&mut weight, &mut bias);
        assert_eq!((weight, bias), (arr2(&[[1.0, 2.0], [9.0, 12.0]]), arr1(&[9.5, 63.0])));
        let (mut weight, mut bias) = (arr2(&[[1.0, 2.0], [3.0, 4.0]]), arr1(&[10.0, 20.0]));
        norm().before(&mut weight, &mut bias);
        assert_eq!((weight, bias), (arr2(&[[1.0, 6.0], [3.0, 12.0]]), arr1(&[15.5, 30.5])));
    }

    #[test]
    fn neighbors_of_numbered_names_only() {
        assert_eq!(
            neighbors("encoder.0.1"),
            [Some("encoder.0.0".into()), Some("encoder.0.2".into())]
        );
        assert_eq!(neighbors("0"), [None, Some("1".into())]);
        assert_eq!(neighbors("encoder.bn1"), [None, None]);
    }

    #[test]
    fn what_does_not_fit_is_no_normalization() {
        let mut statistics = Statistics {
            weight: None,
            mean: Some(arr1(&[1.0, 2.0])),
            variance: Some(arr1(&[1.0, 2.0])),
        };
        assert!(statistics.normalization(None).is_some());
        assert!(statistics.normalization(Some(&arr1(&[0.0]))).is_none());
        statistics.variance = Some(arr1(&[1.0, -2.0]));
        assert!(statistics.normalization(None).is_none());
        statistics.variance = None;
        assert!(statistics.normalization(None).is_none());
    }
}
