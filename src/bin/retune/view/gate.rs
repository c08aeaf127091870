//! Views of the gate.

use std::io::{self, Write};

use anstyle::Style;
use retune::gate::{
    Comparison, Criterion, Evidence, EvidenceId, Judged as Arm, Plan, PlannedCriterion, Policy,
    Rule, Severity, Verdict,
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
    evidence: EvidenceId,
    #[serde(flatten)]
    state: State,
    /// The coverage of the intervals, in percent.
    #[serde(skip)]
    coverage: f64,
    #[serde(flatten)]
    content: Evidence,
}

impl Judged {
    /// Fresh from `gate check`.
    pub(crate) fn new(id: EvidenceId, content: Evidence, policy: &Policy, dry_run: bool) -> Self {
        Self {
            state: State {
                recorded: !dry_run,
                confirmed: false,
            },
            ..Self::shown(id, content, policy)
        }
    }

    /// As recorded before, and confirmed.
    pub(crate) fn shown(evidence: EvidenceId, content: Evidence, policy: &Policy) -> Self {
        Self {
            evidence,
            state: State {
                recorded: true,
                confirmed: true,
            },
            coverage: 100.0 * (1.0 - 2.0 * policy.design().alpha.get()),
            content,
        }
    }

    fn compared(&self, comparison: &Comparison, out: &mut dyn Write) -> io::Result<()> {
        let numbers = &comparison.numbers;
        let baseline = self
            .content
            .baselines
            .iter()
            .find(|arm| arm.subject == comparison.baseline);
        let against = baseline.map_or_else(|| comparison.baseline.to_string(), name);
        let rule = rule(comparison.rule, comparison.margin.get());
        let optional = match comparison.severity {
            Severity::Block => "",
            Severity::Warn | Severity::Info => " (does not decide)",
        };
        writeln!(
            out,
            "\n  {}  {}{optional}: {rule} {against}",
            verdict(comparison.verdict),
            comparison.criterion
        )?;
        let share = |right: u64| 100.0 * right as f64 / numbers.n as f64;
        writeln!(
            out,
            "    accuracy    {:.1} % → {:.1} %",
            share(numbers.baseline_right),
            share(numbers.candidate_right)
        )?;
        writeln!(
            out,
            "    difference  {}, {:.0} % interval {} to {}",
            points(numbers.difference.get()),
            self.coverage,
            signed(numbers.lower.get()),
            signed(numbers.upper.get())
        )?;
        writeln!(
            out,
            "    cases       {} improved, {} regressed, {} the same",
            grouped(numbers.improved),
            grouped(numbers.regressed),
            grouped(numbers.n - numbers.improved - numbers.regressed)
        )
    }
}

impl View for Judged {
    const SCHEMA: &'static str = "retune.gate-verdict/1";

    fn human(&self, out: &mut dyn Write) -> io::Result<()> {
        let content = &self.content;
        let baselines: Vec<String> = content.baselines.iter().map(name).collect();
        writeln!(
            out,
            "{}  {} against {}",
            verdict(content.verdict),
            styled(BOLD, name(&content.candidate)),
            baselines.join(" and ")
        )?;
        for comparison in &content.comparisons {
            self.compared(comparison, out)?;
        }
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
        writeln!(out, "\n  suite     {}", content.suite)?;
        writeln!(out, "  policy    {}", content.policy)?;
        writeln!(out, "  evidence  {}{}", self.evidence, styled(DIM, kept))
    }
}

fn name(arm: &Arm) -> String {
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

/// A rule in words that go before the baseline's name.
fn rule(rule: Rule, margin: f64) -> String {
    match rule {
        Rule::Noninferior => format!("less than {} worse than", size(margin)),
        Rule::Superior if margin == 0.0 => "better than".to_owned(),
        Rule::Superior => format!("more than {} better than", size(margin)),
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
    alpha: f64,
    power: f64,
    criteria: Vec<Planning>,
    first_version: Option<Planning>,
}

#[derive(Serialize)]
struct Planning {
    #[serde(flatten)]
    criterion: Criterion,
    against: String,
    reachable: bool,
    minimum_cases: u64,
    needed_cases: Option<u64>,
    pass_when_equal: f64,
    pass_at_boundary: f64,
    fail_when_equal: f64,
    resolves: Option<f64>,
}

impl Planned {
    pub(crate) fn new(policy: &Policy, plan: &Plan) -> Self {
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
            alpha: design.alpha.get(),
            power: design.power.get(),
            criteria: plan.criteria.iter().map(version).collect(),
            first_version: plan
                .first_version
                .as_ref()
                .map(|of| Planning::new(of, untrained, plan.cases)),
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
            needed_cases: of.needed_cases,
            pass_when_equal: of.pass_when_equal,
            pass_at_boundary: of.pass_at_boundary,
            fail_when_equal: of.fail_when_equal,
            resolves: of.resolves,
        }
    }

    fn human(&self, power: f64, out: &mut dyn Write) -> io::Result<()> {
        let rule_words = rule(self.criterion.rule, self.criterion.margin.get());
        writeln!(
            out,
            "\n  {}: {rule_words} {}",
            styled(BOLD, &self.criterion.id),
            self.against
        )?;
        if !self.reachable {
            let needs = format!("needs at least {} cases", self.minimum_cases);
            return writeln!(out, "    {}: it {needs}", styled(BAD, "cannot be met"));
        }
        let percent = |share: f64| format!("{:.1} %", 100.0 * share);
        let resolves = match self.resolves {
            Some(share) => size(share),
            None => "none".to_owned(),
        };
        let wanted = format!("{:.0} %", 100.0 * power);
        match self.criterion.rule {
            Rule::Noninferior => {
                let needed = match self.needed_cases {
                    Some(needed) => format!("{wanted} from {} cases on", grouped(needed)),
                    None => format!("{wanted} only beyond a million cases"),
                };
                writeln!(
                    out,
                    "    equally good       passes {}; {needed}",
                    percent(self.pass_when_equal)
                )?;
                writeln!(
                    out,
                    "    equally good       fails {}",
                    percent(self.fail_when_equal)
                )?;
                writeln!(
                    out,
                    "    a margin worse     passes {}",
                    percent(self.pass_at_boundary)
                )?;
                writeln!(out, "    smallest margin    {resolves} for {wanted}")
            }
            Rule::Superior => {
                writeln!(
                    out,
                    "    no better          passes {}",
                    percent(self.pass_when_equal)
                )?;
                writeln!(
                    out,
                    "    exactly at margin  passes {}",
                    percent(self.pass_at_boundary)
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
        writeln!(
            out,
            "{cases}, where the arms differ on {discordance:.0} % of them"
        )?;
        self.criteria
            .iter()
            .chain(&self.first_version)
            .try_for_each(|criterion| criterion.human(self.power, out))
    }
}
