//! `--report KIND --output FILE` of the gate's commands.

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use retune::eval::{Located, Suite};
use retune::fsio;
use retune::gate::{self, Policy, Verdict};
use retune::lifecycle::Workspace;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::ui;
use crate::view::gate::Judged;
use crate::view::gate_report::{self, Lines, Page};

/// A verdict as a file, besides what is printed.
#[derive(Debug, clap::Args)]
pub(crate) struct ReportArgs {
    /// Also write the verdict as a file of this kind
    #[arg(long, value_enum, value_name = "KIND", requires = "output")]
    report: Option<ReportKind>,
    /// Where to write it
    #[arg(long, value_name = "FILE", requires = "report")]
    output: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ReportKind {
    /// What `--format json` prints
    Json,
    /// JUnit XML: one test case per criterion and slice
    Junit,
    /// SARIF 2.1.0: one result per regressed case, at its line
    Sarif,
    /// Markdown for a pull-request comment or a step summary
    Markdown,
    /// One HTML page that needs nothing else
    Html,
}

impl ReportArgs {
    /// Writes the report that was asked for, whole or not at all.
    pub(super) fn write(
        &self,
        judged: &Judged,
        policy: &Policy,
        workspace: &Workspace<'_>,
        suite: Option<&Path>,
    ) -> Result<(), Failure> {
        let (Some(kind), Some(output)) = (self.report, &self.output) else {
            return Ok(());
        };
        let located = suite.map(Suite::locate).transpose()?;
        let page = Page {
            judged,
            // Whoever sees which cases of a shared suite failed can tune to them, so its reports have counts only.
            changed: match policy.design().reuse {
                Some(_) => None,
                None => Some(gate::changed(&workspace.store, judged.evidence())?),
            },
            missed: match judged.evidence().verdict {
                Verdict::Invalid => Vec::new(),
                _ => gate::missed_cases(&workspace.store, judged.evidence())?,
            },
            floor_lines: located.as_ref().and_then(|located| {
                let floor = located.floor.as_ref()?;
                Some(lines(floor, workspace))
            }),
            lines: located.as_ref().map(|located| lines(located, workspace)),
        };
        let text = match kind {
            ReportKind::Json => ui::document(judged),
            ReportKind::Junit => Ok(gate_report::junit(&page)),
            ReportKind::Sarif => gate_report::sarif(&page),
            ReportKind::Markdown => Ok(gate_report::markdown(&page)),
            ReportKind::Html => gate_report::html(&page),
        };
        let text = text.map_err(|why| Failure::new(Exit::Failed, why))?;
        Ok(fsio::write_atomic(output, text.as_bytes())?)
    }
}

/// Where the cases stand, as paths from the project's directory where they are inside it.
fn lines(located: &Located, workspace: &Workspace<'_>) -> Lines {
    let absolute = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let (root, cases) = (absolute(&workspace.root), absolute(&located.file));
    let inside = cases.strip_prefix(&root).map(Path::to_owned);
    Lines {
        file: inside.unwrap_or(cases),
        of: located.lines.clone(),
    }
}
