//! `--inject FAULT@A..B:SIZE`: faults of the sensor put into frames of a recording.

use clap::Args;
use picovae::recording::{Recording, Rows};
use picovae::synth::{Injection, inject};

/// Faults, and the seed of what is random about them.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Faults put in")]
pub struct InjectionArgs {
    /// Put a fault into these frames of each recording: spike, drift, dropout, stuck or noise, of so many
    /// deviations of the channel (3 where it is not said), or frequency, of so many percent; e.g.
    /// drift@4000..6000:2, frequency@4000..6000:-5. May be repeated.
    #[arg(long, value_name = "FAULT@A..B:SIZE", value_parser = parse)]
    inject: Vec<Injection>,
    /// Seed of noise and spikes.
    #[arg(long, default_value_t = 0, requires = "inject")]
    inject_seed: u64,
}

/// Deviations where nobody said.
const SIZE: f32 = 3.0;

impl InjectionArgs {
    /// Whether there is nothing to put in.
    pub fn is_empty(&self) -> bool {
        self.inject.is_empty()
    }

    /// Damages a recording in place.
    pub fn apply(&self, recording: &mut Recording, channels: usize) -> miette::Result<()> {
        for (seed, injection) in (self.inject_seed..).zip(&self.inject) {
            if inject(recording, channels, injection, seed).is_empty() {
                return Err(miette::miette!(
                    help = "frames are counted from 0 over the whole recording",
                    "{}: --inject names frames {}..{}, it has {}",
                    recording.path.display(),
                    injection.frames.start,
                    injection.frames.end,
                    recording.samples.len() / channels.max(1)
                ));
            }
        }
        Ok(())
    }
}

fn parse(text: &str) -> Result<Injection, String> {
    let form =
        || format!("`{text}` is not FAULT@A..B or FAULT@A..B:SIZE, such as drift@4000..6000:2");
    let (kind, rest) = text.split_once('@').ok_or_else(form)?;
    let (frames, size) = rest.split_once(':').map_or((rest, None), |(f, s)| (f, Some(s)));
    let rows: Rows = frames.parse()?;
    let amount = match size {
        None => SIZE,
        Some(size) => size.parse().map_err(|_| format!("`{size}` is not a number"))?,
    };
    Ok(Injection {
        kind: kind.parse()?,
        frames: rows.start..rows.end.unwrap_or(usize::MAX),
        amount,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use picovae::synth::InjectionKind;

    #[test]
    fn faults_are_read() {
        let drift = Injection { kind: InjectionKind::Drift, frames: 40..60, amount: 2.5 };
        assert_eq!(parse("drift@40..60:2.5"), Ok(drift));
        assert_eq!(parse("stuck@9..").unwrap().frames, 9..usize::MAX);
        for bad in ["drift", "drift@", "drift@4", "melt@1..2", "drift@1..2:x"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
