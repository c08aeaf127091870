//! Views of the gate.

use std::io::{self, Write};

use anstyle::Style;
use retune::document::Decimal;
use retune::gate::{
    Comparison, Criterion, Evidence, EvidenceId, FloorResult, Judged as Arm, Kind, Occasion, Odds,
    Plan, PlannedCriterion, PlannedSlices, Policy, Promise, Rule, Severity, SliceResult, Trust,
    Verdict, Waiver,
};
use retune::progress::grouped;
use serde::Serialize;

use crate::ui::{BAD, BOLD, DIM, DOUBT, GOOD, View, styled};

/// How far the evidence can be relied on.
#[derive(Serialize)]
struct State {
    /// Whether it is in the registry.
    recorded: bool,
    /// Whether it was judged again from the stored bytes, with the same result.
    confirmed: bool,
}

/// A verdict and what it rests on.
#[derive(Serialize)]
pub(crate) struct Judged {
    pub(super) evidence: EvidenceId,
    #[serde(flatten)]
    state: State,
    /// The coverage of the intervals, in percent.
    #[serde(skip)]
    pub(super) coverage: f64,
    /// The waiver that holds now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) waiver: Option<Waiver>,
    #[serde(flatten)]
    pub(super) content: Evidence,
}

impl Judged {
    /// Fresh from `gate check`.
    pub(crate) fn new(
        id: EvidenceId,
        content: Evidence,
        policy: &Policy,
        waiver: Option<Waiver>,
        dry_run: bool,
    ) -> Self {
        Self {
            state: State {
                recorded: !dry_run,
                confirmed: false,
            },
            ..Self::shown(id, content, policy, waiver)
        }
    }

    /// As recorded before, and confirmed.
    pub(crate) fn shown(
        evidence: EvidenceId,
        content: Evidence,
        policy: &Policy,
        waiver: Option<Waiver>,
    ) -> Self {
        let occasion = Occasion {
            look: content.look,
            decision: content.decision,
        };
        // A policy that was judged by has an alpha for its own occasion.
        let design = policy.design_for(occasion);
        let alpha = design.map_or(policy.design().alpha.get(), |design| design.alpha.get());
        Self {
            evidence,
            state: State {
                recorded: true,
                confirmed: true,
            },
            coverage: 100.0 * (1.0 - 2.0 * alpha),
            waiver,
            content,
        }
    }

    /// What was judged.
    pub(crate) fn evidence(&self) -> &Evidence {
        &self.content
    }

    /// What a comparison compares with, as people call it.
    pub(super) fn against(&self, comparison: &Comparison) -> String {
        let mut arms = self.content.anchor.iter().filter(|_| comparison.anchor);
        let mut baselines = self.content.baselines.iter();
        let arm = arms
            .next()
            .or_else(|| baselines.find(|arm| arm.subject == comparison.baseline));
        arm.map_or_else(|| comparison.baseline.to_string(), name)
    }

    /// A criterion's name, with the slice or anchor that it is about.
    pub(super) fn title(comparison: &Comparison) -> String {
        match (&comparison.slice, comparison.anchor) {
            (Some(slice), _) => format!("{} on {slice}", comparison.criterion),
            (None, true) => format!("{} against the anchor", comparison.criterion),
            (None, false) => comparison.criterion.clone(),
        }
    }

    /// What a comparison asks, in words.
    pub(super) fn asks(&self, comparison: &Comparison) -> String {
        let limit = comparison.margin.map_or(0.0, Decimal::get);
        let words = rule(comparison.kind, comparison.rule, limit);
        let asks = match comparison.rule {
            Rule::Absolute | Rule::MustPass | Rule::Report => words,
            _ => format!("{words} {}", self.against(comparison)),
        };
        match &comparison.judge {
            Some(judge) => format!("{asks}, by a judge of kappa {:.2}", judge.kappa.get()),
            None => asks,
        }
    }

