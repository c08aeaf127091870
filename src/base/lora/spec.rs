//! The specification and its resolution against a model.

use super::selection::Selection;
use crate::base::LoraError;

/// A LoRA adaptation in PEFT's terms.
#[derive(Debug, Clone, PartialEq)]
pub struct LoraSpec {
    /// Rank of the factors, where `rank_pattern` says nothing else.
    pub r: usize,
    /// Numerator of the scale, where `alpha_pattern` says nothing else.
    pub alpha: f64,
    /// Probability that an element of a module's input is left out on the way to its `A`, in training; `0 ≤ p < 1`.
    pub dropout: f64,
    /// The modules to adapt.
    pub target_modules: TargetModules,
    /// Modules that stay as they are.
    pub exclude_modules: Option<ExcludeModules>,
    /// Other ranks, by the last segments of a path (regular expressions), in the order in which they are tried.
    pub rank_pattern: Vec<(String, usize)>,
    /// Other alphas, likewise.
    pub alpha_pattern: Vec<(String, f64)>,
    /// The layers to adapt; empty for all of them.
    pub layers_to_transform: Vec<usize>,
    /// The names of the lists of layers (regular expressions), for paths with more than one number.
    pub layers_pattern: Vec<String>,
    /// Modules that are trained whole, by the end of their path. The head of a classifier is one, named or not.
    pub modules_to_save: Vec<String>,
    /// Scale α/√r in place of α/r.
    pub use_rslora: bool,
    /// Weight-decomposed adaptation: a trained magnitude per output.
    pub use_dora: bool,
    /// The values before the first step.
    pub init: Init,
}

/// A module that gets factors.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdaptedModule<'m> {
    /// Its dotted path.
    pub path: &'m str,
    /// Rank of its factors.
    pub r: usize,
    /// What multiplies `(x·Aᵀ)·Bᵀ`.
    pub scale: f64,
}

/// How modules are chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TargetModules {
    /// Every linear module except the head.
    AllLinear,
    /// Modules whose path is one of these or ends with `.` and one of these.
    Suffixes(Vec<String>),
    /// Modules whose whole path matches.
    Regex(String),
}

/// How modules are left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExcludeModules {
    /// Modules whose path is one of these or ends with `.` and one of these.
    Suffixes(Vec<String>),
    /// Modules whose whole path matches.
    Regex(String),
}

/// How `A` begins; `B` is zero in both.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Init {
    /// U(−1/√in, 1/√in): PEFT's `init_lora_weights: true`.
    #[default]
    Kaiming,
    /// N(0, 1/r²), r the rank of the module: PEFT's `init_lora_weights: "gaussian"`.
    Gaussian,
}

impl LoraSpec {
    /// A plain adaptation: no dropout, no exception, no variant.
    pub fn new(r: usize, alpha: f64, target_modules: TargetModules) -> Self {
        Self {
            r,
            alpha,
            dropout: 0.0,
            target_modules,
            exclude_modules: None,
            rank_pattern: Vec::new(),
            alpha_pattern: Vec::new(),
            layers_to_transform: Vec::new(),
            layers_pattern: Vec::new(),
            modules_to_save: Vec::new(),
            use_rslora: false,
            use_dora: false,
            init: Init::Kaiming,
        }
    }

    /// The adapted ones of `modules` (the dotted paths of all linear modules except the head), in their order.
    ///
    /// A name, expression, layer or pattern key that selects none of them is an error that lists what there is. Modules
    /// in `modules_to_save` are left out, as PEFT does.
    pub fn resolve<'m>(&self, modules: &[&'m str]) -> Result<Vec<AdaptedModule<'m>>, LoraError> {
        let selection = Selection::new(self)?;
        selection.demand(modules)?;
        selection.apply(modules)
    }

    /// Like [`resolve`](Self::resolve), but as PEFT does it: a part that selects nothing is no error.
    ///
    /// For adapters that exist already.
    pub fn apply<'m>(&self, modules: &[&'m str]) -> Result<Vec<AdaptedModule<'m>>, LoraError> {
        Selection::new(self)?.apply(modules)
    }

    /// Whether `modules_to_save` names the module at `path`, by PEFT's rule: the path ends with one of the names.
    pub fn saves(&self, path: &str) -> bool {
        self.modules_to_save.iter().any(|name| path.ends_with(name))
    }

    /// Checks the numbers, and what may not stand together.
    pub fn check(&self) -> Result<(), LoraError> {
        check_rank("r", self.r)?;
        check_alpha("alpha", self.alpha)?;
        for (_, r) in &self.rank_pattern {
            check_rank("rank_pattern", *r)?;
        }
        for (_, alpha) in &self.alpha_pattern {
            check_alpha("alpha_pattern", *alpha)?;
        }
        if !(0.0..1.0).contains(&self.dropout) {
            let (found, must) = (self.dropout.to_string(), "at least 0 and below 1");
            return Err(LoraError::Range {
                key: "dropout",
                found,
                must,
            });
        }
        self.check_layers()
    }

    fn check_layers(&self) -> Result<(), LoraError> {
        if self.layers_to_transform.is_empty() && !self.layers_pattern.is_empty() {
            return Err(LoraError::Together(
                "layers_pattern is given without layers_to_transform",
            ));
        }
        let by_expression = matches!(self.target_modules, TargetModules::Regex(_));
        if by_expression && !self.layers_to_transform.is_empty() {
            return Err(LoraError::Together(
                "layers_to_transform is given with a regular expression in target_modules; write the layers into the expression",
            ));
        }
        Ok(())
    }

    pub(super) fn scale(&self, r: usize, alpha: f64) -> f64 {
        let r = r as f64;
        alpha / if self.use_rslora { r.sqrt() } else { r }
    }
}

