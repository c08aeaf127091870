//! Token ids and a mask.

use std::ops::Range;

use super::conversation::{self, Part, Passage};
use super::fault::RowFault;
use crate::base::chat::ChatTemplate;
use crate::base::{Piece, Tokenizer, TokenizerConfig, TokenizerError};
use crate::dataset::Example;
use crate::train::job::{TrainOn, TrainOnEos};

/// The tokens of one row.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Sequence {
    /// Their ids.
    pub(crate) ids: Vec<u32>,
    /// Which of them are learned, each from those before it; never the first.
    pub(crate) learned: Vec<bool>,
    /// Whether the row begins with exactly one BOS.
    pub(crate) begun: bool,
    /// Whether the last thing learned is an end.
    pub(crate) ended: bool,
    /// Whether given and learned text were encoded apart, because a token would have spanned their border.
    pub(crate) parted: bool,
}

/// How rows become tokens.
pub(crate) struct Encoder<'a> {
    pub(crate) tokenizer: &'a Tokenizer,
    /// For conversations.
    pub(crate) template: Option<&'a ChatTemplate>,
    /// What is learned; never `Completion` of conversations, nor `Assistant` of other rows.
    pub(crate) train_on: TrainOn,
    /// Which ends are learned.
    pub(crate) train_on_eos: TrainOnEos,
    /// What begins every text.
    pub(crate) bos: Bos,
    /// What ends a completion or a text.
    pub(crate) eos: u32,
}

/// The rule for the token that begins a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Bos {
    /// The token, if the model has one of its own.
    pub(crate) id: Option<u32>,
    /// Whether it is put before texts that have no template.
    pub(crate) before_plain: bool,
    /// Whether it is put before conversations whose template does not.
    pub(crate) before_chat: bool,
    /// Whether a conversation without it is a fault.
    pub(crate) demanded: bool,
}

impl Bos {
    /// The rule of a tokenizer, or what is `asked` instead; `None` when a BOS is asked for and there is none.
    pub(crate) fn of(
        tokenizer: &Tokenizer,
        names: &TokenizerConfig,
        eos: u32,
        asked: Option<bool>,
    ) -> Result<Option<Self>, TokenizerError> {
        let leading = tokenizer.leading()?;
        let named = names
            .token("bos_token")
            .and_then(|token| tokenizer.id(token));
        let bos = named.or(leading);
        if asked == Some(true) && bos.is_none() {
            return Ok(None);
        }
        let by_tokenizer = leading.is_some() && leading == bos || names.add_bos == Some(true);
        Ok(Some(Self {
            // Some models have one token for both ends; then its number says nothing.
            id: bos.filter(|bos| *bos != eos),
            before_plain: asked.unwrap_or(by_tokenizer),
            before_chat: asked == Some(true),
            demanded: asked.unwrap_or(by_tokenizer),
        }))
    }
}

