//! What version 2 of the format added: sections, records of 64 bytes in the payload.
//!
//! Each begins with its kind; fifteen words follow, in the order of the struct's
//! fields, those that are not used 0. They come in any order, none twice. Read like
//! the layers' records, without a parser: a device pays a few hundred bytes for them.

use bytemuck::{Pod, Zeroable};

mod latent_heads;

pub use latent_heads::{LatentClassifier, LatentClusters};

use crate::frontend::Taper;

/// One section as it lies in the payload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct SectionRecord {
    /// Which section: [`kind`].
    pub kind: u32,
    /// Its fields.
    pub words: [u32; WORDS],
}

/// Words of a section.
pub const WORDS: usize = 15;

/// An offset that is not there.
pub const NONE: u32 = u32::MAX;

/// Values of [`SectionRecord::kind`].
pub mod kind {
    /// [`Decimation`](super::Decimation).
    pub const DECIMATION: u32 = 1;
    /// [`Spectrum`](super::Spectrum).
    pub const SPECTRUM: u32 = 2;
    /// [`LatentGaussian`](super::LatentGaussian).
    pub const LATENT_GAUSSIAN: u32 = 3;
    /// [`Sampling`](super::Sampling).
    pub const SAMPLING: u32 = 4;
    /// [`Decision`](super::Decision).
    pub const DECISION: u32 = 5;
    /// [`NormalFeatures`](super::NormalFeatures).
    pub const NORMAL_FEATURES: u32 = 6;
    /// [`LatentClusters`](super::LatentClusters).
    pub const LATENT_CLUSTERS: u32 = 7;
    /// [`LatentClassifier`](super::LatentClassifier).
    pub const LATENT_CLASSIFIER: u32 = 8;
}

/// The sections of a blob, each at most once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sections {
    /// Thins the samples.
    pub decimation: Option<Decimation>,
    /// Features are bands of a spectrum.
    pub spectrum: Option<Spectrum>,
    /// How latents of normal windows lie.
    pub latent_gaussian: Option<LatentGaussian>,
    /// Samples of the reconstruction probability.
    pub sampling: Option<Sampling>,
    /// From scores to an alarm.
    pub decision: Option<Decision>,
    /// Where the features of normal windows lie.
    pub normal_features: Option<NormalFeatures>,
    /// Known states of the machine, by distance.
    pub latent_clusters: Option<LatentClusters>,
    /// Known states of the machine, by a plane between them.
    pub latent_classifier: Option<LatentClassifier>,
}

impl Sections {
    /// Reads the records; `None` where one is malformed, unknown or there twice. What a build has no use for it does
    /// not read; a spectrum it cannot run it reports as one that nothing fits.
    pub(crate) fn read(records: &[SectionRecord]) -> Option<Self> {
        let mut sections = Self::default();
        for SectionRecord { kind, words } in records {
            let twice = match *kind {
                kind::DECIMATION => sections.decimation.replace(Decimation::read(words)?).is_some(),
                kind::LATENT_GAUSSIAN | kind::SAMPLING if !cfg!(feature = "extra-scores") => {
                    continue;
                }
                kind::NORMAL_FEATURES if !cfg!(feature = "recalibration") => continue,
                kind::LATENT_CLUSTERS | kind::LATENT_CLASSIFIER
                    if !cfg!(feature = "latent-heads") =>
                {
                    continue;
                }
                kind::SPECTRUM if !cfg!(feature = "spectrum") => {
                    sections.spectrum.replace(Spectrum::NONE).is_some()
                }
                kind::SPECTRUM => sections.spectrum.replace(Spectrum::read(words)?).is_some(),
                kind::LATENT_GAUSSIAN => {
                    sections.latent_gaussian.replace(LatentGaussian::read(words)?).is_some()
                }
                kind::SAMPLING => sections.sampling.replace(Sampling::read(words)?).is_some(),
                kind::DECISION => sections.decision.replace(Decision::read(words)?).is_some(),
                kind::NORMAL_FEATURES => {
                    sections.normal_features.replace(NormalFeatures::read(words)?).is_some()
                }
                kind::LATENT_CLUSTERS => {
                    sections.latent_clusters.replace(LatentClusters::read(words)?).is_some()
                }
                kind::LATENT_CLASSIFIER => {
                    sections.latent_classifier.replace(LatentClassifier::read(words)?).is_some()
                }
                _ => return None,
            };
            if twice {
                return None;
            }
        }
        Some(sections)
    }

