//! One criterion on two arms.

use super::numbers::{Counts, Numbers, rounded};
use super::policy::{Criterion, Design, Kind, Rule};
use super::reason::Code;
use super::rows::{Rows, Trouble};
use super::verdict::Verdict;
use crate::stats;

/// A criterion's verdict and what it rests on.
pub(super) type Outcome = (Verdict, Numbers);

/// Measures a criterion: PASS when its rule is shown, FAIL when the opposite is, else INCONCLUSIVE.
pub(super) fn measure(
    criterion: &Criterion,
    rows: &Rows<'_>,
    design: &Design,
) -> Result<Outcome, Trouble> {
    match (criterion.kind, criterion.rule) {
        (Kind::Binary, Rule::Absolute | Rule::MustPass) => share(criterion, rows, design),
        (Kind::Binary, _) => paired(criterion, rows, design),
        (Kind::Graded { low, high }, _) => graded(criterion, rows, design, [low.get(), high.get()]),
        (Kind::Quantile { .. } | Kind::Mean, _) => ratio(criterion, rows, design),
    }
}

/// Counts right and wrong in both arms.
pub(super) fn count(criterion: &Criterion, rows: &Rows<'_>) -> Result<Counts, Trouble> {
    let mut counts = Counts::default();
    for row in &rows.all {
        let (candidate, baseline) = row.right(&criterion.metric)?;
        counts.add(candidate, baseline);
    }
    Ok(counts)
}

fn paired(criterion: &Criterion, rows: &Rows<'_>, design: &Design) -> Result<Outcome, Trouble> {
    let counts = count(criterion, rows)?;
    let mut effect = None;
    if let Some(clusters) = rows.clusters(design)? {
        let mut signs = Vec::with_capacity(rows.all.len());
        for row in &rows.all {
            let (candidate, baseline) = row.right(&criterion.metric)?;
            signs.push(f64::from(candidate) - f64::from(baseline));
        }
        effect = Some(clusters.design_effect(&signs));
    }
    Ok(judge_counts(criterion, &counts, effect, design)?)
}

fn judge_counts(
    criterion: &Criterion,
    counts: &Counts,
    effect: Option<f64>,
    design: &Design,
) -> Result<Outcome, stats::StatsError> {
    let numbers = Numbers::of(counts, criterion, design, effect)?;
    let worth = counts.pairs()?.shrunk(effect.unwrap_or(1.0));
    let verdict = if criterion.rule == Rule::Report || criterion.question(design)?.passes(worth) {
        Verdict::Pass
    } else if stats::harm_p(worth) < design.alpha.get() {
        Verdict::Fail
    } else {
        Verdict::Inconclusive
    };
    Ok((verdict, numbers))
}

/// The candidate's share alone: Clopper-Pearson against a least share, or every case.
fn share(criterion: &Criterion, rows: &Rows<'_>, design: &Design) -> Result<Outcome, Trouble> {
    let counts = count(criterion, rows)?;
    let n = counts.n;
    // Clusters are worth fewer cases; the share stays what it is, the successes are rounded against the candidate.
    let mut effect = None;
    let (mut right, mut worth) = (counts.candidate_right, n);
    if let Some(clusters) = rows.clusters(design)? {
        let mut values = Vec::with_capacity(rows.all.len());
        for row in &rows.all {
            values.push(f64::from(row.right(&criterion.metric)?.0));
        }
        let by = clusters.design_effect(&values);
        worth = ((n as f64 / by).floor() as u64).max(1);
        right = (counts.candidate_right as f64 / n as f64 * worth as f64).floor() as u64;
        effect = Some(by);
    }
    let interval = stats::proportion_limits(right, worth, design.alpha.get())?;
    let verdict = match criterion.rule {
        Rule::MustPass if counts.candidate_right == n => Verdict::Pass,
        Rule::MustPass => Verdict::Fail,
        _ if interval.lower >= criterion.limit() => Verdict::Pass,
        _ if interval.upper < criterion.limit() => Verdict::Fail,
        _ => Verdict::Inconclusive,
    };
    let boundary = match criterion.rule {
        Rule::MustPass => 1.0,
        _ => criterion.limit(),
    };
    let estimate = counts.candidate_right as f64 / n as f64;
    let shown = Numbers::shown(&counts, estimate, interval, boundary, effect)?;
    Ok((verdict, shown))
}

