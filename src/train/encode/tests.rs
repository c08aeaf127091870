#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use super::{Bos, Encoder, RowFault};
use crate::base::chat::ChatTemplate;
use crate::base::{Tokenizer, TokenizerConfig};
use crate::dataset::{Example, Message, Role};
use crate::train::job::{TrainOn, TrainOnEos};

fn folder() -> PathBuf {
    PathBuf::from("tests/fixtures/chat")
}

fn fixture() -> Value {
    serde_json::from_str(&fs::read_to_string(folder().join("tokens.json")).unwrap()).unwrap()
}

/// A tokenizer with what its configuration says of it.
struct Desk {
    tokenizer: Tokenizer,
    config: TokenizerConfig,
}

impl Desk {
    fn new(name: &str) -> Self {
        let dir = PathBuf::from("tests/fixtures/parity")
            .join(name)
            .join("model");
        let read = |file: &str| fs::read(dir.join(file)).unwrap();
        let mut config = TokenizerConfig::parse(&read("tokenizer_config.json")).unwrap();
        if let Ok(own) = fs::read_to_string(dir.join("chat_template.jinja")) {
            config.templates.insert("default".to_owned(), own);
        }
        Self {
            tokenizer: Tokenizer::from_bytes(&read("tokenizer.json"), 512).unwrap(),
            config,
        }
    }

    fn template(&self, name: &str) -> ChatTemplate {
        let source = match name {
            "own" => self.config.templates["default"].clone(),
            name => {
                let file = folder().join("templates").join(format!("{name}.jinja"));
                fs::read_to_string(file).unwrap()
            }
        };
        ChatTemplate::new(&source, self.config.tokens.clone(), None).unwrap()
    }

    fn encoder<'a>(&'a self, template: Option<&'a ChatTemplate>, train_on: TrainOn) -> Encoder<'a> {
        let id = |role: &str| self.tokenizer.id(self.config.token(role)?);
        let leading = self.tokenizer.leading().unwrap();
        Encoder {
            tokenizer: &self.tokenizer,
            template,
            train_on,
            train_on_eos: TrainOnEos::Turn,
            bos: Bos {
                id: id("bos_token"),
                before_plain: leading.is_some(),
                before_chat: false,
                demanded: leading.is_some(),
            },
            eos: id("eos_token").unwrap(),
        }
    }
}

fn said(role: Role, content: &str) -> Message {
    Message {
        role,
        content: content.to_owned(),
    }
}

fn conversation(messages: Vec<Message>) -> Example {
    Example::Messages { id: None, messages }
}

fn answered(content: &str) -> Example {
    conversation(vec![
        said(Role::User, "Where is my card?"),
        said(Role::Assistant, content),
    ])
}

fn completion(prompt: &str, completion: &str) -> Example {
    Example::Completion {
        id: None,
        prompt: prompt.to_owned(),
        completion: completion.to_owned(),
    }
}

fn messages(value: &Value) -> Example {
    let message = |value: &Value| {
        let role = match value["role"].as_str().unwrap() {
            "system" => Role::System,
            "user" => Role::User,
            _ => Role::Assistant,
        };
        said(role, value["content"].as_str().unwrap())
    };
    conversation(value.as_array().unwrap().iter().map(message).collect())
}

fn numbers(value: &Value) -> Vec<u32> {
    let items = value.as_array().unwrap().iter();
    items.map(|n| n.as_u64().unwrap() as u32).collect()
}

/// The text that is learned, each run of it.
fn learned(tokenizer: &Tokenizer, ids: &[u32], mask: &[bool]) -> Vec<String> {
    let mut runs: Vec<Vec<u32>> = vec![Vec::new()];
    for (id, learned) in ids.iter().zip(mask) {
        match learned {
            true => runs.last_mut().unwrap().push(*id),
            false if runs.last().unwrap().is_empty() => {}
            false => runs.push(Vec::new()),
        }
    }
    let runs = runs.iter().filter(|run| !run.is_empty());
    runs.map(|run| tokenizer.decode(run).unwrap()).collect()
}

