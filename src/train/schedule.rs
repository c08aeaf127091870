//! Learning rates over the steps, as transformers' `get_*_schedule_with_warmup` gives them.

use super::job::{JobSchedule, ScheduleName, Warmup};

/// A learning-rate schedule of a known length.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Schedule {
    name: ScheduleName,
    warmup: u64,
    total: u64,
    /// The share of the rate that is left at the end.
    minimum: f64,
}

impl Schedule {
    /// The schedule of a job with `total` optimiser steps.
    pub fn new(job: &JobSchedule, total: u64) -> Self {
        Self {
            name: job.name,
            warmup: match job.warmup {
                // As transformers rounds.
                Warmup::Ratio(ratio) => (total as f64 * ratio.get()).ceil() as u64,
                Warmup::Steps(steps) => steps,
            },
            total,
            minimum: job.min_lr_ratio.get(),
        }
    }

    /// What multiplies the learning rate at optimiser step `step`, from 0.
    ///
    /// A straight line to a minimum is transformers' polynomial schedule of power 1; half a cosine to one is its
    /// `cosine_with_min_lr`.
    pub fn factor(&self, step: u64) -> f64 {
        if step < self.warmup {
            return step as f64 / self.warmup.max(1) as f64;
        }
        let span = self.total.saturating_sub(self.warmup).max(1) as f64;
        let shape = match self.name {
            ScheduleName::Constant => return 1.0,
            ScheduleName::Linear => self.total.saturating_sub(step) as f64 / span,
            ScheduleName::Cosine => {
                let progress = (step - self.warmup) as f64 / span;
                0.5 * (1.0 + (std::f64::consts::PI * progress).cos())
            }
        };
        (shape * (1.0 - self.minimum) + self.minimum).max(0.0)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    // Made by tests/fixtures/train/make.py. Both compute in f64; the order of operations differs by a few roundings.
    #[test]
    fn factors_are_those_of_transformers() {
        let text = include_str!("../../tests/fixtures/train/schedule.json");
        let fixture: serde_json::Value = serde_json::from_str(text).unwrap();
        let cases = fixture["cases"].as_array().unwrap();
        assert!(cases.len() >= 12);
        for case in cases {
            let schedule = Schedule {
                name: serde_json::from_value(case["name"].clone()).unwrap(),
                warmup: case["warmup"].as_u64().unwrap(),
                total: case["total"].as_u64().unwrap(),
                minimum: case["minimum"].as_f64().unwrap(),
            };
            let factors = case["factors"].as_array().unwrap();
            assert_eq!(factors.len() as u64, schedule.total + 1);
            for (step, want) in factors.iter().enumerate() {
                let (got, want) = (schedule.factor(step as u64), want.as_f64().unwrap());
                assert!(
                    (got - want).abs() < 1e-12,
                    "{schedule:?} step {step}: {got}, not {want}"
                );
            }
        }
    }
}