fn graded(
    criterion: &Criterion,
    rows: &Rows<'_>,
    design: &Design,
    [low, high]: [f64; 2],
) -> Result<Outcome, Trouble> {
    let mut pairs = Vec::with_capacity(rows.all.len());
    for row in &rows.all {
        // An error in either arm counts against the candidate, as far as the range allows.
        pairs.push(if row.baseline.error.is_some() {
            (low, high)
        } else if row.candidate.error.is_some() {
            let baseline = row.baseline.measures.get(criterion.metric.as_str());
            (low, baseline.map_or(high, |value| value.get()))
        } else {
            row.measures(&criterion.metric)?
        });
    }
    if let Some((x, y)) = pairs
        .iter()
        .find(|(x, y)| !(low..=high).contains(x) || !(low..=high).contains(y))
    {
        let text = format!(
            "a score of {} is outside {low} to {high}: {x} and {y}",
            criterion.metric
        );
        return Err(Trouble::Reason(Code::Unmeasured, text));
    }
    let mut counts = Counts::default();
    for (x, y) in &pairs {
        counts.n += 1;
        counts.improved += u64::from(x > y);
        counts.regressed += u64::from(x < y);
    }
    let binary = |score: f64| score == 0.0 || score == 1.0;
    if (low, high) == (0.0, 1.0) && pairs.iter().all(|(x, y)| binary(*x) && binary(*y)) {
        return graded_binary(criterion, rows, design, &pairs);
    }
    let values = |arm: fn(&(f64, f64)) -> f64| -> Vec<f64> { pairs.iter().map(arm).collect() };
    let (xs, ys) = (values(|pair| pair.0), values(|pair| pair.1));
    let differences: Vec<f64> = pairs.iter().map(|(x, y)| x - y).collect();
    let (cases, differences) = rows.averaged(&differences);
    let clusters = cases.clusters(design)?;
    let found = stats::mean_difference(
        &differences,
        high - low,
        design.alpha.get(),
        clusters.as_ref(),
    )?;
    let boundary = match criterion.rule {
        Rule::Superior => criterion.limit(),
        _ => -criterion.limit(),
    };
    let verdict = if criterion.rule == Rule::Report || found.interval.lower > boundary {
        Verdict::Pass
    } else if found.harm_p < design.alpha.get() {
        Verdict::Fail
    } else {
        Verdict::Inconclusive
    };
    let effect = clusters.is_some().then_some(found.design_effect);
    let numbers = Numbers::shown(&counts, found.mean, found.interval, boundary, effect)?;
    let numbers = numbers.with_arms(mean(&xs), mean(&ys))?;
    Ok((
        verdict,
        Numbers {
            harm_p: Some(rounded(found.harm_p)?),
            ..numbers
        },
    ))
}

/// Scores that are all 0 or 1 are right and wrong, and the exact test is the better one.
fn graded_binary(
    criterion: &Criterion,
    rows: &Rows<'_>,
    design: &Design,
    pairs: &[(f64, f64)],
) -> Result<Outcome, Trouble> {
    let mut counts = Counts::default();
    for (x, y) in pairs {
        counts.add(*x == 1.0, *y == 1.0);
    }
    let signs: Vec<f64> = pairs.iter().map(|(x, y)| x - y).collect();
    let clusters = rows.clusters(design)?;
    let effect = clusters.map(|clusters| clusters.design_effect(&signs));
    Ok(judge_counts(criterion, &counts, effect, design)?)
}

fn ratio(criterion: &Criterion, rows: &Rows<'_>, design: &Design) -> Result<Outcome, Trouble> {
    let (mut xs, mut ys) = (Vec::new(), Vec::new());
    for row in &rows.all {
        let (x, y) = row.measures(&criterion.metric)?;
        xs.push(x);
        ys.push(y);
    }
    let alpha = design.alpha.get();
    let found = match criterion.kind {
        Kind::Quantile { q } => stats::quantile_ratio(&xs, &ys, q.get(), alpha),
        _ => {
            let (cases, means_x) = rows.averaged(&xs);
            let (_, means_y) = rows.averaged(&ys);
            let clusters = cases.clusters(design)?;
            stats::mean_ratio(&means_x, &means_y, alpha, clusters.as_ref())
        }
    };
    // Costs of nothing and latencies of 0 are measurements that did not happen.
    let found = found.map_err(|error| {
        Trouble::Reason(Code::Unmeasured, format!("{}: {error}", criterion.metric))
    })?;
    let verdict = if criterion.rule == Rule::Report || found.interval.upper < criterion.limit() {
        Verdict::Pass
    } else if found.interval.lower > criterion.limit() {
        Verdict::Fail
    } else {
        Verdict::Inconclusive
    };
    let mut counts = Counts::default();
    for (x, y) in xs.iter().zip(&ys) {
        counts.n += 1;
        counts.improved += u64::from(x < y);
        counts.regressed += u64::from(x > y);
    }
    let numbers = Numbers::shown(
        &counts,
        found.estimate,
        found.interval,
        criterion.limit(),
        None,
    )?;
    Ok((verdict, numbers.with_arms(mean(&xs), mean(&ys))?))
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}
