//! Known answers from `tests/fixtures/stats/make.py`, and the error rates the gate's rule must have.

#![allow(clippy::unwrap_used)]

use serde_json::Value;

use super::*;

/// Our sums and scipy's agree to rounding; the numeric references converge to about 1e-11.
const CLOSE: f64 = 1e-9;

fn fixture() -> Value {
    serde_json::from_str(include_str!("../../tests/fixtures/stats/expected.json")).unwrap()
}

fn rows<'a>(fixture: &'a Value, name: &str) -> &'a [Value] {
    let rows = fixture[name].as_array().unwrap();
    assert!(!rows.is_empty(), "{name} holds nothing to check");
    rows
}

fn number(row: &Value, key: &str) -> f64 {
    row[key].as_f64().unwrap()
}

fn count(row: &Value, key: &str) -> u64 {
    row[key].as_u64().unwrap()
}

fn pairs_of(row: &Value) -> Pairs {
    Pairs::new(count(row, "n"), count(row, "b"), count(row, "c")).unwrap()
}

fn assert_close(ours: f64, theirs: f64, row: &Value) {
    assert!(
        (ours - theirs).abs() <= CLOSE * theirs.abs().max(1.0),
        "{ours} is not {theirs}: {row}"
    );
}

#[test]
fn score_and_limits_agree_with_the_maximised_likelihood() {
    let fixture = fixture();
    for row in rows(&fixture, "score") {
        // The reference's optimum is flat: its q is good to about 1e-8.
        let ours = score(&pairs_of(row), number(row, "delta"));
        assert!((ours - number(row, "z")).abs() < 1e-6, "{ours}: {row}");
    }
    for row in rows(&fixture, "limits") {
        let ours = limits(&pairs_of(row), number(row, "alpha"));
        let theirs = row["limits"].as_array().unwrap();
        assert!(
            (ours.lower - theirs[0].as_f64().unwrap()).abs() < 1e-7,
            "{ours:?}: {row}"
        );
        assert!(
            (ours.upper - theirs[1].as_f64().unwrap()).abs() < 1e-7,
            "{ours:?}: {row}"
        );
    }
}

#[test]
fn the_published_interval() {
    // Fagerland, Lydersen and Laake 2014: 1 and 7 discordant of 21, 95 %: -0.517 to -0.026.
    let interval = limits(&Pairs::new(21, 1, 7).unwrap(), 0.025);
    assert_eq!(
        format!("{:.3} {:.3}", interval.lower, interval.upper),
        "-0.517 -0.026"
    );
}

#[test]
fn limits_are_where_the_test_changes_its_mind() {
    for (n, b, c) in [
        (300, 15, 15),
        (100, 0, 5),
        (100, 7, 0),
        (1000, 0, 0),
        (20, 20, 0),
        (20, 0, 20),
    ] {
        let pairs = Pairs::new(n, b, c).unwrap();
        let interval = limits(&pairs, 0.05);
        let z = quantile(0.95);
        assert!(-1.0 <= interval.lower && interval.lower <= pairs.difference());
        assert!(pairs.difference() <= interval.upper && interval.upper <= 1.0);
        if interval.lower > -1.0 + 1e-6 {
            assert!(score(&pairs, interval.lower - 1e-6) > z, "{pairs:?}");
            assert!(score(&pairs, interval.lower + 1e-6) < z, "{pairs:?}");
        }
    }
}

#[test]
fn harm_proportions_and_quantiles_agree_with_scipy() {
    let fixture = fixture();
    for row in rows(&fixture, "harm") {
        let (b, c) = (count(row, "b"), count(row, "c"));
        let ours = harm_p(&Pairs::new((b + c).max(1), b, c).unwrap());
        assert_close(ours, number(row, "p"), row);
    }
    for row in rows(&fixture, "proportion") {
        let ours =
            proportion_limits(count(row, "k"), count(row, "n"), number(row, "alpha")).unwrap();
        let theirs = row["limits"].as_array().unwrap();
        assert_close(ours.lower, theirs[0].as_f64().unwrap(), row);
        assert_close(ours.upper, theirs[1].as_f64().unwrap(), row);
    }
    for row in rows(&fixture, "quantile") {
        assert_close(quantile(number(row, "p")), number(row, "z"), row);
        assert_close(upper_tail(number(row, "z")), 1.0 - number(row, "p"), row);
    }
}

