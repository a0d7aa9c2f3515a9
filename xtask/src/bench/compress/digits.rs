//! Handwritten digits: all of them, and without one of them at a time.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::shell;

/// Digits that are left out, as issue 5 has them.
const LEFT_OUT: [u8; 3] = [8, 4, 2];
/// Training digits from here on are held back, to choose the score with.
const HELD_BACK: usize = 57_000;

/// Files the bench works on.
#[derive(Debug)]
pub struct Digits {
    /// All digits first, then without one each.
    pub sets: Vec<Set>,
    /// The test digits.
    pub test: PathBuf,
    /// Digits held back from training.
    pub validation: PathBuf,
}

/// Training digits.
#[derive(Debug)]
pub struct Set {
    /// `all`, `without-8`.
    pub name: String,
    /// The images.
    pub train: PathBuf,
    /// Whether a test digit is the one left out; none where none is.
    pub test_labels: Option<PathBuf>,
    /// The same of the digits held back.
    pub validation_labels: Option<PathBuf>,
}

impl Digits {
    /// Writes what is not there yet; `quick` takes every tenth digit and leaves one out only.
    pub fn prepare(folder: &Path, quick: bool) -> Result<Self> {
        let source = |name: &str| shell::data().join("mnist").join(name);
        let thin = if quick { 10 } else { 1 };
        let images = Idx::read(&source("train-images-idx3-ubyte.gz"))?.thinned(thin);
        let labels = Idx::read(&source("train-labels-idx1-ubyte.gz"))?.thinned(thin);
        let test_labels = Idx::read(&source("t10k-labels-idx1-ubyte.gz"))?;
        let held_back = HELD_BACK / thin;
        let digit = |at: usize| labels.item(at).first().copied();
        let write = |name: String, idx: &dyn Fn() -> Idx| -> Result<PathBuf> {
            let path = folder.join(name);
            if !path.is_file() {
                idx().write(&path)?;
            }
            Ok(path)
        };
        let all = match quick {
            false => source("train-images-idx3-ubyte.gz"),
            true => write("train.idx".into(), &|| images.picked(|_| true))?,
        };
        let mut sets = vec![Set {
            name: "all".into(),
            train: all,
            test_labels: None,
            validation_labels: None,
        }];
        for out in LEFT_OUT.into_iter().take(if quick { 1 } else { LEFT_OUT.len() }) {
            let is = |labels: &Idx, from: usize| {
                let labels = labels.picked(|at| at >= from);
                Idx { items: labels.items.iter().map(|d| u8::from(*d == out)).collect(), ..labels }
            };
            sets.push(Set {
                name: format!("without-{out}"),
                train: write(format!("train-without-{out}.idx"), &|| {
                    images.picked(|at| at < held_back && digit(at) != Some(out))
                })?,
                test_labels: Some(write(format!("test-is-{out}.idx"), &|| is(&test_labels, 0))?),
                validation_labels: Some(write(format!("validation-is-{out}.idx"), &|| {
                    is(&labels, held_back)
                })?),
            });
        }
        Ok(Self {
            sets,
            test: source("t10k-images-idx3-ubyte.gz"),
            validation: write("validation.idx".into(), &|| images.picked(|at| at >= held_back))?,
        })
    }
}

/// An IDX file of bytes.
#[derive(Debug, Clone)]
struct Idx {
    /// Items first.
    shape: Vec<usize>,
    items: Vec<u8>,
}

impl Idx {
    fn read(path: &Path) -> Result<Self> {
        let spell = || format!("reading {}", path.display());
        let file = std::fs::File::open(path).with_context(spell)?;
        let mut bytes = Vec::new();
        flate2::read::GzDecoder::new(file).read_to_end(&mut bytes).with_context(spell)?;
        let dimensions = usize::from(*bytes.get(3).with_context(spell)?);
        let header = bytes.get(4..4 + 4 * dimensions).with_context(spell)?;
        let length = |b: &[u8]| b.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
        let shape: Vec<usize> = header.chunks_exact(4).map(length).collect();
        let items = bytes.split_off(4 + 4 * dimensions);
        ensure!(items.len() == shape.iter().product::<usize>(), "{}: cut short", path.display());
        Ok(Self { shape, items })
    }

    fn item_len(&self) -> usize {
        self.shape.iter().skip(1).product()
    }

    fn item(&self, at: usize) -> &[u8] {
        let len = self.item_len();
        self.items.get(at * len..(at + 1) * len).unwrap_or(&[])
    }

    fn picked(&self, keep: impl Fn(usize) -> bool) -> Self {
        let count = self.shape.first().copied().unwrap_or(0);
        let kept: Vec<usize> = (0..count).filter(|at| keep(*at)).collect();
        let items = kept.iter().flat_map(|at| self.item(*at)).copied().collect();
        let mut shape = self.shape.clone();
        shape.iter_mut().take(1).for_each(|items| *items = kept.len());
        Self { shape, items }
    }

    fn thinned(self, every: usize) -> Self {
        if every == 1 { self } else { self.picked(|at| at.is_multiple_of(every)) }
    }

    fn write(&self, path: &Path) -> Result<()> {
        let mut bytes = vec![0, 0, 8, self.shape.len() as u8];
        for length in &self.shape {
            bytes.extend((*length as u32).to_be_bytes());
        }
        bytes.extend(&self.items);
        // Whole or not at all: an interrupted bench finds no half of it.
        let part = path.with_extension("part");
        std::fs::write(&part, bytes)
            .and_then(|()| std::fs::rename(&part, path))
            .with_context(|| format!("writing {}", path.display()))
    }
}