// Made by tests/fixtures/chat/make_tokens.py with transformers 5.23.0: the mask there is what an answer adds to the tokens of
// the conversation before it. Behind the token that ends a turn, templates put line breaks, which are not learned here.
#[test]
fn ids_and_masks_are_those_of_longer_and_longer_conversations() {
    let fixture = fixture();
    let cases = fixture["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 18);
    for case in cases {
        let desk = Desk::new(case["tokenizer"].as_str().unwrap());
        let template = desk.template(case["template"].as_str().unwrap());
        let mut encoder = desk.encoder(Some(&template), TrainOn::Assistant);
        let ends = case["template"] != "gemma";
        if !ends {
            // This tokenizer has no token for the end of a turn.
            encoder.train_on_eos = TrainOnEos::None;
        }
        let sequence = encoder.sequence(&messages(&case["messages"])).unwrap();
        assert_eq!(sequence.ids, numbers(&case["ids"]), "{}", case["template"]);
        let mut want = vec![false; sequence.ids.len()];
        for answer in case["answers"].as_array().unwrap() {
            let [start, end] = [0, 1].map(|side| answer[side].as_u64().unwrap() as usize);
            let last = match ends {
                true => (start..end)
                    .rev()
                    .find(|at| desk.tokenizer.is_special(sequence.ids[*at]))
                    .unwrap(),
                false => end - 1,
            };
            assert!(end - 1 - last <= 1, "at most a line break follows");
            want[start..=last].fill(true);
        }
        assert_eq!(sequence.learned, want, "{case}");
        assert_eq!(sequence.ended, ends);
        assert!(!sequence.parted);
        let begins = desk.config.token("bos_token").is_some();
        assert_eq!(sequence.begun, begins);
    }
}

#[test]
fn prompts_are_encoded_as_they_will_be_when_the_model_is_used() {
    let fixture = fixture();
    let mut parted = 0;
    for case in fixture["plain"].as_array().unwrap() {
        let name = case["tokenizer"].as_str().unwrap();
        let desk = Desk::new(name);
        let encoder = desk.encoder(None, TrainOn::Completion);
        let text = |key: &str| case[key].as_str().unwrap();
        let example = completion(text("prompt"), text("completion"));
        let prompt = numbers(&case["prompt_ids"]);
        let joined = case["joined"].as_bool().unwrap();
        let eos = case["eos"].as_u64().unwrap() as u32;
        let sequence = match encoder.sequence(&example) {
            Ok(sequence) => sequence,
            Err(fault) => {
                // Encoded alone, a completion would get a blank in front.
                assert!(!joined && ["mistral", "gemma2"].contains(&name), "{fault}");
                assert!(matches!(fault, RowFault::Border { .. }), "{fault}");
                continue;
            }
        };
        let mut want = match joined {
            true => numbers(&case["ids"]),
            false => [prompt.clone(), numbers(&case["completion_ids"])].concat(),
        };
        want.push(eos);
        assert_eq!(sequence.ids, want, "{name}");
        assert_eq!(sequence.parted, !joined);
        parted += usize::from(sequence.parted);
        let mask: Vec<bool> = (0..want.len()).map(|at| at >= prompt.len()).collect();
        assert_eq!(sequence.learned, mask, "{name}");
    }
    assert!(parted > 0, "no case has a token that would span the border");
}

#[test]
fn turns_and_their_ends_are_learned_by_rule() {
    let desk = Desk::new("qwen2");
    let template = desk.template("chatml");
    let two = conversation(vec![
        said(Role::User, "a"),
        said(Role::Assistant, "b"),
        said(Role::User, "c"),
        said(Role::Assistant, "d"),
    ]);
    let learns = |train_on, train_on_eos| {
        let mut encoder = desk.encoder(Some(&template), train_on);
        encoder.train_on_eos = train_on_eos;
        let sequence = encoder.sequence(&two).unwrap();
        let runs = learned(&desk.tokenizer, &sequence.ids, &sequence.learned);
        (runs, sequence.ended)
    };
    let runs = |texts: &[&str]| texts.iter().map(ToString::to_string).collect::<Vec<_>>();
    let (all, last) = (TrainOn::Assistant, TrainOn::LastAssistant);
    let end = "<|im_end|>";
    assert_eq!(
        learns(all, TrainOnEos::Turn),
        (runs(&["b<|im_end|>", "d<|im_end|>"]), true)
    );
    assert_eq!(
        learns(all, TrainOnEos::Last),
        (runs(&["b", "d<|im_end|>"]), true)
    );
    assert_eq!(learns(all, TrainOnEos::None), (runs(&["b", "d"]), false));
    assert_eq!(
        learns(all, TrainOnEos::All).0,
        // The system message's, both of the user and both of the assistant.
        runs(&[end, end, "b<|im_end|>", end, "d<|im_end|>"])
    );
    assert_eq!(
        learns(last, TrainOnEos::Turn),
        (runs(&["d<|im_end|>"]), true)
    );
    let (whole, ended) = learns(TrainOn::All, TrainOnEos::Turn);
    assert!(ended && whole[0].starts_with("system\n"), "{whole:?}");
    assert!(whole[0].ends_with("d<|im_end|>\n"), "{whole:?}");
}

#[test]
fn a_template_that_rewrites_earlier_turns_is_refused_or_learned_from_the_last() {
    let desk = Desk::new("qwen2");
    let template = desk.template("qwen3");
    let think = "<think>\nhm\n</think>\n\nyes";
    let two = conversation(vec![
        said(Role::User, "a"),
        said(Role::Assistant, think),
        said(Role::User, "c"),
        said(Role::Assistant, think),
    ]);
    let fault = desk
        .encoder(Some(&template), TrainOn::Assistant)
        .sequence(&two);
    assert!(
        matches!(fault, Err(RowFault::Unstable { turn: 2 })),
        "{fault:?}"
    );
    let encoder = desk.encoder(Some(&template), TrainOn::LastAssistant);
    let sequence = encoder.sequence(&two).unwrap();
    assert_eq!(
        learned(&desk.tokenizer, &sequence.ids, &sequence.learned),
        [format!("{think}<|im_end|>")]
    );
}

#[test]
fn marks_of_the_template_must_be_one_per_answer() {
    let desk = Desk::new("qwen2");
    let source =
        "{% generation %}x{% endgeneration %}<|im_end|>{% generation %}y{% endgeneration %}";
    let template = ChatTemplate::new(source, BTreeMap::new(), None).unwrap();
    let fault = desk
        .encoder(Some(&template), TrainOn::Assistant)
        .sequence(&answered("yes"));
    assert!(
        matches!(fault, Err(RowFault::Marks { found: 2, turns: 1 })),
        "{fault:?}"
    );
}

#[test]
fn an_answer_without_an_end_is_refused_unless_none_is_wanted() {
    let desk = Desk::new("qwen2");
    let source = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}";
    let template = ChatTemplate::new(source, BTreeMap::new(), None).unwrap();
    let mut encoder = desk.encoder(Some(&template), TrainOn::Assistant);
    let fault = encoder.sequence(&answered("It ships."));
    assert!(
        matches!(fault, Err(RowFault::NoEnd { turn: 2 })),
        "{fault:?}"
    );
    encoder.train_on_eos = TrainOnEos::None;
    let sequence = encoder.sequence(&answered("It ships.")).unwrap();
    assert!(!sequence.ended);
}

