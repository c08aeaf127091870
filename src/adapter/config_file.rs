//! `adapter_config.json`, the 41 keys of PEFT 0.21.2.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::config::{AdapterConfig, AdapterTask, PEFT_VERSION};
use super::{AdapterError, ExcludeModules, Init, LoraSpec, TargetModules};

pub(super) const CONFIG: &str = "adapter_config.json";

/// Every key with the default of PEFT's `LoraConfig`, as it is written.
/// The largest configuration that is still parsed.
const MAX_BYTES: usize = 16 << 20;

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
        "modules_to_save": null,
        "monteclora_config": null,
        "peft_type": "LORA",
        "peft_version": PEFT_VERSION,
        "qalora_group_size": 16,
        "r": 8,
        "rank_pattern": {},
        "revision": null,
        "target_modules": null,
        "target_parameters": null,
        "task_type": null,
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
const READ: [&str; 17] = [
    "alpha_pattern",
    "base_model_name_or_path",
    "exclude_modules",
    "fan_in_fan_out",
    "init_lora_weights",
    "layers_pattern",
    "layers_to_transform",
    "lora_alpha",
    "lora_dropout",
    "modules_to_save",
    "r",
    "rank_pattern",
    "revision",
    "target_modules",
    "task_type",
    "use_dora",
    "use_rslora",
];

/// Keys whose value changes nothing about a trained adapter.
const WITHOUT_EFFECT: [&str; 6] = [
    "auto_mapping",
    "eva_config",
    "inference_mode",
    "megatron_core",
    "peft_version",
    "qalora_group_size",
];

impl AdapterConfig {
    /// The file's bytes: keys sorted, two-space indent, no final line feed, lists sorted.
    pub fn to_bytes(&self) -> Result<Vec<u8>, AdapterError> {
        let lora = &self.lora;
        let mut keys = defaults();
        let mut set = |key: &str, value: Value| keys.insert(key.to_owned(), value);
        set(
            "base_model_name_or_path",
            json!(self.base_model_name_or_path),
        );
        set("revision", json!(self.revision));
        set("task_type", json!(self.task.map(AdapterTask::name)));
        set("fan_in_fan_out", json!(self.fan_in_fan_out));
        set("r", json!(lora.r));
        set("lora_alpha", integral(lora.alpha));
        set("lora_dropout", json!(lora.dropout));
        set("use_rslora", json!(lora.use_rslora));
        set("use_dora", json!(lora.use_dora));
        set("target_modules", targets(&lora.target_modules)?);
        set("exclude_modules", excluded(lora.exclude_modules.as_ref()));
        set("modules_to_save", list(&lora.modules_to_save));
        set("layers_to_transform", list(&lora.layers_to_transform));
        set("layers_pattern", list(&lora.layers_pattern));
        set("rank_pattern", pattern(&lora.rank_pattern, |r| json!(r)));
        set("alpha_pattern", pattern(&lora.alpha_pattern, integral));
        if lora.init == Init::Gaussian {
            set("init_lora_weights", json!("gaussian"));
        }
        serde_json::to_vec_pretty(&keys).map_err(|error| AdapterError::Config(error.to_string()))
    }

    /// Reads the file's bytes as PEFT does: what is missing has PEFT's default, so files of older releases are read.
    ///
    /// Stricter than PEFT where PEFT only warns: a value without code here, or a key that PEFT 0.21.2 does not have, is
    /// an error that names it, unless the key is off (null, false, empty); then it is in [`ignored`](Self::ignored).
    pub fn parse(bytes: &[u8]) -> Result<Self, AdapterError> {
        if bytes.len() > MAX_BYTES {
            let why = format!("{} bytes is more than the {MAX_BYTES} allowed", bytes.len());
            return Err(AdapterError::Config(why));
        }
        let found: BTreeMap<String, Value> = serde_json::from_slice(bytes)
            .map_err(|error| AdapterError::Config(error.to_string()))?;
        check_type(found.get("peft_type"))?;
        let defaults = defaults();
        let mut ignored = Vec::new();
        for (key, value) in &found {
            match defaults.get(key) {
                None if is_off(value) => ignored.push(key.clone()),
                None => return Err(AdapterError::UnknownKey(key.clone())),
                Some(_) if READ.contains(&key.as_str()) => {}
                Some(_) if WITHOUT_EFFECT.contains(&key.as_str()) => {}
                Some(default) if value == default || is_off(value) && is_off(default) => {}
                Some(default) => return Err(unsupported(key, value, &default.to_string())),
            }
        }
        let ordered: Ordered = serde_json::from_slice(bytes)
            .map_err(|error| AdapterError::Config(error.to_string()))?;
        let config = Fields(&found).config(ordered, ignored)?;
        config
            .lora
            .check()
            .map_err(|error| AdapterError::Config(error.to_string()))?;
        Ok(config)
    }
}

