//! `retune gate plan`.

use std::collections::BTreeSet;
use std::path::PathBuf;

use retune::eval::Suite;
use retune::gate::{self, Occasion, Policy};
use retune::lifecycle;
use retune::pin::GATE_FILE;

use crate::commands::eval::suites;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;
use crate::view::gate::Planned;

const EXAMPLES: &str = "\
Examples:
  retune gate plan --cases 300
  retune gate plan --suite suite.yaml --policy gate.yaml
  retune gate plan --cases 1500 --format json | jq '.criteria[].needed_cases'

Exit codes: 0 every blocking criterion can be met, 2 one cannot with so few cases.";

/// Say what a policy can decide with so many cases, before anything is measured.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The number of cases
    #[arg(long, value_name = "N", required_unless_present = "suite")]
    cases: Option<u64>,
    /// A suite file or recorded suite, whose cases are counted
    #[arg(long, value_name = "SUITE", conflicts_with = "cases")]
    suite: Option<String>,
    /// How many slices the policy's keys give, where no suite says it [default: 1]
    #[arg(long, value_name = "N", conflicts_with = "suite")]
    slices: Option<usize>,
    /// Plan this of the policy's looks [default: the last]
    #[arg(long, value_name = "N")]
    look: Option<u32>,
    /// Plan this decision on the suite, where the policy shares alpha among them [default: 1]
    #[arg(long, value_name = "N")]
    decision: Option<u32>,
    /// The gate's policy [default: gate.yaml of the project]
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
}

pub(crate) fn run(args: &Args, session: &Session<'_>) -> Result<Exit, Failure> {
    let policy = match &args.policy {
        Some(path) => Policy::read(path)?,
        None => Policy::read(&session.root().join(GATE_FILE))?,
    };
    let (mut policy, mut seen) = (policy, None);
    let (cases, slices) = match &args.suite {
        Some(text) => {
            let workspace = session.workspace(true)?;
            let suite = suites(&workspace, text)?.suite;
            if policy.design().discordance_auto {
                seen = lifecycle::seen_discordance(&workspace, &suite)?;
            }
            (suite.cases().len() as u64, slices(&policy, &suite))
        }
        None => (args.cases.unwrap_or_default(), args.slices.unwrap_or(1)),
    };
    if let Some((discordance, _)) = seen {
        policy = policy.with_discordance(discordance);
    }
    let occasion = Occasion {
        look: args.look,
        decision: args.decision,
    };
    let plan =
        gate::plan(&policy, cases, occasion, slices).map_err(|e| Failure::usage(e.to_string()))?;
    let decisions = seen.map(|(_, decisions)| decisions);
    let planned = Planned::new(&policy, &plan, decisions);
    session.ui.emit(&planned);
    Ok(if planned.reachable() {
        Exit::Done
    } else {
        Exit::Usage
    })
}

/// How many slices the policy's keys give on this suite.
fn slices(policy: &Policy, suite: &Suite) -> usize {
    let keys = policy.slices().map(|slices| slices.by.as_slice());
    let values = |key: &String| -> BTreeSet<_> {
        suite.cases().iter().map(|case| case.value(key)).collect()
    };
    keys.unwrap_or_default()
        .iter()
        .map(|key| values(key).len())
        .sum()
}
