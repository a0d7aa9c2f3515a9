//! The path of the data through a file: from its input to its reconstruction.
//!
//! Operators that only compute shapes, and outputs that no reconstruction depends on, are left
//! by the way. What an operator means is not asked here.

use super::super::Problem;
use super::schema::{File, Operator, Tensor, code};

/// Operators in order of execution.
#[derive(Debug)]
pub(super) struct Path<'a, 'f> {
    /// What the model reads.
    pub(super) input: &'f Tensor<'a>,
    /// From the input on.
    pub(super) steps: Vec<Step<'a, 'f>>,
    /// Names of outputs that are not on it.
    pub(super) others: Vec<String>,
}

/// One operator with what it reads and writes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step<'a, 'f> {
    pub(super) operator: &'f Operator<'a>,
    pub(super) input: &'f Tensor<'a>,
    pub(super) output: &'f Tensor<'a>,
}

impl<'a, 'f> Step<'a, 'f> {
    /// Operand `at`, if it is there.
    pub(super) fn operand(&self, file: &'f File<'a>, at: usize) -> Option<&'f Tensor<'a>> {
        file.tensors.get(self.operator.inputs.get(at).copied()??)
    }
}

/// Which of an operator's inputs the data comes in by.
pub(super) fn data_input(operator: &Operator<'_>) -> usize {
    match operator.code {
        code::TRANSPOSE_CONV => 2,
        code::SPLIT => 1,
        _ => 0,
    }
}

/// Follows the reconstruction back to the input.
pub(super) fn find<'a, 'f>(file: &'f File<'a>) -> Result<Path<'a, 'f>, Problem> {
    let [input] = file.inputs[..] else {
        return Err(Problem::new(
            "inputs",
            format!("the model has {} inputs", file.inputs.len()),
            "convert a model that reads one window and nothing else",
        ));
    };
    let tensor = |index: usize| &file.tensors[index];
    let len = tensor(input).len();
    let reconstruction = file.outputs.iter().copied().find(|&output| tensor(output).len() == len);
    let Some(reconstruction) = reconstruction else {
        return Err(Problem::new(
            "outputs",
            format!("no output has the {len} elements of the input"),
            "convert the whole model, encoder and decoder, so that it gives the reconstruction",
        ));
    };
    let mut producer = vec![None; file.tensors.len()];
    for (index, operator) in file.operators.iter().enumerate() {
        for &output in &operator.outputs {
            producer[output] = Some(index);
        }
    }
    let (mut steps, mut at) = (Vec::new(), reconstruction);
    while at != input {
        let step = producer[at].and_then(|index| {
            let operator = &file.operators[index];
            let from = operator.inputs.get(data_input(operator)).copied()??;
            let step = Step { operator, input: tensor(from), output: tensor(at) };
            Some((step, from))
        });
        let Some((step, from)) = step.filter(|_| steps.len() < file.operators.len()) else {
            return Err(Problem::new(
                &tensor(at).name,
                "it does not come from the model's input",
                "convert the model again; it must be one path from the window to its reconstruction",
            ));
        };
        steps.push(step);
        at = from;
    }
    steps.reverse();
    let others = file.outputs.iter().filter(|&&output| output != reconstruction);
    let others = others.map(|&output| tensor(output).name.clone()).collect();
    Ok(Path { input: tensor(input), steps, others })
}