fn check_type(found: Option<&Value>) -> Result<(), AdapterError> {
    match found {
        Some(Value::String(kind)) if kind == "LORA" => Ok(()),
        Some(other) => Err(unsupported("peft_type", other, "\"LORA\"")),
        None => Err(AdapterError::Config("peft_type is missing".to_owned())),
    }
}

/// A value that turns a feature off.
fn is_off(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(on) => !on,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(entries) => entries.is_empty(),
        Value::Number(_) => false,
    }
}

/// The patterns in the file's order, in which PEFT tries them.
#[derive(Deserialize)]
struct Ordered {
    #[serde(default)]
    rank_pattern: Entries,
    #[serde(default)]
    alpha_pattern: Entries,
}

#[derive(Default)]
struct Entries(Vec<(String, Value)>);

struct Fields<'a>(&'a BTreeMap<String, Value>);

impl Fields<'_> {
    fn config(
        &self,
        ordered: Ordered,
        ignored: Vec<String>,
    ) -> Result<AdapterConfig, AdapterError> {
        let lora = LoraSpec {
            dropout: self.get("lora_dropout", Value::as_f64)?.unwrap_or(0.0),
            exclude_modules: self.get("exclude_modules", exclusion)?,
            rank_pattern: values("rank_pattern", ordered.rank_pattern, size)?,
            alpha_pattern: values("alpha_pattern", ordered.alpha_pattern, Value::as_f64)?,
            layers_to_transform: self
                .get("layers_to_transform", |v| one_or_more(v, size))?
                .unwrap_or_default(),
            layers_pattern: self
                .get("layers_pattern", |v| one_or_more(v, text))?
                .unwrap_or_default(),
            modules_to_save: self.get("modules_to_save", names)?.unwrap_or_default(),
            use_rslora: self.flag("use_rslora")?,
            use_dora: self.flag("use_dora")?,
            init: self.init()?,
            ..LoraSpec::new(
                self.get("r", size)?.unwrap_or(8),
                self.get("lora_alpha", Value::as_f64)?.unwrap_or(8.0),
                self.targets()?,
            )
        };
        Ok(AdapterConfig {
            base_model_name_or_path: self.get("base_model_name_or_path", text)?,
            revision: self.get("revision", text)?,
            task: self.task()?,
            fan_in_fan_out: self.flag("fan_in_fan_out")?,
            lora,
            ignored,
        })
    }

    fn targets(&self) -> Result<TargetModules, AdapterError> {
        let targets = self.get("target_modules", |value| match value {
            Value::String(name) if name.eq_ignore_ascii_case("all-linear") => {
                Some(TargetModules::AllLinear)
            }
            Value::String(pattern) => Some(TargetModules::Regex(pattern.clone())),
            list => names(list).map(TargetModules::Suffixes),
        })?;
        targets.ok_or_else(|| {
            AdapterError::Config(
                "target_modules is null or missing; name the modules that the adapter changes"
                    .to_owned(),
            )
        })
    }

    fn task(&self) -> Result<Option<AdapterTask>, AdapterError> {
        match self.0.get("task_type") {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(name)) if name == "SEQ_CLS" => Ok(Some(AdapterTask::SeqCls)),
            Some(Value::String(name)) if name == "CAUSAL_LM" => Ok(Some(AdapterTask::CausalLm)),
            Some(other) => Err(unsupported("task_type", other, "SEQ_CLS and CAUSAL_LM")),
        }
    }

    /// What a finished adapter was initialised with matters only where the base was changed with it.
    fn init(&self) -> Result<Init, AdapterError> {
        const BASE_UNCHANGED: [&str; 3] = ["orthogonal", "eva", "mica"];
        match self.0.get("init_lora_weights") {
            None | Some(Value::Bool(_)) => Ok(Init::Kaiming),
            Some(Value::String(name)) if name == "gaussian" => Ok(Init::Gaussian),
            Some(Value::String(name)) if BASE_UNCHANGED.contains(&name.as_str()) => {
                Ok(Init::Kaiming)
            }
            Some(other) => Err(unsupported(
                "init_lora_weights",
                other,
                "what leaves the base as it is; have PEFT convert the adapter with path_initial_model_for_weight_conversion",
            )),
        }
    }

    fn flag(&self, key: &str) -> Result<bool, AdapterError> {
        Ok(self.get(key, Value::as_bool)?.unwrap_or(false))
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
                None => Err(unsupported(key, value, "another type of value")),
            },
        }
    }
}

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(InOrder)
    }
}

