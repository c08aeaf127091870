//! Two raters of the same cases.

/// How often two raters say yes to the same cases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Raters {
    /// Both say yes.
    pub both: u64,
    /// Only the first one does.
    pub only_first: u64,
    /// Only the second one does.
    pub only_second: u64,
    /// Neither does.
    pub neither: u64,
}

impl Raters {
    /// The number of cases.
    pub fn n(&self) -> u64 {
        self.both + self.only_first + self.only_second + self.neither
    }

    /// Cohen's kappa (1960): agreement beyond what chance gives raters who say yes as often as these do; at most 1.
    ///
    /// `None` without cases, and where both raters say the same to all of them, so that chance alone explains it.
    pub fn kappa(&self) -> Option<f64> {
        let n = self.n() as f64;
        let yes = [self.both + self.only_first, self.both + self.only_second];
        let [first, second] = yes.map(|yes| yes as f64 / n);
        let seen = (self.both + self.neither) as f64 / n;
        let by_chance = first * second + (1.0 - first) * (1.0 - second);
        (n > 0.0 && by_chance < 1.0).then(|| (seen - by_chance) / (1.0 - by_chance))
    }
}
