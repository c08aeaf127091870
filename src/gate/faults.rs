//! Faulty inputs, one at a time: each has to be INVALID, and the sound ones not.

use super::judge::{Trial, judge};
use super::lineage::Lineage;
use super::policy::{Contamination, Criterion, Design, ErrorPolicy, FloorRule, Kind};
use super::policy::{Metric, Occasion, OnInconclusive, Policy, Rule, Severity};
use super::selftest::Promise;
use super::verdict::Verdict;
use crate::dataset::DatasetId;
use crate::digest::Digest;
use crate::document::Decimal;
use crate::eval::{Answer, Case, EvalError, Report, Subject, Suite};
use crate::name::SuiteName;
use crate::stats::StatsError;
use crate::store::TreeId;

const CASES: usize = 400;

/// What a judgement is given.
struct Scene {
    policy: Policy,
    suite: Suite,
    candidate: Report,
    baseline: Report,
    lineage: Lineage,
}

type Fault = fn(&mut Scene);

const FAULTS: &[Fault] = &[
    |s| drop(s.candidate.cases.pop()),
    |s| drop(s.baseline.cases.remove(3)),
    |s| s.candidate.cases.clear(),
    |s| s.candidate.cases.push(s.candidate.cases[7].clone()),
    |s| s.candidate.cases[0].id = "elsewhere".to_owned(),
    |s| s.baseline.cases[3].expected = "no".to_owned(),
    |s| s.candidate.suite = Digest::of(b"other").into(),
    |s| s.baseline.suite = Digest::of(b"other").into(),
    |s| s.candidate.cases[5].correct ^= true,
    |s| s.candidate.cases[5].error = Some("late".to_owned()),
    |s| s.candidate.cases[5].predicted = None,
    |s| s.candidate.metrics.n += 1,
    |s| s.candidate.cases[5].repeat = 1,
    |s| s.candidate.subject = Subject::Majority { dataset: dataset() },
    |s| s.policy.suite = Some(Digest::of(b"other").into()),
    |s| s.policy.design.repeats = 2,
    |s| s.policy.design.looks = 3,
    |s| s.policy.floor = Some(FloorRule::default()),
    |s| s.policy.criteria[0].metric = Metric::new("judge.helpful"),
    |s| s.policy.design.clusters = Some("label".to_owned()),
    |s| {
        s.candidate
            .cases
            .iter_mut()
            .for_each(|case| case.error = Some("down".to_owned()))
    },
    |s| {
        s.baseline = Report {
            subject: s.baseline.subject.clone(),
            ..s.candidate.clone()
        }
    },
    |s| {
        s.lineage = Lineage::Unknown {
            why: "not named".to_owned(),
        }
    },
    |s| {
        s.lineage = Lineage::Traced {
            dataset: dataset(),
            overlap: vec!["t0001".to_owned()],
            near: Vec::new(),
        }
    },
    |s| {
        s.lineage = Lineage::Traced {
            dataset: dataset(),
            overlap: Vec::new(),
            near: vec!["t0001".to_owned()],
        }
    },
];

/// The share of the faults that are INVALID, counting the sound scene, which has to pass, as one more.
pub(super) fn refused() -> Result<Promise, StatsError> {
    let verdict = |fault: Option<&Fault>| -> Option<Verdict> {
        let mut scene = Scene::new().ok()?;
        if let Some(fault) = fault {
            fault(&mut scene);
        }
        scene.judge().ok()
    };
    let mut good = usize::from(verdict(None) == Some(Verdict::Pass));
    for fault in FAULTS {
        good += usize::from(verdict(Some(fault)) == Some(Verdict::Invalid));
    }
    let goal = "faulty inputs are INVALID, never a PASS";
    Ok(Promise::share(goal, good, FAULTS.len() + 1))
}

impl Scene {
    /// A sound one: the candidate is right everywhere, the baseline wrong on the first ten.
    fn new() -> Result<Self, EvalError> {
        let cases = (0..CASES).map(|index| Case {
            id: format!("t{index:04}"),
            label: "yes".to_owned(),
            text: format!("text {index}"),
            ..Default::default()
        });
        let name: Result<SuiteName, _> = "selftest".parse();
        let suite = name
            .map_err(|error| error.to_string())
            .and_then(|name| Suite::new(name, cases.collect()))
            .map_err(EvalError::Centroids)?;
        let report = |name: &str, wrong: usize| {
            let answer = |index| Answer::Label(if index < wrong { "no" } else { "yes" }.to_owned());
            let subject = Subject::Adapter {
                base: Digest::of(b"base").into(),
                adapter: TreeId::from(Digest::of(name.as_bytes())),
                dataset: Some(dataset()),
                run: None,
            };
            let labels = vec!["no".to_owned(), "yes".to_owned()];
            Report::new(&suite, subject, labels, (0..CASES).map(answer).collect())
        };
        Ok(Self {
            policy: policy(),
            candidate: report("new", 0)?,
            baseline: report("old", 10)?,
            lineage: Lineage::Traced {
                dataset: dataset(),
                overlap: Vec::new(),
                near: Vec::new(),
            },
            suite,
        })
    }

    fn judge(&self) -> Result<Verdict, StatsError> {
        let trial = Trial {
            suite: &self.suite,
            candidate: &self.candidate,
            baselines: &[&self.baseline],
            anchor: None,
            lineage: &self.lineage,
            floor: None,
            occasion: Occasion::default(),
        };
        judge(&self.policy, trial).map(|judgement| judgement.verdict)
    }
}

fn dataset() -> DatasetId {
    Digest::of(b"dataset").into()
}

fn policy() -> Policy {
    let decimal = |value: f64| Decimal::new(value).unwrap_or_default();
    Policy {
        suite: None,
        design: Design {
            alpha: decimal(0.05),
            power: decimal(0.8),
            discordance: decimal(0.1),
            discordance_auto: false,
            max_error_rate: decimal(0.0),
            errors: ErrorPolicy::Invalid,
            clusters: None,
            repeats: 1,
            looks: 1,
            reuse: None,
        },
        criteria: vec![Criterion {
            id: "accuracy".to_owned(),
            metric: Metric::new("accuracy"),
            kind: Kind::Binary,
            rule: Rule::Noninferior,
            margin: Some(decimal(0.02)),
            severity: Severity::Block,
            min_kappa: None,
        }],
        first_version: None,
        anchor: None,
        slices: None,
        floor: None,
        on_inconclusive: OnInconclusive::Block,
        contamination: Contamination::Invalid,
        near: None,
        overrides: None,
    }
}
