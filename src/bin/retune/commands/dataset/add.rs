//! `retune dataset add`.

use std::path::PathBuf;

use retune::dataset::{Columns, Field, Options, SplitName};
use retune::lifecycle::add_dataset;
use retune::name::DatasetName;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;
use crate::view::dataset::Added;

const EXAMPLES: &str = "\
Examples:
  retune dataset add tickets --train train.jsonl --test test.jsonl
  retune dataset add banking77 --train train.csv --test test.csv --label category
  retune dataset add banking77 --train train.csv --label category --shared
  retune dataset add sql --train train.jsonl \\
      --prompt question --completion sql --ignore-extra-columns
  retune dataset add reviews --train aclImdb/train

A row has one of these shapes, the same in all files:
  {\"text\": …, \"label\": …}              classification; CSV needs a header line such as text,label
  {\"text\": …}                          a text to go on like
  {\"prompt\": …, \"completion\": …}
  {\"messages\": [{\"role\": \"user\", \"content\": …}, {\"role\": \"assistant\", \"content\": …}]}
  {\"instruction\": …, \"input\": …, \"output\": …}    Alpaca; input may be missing
  {\"conversations\": [{\"from\": \"human\", \"value\": …}, {\"from\": \"gpt\", \"value\": …}]}  ShareGPT
An \"id\" may stand in each. Texts are taken exactly as they stand; labels lose their outer blanks.
A folder of .txt files is one row per file, without its last line end: text, the folder below that
it lies in as its label (where there are such folders), and its path as id. It is kept as JSONL.
The identity is the bytes of the files: the same bytes again change nothing, under any file name.
A dataset belongs to the project's tenant. Files that another tenant has recorded are refused,
unless both say --shared.

Exit codes: 0 added, or there already; 2 rows are at fault and nothing was added; 14 a file is
another tenant's.";

/// Add JSONL or CSV files, or folders of texts, as a dataset version.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The name it is kept under
    name: DatasetName,
    /// What is learned from: a file or a folder
    #[arg(long, value_name = "PATH")]
    train: PathBuf,
    /// What is looked at while training
    #[arg(long, value_name = "PATH")]
    validation: Option<PathBuf>,
    /// What is kept for the end
    #[arg(long, value_name = "PATH")]
    test: Option<PathBuf>,
    #[command(flatten)]
    columns: ColumnArgs,
    /// Leave columns unread that are no part of a row; otherwise each is an error
    #[arg(long)]
    ignore_extra_columns: bool,
    /// The rows are nobody's in particular: models of every tenant may be trained on them
    #[arg(long)]
    shared: bool,
    /// Check and hash everything, add nothing
    #[arg(long)]
    dry_run: bool,
}

/// Columns of other names.
#[derive(Debug, clap::Args)]
struct ColumnArgs {
    /// The column or key that holds the text
    #[arg(long, value_name = "COLUMN")]
    text: Option<String>,
    /// The column or key that holds the label
    #[arg(long, value_name = "COLUMN")]
    label: Option<String>,
    /// The column or key that holds the prompt
    #[arg(long, value_name = "COLUMN")]
    prompt: Option<String>,
    /// The column or key that holds the completion
    #[arg(long, value_name = "COLUMN")]
    completion: Option<String>,
    /// The key that holds the messages
    #[arg(long, value_name = "COLUMN")]
    messages: Option<String>,
    /// The column or key that holds a row's own id
    #[arg(long, value_name = "COLUMN")]
    id: Option<String>,
}

pub(crate) fn run(args: &Args, session: &Session<'_>) -> Result<Exit, Failure> {
    let options = Options {
        columns: args.columns.parse()?,
        ignore_extra_columns: args.ignore_extra_columns,
        shared: args.shared,
    };
    let files = [
        (SplitName::Train, Some(&args.train)),
        (SplitName::Validation, args.validation.as_ref()),
        (SplitName::Test, args.test.as_ref()),
    ];
    let given = files
        .into_iter()
        .filter_map(|(split, path)| Some((split, path?.clone())));
    let files: Vec<(SplitName, PathBuf)> = given.collect();
    let workspace = session.workspace(args.dry_run)?;
    let added = add_dataset(&workspace, &args.name, &files, &options)?;
    session.ui.emit(&Added::new(&added, args.dry_run));
    Ok(Exit::Done)
}

impl ColumnArgs {
    fn parse(&self) -> Result<Columns, Failure> {
        let chosen = [
            (Field::Text, &self.text),
            (Field::Label, &self.label),
            (Field::Prompt, &self.prompt),
            (Field::Completion, &self.completion),
            (Field::Messages, &self.messages),
            (Field::Id, &self.id),
        ];
        let chosen = chosen
            .into_iter()
            .filter_map(|(field, name)| Some((field, name.clone()?)));
        Columns::new(chosen).map_err(|e| Failure::usage(e.to_string()))
    }
}