#[test]
fn zero_failures_need_the_cases_that_the_rule_of_three_says() {
    // reference/gate.md: ceil(ln .05 / ln min): .99 → 299, .95 → 59.
    for (n, min) in [(299, 0.99), (59, 0.95)] {
        assert!(proportion_limits(n, n, 0.05).unwrap().lower >= min);
        assert!(proportion_limits(n - 1, n - 1, 0.05).unwrap().lower < min);
    }
}

#[test]
fn power_agrees_with_full_enumeration() {
    for row in rows(&fixture(), "power") {
        let question = Question::new(number(row, "delta"), 0.05).unwrap();
        let rates = Rates::new(number(row, "discordance"), number(row, "difference"));
        let n = count(row, "n");
        assert_close(
            question.pass_probability(n, rates),
            number(row, "pass"),
            row,
        );
        assert_close(
            question.harm_probability(n, rates),
            number(row, "harm"),
            row,
        );
    }
}

/// The sums rely on it: with the number of discordant pairs fixed, more improvements never turn a yes into a no.
#[test]
fn yes_is_monotone_in_the_improvements() {
    for (boundary, n) in [(-0.05, 60), (-0.05, 90), (-0.2, 40), (0.0, 40), (0.1, 40)] {
        let question = Question::new(boundary, 0.05).unwrap();
        for k in 0..=n {
            let yes: Vec<bool> = (0..=k)
                .map(|b| question.passes(&Pairs::new(n, b, k - b).unwrap()))
                .collect();
            assert!(yes.is_sorted(), "{boundary} {n} {k}");
        }
    }
}

/// reference/gate.md, "Exact n for 80 % / 90 % PASS at δ=0", margin and discordance in points.
const NEEDED: [(f64, f64, u64, u64); 7] = [
    (0.02, 0.02, 401, 530),
    (0.02, 0.05, 819, 1126),
    (0.02, 0.10, 1565, 2167),
    (0.02, 0.20, 3107, 4298),
    (0.03, 0.10, 707, 973),
    (0.05, 0.10, 263, 362),
    (0.01, 0.10, 6217, 8601),
];

#[test]
fn needed_cases_agree_with_the_reference_table() {
    for (margin, discordance, n80, n90) in NEEDED {
        let question = Question::new(-margin, 0.05).unwrap();
        let rates = Rates::new(discordance, 0.0);
        for (power, reference) in [(0.8, n80), (0.9, n90)] {
            assert!(question.pass_probability(reference, rates) >= power);
            let n = question.needed_cases(rates, power).unwrap();
            // The table bisected a saw-tooth; ours is the end of its last dip. They differ by less than a tooth.
            let apart = (n as f64 / reference as f64 - 1.0).abs();
            assert!(
                apart < 0.025,
                "{margin} {discordance} {power}: {n}, table {reference}"
            );
            assert!(question.pass_probability(n, rates) >= power);
            if n <= 2000 {
                assert!(question.pass_probability(n - 1, rates) < power);
            }
        }
    }
}

#[test]
fn minimum_cases_agree_with_the_reference_table() {
    for (margin, n) in [(0.01, 299), (0.02, 149), (0.03, 99), (0.05, 59)] {
        let question = Question::new(-margin, 0.05).unwrap();
        assert_eq!(question.minimum_cases(), n);
        assert!(!question.passes(&Pairs::new(n - 1, 0, 0).unwrap()));
        assert!(question.passes(&Pairs::new(n, 0, 0).unwrap()));
    }
    // Five improvements and nothing else: (1/2)^5 < 5 %.
    assert_eq!(Question::new(0.0, 0.05).unwrap().minimum_cases(), 5);
}