    fn compared(&self, comparison: &Comparison, out: &mut dyn Write) -> io::Result<()> {
        let numbers = &comparison.numbers;
        let optional = match comparison.severity {
            Severity::Block => "",
            Severity::Warn | Severity::Info => " (does not decide)",
        };
        writeln!(
            out,
            "\n  {}  {}{optional}: {}",
            verdict(comparison.verdict),
            Self::title(comparison),
            self.asks(comparison)
        )?;
        if let Some(levels) = levels(comparison) {
            writeln!(out, "    {levels}")?;
        }
        writeln!(out, "    {}", self.interval(comparison))?;
        if let Some(judge) = &comparison.judge {
            writeln!(out, "    judge       {}", trusted(judge))?;
        }
        writeln!(
            out,
            "    cases       {} improved, {} regressed, {} the same",
            grouped(numbers.improved),
            grouped(numbers.regressed),
            grouped(numbers.n - numbers.improved - numbers.regressed)
        )
    }

    /// The estimate and its interval in one line.
    fn interval(&self, comparison: &Comparison) -> String {
        let numbers = &comparison.numbers;
        let scale = Scale::of(comparison);
        let head = match scale {
            Scale::Points => "difference  ",
            Scale::Share => "share       ",
            Scale::Score => "difference  ",
            Scale::Ratio => "ratio       ",
        };
        let mut text = format!(
            "{head}{}, {} % interval {} to {}",
            scale.long(numbers.difference.get()),
            trimmed(self.coverage),
            scale.short(numbers.lower.get()),
            scale.short(numbers.upper.get())
        );
        if let Some(effect) = numbers.design_effect {
            text.push_str(&format!(", design effect {:.2}", effect.get()));
        }
        text
    }

    /// The floor, where it was judged.
    pub(super) fn floor(&self) -> Option<&FloorResult> {
        let judged = self.content.verdict != Verdict::Invalid;
        self.content.floor.as_ref().filter(|_| judged)
    }

    fn floored(&self, out: &mut dyn Write) -> io::Result<()> {
        let Some(floor) = self.floor() else {
            return Ok(());
        };
        writeln!(out, "\n  floor       {}", passed(floor))
    }

    fn sliced(&self, out: &mut dyn Write) -> io::Result<()> {
        let slices = &self.content.slices;
        if slices.is_empty() {
            return Ok(());
        }
        let count = |of: &dyn Fn(&SliceResult) -> bool| slices.iter().filter(|s| of(s)).count();
        let harmed = count(&|slice| slice.harmed);
        let untested = count(&|slice| slice.harm_p.is_none());
        writeln!(
            out,
            "\n  slices      {} tested, {harmed} harmed, {untested} too small to test",
            slices.len() - untested
        )
    }
}

/// How many cases of a floor were passed, in words.
pub(super) fn passed(floor: &FloorResult) -> String {
    let failed = floor.missed.iter().filter(|missed| missed.fails).count() as u64;
    let unsteady = floor.missed.len() as u64 - failed;
    let mut text = format!("{} cases, {} failed", grouped(floor.cases), grouped(failed));
    if unsteady > 0 {
        text.push_str(&format!(
            ", {} passed only when asked again",
            grouped(unsteady)
        ));
    }
    text
}

/// How the numbers of a comparison are written.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Scale {
    /// Differences of shares, in points.
    Points,
    /// A share, in percent.
    Share,
    /// Differences of scores.
    Score,
    /// Ratios.
    Ratio,
}

impl Scale {
    pub(super) fn of(comparison: &Comparison) -> Self {
        match (comparison.kind, comparison.rule) {
            (Kind::Binary, Rule::Absolute | Rule::MustPass) => Self::Share,
            (Kind::Binary, _) => Self::Points,
            (Kind::Graded { .. }, _) => Self::Score,
            (Kind::Quantile { .. } | Kind::Mean, _) => Self::Ratio,
        }
    }

