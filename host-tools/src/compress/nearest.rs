//! Of chains none of which keeps the budget, the one that comes nearest to it: what
//! [`compress`](super::compress) says where nothing comes out.

use super::ChainReport;
use crate::needs::Needs;
use crate::search::Budget;

/// The chain to whose needs the limits would have to be raised the least, as a share; the smallest of
/// several.
pub(super) fn nearest(chains: &[ChainReport], budget: &Budget) -> Option<usize> {
    let order = |at: usize| (overrun(&chains[at].needs, budget), chains[at].needs.blob_bytes);
    (0..chains.len()).min_by(|a, b| {
        let ((a, a_bytes), (b, b_bytes)) = (order(*a), order(*b));
        a.total_cmp(&b).then(a_bytes.cmp(&b_bytes))
    })
}

/// What a chain needs and which limits that is beyond, in words.
pub(super) fn blocked(nearest: Option<&ChainReport>) -> String {
    let Some(ChainReport { chain, needs, beyond, .. }) = nearest else {
        return "there is no chain".into();
    };
    let time = needs.instructions.map_or("no prediction of".into(), |n| n.to_string());
    let beyond: Vec<String> = beyond.iter().map(ToString::to_string).collect();
    format!(
        "the nearest, `{chain}`, takes {} bytes of flash, {} of RAM, {time} instructions; beyond the limit of {}",
        needs.blob_bytes,
        needs.arena_bytes,
        beyond.join(", ")
    )
}

/// The largest ratio of a need to its limit. A need that cannot be told is beyond any.
fn overrun(needs: &Needs, budget: &Budget) -> f64 {
    let ratio = |(_, needed, allowed): (_, Option<u64>, u64)| {
        needed.map_or(f64::INFINITY, |needed| needed as f64 / allowed as f64)
    };
    budget.limits(needs).map(ratio).fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compress::Chain;

    #[test]
    fn nearest_is_told_by_the_limit_that_blocks() {
        let budget = Budget { flash: Some(10_000), ram: Some(1_000), instructions: None };
        let report = |blob_bytes, arena_bytes| {
            let needs = Needs { blob_bytes, arena_bytes, instructions: None };
            let chain = Chain { student: false, keep: 1.0, bits: 8 };
            ChainReport::planned(chain, needs, budget.broken(&needs))
        };
        // The first is the smallest of flash, which none of the first two lacks.
        let chains = [report(2_000, 3_000), report(9_000, 1_500), report(16_000, 900)];
        assert_eq!(nearest(&chains, &budget), Some(1));
        let said = blocked(chains.get(1));
        assert!(said.contains("`quantize`, takes 9000 bytes of flash, 1500 of RAM"), "{said}");
        assert!(said.ends_with("beyond the limit of RAM"), "{said}");
        // Of what no figure tells apart, the smallest.
        let untold = Budget { instructions: Some(1), ..budget };
        assert_eq!(nearest(&chains, &untold), Some(0));
        assert_eq!(nearest(&[], &budget), None);
    }
}