// pad_token of this tokenizer is its eos_token. Nothing is padded, so nothing is masked by its id.
#[test]
fn an_end_is_learned_although_it_is_also_the_padding() {
    let desk = Desk::new("mistral");
    assert_eq!(
        desk.config.token("pad_token"),
        desk.config.token("eos_token")
    );
    let template = desk.template("mistral");
    let encoder = desk.encoder(Some(&template), TrainOn::Assistant);
    let sequence = encoder.sequence(&answered("It ships.")).unwrap();
    assert_eq!(sequence.ids.last(), Some(&encoder.eos));
    assert_eq!(sequence.learned.last(), Some(&true));
}

#[test]
fn there_is_exactly_one_bos() {
    let desk = Desk::new("mistral");
    let count = |ids: &[u32], bos: Option<u32>| ids.iter().filter(|id| Some(**id) == bos).count();
    let template = desk.template("mistral");
    let encoder = desk.encoder(Some(&template), TrainOn::Assistant);
    let sequence = encoder.sequence(&answered("yes")).unwrap();
    assert_eq!(count(&sequence.ids, encoder.bos.id), 1);
    // A template without one, for a tokenizer that puts one before every text.
    let bare = ChatTemplate::new(
        "{% for m in messages %}[{{ m.role }}]{{ m.content }}</s>{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}",
        BTreeMap::new(),
        None,
    )
    .unwrap();
    let mut encoder = desk.encoder(Some(&bare), TrainOn::Assistant);
    let fault = encoder.sequence(&answered("yes"));
    assert!(
        matches!(fault, Err(RowFault::Bos { found: 0 })),
        "{fault:?}"
    );
    encoder.bos.before_chat = true;
    let sequence = encoder.sequence(&answered("yes")).unwrap();
    assert_eq!(sequence.ids[0], encoder.bos.id.unwrap());
    assert!(sequence.begun && !sequence.learned[0]);
    encoder.bos.before_chat = false;
    encoder.bos.demanded = false;
    assert!(!encoder.sequence(&answered("yes")).unwrap().begun);
    // A BOS spelled out in the data.
    let plain = desk.encoder(None, TrainOn::All);
    let text = Example::Text {
        id: None,
        text: "<s> once".to_owned(),
    };
    assert_eq!(count(&plain.sequence(&text).unwrap().ids, plain.bos.id), 1);
    let fault = plain.sequence(&completion("<s> a", " b <s> c"));
    assert!(
        matches!(fault, Err(RowFault::Bos { found: 2 })),
        "{fault:?}"
    );
}

