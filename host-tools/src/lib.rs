//! picovae on the host: from recordings and trained weights to a blob, and
//! back to figures.
//!
//! | module | what it holds |
//! |---|---|
//! | [`recording`] | CSV, NPY and IDX files, and the windows in them |
//! | [`synth`] | a simulated machine, and faults put into recordings |
//! | [`graph`] | the float VAE: layers, forward pass, scores |
//! | [`import`] | model files of every format |
//! | [`blocks`] | blocks of weights that a device leaves out where they are empty |
//! | [`cost`] | instructions a network will take on a core |
//! | [`needs`] | flash, RAM and time a model will take |
//! | [`train`] | training on normal windows |
//! | [`quantize`] | float graph to int8 |
//! | [`emit`] | int8 to blob |
//! | [`simulate`] | the blob on the host, through `picovae-core` |
//! | [`fit`] | from normal recordings to a detector, in one step |
//! | [`evaluate`] | figures of a model, float or int8, on labelled recordings |
//! | [`boards`] | boards: what fits them, their images, flashing |
//! | [`compress`] | passes that make a model smaller |
//! | [`search`] | architecture search under budgets |
//! | [`diff`] | two models on the same windows, layer by layer |
//! | [`report`] | what was done, as one HTML file |
//! | [`threshold`] | the threshold from a stated number of false alarms |
//! | [`metrics`] | ROC AUC, average precision, F1, false alarms |
//!
//! The command line lives in the binary of the same name: it parses, calls
//! this library and prints.

pub mod blocks;
pub mod boards;
pub mod compress;
pub mod cost;
pub mod diff;
pub mod emit;
pub mod evaluate;
pub mod fingerprint;
pub mod fit;
pub mod graph;
pub mod import;
pub mod metrics;
pub mod needs;
pub mod quantize;
pub mod recording;
pub mod report;
pub mod search;
pub mod simulate;
pub mod synth;
pub mod threshold;
pub mod train;
mod whole_file;
