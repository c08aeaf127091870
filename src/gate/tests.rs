#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::*;
use crate::base::BaseId;
use crate::dataset::{self, DatasetId, Options, SplitName};
use crate::digest::Digest;
use crate::document::{Decimal, Source};
use crate::eval::Task;
use crate::eval::{Answer, Case, CaseResult, Generation, Grader, Report, Settings, Subject, Suite};
use crate::progress::Silent;
use crate::store::{Store, TreeId};

const POLICY: &str = "\
version: 1
criteria:
  - {id: acc, metric: accuracy, kind: binary, rule: noninferior, margin: 0.02}
first_version: {against: [nearest-centroid, majority], rule: superior, margin: 0}
";

fn policy(text: &str) -> Policy {
    Policy::parse(&Source::new(Path::new("gate.yaml"), text.to_owned())).unwrap()
}

fn faults(text: &str) -> Vec<String> {
    match Policy::parse(&Source::new(Path::new("gate.yaml"), text.to_owned())) {
        Err(GateError::Policy(faults)) => {
            faults.as_slice().iter().map(ToString::to_string).collect()
        }
        other => vec![format!("{other:?}")],
    }
}

/// A suite of `n` cases whose right label is always `yes`.
fn suite(n: u64) -> Suite {
    let case = |index| Case {
        id: format!("t{index:06}"),
        label: "yes".to_owned(),
        text: format!("text {index}"),
        ..Default::default()
    };
    Suite::new("intents".parse().unwrap(), (0..n).map(case).collect()).unwrap()
}

/// The dataset that subjects name: training rows that are in no suite here.
fn dataset() -> DatasetId {
    static ID: OnceLock<DatasetId> = OnceLock::new();
    *ID.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        let files = [training(dir.path(), "row")];
        dataset::inspect(&files, &Options::default(), &Silent)
            .unwrap()
            .0
    })
}

/// A training split whose texts are `word 1` to `word 9`.
fn training(dir: &Path, word: &str) -> (SplitName, PathBuf) {
    let path = dir.join("train.jsonl");
    let row = |index| format!("{{\"text\":\"{word} {index}\",\"label\":\"yes\"}}\n");
    std::fs::write(&path, (1..10).map(row).collect::<String>()).unwrap();
    (SplitName::Train, path)
}

fn base() -> BaseId {
    Digest::of(b"base").into()
}

fn adapter(name: &str) -> Subject {
    Subject::Adapter {
        base: base(),
        adapter: TreeId::from(Digest::of(name.as_bytes())),
        dataset: Some(dataset()),
        run: None,
    }
}

fn centroid() -> Subject {
    Subject::Centroid {
        base: base(),
        dataset: dataset(),
    }
}

fn majority() -> Subject {
    Subject::Majority { dataset: dataset() }
}

/// A report that has the cases `right` says right.
fn report(suite: &Suite, subject: Subject, right: impl Fn(u64) -> bool) -> Report {
    let answer = |index| Answer::Label(if right(index) { "yes" } else { "no" }.to_owned());
    let answers = (0..suite.cases().len() as u64).map(answer).collect();
    Report::new(
        suite,
        subject,
        vec!["no".to_owned(), "yes".to_owned()],
        answers,
    )
    .unwrap()
}

fn clean() -> Lineage {
    Lineage::Traced {
        dataset: dataset(),
        overlap: Vec::new(),
        near: Vec::new(),
    }
}

/// Everything `judge` is given; tests change one thing and look at the verdict.
struct Scene {
    policy: Policy,
    suite: Suite,
    candidate: Report,
    baselines: Vec<Report>,
    anchor: Option<Report>,
    lineage: Lineage,
    occasion: Occasion,
}

impl Scene {
    /// The first `improved` cases improve, the next `regressed` regress, of the rest every tenth is wrong in both arms.
    fn new(n: u64, improved: u64, regressed: u64) -> Self {
        let suite = suite(n);
        let discordant = improved + regressed;
        let both = move |index: u64| !index.is_multiple_of(10);
        let candidate = report(&suite, adapter("new"), |index| {
            index < improved || (index >= discordant && both(index))
        });
        let baseline = report(&suite, adapter("old"), |index| {
            (improved..discordant).contains(&index) || (index >= discordant && both(index))
        });
        Self {
            policy: policy(POLICY),
            suite,
            candidate,
            baselines: vec![baseline],
            anchor: None,
            lineage: clean(),
            occasion: Occasion::default(),
        }
    }

    /// As a first version, against both untrained baselines.
    fn first(mut self) -> Self {
        let old = self.baselines.remove(0);
        self.baselines = [centroid(), majority()]
            .map(|subject| Report {
                subject,
                ..old.clone()
            })
            .to_vec();
        self
    }

    fn judge(&self) -> Judgement {
        self.judge_with(None)
    }

    fn judge_with(&self, floor: Option<FloorTrial<'_>>) -> Judgement {
        let baselines: Vec<&Report> = self.baselines.iter().collect();
        let trial = Trial {
            suite: &self.suite,
            candidate: &self.candidate,
            baselines: &baselines,
            anchor: self.anchor.as_ref(),
            lineage: &self.lineage,
            floor,
            occasion: self.occasion,
        };
        judge(&self.policy, trial).unwrap()
    }
}

fn codes(judgement: &Judgement) -> Vec<Code> {
    judgement.reasons.iter().map(|reason| reason.code).collect()
}

#[test]
fn a_policy_has_documented_defaults() {
    let policy = policy(POLICY);
    let design = policy.design();
    let numbers = [
        design.alpha,
        design.power,
        design.discordance,
        design.max_error_rate,
    ];
    assert_eq!(numbers.map(Decimal::get), [0.05, 0.8, 0.10, 0.0]);
    assert_eq!(policy.contamination(), Contamination::Invalid);
    assert_eq!(policy.on_inconclusive(), OnInconclusive::Block);
    assert_eq!(policy.criteria()[0].severity, Severity::Block);
}

#[test]
fn every_fault_of_a_policy_is_named() {
    let text = "\
version: 2
suite: latest
design: {alpha: 0.7, errors: {max_rate: .inf}}
criteria:
  - {id: acc, metric: accuracy, kind: binary, rule: noninferior}
first_version: {against: majority, rule: superior}
";
    assert_eq!(
        faults(text),
        [
            "gate.yaml:1: version: this version of retune reads version 1",
            "gate.yaml:2: suite: \"latest\" is not a digest: expected sha256:<64 hexadecimal digits>",
            "gate.yaml:3: design.errors.max_rate: not a finite number",
            "gate.yaml:5: criteria[0].margin: missing: say how much may be lost, or has to be gained; 0.02 is two points",
            "gate.yaml:6: first_version.margin: missing: say how much may be lost, or has to be gained; 0.02 is two points",
        ]
    );
    let text = "\
version: 1
design: {alpha: 0.7, power: 0.2, discordance: 0, errors: {max_rate: 1}}
criteria:
  - {id: acc, metric: accuracy, kind: binary, rule: noninferior, margin: 2, severity: warn}
  - {id: acc, metric: accuracy, kind: binary, rule: noninferior, margin: 0, severity: info}
  - {id: 'a b', metric: accuracy, kind: binary, rule: superior, margin: -0.1, severity: info}
first_version: {against: [majority, majority], rule: noninferior, margin: 0.6}
";
    let found = faults(text);
    let keys: Vec<&str> = found
        .iter()
        .map(|fault| fault.split(": ").nth(1).unwrap())
        .collect();
    assert_eq!(
        keys,
        [
            "design.alpha",
            "design.power",
            "design.discordance",
            "design.errors.max_rate",
            "criteria",
            "criteria[0].margin",
            "criteria[1].id",
            "criteria[1].margin",
            "criteria[2].id",
            "criteria[2].margin",
            "first_version.against",
            "first_version.margin",
        ],
        "{found:#?}"
    );
}

#[test]
fn unknown_keys_and_rules_are_faults() {
    let unknown = faults(&POLICY.replace("margin: 0.02", "margin: 0.02, sverity: warn"));
    assert_eq!(
        unknown,
        ["gate.yaml:3: criteria[0].sverity: unknown key; did you mean `severity`?"]
    );
    for (from, to) in [
        ("noninferior", "better"),
        ("binary", "fuzzy"),
        ("majority", "coin"),
    ] {
        let found = faults(&POLICY.replace(from, to));
        assert!(
            found.iter().any(|fault| fault.starts_with("gate.yaml:")),
            "{to}: {found:?}"
        );
    }
    assert!(faults("version: 1\n")[0].contains("missing field `criteria`"));
    assert!(faults("version: 1\ncriteria: []\n")[0].contains("no criterion blocks"));
}

/// z at m = 2 points, from tests/fixtures/stats/make.py's maximised likelihood, decides these.
#[test]
fn pass_fail_and_inconclusive() {
    for (n, improved, regressed, verdict) in [
        (1565, 78, 78, Verdict::Pass),
        (300, 15, 15, Verdict::Inconclusive),
        (1000, 50, 60, Verdict::Inconclusive),
        (1000, 30, 60, Verdict::Fail),
        (300, 2, 12, Verdict::Fail),
        (1000, 60, 30, Verdict::Pass),
    ] {
        let judgement = Scene::new(n, improved, regressed).judge();
        assert_eq!(
            judgement.verdict, verdict,
            "{n} {improved} {regressed}: {judgement:#?}"
        );
        let [comparison] = &judgement.comparisons[..] else {
            unreachable!()
        };
        let numbers = &comparison.numbers;
        assert_eq!(
            (numbers.n, numbers.improved, numbers.regressed),
            (n, improved, regressed)
        );
        assert_eq!(verdict == Verdict::Pass, numbers.lower > numbers.boundary);
        assert_eq!(
            numbers.candidate_right.unwrap() + numbers.regressed,
            numbers.baseline_right.unwrap() + numbers.improved
        );
    }
}

