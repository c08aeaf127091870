//! A folder of texts, and the passages in it that are most like a question.

use std::path::Path;

use bm25::{Embedder, EmbedderBuilder, Scorer, Tokenizer};

use crate::digest::{Digest, Hasher};
use crate::fsio;

/// Passages of a folder of `.txt` and `.md` files: its paragraphs, in the order of names and places.
#[derive(Debug, Clone, PartialEq)]
pub struct Documents {
    digest: Digest,
    passages: Vec<String>,
}

/// Lower-case words of letters and digits. Nothing depends on a language.
#[derive(Default)]
struct Words;

impl Tokenizer for Words {
    fn tokenize(&self, text: &str) -> Vec<String> {
        let words = text.split(|c: char| !c.is_alphanumeric());
        let words = words.filter(|word| !word.is_empty());
        words.map(str::to_lowercase).collect()
    }
}

/// Passages, ready to be asked.
pub(super) struct Index<'d> {
    documents: &'d Documents,
    embedder: Embedder<u64, Words>,
    scorer: Scorer<usize, u64>,
}

impl Documents {
    /// Reads every `.txt` and `.md` below a folder.
    pub(super) fn read(folder: &Path) -> Result<Self, String> {
        let mut texts = Vec::new();
        collect(folder, "", &mut texts)?;
        texts.sort();
        let mut hasher = Hasher::new();
        hasher.update(b"retune.documents/1\n");
        let mut passages = Vec::new();
        for (name, text) in &texts {
            let line = format!("{} {name}\n", Digest::of(text.as_bytes()).hex());
            hasher.update(line.as_bytes());
            let text = text.replace("\r\n", "\n");
            let parts = text.split("\n\n").map(str::trim);
            passages.extend(parts.filter(|part| !part.is_empty()).map(str::to_owned));
        }
        match passages.is_empty() {
            true => Err(format!(
                "no text in a .txt or .md file below {}",
                folder.display()
            )),
            false => Ok(Self {
                digest: hasher.finish(),
                passages,
            }),
        }
    }

    /// The passages, in their order.
    pub fn passages(&self) -> &[String] {
        &self.passages
    }

    /// The digest of all texts and their names.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    pub(super) fn index(&self) -> Index<'_> {
        let words = self
            .passages
            .iter()
            .map(|passage| Words.tokenize(passage).len());
        let mean = words.sum::<usize>() as f32 / self.passages.len().max(1) as f32;
        let embedder: Embedder<u64, Words> = EmbedderBuilder::with_avgdl(mean).build();
        let mut scorer = Scorer::new();
        for (place, passage) in self.passages.iter().enumerate() {
            scorer.upsert(&place, embedder.embed(passage));
        }
        Index {
            documents: self,
            embedder,
            scorer,
        }
    }
}

impl Index<'_> {
    /// The `k` passages that are most like the question, the best first; of equals, the earlier. Fewer where fewer share
    /// a word with it.
    pub(super) fn like(&self, question: &str, k: usize) -> Vec<&str> {
        let mut found = self.scorer.matches(&self.embedder.embed(question));
        found.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.id.cmp(&b.id)));
        let best = found.iter().take(k);
        best.filter_map(|found| self.documents.passages.get(found.id))
            .map(String::as_str)
            .collect()
    }
}

fn collect(folder: &Path, below: &str, texts: &mut Vec<(String, String)>) -> Result<(), String> {
    let told = |error: fsio::FileError| format!("{error}: {}", error.source);
    for path in fsio::list(folder).map_err(told)? {
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
            return Err(format!("the name of {} is not UTF-8", path.display()));
        };
        let name = format!("{below}{name}");
        if path.is_dir() {
            collect(&path, &format!("{name}/"), texts)?;
        } else if name.ends_with(".txt") || name.ends_with(".md") {
            let bytes = fsio::read(&path).map_err(told)?;
            let text = String::from_utf8(bytes).map_err(|_| format!("{name} is not UTF-8"))?;
            texts.push((name, text));
        }
    }
    Ok(())
}
