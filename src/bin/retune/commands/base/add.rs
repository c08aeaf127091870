//! `retune base add`.

use std::path::PathBuf;

use retune::base::Source;
use retune::lifecycle::add_base;
use retune::name::BaseName;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;
use crate::view::base::Added;

const EXAMPLES: &str = "\
Examples:
  retune base add minilm models/all-MiniLM-L6-v2
  retune base add minilm models/all-MiniLM-L6-v2 \\
    --source sentence-transformers/all-MiniLM-L6-v2 \\
    --revision c9745ed1d9f207416be6d2e6f8de32d1f16199bf

Taken are config.json, tokenizer.json, model.safetensors or an index with all its shards, and,
where they are there, tokenizer_config.json, special_tokens_map.json, vocab.txt,
generation_config.json, chat_template.jinja, sentence_bert_config.json, 1_Pooling/config.json,
README.md, LICENSE and NOTICE. Everything else is left and named. The identity is the tree of
these files, wherever they came from. Links are followed to regular files, as the Hugging Face
cache has them.

Exit codes: 0 added, or there already; 2 the folder is not a whole checkpoint and nothing was
added.";

/// Add a Hugging Face checkpoint folder.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The name it is kept under
    name: BaseName,
    /// The folder
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// The repository on the Hugging Face Hub that it was downloaded from
    #[arg(long, value_name = "ORG/NAME", requires = "revision")]
    source: Option<String>,
    /// The commit of that repository, 40 hexadecimal digits
    #[arg(long, value_name = "HEX", requires = "source")]
    revision: Option<String>,
    /// Check and hash everything, add nothing
    #[arg(long)]
    dry_run: bool,
}

pub(crate) fn run(args: &Args, session: &Session<'_>) -> Result<Exit, Failure> {
    let source = match (&args.source, &args.revision) {
        (Some(repo), Some(revision)) => {
            Some(Source::new(repo, revision).map_err(|e| Failure::usage(e.to_string()))?)
        }
        _ => None,
    };
    let workspace = session.workspace(args.dry_run)?;
    let added = add_base(&workspace, &args.name, &args.dir, source)?;
    session.ui.emit(&Added::new(&added, args.dry_run));
    Ok(Exit::Done)
}
