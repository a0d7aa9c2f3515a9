//! Small graphs, as exporters write them, against what they mean.

use super::*;
use crate::import::network::{Kind, Layout, Node, Value, Window};
use ndarray::{Array1, Array2, Array4, ArrayD, IxDyn};

fn dense(out: usize, input: usize, seed: usize) -> Kind {
    let weight = Array2::from_shape_fn((out, input), |(o, i)| {
        ((o * 7 + i * 3 + seed) % 11) as f32 / 11.0 - 0.5
    });
    Kind::FullyConnected { weight, bias: Some(Array1::from_elem(out, 0.25)) }
}

struct Graph(Network);

impl Graph {
    fn new(shape: &[usize]) -> (Self, Value) {
        let mut network = Network::new(Layout::ChannelsFirst);
        let kind = Kind::Input { shape: shape.to_vec() };
        let x = network.add(Node::new("x", "Input", kind), &[]);
        (Self(network), x)
    }

    fn add(&mut self, name: &str, kind: Kind, inputs: &[Value]) -> Value {
        self.0.add(Node::new(name, "Op", kind), inputs)
    }

    fn number(&mut self, value: f32) -> Value {
        self.add("number", Kind::Constant(ArrayD::from_elem(IxDyn(&[]), value)), &[])
    }

    /// `mu + exp(factor * logvar) * noise`.
    fn sample(&mut self, mu: Value, logvar: Value, factor: f32) -> Value {
        let factor = self.number(factor);
        let half = self.add("half", Kind::Multiply, &[logvar, factor]);
        let sigma = self.add("exp", Kind::Exp, &[half]);
        let shape = self.0.shape(mu).unwrap().to_vec();
        let noise = self.add("noise", Kind::RandomNormal { shape }, &[mu]);
        let noise = self.add("scaled", Kind::Multiply, &[noise, sigma]);
        self.add("z", Kind::Add, &[mu, noise])
    }

    fn assembled(&self) -> Assembled {
        assemble(&self.0, &ForeignOptions::default(), "test.onnx").unwrap()
    }

    fn problems(&self) -> Vec<String> {
        let found = assemble(&self.0, &ForeignOptions::default(), "test.onnx").unwrap_err();
        found.iter().map(Problem::to_string).collect()
    }
}

fn decoder(graph: &mut Graph, z: Value, out: usize) {
    let latent = graph.0.shape(z).unwrap()[0];
    let y = graph.add("decoder.0", dense(out, latent, 5), &[z]);
    let y = graph.add("sigmoid", Kind::Activation(Activation::Sigmoid), &[y]);
    graph.0.output("recon", y);
}

#[test]
fn heads_are_told_by_the_sampling() {
    // Swapped outputs, misleading names, ln sigma instead of ln sigma^2.
    for (factor, scale) in [(0.5, 1.0), (1.0, 2.0)] {
        let (mut graph, x) = Graph::new(&[6]);
        let h = graph.add("encoder.0", dense(4, 6, 1), &[x]);
        let h = graph.add("relu", Kind::Activation(Activation::Relu), &[h]);
        let logvar = graph.add("fc_mu", dense(2, 4, 2), &[h]);
        let mu = graph.add("fc_logvar", dense(2, 4, 3), &[h]);
        let z = graph.sample(mu, logvar, factor);
        graph.0.output("mu", logvar);
        decoder(&mut graph, z, 6);
        let vae = graph.assembled().vae;
        assert_eq!(vae.mu.name, "fc_logvar");
        assert_eq!(vae.encoder[0].activation, Activation::Relu);
        let Kind::FullyConnected { weight, .. } = dense(2, 4, 2) else { unreachable!() };
        let wanted: Vec<f32> = weight.iter().map(|w| w * scale).collect();
        assert_eq!(vae.logvar.as_ref().unwrap().op.weight(), wanted);
        assert_eq!(vae.likelihood, Likelihood::Bernoulli);
        assert_eq!(vae.decoder[0].activation, Activation::Identity);
        vae.validate().unwrap();
    }
}

#[test]
fn a_stacked_head_is_cut() {
    let (mut graph, x) = Graph::new(&[6]);
    let h = graph.add("encoder.0", dense(4, 6, 1), &[x]);
    let mu = graph.add("chunk", Kind::Slice { axis: 0, start: 0, end: 2 }, &[h]);
    let logvar = graph.add("chunk", Kind::Slice { axis: 0, start: 2, end: 4 }, &[h]);
    let z = graph.sample(mu, logvar, 0.5);
    decoder(&mut graph, z, 6);
    let vae = graph.assembled().vae;
    assert!(vae.encoder.is_empty());
    let logvar = vae.logvar.unwrap();
    assert_eq!((vae.mu.name.as_str(), logvar.name.as_str()), ("mu", "logvar"));
    let Kind::FullyConnected { weight, .. } = dense(4, 6, 1) else { unreachable!() };
    assert_eq!(logvar.op.weight(), weight.as_slice().unwrap().split_at(12).1);
}

