//! AdamW and gradient clipping as torch computes them, on flat `f32` tensors.

/// AdamW with decoupled decay (`torch.optim.AdamW`), its moments and its step count.
#[derive(Debug, Clone, PartialEq)]
pub struct AdamW {
    rule: Rule,
    /// Steps taken.
    steps: u64,
    /// Moving mean of the gradients, in the order of the parameters.
    first: Vec<Vec<f32>>,
    /// Moving mean of their squares.
    second: Vec<Vec<f32>>,
}

/// The constants of AdamW.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rule {
    /// How much of the moving means stays at each step.
    pub betas: [f64; 2],
    /// Added to the root of the second.
    pub eps: f64,
    /// The share of a weight that goes, per step and learning rate.
    pub weight_decay: f64,
}

impl AdamW {
    /// An optimiser that has taken so many steps; before the first, both moments are zero. They have the lengths of the
    /// parameters.
    pub fn new(rule: Rule, steps: u64, first: Vec<Vec<f32>>, second: Vec<Vec<f32>>) -> Self {
        Self {
            rule,
            steps,
            first,
            second,
        }
    }

    /// Moves the weights by one step, each tensor at its own rate; scalars are `f64` and rounded where torch rounds them.
    pub fn step(&mut self, rates: &[f64], weights: &mut [Vec<f32>], gradients: &[Vec<f32>]) {
        self.steps += 1;
        let moments = self.first.iter_mut().zip(&mut self.second);
        let tensors = weights.iter_mut().zip(gradients).zip(moments).zip(rates);
        for (((weights, gradients), (first, second)), rate) in tensors {
            let constants = Constants::new(&self.rule, self.steps as f64, *rate);
            constants.apply(weights, gradients, first, second);
        }
    }

    /// Both moments.
    pub(super) fn moments(&self) -> (&[Vec<f32>], &[Vec<f32>]) {
        (&self.first, &self.second)
    }
}

/// What is the same for all elements of one tensor and step.
struct Constants {
    keep: f32,
    lerp: f32,
    beta2: f32,
    square: f32,
    root: f32,
    eps: f32,
    rate: f32,
}

impl Constants {
    fn new(rule: &Rule, steps: f64, rate: f64) -> Self {
        let [beta1, beta2] = rule.betas;
        Self {
            keep: (1.0 - rate * rule.weight_decay) as f32,
            lerp: (1.0 - beta1) as f32,
            beta2: beta2 as f32,
            square: (1.0 - beta2) as f32,
            root: (1.0 - beta2.powf(steps)).sqrt() as f32,
            eps: rule.eps as f32,
            rate: (rate / (1.0 - beta1.powf(steps))) as f32,
        }
    }

    fn apply(&self, weights: &mut [f32], gradients: &[f32], first: &mut [f32], second: &mut [f32]) {
        let elements = weights.iter_mut().zip(gradients).zip(first).zip(second);
        for (((weight, gradient), first), second) in elements {
            *weight *= self.keep;
            *first += self.lerp * (gradient - *first);
            *second = *second * self.beta2 + self.square * gradient * gradient;
            let denominator = second.sqrt() / self.root + self.eps;
            *weight -= self.rate * (*first / denominator);
        }
    }
}

/// Shortens the gradients to `max_norm` together, as `torch.nn.utils.clip_grad_norm_` does; 0 leaves them as they are.
///
/// Returns their length before. The sum of squares is taken in `f64`, in the order of the tensors.
pub fn clip(gradients: &mut [Vec<f32>], max_norm: f64) -> f64 {
    let squares = |tensor: &Vec<f32>| tensor.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>();
    let norm = gradients.iter().map(squares).sum::<f64>().sqrt();
    let factor = max_norm / (norm + 1e-6);
    if max_norm > 0.0 && factor < 1.0 {
        let factor = factor as f32;
        gradients.iter_mut().flatten().for_each(|g| *g *= factor);
    }
    norm
}

/// Adds the gradients of one more pass.
pub(super) fn accumulate(sums: &mut [Vec<f32>], more: &[Vec<f32>]) {
    for (sum, more) in sums.iter_mut().flatten().zip(more.iter().flatten()) {
        *sum += more;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn floats(value: &Value) -> Vec<f32> {
        let items = value.as_array().unwrap().iter();
        items.map(|x| x.as_f64().unwrap() as f32).collect()
    }

    fn tensors(value: &Value) -> Vec<Vec<f32>> {
        value.as_array().unwrap().iter().map(floats).collect()
    }

    // Made by tests/fixtures/train/make.py. torch's kernels fuse a multiplication and an addition where the machine has
    // the instruction, which moves the last bit of each of a dozen steps; the weights are about 1.
    #[test]
    fn steps_are_those_of_torch() {
        let text = include_str!("../../tests/fixtures/train/adamw.json");
        let fixture: Value = serde_json::from_str(text).unwrap();
        let cases = fixture["cases"].as_array().unwrap();
        assert_eq!(cases.len(), 2);
        for case in cases {
            let rule = Rule {
                betas: [0, 1].map(|i| case["betas"][i].as_f64().unwrap()),
                eps: case["eps"].as_f64().unwrap(),
                weight_decay: case["weight_decay"].as_f64().unwrap(),
            };
            let max_norm = case["clip"].as_f64().unwrap_or(0.0);
            let mut weights = tensors(&case["before"]);
            let zeros: Vec<Vec<f32>> = weights.iter().map(|w| vec![0.0; w.len()]).collect();
            let mut adam = AdamW::new(rule, 0, zeros.clone(), zeros);
            for (index, step) in case["steps"].as_array().unwrap().iter().enumerate() {
                let mut gradients = tensors(&step["gradients"]);
                let norm = clip(&mut gradients, max_norm);
                let want = step["norm"].as_f64().unwrap();
                assert!((norm - want).abs() <= 1e-6 * want, "{norm}, not {want}");
                let rates = vec![step["rate"].as_f64().unwrap(); weights.len()];
                adam.step(&rates, &mut weights, &gradients);
                let after = tensors(&step["after"]);
                for (got, want) in weights.iter().flatten().zip(after.iter().flatten()) {
                    assert!((got - want).abs() < 2e-6, "step {index}: {got}, not {want}");
                }
            }
        }
    }

    #[test]
    fn clipping_keeps_the_direction() {
        let mut gradients = vec![vec![3.0, 0.0], vec![4.0]];
        assert_eq!(clip(&mut gradients, 0.0), 5.0);
        assert_eq!(gradients, [vec![3.0, 0.0], vec![4.0]]);
        assert_eq!(clip(&mut gradients, 1.0), 5.0);
        let factor = (1.0 / (5.0 + 1e-6)) as f32;
        assert_eq!(gradients, [vec![3.0 * factor, 0.0], vec![4.0 * factor]]);
        assert_eq!(
            clip(&mut gradients, 2.0),
            f64::from(gradients[0][0]).hypot(f64::from(gradients[1][0]))
        );
    }
}