/// reference/gate.md, "What simple rules do", rule D, d = .10, m = 2: pass / fail, rounded there to three digits.
#[test]
fn pass_and_fail_rates_agree_with_the_reference_simulation() {
    let question = Question::new(-0.02, 0.05).unwrap();
    for (n, difference, pass, fail) in [
        (300, 0.0, 0.279, 0.050),
        (300, -0.01, 0.130, 0.135),
        (300, -0.05, 0.000, 0.882),
        (1000, 0.0, 0.631, 0.049),
        (1000, -0.02, 0.049, 0.638),
        (3000, 0.0, 0.964, 0.035),
        (3000, -0.02, 0.050, 0.950),
    ] {
        let rates = Rates::new(0.10, difference);
        assert!(
            (question.pass_probability(n, rates) - pass).abs() < 6e-4,
            "{n} {difference}"
        );
        assert!(
            (question.harm_probability(n, rates) - fail).abs() < 6e-4,
            "{n} {difference}"
        );
    }
}

/// The gate's first promise: a loss of the whole margin passes at most 5.5 % of the time.
#[test]
fn a_loss_of_the_whole_margin_rarely_passes() {
    for margin in [0.02, 0.05] {
        let question = Question::new(-margin, 0.05).unwrap();
        for n in [50, 100, 300, 1000, 3000] {
            for discordance in [0.03, 0.05, 0.10, 0.20] {
                let size = question.pass_probability(n, Rates::new(discordance, -margin));
                assert!(size <= 0.055, "{margin} {n} {discordance}: {size}");
            }
        }
    }
    let question = Question::new(-0.02, 0.05).unwrap();
    for n in [300, 1000, 3000] {
        assert!(question.pass_probability(n, Rates::new(0.10, -0.05)) <= 0.003);
        assert!(question.harm_probability(n, Rates::new(0.10, 0.0)) <= 0.05 + 1e-3);
    }
}

#[test]
fn metrics_agree_with_scikit_learn() {
    let fixture = fixture();
    let reference = &fixture["classification"];
    let labels =
        |key: &str| -> Vec<String> { serde_json::from_value(reference[key].clone()).unwrap() };
    let (expected, predicted) = (labels("expected"), labels("predicted"));
    let cases = expected.iter().zip(&predicted);
    let ours = Metrics::of(cases.map(|(e, p)| (e.as_str(), Some(p.as_str())))).unwrap();
    assert_close(ours.accuracy, number(reference, "accuracy"), reference);
    assert_close(ours.macro_f1, number(reference, "macro_f1"), reference);
    for (label, values) in reference["per_label"].as_object().unwrap() {
        let theirs: Vec<f64> = serde_json::from_value(values.clone()).unwrap();
        let label = ours.per_label[label];
        let flat = [
            label.precision,
            label.recall,
            label.f1,
            label.support as f64,
        ];
        for (ours, theirs) in flat.into_iter().zip(theirs) {
            assert_close(ours, theirs, values);
        }
    }
}

#[test]
fn an_errored_case_stays_in_the_denominator() {
    let metrics = Metrics::of([("a", Some("a")), ("a", None), ("b", Some("b"))]).unwrap();
    assert_eq!(metrics.accuracy, 2.0 / 3.0);
    assert_eq!(metrics.per_label["a"].recall, 0.5);
    assert_eq!(metrics.per_label["a"].support, 2);
}

