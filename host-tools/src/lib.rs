//! host
pub mod graph;
pub mod recording;
