//! The model card, `README.md`.

use minijinja::{Environment, UndefinedBehavior, context};

use super::{AdapterConfig, AdapterError, Pooling, RetuneRecord, TargetModules};

const TEMPLATE: &str = include_str!("../../templates/model-card.md");

/// The text of the card: what the adapter is, what it was made from, how to use it. It holds no time and no path.
pub(super) fn render(
    config: &AdapterConfig,
    record: &RetuneRecord,
) -> Result<String, AdapterError> {
    let failed = |error: minijinja::Error| AdapterError::Card(error.to_string());
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_keep_trailing_newline(true);
    environment.add_template("card", TEMPLATE).map_err(failed)?;
    let targets = match &config.lora.target_modules {
        TargetModules::AllLinear => "all linear modules".to_owned(),
        TargetModules::Suffixes(names) => format!("{} modules or suffixes", names.len()),
        TargetModules::Regex(pattern) => format!("modules matching {pattern}"),
    };
    let values = context! {
        base => record.base.source.as_ref().or(config.base_model_name_or_path.as_ref()),
        revision => record.base.revision,
        base_tree => record.base.tree.to_string(),
        tokenizer => record.tokenizer.to_string(),
        chat_template => record.chat_template.map(|id| id.to_string()),
        dataset => record.dataset.map(|id| id.to_string()),
        run => record.run.map(|id| id.to_string()),
        labels => record.labels,
        mean => record.pooling == Pooling::Mean,
        pooling => match record.pooling {
            Pooling::Mean => "mean of all tokens",
            Pooling::Cls => "[CLS] through the pooler",
            Pooling::Last => "the last token",
        },
        max_length => record.max_length,
        r => config.lora.r,
        alpha => config.lora.alpha,
        dropout => config.lora.dropout,
        targets => targets,
    };
    let template = environment.get_template("card").map_err(failed)?;
    template.render(values).map_err(failed)
}
