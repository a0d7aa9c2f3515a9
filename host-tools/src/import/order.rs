//! The order of layers: by their numbers, and where those do not say, by
//! their widths, if only one order fits.

use super::Problem;
use super::layout::{self, Parts};
use super::tensors::Tensors;

/// Attempts after which an order is given up as ambiguous.
const MAX_STEPS: usize = 10_000;

/// Puts the layers of both parts in order; an order that cannot be told is a
/// problem that names them.
pub(super) fn sort(tensors: &mut Tensors, parts: &mut Parts) {
    let head = parts.mu.as_ref().and_then(|mu| tensors.dim(mu));
    let (latent, head_input) = head.unzip();
    let ends = [(None, head_input), (latent, None)];
    for (names, (input, output)) in [&mut parts.encoder, &mut parts.decoder].into_iter().zip(ends) {
        names.sort_by_key(|name| layout::rank(name));
        if names.windows(2).all(|pair| layout::precedes(&pair[0], &pair[1])) {
            continue;
        }
        let dims = names.iter().map(|name| tensors.dim(name).unwrap_or_default()).collect();
        let mut search = Search { names, dims, input, output, steps: 0, found: Vec::new() };
        search.extend(&mut Vec::new());
        let (found, complete) = (search.found, search.steps < MAX_STEPS);
        match &found[..] {
            [order] if complete => {
                *names = order.iter().map(|at| names[*at].clone()).collect();
            }
            // No order fits: the check of the chain says where.
            [] if complete => {}
            _ => tensors.problems.push(Problem::new(
                names.join(", "),
                "neither numbers nor widths tell the order of these layers",
                "number them in their order, as in encoder.0, encoder.2, and export again",
            )),
        }
    }
}

/// Looks for the orders in which every layer reads what the one before emits.
struct Search<'a> {
    names: &'a [String],
    /// `(outputs, inputs)` of each layer.
    dims: Vec<(usize, usize)>,
    /// What the first layer must read, if that is known.
    input: Option<usize>,
    /// What the last layer must emit, if that is known.
    output: Option<usize>,
    steps: usize,
    found: Vec<Vec<usize>>,
}

impl Search<'_> {
    fn extend(&mut self, order: &mut Vec<usize>) {
        self.steps += 1;
        if self.steps >= MAX_STEPS || self.found.len() > 1 {
            return;
        }
        let emitted = order.last().map(|at| self.dims[*at].0);
        if order.len() == self.names.len() {
            if self.output.is_none_or(|output| emitted == Some(output)) {
                self.found.push(order.clone());
            }
            return;
        }
        let wanted = emitted.or(self.input);
        for at in 0..self.names.len() {
            let blocked = (0..self.names.len()).any(|other| {
                !order.contains(&other) && layout::precedes(&self.names[other], &self.names[at])
            });
            let fits = wanted.is_none_or(|wanted| self.dims[at].1 == wanted);
            if !order.contains(&at) && !blocked && fits {
                order.push(at);
                self.extend(order);
                order.pop();
            }
        }
    }
}
