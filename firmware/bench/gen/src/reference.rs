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
        let nets = [
            crate::conformance(),
            crate::benchmarks(),
            crate::convolutions(),
            crate::nibbles(),
            crate::sparse(),
            crate::sparse_nibbles(),
        ]
        .concat();
        for net in &nets {
            let mut hashes = Vec::new();
            for packing in crate::packings(net) {
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

    /// Kernels follow the words of sparse groups without looking: the gate must refuse every word that would lead
    /// them out of the row, twice to one block or behind the group.
    #[test]
    fn words_that_lead_astray_are_refused() {
        use picovae_core::arena::align_up;
        use picovae_core::model::blocks::{END, stride, table_len};
        use picovae_core::model::wire::{HEADER_LEN, checksum};
        let mut net = crate::benchmarks().remove(1);
        net.pruned = 30;
        for packing in [0x11, 0x12, 0x13, 0x14] {
            let blob = crate::write(&net, packing);
            let mut aligned = vec![0u128; blob.len() / 16 + 1];
            let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut aligned);
            let bytes = &mut bytes[..blob.len()];
            bytes.copy_from_slice(&blob);
            let model = Model::parse(bytes).expect("a generated blob parses");
            let record = *model.record(0).expect("a layer");
            let inputs = usize::from(record.in_shape[2]);
            let description = u32::from_le_bytes(blob[16..20].try_into().unwrap()) as usize;
            let section = align_up(HEADER_LEN + description) + record.weights.offset as usize;
            let count = i32::from(blob[section]);
            assert!((2..4).contains(&count), "{count} blocks: the net was drawn for less than all");
            let table = table_len(record.out_shape[2].into());
            let sums = [16, 16, 0, 20][usize::from(packing - 0x11)];
            let (first, second) = (section + table + sums, section + table + sums + 68);
            let word = |at: usize| i32::from_le_bytes(blob[at..at + 4].try_into().unwrap());
            let places = inputs.div_ceil(16) as i32;
            let stride = stride(packing) as i32;
            let mut astray = vec![
                (first, word(second)),
                (first, word(first) + 1),
                (first, -3),
                (first, END),
                (first, i32::MIN),
                (second, word(first)),
                (second, places * stride),
                (second, i32::MAX / stride * stride),
                (section, word(section) + 1),
                (section, word(section) - 1),
                (section, word(section) | 0xffff),
            ];
            if packing == 0x14 {
                astray.extend([count - 1, count + 1, 0, -1].map(|count| (first - 4, count)));
            } else {
                let end = first + count as usize * 68;
                assert_eq!(word(end), END);
                astray.extend([0, stride, -2].map(|word| (end, word)));
            }
            for (at, value) in astray {
                bytes.copy_from_slice(&blob);
                bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
                let crc = checksum(bytes);
                bytes[12..16].copy_from_slice(&crc.to_le_bytes());
                assert!(Model::parse(bytes).is_err(), "{packing}: {value} at {}", at - section);
            }
        }
    }

    /// Whatever the gate still accepts of a damaged blob (with a right checksum) runs without
    /// a panic: overflow checks and debug assertions are on in this profile.
    #[test]
    fn damaged_blobs_are_refused_or_run() {
        let mut random = crate::Random::new(7);
        let nets = [
            crate::convolutions(),
            crate::conformance()[..12].to_vec(),
            crate::nibbles(),
            crate::sparse(),
            crate::sparse_nibbles(),
        ]
        .concat();
        let mut accepted = 0;
        for net in nets.iter().filter(|net| net.inputs < 400) {
            for packing in crate::packings(net) {
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
