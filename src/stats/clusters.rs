//! Cases that come in clusters: what their dependence costs.

use super::error::StatsError;

/// With fewer clusters the variance between them is not known well enough to rest a verdict on.
pub const MIN_CLUSTERS: usize = 30;

/// Which cluster each observation belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clusters {
    of: Vec<usize>,
    count: usize,
}

impl Clusters {
    /// From one cluster number per observation; the numbers are `0..count`.
    pub fn new(of: Vec<usize>, count: usize) -> Result<Self, StatsError> {
        match of.iter().max() {
            None => Err(StatsError::Empty),
            Some(last) if *last >= count => Err(StatsError::Range {
                what: "the cluster number",
                value: *last as f64,
                range: "0 to the number of clusters",
            }),
            Some(_) => Ok(Self { of, count }),
        }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// By how much the variance of the mean of `values` exceeds that of independent ones; at least 1.
    ///
    /// max(1, V_CR / V_iid) with V_CR = G/(G − 1) · Σ_g (S_g − S̄)² / n² over the cluster sums S_g, and
    /// V_iid = Σ (x − x̄)² / n². `values` has one number per observation, in the same order.
    pub fn design_effect(&self, values: &[f64]) -> f64 {
        let n = values.len() as f64;
        let groups = self.count as f64;
        let mut sums = vec![0.0; self.count];
        for (value, cluster) in values.iter().zip(&self.of) {
            sums[*cluster] += value;
        }
        let mean = values.iter().sum::<f64>() / n;
        let independent: f64 = values.iter().map(|x| (x - mean).powi(2)).sum();
        let mean_sum = sums.iter().sum::<f64>() / groups;
        let between: f64 = sums.iter().map(|s| (s - mean_sum).powi(2)).sum();
        if independent > 0.0 && groups > 1.0 {
            (groups / (groups - 1.0) * between / independent).max(1.0)
        } else {
            1.0
        }
    }
}
