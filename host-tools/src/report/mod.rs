//! One self-contained HTML file: what was done to a model and what it cost. No
//! script, no font, nothing fetched: it opens from a stick on a plane.
//!
//! A [`Page`] takes sections of paragraphs, tables, [`Chart`]s and pictures in
//! order; [`Page::save`] writes it.

mod chart;
mod comparison;
mod page;
mod passes;
mod picture;

pub use chart::{Chart, ChartError, Mark, Series, Width};
pub use comparison::{ComparisonError, compare};
pub use page::{Page, ReportError};
pub use passes::{Pass, passes};
pub use picture::{images, traces};
