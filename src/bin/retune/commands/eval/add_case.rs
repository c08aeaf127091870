//! `retune eval add-case`.

use std::io::Read;
use std::path::PathBuf;

use retune::eval::{Asked, Incident};
use retune::reference::{ModelRef, Selector};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;
use crate::view::eval_case::Added;

const EXAMPLES: &str = "\
Examples:
  retune eval add-case suite.yaml --ticket INC-88 --failed support:production \\
      --text 'Money back!' --expected refund
  retune eval add-case suite.yaml --ticket INC-88 --failed support@20261123-3f9a --row case.json
  retune eval add-case suite.yaml --ticket INC-91 --failed support:production --row - --dry-run

The case is appended to the suite's floor, the file under `splits: {gate: …, floor: …}`: cases
that every version has to pass, which `eval` asks and `gate check` judges by themselves. They
never count among the cases that versions are compared on: a case that was chosen because the
version in use failed on it would make any other version look better.

Exit codes: 0 it is added, 2 the suite has no floor, or has the case already.";

/// Make an incident a case that every later version has to pass.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The suite file
    #[arg(value_name = "SUITE")]
    suite: PathBuf,
    /// What tells of the incident
    #[arg(long, value_name = "TICKET")]
    ticket: String,
    /// The version that failed
    #[arg(long, value_name = "REF")]
    failed: ModelRef,
    /// What was asked: a text or a prompt
    #[arg(
        long,
        value_name = "TEXT",
        requires = "expected",
        required_unless_present = "row"
    )]
    text: Option<String>,
    /// What is right: the label, or the target of a text
    #[arg(long, value_name = "TEXT", requires = "text")]
    expected: Option<String>,
    /// The whole row as the suite's files have them, in a file or with - on standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["text", "expected"])]
    row: Option<PathBuf>,
    /// The id of the case [default: the row's own, else the ticket]
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// What the text of the case may be used for
    #[arg(long, value_name = "TEXT")]
    license: Option<String>,
    /// Check everything, write nothing
    #[arg(long)]
    dry_run: bool,
}

pub(crate) fn run(args: &Args, session: &Session<'_>) -> Result<Exit, Failure> {
    let workspace = session.workspace(args.dry_run)?;
    let version = workspace.tenant_of(&args.failed)?.resolve(&args.failed)?;
    let failed = ModelRef {
        selector: Selector::Version(version.label),
        ..args.failed.clone()
    };
    let incident = Incident {
        asked: asked(args)?,
        id: args.id.clone(),
        ticket: args.ticket.clone(),
        failed,
        by: workspace.act.by.clone(),
        at: workspace.act.at,
        license: args.license.clone(),
    };
    let lock = workspace.root.join(".retune/floor.lock");
    let added = incident.add(&args.suite, &lock, args.dry_run)?;
    session.ui.emit(&Added::new(&added, args.dry_run));
    Ok(Exit::Done)
}

fn asked(args: &Args) -> Result<Asked, Failure> {
    match (&args.row, &args.text, &args.expected) {
        (Some(path), ..) => Ok(Asked::Row(read(path)?)),
        (None, Some(text), Some(expected)) => Ok(Asked::Text {
            text: text.clone(),
            expected: expected.clone(),
        }),
        _ => Err(Failure::usage(
            "what was asked? say --text and --expected, or --row",
        )),
    }
}

fn read(path: &PathBuf) -> Result<String, Failure> {
    let told = |error: std::io::Error| {
        Failure::usage(format!("cannot read the row {}: {error}", path.display()))
    };
    if path.as_os_str() == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map_err(told)?;
        return Ok(text);
    }
    std::fs::read_to_string(path).map_err(told)
}
