//! Keys that name a model, and keys that pin it.

use super::candidate::Role;

/// Ends of keys that name a model; what stands before must end with `_`.
const MODEL_ENDS: [&str; 5] = [
    "model",
    "models",
    "model_id",
    "model_name",
    "model_name_or_path",
];

/// Keys with such an end that name what is written or served, not what is used.
const RESULTS: [&str; 13] = [
    "hub_model_id",
    "push_to_hub_model_id",
    "new_model",
    "new_model_name",
    "output_model",
    "output_model_name",
    "target_model_name",
    "finetuned_model_name",
    "fine_tuned_model",
    "merged_model",
    "served_model_name",
    "registered_model",
    "registered_model_name",
];

/// What the value of `key` is, if it names a model. Spelling does not matter: `modelName`, `MODEL-NAME`, `model_name`.
pub(super) fn role(key: &str) -> Option<Role> {
    let key = normal(key);
    match key.as_str() {
        "retune_model" => Some(Role::Retune),
        "model_ref" => Some(Role::Address),
        "provider" | "providers" => Some(Role::Model),
        _ if RESULTS.contains(&key.as_str()) => None,
        _ => MODEL_ENDS
            .iter()
            .any(|end| ends(&key, end))
            .then_some(Role::Key),
    }
}

/// The keys beside `key` that pin its model, most particular first.
pub(super) fn revision_keys(key: &str) -> Vec<String> {
    let key = normal(key);
    let stem = ["_name_or_path", "_id", "_name"]
        .iter()
        .find_map(|end| key.strip_suffix(end))
        .unwrap_or(&key);
    let prefix = stem.strip_suffix("model").unwrap_or_default();
    let mut keys = vec![
        format!("{key}_revision"),
        format!("{stem}_revision"),
        format!("{prefix}revision"),
        "model_revision".to_owned(),
        "revision_of_model".to_owned(),
        "revision".to_owned(),
    ];
    keys.dedup();
    keys
}

/// Lower case with `_` between words.
pub(super) fn normal(key: &str) -> String {
    let mut out = String::with_capacity(key.len() + 4);
    let mut lower_before = false;
    for c in key.chars() {
        if c.is_ascii_uppercase() && lower_before {
            out.push('_');
        }
        lower_before = c.is_ascii_lowercase() || c.is_ascii_digit();
        out.push(match c {
            '-' | '.' | ' ' => '_',
            other => other.to_ascii_lowercase(),
        });
    }
    out
}

fn ends(key: &str, end: &str) -> bool {
    key.strip_suffix(end)
        .is_some_and(|before| before.is_empty() || before.ends_with('_') && before.len() > 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_in_every_spelling() {
        for (key, expected) in [
            ("model", Some(Role::Key)),
            ("modelName", Some(Role::Key)),
            ("BASE_MODEL", Some(Role::Key)),
            ("judge-model", Some(Role::Key)),
            ("model_name_or_path", Some(Role::Key)),
            ("retuneModel", Some(Role::Retune)),
            ("model_ref", Some(Role::Address)),
            ("providers", Some(Role::Model)),
            ("model_type", None),
            ("model_path", None),
            ("remodel", None),
            ("_model", None),
            ("hub_model_id", None),
            ("name", None),
        ] {
            assert_eq!(role(key), expected, "{key}");
        }
    }

    #[test]
    fn pins_stand_under_several_names() {
        let keys = revision_keys("hf_model_id");
        for expected in [
            "hf_model_revision",
            "hf_revision",
            "model_revision",
            "revision",
        ] {
            assert!(
                keys.iter().any(|key| key == expected),
                "{expected}: {keys:?}"
            );
        }
    }
}