    /// The records of the sections that are there: what the host writes.
    pub fn records(&self) -> impl Iterator<Item = SectionRecord> {
        let record =
            |kind, words: Option<[u32; WORDS]>| words.map(|words| SectionRecord { kind, words });
        [
            record(kind::DECIMATION, self.decimation.map(Decimation::words)),
            record(kind::SPECTRUM, self.spectrum.map(Spectrum::words)),
            record(kind::LATENT_GAUSSIAN, self.latent_gaussian.map(LatentGaussian::words)),
            record(kind::SAMPLING, self.sampling.map(Sampling::words)),
            record(kind::DECISION, self.decision.map(Decision::words)),
            record(kind::NORMAL_FEATURES, self.normal_features.map(NormalFeatures::words)),
            record(kind::LATENT_CLUSTERS, self.latent_clusters.map(LatentClusters::words)),
            record(kind::LATENT_CLASSIFIER, self.latent_classifier.map(LatentClassifier::words)),
        ]
        .into_iter()
        .flatten()
    }
}

/// The first words, the rest of which must be 0.
fn fields<const N: usize>(words: &[u32; WORDS]) -> Option<[u32; N]> {
    let (fields, rest) = words.split_first_chunk::<N>()?;
    rest.iter().all(|&word| word == 0).then_some(*fields)
}

/// Fields, and zeros behind them.
fn padded<const N: usize>(fields: [u32; N]) -> [u32; WORDS] {
    let mut words = [0; WORDS];
    words.iter_mut().zip(fields).for_each(|(word, field)| *word = field);
    words
}

fn flag(word: u32) -> Option<bool> {
    match word {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    }
}

/// A filter that thins the samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decimation {
    /// One of so many samples is kept, at least 2.
    pub factor: u16,
    /// Taps of the filter.
    pub taps: u16,
    /// Offset of the int16 coefficients, Q15.
    pub coefficients: u32,
}

impl Decimation {
    fn read(words: &[u32; WORDS]) -> Option<Self> {
        let [factor, taps, coefficients] = fields(words)?;
        Some(Self { factor: factor.try_into().ok()?, taps: taps.try_into().ok()?, coefficients })
    }

    fn words(self) -> [u32; WORDS] {
        padded([self.factor.into(), self.taps.into(), self.coefficients])
    }
}

/// Settings of a spectrum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spectrum {
    /// log2 of the samples a frame, `6..=11`.
    pub log2_len: u8,
    /// Frames a window.
    pub stack: u16,
    /// Samples, after decimation, from one frame's start to the next one's.
    pub frame_hop: u16,
    /// What each frame is multiplied by: 0 nothing, 1 Hann.
    pub taper: Taper,
    /// Bands of a frame.
    pub bands: u16,
    /// Offset of the u16 edges: `bands + 1`, or `bands + 2` of triangles.
    pub edges: u32,
    /// Offset of the u16 shares of the rising triangle, one a bin from the first edge to
    /// the last; [`NONE`] where bands are sums.
    pub triangles: Option<u32>,
    /// Least logarithm, Q16.
    pub floor: i32,
}

impl Spectrum {
    /// Stands for one that this build cannot run.
    const NONE: Self = Self {
        log2_len: 0,
        stack: 0,
        frame_hop: 0,
        taper: Taper::None,
        bands: 0,
        edges: NONE,
        triangles: None,
        floor: 0,
    };

    fn read(words: &[u32; WORDS]) -> Option<Self> {
        let [log2_len, stack, frame_hop, taper, bands, edges, triangles, floor] = fields(words)?;
        Some(Self {
            log2_len: log2_len.try_into().ok()?,
            stack: stack.try_into().ok()?,
            frame_hop: frame_hop.try_into().ok()?,
            taper: if flag(taper)? { Taper::Hann } else { Taper::None },
            bands: bands.try_into().ok()?,
            edges,
            triangles: (triangles != NONE).then_some(triangles),
            floor: floor as i32,
        })
    }

    fn words(self) -> [u32; WORDS] {
        padded([
            self.log2_len.into(),
            self.stack.into(),
            self.frame_hop.into(),
            u32::from(self.taper == Taper::Hann),
            self.bands.into(),
            self.edges,
            self.triangles.unwrap_or(NONE),
            self.floor as u32,
        ])
    }
}

