//! Hard limits: what the planner rules out before training, and what is measured after.

use std::fmt::Display;

use crate::needs::Needs;

/// Hard limits; a candidate beyond one is never trained.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Budget {
    /// Bytes of the blob.
    pub flash: Option<usize>,
    /// Bytes of the arena.
    pub ram: Option<usize>,
    /// Instructions of an inference on the target.
    pub instructions: Option<u64>,
}

/// Which limit a model is beyond.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// [`Budget::flash`].
    Flash,
    /// [`Budget::ram`].
    Ram,
    /// [`Budget::instructions`].
    Instructions,
}

impl Display for Limit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Flash => "flash",
            Self::Ram => "RAM",
            Self::Instructions => "instructions",
        })
    }
}

impl Budget {
    /// Every limit there is, with what is needed (`None` where it cannot be told) and what is allowed.
    pub(crate) fn limits(
        &self,
        needs: &Needs,
    ) -> impl Iterator<Item = (Limit, Option<u64>, u64)> + use<> {
        let bytes = |limit: Option<usize>| limit.map(|limit| limit as u64);
        [
            (Limit::Flash, Some(needs.blob_bytes as u64), bytes(self.flash)),
            (Limit::Ram, Some(needs.arena_bytes as u64), bytes(self.ram)),
            (Limit::Instructions, needs.instructions, self.instructions),
        ]
        .into_iter()
        .filter_map(|(limit, needed, allowed)| Some((limit, needed, allowed?)))
    }

    /// Those of them that `needs` are beyond; what cannot be told is beyond any.
    fn beyond(&self, needs: &Needs) -> impl Iterator<Item = (Limit, Option<u64>, u64)> + use<> {
        self.limits(needs)
            .filter(|(_, needed, allowed)| needed.is_none_or(|needed| needed > *allowed))
    }

    /// The limits that `needs` are beyond. Where there is no prediction of
    /// instructions, a limit on them is not kept.
    pub fn broken(&self, needs: &Needs) -> Vec<Limit> {
        self.beyond(needs).map(|(limit, ..)| limit).collect()
    }

    /// Which limits `needs` are beyond and by what, in words; `None` where all are kept.
    pub fn excess(&self, needs: &Needs) -> Option<String> {
        let said = |(limit, needed, allowed): (Limit, Option<u64>, u64)| {
            let needed = needed.map_or_else(|| "unknown".to_string(), |needed| needed.to_string());
            format!("{limit} {needed} of {allowed}")
        };
        let all: Vec<String> = self.beyond(needs).map(said).collect();
        (!all.is_empty()).then(|| all.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_beyond_is_said_with_both_numbers() {
        let needs = Needs { blob_bytes: 1_025, arena_bytes: 300, instructions: None };
        let budget = Budget { flash: Some(1_024), ram: Some(300), instructions: None };
        assert_eq!(budget.excess(&needs).as_deref(), Some("flash 1025 of 1024"));
        assert_eq!(Budget { flash: Some(1_025), ..budget }.excess(&needs), None);
        let time = Budget { instructions: Some(9), ..budget };
        let said = "flash 1025 of 1024, instructions unknown of 9";
        assert_eq!(time.excess(&needs).as_deref(), Some(said));
    }
}
