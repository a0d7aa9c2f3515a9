//! How many bits the weights of each layer get.

use std::collections::BTreeMap;

/// 8 or 4 bits a weight: one number for the model, others for single layers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WeightBits {
    /// Of every layer not named: 8 or 4.
    pub default: u8,
    /// Of single layers, by name; both heads take what `mu` has.
    pub layers: BTreeMap<String, u8>,
}

impl Default for WeightBits {
    fn default() -> Self {
        Self::uniform(8)
    }
}

impl WeightBits {
    /// The same for every layer.
    pub fn uniform(bits: u8) -> Self {
        Self { default: bits, layers: BTreeMap::new() }
    }

    /// Bits of a layer; a merged head `mu+logvar` is asked for by its first part.
    pub fn of(&self, layer: &str) -> u8 {
        let first = || layer.split('+').next().unwrap_or(layer);
        *self.layers.get(layer).or_else(|| self.layers.get(first())).unwrap_or(&self.default)
    }
}

impl std::str::FromStr for WeightBits {
    type Err = String;

    /// `8`, `4`, or with exceptions: `4,encoder.0=8,decoder.4=8`.
    fn from_str(text: &str) -> Result<Self, String> {
        let bits = |text: &str| match text.trim() {
            "8" => Ok(8),
            "4" => Ok(4),
            other => Err(format!("weights have 8 or 4 bits, not `{other}`")),
        };
        let mut all = Self::default();
        for part in text.split(',') {
            match part.rsplit_once('=') {
                Some((layer, value)) => {
                    all.layers.insert(layer.trim().to_string(), bits(value)?);
                }
                None => all.default = bits(part)?,
            }
        }
        Ok(all)
    }
}

impl std::fmt::Display for WeightBits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.default)?;
        self.layers.iter().try_for_each(|(layer, bits)| write!(f, ",{layer}={bits}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exceptions_by_name() {
        let bits: WeightBits = "4,encoder.0=8".parse().unwrap();
        assert_eq!((bits.of("encoder.0"), bits.of("mu+logvar"), bits.default), (8, 4, 4));
        assert_eq!(bits.to_string().parse(), Ok(bits));
        assert!("3".parse::<WeightBits>().is_err());
        assert_eq!("8,mu=4".parse::<WeightBits>().unwrap().of("mu+logvar"), 4);
    }
}