#[test]
fn inconclusive_says_what_would_decide() {
    let judgement = Scene::new(300, 15, 15).judge();
    assert_eq!(codes(&judgement), [Code::Undecided]);
    let numbers = &judgement.comparisons[0].numbers;
    // d = .10, m = 2: 1565 by reference/gate.md.
    let criterion = &policy(POLICY).criteria()[0].clone();
    assert_eq!(
        numbers.needed_cases(criterion, policy(POLICY).design()),
        Some(1565)
    );
    let margin = numbers.passing_margin(criterion).unwrap();
    let text = &judgement.reasons[0].text;
    assert!(text.contains("1265 more cases (1565 in all)"), "{text}");
    // tests/fixtures/stats: the lower limit of 15 and 15 of 300 is -0.0311, so 3.1 points are too few.
    assert!(text.contains("a margin of 3.2 points"), "{text}");
    // The advice is true: with that margin the same outcomes pass, with a tenth of a point less they do not.
    for (margin, verdict) in [
        (margin, Verdict::Pass),
        (margin - 0.001, Verdict::Inconclusive),
    ] {
        let mut scene = Scene::new(300, 15, 15);
        scene.policy = policy(&POLICY.replace("0.02", &format!("{margin:.3}")));
        assert_eq!(scene.judge().verdict, verdict, "{margin}");
    }
}

#[test]
fn a_significant_loss_within_the_margin_passes_with_a_remark() {
    let mut scene = Scene::new(3000, 20, 40);
    scene.policy = policy(&POLICY.replace("0.02", "0.05"));
    let judgement = scene.judge();
    assert_eq!(judgement.verdict, Verdict::Pass);
    assert_eq!(codes(&judgement), [Code::SmallRegression]);
}

#[test]
fn only_blocking_criteria_decide() {
    let text = POLICY.replace(
        "first_version",
        "  - {id: better, metric: accuracy, kind: binary, rule: superior, margin: 0.01, severity: warn}\nfirst_version",
    );
    let mut scene = Scene::new(1565, 78, 78);
    scene.policy = policy(&text);
    let judgement = scene.judge();
    assert_eq!(judgement.verdict, Verdict::Pass);
    assert_eq!(judgement.comparisons[1].verdict, Verdict::Inconclusive);
    assert_eq!(codes(&judgement), [Code::NotHeld]);
    scene.policy = policy(&text.replace("severity: warn", "severity: block"));
    assert_eq!(scene.judge().verdict, Verdict::Inconclusive);
}

