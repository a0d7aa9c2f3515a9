//! A network as the search writes it down: one line of text, which `picovae train`
//! could be told in its own words.

use std::fmt;
use std::str::FromStr;

use crate::graph::Vae;
use crate::quantize::WeightBits;
use crate::train::{Architecture, Convolution};

/// Convolutions, fully connected layers, a latent, and the bits of each layer's weights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The encoder's; the decoder mirrors them. None in a fully connected network.
    pub convolutions: Vec<Convolution>,
    /// Widths of the encoder's hidden layers.
    pub hidden: Vec<usize>,
    /// Widths of the decoder's, latent side first.
    pub decoder_hidden: Vec<usize>,
    /// Dimensions of the latent.
    pub latent: usize,
    /// Layers with 4-bit weights, by their place in order of execution (both heads
    /// are one); places behind the last layer mean nothing.
    pub four_bit: Vec<bool>,
}

/// Places [`Candidate::four_bit`] has.
pub const PLACES: usize = 12;

impl Candidate {
    /// The shape to train; everything that is not searched comes from `like`.
    pub fn architecture(&self, like: &Architecture) -> Architecture {
        Architecture {
            convolutions: self.convolutions.clone(),
            decoder_convolutions: None,
            hidden: self.hidden.clone(),
            decoder_hidden: self.decoder_hidden.clone(),
            latent: self.latent,
            ..like.clone()
        }
    }

    /// The next narrower network, every layer by a quarter; `None` where all are as narrow as can be. The
    /// latent stays: it is what is reused.
    pub fn narrower(&self) -> Option<Self> {
        let narrow = |width: usize| (width * 3 / 4).max(1);
        let mut candidate = self.clone();
        for convolution in &mut candidate.convolutions {
            convolution.channels = narrow(convolution.channels);
        }
        for width in candidate.hidden.iter_mut().chain(&mut candidate.decoder_hidden) {
            *width = narrow(*width);
        }
        (candidate != *self).then_some(candidate)
    }

    /// Bits of the layers of a network of this shape.
    pub fn weight_bits(&self, vae: &Vae) -> WeightBits {
        let mut bits = WeightBits::uniform(8);
        let layers = vae.layers().filter(|layer| layer.name != "logvar");
        for (layer, four) in layers.zip(&self.four_bit) {
            if *four {
                bits.layers.insert(layer.name.clone(), 4);
            }
        }
        bits
    }
}

impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |items: Vec<String>| items.join(",");
        if !self.convolutions.is_empty() {
            let convolutions = self.convolutions.iter().map(ToString::to_string).collect();
            write!(f, "conv={} ", list(convolutions))?;
        }
        let widths = |widths: &[usize]| list(widths.iter().map(ToString::to_string).collect());
        let bits = self.four_bit.iter().map(|four| if *four { '4' } else { '8' });
        write!(
            f,
            "hidden={} decoder={} latent={} bits={}",
            widths(&self.hidden),
            widths(&self.decoder_hidden),
            self.latent,
            bits.collect::<String>()
        )
    }
}

impl FromStr for Candidate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut candidate = Self {
            convolutions: Vec::new(),
            hidden: Vec::new(),
            decoder_hidden: Vec::new(),
            latent: 0,
            four_bit: Vec::new(),
        };
        let number = |text: &str| {
            let parsed = text.parse().ok().filter(|n: &usize| *n > 0);
            parsed.ok_or_else(|| format!("`{text}` is not a positive number"))
        };
        for part in text.split_whitespace() {
            let (key, value) =
                part.split_once('=').ok_or_else(|| format!("`{part}` is not NAME=VALUE"))?;
            let items = || value.split(',').filter(|item| !item.is_empty());
            match key {
                "conv" => {
                    candidate.convolutions = items().map(str::parse).collect::<Result<_, _>>()?
                }
                "hidden" => candidate.hidden = items().map(number).collect::<Result<_, _>>()?,
                "decoder" => {
                    candidate.decoder_hidden = items().map(number).collect::<Result<_, _>>()?
                }
                "latent" => candidate.latent = number(value)?,
                "bits" => candidate.four_bit = value.chars().map(|c| c == '4').collect(),
                _ => return Err(format!("a candidate has no `{key}`")),
            }
        }
        if candidate.latent == 0 { Err("a candidate needs a latent".into()) } else { Ok(candidate) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_back() {
        for text in [
            "conv=8x5s2,16x3 hidden=64 decoder=64 latent=8 bits=484888888888",
            "hidden= decoder= latent=2 bits=8",
            "hidden=128,64 decoder=32 latent=20 bits=44",
        ] {
            let candidate: Candidate = text.parse().unwrap();
            assert_eq!(candidate.to_string(), text);
        }
        for text in ["hidden=1", "latent=0", "latent=4 conv=3y", "latent=4 depth=2", "latent"] {
            assert!(text.parse::<Candidate>().is_err(), "{text}");
        }
    }
}
