//! One HTML page that needs nothing else: no script, no font, no request.

use minijinja::{AutoEscape, Environment, UndefinedBehavior};
use retune::gate::{Change, Changed, Comparison, MissedCase, Severity, SliceResult, Verdict};
use retune::progress::grouped;
use serde::Serialize;

use super::super::gate::{Judged, Scale, levels, name, passed};
use super::Page;

const TEMPLATE: &str = include_str!("../../../../../templates/gate-report.html");

/// How many cases are shown each way.
const SHOWN: usize = 200;

/// The page.
pub(crate) fn html(page: &Page<'_>) -> Result<String, String> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    environment.set_trim_blocks(true);
    environment.set_lstrip_blocks(true);
    environment
        .render_str(TEMPLATE, Content::of(page))
        .map_err(|error| error.to_string())
}

/// What the template shows.
#[derive(Serialize)]
struct Content {
    word: String,
    tone: &'static str,
    candidate: String,
    baselines: String,
    waiver: Option<Waived>,
    because: Vec<String>,
    notes: Vec<String>,
    criteria: Vec<Shown>,
    slices: Vec<Slice>,
    slices_tested: usize,
    slices_untested: usize,
    floor: Option<Floor>,
    sealed: bool,
    sides: Vec<Side>,
    sources: Vec<(&'static str, String)>,
    coverage: String,
    tool: String,
}

#[derive(Serialize)]
struct Waived {
    verdict: String,
    by: String,
    approvers: String,
    until: String,
    reason: String,
}

#[derive(Serialize)]
struct Shown {
    title: String,
    asks: String,
    verdict: String,
    tone: &'static str,
    decides: bool,
    levels: Option<String>,
    estimate: String,
    lower: String,
    upper: String,
    boundary: String,
    counts: String,
    effect: Option<String>,
    picture: Picture,
}

/// Places on the interval's picture, in percent of its width.
#[derive(Serialize)]
struct Picture {
    lower: f64,
    upper: f64,
    estimate: f64,
    boundary: f64,
    equal: Option<f64>,
    good_from: f64,
    good_to: f64,
    boundary_anchor: &'static str,
    equal_anchor: &'static str,
    equal_label: &'static str,
}

#[derive(Serialize)]
struct Slice {
    name: String,
    criterion: String,
    n: String,
    improved: u64,
    regressed: u64,
    improved_width: f64,
    regressed_width: f64,
    p: String,
    verdict: &'static str,
    tone: &'static str,
}

#[derive(Serialize)]
struct Floor {
    passed: String,
    cases: Vec<FloorCase>,
    more: Option<String>,
}

#[derive(Serialize)]
struct FloorCase {
    verdict: &'static str,
    tone: &'static str,
    again: Option<String>,
    #[serde(flatten)]
    case: MissedCase,
}

#[derive(Serialize)]
struct Side {
    title: &'static str,
    tone: &'static str,
    count: String,
    more: Option<String>,
    cases: Vec<Changed>,
}

impl Content {
    fn of(page: &Page<'_>) -> Self {
        let judged = page.judged;
        let content = &judged.content;
        let texts = |of: bool| -> Vec<String> {
            let reasons = content.reasons.iter();
            reasons
                .filter(|reason| reason.code.verdict().is_some() == of)
                .map(|reason| reason.text.clone())
                .collect()
        };
        let untested = content.slices.iter().filter(|s| s.harm_p.is_none()).count();
        Self {
            word: page.word(),
            tone: match judged.waiver {
                Some(_) => "doubt",
                None => tone(content.verdict),
            },
            candidate: page.candidate(),
            baselines: page.baselines(),
            waiver: judged.waiver.as_ref().map(|waiver| {
                let names: Vec<String> = waiver.approvers.iter().map(ToString::to_string).collect();
                Waived {
                    verdict: waiver.verdict.to_string(),
                    by: waiver.actor.to_string(),
                    approvers: names.join(", "),
                    until: waiver.expires.to_string(),
                    reason: waiver.reason.clone(),
                }
            }),
            because: texts(true),
            notes: texts(false),
            criteria: content
                .comparisons
                .iter()
                .map(|c| shown(judged, c))
                .collect(),
            slices: slices(&content.slices),
            slices_tested: content.slices.len() - untested,
            slices_untested: untested,
            floor: floor(page),
            sealed: page.changed.is_none(),
            sides: sides(page),
            sources: sources(judged),
            coverage: format!("{:.1}", judged.coverage)
                .trim_end_matches(".0")
                .to_owned(),
            tool: content.tool.clone(),
        }
    }
}

fn tone(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "good",
        Verdict::Inconclusive => "doubt",
        Verdict::Fail | Verdict::Invalid => "bad",
    }
}

