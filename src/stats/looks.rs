//! Looking more than once at growing data.

use super::error::StatsError;
use super::normal;

/// More looks than this are refused: nobody plans them.
pub const MAX_LOOKS: u32 = 10;

/// The width of a step of the numeric integration; with Simpson's rule its error is below 1e-8.
const STEP: f64 = 0.05;

/// The one-sided level of each look in O'Brien and Fleming's design of `looks` equally spaced looks, such that all
/// together err with probability `alpha`.
///
/// Look k rejects when Z_k > C √(K/k). Source: O'Brien and Fleming, Biometrics 35 (1979), 549–556; C is found by the
/// recursive integration of Armitage, McPherson and Rowe (1969).
pub fn look_levels(looks: u32, alpha: f64) -> Result<Vec<f64>, StatsError> {
    let range = |what, value, range| Err(StatsError::Range { what, value, range });
    if !(1..=MAX_LOOKS).contains(&looks) {
        return range("the number of looks", f64::from(looks), "1 to 10");
    }
    if !(alpha > 0.0 && alpha < 0.5) {
        return range("alpha", alpha, "0 to 0.5");
    }
    let constant = constant(looks, alpha);
    let level = |k: u32| normal::upper_tail(constant * (f64::from(looks) / f64::from(k)).sqrt());
    Ok((1..=looks).map(level).collect())
}

fn constant(looks: u32, alpha: f64) -> f64 {
    let (mut low, mut high) = (
        normal::quantile(1.0 - alpha),
        normal::quantile(1.0 - alpha / f64::from(looks)) + 1.0,
    );
    for _ in 0..45 {
        let middle = 0.5 * (low + high);
        if rejection(middle, looks) > alpha {
            low = middle;
        } else {
            high = middle;
        }
    }
    0.5 * (low + high)
}

/// P(some look rejects) under the null hypothesis. In terms of the sums S_k = Z_k √k the boundary is the constant
/// C √K, and S_{k+1} = S_k + N(0, 1).
fn rejection(constant: f64, looks: u32) -> f64 {
    let boundary = constant * f64::from(looks).sqrt();
    let depth = boundary + 8.5 * f64::from(looks).sqrt();
    let cells = 2 * ((depth / STEP / 2.0).ceil() as usize);
    let step = depth / cells as f64;
    // Point i lies i steps below the boundary.
    let at = |i: usize| boundary - i as f64 * step;
    let kernel: Vec<f64> = (0..=cells).map(|i| density(i as f64 * step)).collect();
    let weight = |i: usize| match i {
        0 => step / 3.0,
        i if i == cells => step / 3.0,
        i if i % 2 == 1 => 4.0 * step / 3.0,
        _ => 2.0 * step / 3.0,
    };
    let mut sums: Vec<f64> = (0..=cells).map(|i| density(at(i))).collect();
    let mut rejected = normal::upper_tail(boundary);
    for _ in 1..looks {
        let weighted: Vec<f64> = sums
            .iter()
            .enumerate()
            .map(|(i, f)| f * weight(i))
            .collect();
        rejected += weighted
            .iter()
            .enumerate()
            .map(|(i, f)| f * normal::upper_tail(i as f64 * step))
            .sum::<f64>();
        sums = (0..=cells)
            .map(|to| {
                weighted
                    .iter()
                    .enumerate()
                    .map(|(from, f)| f * kernel[from.abs_diff(to)])
                    .sum()
            })
            .collect();
    }
    rejected
}

fn density(x: f64) -> f64 {
    (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt()
}
