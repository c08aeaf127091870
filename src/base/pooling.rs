//! How a sequence becomes one vector.

use serde::{Deserialize, Serialize};

/// What stands for a whole sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pooling {
    /// The first token, `[CLS]`; a BERT classifier puts it through the checkpoint's pooler.
    Cls,
    /// The mean of all tokens.
    Mean,
    /// The last token that is not padding, which has seen all others: a decoder's.
    Last,
}
