//! What is asked of an endpoint, and what its replies mean. No network here.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::answered::Said;
use super::declared::Api;
use crate::dataset::Message;
use crate::digest::Hasher;
use crate::eval::generation::Settings;
use crate::eval::suite::Case;

/// How much of a complaint is told.
const TOLD: usize = 200;

/// The body of a request.
pub(super) fn body(
    api: Api,
    model: &str,
    case: &Case,
    repeat: u32,
    settings: &Settings,
    extra: &Map<String, Value>,
) -> Value {
    let mut body = Map::new();
    body.insert("model".to_owned(), json!(model));
    match api {
        Api::Chat if case.messages.is_empty() => {
            let only = json!([{"role": "user", "content": case.text}]);
            body.insert("messages".to_owned(), only);
        }
        Api::Chat => {
            body.insert("messages".to_owned(), json!(case.messages));
        }
        Api::Completions => {
            body.insert("prompt".to_owned(), json!(case.text));
        }
    }
    body.insert("max_tokens".to_owned(), json!(settings.max_tokens));
    body.insert("temperature".to_owned(), json!(settings.temperature.get()));
    if let Some(p) = settings.top_p {
        body.insert("top_p".to_owned(), json!(p.get()));
    }
    if let Some(k) = settings.top_k {
        body.insert("top_k".to_owned(), json!(k));
    }
    if settings.temperature.get() > 0.0 {
        body.insert("seed".to_owned(), json!(seed(settings.seed, case, repeat)));
    }
    if !settings.stop.is_empty() {
        body.insert("stop".to_owned(), json!(settings.stop));
    }
    for (name, value) in extra {
        match value {
            Value::Null => body.remove(name),
            value => body.insert(name.clone(), value.clone()),
        };
    }
    Value::Object(body)
}

/// A seed of 31 bits that depends on the suite's seed, the case and the repeat alone.
fn seed(seed: u64, case: &Case, repeat: u32) -> u32 {
    let mut hasher = Hasher::new();
    hasher.update(b"retune.request-seed/1\n");
    hasher.update(&seed.to_le_bytes());
    hasher.update(&repeat.to_le_bytes());
    hasher.update(case.id.as_bytes());
    let digest = hasher.finish();
    let first = digest.as_bytes().first_chunk::<4>();
    first.map_or(0, |bytes| u32::from_le_bytes(*bytes) >> 1)
}

#[derive(Deserialize)]
struct RawReply {
    model: Option<String>,
    #[serde(default)]
    choices: Vec<RawChoice>,
    usage: Option<RawUsage>,
}

#[derive(Deserialize)]
struct RawChoice {
    text: Option<String>,
    message: Option<RawMessage>,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct RawMessage {
    content: Option<String>,
    refusal: Option<String>,
}

#[derive(Deserialize)]
struct RawUsage {
    prompt_tokens: Option<u64>,
    completion_tokens: Option<u64>,
}

/// What a reply says; an error when it is none.
pub(super) fn reply(text: &str, settings: &Settings) -> Result<Said, String> {
    let raw: RawReply = serde_json::from_str(text)
        .map_err(|error| format!("the reply is not understood: {error}"))?;
    let Some(choice) = raw.choices.into_iter().next() else {
        return Err(format!("the reply has no choice: {}", told(text)));
    };
    let refusal = choice
        .message
        .as_ref()
        .and_then(|said| said.refusal.clone());
    let said = choice.text.or(choice.message.and_then(|said| said.content));
    let usage = raw.usage;
    let mut answer = Said {
        model: raw.model,
        prompt_tokens: usage.as_ref().and_then(|usage| usage.prompt_tokens),
        output_tokens: usage.and_then(|usage| usage.completion_tokens),
        ..Said::default()
    };
    match said {
        None => {
            let why = refusal.as_deref().or(choice.finish_reason.as_deref());
            let why = why.unwrap_or("no reason given");
            answer.error = Some(format!("the reply has no text: {}", told(why)));
        }
        Some(said) => {
            let stopped = settings.before_stop(&said);
            let cut = choice.finish_reason.as_deref() == Some("length");
            answer.complete = Some(stopped.is_some() || !cut);
            answer.text = Some(stopped.unwrap_or(&said).to_owned());
        }
    }
    Ok(answer)
}

/// The beginning of what somebody else wrote, on one line.
pub(super) fn told(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut chars = line.chars();
    let beginning: String = chars.by_ref().take(TOLD).collect();
    match chars.next() {
        Some(_) => format!("{beginning}…"),
        None => beginning,
    }
}

/// The conversation or prompt of a case, as the cache tells cases apart.
pub(super) fn asked(case: &Case) -> Value {
    let messages: &[Message] = &case.messages;
    match messages.is_empty() {
        true => json!({"prompt": case.text}),
        false => json!({"messages": messages}),
    }
}