type Injection = (&'static str, Code, fn(&mut Scene));

/// Everything that can be wrong with the inputs, one at a time.
const INJECTIONS: &[Injection] = &[
    ("candidate lacks a case", Code::CasesDiffer, |s| {
        drop(s.candidate.cases.remove(5))
    }),
    ("baseline lacks a case", Code::CasesDiffer, |s| {
        drop(s.baselines[0].cases.pop())
    }),
    ("candidate lacks all cases", Code::CasesDiffer, |s| {
        s.candidate.cases.clear()
    }),
    ("candidate has a case twice", Code::CasesDiffer, |s| {
        s.candidate.cases.push(s.candidate.cases[7].clone())
    }),
    ("baseline has a case twice", Code::CasesDiffer, |s| {
        s.baselines[0].cases[1] = s.baselines[0].cases[2].clone()
    }),
    ("candidate has a foreign case", Code::CasesDiffer, |s| {
        s.candidate.cases[0].id = "t999999".to_owned()
    }),
    ("cases are paired under other ids", Code::CasesDiffer, |s| {
        for case in &mut s.baselines[0].cases {
            case.id = format!("x{}", case.id);
        }
    }),
    (
        "another label is right in one arm",
        Code::CasesDiffer,
        |s| s.baselines[0].cases[3].expected = "no".to_owned(),
    ),
    ("candidate on another suite", Code::SuiteDiffers, |s| {
        s.candidate.suite = Digest::of(b"other").into()
    }),
    ("baseline on another suite", Code::SuiteDiffers, |s| {
        s.baselines[0].suite = Digest::of(b"other").into()
    }),
    ("the policy fixes another suite", Code::SuiteDiffers, |s| {
        s.policy = policy(&format!(
            "{POLICY}suite: intents@{}\n",
            Digest::of(b"other")
        ));
    }),
    ("candidate has an error", Code::TooManyErrors, |s| {
        error(&mut s.candidate, 11)
    }),
    ("baseline has an error", Code::TooManyErrors, |s| {
        error(&mut s.baselines[0], 11)
    }),
    ("candidate has only errors", Code::TooManyErrors, |s| {
        (0..s.suite.cases().len()).for_each(|index| error(&mut s.candidate, index));
    }),
    (
        "a case is correct and has another label",
        Code::ReportInconsistent,
        |s| s.candidate.cases[0].correct ^= true,
    ),
    (
        "a case has an answer and an error",
        Code::ReportInconsistent,
        |s| {
            s.candidate.cases[0].error = Some("late".to_owned());
        },
    ),
    ("a case has neither", Code::ReportInconsistent, |s| {
        s.candidate.cases[0].predicted = None
    }),
    (
        "the metrics are not those of the cases",
        Code::ReportInconsistent,
        |s| {
            s.candidate.metrics.accuracy = Decimal::new(1.0).unwrap();
        },
    ),
    (
        "the candidate was trained on a case",
        Code::Contaminated,
        |s| {
            s.lineage = Lineage::Traced {
                dataset: dataset(),
                overlap: vec!["t000004".to_owned()],
                near: Vec::new(),
            };
        },
    ),
    ("the overlap is about other cases", Code::CasesDiffer, |s| {
        s.lineage = Lineage::Traced {
            dataset: dataset(),
            overlap: vec!["elsewhere".to_owned()],
            near: Vec::new(),
        };
    }),
    (
        "nobody knows what it was trained on",
        Code::LineageUnknown,
        |s| {
            s.lineage = Lineage::Unknown {
                why: "no dataset".to_owned(),
            };
        },
    ),
    ("lineage of other data", Code::LineageUnknown, |s| {
        s.lineage = Lineage::Traced {
            dataset: Digest::of(b"other").into(),
            overlap: Vec::new(),
            near: Vec::new(),
        };
    }),
    ("no baseline", Code::WrongBaseline, |s| s.baselines.clear()),
    ("two versions as baselines", Code::WrongBaseline, |s| {
        s.baselines.push(s.baselines[0].clone())
    }),
    (
        "a version and an untrained baseline",
        Code::WrongBaseline,
        |s| {
            s.baselines.push(Report {
                subject: majority(),
                ..s.baselines[0].clone()
            });
        },
    ),
    ("the candidate is a baseline", Code::NotACandidate, |s| {
        s.candidate.subject = majority()
    }),
    ("nothing is right in either arm", Code::NothingRight, |s| {
        s.candidate = report(&s.suite, adapter("new"), |_| false);
        s.baselines = vec![report(&s.suite, adapter("old"), |_| false)];
    }),
    ("too few cases for the margin", Code::TooFewCases, |s| {
        *s = Scene::new(148, 0, 0)
    }),
];

fn error(report: &mut Report, index: usize) {
    let case = &mut report.cases[index];
    case.predicted = None;
    case.correct = false;
    case.error = Some("timed out".to_owned());
    remeasure(report);
}

/// Makes the metrics those of the changed cases again, so that only the injected fault is left.
fn remeasure(report: &mut Report) {
    let answers = report.cases.iter().map(|case| match &case.predicted {
        Some(label) => Answer::Label(label.clone()),
        None => Answer::Error("timed out".to_owned()),
    });
    let again = Report::new(
        &suite(report.cases.len() as u64),
        majority(),
        Vec::new(),
        answers.collect(),
    );
    report.metrics = again.unwrap().metrics;
}

#[test]
fn bad_input_is_invalid_and_never_a_pass() {
    assert_eq!(Scene::new(1565, 78, 78).judge().verdict, Verdict::Pass);
    for (name, code, inject) in INJECTIONS {
        let mut scene = Scene::new(1565, 78, 78);
        inject(&mut scene);
        let judgement = scene.judge();
        assert_eq!(judgement.verdict, Verdict::Invalid, "{name}");
        assert!(
            codes(&judgement).contains(code),
            "{name}: {:?}",
            judgement.reasons
        );
    }
}

#[test]
fn bad_input_is_never_a_pass_for_a_first_version_either() {
    let good = || Scene::new(1565, 160, 78).first();
    assert_eq!(
        good().judge().verdict,
        Verdict::Pass,
        "{:#?}",
        good().judge().reasons
    );
    let injections: &[Injection] = &[
        ("one baseline is missing", Code::WrongBaseline, |s| {
            drop(s.baselines.pop())
        }),
        ("one baseline twice", Code::WrongBaseline, |s| {
            s.baselines[1].subject = centroid()
        }),
        ("a baseline from other data", Code::WrongBaseline, |s| {
            s.baselines[1].subject = Subject::Majority {
                dataset: Digest::of(b"easier").into(),
            };
        }),
        ("a baseline from another base", Code::WrongBaseline, |s| {
            s.baselines[0].subject = Subject::Centroid {
                base: Digest::of(b"weaker").into(),
                dataset: dataset(),
            };
        }),
        ("no rule", Code::NoRule, |s| {
            let (criteria, _) = POLICY.split_once("first_version").unwrap();
            s.policy = policy(criteria);
        }),
        ("the second baseline lacks a case", Code::CasesDiffer, |s| {
            drop(s.baselines[1].cases.pop())
        }),
    ];
    for (name, code, inject) in injections {
        let mut scene = good();
        inject(&mut scene);
        let judgement = scene.judge();
        assert_eq!(judgement.verdict, Verdict::Invalid, "{name}");
        assert!(
            codes(&judgement).contains(code),
            "{name}: {:?}",
            judgement.reasons
        );
    }
}

#[test]
fn a_first_version_has_to_beat_every_baseline() {
    let mut scene = Scene::new(1565, 160, 78).first();
    scene.baselines[1] = Report {
        subject: majority(),
        ..scene.candidate.clone()
    };
    let judgement = scene.judge();
    assert_eq!(judgement.verdict, Verdict::Inconclusive);
    let verdicts: Vec<Verdict> = judgement.comparisons.iter().map(|c| c.verdict).collect();
    assert_eq!(verdicts, [Verdict::Pass, Verdict::Inconclusive]);
}

#[test]
fn errors_within_the_allowance_count_against_the_candidate() {
    let text = POLICY.replace("criteria:", "design: {errors: {max_rate: 0.01}}\ncriteria:");
    // Case 1000 is right in both arms; an error in either arm makes it a regression.
    for arm in ["candidate", "baseline"] {
        let mut scene = Scene::new(1565, 78, 78);
        scene.policy = policy(&text);
        let index = 1001;
        match arm {
            "candidate" => error(&mut scene.candidate, index),
            _ => error(&mut scene.baselines[0], index),
        }
        let judgement = scene.judge();
        assert_eq!(codes(&judgement), [Code::ErrorsCounted], "{arm}");
        assert_eq!(judgement.comparisons[0].numbers.regressed, 79, "{arm}");
        assert_eq!(judgement.comparisons[0].numbers.n, 1565, "{arm}");
    }
}

#[test]
fn any_number_of_errors_can_be_counted_against_the_candidate() {
    let counting = POLICY.replace(
        "criteria:",
        "design: {errors: {policy: count_as_wrong}}\ncriteria:",
    );
    for (arm, errors, verdict) in [
        ("candidate", 1, Verdict::Pass),
        ("baseline", 1, Verdict::Pass),
        ("candidate", 200, Verdict::Fail),
        // What the baseline could not answer is counted as answered rightly by it, and wrongly by the candidate.
        ("baseline", 200, Verdict::Fail),
        ("candidate", 2000, Verdict::Fail),
    ] {
        let mut scene = Scene::new(2000, 10, 10);
        let report = match arm {
            "candidate" => &mut scene.candidate,
            _ => &mut scene.baselines[0],
        };
        for case in &mut report.cases[..errors] {
            (case.predicted, case.correct) = (None, false);
            case.error = Some("timed out".to_owned());
        }
        remeasure(report);
        assert_eq!(
            scene.judge().verdict,
            Verdict::Invalid,
            "{errors} in the {arm}"
        );
        scene.policy = policy(&counting);
        let judgement = scene.judge();
        assert_eq!(judgement.verdict, verdict, "{errors} in the {arm}");
        assert!(codes(&judgement).contains(&Code::ErrorsCounted));
    }
    let both = counting.replace("{policy:", "{max_rate: 0.1, policy:");
    assert!(faults(&both)[0].contains("design.errors.max_rate: means nothing"));
}

#[test]
fn the_discordance_of_plans_can_be_left_to_what_was_seen() {
    let auto = |text: &str| {
        POLICY.replace(
            "criteria:",
            &format!("design: {{discordance: {text}}}\ncriteria:"),
        )
    };
    let design = policy(&auto("auto")).design().clone();
    assert_eq!(
        (design.discordance.get(), design.discordance_auto),
        (0.1, true)
    );
    assert_eq!(policy(&auto("0.2")).design().discordance.get(), 0.2);
    assert!(faults(&auto("often"))[0].contains("design.discordance: write a share"));
    // What was said before `auto` could be is the same policy as ever.
    assert_eq!(
        policy(&auto("0.1")).id().unwrap(),
        policy(POLICY).id().unwrap()
    );
}

#[test]
fn contaminated_cases_can_be_left_out_or_reported() {
    let mut scene = Scene::new(1565, 78, 78);
    scene.lineage = Lineage::Traced {
        dataset: dataset(),
        overlap: vec!["t000000".to_owned(), "t001000".to_owned()],
        near: Vec::new(),
    };
    scene.policy = policy(&format!("{POLICY}contamination: {{exact: exclude}}\n"));
    let judgement = scene.judge();
    let numbers = &judgement.comparisons[0].numbers;
    assert_eq!((numbers.n, numbers.improved), (1563, 77));
    assert_eq!(codes(&judgement), [Code::ContaminatedExcluded]);
    scene.policy = policy(&format!("{POLICY}contamination: {{exact: report}}\n"));
    let judgement = scene.judge();
    assert_eq!(judgement.comparisons[0].numbers.n, 1565);
    assert_eq!(codes(&judgement), [Code::ContaminatedIncluded]);
    // Leaving out so many that no outcome could pass is not a way around the minimum.
    let mut small = Scene::new(149, 0, 0);
    small.policy = policy(&format!("{POLICY}contamination: {{exact: exclude}}\n"));
    assert_eq!(small.judge().verdict, Verdict::Pass);
    small.lineage = scene.lineage;
    small.lineage = Lineage::Traced {
        dataset: dataset(),
        overlap: vec!["t000000".to_owned()],
        near: Vec::new(),
    };
    assert_eq!(small.judge().verdict, Verdict::Invalid);
}

#[test]
fn a_suite_that_cannot_move_is_invalid() {
    let mut scene = Scene::new(200, 0, 0);
    scene.candidate = report(&scene.suite, adapter("new"), |_| true);
    scene.baselines = vec![report(&scene.suite, adapter("old"), |_| true)];
    let judgement = scene.judge();
    assert_eq!(judgement.verdict, Verdict::Invalid);
    assert_eq!(codes(&judgement), [Code::Saturated]);
}

/// A store with the scene's suite and reports in it, and the arms that name them.
struct Stored {
    _dir: tempfile::TempDir,
    store: Store,
    candidate: Arm,
    baselines: Vec<Arm>,
    anchor: Option<Arm>,
}

fn stored(scene: &Scene) -> Stored {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::create(dir.path()).unwrap();
    scene.suite.store(&store).unwrap();
    let files = [training(dir.path(), "row")];
    dataset::import(&store, &files, &Options::default(), &Silent).unwrap();
    let arm = |report: &Report, label: &str| Arm {
        report: report.store(&store).unwrap(),
        label: Some(label.to_owned()),
    };
    Stored {
        candidate: arm(&scene.candidate, "support@20261123-aaaaaaaaaaaa"),
        baselines: scene
            .baselines
            .iter()
            .map(|report| arm(report, "baseline"))
            .collect(),
        anchor: scene.anchor.as_ref().map(|report| arm(report, "anchor")),
        _dir: dir,
        store,
    }
}

impl Stored {
    fn check(&self, scene: &Scene) -> Result<(EvidenceId, Evidence), GateError> {
        let arms = Arms {
            anchor: self.anchor.clone(),
            occasion: scene.occasion,
            ..Arms::new(self.candidate.clone(), self.baselines.clone())
        };
        check(&self.store, &scene.policy, &arms)
    }
}

#[test]
fn a_passed_gate_comes_only_from_evidence_that_passes_again() {
    for scene in [Scene::new(1565, 78, 78), Scene::new(1565, 160, 78).first()] {
        let stored = stored(&scene);
        let (id, evidence) = stored.check(&scene).unwrap();
        assert_eq!(evidence.verdict, Verdict::Pass);
        assert_eq!(recheck(&stored.store, &id).unwrap(), evidence);
        let passed = PassedGate::load(&stored.store, &id).unwrap();
        assert_eq!(*passed.candidate(), adapter("new"));
        assert_eq!(passed.baseline().is_none(), scene.baselines.len() == 2);
        assert_eq!(passed.suite(), scene.suite.id().unwrap());
        assert_eq!(
            stored.check(&scene).unwrap().0,
            id,
            "same input, same evidence"
        );
    }
    for (scene, verdict) in [
        (Scene::new(300, 15, 15), Verdict::Inconclusive),
        (Scene::new(1000, 30, 60), Verdict::Fail),
    ] {
        let stored = stored(&scene);
        let (id, _) = stored.check(&scene).unwrap();
        assert!(matches!(
            PassedGate::load(&stored.store, &id),
            Err(NotPassed::Verdict { verdict: found, .. }) if found == verdict
        ));
    }
}

#[test]
fn every_bad_input_is_invalid_from_the_store_too() {
    for (name, _, inject) in INJECTIONS {
        let mut scene = Scene::new(1565, 78, 78);
        inject(&mut scene);
        if scene.lineage != clean() {
            continue; // From the store it is traced: the next test.
        }
        let stored = stored(&scene);
        match stored.check(&scene) {
            Ok((id, evidence)) => {
                assert_eq!(evidence.verdict, Verdict::Invalid, "{name}");
                assert!(PassedGate::load(&stored.store, &id).is_err(), "{name}");
            }
            // A suite that is not there, and a policy that cannot answer, are no verdicts.
            Err(error) => assert!(error.is_integrity() || error.is_usage(), "{name}: {error}"),
        }
    }
}

#[test]
fn lineage_is_traced_through_the_store() {
    let named = |dataset: Option<DatasetId>| {
        let mut scene = Scene::new(1565, 78, 78);
        scene.candidate.subject = Subject::Adapter {
            base: base(),
            adapter: TreeId::from(Digest::of(b"new")),
            dataset,
            run: None,
        };
        let stored = stored(&scene);
        (scene, stored)
    };
    let verdict = |scene: &Scene, stored: &Stored| {
        let (id, evidence) = stored.check(scene).unwrap();
        assert_eq!(recheck(&stored.store, &id).unwrap(), evidence);
        (
            evidence.verdict,
            evidence.reasons.iter().map(|r| r.code).collect::<Vec<_>>(),
            evidence.lineage,
        )
    };
    let (scene, stored) = named(None);
    assert_eq!(verdict(&scene, &stored).1, [Code::LineageUnknown]);
    let (scene, stored) = named(Some(Digest::of(b"gone").into()));
    assert_eq!(verdict(&scene, &stored).1, [Code::LineageUnknown]);
    for split in [SplitName::Train, SplitName::Validation] {
        let dir = tempfile::tempdir().unwrap();
        // The suite's texts are `text 0` and so on; case and blanks do not hide them.
        let (_, leaked) = training(dir.path(), " Text ");
        let other = dir.path().join("other");
        std::fs::create_dir(&other).unwrap();
        let mut files = vec![(split, leaked)];
        if split == SplitName::Validation {
            files.push(training(&other, "row"));
        }
        let (id, manifest) = dataset::inspect(&files, &Options::default(), &Silent).unwrap();
        let (scene, stored) = named(Some(id));
        dataset::import(&stored.store, &files, &Options::default(), &Silent).unwrap();
        let (verdict, codes, lineage) = verdict(&scene, &stored);
        assert_eq!(
            (verdict, &codes[..]),
            (Verdict::Invalid, &[Code::Contaminated][..]),
            "{split}"
        );
        let overlap = (1..10).map(|index| format!("t{index:06}")).collect();
        assert_eq!(
            lineage,
            Lineage::Traced {
                dataset: id,
                overlap,
                near: Vec::new(),
            }
        );
        // Without the rows nobody can tell any more, so the old evidence is no longer confirmed.
        let evidence = stored.check(&scene).unwrap().0;
        std::fs::remove_file(stored.store.path_of(&manifest.splits[&split].blob)).unwrap();
        assert!(recheck(&stored.store, &evidence).is_err());
    }
}

#[test]
fn forged_evidence_is_not_believed() {
    type Forgery = (&'static str, fn(&mut Evidence, &Store));
    let forgeries: &[Forgery] = &[
        ("the verdict", |e, _| e.verdict = Verdict::Pass),
        ("the counts", |e, _| {
            e.verdict = Verdict::Pass;
            e.comparisons[0].verdict = Verdict::Pass;
            e.comparisons[0].numbers.regressed = 0;
            e.reasons.clear();
        }),
        ("a wider margin", |e, _| {
            e.comparisons[0].margin = Decimal::new(0.5).ok()
        }),
        ("no reasons", |e, _| e.reasons.clear()),
        ("another lineage", |e, _| {
            e.lineage = Lineage::Traced {
                dataset: Digest::of(b"other").into(),
                overlap: Vec::new(),
                near: Vec::new(),
            };
        }),
        ("another candidate", |e, _| {
            e.candidate.subject = adapter("newer")
        }),
        ("another baseline", |e, _| {
            e.baselines[0].subject = adapter("older")
        }),
        ("another suite", |e, store| {
            e.suite = suite(1000).store(store).unwrap()
        }),
        ("a looser policy", |e, store| {
            e.policy = policy(&POLICY.replace("0.02", "0.2")).store(store).unwrap();
        }),
    ];
    let scene = Scene::new(300, 15, 15);
    let stored = stored(&scene);
    let (id, evidence) = stored.check(&scene).unwrap();
    assert!(recheck(&stored.store, &id).is_ok());
    for (name, forge) in forgeries {
        let mut forged = evidence.clone();
        forge(&mut forged, &stored.store);
        let id = forged.store(&stored.store).unwrap();
        let error = recheck(&stored.store, &id).unwrap_err();
        assert!(
            matches!(error, GateError::Disagrees { .. }),
            "{name}: {error}"
        );
        assert!(error.is_integrity());
        assert!(matches!(
            PassedGate::load(&stored.store, &id),
            Err(NotPassed::Unconfirmed { .. })
        ));
    }
}

#[test]
fn evidence_needs_everything_it_names() {
    let scene = Scene::new(1565, 78, 78);
    let stored = stored(&scene);
    let (id, evidence) = stored.check(&scene).unwrap();
    for digest in [
        evidence.policy.digest(),
        evidence.suite.digest(),
        evidence.baselines[0].report.digest(),
        evidence.candidate.report.digest(),
    ] {
        let path = stored.store.path_of(&digest);
        let hidden = path.with_extension("hidden");
        std::fs::rename(&path, &hidden).unwrap();
        assert!(recheck(&stored.store, &id).unwrap_err().is_integrity());
        std::fs::rename(&hidden, &path).unwrap();
    }
    assert!(recheck(&stored.store, &id).is_ok());
}

#[test]
fn a_question_without_an_answer_is_a_usage_error() {
    let scene = Scene::new(148, 0, 0);
    let error = stored(&scene).check(&scene).unwrap_err();
    assert!(error.is_usage());
    assert_eq!(
        error.to_string(),
        "the suite is too small for this policy, no outcome could pass: criterion acc needs at least 149 cases; cases there are: 148"
    );
    let mut scene = Scene::new(1565, 160, 78).first();
    let (criteria, _) = POLICY.split_once("first_version").unwrap();
    scene.policy = policy(criteria);
    let error = stored(&scene).check(&scene).unwrap_err();
    assert!(matches!(error, GateError::NoFirstVersion) && error.is_usage());
}

#[test]
fn a_stored_policy_is_checked_like_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::create(dir.path()).unwrap();
    let good = policy(POLICY);
    let id = good.store(&store).unwrap();
    assert_eq!(Policy::load(&store, &id).unwrap(), good);
    let mut bad = good.clone();
    bad.criteria.clear();
    let id = bad.store(&store).unwrap();
    assert!(matches!(
        Policy::load(&store, &id),
        Err(GateError::StoredPolicy { .. })
    ));
}

#[test]
fn a_plan_says_what_can_be_decided() {
    let policy = policy(POLICY);
    let plan = plan(&policy, 300, Occasion::default(), 0).unwrap();
    let [criterion] = &plan.criteria[..] else {
        unreachable!()
    };
    assert_eq!(criterion.minimum_cases, 149);
    let criterion = criterion.odds.unwrap();
    assert_eq!(criterion.needed_cases, Some(1565));
    // reference/gate.md, rule D at n = 300, d = .10: .279 pass when equal, .048 pass at -2, .050 fail when equal.
    assert!((criterion.pass_when_equal - 0.279).abs() < 6e-4);
    assert!((criterion.pass_at_boundary - 0.048).abs() < 6e-4);
    assert!((criterion.fail_when_equal - 0.050).abs() < 6e-4);
    // reference/gate.md, suite resolution: 4.5 points at n = 300, d = .10 by the normal formula, exact a little more.
    let resolves = criterion.resolves.unwrap();
    assert!((0.044..0.050).contains(&resolves), "{resolves}");
    let first = plan.first_version.unwrap().odds.unwrap();
    assert_eq!(first.needed_cases, None);
    assert!(first.pass_at_boundary <= 0.055);
    let gain = first.resolves.unwrap();
    assert!((0.03..0.06).contains(&gain), "{gain}");
    assert!(super::plan(&policy, 0, Occasion::default(), 0).is_err());
}

/// Every key that `gate.yaml` can have.
const WHOLE: &str = "\
version: 1
design:
  alpha: 0.05
  alpha_slices: 0.05
  power: 0.8
  discordance: 0.1
  errors: {max_rate: 0.005}
  clusters: metadata.conversation
  repeats: 2
  looks: 3
  reuse: {spend: 0.05, decisions: 20, on_exhausted: invalid}
criteria:
  - {id: acc, metric: exact_match, kind: binary, rule: noninferior, margin: 0.02, severity: block}
  - {id: json, metric: is_json, kind: binary, rule: absolute, min: 0.99}
  - {id: safe, metric: is_safe, kind: binary, rule: must_pass}
  - {id: help, metric: judge.helpful, kind: graded, range: [0, 1], rule: noninferior, margin: 0.03, severity: warn}
  - {id: p95, metric: latency_ms, kind: quantile, q: 0.95, rule: noninferior, ratio: 1.10, severity: warn}
  - {id: cost, metric: cost_usd, kind: mean, rule: noninferior, ratio: 1.05}
  - {id: seen, metric: judge.helpful, kind: graded, range: [0, 1], rule: report, severity: info}
anchor: {ref: support@20261123-3f9a1c2b7d10, margin: 0.03}
slices:
  by: [label, metadata.locale]
  detect: 0.10
  min_n: auto
  rule: no_harm
  correction: holm
  required: [{where: {metadata.locale: de}, rule: noninferior, margin: 0.05}]
contamination: {exact: invalid, near: {method: minhash, jaccard: 0.8, action: exclude}}
floor: {confirm: {repeats: 3, fail_if: 2}}
on_inconclusive: block
overrides: {allow: [fail, inconclusive], approvers: 1, expires: 14d}
";

#[test]
fn a_whole_policy_is_read_stored_and_read_again() {
    let whole = policy(WHOLE);
    assert_eq!(whole.criteria().len(), 7);
    let dir = tempfile::tempdir().unwrap();
    let store = Store::create(dir.path()).unwrap();
    let id = whole.store(&store).unwrap();
    assert_eq!(Policy::load(&store, &id).unwrap(), whole);
    assert_eq!(whole.id().unwrap(), id);
    // One decision of twenty, the first look of three: the alpha is that of the budget's share and the look.
    let occasion = Occasion {
        look: Some(1),
        decision: Some(1),
    };
    let alpha = whole.design_for(occasion).unwrap().alpha.get();
    let levels = crate::stats::look_levels(3, 0.0025).unwrap();
    assert_eq!(alpha, levels[0]);
}

#[test]
fn every_fault_of_a_whole_policy_is_named_by_its_key() {
    for (from, to, key) in [
        ("repeats: 2", "repeats: 0", "design.repeats"),
        ("looks: 3", "looks: 11", "design.looks"),
        (
            "clusters: metadata.conversation",
            "clusters: conversation",
            "design.clusters",
        ),
        ("spend: 0.05", "spend: 0.7", "design.reuse.spend"),
        ("decisions: 20", "decisions: 0", "design.reuse.decisions"),
        ("min: 0.99", "min: 1", "criteria[1].min"),
        (", min: 0.99", "", "criteria[1].min"),
        ("min: 0.99", "min: 0.99, margin: 0.1", "criteria[1].margin"),
        (
            "rule: must_pass",
            "rule: must_pass, margin: 0.1",
            "criteria[2].margin",
        ),
        (
            "margin: 0.03, severity",
            "margin: 1.5, severity",
            "criteria[3].margin",
        ),
        (
            "range: [0, 1], rule: noninferior",
            "rule: noninferior",
            "criteria[3].range",
        ),
        ("q: 0.95, ", "", "criteria[4].q"),
        ("q: 0.95", "q: 1", "criteria[4].q"),
        ("ratio: 1.10", "ratio: 0.9", "criteria[4].ratio"),
        (
            "kind: mean, rule: noninferior",
            "kind: mean, rule: superior",
            "criteria[5].rule",
        ),
        (
            "ref: support@20261123-3f9a1c2b7d10",
            "ref: support:production",
            "anchor.ref",
        ),
        (
            "margin: 0.03}\nslices",
            "margin: 0}\nslices",
            "anchor.margin",
        ),
        ("label, metadata.locale", "label, locale", "slices.by[1]"),
        ("label, metadata.locale", "label, label", "slices.by[1]"),
        ("min_n: auto", "min_n: many", "slices.min_n"),
        ("detect: 0.10", "detect: 0", "slices.detect"),
        ("margin: 0.05}]", "}]", "slices.required[0].margin"),
        ("fail_if: 2", "fail_if: 4", "floor.confirm.fail_if"),
        ("fail_if: 2", "fail_if: 0", "floor.confirm.fail_if"),
        ("repeats: 3,", "repeats: 0,", "floor.confirm.repeats"),
        ("jaccard: 0.8", "jaccard: 0.3", "contamination.near.jaccard"),
        ("expires: 14d", "expires: soon", "overrides.expires"),
        (
            "allow: [fail, inconclusive]",
            "allow: [contamination]",
            "overrides.approvers",
        ),
        ("correction: holm", "correction: none", "slices"),
        ("on_exhausted: invalid", "on_exhausted: ignore", "design"),
        ("allow: [fail", "allow: [invalid", "overrides"),
    ] {
        let found = faults(&WHOLE.replacen(from, to, 1));
        assert!(
            found
                .iter()
                .any(|fault| fault.contains(key) && fault.starts_with("gate.yaml:")),
            "{to}: {found:?}"
        );
    }
}

/// Gives every case of an arm a measure.
fn measured(report: &mut Report, metric: &str, of: impl Fn(usize) -> f64) {
    for (index, case) in report.cases.iter_mut().enumerate() {
        let value = Decimal::new(of(index)).unwrap();
        case.measures.insert(metric.to_owned(), value);
    }
}

fn with_criterion(criterion: &str) -> Policy {
    policy(&POLICY.replace("first_version", &format!("  - {criterion}\nfirst_version")))
}

/// A number in [0, 1) that depends on the index alone.
fn noise(index: usize) -> f64 {
    let x = (index as f64 + 1.0) * 0.618_033_988_749_895;
    x - x.floor()
}

#[test]
fn other_kinds_pass_fail_and_stay_open() {
    let graded = "{id: x, metric: m, kind: graded, range: [0, 1], rule: noninferior, margin: 0.03}";
    let gains = "{id: x, metric: m, kind: graded, range: [0, 1], rule: superior, margin: 0.03}";
    let p95 = "{id: x, metric: m, kind: quantile, q: 0.95, rule: noninferior, ratio: 1.10}";
    let cost = "{id: x, metric: m, kind: mean, rule: noninferior, ratio: 1.05}";
    let least = "{id: x, metric: m, kind: binary, rule: absolute, min: 0.99}";
    let all = "{id: x, metric: m, kind: binary, rule: must_pass}";
    let shown = "{id: x, metric: m, kind: graded, range: [0, 1], rule: report}";
    type Arm = fn(usize) -> f64;
    let half: Arm = |i| 0.4 + 0.2 * noise(i);
    let rows: [(&str, Arm, Arm, Verdict); 17] = [
        (graded, |i| 0.4 + 0.2 * noise(i + 7), half, Verdict::Pass),
        (graded, |i| 0.3 + 0.2 * noise(i + 7), half, Verdict::Fail),
        (
            graded,
            |i| if i % 2 == 0 { 0.886 } else { 0.086 },
            |_| 0.5,
            Verdict::Inconclusive,
        ),
        (gains, |i| 0.5 + 0.2 * noise(i), half, Verdict::Pass),
        (gains, half, half, Verdict::Inconclusive),
        (
            p95,
            |i| 100.0 + 50.0 * noise(i + 3),
            |i| 100.0 + 50.0 * noise(i),
            Verdict::Pass,
        ),
        (
            p95,
            |i| 150.0 + 50.0 * noise(i),
            |i| 100.0 + 50.0 * noise(i),
            Verdict::Fail,
        ),
        (
            p95,
            |i| 110.0 + 55.0 * noise(i),
            |i| 100.0 + 50.0 * noise(i + 3),
            Verdict::Inconclusive,
        ),
        (
            cost,
            |i| 1.0 + noise(i),
            |i| 1.0 + noise(i + 1),
            Verdict::Pass,
        ),
        (
            cost,
            |i| 1.2 * (1.0 + noise(i)),
            |i| 1.0 + noise(i),
            Verdict::Fail,
        ),
        (
            cost,
            |i| 1.05 * (1.0 + noise(i + 5)),
            |i| 1.0 + noise(i),
            Verdict::Inconclusive,
        ),
        (least, |_| 1.0, |_| 0.0, Verdict::Pass),
        (
            least,
            |i| f64::from(u8::from(i % 20 != 0)),
            |_| 1.0,
            Verdict::Fail,
        ),
        (
            least,
            |i| f64::from(u8::from(i % 100 != 0)),
            |_| 1.0,
            Verdict::Inconclusive,
        ),
        (all, |_| 1.0, |_| 0.0, Verdict::Pass),
        (all, |i| f64::from(u8::from(i != 9)), |_| 1.0, Verdict::Fail),
        (shown, |_| 0.0, |_| 0.5, Verdict::Pass),
    ];
    for (row, (criterion, candidate, baseline, verdict)) in rows.into_iter().enumerate() {
        let mut scene = Scene::new(1565, 78, 78);
        scene.policy = with_criterion(criterion);
        measured(&mut scene.candidate, "m", candidate);
        measured(&mut scene.baselines[0], "m", baseline);
        let judgement = scene.judge();
        let found = &judgement.comparisons[1];
        assert_eq!(
            found.verdict, verdict,
            "row {row}, {criterion}: {judgement:#?}"
        );
        assert_eq!(judgement.verdict, verdict, "row {row}, {criterion}");
        // What could not be decided says what would decide it, and what was decided by a margin agrees with its limit.
        let undecided = judgement
            .reasons
            .iter()
            .any(|reason| reason.code == Code::Undecided);
        assert_eq!(undecided, verdict == Verdict::Inconclusive, "row {row}");
    }
}

#[test]
fn scores_that_are_right_or_wrong_are_judged_by_the_exact_test() {
    let graded = "{id: x, metric: m, kind: graded, range: [0, 1], rule: noninferior, margin: 0.02}";
    let mut scene = Scene::new(1565, 78, 78);
    scene.policy = with_criterion(graded);
    let right = |report: &Report| -> Vec<f64> {
        let cases = report.cases.iter();
        cases
            .map(|case| f64::from(u8::from(case.correct)))
            .collect()
    };
    let (candidate, baseline) = (right(&scene.candidate), right(&scene.baselines[0]));
    measured(&mut scene.candidate, "m", |i| candidate[i]);
    measured(&mut scene.baselines[0], "m", |i| baseline[i]);
    let judgement = scene.judge();
    assert_eq!(
        judgement.comparisons[1].numbers,
        judgement.comparisons[0].numbers
    );
}

#[test]
fn what_was_not_measured_on_every_case_is_invalid() {
    for criterion in [
        "{id: x, metric: m, kind: binary, rule: absolute, min: 0.9}",
        "{id: x, metric: m, kind: graded, range: [0, 1], rule: noninferior, margin: 0.03, severity: warn}",
        "{id: x, metric: m, kind: quantile, q: 0.95, rule: noninferior, ratio: 1.1}",
        "{id: x, metric: m, kind: mean, rule: noninferior, ratio: 1.05}",
        "{id: x, metric: m, kind: graded, range: [0, 1], rule: report, severity: info}",
    ] {
        let mut scene = Scene::new(1565, 78, 78);
        scene.policy = with_criterion(criterion);
        let mut verdicts = Vec::new();
        let mut look = |scene: &Scene| {
            let judgement = scene.judge();
            assert!(
                codes(&judgement).contains(&Code::Unmeasured),
                "{criterion}: {judgement:?}"
            );
            verdicts.push(judgement.verdict);
        };
        look(&scene);
        measured(&mut scene.candidate, "m", |_| 1.0);
        measured(&mut scene.baselines[0], "m", |_| 1.0);
        scene.baselines[0].cases[700].measures.clear();
        look(&scene);
        // Neither right nor wrong, outside its range, or not a latency or a cost.
        measured(&mut scene.baselines[0], "m", |_| 1.0);
        measured(&mut scene.candidate, "m", |_| -3.0);
        look(&scene);
        assert_eq!(verdicts, [Verdict::Invalid; 3], "{criterion}");
    }
}

/// Groups: case i has `metadata.slice` i % 10 and `metadata.talk` i / 5.
fn grouped(scene: &mut Scene) {
    let cases = scene.suite.cases().iter().enumerate().map(|(index, case)| {
        let pairs = [
            ("slice", (index % 10).to_string()),
            ("talk", (index / 5).to_string()),
        ];
        Case {
            metadata: pairs.into_iter().map(|(k, v)| (k.to_owned(), v)).collect(),
            ..case.clone()
        }
    });
    scene.suite = Suite::new("intents".parse().unwrap(), cases.collect()).unwrap();
    let id = scene.suite.id().unwrap();
    scene.candidate.suite = id;
    scene
        .baselines
        .iter_mut()
        .for_each(|report| report.suite = id);
}

/// Makes the candidate wrong on these cases and right elsewhere, the baseline right on all but every 500th.
fn worse_where(scene: &mut Scene, wrong: impl Fn(usize) -> bool) {
    let n = scene.suite.cases().len();
    assert!(n > 0);
    let (new, old) = (adapter("new"), adapter("old"));
    scene.candidate = report(&scene.suite, new, |i| !wrong(i as usize) && i % 500 != 1);
    scene.baselines = vec![report(&scene.suite, old, |i| i % 500 != 2)];
}

#[test]
fn a_slice_that_is_harmed_fails_what_would_pass_as_a_whole() {
    let sliced = format!("{POLICY}slices: {{by: [metadata.slice]}}\n");
    let mut scene = Scene::new(3000, 0, 0);
    grouped(&mut scene);
    worse_where(&mut scene, |i| i % 10 == 3 && i % 70 == 3);
    scene.policy = policy(POLICY);
    assert_eq!(scene.judge().verdict, Verdict::Pass);
    scene.policy = policy(&sliced);
    let judgement = scene.judge();
    assert_eq!(judgement.verdict, Verdict::Fail);
    assert_eq!(judgement.slices.len(), 10);
    let harmed: Vec<&SliceResult> = judgement.slices.iter().filter(|s| s.harmed).collect();
    assert_eq!(harmed.len(), 1);
    assert_eq!(
        (harmed[0].slice.as_str(), harmed[0].n),
        ("metadata.slice=3", 300)
    );
    // With equal slices nothing fails.
    worse_where(&mut scene, |_| false);
    let judgement = scene.judge();
    assert_eq!(judgement.verdict, Verdict::Pass, "{:?}", judgement.reasons);
    // Small slices are not tested, and said to be.
    scene.policy = policy(&format!(
        "{POLICY}slices: {{by: [metadata.slice], min_n: 400}}\n"
    ));
    worse_where(&mut scene, |i| i % 10 == 3 && i % 70 == 3);
    let judgement = scene.judge();
    assert_eq!(judgement.verdict, Verdict::Pass);
    assert!(judgement.slices.iter().all(|slice| slice.harm_p.is_none()));
    assert!(codes(&judgement).contains(&Code::SlicesCoarse));
    // A key that no case has is a mistake.
    scene.policy = policy(&format!("{POLICY}slices: {{by: [metadata.intent]}}\n"));
    let judgement = scene.judge();
    assert_eq!(judgement.verdict, Verdict::Invalid);
    assert_eq!(judgement.reasons[0].code, Code::SliceMissing);
}

#[test]
fn a_slice_that_is_lost_altogether_fails_even_among_many_small_ones() {
    // 150 slices of 30, as CLINC150 has: auto tests slices from 11 cases on.
    let mut scene = Scene::new(4500, 0, 0);
    let cases = scene
        .suite
        .cases()
        .iter()
        .enumerate()
        .map(|(index, case)| Case {
            metadata: [("intent".to_owned(), (index % 150).to_string())].into(),
            ..case.clone()
        });
    scene.suite = Suite::new("intents".parse().unwrap(), cases.collect()).unwrap();
    worse_where(&mut scene, |i| i % 150 == 42);
    scene.policy = policy(&format!("{POLICY}slices: {{by: [metadata.intent]}}\n"));
    let judgement = scene.judge();
    assert_eq!(judgement.verdict, Verdict::Fail);
    let harmed: Vec<&str> = judgement
        .slices
        .iter()
        .filter(|slice| slice.harmed)
        .map(|slice| slice.slice.as_str())
        .collect();
    assert_eq!(harmed, ["metadata.intent=42"]);
}

#[test]
fn required_slices_have_to_hold_by_themselves() {
    let text = |margin: &str| {
        format!(
            "{POLICY}slices: {{required: [{{where: {{metadata.slice: '3'}}, margin: {margin}}}]}}\n"
        )
    };
    let mut scene = Scene::new(3000, 0, 0);
    grouped(&mut scene);
    worse_where(&mut scene, |_| false);
    scene.policy = policy(&text("0.05"));
    let judgement = scene.judge();
    assert_eq!(judgement.verdict, Verdict::Pass, "{judgement:#?}");
    assert_eq!(
        judgement.comparisons[1].slice.as_deref(),
        Some("metadata.slice=3")
    );
    assert_eq!(judgement.comparisons[1].numbers.n, 300);
    worse_where(&mut scene, |i| i % 10 == 3 && i % 100 == 3);
    assert_eq!(scene.judge().verdict, Verdict::Fail);
    // 300 cases cannot show a loss below half a point.
    for text in [text("0.005"), text("0.05").replace("'3'", "'x'")] {
        scene.policy = policy(&text);
        let judgement = scene.judge();
        assert_eq!(judgement.verdict, Verdict::Invalid);
        assert_eq!(judgement.reasons[0].code, Code::SliceMissing);
    }
}

#[test]
fn clusters_make_cases_worth_less() {
    // 313 talks of 5 alike cases: what passes as 1565 independent cases does not as 313.
    let mut scene = Scene::new(1565, 0, 0);
    grouped(&mut scene);
    let talks = |new: u64, old: u64| {
        move |i: u64| !((new..old).contains(&(i / 5)) || i.is_multiple_of(10) && i / 5 >= 40)
    };
    scene.candidate = report(&scene.suite, adapter("new"), talks(0, 15));
    scene.baselines = vec![report(&scene.suite, adapter("old"), talks(15, 31))];
    assert_eq!(scene.judge().verdict, Verdict::Pass);
    let clustered = POLICY.replace("criteria:", "design: {clusters: metadata.talk}\ncriteria:");
    scene.policy = policy(&clustered);
    let judgement = scene.judge();
    assert_eq!(judgement.verdict, Verdict::Inconclusive);
    let effect = judgement.comparisons[0]
        .numbers
        .design_effect
        .unwrap()
        .get();
    assert!((4.9..5.1).contains(&effect), "{effect}");
    scene.policy = policy(&clustered.replace("talk", "slice"));
    assert_eq!(codes(&scene.judge()), [Code::TooFewClusters]);
}

/// The same answers several times over.
fn repeated(report: &Report, times: u32) -> Report {
    let mut cases = Vec::new();
    for case in &report.cases {
        cases.extend((0..times).map(|repeat| CaseResult {
            repeat,
            ..case.clone()
        }));
    }
    let mut again = Report {
        cases,
        ..report.clone()
    };
    again.metrics.n *= u64::from(times);
    for label in again.metrics.per_label.values_mut() {
        label.support *= u64::from(times);
    }
    again
}

#[test]
fn the_order_of_a_report_does_not_matter() {
    let scene = Scene::new(300, 5, 15);
    let mut turned = Scene::new(300, 5, 15);
    turned.candidate.cases.reverse();
    assert_eq!(scene.judge(), turned.judge());
}

#[test]
fn repeating_every_answer_is_no_new_evidence() {
    let once = Scene::new(300, 5, 15);
    let mut thrice = Scene::new(300, 5, 15);
    thrice.candidate = repeated(&once.candidate, 3);
    thrice.baselines = vec![repeated(&once.baselines[0], 3)];
    assert_eq!(
        codes(&thrice.judge()),
        [Code::RepeatsDiffer, Code::RepeatsDiffer]
    );
    thrice.policy = policy(&POLICY.replace("criteria:", "design: {repeats: 3}\ncriteria:"));
    let (one, three) = (once.judge(), thrice.judge());
    assert_eq!(one.verdict, three.verdict);
    let (one, three) = (&one.comparisons[0].numbers, &three.comparisons[0].numbers);
    assert_eq!(three.n, 900);
    // 300 clusters of 3 alike: the design effect is 3 · 300/299.
    assert!((three.design_effect.unwrap().get() - 3.0 * 300.0 / 299.0).abs() < 1e-6);
    assert!((one.lower.get() - three.lower.get()).abs() < 1e-3);
}

#[test]
fn looks_have_their_own_smaller_alpha() {
    let mut scene = Scene::new(1565, 78, 78);
    scene.policy = policy(&POLICY.replace("criteria:", "design: {looks: 3}\ncriteria:"));
    assert_eq!(codes(&scene.judge()), [Code::WhichLook]);
    let verdict = |scene: &mut Scene, look| {
        scene.occasion.look = Some(look);
        scene.judge().verdict
    };
    assert_eq!(verdict(&mut scene, 1), Verdict::Inconclusive);
    let mut better = Scene::new(1565, 90, 60);
    better.policy = scene.policy.clone();
    assert_eq!(verdict(&mut better, 1), Verdict::Pass);
}

#[test]
fn an_anchor_stops_small_losses_from_adding_up() {
    let mut scene = Scene::new(3000, 100, 100);
    let n = scene.suite.cases().len() as u64;
    scene.policy = policy(&format!(
        "{POLICY}anchor: {{ref: support@20261101-77ab00000000, margin: 0.03}}\n"
    ));
    assert_eq!(codes(&scene.judge()), [Code::NoAnchor]);
    // The anchor has everything right that the candidate has, and 150 or 30 cases more.
    for (more, verdict) in [(150, Verdict::Fail), (30, Verdict::Pass)] {
        let candidate = &scene.candidate;
        let fixed: Vec<usize> = (0..n as usize)
            .filter(|i| !candidate.cases[*i].correct)
            .collect();
        let right =
            |i: u64| candidate.cases[i as usize].correct || fixed[..more].contains(&(i as usize));
        scene.anchor = Some(report(&scene.suite, adapter("anchor"), right));
        let judgement = scene.judge();
        assert_eq!(judgement.verdict, verdict, "{more}: {judgement:#?}");
        assert!(judgement.comparisons[1].anchor);
    }
}

#[test]
fn decisions_on_one_suite_share_its_alpha() {
    let shared = |decisions: &str| {
        policy(&POLICY.replace(
            "criteria:",
            &format!("design: {{reuse: {{spend: 0.05{decisions}}}}}\ncriteria:"),
        ))
    };
    let mut scene = Scene::new(1565, 78, 78);
    scene.policy = shared(", decisions: 20");
    scene.occasion.decision = Some(1);
    assert_eq!(
        scene.judge().verdict,
        Verdict::Inconclusive,
        "alpha is 0.0025"
    );
    scene.occasion.decision = Some(21);
    assert_eq!(codes(&scene.judge()), [Code::BudgetSpent]);
    let open = shared("");
    let spent: f64 = (1..2000)
        .map(|i| open.design().reuse.unwrap().share(i))
        .sum();
    assert!(spent < 0.05 && spent > 0.0499, "{spent}");
}

#[test]
fn near_duplicates_in_the_training_data_are_found() {
    let near = |action: &str| {
        policy(&format!(
            "{POLICY}contamination: {{near: {{method: minhash, jaccard: 0.7, action: {action}}}}}\n"
        ))
    };
    let mut scene = Scene::new(1565, 78, 78);
    let cases = scene.suite.cases().iter().map(|case| Case {
        text: format!("please tell me about the state of my order {}", case.id),
        ..case.clone()
    });
    scene.suite = Suite::new("intents".parse().unwrap(), cases.collect()).unwrap();
    let id = scene.suite.id().unwrap();
    scene.candidate.suite = id;
    scene.baselines[0].suite = id;
    let dir = tempfile::tempdir().unwrap();
    let leaked = dir.path().join("train.jsonl");
    std::fs::write(
        &leaked,
        "{\"text\":\"Please, tell me about the state of order t000004\",\"label\":\"yes\"}\n\
         {\"text\":\"something else\",\"label\":\"yes\"}\n",
    )
    .unwrap();
    let files = [(SplitName::Train, leaked)];
    let (dataset, _) = dataset::inspect(&files, &Options::default(), &Silent).unwrap();
    scene.candidate.subject = Subject::Adapter {
        base: base(),
        adapter: TreeId::from(Digest::of(b"new")),
        dataset: Some(dataset),
        run: None,
    };
    let check = |scene: &Scene| {
        let stored = stored(scene);
        dataset::import(&stored.store, &files, &Options::default(), &Silent).unwrap();
        let (id, evidence) = stored.check(scene).unwrap();
        assert_eq!(recheck(&stored.store, &id).unwrap(), evidence);
        evidence
    };
    assert_eq!(check(&scene).verdict, Verdict::Pass, "nobody looked");
    scene.policy = near("invalid");
    let evidence = check(&scene);
    assert_eq!(evidence.reasons[0].code, Code::Contaminated);
    let Lineage::Traced {
        near: found,
        overlap,
        ..
    } = &evidence.lineage
    else {
        unreachable!()
    };
    assert!(
        found.contains(&"t000004".to_owned()) && overlap.is_empty(),
        "{found:?}"
    );
    scene.policy = near("report");
    assert_eq!(check(&scene).reasons[0].code, Code::ContaminatedIncluded);
}

#[test]
fn a_waiver_holds_for_exactly_what_was_judged_and_not_for_ever() {
    let ana: crate::git::Identity = "Ana <ana@example.org>".parse().unwrap();
    let ben: crate::git::Identity = "Ben <ben@example.org>".parse().unwrap();
    let at = crate::time::Timestamp::from_unix(1_795_426_200);
    let later = |days: i64| crate::time::Timestamp::from_unix(at.unix() + days * 86_400);
    let mut scene = Scene::new(1000, 30, 60);
    let refused = |scene: &Scene, approvers: Vec<_>, reason: &str, days| {
        let stored = stored(scene);
        let (id, evidence) = stored.check(scene).unwrap();
        let time = (at, days);
        Waiver::new(
            (id, &evidence),
            &scene.policy,
            &ana,
            approvers,
            reason,
            time,
        )
        .unwrap_err()
    };
    assert!(matches!(
        refused(&scene, vec![ben.clone()], "x", None),
        NotWaived::NotAllowed(_)
    ));
    scene.policy = policy(&format!(
        "{POLICY}overrides: {{allow: [fail], approvers: 1, expires: 14d}}\n"
    ));
    let own = vec![ana.clone()];
    assert!(matches!(
        refused(&scene, own, "x", None),
        NotWaived::Approvers { given: 0, .. }
    ));
    assert_eq!(
        refused(&scene, vec![ben.clone()], " ", None),
        NotWaived::NoReason
    );
    assert!(matches!(
        refused(&scene, vec![ben.clone()], "x", Some(15)),
        NotWaived::Days { .. }
    ));
    let passing = Scene {
        policy: scene.policy.clone(),
        ..Scene::new(1565, 78, 78)
    };
    assert_eq!(
        refused(&passing, vec![ben.clone()], "x", None),
        NotWaived::Passed
    );
    let invalid = Scene {
        policy: scene.policy.clone(),
        baselines: vec![],
        ..Scene::new(1565, 78, 78)
    };
    assert!(matches!(
        refused(&invalid, vec![ben.clone()], "x", None),
        NotWaived::NotAllowed(_)
    ));

    let stored = stored(&scene);
    let (id, evidence) = stored.check(&scene).unwrap();
    let about = (id, &evidence);
    let waiver = Waiver::new(
        about,
        &scene.policy,
        &ana,
        vec![ben],
        "a known gap",
        (at, None),
    )
    .unwrap();
    assert_eq!(Waiver::decode(&waiver.document().unwrap()).unwrap(), waiver);
    assert!(PassedGate::load(&stored.store, &id).is_err());
    let gate = PassedGate::waived(&stored.store, &id, &waiver, later(13)).unwrap();
    assert_eq!(gate.waiver(), Some(&waiver));
    assert_eq!(
        gate.evidence().verdict,
        Verdict::Fail,
        "waived is not passed"
    );
    assert!(PassedGate::waived(&stored.store, &id, &waiver, later(14)).is_err());
    assert!(PassedGate::waived(&stored.store, &id, &waiver, later(-1)).is_err());
    let mut other = waiver.clone();
    other.candidate = adapter("another");
    assert!(PassedGate::waived(&stored.store, &id, &other, at).is_err());
    // Contamination and a spent budget can be waived by two; nothing else that is INVALID.
    let mut leaked = Scene::new(1565, 78, 78);
    let two = "overrides: {allow: [contamination, budget], approvers: 2, expires: 1d}\n";
    leaked.policy = policy(&format!("{POLICY}{two}").replace(
        "criteria:",
        "design: {reuse: {spend: 0.05, decisions: 1}}\ncriteria:",
    ));
    leaked.occasion.decision = Some(2);
    let stored = self::stored(&leaked);
    let (id, evidence) = stored.check(&leaked).unwrap();
    assert_eq!(evidence.reasons[0].code, Code::BudgetSpent);
    let people = |names: &[&str]| -> Vec<crate::git::Identity> {
        let person = |name: &&str| format!("{name} <{name}@example.org>").parse().unwrap();
        names.iter().map(person).collect()
    };
    for (names, good) in [
        (&["Ben"][..], false),
        (&["Ben", "Ben"], false),
        (&["Ben", "Eve"], true),
    ] {
        let people = people(names);
        let made = Waiver::new(
            (id, &evidence),
            &leaked.policy,
            &ana,
            people,
            "x",
            (at, None),
        );
        assert_eq!(made.is_ok(), good, "{names:?}");
    }
}

#[test]
fn any_flipped_byte_of_what_evidence_names_is_seen() {
    let mut scene = Scene::new(300, 15, 15);
    grouped(&mut scene);
    scene.policy = policy(&format!("{POLICY}slices: {{by: [metadata.slice]}}\n"));
    let stored = stored(&scene);
    let (id, evidence) = stored.check(&scene).unwrap();
    for digest in [
        id.digest(),
        evidence.policy.digest(),
        evidence.candidate.report.digest(),
        evidence.baselines[0].report.digest(),
        evidence.suite.digest(),
    ] {
        let path = stored.store.path_of(&digest);
        let sound = std::fs::read(&path).unwrap();
        // Some bytes of a large object, every byte of a small one.
        for at in (0..sound.len()).step_by(1 + sound.len() / 200) {
            let mut bytes = sound.clone();
            bytes[at] ^= 1;
            std::fs::remove_file(&path).unwrap();
            std::fs::write(&path, bytes).unwrap();
            let error = recheck(&stored.store, &id).unwrap_err();
            assert!(error.is_integrity(), "byte {at} of {digest}: {error}");
        }
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, sound).unwrap();
    }
    assert!(recheck(&stored.store, &id).is_ok());
}

