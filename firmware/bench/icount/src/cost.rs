//! The cycle model, from Arm's technical reference manuals, zero wait states.
//!
//! | | M0+ | M3 | M4 |
//! |---|---|---|---|
//! | load or store, lone | 2 | 2 | 2 |
//! | each further one in a run of single loads and stores | 2 | 1 | 1 |
//! | LDM, STM, PUSH, POP, LDRD, STRD of N registers | 1+N | 1+N | 1+N |
//! | branch taken, on top of its own cycle | 1 | 2 | 2 |
//! | MUL | 1 | 1 | 1 |
//! | MLA, MLS | – | 2 | 1 |
//! | SMULL, UMULL (SMLAL, UMLAL) | – | 4 (5) | 1 |
//! | SDIV, UDIV | – | 7 | 7 |
//! | everything else, with the DSP instructions | 1 | 1 | 1 |
//!
//! M0+ pays 2 for every single load; the model of M7, M33 and M55 is M4's and means little there.

/// Constants of one core.
#[derive(Clone, Copy)]
pub struct Model {
    /// Cycles a taken branch costs on top of its own.
    pub taken: u64,
    later_access: u64,
    mla: u64,
    long_mul: u64,
    long_mla: u64,
}

impl Model {
    /// The model called `m0`, `m3` or (anything else) `m4`.
    pub fn named(name: &str) -> Self {
        match name {
            "m0" => Self { taken: 1, later_access: 2, mla: 1, long_mul: 1, long_mla: 1 },
            "m3" => Self { taken: 2, later_access: 1, mla: 2, long_mul: 4, long_mla: 5 },
            _ => Self { taken: 2, later_access: 1, mla: 1, long_mul: 1, long_mla: 1 },
        }
    }

    /// Cycles of one instruction without the taken branch, and whether it is a single load or store.
    pub fn cycles(&self, first: u16, second: u16, wide: bool, run: bool) -> (u64, bool) {
        let single = if run { (self.later_access, true) } else { (2, true) };
        let many = |registers: u32| (1 + u64::from(registers), false);
        if !wide {
            return match first >> 11 {
                // LDR literal; register and immediate offsets; SP-relative.
                0b01001..=0b10011 => single,
                0b11000 | 0b11001 => many((first & 0xff).count_ones()),
                _ if first & 0xf600 == 0xb400 => many((first & 0x1ff).count_ones()),
                _ => (1, false),
            };
        }
        match first >> 4 {
            // LDM/STM: 1110 100x x0xx; LDRD/STRD and table branches: 1110 100x x1xx.
            0xe80..=0xe9f if first & 0x40 == 0 => many(second.count_ones()),
            0xe80..=0xe9f if first & 0xfff0 == 0xe8d0 && second & 0xe0 == 0 => (2, false), // TBB, TBH
            0xe80..=0xe9f => many(2),
            0xf80..=0xf9f => single,
            0xfb0 => (if second & 0xf0f0 == 0xf000 { 1 } else { self.mla }, false),
            0xfb8 | 0xfba => (self.long_mul, false),
            0xfb9 | 0xfbb => (7, false),
            0xfbc | 0xfbe => (self.long_mla, false),
            _ => (1, false),
        }
    }
}
