//! `retune model export`.

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use retune::adapter::{Profile, Storage};
use retune::fsio;
use retune::lifecycle::{self, ExportForm};
use retune::reference::ModelRef;
use serde::Deserialize;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;
use crate::view::model::Exported;

const EXAMPLES: &str = "\
Examples:
  retune model export support:production --to adapters/support
  retune model export support@20261123-3f9a --to /srv/adapters/support --for vllm
  retune model export support:production --to models/support --merged --dtype bf16

--for says who will load the adapter. What the server would misread is rewritten where that
changes no number (the scale of rsLoRA, odd ranks, patterns), and refused, with the reason,
where it would.

--merged writes one checkpoint for transformers: base weights with the factors added in f32 or
better, tokenizer and licence beside them. It is read back and compared with base and adapter
before it appears.

A version of which every weight was trained is a whole checkpoint: it is written as it is.

Exit codes: 0 every byte was checked and written, 2 the server or transformers cannot have this
adapter, 10 the version was deprecated and its last day is over, 14 a stored byte is missing or
changed; nothing was written.";

/// Write a version's adapter, or the model merged from it, into a new directory.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// [TENANT/]MODEL:ALIAS, MODEL@VERSION or MODEL@sha256:…
    #[arg(value_name = "REF")]
    reference: ModelRef,
    /// A directory that does not exist yet, or is empty
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    /// Who will load the adapter
    #[arg(long = "for", value_name = "SERVER", default_value = "peft")]
    server: Server,
    /// Write base and adapter as one checkpoint
    #[arg(long, conflicts_with = "server")]
    merged: bool,
    /// How the merged weights are stored; as in the base if not given
    #[arg(long, value_name = "TYPE", requires = "merged")]
    dtype: Option<Dtype>,
    /// Texts to compare the merged model on, one {"text": …} per line; else the first training rows of its dataset
    #[arg(long, value_name = "FILE", requires = "merged")]
    texts: Option<PathBuf>,
    /// Make and check everything, write nothing
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Server {
    /// PEFT: the files as they were trained
    Peft,
    /// vLLM
    Vllm,
    /// SGLang
    Sglang,
    /// llama.cpp, by its convert_lora_to_gguf.py
    Gguf,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Dtype {
    F32,
    Bf16,
    F16,
}

pub(crate) fn run(args: &Args, session: &Session<'_>) -> Result<Exit, Failure> {
    let workspace = session.workspace(args.dry_run)?;
    let tenant = workspace.tenant_of(&args.reference)?;
    let version = tenant.resolve(&args.reference)?;
    let deprecation = tenant.deprecation(&version)?;
    if let Some(over) = deprecation.filter(|deprecation| deprecation.is_over(session.now())) {
        let (until, replacement) = (over.until, over.replacement.version);
        let model = &version.manifest.model;
        let why = format!("{version} could be used until {until}; {replacement} replaces it");
        return Err(Failure::new(Exit::Findings, why).hint(format!(
            "retune model export {model}@{replacement} --to DIR"
        )));
    }
    let texts = args.texts.as_deref().map(read_texts).transpose()?;
    let exported = lifecycle::export(
        &workspace,
        &version,
        args.form(),
        texts.as_deref(),
        &args.to,
    )?;
    session.ui.emit(&Exported::new(
        &version,
        &exported,
        &args.to,
        args.form(),
        args.dry_run,
    ));
    Ok(Exit::Done)
}

impl Args {
    fn form(&self) -> ExportForm {
        if self.merged {
            return ExportForm::Merged(self.dtype.map(|dtype| match dtype {
                Dtype::F32 => Storage::F32,
                Dtype::Bf16 => Storage::Bf16,
                Dtype::F16 => Storage::F16,
            }));
        }
        ExportForm::Adapter(match self.server {
            Server::Peft => Profile::Peft,
            Server::Vllm => Profile::Vllm,
            Server::Sglang => Profile::Sglang,
            Server::Gguf => Profile::Gguf,
        })
    }
}

#[derive(Deserialize)]
struct Line {
    text: String,
}

fn read_texts(path: &Path) -> Result<Vec<String>, Failure> {
    let bytes = fsio::read(path)?;
    let content = String::from_utf8_lossy(&bytes);
    let mut texts = Vec::new();
    for (index, line) in content.lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        let line: Line = serde_json::from_str(line).map_err(|error| {
            let place = format!("{}:{}", path.display(), index + 1);
            Failure::usage(format!("{place}: not an object with a text: {error}"))
        })?;
        texts.push(line.text);
    }
    if texts.is_empty() {
        return Err(Failure::usage(format!("{} holds no text", path.display())));
    }
    Ok(texts)
}