/// Mean of the latents of normal windows, and what whitens them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LatentGaussian {
    /// Offset of the int16 mean, `mu_frac_bits`, one a dimension.
    pub mean: u32,
    /// Whether the whitening is a lower triangle, row by row; else a diagonal.
    pub full: bool,
    /// Offset of the int16 whitening.
    pub weights: u32,
    /// Offset of the u8 right shifts to 12 fraction bits, one a row, at most 47.
    pub shifts: u32,
}

impl LatentGaussian {
    fn read(words: &[u32; WORDS]) -> Option<Self> {
        let [mean, full, weights, shifts] = fields(words)?;
        Some(Self { mean, full: flag(full)?, weights, shifts })
    }

    fn words(self) -> [u32; WORDS] {
        padded([self.mean, self.full.into(), self.weights, self.shifts])
    }
}

/// Samples of the reconstruction probability.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sampling {
    /// Samples a window, at least 1.
    pub samples: u8,
    /// Seed of every window's generator.
    pub seed: u32,
}

impl Sampling {
    fn read(words: &[u32; WORDS]) -> Option<Self> {
        let [samples, seed] = fields(words)?;
        Some(Self { samples: samples.try_into().ok()?, seed })
    }

    fn words(self) -> [u32; WORDS] {
        padded([self.samples.into(), self.seed])
    }
}

/// Where the features of normal windows lie: what re-calibration brings those of another machine to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NormalFeatures {
    /// Offset of the int16 means on the int8 grid, Q8, one a group.
    pub mean: u32,
    /// Offset of the u16 deviations on the int8 grid, Q8, one a group.
    pub deviation: u32,
}

impl NormalFeatures {
    fn read(words: &[u32; WORDS]) -> Option<Self> {
        let [mean, deviation] = fields(words)?;
        Some(Self { mean, deviation })
    }

    fn words(self) -> [u32; WORDS] {
        padded([self.mean, self.deviation])
    }
}

/// From scores to an alarm, and what is watched of the sensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Healthy windows that are not judged at first.
    pub warm_up: u32,
    /// Windows of the last `of` that must reach the threshold, at least 1.
    pub votes: u8,
    /// Windows that vote, `votes..=32`.
    pub of: u8,
    /// Score that still counts in an alarm; its two words are `i64::MAX` where there is none.
    pub clear: Option<i64>,
    /// Windows after an alarm without a new one.
    pub hold_off: u32,
    /// Whether a channel that does not move over a window is a fault.
    pub stuck: bool,
    /// The converter's ends, and the samples a window and channel that may lie there; three
    /// words, the last [`NONE`] where rails are not watched.
    pub rails: Option<(i16, i16, u16)>,
    /// Offset of the int16 pairs of least and greatest sample, one a channel; or [`NONE`].
    pub range: Option<u32>,
    /// Samples a window and channel that may lie beyond the range.
    pub outside: u16,
}

impl Decision {
    fn read(words: &[u32; WORDS]) -> Option<Self> {
        let [
            warm_up,
            votes,
            of,
            clear_low,
            clear_high,
            hold_off,
            stuck,
            low,
            high,
            most,
            range,
            outside,
        ] = fields(words)?;
        let clear = (u64::from(clear_low) | (u64::from(clear_high) << 32)) as i64;
        let rails = match u16::try_from(most) {
            _ if most == NONE => None,
            Ok(most) => {
                let rail = |word: u32| i16::try_from(word as i32).ok();
                Some((rail(low)?, rail(high)?, most))
            }
            Err(_) => return None,
        };
        Some(Self {
            warm_up,
            votes: votes.try_into().ok()?,
            of: of.try_into().ok()?,
            clear: (clear != i64::MAX).then_some(clear),
            hold_off,
            stuck: flag(stuck)?,
            rails,
            range: (range != NONE).then_some(range),
            outside: outside.try_into().ok()?,
        })
    }

    fn words(self) -> [u32; WORDS] {
        let clear = self.clear.unwrap_or(i64::MAX) as u64;
        let (low, high, most) = match self.rails {
            Some((low, high, most)) => (i32::from(low) as u32, i32::from(high) as u32, most.into()),
            None => (0, 0, NONE),
        };
        padded([
            self.warm_up,
            self.votes.into(),
            self.of.into(),
            clear as u32,
            (clear >> 32) as u32,
            self.hold_off,
            self.stuck.into(),
            low,
            high,
            most,
            self.range.unwrap_or(NONE),
            self.outside.into(),
        ])
    }
}
