//! Reads the description: postcard's wire format, by hand.
//!
//! The host writes it through serde; here a derived deserializer would be a third of all code that a device
//! links, for some fifty numbers. A fault is remembered and asked for once, at the end.

use super::wire::{Calibration, Description, Frontend, Latent, Likelihood, Provenance, Span};
use crate::fixed::{Rounding, wide::Factor};
use crate::score::ScoreKind;

/// Where a message is being read.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    sound: bool,
}

/// What can be read; anything at all behind a fault.
pub(crate) trait Read<'a>: Sized {
    fn read(reader: &mut Reader<'a>) -> Self;
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, sound: true }
    }

    /// Whether all of it was read, without a fault.
    pub fn is_done(&self) -> bool {
        self.sound && self.bytes.is_empty()
    }

    #[inline(never)]
    fn byte(&mut self) -> u8 {
        let Some((&first, rest)) = self.bytes.split_first() else {
            self.sound = false;
            return 0;
        };
        self.bytes = rest;
        first
    }

    /// A number of `bits` bits, seven a byte, lowest first.
    #[inline(never)]
    fn number(&mut self, bits: u32) -> u64 {
        let (mut value, mut shift) = (0u64, 0);
        loop {
            let byte = self.byte();
            let part = u64::from(byte & 0x7f);
            value |= part << shift;
            // What the number has no room for must be zero.
            self.sound &= bits - shift >= 7 || part >> (bits - shift) == 0;
            shift += 7;
            if byte < 0x80 {
                return value;
            }
            if shift >= bits {
                self.sound = false;
                return 0;
            }
        }
    }

    /// The signed numbers 0, -1, 1, -2, ... by their place.
    fn signed(&mut self, bits: u32) -> i64 {
        let number = self.number(bits);
        (number >> 1) as i64 ^ -((number & 1) as i64)
    }

    /// Which of `count` alternatives.
    fn variant(&mut self, count: u32) -> u32 {
        let variant = self.number(32) as u32;
        self.sound &= variant < count;
        variant
    }

    fn flag(&mut self) -> bool {
        let byte = self.byte();
        self.sound &= byte < 2;
        byte == 1
    }
}

macro_rules! numbers {
    ($($type:ty: $read:expr;)*) => {$(
        impl Read<'_> for $type {
            #[inline]
            fn read(reader: &mut Reader<'_>) -> Self {
                let read: fn(&mut Reader<'_>) -> Self = $read;
                read(reader)
            }
        }
    )*};
}

numbers! {
    u8: |reader| reader.byte();
    i8: |reader| reader.byte() as i8;
    bool: |reader| reader.flag();
    u16: |reader| reader.number(16) as u16;
    u32: |reader| reader.number(32) as u32;
    i32: |reader| reader.signed(32) as i32;
    u64: |reader| reader.number(64);
    i64: |reader| reader.signed(64);
    Rounding: |reader| match reader.variant(2) {
        0 => Self::Double,
        _ => Self::Single,
    };
    ScoreKind: |reader| match reader.variant(8) {
        0 => Self::ReconstructionError,
        1 => Self::BernoulliNll,
        2 => Self::GaussianNll,
        3 => Self::KlDivergence,
        4 => Self::NegativeElbo,
        5 => Self::BernoulliExcess,
        6 => Self::Mahalanobis,
        _ => Self::ReconstructionProbability,
    };
    Likelihood: |reader| match reader.variant(2) {
        0 => Self::Bernoulli,
        _ => Self::Gaussian {
            precision: Read::read(reader),
            factor: Read::read(reader),
            constant: Read::read(reader),
        },
    };
}

impl<'a> Read<'a> for &'a str {
    #[inline(never)]
    fn read(reader: &mut Reader<'a>) -> Self {
        let len = reader.number(32) as usize;
        let text = reader.bytes.split_at_checked(len).and_then(|(text, rest)| {
            reader.bytes = rest;
            if cfg!(feature = "names") { core::str::from_utf8(text).ok() } else { Some("") }
        });
        reader.sound &= text.is_some();
        text.unwrap_or("")
    }
}