struct InOrder;

impl<'de> serde::de::Visitor<'de> for InOrder {
    type Value = Entries;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object from module names to numbers")
    }

    fn visit_unit<E>(self) -> Result<Entries, E> {
        Ok(Entries::default())
    }

    fn visit_map<M: serde::de::MapAccess<'de>>(self, mut map: M) -> Result<Entries, M::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Entries(entries))
    }
}

fn values<T>(
    key: &str,
    entries: Entries,
    read: impl Fn(&Value) -> Option<T>,
) -> Result<Vec<(String, T)>, AdapterError> {
    let value = |(pattern, value): (String, Value)| match read(&value) {
        Some(found) => Ok((pattern, found)),
        None => {
            let key = format!("{key}.{pattern}");
            Err(unsupported(&key, &value, "another type of value"))
        }
    };
    entries.0.into_iter().map(value).collect()
}

fn unsupported(key: &str, value: &Value, supported: &str) -> AdapterError {
    AdapterError::Unsupported {
        key: key.to_owned(),
        found: value.to_string(),
        supported: supported.to_owned(),
    }
}

fn exclusion(value: &Value) -> Option<ExcludeModules> {
    match value {
        Value::String(pattern) => Some(ExcludeModules::Regex(pattern.clone())),
        list => names(list).map(ExcludeModules::Suffixes),
    }
}

