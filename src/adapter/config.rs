//! `adapter_config.json`, the 41 keys of PEFT 0.21.2.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{AdapterError, LoraSpec, TargetModules};

/// The PEFT release whose files these are.
pub const PEFT_VERSION: &str = "0.21.2";

/// What of PEFT's LoRA configuration is used here; every other key has its default value.
#[derive(Debug, Clone, PartialEq)]
pub struct AdapterConfig {
    /// Where the base model came from: an id on the Hugging Face hub or a path.
    pub base_model_name_or_path: Option<String>,
    /// The 40-digit commit of the base, if it came from a hub.
    pub revision: Option<String>,
    /// Rank of the factors.
    pub r: usize,
    /// Numerator of the scale.
    pub lora_alpha: f64,
    /// Dropout in training.
    pub lora_dropout: f64,
    /// Suffixes, or a regular expression; never `AllLinear`, which is expanded before it is written.
    pub target_modules: TargetModules,
    /// Suffixes that stay as they are.
    pub exclude_modules: Option<Vec<String>>,
    /// Scale α/√r in place of α/r.
    pub use_rslora: bool,
}

/// Every key with its default for a sequence classifier.
fn defaults() -> BTreeMap<String, Value> {
    let Value::Object(map) = json!({
        "alora_invocation_tokens": null,
        "alpha_pattern": {},
        "arrow_config": null,
        "auto_mapping": null,
        "base_model_name_or_path": null,
        "bias": "none",
        "corda_config": null,
        "ensure_weight_tying": false,
        "eva_config": null,
        "exclude_modules": null,
        "fan_in_fan_out": false,
        "inference_mode": true,
        "init_lora_weights": true,
        "kasa_config": null,
        "layer_replication": null,
        "layers_pattern": null,
        "layers_to_transform": null,
        "loftq_config": {},
        "lora_alpha": 8,
        "lora_bias": false,
        "lora_dropout": 0.0,
        "lora_ga_config": null,
        "megatron_config": null,
        "megatron_core": "megatron.core",
        "modules_to_save": ["classifier", "score"],
        "monteclora_config": null,
        "peft_type": "LORA",
        "peft_version": PEFT_VERSION,
        "qalora_group_size": 16,
        "r": 8,
        "rank_pattern": {},
        "revision": null,
        "target_modules": null,
        "target_parameters": null,
        "task_type": "SEQ_CLS",
        "trainable_token_indices": null,
        "use_bdlora": null,
        "use_dora": false,
        "use_qalora": false,
        "use_rslora": false,
        "velora_config": null,
    }) else {
        return BTreeMap::new();
    };
    map.into_iter().collect()
}

/// Keys whose value is read into a field.
const READ: [&str; 8] = [
    "base_model_name_or_path",
    "revision",
    "r",
    "lora_alpha",
    "lora_dropout",
    "target_modules",
    "exclude_modules",
    "use_rslora",
];

/// Keys whose value changes nothing about a trained adapter.
const WITHOUT_EFFECT: [&str; 5] = [
    "inference_mode",
    "init_lora_weights",
    "megatron_core",
    "peft_version",
    "qalora_group_size",
];

impl AdapterConfig {
    /// The configuration of an adapter trained as `lora` says on `modules`, the paths that it resolved to.
    ///
    /// All-linear is written as these paths, which is what PEFT does; suffixes and expressions as they are.
    pub fn new(
        lora: &LoraSpec,
        modules: &[String],
        base: Option<String>,
        revision: Option<String>,
    ) -> Self {
        let target_modules = match &lora.target_modules {
            TargetModules::AllLinear => TargetModules::Suffixes(modules.to_vec()),
            given => given.clone(),
        };
        Self {
            base_model_name_or_path: base,
            revision,
            r: lora.r,
            lora_alpha: lora.alpha,
            lora_dropout: lora.dropout,
            target_modules,
            exclude_modules: lora.exclude_modules.clone(),
            use_rslora: lora.use_rslora,
        }
    }