fn shown(judged: &Judged, comparison: &Comparison) -> Shown {
    let numbers = &comparison.numbers;
    let scale = Scale::of(comparison);
    let same = numbers.n - numbers.improved - numbers.regressed;
    Shown {
        title: Judged::title(comparison),
        asks: judged.asks(comparison),
        verdict: comparison.verdict.to_string(),
        tone: tone(comparison.verdict),
        decides: comparison.severity == Severity::Block,
        levels: levels(comparison)
            .map(|text| text.split_whitespace().collect::<Vec<_>>().join(" ")),
        estimate: scale.long(numbers.difference.get()),
        lower: scale.short(numbers.lower.get()),
        upper: scale.short(numbers.upper.get()),
        boundary: scale.short(numbers.boundary.get()),
        counts: format!(
            "{} improved, {} regressed, {} the same",
            grouped(numbers.improved),
            grouped(numbers.regressed),
            grouped(same)
        ),
        effect: numbers
            .design_effect
            .map(|effect| format!("{:.2}", effect.get())),
        picture: picture(comparison, scale),
    }
}

/// Lays the interval, the boundary and equality out between 6 and 94 percent.
fn picture(comparison: &Comparison, scale: Scale) -> Picture {
    let numbers = &comparison.numbers;
    let (lower, upper) = (numbers.lower.get(), numbers.upper.get());
    let boundary = numbers.boundary.get();
    let equal = scale.equal();
    let marks = [lower, upper, boundary, numbers.difference.get()];
    let marks = marks.into_iter().chain(equal);
    let (low, high) = marks.fold((f64::MAX, f64::MIN), |(low, high), x| {
        (low.min(x), high.max(x))
    });
    let span = (high - low).max(1e-9);
    let at = |x: f64| {
        let place = 6.0 + 88.0 * (x - low) / span;
        (place * 100.0).round() / 100.0
    };
    let good_is_below = scale == Scale::Ratio;
    let (good_from, good_to) = match good_is_below {
        true => (0.0, at(boundary)),
        false => (at(boundary), 100.0),
    };
    let anchor = |place: f64| match place {
        place if place < 25.0 => "start",
        place if place > 75.0 => "end",
        _ => "middle",
    };
    let equal_place = equal.map(at);
    Picture {
        lower: at(lower),
        upper: at(upper),
        estimate: at(numbers.difference.get()),
        boundary: at(boundary),
        equal: equal_place.filter(|place| (place - at(boundary)).abs() > 0.5),
        good_from,
        good_to,
        boundary_anchor: anchor(at(boundary)),
        equal_anchor: anchor(equal_place.unwrap_or(50.0)),
        equal_label: "equal",
    }
}

