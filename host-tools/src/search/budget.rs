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
    /// The limits that `needs` are beyond. Where there is no prediction of
    /// instructions, a limit on them is not kept.
    pub fn broken(&self, needs: &Needs) -> Vec<Limit> {
        let mut broken = Vec::new();
        if self.flash.is_some_and(|limit| needs.blob_bytes > limit) {
            broken.push(Limit::Flash);
        }
        if self.ram.is_some_and(|limit| needs.arena_bytes > limit) {
            broken.push(Limit::Ram);
        }
        let time = |limit| needs.instructions.is_none_or(|needed| needed > limit);
        if self.instructions.is_some_and(time) {
            broken.push(Limit::Instructions);
        }
        broken
    }

    /// Which limits `needs` are beyond and by what, in words; `None` where all are kept.
    pub fn excess(&self, needs: &Needs) -> Option<String> {
        let said = |limit: Limit| match limit {
            Limit::Flash => pair(limit, Some(needs.blob_bytes), self.flash),
            Limit::Ram => pair(limit, Some(needs.arena_bytes), self.ram),
            Limit::Instructions => pair(limit, needs.instructions, self.instructions),
        };
        let all: Vec<String> = self.broken(needs).into_iter().map(said).collect();
        (!all.is_empty()).then(|| all.join(", "))
    }
}

fn pair<N: Display>(limit: Limit, needed: Option<N>, allowed: Option<N>) -> String {
    let number = |n: Option<N>| n.map_or_else(|| "unknown".to_string(), |n| n.to_string());
    format!("{limit} {} of {}", number(needed), number(allowed))
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