    /// The file's bytes: keys sorted, two-space indent, no final line feed, lists sorted.
    pub fn to_bytes(&self) -> Result<Vec<u8>, AdapterError> {
        let mut keys = defaults();
        let mut set = |key: &str, value: Value| keys.insert(key.to_owned(), value);
        set(
            "base_model_name_or_path",
            json!(self.base_model_name_or_path),
        );
        set("revision", json!(self.revision));
        set("r", json!(self.r));
        set("lora_alpha", integral(self.lora_alpha));
        set("lora_dropout", json!(self.lora_dropout));
        set("use_rslora", json!(self.use_rslora));
        set(
            "exclude_modules",
            json!(self.exclude_modules.as_deref().map(sorted)),
        );
        let targets = match &self.target_modules {
            TargetModules::Suffixes(names) => json!(sorted(names)),
            TargetModules::Regex(pattern) => json!(pattern),
            TargetModules::AllLinear => {
                return Err(AdapterError::Config(
                    "all-linear was not expanded".to_owned(),
                ));
            }
        };
        set("target_modules", targets);
        serde_json::to_vec_pretty(&keys).map_err(|error| AdapterError::Config(error.to_string()))
    }

    /// Reads the file's bytes. A key that PEFT 0.21.2 does not have, or a feature without code here, is an error that names it.
    ///
    /// Keys may be missing: files of older releases have fewer.
    pub fn parse(bytes: &[u8]) -> Result<Self, AdapterError> {
        let found: BTreeMap<String, Value> = serde_json::from_slice(bytes)
            .map_err(|error| AdapterError::Config(error.to_string()))?;
        let defaults = defaults();
        for (key, value) in &found {
            let Some(default) = defaults.get(key) else {
                return Err(AdapterError::UnknownKey(key.clone()));
            };
            let free = READ.contains(&key.as_str()) || WITHOUT_EFFECT.contains(&key.as_str());
            if !free && value != default {
                return Err(unsupported(key, value, default.to_string()));
            }
        }
        let config = Fields(&found).config()?;
        config
            .spec()
            .check()
            .map_err(|error| AdapterError::Config(error.to_string()))?;
        Ok(config)
    }

    /// The specification that selects the same modules and gives the same scale.
    pub fn spec(&self) -> LoraSpec {
        LoraSpec {
            r: self.r,
            alpha: self.lora_alpha,
            dropout: self.lora_dropout,
            target_modules: self.target_modules.clone(),
            exclude_modules: self.exclude_modules.clone(),
            use_rslora: self.use_rslora,
        }
    }
}

struct Fields<'a>(&'a BTreeMap<String, Value>);

impl Fields<'_> {
    fn config(&self) -> Result<AdapterConfig, AdapterError> {
        for key in ["peft_type", "r", "lora_alpha", "target_modules"] {
            if !self.0.contains_key(key) {
                return Err(AdapterError::Config(format!("{key} is missing")));
            }
        }
        let rank = self.get("r", |v| v.as_u64().and_then(|r| usize::try_from(r).ok()));
        Ok(AdapterConfig {
            base_model_name_or_path: self.text("base_model_name_or_path")?,
            revision: self.text("revision")?,
            r: rank?.unwrap_or_default(),
            lora_alpha: self.get("lora_alpha", Value::as_f64)?.unwrap_or_default(),
            lora_dropout: self.get("lora_dropout", Value::as_f64)?.unwrap_or_default(),
            target_modules: self.targets()?,
            exclude_modules: self.get("exclude_modules", names)?,
            use_rslora: self.get("use_rslora", Value::as_bool)?.unwrap_or_default(),
        })
    }

    fn targets(&self) -> Result<TargetModules, AdapterError> {
        let targets = self.get("target_modules", |value| match value {
            Value::String(pattern) if pattern == "all-linear" => Some(TargetModules::AllLinear),
            Value::String(pattern) => Some(TargetModules::Regex(pattern.clone())),
            list => names(list).map(TargetModules::Suffixes),
        })?;
        targets.ok_or_else(|| AdapterError::Config("target_modules is null".to_owned()))
    }

    fn text(&self, key: &str) -> Result<Option<String>, AdapterError> {
        self.get(key, |value| value.as_str().map(str::to_owned))
    }

    /// The value of `key` as `read` takes it; nothing if it is missing or null.
    fn get<T>(
        &self,
        key: &str,
        read: impl Fn(&Value) -> Option<T>,
    ) -> Result<Option<T>, AdapterError> {
        match self.0.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => match read(value) {
                Some(found) => Ok(Some(found)),
                None => Err(unsupported(key, value, "another type of value".to_owned())),
            },
        }
    }
}