    pub(super) fn short(self, value: f64) -> String {
        match self {
            Self::Points => signed(value),
            Self::Share => format!("{:.1}", 100.0 * value),
            Self::Score => format!("{value:+.3}").replace('-', "−"),
            Self::Ratio => format!("{value:.3}"),
        }
    }

    pub(super) fn long(self, value: f64) -> String {
        match self {
            Self::Points => points(value),
            Self::Share => format!("{:.1} %", 100.0 * value),
            Self::Score | Self::Ratio => self.short(value),
        }
    }

    /// Where neither arm is better, on scales that have such a place.
    pub(super) fn equal(self) -> Option<f64> {
        match self {
            Self::Points | Self::Score => Some(0.0),
            Self::Ratio => Some(1.0),
            Self::Share => None,
        }
    }
}

/// What a judge's verdicts are worth.
fn trusted(judge: &Trust) -> String {
    format!(
        "kappa {:.2} on {} calibration cases, sensitivity {:.2}, specificity {:.2}; shows {:.2} of a difference at least",
        judge.kappa.get(),
        grouped(judge.n),
        judge.sensitivity.get(),
        judge.specificity.get(),
        judge.factor.get()
    )
}

/// How both arms do, where that is known.
pub(super) fn levels(comparison: &Comparison) -> Option<String> {
    let numbers = &comparison.numbers;
    let share = |right: u64| 100.0 * right as f64 / numbers.n as f64;
    match (numbers.baseline_right, numbers.candidate_right) {
        (Some(before), Some(after)) => Some(format!(
            "accuracy    {:.1} % → {:.1} %",
            share(before),
            share(after)
        )),
        _ => {
            let (before, after) = (numbers.baseline_mean?, numbers.candidate_mean?);
            Some(format!(
                "mean        {:.4} → {:.4}",
                before.get(),
                after.get()
            ))
        }
    }
}

