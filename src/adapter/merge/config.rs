//! `config.json` of a merged checkpoint.

use serde_json::{Map, Value, json};

use super::layout::Family;
use crate::adapter::{AdapterTask, Pooling, Storage};

/// What of the configuration the merge decides; the rest stays as it is in the base.
pub(super) struct Decided<'a> {
    pub(super) family: Family,
    pub(super) task: AdapterTask,
    pub(super) labels: &'a [String],
    pub(super) storage: Option<Storage>,
    /// Whether input and output embedding were tied and no longer are.
    pub(super) untied: bool,
    pub(super) pooling: Pooling,
}

/// The base's configuration for the merged model.
pub(super) fn merged(base: &Map<String, Value>, decided: &Decided<'_>) -> Map<String, Value> {
    let mut config = base.clone();
    let head = match decided.task {
        AdapterTask::SeqCls => "ForSequenceClassification",
        AdapterTask::CausalLm => "ForCausalLM",
    };
    let class = format!("{}{head}", decided.family.class);
    config.insert("architectures".to_owned(), json!([class]));
    if decided.task == AdapterTask::SeqCls {
        let labels = decided.labels.iter().enumerate();
        let names = labels
            .clone()
            .map(|(id, name)| (id.to_string(), json!(name)));
        let ids = labels.map(|(id, name)| (name.clone(), json!(id)));
        config.insert("id2label".to_owned(), Value::Object(names.collect()));
        config.insert("label2id".to_owned(), Value::Object(ids.collect()));
        config.insert("num_labels".to_owned(), json!(decided.labels.len()));
        let problem = json!("single_label_classification");
        config.insert("problem_type".to_owned(), problem);
        if decided.family.names_pooling {
            config.insert("classifier_pooling".to_owned(), json!(decided.pooling));
        }
    }
    if decided.untied {
        config.insert("tie_word_embeddings".to_owned(), json!(false));
    }
    if let Some(storage) = decided.storage {
        // transformers 5 says `dtype`, older releases `torch_dtype`; both read the older.
        let new = config.contains_key("dtype");
        let key = if new { "dtype" } else { "torch_dtype" };
        config.insert(key.to_owned(), json!(storage.torch_name()));
    }
    config
}