#[test]
fn texts_are_learned_whole_and_end_once() {
    let desk = Desk::new("llama");
    let mut encoder = desk.encoder(None, TrainOn::All);
    let text = |text: &str| Example::Text {
        id: None,
        text: text.to_owned(),
    };
    let once = encoder.sequence(&text("The adapter is pinned.")).unwrap();
    assert_eq!(once.ids.last(), Some(&encoder.eos));
    assert_eq!(
        (once.learned[0], once.begun, once.ended),
        (false, true, true)
    );
    assert!(once.learned[1..].iter().all(|learned| *learned));
    let spelled = encoder.sequence(&text("The adapter is pinned.<|eot_id|>"));
    assert_eq!(spelled.unwrap(), once);
    encoder.train_on_eos = TrainOnEos::None;
    let endless = encoder.sequence(&text("The adapter is pinned.")).unwrap();
    assert_eq!(endless.ids, once.ids);
    assert_eq!(
        (endless.learned.last(), endless.ended),
        (Some(&false), false)
    );
}

#[test]
fn a_row_without_a_goal_is_refused() {
    let desk = Desk::new("qwen2");
    let source = "{% for m in messages %}<|im_start|>{% endfor %}";
    let template = ChatTemplate::new(source, BTreeMap::new(), None).unwrap();
    let mut encoder = desk.encoder(Some(&template), TrainOn::Assistant);
    encoder.train_on_eos = TrainOnEos::None;
    let fault = encoder.sequence(&answered("yes"));
    assert!(matches!(fault, Err(RowFault::NoTarget)), "{fault:?}");
}
