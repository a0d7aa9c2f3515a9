//! host
pub mod graph;
pub mod recording;
pub mod train;
pub mod simulate;
pub mod emit;
pub mod quantize;