fn size(value: &Value) -> Option<usize> {
    value
        .as_u64()
        .and_then(|number| usize::try_from(number).ok())
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

fn names(value: &Value) -> Option<Vec<String>> {
    value.as_array()?.iter().map(text).collect()
}

fn one_or_more<T>(value: &Value, read: impl Fn(&Value) -> Option<T>) -> Option<Vec<T>> {
    match value {
        Value::Array(items) => items.iter().map(read).collect(),
        one => Some(vec![read(one)?]),
    }
}

fn targets(targets: &TargetModules) -> Result<Value, AdapterError> {
    match targets {
        TargetModules::Suffixes(names) => Ok(json!(sorted(names))),
        TargetModules::Regex(pattern) => Ok(json!(pattern)),
        TargetModules::AllLinear => Err(AdapterError::Config(
            "all-linear was not expanded".to_owned(),
        )),
    }
}

fn excluded(excluded: Option<&ExcludeModules>) -> Value {
    match excluded {
        None => Value::Null,
        Some(ExcludeModules::Suffixes(names)) => json!(sorted(names)),
        Some(ExcludeModules::Regex(pattern)) => json!(pattern),
    }
}

/// PEFT's sets have no order; sorted they give the same bytes every time.
fn sorted(names: &[String]) -> Vec<String> {
    let mut names = names.to_vec();
    names.sort();
    names.dedup();
    names
}

fn list<T: serde::Serialize>(items: &[T]) -> Value {
    if items.is_empty() {
        Value::Null
    } else {
        json!(items)
    }
}

fn pattern<T: Copy>(entries: &[(String, T)], value: impl Fn(T) -> Value) -> Value {
    let entries = entries
        .iter()
        .map(|(key, entry)| (key.clone(), value(*entry)));
    Value::Object(entries.collect())
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
    fn absurd_sizes_and_depths_are_refused() {
        let deep = format!("{{\"x\": {}{}}}", "[".repeat(100_000), "]".repeat(100_000));
        for (text, fault) in [
            (deep, "recursion limit"),
            (" ".repeat(MAX_BYTES + 1), "bytes is more than the"),
        ] {
            let error = AdapterConfig::parse(text.as_bytes())
                .unwrap_err()
                .to_string();
            assert!(error.contains(fault), "{error}");
        }
    }

    #[test]
    fn writes_the_bytes_that_peft_writes() {
        let config = AdapterConfig::parse(PEFT.as_bytes()).unwrap();
        assert_eq!(config.lora.r, 4);
        assert_eq!(config.lora.alpha, 8.0);
        assert_eq!(String::from_utf8(config.to_bytes().unwrap()).unwrap(), PEFT);
        assert_eq!(defaults().len(), 41);
    }

    #[test]
    fn all_linear_and_expressions_are_written_as_sorted_paths() {
        let read = AdapterConfig::parse(PEFT.as_bytes()).unwrap().lora;
        for target_modules in [
            TargetModules::AllLinear,
            TargetModules::Regex("bert.*".to_owned()),
        ] {
            let lora = LoraSpec {
                target_modules,
                ..read.clone()
            };
            let modules = ["bert.b".to_owned(), "bert.a".to_owned()];
            let config = AdapterConfig::new(&lora, AdapterTask::SeqCls, &modules, None, None);
            let text = String::from_utf8(config.to_bytes().unwrap()).unwrap();
            let paths = "\"target_modules\": [\n    \"bert.a\",\n    \"bert.b\"\n  ]";
            assert!(text.contains(paths), "{text}");
        }
    }

    #[test]
    fn what_would_change_the_meaning_is_refused() {
        let line = |key: &str| {
            let lines = PEFT.lines();
            let found = lines.map(|l| l.trim().trim_end_matches(',')).find(|l| {
                l.strip_prefix('"')
                    .and_then(|l| l.strip_prefix(key))
                    .is_some_and(|l| l.starts_with("\":"))
            });
            found.unwrap().to_owned()
        };
        for (key, value, says) in [
            ("bias", "\"all\"", "bias is \"all\""),
            ("lora_bias", "true", "lora_bias is true"),
            (
                "layer_replication",
                "[[0, 2], [1, 3]]",
                "layer_replication is [[0",
            ),
            (
                "trainable_token_indices",
                "[7]",
                "trainable_token_indices is [7]",
            ),
            (
                "target_parameters",
                "[\"w\"]",
                "target_parameters is [\"w\"]",
            ),
            ("use_qalora", "true", "use_qalora is true"),
            ("use_bdlora", "{\"a\": 1}", "use_bdlora"),
            ("alora_invocation_tokens", "[1]", "alora_invocation_tokens"),
            ("ensure_weight_tying", "true", "ensure_weight_tying is true"),
            (
                "init_lora_weights",
                "\"pissa\"",
                "init_lora_weights is \"pissa\"",
            ),
            ("init_lora_weights", "\"loftq\"", "path_initial_model"),
            ("peft_type", "\"IA3\"", "peft_type is \"IA3\""),
            ("task_type", "\"TOKEN_CLS\"", "task_type is \"TOKEN_CLS\""),
            ("r", "-4", "r is -4"),
            ("r", "0", "r is 0"),
            (
                "rank_pattern",
                "{\"query\": 0.5}",
                "rank_pattern.query is 0.5",
            ),
            ("rank_pattern", "[2]", "an object from module names"),
            ("layers_pattern", "\"layer\"", "without layers_to_transform"),
        ] {
            let old = line(key);
            let text = PEFT.replace(&old, &format!("\"{key}\": {value}"));
            assert_ne!(text, PEFT, "{key}");
            let error = AdapterConfig::parse(text.as_bytes()).unwrap_err();
            assert!(error.to_string().contains(says), "{key}: {error}");
        }
        let unknown = PEFT.replace("\"r\": 4", "\"new_key\": 1, \"r\": 4");
        let error = AdapterConfig::parse(unknown.as_bytes()).unwrap_err();
        assert!(error.to_string().contains("new_key"), "{error}");
    }

    #[test]
    fn files_of_older_releases_have_other_keys() {
        let text = br#"{"peft_type": "LORA", "r": 8, "lora_alpha": 16, "target_modules": ["query"],
            "enable_lora": null, "merge_weights": false, "layers_to_transform": 3, "init_lora_weights": false}"#;
        let config = AdapterConfig::parse(text).unwrap();
        assert_eq!(config.lora.dropout, 0.0);
        assert_eq!(config.lora.layers_to_transform, [3]);
        assert_eq!(config.task, None);
        assert_eq!(config.ignored, ["enable_lora", "merge_weights"]);
    }

    #[test]
    fn patterns_keep_the_order_of_the_file() {
        let text = br#"{"peft_type": "LORA", "target_modules": ["query"], "rank_pattern": {"b": 2, "a": 4}, "alpha_pattern": null}"#;
        let lora = AdapterConfig::parse(text).unwrap().lora;
        assert_eq!(
            lora.rank_pattern,
            [("b".to_owned(), 2), ("a".to_owned(), 4)]
        );
        assert_eq!((lora.r, lora.alpha), (8, 8.0));
    }
}