#[test]
fn impossible_numbers_are_refused() {
    assert_eq!(Pairs::new(0, 0, 0), Err(StatsError::Empty));
    assert!(Pairs::new(3, 2, 2).is_err());
    assert!(Pairs::new(3, u64::MAX, 2).is_err());
    assert!(Metrics::of([]).is_err());
    assert!(proportion_limits(1, 0, 0.05).is_err());
    assert!(proportion_limits(3, 2, 0.05).is_err());
    for (boundary, alpha) in [
        (-1.0, 0.05),
        (f64::NAN, 0.05),
        (0.0, 0.0),
        (0.0, 0.5),
        (0.0, f64::NAN),
    ] {
        assert!(Question::new(boundary, alpha).is_err());
    }
}

/// Known answers for the other criteria, from `tests/fixtures/stats/make_criteria.py`.
mod criteria {
    use super::*;

    fn fixture() -> Value {
        serde_json::from_str(include_str!("../../tests/fixtures/stats/criteria.json")).unwrap()
    }

    fn list(row: &Value, key: &str) -> Vec<f64> {
        serde_json::from_value(row[key].clone()).unwrap()
    }

    fn assert_ratio(ours: &Ratio, row: &Value) {
        assert_close(ours.estimate, number(row, "estimate"), &row["estimate"]);
        assert_close(ours.interval.lower, number(row, "lower"), &row["lower"]);
        assert_close(ours.interval.upper, number(row, "upper"), &row["upper"]);
    }

    #[test]
    fn mid_p_and_clopper_pearson_agree_with_statsmodels() {
        let fixture = fixture();
        for row in rows(&fixture, "mid_p") {
            let (b, c) = (count(row, "b"), count(row, "c"));
            let ours = harm_p(&Pairs::new(b + c, b, c).unwrap());
            assert_close(ours, number(row, "p"), row);
        }
        for row in rows(&fixture, "proportion") {
            let ours = proportion_limits(count(row, "k"), count(row, "n"), 0.05).unwrap();
            assert_close(ours.lower, number(row, "lower"), row);
            assert_close(ours.upper, number(row, "upper"), row);
        }
    }

    #[test]
    fn graded_scores_agree_with_scipy_alone_and_in_clusters() {
        for row in rows(&fixture(), "graded") {
            let values = list(row, "values");
            let clusters = row["groups"].as_array().map(|groups| {
                let of: Vec<usize> = groups
                    .iter()
                    .map(|g| g.as_u64().unwrap() as usize)
                    .collect();
                let count = of.iter().max().unwrap() + 1;
                Clusters::new(of, count).unwrap()
            });
            let reach = number(row, "reach");
            let ours = mean_difference(&values, reach, 0.05, clusters.as_ref()).unwrap();
            assert_close(ours.mean, number(row, "mean"), &row["mean"]);
            assert_close(ours.interval.lower, number(row, "lower"), &row["lower"]);
            assert_close(ours.interval.upper, number(row, "upper"), &row["upper"]);
            assert_close(ours.harm_p, number(row, "harm_p"), &row["harm_p"]);
            assert_close(ours.design_effect, number(row, "deff"), &row["deff"]);
        }
    }

    #[test]
    fn ratios_agree_with_the_numeric_gradient_and_the_summed_distribution() {
        let fixture = fixture();
        for row in rows(&fixture, "mean_ratio") {
            let (x, y) = (list(row, "candidate"), list(row, "baseline"));
            let ours = mean_ratio(&x, &y, 0.05, None).unwrap();
            // The reference's gradient is a difference quotient: good to about 1e-9 of the width.
            assert_ratio(&ours, row);
        }
        for row in rows(&fixture, "quantile_ratio") {
            let (x, y) = (list(row, "candidate"), list(row, "baseline"));
            assert_ratio(
                &quantile_ratio(&x, &y, number(row, "q"), 0.05).unwrap(),
                row,
            );
        }
    }

    #[test]
    fn holm_agrees_with_statsmodels() {
        for row in rows(&fixture(), "holm") {
            for (ours, theirs) in holm(&list(row, "p")).into_iter().zip(list(row, "adjusted")) {
                assert_close(ours, theirs, row);
            }
        }
    }

