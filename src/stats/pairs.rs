//! Outcomes of two arms on the same cases.

use super::error::StatsError;

/// Paired yes/no outcomes of a candidate and a baseline, summed over `n` cases.
///
/// Only the discordant pairs carry information on the difference: cases the candidate improved (baseline
/// wrong, candidate right) and cases it regressed on (baseline right, candidate wrong).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pairs {
    n: u64,
    improved: u64,
    regressed: u64,
}

impl Pairs {
    /// Counts of one comparison. `n` is at least 1 and at least `improved + regressed`.
    pub fn new(n: u64, improved: u64, regressed: u64) -> Result<Self, StatsError> {
        let discordant = improved.checked_add(regressed);
        match discordant {
            _ if n == 0 => Err(StatsError::Empty),
            Some(discordant) if discordant <= n => Ok(Self {
                n,
                improved,
                regressed,
            }),
            _ => Err(StatsError::Counts {
                n,
                improved,
                regressed,
            }),
        }
    }

    /// All cases.
    pub fn n(&self) -> u64 {
        self.n
    }

    /// Cases that the baseline has wrong and the candidate right (`b` in the formulas).
    pub fn improved(&self) -> u64 {
        self.improved
    }

    /// Cases that the baseline has right and the candidate wrong (`c` in the formulas).
    pub fn regressed(&self) -> u64 {
        self.regressed
    }

    /// The estimated difference candidate − baseline of the shares that are right, in `[-1, 1]`.
    pub fn difference(&self) -> f64 {
        (self.improved as f64 - self.regressed as f64) / self.n as f64
    }

    /// The share of cases on which the arms differ, in `[0, 1]`.
    pub fn discordance(&self) -> f64 {
        (self.improved + self.regressed) as f64 / self.n as f64
    }
}

/// The same counts where cases are not independent: divided by the design effect, so no whole numbers any more.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Effective {
    pub(super) n: f64,
    pub(super) improved: f64,
    pub(super) regressed: f64,
}

impl Pairs {
    /// What the counts are worth when cases come in clusters; a design effect below 1 counts as 1.
    pub fn shrunk(&self, design_effect: f64) -> Effective {
        let whole = Effective::from(self);
        let by = design_effect.max(1.0);
        Effective {
            n: whole.n / by,
            improved: whole.improved / by,
            regressed: whole.regressed / by,
        }
    }
}

impl From<&Pairs> for Effective {
    fn from(pairs: &Pairs) -> Self {
        Self {
            n: pairs.n as f64,
            improved: pairs.improved as f64,
            regressed: pairs.regressed as f64,
        }
    }
}
