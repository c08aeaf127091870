#![allow(clippy::unwrap_used, clippy::single_range_in_vec_init)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;

use super::{ChatError, ChatTemplate};
use crate::dataset::{Message, Role};

fn messages(value: &Value) -> Vec<Message> {
    let message = |value: &Value| Message {
        role: match value["role"].as_str().unwrap() {
            "system" => Role::System,
            "user" => Role::User,
            _ => Role::Assistant,
        },
        content: value["content"].as_str().unwrap().to_owned(),
    };
    value.as_array().unwrap().iter().map(message).collect()
}

fn asked() -> Vec<Message> {
    vec![Message {
        role: Role::User,
        content: "Where is my card?".to_owned(),
    }]
}

fn plain(source: &str) -> Result<ChatTemplate, ChatError> {
    ChatTemplate::new(source, BTreeMap::new(), None)
}

// Made by tests/fixtures/chat/make.py with transformers 5.23.0.
#[test]
fn templates_render_as_in_transformers() {
    let folder = Path::new("tests/fixtures/chat");
    let text = fs::read_to_string(folder.join("expected.json")).unwrap();
    let expected: Value = serde_json::from_str(&text).unwrap();
    let tokens: BTreeMap<String, String> =
        serde_json::from_value(expected["tokens"].clone()).unwrap();
    let now = expected["now"].as_str().unwrap().parse().unwrap();
    let cases = expected["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 70);
    let mut refused = 0;
    for case in cases {
        let name = case["template"].as_str().unwrap();
        let source = fs::read_to_string(folder.join(format!("templates/{name}.jinja"))).unwrap();
        let template = ChatTemplate::new(&source, tokens.clone(), Some(now)).unwrap();
        let conversation = case["conversation"].as_str().unwrap();
        let messages = messages(&expected["conversations"][conversation]);
        let prompt = case["add_generation_prompt"].as_bool().unwrap();
        let rendered = template.render(&messages, prompt);
        if let Some(error) = case.get("error") {
            let error = error.as_str().unwrap().to_owned();
            assert_eq!(rendered, Err(ChatError::Refused(error)), "{name}");
            refused += 1;
            continue;
        }
        let rendered = rendered.unwrap();
        let want = case["text"].as_str().unwrap();
        assert_eq!(rendered.text, want, "{name}, {conversation}");
        let Some(spans) = case.get("spans") else {
            continue;
        };
        // transformers counts characters.
        let characters = |bytes: usize| rendered.text[..bytes].chars().count();
        let found: Vec<[usize; 2]> = rendered
            .generated
            .iter()
            .map(|span| [characters(span.start), characters(span.end)])
            .collect();
        assert_eq!(serde_json::to_value(found).unwrap(), *spans, "{name}");
    }
    assert_eq!(refused, 8, "some templates refuse some conversations");
}

#[test]
fn a_date_must_be_given() {
    let template = plain("{{ strftime_now('%Y') }}").unwrap();
    let error = template.render(&asked(), false).unwrap_err();
    assert_eq!(error, ChatError::NoDate);
    assert!(
        error.to_string().contains("chat_template: {date: "),
        "{error}"
    );
}

#[test]
fn templates_are_run_as_data_of_strangers() {
    let render = |source: &str| plain(source).unwrap().render(&asked(), false);
    let endless =
        "{% for a in range(100000) %}{% for b in range(100000) %}{{ b }}{% endfor %}{% endfor %}";
    assert!(matches!(render(endless), Err(ChatError::Endless(_))));
    for source in [
        "{% include '/etc/passwd' %}",
        "{% import 'os' as os %}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ messages.append(1) }}",
    ] {
        assert!(
            matches!(render(source), Err(ChatError::Failed(_))),
            "{source}"
        );
    }
    assert!(matches!(plain("{% for %}"), Err(ChatError::Syntax(_))));
}

#[test]
fn marks_in_a_conversation_are_text() {
    let source =
        "{% for m in messages %}<{% generation %}{{ m.content }}{% endgeneration %}>{% endfor %}";
    let template = plain(source).unwrap();
    assert!(template.marks_generation());
    let message = Message {
        role: Role::User,
        content: "\u{fdd0}a\u{fdd1}".to_owned(),
    };
    let rendered = template.render(&[message], false).unwrap();
    assert_eq!(rendered.text, "<\u{fdd0}a\u{fdd1}>");
    assert_eq!(rendered.generated, vec![1..8]);
}
