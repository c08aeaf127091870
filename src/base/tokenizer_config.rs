//! `tokenizer_config.json`: the names of special tokens, and chat templates.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Checkpoint, CheckpointError};

/// What `tokenizer_config.json` and `chat_template.jinja` say beside `tokenizer.json`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TokenizerConfig {
    /// Tokens by role, such as `bos_token`: how they are spelled.
    pub tokens: BTreeMap<String, String>,
    /// Whether a BOS token stands before every text, where the file says so.
    pub add_bos: Option<bool>,
    /// Chat templates by name; the only one of most models is `default`.
    pub templates: BTreeMap<String, String>,
}

/// The name of a template that has no other.
const DEFAULT: &str = "default";

impl TokenizerConfig {
    /// Reads the files of a checkpoint. A `chat_template.jinja` wins over `tokenizer_config.json`, as in transformers.
    pub fn of(checkpoint: &Checkpoint) -> Result<Self, CheckpointError> {
        let mut config = match &checkpoint.tokenizer_config {
            Some(bytes) => Self::parse(bytes)?,
            None => Self::default(),
        };
        if let Some(bytes) = &checkpoint.chat_template {
            let text = String::from_utf8(bytes.clone())
                .map_err(|_| fault("chat_template.jinja is not UTF-8"))?;
            config.templates.insert(DEFAULT.to_owned(), text);
        }
        Ok(config)
    }

    /// Reads the bytes of `tokenizer_config.json`.
    pub fn parse(bytes: &[u8]) -> Result<Self, CheckpointError> {
        let file: BTreeMap<String, Value> = serde_json::from_slice(bytes)
            .map_err(|error| fault(&format!("tokenizer_config.json: {error}")))?;
        let token = |(key, value): (&String, &Value)| {
            let text = value.as_str().or_else(|| value.get("content")?.as_str())?;
            key.ends_with("_token")
                .then(|| (key.clone(), text.to_owned()))
        };
        Ok(Self {
            tokens: file.iter().filter_map(token).collect(),
            add_bos: file.get("add_bos_token").and_then(Value::as_bool),
            templates: templates(file.get("chat_template"))?,
        })
    }

    /// How the token with this role is spelled.
    pub fn token(&self, role: &str) -> Option<&str> {
        self.tokens.get(role).map(String::as_str)
    }
}

/// One template, or a list of `{name, template}`.
fn templates(value: Option<&Value>) -> Result<BTreeMap<String, String>, CheckpointError> {
    let named = |item: &Value| {
        let text = |key: &str| Some(item.get(key)?.as_str()?.to_owned());
        Some((text("name")?, text("template")?))
    };
    let found = match value {
        None | Some(Value::Null) => Some(BTreeMap::new()),
        Some(Value::String(text)) => Some(BTreeMap::from([(DEFAULT.to_owned(), text.clone())])),
        Some(Value::Array(items)) => items.iter().map(named).collect(),
        Some(_) => None,
    };
    found.ok_or_else(|| {
        fault("tokenizer_config.json: chat_template is neither a text nor a list of named texts")
    })
}

fn fault(why: &str) -> CheckpointError {
    CheckpointError::Config(why.to_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_texts_or_objects_and_templates_one_or_many() {
        let read = |text: &str| TokenizerConfig::parse(text.as_bytes());
        let config = read(
            r#"{"bos_token": {"content": "<s>", "lstrip": false}, "eos_token": "</s>", "unk_token": null,
                "add_bos_token": true, "chat_template": [{"name": "default", "template": "a"}, {"name": "tool_use", "template": "b"}]}"#,
        )
        .unwrap();
        assert_eq!(config.token("bos_token"), Some("<s>"));
        assert_eq!(config.token("eos_token"), Some("</s>"));
        assert_eq!(config.token("unk_token"), None);
        assert_eq!(config.add_bos, Some(true));
        assert_eq!(config.templates["tool_use"], "b");
        assert_eq!(
            read(r#"{"chat_template": "x"}"#).unwrap().templates["default"],
            "x"
        );
        assert!(read(r#"{"chat_template": 3}"#).is_err());
        assert!(read("[]").is_err());
    }

    #[test]
    fn a_template_file_wins() {
        let checkpoint = Checkpoint {
            config: Vec::new(),
            tokenizer: Vec::new(),
            tokenizer_config: Some(br#"{"chat_template": "old"}"#.to_vec()),
            chat_template: Some(b"new".to_vec()),
            shards: Vec::new(),
        };
        let config = TokenizerConfig::of(&checkpoint).unwrap();
        assert_eq!(config.templates["default"], "new");
    }
}
