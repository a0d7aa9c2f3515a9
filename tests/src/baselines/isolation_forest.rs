//! Isolation forest (Liu, Ting and Zhou 2008): windows that random cuts separate early are unusual.

use ndarray::{ArrayView1, ArrayView2};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// The paper's numbers.
const TREES: usize = 100;
const SAMPLE: usize = 256;

/// A forest.
#[derive(Debug)]
pub struct IsolationForest {
    trees: Vec<Node>,
    /// Mean depth of a search that finds nothing.
    usual: f64,
}

#[derive(Debug)]
enum Node {
    /// Ends with so many windows.
    Leaf(usize),
    Cut {
        feature: usize,
        at: f32,
        below: Box<Node>,
        above: Box<Node>,
    },
}

impl IsolationForest {
    /// Grows the trees on samples of `x[window][feature]`.
    pub fn fit(x: ArrayView2<'_, f32>, seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let sample = SAMPLE.min(x.nrows());
        let deepest = (sample.max(2) as f64).log2().ceil() as usize;
        let trees = (0..TREES)
            .map(|_| {
                let rows = (0..sample).map(|_| rng.random_range(0..x.nrows())).collect();
                grow(x, rows, deepest, &mut rng)
            })
            .collect();
        Self { trees, usual: usual_depth(sample) }
    }

    /// Between 0 and 1; early separation is near 1.
    pub fn score(&self, x: ArrayView1<'_, f32>) -> f64 {
        let depth = self.trees.iter().map(|tree| depth(tree, x)).sum::<f64>();
        2f64.powf(-depth / self.trees.len() as f64 / self.usual.max(1e-9))
    }
}

fn grow(x: ArrayView2<'_, f32>, rows: Vec<usize>, left: usize, rng: &mut impl Rng) -> Node {
    if left == 0 || rows.len() < 2 {
        return Node::Leaf(rows.len());
    }
    let feature = rng.random_range(0..x.ncols());
    let value = |row: &usize| x[[*row, feature]];
    let low = rows.iter().map(value).fold(f32::INFINITY, f32::min);
    let high = rows.iter().map(value).fold(f32::NEG_INFINITY, f32::max);
    if low >= high {
        return Node::Leaf(rows.len());
    }
    let at = rng.random_range(low..high);
    let (below, above) = rows.into_iter().partition(|row| x[[*row, feature]] <= at);
    let mut side = |rows| Box::new(grow(x, rows, left - 1, rng));
    Node::Cut { feature, at, below: side(below), above: side(above) }
}

fn depth(mut node: &Node, x: ArrayView1<'_, f32>) -> f64 {
    let mut depth = 0.0;
    loop {
        match node {
            Node::Leaf(count) => return depth + usual_depth(*count),
            Node::Cut { feature, at, below, above } => {
                node = if x[*feature] <= *at { below } else { above };
                depth += 1.0;
            }
        }
    }
}

/// Mean depth of an unsuccessful search in a binary tree of so many.
fn usual_depth(count: usize) -> f64 {
    if count < 2 {
        return 0.0;
    }
    let n = count as f64;
    2.0 * ((n - 1.0).ln() + 0.577_215_664_9) - 2.0 * (n - 1.0) / n
}
