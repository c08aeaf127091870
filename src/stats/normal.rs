//! The standard normal distribution.

use statrs::function::erf::{erfc, erfc_inv};

/// The `p` quantile, `p` in `(0, 1)`: `quantile(0.95)` is 1.6448….
pub fn quantile(p: f64) -> f64 {
    -std::f64::consts::SQRT_2 * erfc_inv(2.0 * p)
}

/// P(Z > `z`).
pub fn upper_tail(z: f64) -> f64 {
    0.5 * erfc(z / std::f64::consts::SQRT_2)
}
