//! Windows a second of the autoencoder on tract, f32, one thread: `bench-peers BATCH...`,
//! `BENCH_MILLISECONDS` for each batch.
//!
//! tract is at its best in f32: its int8 path is slower. Weights are drawn; their values do not matter for speed.

use std::hint::black_box;
use std::time::{Duration, Instant};

use tract_core::ops::einsum::EinSum;
use tract_core::ops::math;
use tract_core::prelude::*;

const WIDTHS: [usize; 11] = [640, 128, 128, 128, 128, 8, 128, 128, 128, 128, 640];

fn main() -> TractResult<()> {
    let milliseconds = std::env::var("BENCH_MILLISECONDS").unwrap_or("1000".into()).parse()?;
    for batch in std::env::args().skip(1) {
        let batch: usize = batch.parse()?;
        let plan = network(batch)?.into_optimized()?.into_runnable()?;
        let input = Tensor::from_shape(&[batch, WIDTHS[0]], &noise(batch * WIDTHS[0]))?;
        let repeats = 64usize.div_ceil(batch);
        let mut best = Duration::MAX;
        let end = Instant::now() + Duration::from_millis(milliseconds);
        while best == Duration::MAX || Instant::now() < end {
            let start = Instant::now();
            for _ in 0..repeats {
                black_box(plan.run(tvec!(input.clone().into()))?);
            }
            best = best.min(start.elapsed() / repeats as u32);
        }
        let rate = batch as f64 / best.as_secs_f64();
        println!(
            r#"{{"engine":"tract","model":"ad","batch":{batch},"windows_per_second":{rate:.0}}}"#
        );
    }
    Ok(())
}

fn network(batch: usize) -> TractResult<TypedModel> {
    let mut model = TypedModel::default();
    let mut x = model.add_source("x", f32::fact([batch, WIDTHS[0]]))?;
    let zero = model.add_const("zero", Tensor::from_shape(&[1, 1], &[0f32])?)?;
    for (layer, pair) in WIDTHS.windows(2).enumerate() {
        let (inputs, outputs) = (pair[0], pair[1]);
        let weights = Tensor::from_shape(&[outputs, inputs], &noise(inputs * outputs))?;
        let weights = model.add_const(format!("weights{layer}"), weights)?;
        let bias = Tensor::from_shape(&[1, outputs], &noise(outputs))?;
        let bias = model.add_const(format!("bias{layer}"), bias)?;
        let product = EinSum::new("mk,nk->mn".parse()?, f32::datum_type());
        x = model.wire_node(format!("product{layer}"), product, &[x, weights])?[0];
        x = model.wire_node(format!("sum{layer}"), math::add(), &[x, bias])?[0];
        // The head and the output are linear.
        if outputs == 128 {
            x = model.wire_node(format!("relu{layer}"), math::max(), &[x, zero])?[0];
        }
    }
    model.set_output_outlets(&[x])?;
    Ok(model)
}

fn noise(len: usize) -> Vec<f32> {
    let mut state = 1u32;
    (0..len)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 24) as f32 - 0.5
        })
        .collect()
}