#[test]
fn forged_slices_are_not_believed() {
    let mut scene = Scene::new(3000, 0, 0);
    grouped(&mut scene);
    worse_where(&mut scene, |i| i % 10 == 3 && i % 70 == 3);
    scene.policy = policy(&format!("{POLICY}slices: {{by: [metadata.slice]}}\n"));
    let stored = stored(&scene);
    let (_, evidence) = stored.check(&scene).unwrap();
    let forgeries: [fn(&mut Evidence); 3] = [
        |e| e.slices.clear(),
        |e| e.slices[3].regressed = 0,
        |e| e.slices[3].harmed = false,
    ];
    for forge in forgeries {
        let mut forged = evidence.clone();
        forge(&mut forged);
        let id = forged.store(&stored.store).unwrap();
        assert!(matches!(
            recheck(&stored.store, &id),
            Err(GateError::Disagrees { .. })
        ));
    }
}

#[test]
fn changed_cases_are_listed_for_people() {
    let scene = Scene::new(300, 5, 15);
    let stored = stored(&scene);
    let (_, evidence) = stored.check(&scene).unwrap();
    let changed = changed(&stored.store, &evidence).unwrap();
    let count = |of| changed.iter().filter(|case| case.change == of).count();
    assert_eq!((count(Change::Regressed), count(Change::Improved)), (15, 5));
    assert_eq!(changed[0].id, "t000005");
    assert_eq!(
        (
            changed[0].expected.as_str(),
            changed[0].baseline.as_str(),
            changed[0].candidate.as_str()
        ),
        ("yes", "yes", "no")
    );
}

