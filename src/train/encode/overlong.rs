//! Rows with more tokens than `sequence_len`.

use super::sequence::Sequence;
use crate::train::job::OnOverlong;

/// What becomes of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fit {
    /// It is used whole.
    Whole(Sequence),
    /// It is used without some of its tokens.
    Cut(Sequence),
    /// It is not used.
    Out,
}

/// Makes a row fit into `limit` tokens, as the job says.
pub(crate) fn fit(sequence: Sequence, limit: usize, how: OnOverlong) -> Fit {
    if sequence.ids.len() <= limit {
        return Fit::Whole(sequence);
    }
    match how {
        OnOverlong::Error | OnOverlong::Drop => Fit::Out,
        OnOverlong::TruncateRight => cut_right(sequence, limit),
        OnOverlong::TruncatePromptLeft => cut_left(sequence, limit),
    }
}

/// Without its end. What is cut short has no end to learn.
fn cut_right(mut sequence: Sequence, limit: usize) -> Fit {
    sequence.ids.truncate(limit);
    sequence.learned.truncate(limit);
    sequence.ended = false;
    match sequence.learned.contains(&true) {
        true => Fit::Cut(sequence),
        false => Fit::Out,
    }
}

/// Without the beginning of what is given; a BOS stays, and so does everything from the first learned token on.
fn cut_left(mut sequence: Sequence, limit: usize) -> Fit {
    let surplus = sequence.ids.len() - limit;
    let first = usize::from(sequence.begun);
    let given = sequence
        .learned
        .iter()
        .position(|learned| *learned)
        .unwrap_or(0);
    // The first learned token needs one before it to be told from.
    let last = if first == 0 {
        given.saturating_sub(1)
    } else {
        given
    };
    if first + surplus > last {
        return Fit::Out;
    }
    sequence.ids.drain(first..first + surplus);
    sequence.learned.drain(first..first + surplus);
    Fit::Cut(sequence)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sequence(given: usize, learned: usize, begun: bool) -> Sequence {
        Sequence {
            ids: (0..(given + learned) as u32).collect(),
            learned: (0..given + learned).map(|index| index >= given).collect(),
            begun,
            ended: true,
            parted: false,
        }
    }

    fn ids(fit: Fit) -> Vec<u32> {
        match fit {
            Fit::Whole(sequence) | Fit::Cut(sequence) => {
                assert_eq!(sequence.ids.len(), sequence.learned.len());
                sequence.ids
            }
            Fit::Out => Vec::new(),
        }
    }

    #[test]
    fn prompts_lose_their_beginning_and_keep_bos_and_answer() {
        let cut = |given, learned, begun, limit| {
            let how = OnOverlong::TruncatePromptLeft;
            ids(fit(sequence(given, learned, begun), limit, how))
        };
        assert_eq!(cut(4, 2, false, 6), [0, 1, 2, 3, 4, 5]);
        assert_eq!(cut(4, 2, false, 4), [2, 3, 4, 5]);
        assert_eq!(cut(4, 2, true, 4), [0, 3, 4, 5]);
        assert_eq!(cut(4, 2, true, 3), [0, 4, 5]);
        assert_eq!(cut(4, 2, false, 3), [3, 4, 5]);
        // Nothing would be left to tell the answer from.
        assert!(cut(4, 2, true, 2).is_empty());
        assert!(cut(4, 2, false, 2).is_empty());
    }

    #[test]
    fn cut_ends_are_no_ends() {
        let row = sequence(2, 3, false);
        let Fit::Cut(cut) = fit(row.clone(), 4, OnOverlong::TruncateRight) else {
            unreachable!("too long a row is cut");
        };
        assert_eq!((cut.ids, cut.ended), (vec![0, 1, 2, 3], false));
        assert_eq!(fit(row.clone(), 2, OnOverlong::TruncateRight), Fit::Out);
        assert_eq!(fit(row.clone(), 4, OnOverlong::Drop), Fit::Out);
        assert_eq!(fit(row.clone(), 5, OnOverlong::Error), Fit::Whole(row));
    }
}
