//! Options that set budgets: flash, RAM, instructions, and the core they are of.

use clap::Args;
use picovae::cost::of_core;
use picovae::search::Budget;

use super::quantize::TARGETS;

/// Hard limits of a device.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Budget")]
pub struct BudgetArgs {
    /// Core the weights are packed for, and instructions are counted on.
    #[arg(long, value_name = "CORE", default_value = "cortex-m4", value_parser = TARGETS)]
    pub target: String,
    /// Bytes of the blob at most, e.g. 64K.
    #[arg(long, value_name = "BYTES", value_parser = bytes)]
    pub flash: Option<usize>,
    /// Bytes of the arena at most, e.g. 8K.
    #[arg(long, value_name = "BYTES", value_parser = bytes)]
    pub ram: Option<usize>,
    /// Instructions of an inference at most, e.g. 300K (K is 1,000 here).
    #[arg(long, value_name = "N", value_parser = count)]
    pub instructions: Option<u64>,
}

impl BudgetArgs {
    /// Refuses a limit that nothing can be held to.
    pub fn check(&self) -> miette::Result<()> {
        if self.instructions.is_none() || of_core(&self.target).is_some() {
            return Ok(());
        }
        Err(miette::miette!(
            help = "name a core whose instructions are counted, such as --target cortex-m4, or leave --instructions out",
            "--instructions: there is no prediction for --target {}",
            self.target
        ))
    }

    /// The limits.
    pub fn budget(&self) -> Budget {
        Budget { flash: self.flash, ram: self.ram, instructions: self.instructions }
    }
}

/// `65536`, `64K`, `1M`: K is 1,024.
pub fn bytes(text: &str) -> Result<usize, String> {
    scaled(text.trim_end_matches(['B', 'b']).trim_end_matches('i'), 1024)
        .and_then(|n| usize::try_from(n).ok())
        .ok_or_else(|| format!("`{text}` is not a size such as 65536, 64K or 1M"))
}

/// `300000`, `300K`, `1.5M`: K is 1,000.
pub fn count(text: &str) -> Result<u64, String> {
    scaled(text, 1000)
        .ok_or_else(|| format!("`{text}` is not a number such as 45000, 300K or 1.5M"))
}

fn scaled(text: &str, thousand: u64) -> Option<u64> {
    let (number, scale) = match text.as_bytes().last()? {
        b'k' | b'K' => (&text[..text.len() - 1], thousand),
        b'm' | b'M' => (&text[..text.len() - 1], thousand * thousand),
        _ => (text, 1),
    };
    let number: f64 = number.trim().parse().ok()?;
    let value = number * scale as f64;
    (number > 0.0 && (1.0..1e18).contains(&value)).then_some(value as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(bytes("64K"), Ok(65_536));
        assert_eq!(bytes("1.5k"), Ok(1_536));
        assert_eq!(bytes("64KiB"), Ok(65_536));
        assert_eq!(bytes("700"), Ok(700));
        assert_eq!(count("300K"), Ok(300_000));
        for text in ["", "K", "0", "-1", "64Q", "nan", "1e40"] {
            assert!(bytes(text).is_err(), "{text}");
        }
    }
}
