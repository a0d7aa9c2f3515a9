//! Weights a child takes over from a parent of another shape.

use crate::graph::{Op, Vae};

/// Copies what both networks have of every layer of the same name and operator: the
/// first channels. The rest of the child keeps its random weights.
///
/// A fully connected layer behind convolutions is copied only where its inputs lie
/// alike, that is, are equally many.
pub(super) fn inherit(child: &mut Vae, parent: &Vae) {
    let known: Vec<(String, Op)> =
        parent.layers().map(|layer| (layer.name.clone(), layer.op.clone())).collect();
    let fully_connected =
        |vae: &Vae| vae.layers().all(|l| matches!(l.op, Op::FullyConnected { .. }));
    let flat = fully_connected(child) && fully_connected(parent);
    for layer in child.layers_mut() {
        let Some((_, from)) = known.iter().find(|(name, _)| *name == layer.name) else { continue };
        match (&mut layer.op, from) {
            (
                Op::FullyConnected { weight, bias },
                Op::FullyConnected { weight: known, bias: known_bias },
            ) if flat || weight.ncols() == known.ncols() => {
                let rows = weight.nrows().min(known.nrows());
                let columns = weight.ncols().min(known.ncols());
                let part = ndarray::s![..rows, ..columns];
                weight.slice_mut(part).assign(&known.slice(part));
                bias.slice_mut(ndarray::s![..rows]).assign(&known_bias.slice(ndarray::s![..rows]));
            }
            (
                Op::Convolution { weight, bias, .. },
                Op::Convolution { weight: known, bias: known_bias, .. },
            )
            | (
                Op::TransposedConvolution { weight, bias, .. },
                Op::TransposedConvolution { weight: known, bias: known_bias, .. },
            ) if weight.dim().1 == known.dim().1 && weight.dim().2 == known.dim().2 => {
                let outputs = weight.dim().0.min(known.dim().0);
                let inputs = weight.dim().3.min(known.dim().3);
                let part = ndarray::s![..outputs, .., .., ..inputs];
                weight.slice_mut(part).assign(&known.slice(part));
                let part = ndarray::s![..outputs];
                bias.slice_mut(part).assign(&known_bias.slice(part));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Frontend, ScoreKind};
    use crate::train::{Architecture, Stream, random_vae, stream};

    fn network(hidden: &[usize], seed: u64) -> Vae {
        let shape = Architecture {
            score: ScoreKind::ReconstructionError,
            ..Architecture::mirrored("n", hidden, 3)
        };
        let mut rng = stream(seed, Stream::Init);
        random_vae(Frontend::identity(10, 10, 1), &shape, &mut rng).unwrap()
    }

    #[test]
    fn the_same_shape_is_the_same_network_and_others_keep_what_fits() {
        let parent = network(&[8, 6], 1);
        let mut same = network(&[8, 6], 2);
        inherit(&mut same, &parent);
        assert_eq!(same.encoder, parent.encoder);
        assert_eq!(same.decoder, parent.decoder);
        let (mut wider, fresh) = (network(&[12, 4], 2), network(&[12, 4], 2));
        inherit(&mut wider, &parent);
        wider.validate().unwrap();
        let first = |vae: &Vae| vae.encoder[0].op.weight().to_vec();
        assert_eq!(first(&wider)[..80], first(&parent)[..]);
        assert_eq!(first(&wider)[80..], first(&fresh)[80..]);
    }
}