impl Encoder<'_> {
    /// The tokens of a row that is not a classified text.
    pub(crate) fn sequence(&self, example: &Example) -> Result<Sequence, RowFault> {
        let sequence = match (example, self.template) {
            (Example::Messages { messages, .. }, Some(template)) => {
                let passage = conversation::passage(template, messages, self.train_on)?;
                self.chat(&passage)?
            }
            _ => self.plain(&plain(example, self.train_on))?,
        };
        match sequence.learned.contains(&true) {
            true => Ok(sequence),
            false => Err(RowFault::NoTarget),
        }
    }

    /// A text without a template, between BOS and EOS.
    fn plain(&self, passage: &Passage) -> Result<Sequence, RowFault> {
        let (mut pieces, parted) = self.pieces(passage)?;
        let end = passage.text.len();
        // Some people write the token at the end of every text.
        if pieces.last().is_none_or(|piece| piece.id != self.eos) {
            pieces.push(Piece {
                id: self.eos,
                start: end,
                end,
            });
        }
        let mut learned = mask(&pieces, &passage.parts);
        let learns_end = self.train_on_eos != TrainOnEos::None;
        if let Some(last) = learned.last_mut() {
            *last = learns_end;
        }
        self.begin(pieces, learned, self.bos.before_plain, parted, learns_end)
    }

    /// A conversation. What follows the token that ends a turn is layout, and not learned.
    fn chat(&self, passage: &Passage) -> Result<Sequence, RowFault> {
        let (pieces, parted) = self.pieces(passage)?;
        let mut learned = mask(&pieces, &passage.parts);
        let mut ends = Vec::new();
        for part in &passage.parts {
            let Some(turn) = part.turn else { continue };
            match self.end_of(&pieces, &part.range, &passage.text) {
                Some(end) => {
                    ends.push(end);
                    for (piece, learned) in pieces.iter().zip(&mut learned).skip(end + 1) {
                        *learned &= piece.start >= part.range.end;
                    }
                }
                None if self.train_on_eos == TrainOnEos::None => {}
                None => return Err(RowFault::NoEnd { turn }),
            }
        }
        if self.train_on == TrainOn::All {
            ends = (0..pieces.len())
                .filter(|index| pieces[*index].id == self.eos)
                .collect();
        }
        self.learn_ends(&pieces, &ends, &mut learned);
        let ended = ends.last().is_some_and(|end| learned[*end]);
        self.begin(pieces, learned, self.bos.before_chat, parted, ended)
    }

    fn learn_ends(&self, pieces: &[Piece], ends: &[usize], learned: &mut [bool]) {
        match self.train_on_eos {
            TrainOnEos::Turn => {}
            TrainOnEos::None => ends.iter().for_each(|end| learned[*end] = false),
            TrainOnEos::Last => {
                let others = ends.split_last().map_or(&[][..], |(_, others)| others);
                others.iter().for_each(|end| learned[*end] = false);
            }
            TrainOnEos::All => {
                let is_end = |piece: &Piece| {
                    piece.id == self.eos || ends.iter().any(|end| pieces[*end].id == piece.id)
                };
                for (piece, learned) in pieces.iter().zip(learned) {
                    *learned |= is_end(piece);
                }
            }
        }
    }

    /// The token that ends a turn: the last special one in it, with nothing but blanks behind.
    pub(super) fn end_of(
        &self,
        pieces: &[Piece],
        turn: &Range<usize>,
        text: &str,
    ) -> Option<usize> {
        let last = pieces.iter().rposition(|piece| {
            piece.start >= turn.start
                && piece.end <= turn.end
                && (piece.id == self.eos || self.tokenizer.is_special(piece.id))
        })?;
        let rest = text.get(pieces[last].end..turn.end)?;
        rest.trim().is_empty().then_some(last)
    }

    /// Puts the BOS where the rule wants it, and counts.
    pub(super) fn begin(
        &self,
        pieces: Vec<Piece>,
        mut learned: Vec<bool>,
        wanted: bool,
        parted: bool,
        ended: bool,
    ) -> Result<Sequence, RowFault> {
        let mut ids: Vec<u32> = pieces.iter().map(|piece| piece.id).collect();
        let mut begun = false;
        if let Some(bos) = self.bos.id {
            if wanted && ids.first() != Some(&bos) {
                ids.insert(0, bos);
                learned.insert(0, false);
            }
            let found = ids.iter().filter(|id| **id == bos).count();
            begun = found == 1 && ids.first() == Some(&bos);
            if found > 1 || found == 0 && self.bos.demanded {
                return Err(RowFault::Bos { found });
            }
        }
        if let Some(first) = learned.first_mut() {
            *first = false;
        }
        Ok(Sequence {
            ids,
            learned,
            begun,
            ended,
            parted,
        })
    }

    /// The tokens of a text, none of which is both given and learned.
    ///
    /// A prompt is encoded alone when the model is used. Where a token would span its border, so is it here.
    fn pieces(&self, passage: &Passage) -> Result<(Vec<Piece>, bool), RowFault> {
        let text = passage.text.as_str();
        let whole = self.tokenizer.pieces(text)?;
        let mut borders: Vec<usize> = passage
            .parts
            .iter()
            .flat_map(|part| [part.range.start, part.range.end])
            .filter(|border| {
                whole
                    .iter()
                    .any(|piece| piece.start < *border && *border < piece.end)
            })
            .collect();
        let Some(first) = borders.first().copied() else {
            return Ok((whole, false));
        };
        borders.push(text.len());
        let mut apart = Vec::new();
        let mut start = 0;
        for border in borders {
            let pieces = self.tokenizer.pieces(&text[start..border])?;
            apart.extend(pieces.into_iter().map(|piece| Piece {
                start: piece.start + start,
                end: piece.end + start,
                ..piece
            }));
            start = border;
        }
        let decoded = |pieces: &[Piece]| {
            let ids: Vec<u32> = pieces.iter().map(|piece| piece.id).collect();
            self.tokenizer.decode(&ids)
        };
        if decoded(&apart)? == decoded(&whole)? {
            return Ok((apart, true));
        }
        let before: String = text[..first].chars().rev().take(12).collect();
        Err(RowFault::Border {
            before: before.chars().rev().collect(),
            after: text[first..].chars().take(12).collect(),
        })
    }
}

fn mask(pieces: &[Piece], parts: &[Part]) -> Vec<bool> {
    let learned = |piece: &Piece| {
        parts
            .iter()
            .any(|part| piece.start >= part.range.start && piece.end <= part.range.end)
    };
    pieces.iter().map(learned).collect()
}

/// The text of a row without a template.
fn plain(example: &Example, train_on: TrainOn) -> Passage {
    let (given, learned) = match example {
        Example::Completion {
            prompt, completion, ..
        } => (prompt.as_str(), completion.as_str()),
        Example::Text { text, .. } => ("", text.as_str()),
        // Never asked for: these have templates, or are not for language models.
        Example::Messages { .. } | Example::Classification { .. } => ("", ""),
    };
    let text = format!("{given}{learned}");
    let start = match train_on {
        TrainOn::All => 0,
        _ => given.len(),
    };
    Passage {
        parts: vec![Part {
            range: start..text.len(),
            turn: None,
        }],
        text,
    }
}