    #[test]
    fn looks_agree_with_the_multivariate_normal_and_with_print() {
        let fixture = fixture();
        let constant = |looks: u32| {
            let levels = look_levels(looks, 0.05).unwrap();
            assert!(levels.is_sorted());
            quantile(1.0 - levels[looks as usize - 1])
        };
        for row in rows(&fixture, "obrien_fleming") {
            let ours = constant(count(row, "looks") as u32);
            // The reference integrates by quasi-Monte-Carlo beyond two dimensions.
            assert!(
                (ours - number(row, "constant")).abs() < 1e-5,
                "{ours} {row}"
            );
        }
        for row in rows(&fixture, "obrien_fleming_printed") {
            let (looks, printed) = (row[0].as_u64().unwrap(), row[1].as_f64().unwrap());
            let ours = constant(looks as u32);
            assert!(
                (ours - printed).abs() < 6e-4,
                "{looks}: {ours}, printed {printed}"
            );
        }
        assert!(look_levels(0, 0.05).is_err() && look_levels(11, 0.05).is_err());
    }

    #[test]
    fn clusters_of_one_cost_nothing_and_copies_cost_their_number() {
        let values: Vec<f64> = (0..60).map(|i| f64::from(i % 3) - 1.0).collect();
        let singles = Clusters::new((0..60).collect(), 60).unwrap();
        assert_close(singles.design_effect(&values), 60.0 / 59.0, &Value::Null);
        let copies: Vec<f64> = values.iter().flat_map(|x| [*x; 4]).collect();
        let groups = Clusters::new((0..240).map(|i| i / 4).collect(), 60).unwrap();
        assert_close(
            groups.design_effect(&copies),
            4.0 * 60.0 / 59.0,
            &Value::Null,
        );
        let pairs = Pairs::new(400, 20, 60).unwrap();
        let worth = pairs.shrunk(4.0);
        let fewer = Pairs::new(100, 5, 15).unwrap();
        assert_eq!(score(worth, -0.02), score(&fewer, -0.02));
        assert_eq!(harm_p(worth), harm_p(&fewer));
    }

    #[test]
    fn impossible_samples_are_refused() {
        assert!(mean_difference(&[], 1.0, 0.05, None).is_err());
        assert!(mean_difference(&[1.5], 1.0, 0.05, None).is_err());
        assert!(mean_difference(&[f64::NAN], 1.0, 0.05, None).is_err());
        assert!(mean_ratio(&[1.0, 2.0], &[0.0, 0.0], 0.05, None).is_err());
        assert!(mean_ratio(&[1.0, -2.0], &[1.0, 1.0], 0.05, None).is_err());
        assert!(mean_ratio(&[1.0, f64::INFINITY], &[1.0, 1.0], 0.05, None).is_err());
        assert!(quantile_ratio(&[1.0], &[0.0], 0.95, 0.05).is_err());
        assert!(quantile_ratio(&[1.0], &[1.0], 1.0, 0.05).is_err());
        assert!(Clusters::new(vec![0, 3], 2).is_err() && Clusters::new(vec![], 2).is_err());
    }
}

/// Known answers from `tests/fixtures/stats/make_agreement.py`: scikit-learn's kappa.
#[test]
fn kappa_agrees_with_scikit_learn() {
    let file = include_str!("../../tests/fixtures/stats/agreement.json");
    let expected: Value = serde_json::from_str(file).unwrap();
    for row in rows(&expected, "tables") {
        let [both, only_first, only_second, neither]: [u64; 4] =
            serde_json::from_value(row["table"].clone()).unwrap();
        let raters = Raters {
            both,
            only_first,
            only_second,
            neither,
        };
        assert_close(raters.kappa().unwrap(), number(row, "kappa"), row);
    }
    assert_eq!(Raters::default().kappa(), None);
    let same = Raters {
        both: 9,
        ..Raters::default()
    };
    assert_eq!(same.kappa(), None);
}