/// 90, or 99.5: no zeros that say nothing.
fn trimmed(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

impl View for Judged {
    const SCHEMA: &'static str = "retune.gate-verdict/1";

    fn human(&self, out: &mut dyn Write) -> io::Result<()> {
        let content = &self.content;
        let baselines: Vec<String> = content.baselines.iter().map(name).collect();
        writeln!(
            out,
            "{}  {} against {}",
            match self.waiver {
                Some(_) => format!("{} {}", styled(DOUBT, "WAIVED"), verdict(content.verdict)),
                None => verdict(content.verdict),
            },
            styled(BOLD, name(&content.candidate)),
            baselines.join(" and ")
        )?;
        for comparison in &content.comparisons {
            self.compared(comparison, out)?;
        }
        self.sliced(out)?;
        self.floored(out)?;
        if !content.reasons.is_empty() {
            writeln!(out)?;
        }
        for reason in &content.reasons {
            let head = match reason.code.verdict() {
                Some(because) => styled(style(because), "because"),
                None => styled(DOUBT, "note"),
            };
            writeln!(out, "  {head} {}", reason.text)?;
        }
        let kept = match &self.state {
            State {
                recorded: false, ..
            } => " (not recorded)",
            State {
                confirmed: true, ..
            } => " (judged again: it agrees)",
            _ => "",
        };
        if let Some(waiver) = &self.waiver {
            let by: Vec<String> = waiver.approvers.iter().map(ToString::to_string).collect();
            let approved = match by.is_empty() {
                true => String::new(),
                false => format!(", approved by {}", by.join(" and ")),
            };
            let head = styled(DOUBT, "waived");
            let (actor, expires) = (&waiver.actor, waiver.expires);
            writeln!(
                out,
                "  {head} by {actor}{approved} until {expires}: {}",
                waiver.reason
            )?;
        }
        writeln!(out, "\n  suite     {}", content.suite)?;
        writeln!(out, "  policy    {}", content.policy)?;
        writeln!(out, "  evidence  {}{}", self.evidence, styled(DIM, kept))
    }
}

pub(super) fn name(arm: &Arm) -> String {
    arm.label.clone().unwrap_or_else(|| arm.subject.to_string())
}

fn verdict(verdict: Verdict) -> String {
    styled(style(verdict), verdict)
}

fn style(verdict: Verdict) -> Style {
    match verdict {
        Verdict::Pass => GOOD,
        Verdict::Inconclusive => DOUBT,
        Verdict::Fail | Verdict::Invalid => BAD,
    }
}

/// A rule in words that go before the baseline's name, where it has one.
fn rule(kind: Kind, rule: Rule, limit: f64) -> String {
    let percent = |ratio: f64| format!("{} %", trimmed(100.0 * (ratio - 1.0)));
    match (kind, rule) {
        (_, Rule::MustPass) => "right on every case".to_owned(),
        (_, Rule::Report) => "shown, not judged".to_owned(),
        (_, Rule::Absolute) => format!("right on at least {} %", trimmed(100.0 * limit)),
        (Kind::Quantile { q }, _) => format!(
            "{} % quantile less than {} above that of",
            trimmed(100.0 * q.get()),
            percent(limit)
        ),
        (Kind::Mean, _) => format!("mean less than {} above that of", percent(limit)),
        (Kind::Graded { .. }, Rule::Superior) => format!("more than {limit} better than"),
        (Kind::Graded { .. }, _) => format!("less than {limit} worse than"),
        (Kind::Binary, Rule::Superior) if limit == 0.0 => "better than".to_owned(),
        (Kind::Binary, Rule::Superior) => format!("more than {} better than", size(limit)),
        (Kind::Binary, _) => format!("less than {} worse than", size(limit)),
    }
}

/// A share as a size in points: `2 points`.
fn size(share: f64) -> String {
    let text = format!("{:.2}", 100.0 * share);
    let text = text.trim_end_matches('0').trim_end_matches('.');
    match text {
        "1" => "1 point".to_owned(),
        _ => format!("{text} points"),
    }
}

fn signed(share: f64) -> String {
    let text = format!("{:+.1}", 100.0 * share);
    match text.as_str() {
        "-0.0" | "+0.0" => "0.0".to_owned(),
        _ => text.replace('-', "−"),
    }
}

fn points(share: f64) -> String {
    format!("{} points", signed(share))
}

/// What a policy can decide.
#[derive(Serialize)]
pub(crate) struct Planned {
    cases: u64,
    discordance: f64,
    /// From how many decisions on the suite the discordance is taken; absent where it is assumed.
    #[serde(skip_serializing_if = "Option::is_none")]
    decisions: Option<usize>,
    alpha: f64,
    power: f64,
    criteria: Vec<Planning>,
    first_version: Option<Planning>,
    #[serde(skip_serializing_if = "Option::is_none")]
    slices: Option<PlanningSlices>,
}

#[derive(Serialize)]
struct PlanningSlices {
    count: usize,
    fewest_cases: u64,
    detect: f64,
    needed_cases: u64,
}

impl From<&PlannedSlices> for PlanningSlices {
    fn from(of: &PlannedSlices) -> Self {
        Self {
            count: of.count,
            fewest_cases: of.fewest,
            detect: of.detect,
            needed_cases: of.enough,
        }
    }
}

#[derive(Serialize)]
struct Planning {
    #[serde(flatten)]
    criterion: Criterion,
    against: String,
    reachable: bool,
    minimum_cases: u64,
    needed_cases: Option<u64>,
    pass_when_equal: Option<f64>,
    pass_at_boundary: Option<f64>,
    fail_when_equal: Option<f64>,
    resolves: Option<f64>,
    #[serde(skip)]
    odds: Option<Odds>,
}

impl Planned {
    pub(crate) fn new(policy: &Policy, plan: &Plan, decisions: Option<usize>) -> Self {
        let design = policy.design();
        let version =
            |of: &PlannedCriterion| Planning::new(of, "the version before".to_owned(), plan.cases);
        let untrained = policy.first_version().map_or_else(String::new, |rule| {
            let kinds: Vec<String> = rule.against.iter().map(ToString::to_string).collect();
            kinds.join(" and ")
        });
        Self {
            cases: plan.cases,
            discordance: design.discordance.get(),
            decisions,
            alpha: plan.alpha,
            power: design.power.get(),
            criteria: plan.criteria.iter().map(version).collect(),
            first_version: plan
                .first_version
                .as_ref()
                .map(|of| Planning::new(of, untrained, plan.cases)),
            slices: plan.slices.as_ref().map(PlanningSlices::from),
        }
    }

    /// Whether every blocking criterion can be met.
    pub(crate) fn reachable(&self) -> bool {
        self.criteria
            .iter()
            .chain(&self.first_version)
            .all(|of| of.reachable || of.criterion.severity != Severity::Block)
    }
}

impl Planning {
    fn new(of: &PlannedCriterion, against: String, cases: u64) -> Self {
        Self {
            criterion: of.criterion.clone(),
            against,
            reachable: cases >= of.minimum_cases,
            minimum_cases: of.minimum_cases,
            needed_cases: of.odds.and_then(|odds| odds.needed_cases),
            pass_when_equal: of.odds.map(|odds| odds.pass_when_equal),
            pass_at_boundary: of.odds.map(|odds| odds.pass_at_boundary),
            fail_when_equal: of.odds.map(|odds| odds.fail_when_equal),
            resolves: of.odds.and_then(|odds| odds.resolves),
            odds: of.odds,
        }
    }

    fn human(&self, power: f64, out: &mut dyn Write) -> io::Result<()> {
        let limit = self.criterion.margin.map_or(0.0, Decimal::get);
        let mut words = rule(self.criterion.kind, self.criterion.rule, limit);
        if !matches!(
            self.criterion.rule,
            Rule::Absolute | Rule::MustPass | Rule::Report
        ) {
            words = format!("{words} {}", self.against);
        }
        writeln!(out, "\n  {}: {words}", styled(BOLD, &self.criterion.id))?;
        if !self.reachable {
            let needs = format!("needs at least {} cases", self.minimum_cases);
            return writeln!(out, "    {}: it {needs}", styled(BAD, "cannot be met"));
        }
        let Some(odds) = self.odds else {
            let least = grouped(self.minimum_cases);
            return writeln!(out, "    can be met            from {least} cases on");
        };
        let percent = |share: f64| format!("{:.1} %", 100.0 * share);
        let resolves = match self.resolves {
            Some(share) => size(share),
            None => "none".to_owned(),
        };
        let wanted = format!("{:.0} %", 100.0 * power);
        match self.criterion.rule {
            Rule::Noninferior | Rule::Absolute | Rule::MustPass | Rule::Report => {
                let needed = match self.needed_cases {
                    Some(needed) => format!("{wanted} from {} cases on", grouped(needed)),
                    None => format!("{wanted} only beyond a million cases"),
                };
                writeln!(
                    out,
                    "    equally good       passes {}; {needed}",
                    percent(odds.pass_when_equal)
                )?;
                writeln!(
                    out,
                    "    equally good       fails {}",
                    percent(odds.fail_when_equal)
                )?;
                writeln!(
                    out,
                    "    a margin worse     passes {}",
                    percent(odds.pass_at_boundary)
                )?;
                writeln!(out, "    smallest margin    {resolves} for {wanted}")
            }
            Rule::Superior => {
                writeln!(
                    out,
                    "    no better          passes {}",
                    percent(odds.pass_when_equal)
                )?;
                writeln!(
                    out,
                    "    exactly at margin  passes {}",
                    percent(odds.pass_at_boundary)
                )?;
                writeln!(out, "    smallest true gain {resolves} for {wanted}")
            }
        }
    }
}

impl View for Planned {
    const SCHEMA: &'static str = "retune.gate-plan/1";

    fn human(&self, out: &mut dyn Write) -> io::Result<()> {
        let cases = styled(BOLD, format!("{} cases", grouped(self.cases)));
        let discordance = 100.0 * self.discordance;
        let seen = match self.decisions {
            None => String::new(),
            Some(1) => ", as in the last decision".to_owned(),
            Some(decisions) => format!(", as in the last {decisions} decisions"),
        };
        writeln!(
            out,
            "{cases}, where the arms differ on {} % of them{seen}",
            trimmed(discordance)
        )?;
        self.criteria
            .iter()
            .chain(&self.first_version)
            .try_for_each(|criterion| criterion.human(self.power, out))?;
        if let Some(slices) = &self.slices {
            writeln!(out, "\n  {}: {}", styled(BOLD, "slices"), slices.count)?;
            writeln!(
                out,
                "    harm can show      from {} cases of a slice on",
                slices.fewest_cases
            )?;
            writeln!(
                out,
                "    a drop of {}  shows with {:.0} % from {} cases on",
                size(slices.detect),
                100.0 * self.power,
                slices.needed_cases
            )?;
        }
        Ok(())
    }
}

/// What `gate waive` did.
#[derive(Serialize)]
pub(crate) struct Waived {
    recorded: bool,
    model: String,
    waiver: Waiver,
}

impl Waived {
    pub(crate) fn new(model: String, waiver: Waiver, dry_run: bool) -> Self {
        Self {
            recorded: !dry_run,
            model,
            waiver,
        }
    }
}

impl View for Waived {
    const SCHEMA: &'static str = "retune.gate-waiver/1";

    fn human(&self, out: &mut dyn Write) -> io::Result<()> {
        let (waiver, would) = (&self.waiver, if self.recorded { "" } else { "would be " });
        writeln!(
            out,
            "{would}{}  {} of {}",
            styled(DOUBT, "WAIVED"),
            verdict(waiver.verdict),
            styled(BOLD, &self.model)
        )?;
        writeln!(out, "  by        {}", waiver.actor)?;
        for approver in &waiver.approvers {
            writeln!(out, "  approved  {approver}")?;
        }
        writeln!(out, "  because   {}", waiver.reason)?;
        writeln!(out, "  until     {}", waiver.expires)?;
        writeln!(out, "  evidence  {}", waiver.evidence)
    }
}

/// What `gate selftest` found.
#[derive(Serialize)]
pub(crate) struct Tested {
    kept: bool,
    promises: Vec<Promise>,
}

impl From<Vec<Promise>> for Tested {
    fn from(promises: Vec<Promise>) -> Self {
        Self {
            kept: promises.iter().all(|promise| promise.kept),
            promises,
        }
    }
}

impl Tested {
    /// Whether every promise is kept.
    pub(crate) fn kept(&self) -> bool {
        self.kept
    }
}

impl View for Tested {
    const SCHEMA: &'static str = "retune.gate-selftest/1";

    fn human(&self, out: &mut dyn Write) -> io::Result<()> {
        let row = |promise: &Promise| {
            let sign = if promise.at_most { "≤" } else { "≥" };
            let how = match promise.repetitions {
                0 => "exact".to_owned(),
                n => format!("{} runs", grouped(n)),
            };
            [
                if promise.kept { "kept" } else { "BROKEN" }.to_owned(),
                promise.goal.to_owned(),
                format!("{sign} {}", promise.bound),
                format!("{:.4}", promise.found),
                format!("{:.4}", promise.tolerance),
                how,
            ]
        };
        let rows: Vec<_> = self.promises.iter().map(row).collect();
        let heading = ["", "PROMISE", "BOUND", "FOUND", "TOLERANCE", "HOW"];
        super::table::table(out, heading, &rows)
    }
}
