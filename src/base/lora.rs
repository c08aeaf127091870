//! Which modules get low-rank factors, and how large.

use regex::Regex;

use super::LoraError;

/// A LoRA adaptation in PEFT's terms.
#[derive(Debug, Clone, PartialEq)]
pub struct LoraSpec {
    /// Rank of the factors.
    pub r: usize,
    /// Numerator of the scale.
    pub alpha: f64,
    /// Probability that an element of a module's input is left out on the way to its `A`, in training; `0 ≤ p < 1`.
    pub dropout: f64,
    /// The modules to adapt.
    pub target_modules: TargetModules,
    /// Names or dotted suffixes of modules that stay as they are.
    pub exclude_modules: Option<Vec<String>>,
    /// Scale α/√r in place of α/r.
    pub use_rslora: bool,
}

/// How modules are chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TargetModules {
    /// Every linear module except the classification head.
    AllLinear,
    /// Modules whose path is one of these or ends with `.` and one of these.
    Suffixes(Vec<String>),
    /// Modules whose whole path matches.
    Regex(String),
}

impl LoraSpec {
    /// What multiplies `(x·Aᵀ)·Bᵀ`.
    pub fn scale(&self) -> f64 {
        let r = self.r as f64;
        self.alpha / if self.use_rslora { r.sqrt() } else { r }
    }

    /// Checks the numbers.
    pub fn check(&self) -> Result<(), LoraError> {
        let range = |key, found: String, must| Err(LoraError::Range { key, found, must });
        if self.r == 0 || self.r > 4096 {
            return range("r", self.r.to_string(), "from 1 to 4096");
        }
        if !(self.alpha.is_finite() && self.alpha > 0.0) {
            return range("alpha", self.alpha.to_string(), "positive");
        }
        if !(0.0..1.0).contains(&self.dropout) {
            return range(
                "dropout",
                self.dropout.to_string(),
                "at least 0 and below 1",
            );
        }
        Ok(())
    }

    /// The adapted ones of `modules` (dotted paths), in their order.
    ///
    /// A pattern or suffix that matches none of them is an error that lists what there is.
    pub fn resolve<'m>(&self, modules: &[&'m str]) -> Result<Vec<&'m str>, LoraError> {
        self.check()?;
        let excluded = self.exclude_modules.as_deref().unwrap_or_default();
        every_matches("exclude_modules", excluded, modules)?;
        let targeted = self.target_modules.select(modules)?;
        let chosen: Vec<&str> = targeted
            .into_iter()
            .filter(|path| !excluded.iter().any(|name| is_suffix(path, name)))
            .collect();
        if chosen.is_empty() {
            return Err(LoraError::NothingLeft);
        }
        Ok(chosen)
    }
}

impl TargetModules {
    fn select<'m>(&self, modules: &[&'m str]) -> Result<Vec<&'m str>, LoraError> {
        match self {
            Self::AllLinear => Ok(modules.to_vec()),
            Self::Suffixes(names) => {
                every_matches("target_modules", names, modules)?;
                Ok(filter(modules, |path| {
                    names.iter().any(|name| is_suffix(path, name))
                }))
            }
            Self::Regex(pattern) => {
                let whole =
                    Regex::new(&format!("^(?:{pattern})$")).map_err(|error| LoraError::Regex {
                        pattern: pattern.clone(),
                        why: error.to_string(),
                    })?;
                let chosen = filter(modules, |path| whole.is_match(path));
                if chosen.is_empty() {
                    return Err(no_match("target_modules", pattern, modules));
                }
                Ok(chosen)
            }
        }
    }
}

fn filter<'m>(modules: &[&'m str], keep: impl Fn(&str) -> bool) -> Vec<&'m str> {
    modules.iter().copied().filter(|path| keep(path)).collect()
}

fn is_suffix(path: &str, name: &str) -> bool {
    path.strip_suffix(name)
        .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

fn every_matches(key: &'static str, names: &[String], modules: &[&str]) -> Result<(), LoraError> {
    let unmatched = names
        .iter()
        .find(|name| name.is_empty() || !modules.iter().any(|path| is_suffix(path, name)));
    match unmatched {
        Some(name) => Err(no_match(key, name, modules)),
        None => Ok(()),
    }
}

fn no_match(key: &'static str, pattern: &str, modules: &[&str]) -> LoraError {
    LoraError::NoMatch {
        key,
        pattern: pattern.to_owned(),
        available: kinds(modules),
    }
}

/// The paths with layer numbers as `*`, each once.
fn kinds(modules: &[&str]) -> String {
    let mut kinds: Vec<String> = Vec::new();
    for path in modules {
        let parts = path.split('.').map(|part| {
            let numbered = part.bytes().all(|b| b.is_ascii_digit());
            if numbered { "*" } else { part }
        });
        let kind = parts.collect::<Vec<_>>().join(".");
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    kinds.join(", ")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const MODULES: [&str; 5] = [
        "bert.encoder.layer.0.attention.self.query",
        "bert.encoder.layer.0.attention.output.dense",
        "bert.encoder.layer.1.attention.self.query",
        "bert.encoder.layer.1.attention.output.dense",
        "bert.pooler.dense",
    ];

    fn spec(target_modules: TargetModules, exclude: &[&str]) -> LoraSpec {
        LoraSpec {
            r: 8,
            alpha: 16.0,
            dropout: 0.0,
            target_modules,
            exclude_modules: Some(exclude.iter().map(ToString::to_string).collect()),
            use_rslora: false,
        }
    }

    fn suffixes(names: &[&str]) -> TargetModules {
        TargetModules::Suffixes(names.iter().map(ToString::to_string).collect())
    }

    // PEFT's rules: a list matches whole dotted suffixes, a string must match the whole path.
    #[test]
    fn selects_as_peft_does() {
        let chosen = |target, exclude: &[&str]| spec(target, exclude).resolve(&MODULES).unwrap();
        assert_eq!(chosen(TargetModules::AllLinear, &[]), MODULES);
        assert_eq!(chosen(suffixes(&["query"]), &[]), [MODULES[0], MODULES[2]]);
        assert_eq!(
            chosen(suffixes(&["dense"]), &["pooler.dense"]),
            [MODULES[1], MODULES[3]]
        );
        let regex = TargetModules::Regex(".*encoder.*\\.(query|dense)".to_owned());
        assert_eq!(chosen(regex, &[]), MODULES[..4]);
    }

    #[test]
    fn what_matches_nothing_is_an_error() {
        for (target, exclude) in [
            (suffixes(&["query", "q_proj"]), &[][..]),
            (suffixes(&["uery"]), &[]),
            (TargetModules::Regex("encoder".to_owned()), &[]),
            (TargetModules::AllLinear, &["absent"]),
        ] {
            let error = spec(target, exclude)
                .resolve(&MODULES)
                .unwrap_err()
                .to_string();
            assert!(
                error.contains("bert.encoder.layer.*.attention.self.query, bert.encoder"),
                "{error}"
            );
        }
        let all = spec(TargetModules::AllLinear, &["query", "dense"]);
        assert_eq!(all.resolve(&MODULES), Err(LoraError::NothingLeft));
    }

    #[test]
    fn scale_and_ranges() {
        let mut lora = spec(TargetModules::AllLinear, &[]);
        assert_eq!(lora.scale(), 2.0);
        lora.use_rslora = true;
        assert_eq!(lora.scale(), 16.0 / 8f64.sqrt());
        lora.dropout = 1.0;
        assert!(lora.check().is_err());
    }
}