/// Harmed ones first, then by how much more regressed than improved.
fn slices(results: &[SliceResult]) -> Vec<Slice> {
    let mut sorted: Vec<&SliceResult> = results.iter().collect();
    let share = |count: u64, slice: &SliceResult| 100.0 * count as f64 / slice.n.max(1) as f64;
    let net = |slice: &SliceResult| share(slice.regressed, slice) - share(slice.improved, slice);
    sorted.sort_by(|a, b| {
        let harmed = b.harmed.cmp(&a.harmed);
        harmed.then(net(b).total_cmp(&net(a)))
    });
    let most = sorted
        .iter()
        .map(|slice| share(slice.regressed.max(slice.improved), slice))
        .fold(1.0, f64::max);
    let width = |count, slice| (1000.0 * share(count, slice) / most).round() / 10.0;
    sorted
        .into_iter()
        .map(|slice| Slice {
            name: slice.slice.clone(),
            criterion: slice.criterion.clone(),
            n: grouped(slice.n),
            improved: slice.improved,
            regressed: slice.regressed,
            improved_width: width(slice.improved, slice),
            regressed_width: width(slice.regressed, slice),
            p: match slice.adjusted_p {
                // Zeros alone would say that it is impossible.
                Some(p) if p.get() < 0.0005 => "< 0.001".to_owned(),
                Some(p) => format!("{:.3}", p.get()),
                None => "–".to_owned(),
            },
            verdict: match (slice.harmed, slice.harm_p) {
                (true, _) => "harmed",
                (false, Some(_)) => "no harm shown",
                (false, None) => "too small to test",
            },
            tone: match (slice.harmed, slice.harm_p) {
                (true, _) => "bad",
                (false, Some(_)) => "good",
                (false, None) => "dim",
            },
        })
        .collect()
}

fn floor(page: &Page<'_>) -> Option<Floor> {
    let floor = page.judged.floor()?;
    let shown = page.missed.iter().take(SHOWN);
    let of = |case: &MissedCase| FloorCase {
        verdict: match case.missed.fails {
            true => "fails",
            false => "passed when asked again",
        },
        tone: match case.missed.fails {
            true => "bad",
            false => "doubt",
        },
        again: (case.missed.asked > 0).then(|| {
            let (asked, wrong) = (case.missed.asked, case.missed.wrong);
            format!("{wrong} of {asked} answers wrong")
        }),
        case: case.clone(),
    };
    Some(Floor {
        passed: passed(floor),
        cases: shown.map(of).collect(),
        more: (page.missed.len() > SHOWN).then(|| grouped((page.missed.len() - SHOWN) as u64)),
    })
}

fn sides(page: &Page<'_>) -> Vec<Side> {
    let side = |title, tone, change| {
        let all = page.cases(change);
        Side {
            title,
            tone,
            count: grouped(all.len() as u64),
            more: (all.len() > SHOWN).then(|| grouped((all.len() - SHOWN) as u64)),
            cases: all.into_iter().take(SHOWN).cloned().collect(),
        }
    };
    vec![
        side("Regressed", "bad", Change::Regressed),
        side("Improved", "good", Change::Improved),
    ]
}

/// Everything that the verdict was computed from, by digest.
fn sources(judged: &Judged) -> Vec<(&'static str, String)> {
    let content = &judged.content;
    let mut rows = vec![
        ("evidence", judged.evidence.to_string()),
        ("policy", content.policy.to_string()),
        ("suite", content.suite.to_string()),
        (
            "report of the candidate",
            content.candidate.report.to_string(),
        ),
    ];
    for arm in &content.baselines {
        rows.push((
            "report of a baseline",
            format!("{} ({})", arm.report, name(arm)),
        ));
    }
    if let Some(arm) = &content.anchor {
        rows.push((
            "report of the anchor",
            format!("{} ({})", arm.report, name(arm)),
        ));
    }
    if let Some(floor) = &content.floor {
        rows.push(("floor", floor.suite.to_string()));
        rows.push(("report on the floor", floor.report.to_string()));
        if let Some(again) = floor.again {
            rows.push(("report on what was asked again", again.to_string()));
        }
    }
    if let Some(look) = content.look {
        rows.push(("look", look.to_string()));
    }
    if let Some(decision) = content.decision {
        rows.push(("decision on the suite", decision.to_string()));
    }
    rows
}
