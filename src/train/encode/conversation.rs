//! From messages to one text, and where in it the assistant speaks.

use std::ops::Range;

use super::fault::RowFault;
use crate::base::chat::ChatTemplate;
use crate::dataset::{Message, Role};
use crate::train::job::TrainOn;

/// A text, and the parts of it that are learned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Passage {
    pub(super) text: String,
    pub(super) parts: Vec<Part>,
}

/// A part that is learned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    /// Its bytes.
    pub(super) range: Range<usize>,
    /// The message that it is, from 1, where it is one: it ends with what ends a turn.
    pub(super) turn: Option<usize>,
}

/// The text of a conversation and the answers in it that are learned.
pub(super) fn passage(
    template: &ChatTemplate,
    messages: &[Message],
    train_on: TrainOn,
) -> Result<Passage, RowFault> {
    let whole = template.render(messages, false)?;
    let turns: Vec<usize> = (0..messages.len())
        .filter(|turn| messages[*turn].role == Role::Assistant)
        .collect();
    let mut parts = match train_on {
        TrainOn::All => vec![Part {
            range: 0..whole.text.len(),
            turn: None,
        }],
        _ if template.marks_generation() => marked(&turns, whole.generated)?,
        TrainOn::LastAssistant => {
            let last = turns.last().copied();
            let part = |turn| by_prefix(template, messages, &whole.text, turn);
            last.map(part).transpose()?.into_iter().collect()
        }
        TrainOn::Assistant | TrainOn::Completion => turns
            .iter()
            .map(|turn| by_prefix(template, messages, &whole.text, *turn))
            .collect::<Result<_, _>>()?,
    };
    if train_on == TrainOn::LastAssistant {
        parts.drain(..parts.len().saturating_sub(1));
    }
    Ok(Passage {
        text: whole.text,
        parts,
    })
}

/// What the template itself marks: one passage per answer.
fn marked(turns: &[usize], spans: Vec<Range<usize>>) -> Result<Vec<Part>, RowFault> {
    if spans.len() != turns.len() {
        return Err(RowFault::Marks {
            found: spans.len(),
            turns: turns.len(),
        });
    }
    let pairs = turns.iter().zip(spans);
    Ok(pairs
        .map(|(turn, range)| Part {
            range,
            turn: Some(turn + 1),
        })
        .collect())
}

/// What the rendering grows by when the answer follows what makes the assistant speak.
///
/// Each rendering must be the beginning of the next; otherwise what is served is not what was trained.
fn by_prefix(
    template: &ChatTemplate,
    messages: &[Message],
    whole: &str,
    turn: usize,
) -> Result<Part, RowFault> {
    let before = template.render(&messages[..turn], true)?.text;
    let after = match turn + 1 == messages.len() {
        true => whole.to_owned(),
        false => template.render(&messages[..=turn], false)?.text,
    };
    if !after.starts_with(&before) || !whole.starts_with(&after) {
        return Err(RowFault::Unstable { turn: turn + 1 });
    }
    Ok(Part {
        range: before.len()..after.len(),
        turn: Some(turn + 1),
    })
}