#[test]
fn plain_autoencoders_and_affine_steps() {
    let (mut graph, x) = Graph::new(&[6]);
    // (x - 2) * 0.5, an ELU, batch normalization before and behind.
    let (two, half) = (graph.number(2.0), graph.number(0.5));
    let y = graph.add("sub", Kind::Subtract, &[x, two]);
    let y = graph.add("mul", Kind::Multiply, &[half, y]);
    let y = graph.add("encoder.0", dense(2, 6, 1), &[y]);
    let bn = |scale: f32| Kind::Affine {
        axis: 0,
        scale: Array1::from_vec(vec![scale, -scale]),
        shift: Array1::from_vec(vec![0.5, 0.25]),
    };
    let y = graph.add("bn", bn(2.0), &[y]);
    let y = graph.add("elu", Kind::Activation(Activation::Elu { alpha: 1.0 }), &[y]);
    let y = graph.add("bn2", bn(3.0), &[y]);
    let y = graph.add("decoder.0", dense(6, 2, 3), &[y]);
    graph.0.output("y", y);
    let Assembled { vae, notes } = graph.assembled();
    assert_eq!((vae.encoder.len(), vae.decoder.len()), (0, 1));
    assert!(notes[0].contains("encoder.0"), "{notes:?}");
    let x = Array2::from_shape_fn((3, 6), |(r, c)| (r * 6 + c) as f32 / 4.0 - 1.0);
    let forward = |kind: Kind, x: &Array2<f32>| {
        let Kind::FullyConnected { weight, bias } = kind else { unreachable!() };
        x.dot(&weight.t()) + &bias.unwrap()
    };
    let bn = |x: Array2<f32>, s: f32| {
        x * &Array1::from_vec(vec![s, -s]) + &Array1::from_vec(vec![0.5, 0.25])
    };
    let h = bn(forward(dense(2, 6, 1), &((&x - 2.0) * 0.5)), 2.0);
    let h = bn(h.mapv(|v| Activation::Elu { alpha: 1.0 }.apply(v)), 3.0);
    let wanted = forward(dense(6, 2, 3), &h);
    let (mu, _) = vae.encode(x.view());
    let difference = &vae.decode(mu.view()) - &wanted;
    assert!(difference.iter().all(|d| d.abs() < 1e-5), "{difference}");
}

#[test]
fn upsampling_is_absorbed_exactly() {
    // A signal of two channels, halved, doubled and convolved.
    let (mut graph, x) = Graph::new(&[2, 10]);
    let conv = |seed: usize| Kind::Convolution {
        weight: Array4::from_shape_fn((2, 3, 1, 2), |(o, i, _, c)| {
            ((o * 5 + i * 3 + c * 2 + seed) % 7) as f32 - 3.0
        }),
        bias: Some(Array1::from_vec(vec![0.5, -0.5])),
        window: Window {
            padding: crate::import::network::Padding::Explicit([(1, 1), (0, 0)]),
            ..Window::default()
        },
        groups: 1,
    };
    let window = Window { stride: [2, 1], ..Window::default() };
    let pool = crate::import::network::Pool::Average { include_padding: false };
    let y = graph.add("pool", Kind::Pool { pool, kernel: [2, 1], window, ceil: false }, &[x]);
    let y = graph.add("up", Kind::Upsample { factors: vec![1, 2] }, &[y]);
    let y = graph.add("conv", conv(1), &[y]);
    graph.0.output("y", y);
    let vae = graph.assembled().vae;
    assert_eq!(vae.decoder.len(), 1);
    assert_eq!(vae.decoder[0].op.name(), "transposed_convolution");
    // Windows are [10][2]; by hand: mean of pairs, repeated, convolved.
    let x = Array2::from_shape_fn((1, 20), |(_, i)| ((i * 13) % 17) as f32);
    let up = |t: usize, c: usize| (x[[0, t / 2 * 4 + c]] + x[[0, t / 2 * 4 + 2 + c]]) / 2.0;
    let (mu, _) = vae.encode(x.view());
    let y = vae.decode(mu.view());
    let Kind::Convolution { weight, bias, .. } = conv(1) else { unreachable!() };
    for t in 0..10usize {
        for o in 0..2 {
            let taps = (0..3).filter(|i| (1..=10).contains(&(t + i)));
            let sum: f32 = taps
                .flat_map(|i| (0..2).map(move |c| (i, c)))
                .map(|(i, c)| weight[[o, i, 0, c]] * up(t + i - 1, c))
                .sum();
            let wanted = sum + bias.as_ref().unwrap()[o];
            assert!((y[[0, t * 2 + o]] - wanted).abs() < 1e-4, "{t} {o}");
        }
    }
}

#[test]
fn every_problem_in_one_pass() {
    let (mut graph, x) = Graph::new(&[6]);
    let h = graph.add("encoder.0", dense(6, 6, 1), &[x]);
    let skip = graph.add("skip", Kind::Add, &[h, x]);
    let clipped = graph.add("clip", Kind::Clip { low: -1.0, high: 1.0 }, &[h]);
    let mu = graph.add("fc_mu", dense(2, 6, 2), &[skip]);
    let logvar = graph.add("fc_logvar", dense(2, 6, 3), &[clipped]);
    let z = graph.sample(mu, logvar, 0.5);
    let y = graph.add("decoder.0", dense(6, 2, 3), &[z]);
    let y = graph.add("join", Kind::Add, &[y, h]);
    graph.0.output("y", y);
    let problems = graph.problems();
    assert_eq!(problems.len(), 3, "{problems:?}");
    for (problem, layer) in problems.iter().zip(["skip", "clip", "join"]) {
        assert!(problem.contains(layer), "{problem}");
    }
}