impl<'a, T: Read<'a>> Read<'a> for Option<T> {
    fn read(reader: &mut Reader<'a>) -> Self {
        reader.flag().then(|| T::read(reader))
    }
}

/// Structs: their fields in order.
macro_rules! fields {
    ($($type:ident $(<$life:lifetime>)?: $($field:ident)*;)*) => {$(
        impl<'a> Read<'a> for $type $(<$life>)? {
            fn read(reader: &mut Reader<'a>) -> Self {
                Self { $($field: Read::read(reader)),* }
            }
        }
    )*};
}

fields! {
    Description<'a>: name provenance target rounding frontend layers encoder_len latent likelihood score mean_square
        threshold calibration arena_len;
    Provenance<'a>: source source_sha256 tool;
    Frontend: window_len hop channels remove_mean lsb offset multiplier shift zero_point scale_bits;
    Span: offset len;
    Latent: len has_logvar mu_frac_bits logvar_frac_bits z_multiplier z_shift z_zero_point;
    Factor: multiplier shift;
    Calibration: windows min median p99 max;
}

#[cfg(all(test, feature = "names"))]
mod tests {
    use super::*;

    /// A description with a number of every kind of length, and its bytes by serde.
    fn written(bytes: &mut [u8; 512]) -> usize {
        let factor = Factor { multiplier: 0xffff_ffff, shift: 94 };
        let description = Description {
            name: "größe",
            provenance: Provenance { source: "a", source_sha256: "", tool: "t 0.1" },
            target: "cortex-m4",
            rounding: Rounding::Single,
            frontend: Frontend {
                window_len: 640,
                hop: 1,
                channels: 0xffff,
                remove_mean: true,
                lsb: 127,
                offset: 128,
                multiplier: 0x1234_5678,
                shift: 0,
                zero_point: -128,
                scale_bits: 0x3f80_0000,
            },
            layers: Span { offset: 16_383, len: 16_384 },
            encoder_len: 3,
            latent: Latent {
                len: 20,
                has_logvar: false,
                mu_frac_bits: 255,
                logvar_frac_bits: 12,
                z_multiplier: i32::MIN,
                z_shift: -1,
                z_zero_point: 3,
            },
            likelihood: Likelihood::Gaussian { precision: 4, factor, constant: i64::MIN },
            score: ScoreKind::ReconstructionProbability,
            mean_square: factor,
            threshold: Some(i64::MAX),
            calibration: Calibration { windows: 5, min: -1, median: 0, p99: 64, max: -65 },
            arena_len: 2320,
        };
        postcard::to_slice(&description, bytes).unwrap().len()
    }

    /// What serde reads and what is read here.
    fn check(bytes: &[u8]) -> bool {
        let mut reader = Reader::new(bytes);
        let description = Description::read(&mut reader);
        let by_hand = reader.is_done().then_some(description);
        let by_serde = postcard::take_from_bytes(bytes).ok();
        let by_serde = by_serde.filter(|(_, rest)| rest.is_empty()).map(|(value, _)| value);
        assert_eq!(by_hand, by_serde, "{bytes:02x?}");
        by_hand.is_some()
    }

    #[test]
    fn damaged_or_whole_it_reads_what_serde_reads() {
        let mut bytes = [0; 512];
        let len = written(&mut bytes);
        assert!(check(&bytes[..len]));
        for cut in 0..len + 1 {
            assert!(!check(&bytes[..cut + usize::from(cut >= len)]));
        }
        let mut accepted = 0;
        for at in 0..len {
            for value in 0..=255 {
                let mut damaged = bytes;
                damaged[at] = value;
                accepted += usize::from(check(&damaged[..len]));
                // Behind a byte that goes on, one more.
                damaged[at] = value | 0x80;
                accepted += usize::from(check(&damaged[..len]));
            }
        }
        assert!(accepted > 1000, "{accepted}: the damage is too plain to test anything");
    }
}