fn check_rank(key: &'static str, r: usize) -> Result<(), LoraError> {
    if (1..=4096).contains(&r) {
        return Ok(());
    }
    let (found, must) = (r.to_string(), "from 1 to 4096");
    Err(LoraError::Range { key, found, must })
}

fn check_alpha(key: &'static str, alpha: f64) -> Result<(), LoraError> {
    if alpha.is_finite() && alpha > 0.0 {
        return Ok(());
    }
    let (found, must) = (alpha.to_string(), "positive");
    Err(LoraError::Range { key, found, must })
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
        let names = exclude.iter().map(ToString::to_string).collect();
        LoraSpec {
            exclude_modules: Some(ExcludeModules::Suffixes(names)),
            ..LoraSpec::new(8, 16.0, target_modules)
        }
    }

    fn paths(spec: &LoraSpec) -> Vec<&'static str> {
        let adapted = spec.resolve(&MODULES).unwrap();
        adapted.iter().map(|module| module.path).collect()
    }

    fn suffixes(names: &[&str]) -> TargetModules {
        TargetModules::Suffixes(names.iter().map(ToString::to_string).collect())
    }

    // PEFT's rules: a list matches whole dotted suffixes, a string must match the whole path.
    #[test]
    fn selects_as_peft_does() {
        let chosen = |target, exclude: &[&str]| paths(&spec(target, exclude));
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
    fn every_key_must_select_something() {
        let all = || spec(TargetModules::AllLinear, &[]);
        let pattern = |key: &str| LoraSpec {
            rank_pattern: vec![(key.to_owned(), 4)],
            ..all()
        };
        let layers = |layers: &[usize]| LoraSpec {
            layers_to_transform: layers.to_vec(),
            ..all()
        };
        let saved = |name: &str| LoraSpec {
            modules_to_save: vec![name.to_owned()],
            ..all()
        };
        for (spec, says) in [
            (pattern("uery"), "rank_pattern \"uery\" matches no module"),
            (pattern("[["), "means one thing in Python"),
            (pattern("(query"), "not a regular expression"),
            (layers(&[0, 2]), "layer 2, in which no module is targeted"),
            (layers(&[0, 2]), "layers [0, 1]"),
            (
                saved("uery"),
                "layer.0.attention.self.query is targeted and",
            ),
            (
                spec(TargetModules::Regex("(?!bert)".to_owned()), &[]),
                "target_modules \"(?!bert)\" matches no module",
            ),
        ] {
            let error = spec.resolve(&MODULES).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
        assert_eq!(paths(&saved("dense")), [MODULES[0], MODULES[2]]);
        assert_eq!(paths(&layers(&[1])), MODULES[2..4]);
    }

    #[test]
    fn scale_and_ranges() {
        let mut lora = spec(TargetModules::AllLinear, &[]);
        let scale = |lora: &LoraSpec| lora.resolve(&MODULES).unwrap()[0].scale;
        assert_eq!(scale(&lora), 2.0);
        lora.use_rslora = true;
        assert_eq!(scale(&lora), 16.0 / 8f64.sqrt());
        lora.rank_pattern = vec![("0.+query".to_owned(), 4), ("query".to_owned(), 2)];
        lora.alpha_pattern = vec![("self.query".to_owned(), 4.0)];
        let adapted = lora.resolve(&MODULES).unwrap();
        assert_eq!(
            adapted.iter().map(|m| m.r).collect::<Vec<_>>(),
            [4, 8, 2, 8, 8]
        );
        assert_eq!(adapted[0].scale, 2.0);
        assert_eq!(adapted[1].scale, 16.0 / 8f64.sqrt());
        for wrong in [
            LoraSpec {
                dropout: 1.0,
                ..lora.clone()
            },
            LoraSpec {
                r: 0,
                ..lora.clone()
            },
            LoraSpec {
                alpha: f64::NAN,
                ..lora.clone()
            },
            LoraSpec {
                rank_pattern: vec![("query".to_owned(), 0)],
                ..lora.clone()
            },
            LoraSpec {
                alpha_pattern: vec![("query".to_owned(), -1.0)],
                ..lora.clone()
            },
            LoraSpec {
                layers_pattern: vec!["layer".to_owned()],
                ..lora
            },
        ] {
            assert!(wrong.check().is_err());
        }
    }
}
