//! `retune eval import`.

use std::path::PathBuf;

use clap::ValueEnum;
use retune::eval::Subject;
use retune::eval::import::{self, Choice, Imported, Results};
use retune::lifecycle;
use retune::name::SuiteName;
use retune::reference::ModelRef;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;
use crate::view::eval::Evaluated;
use crate::view::eval_import::Written;

const EXAMPLES: &str = "\
Examples:
  retune eval import promptfoo promptfooconfig.yaml --out suites/support
  retune eval import promptfoo results.json --arm openai:gpt-4.1 --name support
  retune eval import lm-eval samples_gsm8k_2026-11-23T09-30-00.jsonl --filter strict-match \\
      --model support@20261123-3f9a
  retune eval import inspect logs/2026-11-23_triage.eval --model support:production
  retune eval import openai-evals evallog.jsonl
  retune eval import table scores.csv --arm new --metric exact_match --name support

Cases (promptfoo's tests, OpenAI evals' {\"input\", \"ideal\"}) become a suite.yaml with its JSONL,
to be asked and graded by `retune eval`. Results of a run become a report of what answered there:
the scores are taken as they stand, and the gate says so. Two of them can be compared when tool,
terms of scoring and cases are the same.

A report is about a version only with --model, which says that the log's model is that version.
Otherwise it is about the name in the log, and nothing is ever promoted on it.

Exit codes: 0 done, 2 something cannot be taken over, 13 the report is no evidence: more than one
case in 200 has an error, a case has no score, or several models answered.";

/// Take over cases, or the results of a run, from another tool.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Whose files these are
    #[arg(value_name = "TOOL", value_enum)]
    tool: Tool,
    /// The file; of lm-eval also the `results_*.json` of the samples, where it is not beside them
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// What to call the suite [default: as the file calls it]
    #[arg(long, value_name = "NAME")]
    name: Option<SuiteName>,
    /// The folder to write imported cases to; there must be nothing in it [default: the suite's name]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// What promptfoo's tests are filled into, where their file does not say it: a text, or file://PATH
    #[arg(long, value_name = "TEXT")]
    prompt: Option<String>,
    /// The version that the log's model is
    #[arg(long, value_name = "REF", conflicts_with = "subject")]
    model: Option<ModelRef>,
    /// What to call what answered, where that is no registered version [default: as the log calls it]
    #[arg(long, value_name = "NAME")]
    subject: Option<String>,
    /// Whose results, where a file has several: an arm of a table, a provider of promptfoo
    #[arg(long, value_name = "NAME")]
    arm: Option<String>,
    /// The metric that says whether a case is right, where there are several
    #[arg(long, value_name = "METRIC")]
    metric: Option<String>,
    /// The filter of answers that counts, where lm-eval used several
    #[arg(long, value_name = "FILTER")]
    filter: Option<String>,
    /// Say what would be written or recorded
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Tool {
    /// promptfoo: a configuration, tests (YAML, JSON, JSONL, CSV), or the JSON of results
    Promptfoo,
    /// lm-evaluation-harness: `samples_*.jsonl`
    LmEval,
    /// Inspect: a log in JSON, or `.eval`
    Inspect,
    /// OpenAI evals: {"input", "ideal"} lines, or a log of events
    OpenaiEvals,
    /// A table: id,arm,metric,score, and where known cluster, repeat, latency_ms, cost_usd, error,
    /// input, expected, output (CSV or JSONL)
    Table,
}

impl From<Tool> for import::Tool {
    fn from(tool: Tool) -> Self {
        match tool {
            Tool::Promptfoo => Self::Promptfoo,
            Tool::LmEval => Self::LmEval,
            Tool::Inspect => Self::Inspect,
            Tool::OpenaiEvals => Self::OpenaiEvals,
            Tool::Table => Self::Table,
        }
    }
}

pub(crate) fn run(args: &Args, session: &Session<'_>) -> Result<Exit, Failure> {
    let choice = Choice {
        arm: args.arm.clone(),
        metric: args.metric.clone(),
        filter: args.filter.clone(),
        prompt: args.prompt.clone(),
    };
    let imported = import::read(args.tool.into(), &args.files, &choice)?;
    args.check(matches!(imported, Imported::Cases(_)))?;
    match imported {
        Imported::Cases(cases) => {
            let name = args.name(cases.name())?;
            let folder = args.out.clone().unwrap_or_else(|| name.as_str().into());
            let suite = cases.write(&name, &folder, args.dry_run)?;
            session
                .ui
                .emit(&Written::new(&suite, &folder, args.dry_run));
            Ok(Exit::Done)
        }
        Imported::Results(results) => record(args, &results, session),
    }
}

fn record(args: &Args, results: &Results, session: &Session<'_>) -> Result<Exit, Failure> {
    let workspace = session.workspace(args.dry_run)?;
    let named = |model: &String| Subject::Named {
        model: model.clone(),
        revision: None,
    };
    let subject = match &args.model {
        Some(reference) => {
            let version = workspace.tenant_of(reference)?.resolve(reference)?;
            Some(lifecycle::subject_of(&version))
        }
        None => args
            .subject
            .as_ref()
            .map(named)
            .or_else(|| results.subject()),
    };
    let subject = subject.ok_or_else(|| {
        Failure::usage("the file does not say what answered")
            .hint("say --model REF for a registered version, or --subject NAME")
    })?;
    for note in results.notes() {
        session.ui.say(&format!("note: {note}"));
    }
    let name = args.name(results.name())?;
    let (suite, evaluation) = lifecycle::import_results(&workspace, results, name, subject)?;
    Ok(super::told(
        session,
        &Evaluated::imported(&suite, evaluation, args.dry_run),
    ))
}

impl Args {
    fn name(&self, found: Option<SuiteName>) -> Result<SuiteName, Failure> {
        let name = self.name.clone().or(found);
        name.ok_or_else(|| Failure::usage("the file does not name the suite: say --name NAME"))
    }

    /// Options that mean nothing for what the file holds are slips.
    fn check(&self, cases: bool) -> Result<(), Failure> {
        let promptfoo = self.tool == Tool::Promptfoo;
        let given = [
            ("--out", self.out.is_some(), cases),
            ("--prompt", self.prompt.is_some(), cases && promptfoo),
            ("--model", self.model.is_some(), !cases),
            ("--subject", self.subject.is_some(), !cases),
            ("--metric", self.metric.is_some(), !cases),
            (
                "--arm",
                self.arm.is_some(),
                !cases && (promptfoo || self.tool == Tool::Table),
            ),
            ("--filter", self.filter.is_some(), self.tool == Tool::LmEval),
        ];
        let what = if cases { "cases" } else { "results" };
        match given.into_iter().find(|(_, there, read)| *there && !read) {
            Some((option, ..)) => Err(Failure::usage(format!(
                "{option} means nothing here: {} has {what}",
                self.files[0].display()
            ))),
            None => Ok(()),
        }
    }
}
