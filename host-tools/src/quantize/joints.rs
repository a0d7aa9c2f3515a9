//! Where the channels of a layer go: which layers read them, and in which order.
//!
//! Equalization moves scales across such a joint, and an error's weight is what the layers
//! behind make of it.

use crate::graph::{Activation, Layer, Op, Vae};

/// A layer, and what reads its channels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Joint {
    /// The layer that computes the channels, in [`Vae::layers`]' order.
    pub(super) writer: usize,
    /// Pools on the way: they pass each channel on.
    pub(super) pools: Vec<usize>,
    /// One layer, or both heads.
    pub(super) readers: Vec<usize>,
    /// Elements with the same remainder by this are one channel to writer, pools and readers
    /// alike: channels lie innermost, and a reshape keeps what both its sides agree on.
    pub(super) groups: usize,
}

impl Joint {
    /// The one behind layer `writer`; `None` behind a pool, a head and the output.
    pub(super) fn behind(vae: &Vae, writer: usize) -> Option<Self> {
        let layers: Vec<&Layer> = vae.layers().collect();
        let encoder = vae.encoder.len();
        let decoder = encoder + 1 + usize::from(vae.logvar.is_some());
        layers.get(writer)?.op.bias()?;
        if (encoder..decoder).contains(&writer) {
            return None;
        }
        let mut pools = Vec::new();
        let mut at = writer + 1;
        while at != encoder && layers.get(at).is_some_and(|layer| layer.op.bias().is_none()) {
            pools.push(at);
            at += 1;
        }
        let readers: Vec<usize> =
            if at == encoder { (encoder..decoder).collect() } else { vec![at] };
        let mut groups = layers.get(writer)?.op.output().channels;
        for pool in &pools {
            groups = common(groups, layers.get(*pool)?.op.input().channels);
        }
        for reader in &readers {
            let op = &layers.get(*reader)?.op;
            op.bias()?;
            groups = common(groups, op.input().channels);
        }
        Some(Self { writer, pools, readers, groups })
    }

    /// Whether a positive factor of a channel passes through to the readers.
    pub(super) fn is_homogeneous(&self, vae: &Vae) -> bool {
        let layers: Vec<&Layer> = vae.layers().collect();
        let passes = |at: &usize| {
            layers.get(*at).is_some_and(|layer| {
                matches!(
                    layer.activation,
                    Activation::Identity | Activation::Relu | Activation::LeakyRelu { .. }
                )
            })
        };
        passes(&self.writer) && self.pools.iter().all(passes)
    }

    /// The group that weight `at` (in order of storage) of a reader multiplies.
    pub(super) fn group_read(&self, reader: &Op, at: usize) -> usize {
        match reader {
            Op::DepthwiseConvolution { geometry, .. } => at / geometry.taps().max(1) % self.groups,
            // Inputs lie innermost, and the groups divide them.
            _ => at % self.groups,
        }
    }
}

/// Greatest common divisor.
fn common(a: usize, b: usize) -> usize {
    if b == 0 { a.max(1) } else { common(b, a % b) }
}

/// Columns of a row of weights; 1 for a pool.
pub(super) fn row_len(op: &Op) -> usize {
    (op.weight().len() / op.output().channels.max(1)).max(1)
}

/// How much a squared error of each channel of layer `at` counts: what the layer behind makes
/// of it, 1 at the heads and the output.
pub(super) fn importance(vae: &Vae, at: usize) -> Vec<f64> {
    let layers: Vec<&Layer> = vae.layers().collect();
    let channels = layers.get(at).map_or(0, |layer| layer.op.output().channels);
    let Some(joint) = Joint::behind(vae, at) else { return vec![1.0; channels] };
    let mut groups = vec![0f64; joint.groups];
    for reader in joint.readers.iter().filter_map(|reader| layers.get(*reader)) {
        for (index, weight) in reader.op.weight().iter().enumerate() {
            groups[joint.group_read(&reader.op, index)] += f64::from(*weight).powi(2);
        }
    }
    (0..channels).map(|channel| groups[channel % joint.groups]).collect()
}
