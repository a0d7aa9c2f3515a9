//! A network by the naive definitions: the answers every backend must give.

use picovae_core::Model;
use picovae_core::fixed::requantize::requantize_single;
use picovae_core::trace::{ActivationHash, Trace};

use crate::naive;

/// Vectors a network is run with.
pub const FEATURES: u32 = 4;

/// The features of vector `index`: random, and the extremes alone in every second one.
/// The image fills them in the same way.
pub fn fill(index: u32, features: &mut [i8]) {
    let mut state = index.wrapping_mul(0x9e37_79b9) | 1;
    for q in features {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        *q = match index % 2 {
            0 => (state >> 16) as i8,
            _ if state & 0x80 == 0 => -128,
            _ => 127,
        };
    }
}

/// Hash over every activation of vector `index`.
pub fn hash(model: &Model<'_>, index: u32) -> u64 {
    let mut trace = ActivationHash::new();
    let mut activation = vec![0i8; model.input_len()];
    fill(index, &mut activation);
    trace.features(&activation);
    for at in 0..model.layer_count() {
        let layer = model.layer(at).expect("a parsed layer");
        let record = model.record(at).expect("a parsed layer");
        let values = naive::layer(&layer, record, model.rounding(), &activation);
        let last = at + 1 == model.encoder_len() || at + 1 == model.layer_count();
        if last {
            let head: Vec<i16> = values.iter().map(|&value| value as i16).collect();
            trace.head(at, &head);
            let latent = &model.description().latent;
            activation = head[..usize::from(latent.len).min(head.len())]
                .iter()
                .map(|&mu| {
                    let scaled = requantize_single(mu.into(), latent.z_multiplier, latent.z_shift);
                    (scaled + i32::from(latent.z_zero_point)).clamp(-128, 127) as i8
                })
                .collect();
            if at + 1 == model.encoder_len() {
                trace.latent(&activation);
            }
        } else {
            activation = values.iter().map(|&value| value as i8).collect();
            trace.layer(at, &activation);
        }
    }
    trace.value()
}

#[cfg(test)]
mod tests {
    use picovae_core::{Arena, Vae};

    use super::*;

    /// The gate accepts what the packers write, every packing reads back the same numbers
    /// and weights, and this host's backend gives the portable kernels' bits.
    #[test]
    fn host_backend_and_every_packing_agree_with_portable() {
        let nets =
            [crate::conformance(), crate::benchmarks(), crate::convolutions(), crate::nibbles()]
                .concat();
        for net in &nets {
            let mut hashes = Vec::new();
            for packing in 0..=5 {
                let blob = crate::write(net, packing);
                let mut aligned = vec![0u128; blob.len().div_ceil(16)];
                let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut aligned);
                bytes[..blob.len()].copy_from_slice(&blob);
                let model = Model::parse(&bytes[..blob.len()])
                    .unwrap_or_else(|e| panic!("{} {packing}: {e}", net.name));
                let mut arena = Arena::<16384>::new();
                for index in 0..if packing == 0 { FEATURES } else { 1 } {
                    let portable = hash(&model, index);
                    let mut vae = Vae::new(&model, arena.bytes()).unwrap();
                    fill(index, vae.features_mut());
                    let mut trace = ActivationHash::new();
                    vae.encode_traced(&mut trace);
                    vae.decode_traced(&mut trace);
                    assert_eq!(trace.value(), portable, "{} {packing} {index}", net.name);
                    if index == 0 {
                        hashes.push(portable);
                    }
                }
            }
            hashes.dedup();
            assert_eq!(hashes.len(), 1, "{}: packings differ", net.name);
        }
    }

    /// Whatever the gate still accepts of a damaged blob (with a right checksum) runs without
    /// a panic: overflow checks and debug assertions are on in this profile.
    #[test]
    fn damaged_blobs_are_refused_or_run() {
        let mut random = crate::Random::new(7);
        let nets =
            [crate::convolutions(), crate::conformance()[..12].to_vec(), crate::nibbles()].concat();
        let mut accepted = 0;
        for net in nets.iter().filter(|net| net.inputs < 400) {
            for packing in 0..=5 {
                let blob = crate::write(net, packing);
                let mut aligned = vec![0u128; blob.len().div_ceil(16)];
                for _ in 0..150 {
                    let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut aligned);
                    let bytes = &mut bytes[..blob.len()];
                    bytes.copy_from_slice(&blob);
                    for _ in 0..random.range(1, 3) {
                        // Half of the damage goes where the layer records are.
                        let records = blob.len() - 64 * 8 - 2 * net.inputs - 32;
                        let low = if random.bits() & 1 == 0 { 16 } else { records.max(16) };
                        let at = random.range(low as i64, blob.len() as i64 - 1) as usize;
                        bytes[at] = if random.bits() & 1 == 0 {
                            random.bits() as u8
                        } else {
                            bytes[at] ^ (1 << (random.bits() % 8))
                        };
                    }
                    let crc = picovae_core::model::wire::checksum(bytes);
                    bytes[12..16].copy_from_slice(&crc.to_le_bytes());
                    let Ok(model) = Model::parse(bytes) else { continue };
                    let mut arena = vec![0u128; model.arena_len().div_ceil(16)];
                    let Ok(mut vae) = Vae::new(&model, bytemuck::cast_slice_mut(&mut arena)) else {
                        continue;
                    };
                    fill(1, vae.features_mut());
                    vae.encode();
                    vae.decode();
                    accepted += 1;
                }
            }
        }
        assert!(accepted > 1000, "{accepted}: the damage is too plain to test anything");
    }
}