fn unsupported(key: &str, value: &Value, supported: String) -> AdapterError {
    AdapterError::Unsupported {
        key: key.to_owned(),
        found: value.to_string(),
        supported,
    }
}

fn names(value: &Value) -> Option<Vec<String>> {
    let items = value.as_array()?.iter();
    items.map(|item| item.as_str().map(str::to_owned)).collect()
}

fn sorted(names: &[String]) -> Vec<String> {
    let mut names = names.to_vec();
    names.sort();
    names.dedup();
    names
}

/// PEFT's type of `lora_alpha` is an integer; a fraction is written as what it is.
fn integral(value: f64) -> Value {
    if value.fract() == 0.0 && value.abs() < 1e15 {
        json!(value as i64)
    } else {
        json!(value)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Written by PEFT 0.21.2 (tests/fixtures/parity).
    const PEFT: &str =
        include_str!("../../tests/fixtures/parity/bert/adapters/qv/adapter_config.json");

    #[test]
    fn writes_the_bytes_that_peft_writes() {
        let config = AdapterConfig::parse(PEFT.as_bytes()).unwrap();
        assert_eq!(config.r, 4);
        assert_eq!(config.lora_alpha, 8.0);
        assert_eq!(String::from_utf8(config.to_bytes().unwrap()).unwrap(), PEFT);
        assert_eq!(defaults().len(), 41);
    }

    #[test]
    fn all_linear_is_written_as_sorted_paths() {
        let mut lora = AdapterConfig::parse(PEFT.as_bytes()).unwrap().spec();
        lora.target_modules = TargetModules::AllLinear;
        let modules = ["bert.b".to_owned(), "bert.a".to_owned()];
        let config = AdapterConfig::new(&lora, &modules, None, None);
        let text = String::from_utf8(config.to_bytes().unwrap()).unwrap();
        assert!(
            text.contains("\"target_modules\": [\n    \"bert.a\",\n    \"bert.b\"\n  ]"),
            "{text}"
        );
    }

    #[test]
    fn what_would_change_the_meaning_is_refused() {
        for (from, to, says) in [
            (
                "\"use_dora\": false",
                "\"use_dora\": true",
                "use_dora is true",
            ),
            ("\"bias\": \"none\"", "\"bias\": \"all\"", "bias is \"all\""),
            (
                "\"rank_pattern\": {}",
                "\"rank_pattern\": {\"query\": 2}",
                "rank_pattern",
            ),
            ("\"SEQ_CLS\"", "\"CAUSAL_LM\"", "task_type"),
            ("\"r\": 4", "\"r\": -4", "r is -4"),
            ("\"r\": 4", "\"r\": 0", "r is 0"),
            ("\"r\": 4", "\"new_key\": 1, \"r\": 4", "new_key"),
            ("\"r\": 4,", "", "r is missing"),
        ] {
            let text = PEFT.replace(from, to);
            assert_ne!(text, PEFT, "{from}");
            let error = AdapterConfig::parse(text.as_bytes())
                .unwrap_err()
                .to_string();
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn files_of_older_releases_have_fewer_keys() {
        let text =
            br#"{"peft_type": "LORA", "r": 8, "lora_alpha": 16, "target_modules": ["query"]}"#;
        let config = AdapterConfig::parse(text).unwrap();
        assert_eq!(config.spec().scale(), 2.0);
        assert_eq!(config.lora_dropout, 0.0);
    }
}
