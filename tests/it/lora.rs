//! LoRA configurations select the modules, ranks and scales that PEFT selects (tests/fixtures/lora).

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use retune::adapter::AdapterConfig;

#[derive(Deserialize)]
struct Expected {
    models: BTreeMap<String, Vec<String>>,
    cases: Vec<Case>,
    ignored: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    model: String,
    options: Value,
    /// What PEFT writes; absent where it does not even take the options.
    config: Option<String>,
    /// Path, rank and scale of every LoRA layer; absent where PEFT refuses.
    adapted: Option<Vec<(String, usize, f64)>>,
    /// The modules that are trained whole.
    saved: Option<Vec<String>>,
    /// The key of which a part selects nothing.
    key: Option<String>,
}

#[test]
fn configurations_select_what_peft_selects() {
    let expected = expected();
    let mut compared = 0;
    for case in &expected.cases {
        let Some(config) = &case.config else { continue };
        match (resolve(case, config, &expected), &case.adapted) {
            (Ok(found), Some(adapted)) => {
                assert_eq!(found.len(), adapted.len(), "{}", case.options);
                for ((path, r, scale), wanted) in found.iter().zip(adapted) {
                    assert_eq!((path, r), (&wanted.0, &wanted.1), "{}", case.options);
                    // One division, or a square root and one: Python's are the same IEEE operations. serde_json reads a
                    // decimal fraction as the nearest f64 or its neighbour.
                    let apart = (scale - wanted.2).abs() / wanted.2;
                    assert!(apart <= f64::EPSILON, "{} at {path}", case.options);
                }
                compared += 1;
            }
            (Err(_), None) => {}
            (Ok(_), None) => panic!("{}: PEFT refuses it", case.options),
            (Err(error), Some(_)) => panic!("{}: {error}", case.options),
        }
    }
    assert!(compared >= 40, "only {compared} cases were compared");
}

#[test]
fn what_peft_ignores_is_an_error_that_names_its_key() {
    let expected = expected();
    for case in &expected.ignored {
        assert!(case.adapted.is_some(), "{}: PEFT accepts it", case.options);
        let config = case.config.as_ref().unwrap();
        let error = resolve(case, config, &expected).unwrap_err();
        let key = case.key.as_ref().unwrap();
        assert!(error.contains(key.as_str()), "{}: {error}", case.options);
    }
}

#[test]
fn modules_to_save_are_those_of_peft() {
    let expected = expected();
    for case in &expected.cases {
        let (Some(config), Some(saved)) = (&case.config, &case.saved) else {
            continue;
        };
        let spec = parse(config).unwrap().spec();
        // PEFT adds the heads of a classifier by itself, and so does whoever loads one here.
        let heads = ["classifier", "score"];
        for path in saved.iter().filter(|path| !heads.contains(&path.as_str())) {
            assert!(spec.saves(path), "{}: {path}", case.options);
        }
        for path in &expected.models[&case.model] {
            let inside = saved.iter().any(|root| path.starts_with(root.as_str()));
            assert!(inside || !spec.saves(path), "{}: {path}", case.options);
        }
    }
}

/// Sets are sorted in the expectations, so the bytes can be compared.
#[test]
fn configurations_are_written_as_peft_writes_them() {
    let mut compared = 0;
    for case in expected().cases {
        let Some(text) = case.config else { continue };
        let Ok(config) = parse(&text) else { continue };
        let Ok(bytes) = config.to_bytes() else {
            continue;
        };
        let wanted: Value = serde_json::from_str(&text).unwrap();
        let mut written: Value = serde_json::from_slice(&bytes).unwrap();
        // One number, or a list of one, mean the same to PEFT; here it is always a list.
        for key in ["layers_to_transform", "layers_pattern"] {
            let single = wanted[key].is_number() || wanted[key].is_string();
            if single {
                written[key] = written[key][0].clone();
            }
            if wanted[key].as_array().is_some_and(Vec::is_empty) {
                written[key] = wanted[key].clone();
            }
        }
        assert_eq!(written, wanted);
        compared += 1;
    }
    assert!(compared >= 40, "only {compared} files were compared");
}

type Adapted = Vec<(String, usize, f64)>;

fn resolve(case: &Case, config: &str, expected: &Expected) -> Result<Adapted, String> {
    let spec = parse(config)?.spec();
    let modules: Vec<&str> = expected.models[&case.model]
        .iter()
        .map(String::as_str)
        .collect();
    let adapted = spec.resolve(&modules).map_err(|error| error.to_string())?;
    let entry =
        |module: &retune::base::AdaptedModule<'_>| (module.path.to_owned(), module.r, module.scale);
    Ok(adapted.iter().map(entry).collect())
}

fn parse(config: &str) -> Result<AdapterConfig, String> {
    AdapterConfig::parse(config.as_bytes()).map_err(|error| error.to_string())
}

fn expected() -> Expected {
    serde_json::from_str(include_str!("../fixtures/lora/expected.json")).unwrap()
}