/// The floor of the scenes' suite: prompts whose right answer is always `yes`.
fn floor(cases: u32) -> Suite {
    let case = |index| Case {
        id: format!("INC-{index}"),
        label: "yes".to_owned(),
        text: format!("incident {index}"),
        graders: vec![Grader::exact_match()],
        ..Default::default()
    };
    let task = Task::Generation(Generation {
        settings: Settings::default(),
        graders: Vec::new(),
        repeats: 1,
        embeddings: None,
        judge: None,
    });
    let name = "intents.floor".parse().unwrap();
    Suite::of(name, task, (0..cases).map(case).collect()).unwrap()
}

/// What the subject `new` says, one answer after the other: right, wrong, or none.
fn answered(suite: &Suite, answers: &str) -> Report {
    let answer = |letter| match letter {
        '+' | '-' => Answer::Text {
            text: if letter == '+' { "yes" } else { "no" }.to_owned(),
            measures: Default::default(),
        },
        _ => Answer::Error("late".to_owned()),
    };
    let answers = answers.chars().map(answer).collect();
    Report::new(suite, adapter("new"), Vec::new(), answers).unwrap()
}

/// A scene that passes, and a floor with what the candidate said to it, at first and when asked again.
struct FloorScene {
    scene: Scene,
    suite: Suite,
    report: Report,
    again: Option<Report>,
}

