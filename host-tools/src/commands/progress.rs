//! Progress bars: on standard error, and only where that is a terminal.

use indicatif::{ProgressBar, ProgressStyle};

/// A bar over `total` things called `unit`.
pub fn bar(total: usize, unit: &'static str) -> ProgressBar {
    let bar = ProgressBar::new(total as u64);
    let template = format!("{{wide_bar}} {{pos}}/{{len}} {unit}, {{eta}} left");
    if let Ok(style) = ProgressStyle::with_template(&template) {
        bar.set_style(style);
    }
    bar
}
