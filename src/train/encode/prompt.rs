//! From what is asked to tokens, when a model answers: as the given part of a training row.

use serde::Deserialize;

use super::fault::RowFault;
use super::sequence::{Bos, Encoder};
use crate::base::chat::ChatTemplate;
use crate::base::{Checkpoint, Piece, Tokenizer, TokenizerConfig};
use crate::dataset::{Message, Role};
use crate::train::TrainError;
use crate::train::job::{TrainOn, TrainOnEos};

/// Turns prompts and conversations into the ids that a language model goes on from.
///
/// A prompt is encoded as it stands, after a BOS token where the tokenizer puts one; a conversation is what its template
/// writes of it, followed by what makes the assistant speak. Training rows begin with the same ids.
pub struct PromptEncoder<'a> {
    encoder: Encoder<'a>,
    ends: Vec<Vec<u32>>,
}

/// What `config.json` says about ends: one id or several.
#[derive(Deserialize)]
struct Ends {
    #[serde(default)]
    eos_token_id: Option<OneOrMany>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(u32),
    Many(Vec<u32>),
}

impl<'a> PromptEncoder<'a> {
    /// For a checkpoint; `add_bos` is what the training job said about BOS tokens, where it said something.
    pub fn new(
        checkpoint: &Checkpoint,
        tokenizer: &'a Tokenizer,
        template: Option<&'a ChatTemplate>,
        add_bos: Option<bool>,
    ) -> Result<Self, TrainError> {
        let names = TokenizerConfig::of(checkpoint)
            .map_err(crate::base::network::NetworkError::Checkpoint)?;
        let eos = names
            .token("eos_token")
            .and_then(|token| tokenizer.id(token))
            .ok_or(TrainError::NoEos)?;
        let bos = Bos::of(tokenizer, &names, eos, add_bos)?.ok_or(TrainError::NoBos)?;
        let encoder = Encoder {
            tokenizer,
            template,
            train_on: TrainOn::All,
            train_on_eos: TrainOnEos::Turn,
            bos,
            eos,
        };
        let mut ends = vec![eos];
        ends.extend(named_ends(&checkpoint.config));
        ends.extend(turn_end(&encoder)?);
        ends.sort_unstable();
        ends.dedup();
        let ends = ends.into_iter().map(|end| vec![end]).collect();
        Ok(Self { encoder, ends })
    }

    /// The ids of a prompt.
    pub fn prompt(&self, text: &str) -> Result<Vec<u32>, RowFault> {
        self.begin(text, self.encoder.bos.before_plain)
    }

    /// The ids of a conversation that the assistant is to go on with; `None` without a template.
    pub fn conversation(&self, messages: &[Message]) -> Result<Option<Vec<u32>>, RowFault> {
        let Some(template) = self.encoder.template else {
            return Ok(None);
        };
        let text = template.render(messages, true)?.text;
        self.begin(&text, self.encoder.bos.before_chat).map(Some)
    }

    /// The tokens that end an answer, each as a sequence of one: the model's own, and what ends a turn of its template.
    pub fn ends(&self) -> &[Vec<u32>] {
        &self.ends
    }

    fn begin(&self, text: &str, wanted: bool) -> Result<Vec<u32>, RowFault> {
        let pieces = self.encoder.tokenizer.pieces(text)?;
        let learned = vec![false; pieces.len()];
        let begun = self.encoder.begin(pieces, learned, wanted, false, false)?;
        Ok(begun.ids)
    }
}

fn named_ends(config: &[u8]) -> Vec<u32> {
    let found = serde_json::from_slice::<Ends>(config).ok();
    match found.and_then(|ends| ends.eos_token_id) {
        Some(OneOrMany::One(id)) => vec![id],
        Some(OneOrMany::Many(ids)) => ids,
        None => Vec::new(),
    }
}

/// The special token that the template writes after what the assistant says, if it writes one.
fn turn_end(encoder: &Encoder<'_>) -> Result<Option<u32>, TrainError> {
    let Some(template) = encoder.template else {
        return Ok(None);
    };
    let said = |role, content: &str| Message {
        role,
        content: content.to_owned(),
    };
    let asked = [said(Role::User, "a")];
    let answered = [said(Role::User, "a"), said(Role::Assistant, "b")];
    let (before, after) = (
        template.render(&asked, true)?.text,
        template.render(&answered, false)?.text,
    );
    if !after.starts_with(&before) {
        return Ok(None);
    }
    let pieces: Vec<Piece> = encoder.tokenizer.pieces(&after)?;
    let end = encoder.end_of(&pieces, &(before.len()..after.len()), &after);
    Ok(end.map(|end| pieces[end].id))
}