impl FloorScene {
    /// `again` is about what was missed at `first`, three answers to each case.
    fn new(first: &str, again: &str) -> Self {
        let mut scene = Scene::new(2000, 10, 10);
        scene.policy = policy(&format!("{POLICY}floor: {{}}\n"));
        let suite = floor(first.len() as u32);
        let report = answered(&suite, first);
        let asked = suite.again(&report.missed(), 3);
        let again = asked
            .filter(|_| !again.is_empty())
            .map(|suite| answered(&suite, again));
        Self {
            scene,
            suite,
            report,
            again,
        }
    }

    fn judge(&self) -> Judgement {
        self.scene.judge_with(Some(FloorTrial {
            suite: &self.suite,
            report: &self.report,
            again: self.again.as_ref(),
        }))
    }
}

#[test]
fn a_floor_has_to_be_passed_whatever_the_comparison_says() {
    let passed = FloorScene::new("+++", "").judge();
    assert_eq!(
        (passed.verdict, codes(&passed)),
        (Verdict::Pass, Vec::new())
    );
    let missed = FloorScene::new("++-", "").judge();
    assert_eq!(missed.verdict, Verdict::Fail);
    assert_eq!(codes(&missed), [Code::FloorFailed]);
    assert_eq!(
        missed.reasons[0].text,
        "1 of 3 cases of the floor not passed: INC-2 (\"no\" instead of \"yes\")"
    );
    // It is no part of what is compared.
    assert_eq!(missed.comparisons, passed.comparisons);
    let mut first = FloorScene::new("++-", "");
    first.scene = first.scene.first();
    assert!(codes(&first.judge()).contains(&Code::FloorFailed));
}

