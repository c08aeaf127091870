//! Parts of the suite that must not be harmed.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use super::numbers::rounded;
use super::policy::{Criterion, Design, Slices};
use super::rows::{Rows, Trouble};
use crate::document::Decimal;
use crate::eval::Case;
use crate::stats::{self, Pairs};

/// The value of cases that do not have the key.
const NONE: &str = "(none)";

/// What came of one slice and one criterion.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SliceResult {
    /// The criterion.
    pub criterion: String,
    /// The key and its value: `label=refund`.
    pub slice: String,
    /// Its cases, or clusters where the policy names any.
    pub n: u64,
    /// How many of them improved.
    pub improved: u64,
    /// How many of them regressed.
    pub regressed: u64,
    /// The mid-p value of "no harm"; absent where there are too few cases to test.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub harm_p: Option<Decimal>,
    /// The same, corrected for the number of slices by Holm's method.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adjusted_p: Option<Decimal>,
    /// Whether harm is shown.
    pub harmed: bool,
}

/// Tests every slice for harm, as one family over all criteria.
pub(super) fn measure(
    slices: &Slices,
    criteria: &[&Criterion],
    rows: &Rows<'_>,
    design: &Design,
    alpha: f64,
) -> Result<Vec<SliceResult>, Trouble> {
    let mut found = Vec::new();
    for criterion in criteria {
        for key in &slices.by {
            for (value, counts) in count(criterion, key, rows, design)? {
                found.push(SliceResult {
                    criterion: criterion.id.clone(),
                    slice: format!("{key}={value}"),
                    n: counts.n,
                    improved: counts.improved,
                    regressed: counts.regressed,
                    harm_p: None,
                    adjusted_p: None,
                    harmed: false,
                });
            }
        }
    }
    let least = slices.min_n.unwrap_or_else(|| fewest(found.len(), alpha));
    test(&mut found, least, alpha)?;
    Ok(found)
}

fn test(found: &mut [SliceResult], least: u64, alpha: f64) -> Result<(), Trouble> {
    let tested: Vec<usize> = (0..found.len()).filter(|i| found[*i].n >= least).collect();
    let mut p_values = Vec::with_capacity(tested.len());
    for index in &tested {
        let slice = &found[*index];
        p_values.push(stats::harm_p(&Pairs::new(
            slice.n,
            slice.improved,
            slice.regressed,
        )?));
    }
    for ((index, p), adjusted) in tested.iter().zip(&p_values).zip(stats::holm(&p_values)) {
        let slice = &mut found[*index];
        slice.harm_p = Some(rounded(*p)?);
        slice.adjusted_p = Some(rounded(adjusted)?);
        slice.harmed = adjusted <= alpha;
    }
    Ok(())
}

/// Whether Holm's method rejects any of these "no harm" hypotheses.
pub(super) fn any_harmed(p_values: &[f64], alpha: f64) -> bool {
    stats::holm(p_values).into_iter().any(|p| p <= alpha)
}

/// The fewest cases of a slice on which even the worst outcome, all of them regressed, shows harm: its mid-p value is
/// (½)^(n+1), and the smallest of `slices` p-values has to be at most alpha / slices.
pub(super) fn fewest(slices: usize, alpha: f64) -> u64 {
    ((slices.max(1) as f64 / alpha).log2() - 1.0)
        .ceil()
        .max(1.0) as u64
}

/// The cases of a slice that show a drop with the policy's power, in a family of `slices`.
///
/// n = (z_{1−α/k} + z_power)² (discordance + drop) / drop², the normal approximation.
pub(super) fn enough(slices: &Slices, count: usize, design: &Design, alpha: f64) -> u64 {
    let drop = slices.detect.get();
    let z =
        stats::quantile(1.0 - alpha / count.max(1) as f64) + stats::quantile(design.power.get());
    (z * z * (design.discordance.get() + drop) / (drop * drop)).ceil() as u64
}

#[derive(Default)]
struct SliceCounts {
    n: u64,
    improved: u64,
    regressed: u64,
}

/// Counts by value of a key. The unit is the cluster, else the case: one sign each, so that a sign test is exact
/// however alike the answers within a unit are.
fn count<'a>(
    criterion: &Criterion,
    key: &str,
    rows: &Rows<'a>,
    design: &Design,
) -> Result<BTreeMap<&'a str, SliceCounts>, Trouble> {
    if design.clusters.is_none() && rows.repeats == 1 {
        return count_cases(criterion, key, rows);
    }
    let mut signs: HashMap<(&str, &str), i64> = HashMap::new();
    for row in &rows.all {
        let (candidate, baseline) = row.right(&criterion.metric)?;
        let value = row.case.value(key).unwrap_or(NONE);
        let unit = match &design.clusters {
            Some(cluster) => row.case.value(cluster).unwrap_or(NONE),
            None => row.case.id.as_str(),
        };
        *signs.entry((value, unit)).or_default() += i64::from(candidate) - i64::from(baseline);
    }
    let mut counts: BTreeMap<&str, SliceCounts> = BTreeMap::new();
    for ((value, _), sign) in signs {
        let slice = counts.entry(value).or_default();
        slice.n += 1;
        slice.improved += u64::from(sign > 0);
        slice.regressed += u64::from(sign < 0);
    }
    Ok(counts)
}

/// The same where every row is a unit of its own.
fn count_cases<'a>(
    criterion: &Criterion,
    key: &str,
    rows: &Rows<'a>,
) -> Result<BTreeMap<&'a str, SliceCounts>, Trouble> {
    let mut counts: BTreeMap<&str, SliceCounts> = BTreeMap::new();
    for row in &rows.all {
        let (candidate, baseline) = row.right(&criterion.metric)?;
        let slice = counts
            .entry(row.case.value(key).unwrap_or(NONE))
            .or_default();
        slice.n += 1;
        slice.improved += u64::from(candidate && !baseline);
        slice.regressed += u64::from(!candidate && baseline);
    }
    Ok(counts)
}

/// Whether a case has all of these values.
pub(super) fn has(case: &Case, is: &BTreeMap<String, String>) -> bool {
    is.iter()
        .all(|(key, value)| case.value(key) == Some(value.as_str()))
}

/// A required slice in words: `label=refund, metadata.locale=de`.
pub(super) fn named(is: &BTreeMap<String, String>) -> String {
    let parts: Vec<String> = is
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    parts.join(", ")
}
