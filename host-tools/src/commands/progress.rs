//! Progress bars and warnings: on standard error, and only where that is a terminal.

use indicatif::{ProgressBar, ProgressStyle};

/// Counts things called `unit`; nobody knows how many there will be.
pub fn counter(unit: &'static str) -> ProgressBar {
    let style = ProgressStyle::with_template(&format!("{{spinner}} {{pos}} {unit}, {{per_sec}}"));
    ProgressBar::new_spinner()
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()))
}

/// A bar over the steps of a training, whose number and message the training sets.
pub fn steps() -> ProgressBar {
    let template = "{bar:30} {percent:>3}% {eta:>4} left  {msg}";
    let style = ProgressStyle::with_template(template);
    ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// Says so where samples did not fit the device's i16.
pub fn warn_saturated(samples: u64) {
    if samples > 0 {
        eprintln!(
            "warning: {samples} samples are beyond the device's i16 range and were saturated; \
             check the recording's unit against the model's (`picovae inspect` shows input_lsb)"
        );
    }
}