#[test]
fn what_is_missed_fails_when_asking_again_confirms_it() {
    for (again, verdict, code) in [
        ("+++", Verdict::Pass, Code::FloorUnsteady),
        ("-++", Verdict::Pass, Code::FloorUnsteady),
        ("-+-", Verdict::Fail, Code::FloorFailed),
        ("---", Verdict::Fail, Code::FloorFailed),
    ] {
        let judgement = FloorScene::new("+-+", again).judge();
        assert_eq!(
            (judgement.verdict, codes(&judgement)),
            (verdict, vec![code])
        );
        let wrong = again.matches('-').count() as u32;
        assert_eq!(
            (judgement.missed[0].asked, judgement.missed[0].wrong),
            (3, wrong)
        );
    }
    // Each case by itself: four wrong answers are two of one, or one of one and three of another.
    let judgement = FloorScene::new("-+-", "-++---").judge();
    let fails: Vec<bool> = judgement.missed.iter().map(|missed| missed.fails).collect();
    assert_eq!(fails, [false, true]);
    assert_eq!(codes(&judgement), [Code::FloorFailed, Code::FloorUnsteady]);
}

#[test]
fn a_floor_that_is_missing_or_another_is_invalid() {
    type Fault = fn(&mut FloorScene);
    let faults: [(Fault, Code); 8] = [
        (|s| s.scene.policy = policy(POLICY), Code::NoFloorRule),
        (|s| s.report.subject = adapter("old"), Code::FloorMissing),
        (|s| s.suite = suite(3), Code::FloorMissing),
        (|s| drop(s.report.cases.pop()), Code::CasesDiffer),
        (
            |s| s.report.cases[1].correct = true,
            Code::ReportInconsistent,
        ),
        (
            |s| s.report = answered(&s.suite, "+-?"),
            Code::TooManyErrors,
        ),
        (
            // Two answers to each case are not what the policy asks for.
            |s| {
                let twice = s.suite.again(&s.report.missed(), 2).unwrap();
                s.again = Some(answered(&twice, "++"));
            },
            Code::FloorMissing,
        ),
        (
            // The case that was asked again is not the one that was missed.
            |s| {
                let other = s.suite.again(&["INC-0"].into(), 3).unwrap();
                s.again = Some(answered(&other, "+++"));
            },
            Code::SuiteDiffers,
        ),
    ];
    for (index, (fault, code)) in faults.into_iter().enumerate() {
        let mut scene = FloorScene::new("+-+", "+++");
        fault(&mut scene);
        let judgement = scene.judge();
        assert_eq!(judgement.verdict, Verdict::Invalid, "{index}");
        assert!(
            codes(&judgement).contains(&code),
            "{index}: {:?}",
            judgement.reasons
        );
    }
    let mut scene = Scene::new(2000, 10, 10);
    scene.policy = policy(&format!(
        "{POLICY}floor: {{confirm: {{repeats: 5, fail_if: 1}}}}\n"
    ));
    assert_eq!(codes(&scene.judge()), [Code::FloorMissing]);
}

