//! Which column of a file is which field of a row.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// A part of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Field {
    /// What is classified.
    Text,
    /// The class.
    Label,
    /// The row's own name.
    Id,
    /// What is given.
    Prompt,
    /// What should follow.
    Completion,
    /// A conversation.
    Messages,
    /// What is asked, in Alpaca's spelling.
    Instruction,
    /// What it is asked about, in Alpaca's spelling.
    Input,
    /// What is answered, in Alpaca's spelling.
    Output,
    /// A conversation in ShareGPT's spelling.
    Conversations,
}

impl Field {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Text,
        Self::Label,
        Self::Id,
        Self::Prompt,
        Self::Completion,
        Self::Messages,
        Self::Instruction,
        Self::Input,
        Self::Output,
        Self::Conversations,
    ];

    /// The column's name unless another was chosen.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Label => "label",
            Self::Id => "id",
            Self::Prompt => "prompt",
            Self::Completion => "completion",
            Self::Messages => "messages",
            Self::Instruction => "instruction",
            Self::Input => "input",
            Self::Output => "output",
            Self::Conversations => "conversations",
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Chosen column names; a field without one is read from the column of its own name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "BTreeMap<Field, String>", into = "BTreeMap<Field, String>")]
pub struct Columns(BTreeMap<Field, String>);

/// A choice of columns that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ColumnsError {
    /// One column for two fields.
    #[error("column {0:?} is chosen for two fields")]
    Twice(String),
    /// A column without a name.
    #[error("the column chosen for {0} has an empty name")]
    Empty(Field),
}

impl Columns {
    /// Reads each given field from the column named beside it.
    ///
    /// A chosen name that is the field's own changes nothing and is dropped, so that it does not change the
    /// dataset's identity either.
    pub fn new(chosen: impl IntoIterator<Item = (Field, String)>) -> Result<Self, ColumnsError> {
        let mut columns = BTreeMap::new();
        for (field, name) in chosen {
            if name.is_empty() {
                return Err(ColumnsError::Empty(field));
            }
            if columns.values().any(|other| *other == name) {
                return Err(ColumnsError::Twice(name));
            }
            columns.insert(field, name);
        }
        columns.retain(|field, name| field.as_str() != name);
        Ok(Self(columns))
    }

    /// Whether every field is read from the column of its own name.
    pub fn is_default(&self) -> bool {
        self.0.is_empty()
    }

    /// The column that holds `field`.
    pub fn name(&self, field: Field) -> &str {
        self.0.get(&field).map_or(field.as_str(), String::as_str)
    }

    /// The field that `column` holds. A chosen name wins over the own name of another field.
    pub fn field(&self, column: &str) -> Option<Field> {
        let chosen = self.0.iter().find(|(_, name)| *name == column);
        chosen.map(|(field, _)| *field).or_else(|| {
            Field::ALL
                .into_iter()
                .find(|field| field.as_str() == column && !self.0.contains_key(field))
        })
    }
}

impl From<Columns> for BTreeMap<Field, String> {
    fn from(columns: Columns) -> Self {
        columns.0
    }
}

impl TryFrom<BTreeMap<Field, String>> for Columns {
    type Error = ColumnsError;

    fn try_from(chosen: BTreeMap<Field, String>) -> Result<Self, Self::Error> {
        Self::new(chosen)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_chosen_column_takes_the_place_of_the_default_one() {
        let columns = Columns::new([(Field::Text, "question".to_owned())]).unwrap();
        assert_eq!(columns.field("question"), Some(Field::Text));
        assert_eq!(columns.field("text"), None);
        assert_eq!(columns.field("label"), Some(Field::Label));
        let swapped = Columns::new([(Field::Text, "label".into()), (Field::Label, "text".into())]);
        assert_eq!(swapped.unwrap().field("text"), Some(Field::Label));
    }

    #[test]
    fn own_names_are_no_choice_and_doubles_are_refused() {
        let own = Columns::new([(Field::Text, "text".to_owned())]).unwrap();
        assert!(own.is_default());
        assert!(Columns::new([(Field::Text, "a".into()), (Field::Label, "a".into())]).is_err());
        assert!(Columns::new([(Field::Text, String::new())]).is_err());
    }
}