#[test]
fn evidence_about_a_floor_is_judged_again_from_the_stored_answers() {
    let scene = FloorScene::new("+-+", "--+");
    let stored = stored(&scene.scene);
    scene.suite.store(&stored.store).unwrap();
    let arms = Arms {
        floor: Some(FloorArm {
            report: scene.report.store(&stored.store).unwrap(),
            again: Some(scene.again.as_ref().unwrap().store(&stored.store).unwrap()),
        }),
        ..Arms::new(stored.candidate.clone(), stored.baselines.clone())
    };
    let (id, evidence) = check(&stored.store, &scene.scene.policy, &arms).unwrap();
    assert_eq!(evidence.verdict, Verdict::Fail);
    assert_eq!(recheck(&stored.store, &id).unwrap(), evidence);
    let told = missed_cases(&stored.store, &evidence).unwrap();
    assert_eq!(
        (told[0].text.as_str(), told[0].candidate.as_str()),
        ("incident 1", "no")
    );
    // Whoever leaves the floor out of the evidence, or says that it was passed, is not believed.
    let forgeries: [fn(&mut Evidence); 3] = [
        |evidence| evidence.floor = None,
        |evidence| evidence.floor.as_mut().unwrap().missed.clear(),
        |evidence| evidence.floor.as_mut().unwrap().again = None,
    ];
    for forge in forgeries {
        let mut forged = evidence.clone();
        forge(&mut forged);
        forged.verdict = Verdict::Pass;
        forged.reasons.clear();
        let id = forged.store(&stored.store).unwrap();
        let refused = recheck(&stored.store, &id).unwrap_err();
        assert!(matches!(refused, GateError::Disagrees { .. }), "{refused}");
        assert!(PassedGate::load(&stored.store, &id).is_err());
    }
    // A policy that does not ask for a floor, and one that asks for a floor that is not there, decide nothing.
    let silent = check(&stored.store, &policy(POLICY), &arms).unwrap_err();
    assert!(matches!(silent, GateError::NoFloorRule { cases: 3 }) && silent.is_usage());
    let without = Arms {
        floor: None,
        ..arms
    };
    let none = check(&stored.store, &scene.scene.policy, &without).unwrap_err();
    assert!(matches!(none, GateError::NoFloor) && none.is_usage());
}
