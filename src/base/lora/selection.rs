//! A specification, compiled, and what it selects.

use super::expression::{Expression, matches_any};
use super::layers::Layers;
use super::{AdaptedModule, ExcludeModules, LoraSpec, TargetModules};
use crate::base::LoraError;

const TARGET: &str = "target_modules";
const EXCLUDE: &str = "exclude_modules";

/// A specification with its expressions compiled.
pub(super) struct Selection<'s> {
    spec: &'s LoraSpec,
    target: Paths<'s>,
    exclude: Option<Paths<'s>>,
    layers: Layers<'s>,
    saved: Vec<Expression>,
    ranks: Patterns<usize>,
    alphas: Patterns<f64>,
}

impl<'s> Selection<'s> {
    pub(super) fn new(spec: &'s LoraSpec) -> Result<Self, LoraError> {
        spec.check()?;
        let target = match &spec.target_modules {
            TargetModules::AllLinear => Paths::All,
            TargetModules::Suffixes(names) => Paths::Suffixes(names),
            TargetModules::Regex(pattern) => Paths::Whole(Expression::full(TARGET, pattern)?),
        };
        let exclude = match &spec.exclude_modules {
            None => None,
            Some(ExcludeModules::Suffixes(names)) => Some(Paths::Suffixes(names)),
            Some(ExcludeModules::Regex(pattern)) => {
                Some(Paths::Whole(Expression::full(EXCLUDE, pattern)?))
            }
        };
        let saved = spec.modules_to_save.iter();
        let saved = saved.map(|name| Expression::saved("modules_to_save", name));
        Ok(Self {
            spec,
            target,
            exclude,
            layers: Layers::new(&spec.layers_to_transform, &spec.layers_pattern)?,
            saved: saved.collect::<Result<_, _>>()?,
            ranks: Patterns::new("rank_pattern", &spec.rank_pattern)?,
            alphas: Patterns::new("alpha_pattern", &spec.alpha_pattern)?,
        })
    }

    /// The adapted ones of `modules`, by PEFT's rules; none at all is an error.
    pub(super) fn apply<'m>(
        &self,
        modules: &[&'m str],
    ) -> Result<Vec<AdaptedModule<'m>>, LoraError> {
        let chosen = self.chosen(modules)?;
        if chosen.is_empty() {
            return Err(LoraError::NothingLeft);
        }
        self.ranks.check_order(&chosen)?;
        self.alphas.check_order(&chosen)?;
        let adapted = chosen.into_iter().map(|path| {
            let r = self.ranks.get(path)?.unwrap_or(self.spec.r);
            let alpha = self.alphas.get(path)?.unwrap_or(self.spec.alpha);
            let scale = self.spec.scale(r, alpha);
            Ok(AdaptedModule { path, r, scale })
        });
        adapted.collect()
    }

    /// Every part must select something.
    pub(super) fn demand(&self, modules: &[&str]) -> Result<(), LoraError> {
        self.target.demand(TARGET, modules)?;
        if let Some(exclude) = &self.exclude {
            exclude.demand(EXCLUDE, modules)?;
        }
        self.layers.demand(&self.target.of(modules)?)?;
        let chosen = self.chosen(modules)?;
        self.ranks.demand(&chosen)?;
        self.alphas.demand(&chosen)
    }

    fn chosen<'m>(&self, modules: &[&'m str]) -> Result<Vec<&'m str>, LoraError> {
        let mut chosen = Vec::new();
        for path in self.target.of(modules)? {
            let excluded = match &self.exclude {
                Some(exclude) => exclude.matches(path)?,
                None => false,
            };
            if !excluded && self.layers.contain(path)? && !self.is_saved(path)? {
                chosen.push(path);
            }
        }
        Ok(chosen)
    }

    /// PEFT leaves out what is in or below a module to save, but saves every module whose path ends with the name, with
    /// or without a dot before it. A module that would be adapted and saved is an error.
    fn is_saved(&self, path: &str) -> Result<bool, LoraError> {
        if matches_any(&self.saved, path)? {
            return Ok(true);
        }
        if self.spec.saves(path) {
            return Err(LoraError::AdaptedAndSaved(path.to_owned()));
        }
        Ok(false)
    }
}

/// A way to choose modules.
enum Paths<'s> {
    All,
    Suffixes(&'s [String]),
    Whole(Expression),
}

impl Paths<'_> {
    fn matches(&self, path: &str) -> Result<bool, LoraError> {
        match self {
            Self::All => Ok(true),
            Self::Suffixes(names) => Ok(names.iter().any(|name| is_suffix(path, name))),
            Self::Whole(expression) => expression.matches(path),
        }
    }

    fn of<'m>(&self, modules: &[&'m str]) -> Result<Vec<&'m str>, LoraError> {
        let mut chosen = Vec::new();
        for path in modules {
            if self.matches(path)? {
                chosen.push(*path);
            }
        }
        Ok(chosen)
    }

    fn demand(&self, key: &'static str, modules: &[&str]) -> Result<(), LoraError> {
        match self {
            Self::All => Ok(()),
            Self::Suffixes(names) => {
                let absent = |name: &&String| !modules.iter().any(|path| is_suffix(path, name));
                match names.iter().find(absent) {
                    Some(name) => Err(no_match(key, name, modules)),
                    None => Ok(()),
                }
            }
            Self::Whole(expression) if self.of(modules)?.is_empty() => {
                Err(no_match(key, expression.pattern(), modules))
            }
            Self::Whole(_) => Ok(()),
        }
    }
}

fn is_suffix(path: &str, name: &str) -> bool {
    let rest = path.strip_suffix(name);
    !name.is_empty() && rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// Values for some modules, by expressions of which the first that matches counts.
struct Patterns<T> {
    key: &'static str,
    entries: Vec<(Expression, T)>,
}

impl<T: Copy + PartialEq> Patterns<T> {
    fn new(key: &'static str, entries: &[(String, T)]) -> Result<Self, LoraError> {
        let compiled = entries
            .iter()
            .map(|(pattern, value)| Ok((Expression::pattern_key(key, pattern)?, *value)));
        let entries = compiled.collect::<Result<_, LoraError>>()?;
        Ok(Self { key, entries })
    }

    fn get(&self, path: &str) -> Result<Option<T>, LoraError> {
        first_match(self.entries.iter(), path)
    }

    fn demand(&self, chosen: &[&str]) -> Result<(), LoraError> {
        for (expression, _) in &self.entries {
            let one = std::slice::from_ref(expression);
            let mut selects = false;
            for path in chosen {
                selects |= matches_any(one, path)?;
            }
            if !selects {
                return Err(no_match(self.key, expression.pattern(), chosen));
            }
        }
        Ok(())
    }

    /// PEFT tries the first key first, and sorts the keys when it saves them: an order that this changes is an error.
    fn check_order(&self, chosen: &[&str]) -> Result<(), LoraError> {
        let mut sorted: Vec<&(Expression, T)> = self.entries.iter().collect();
        sorted.sort_by_key(|(expression, _)| expression.pattern());
        for path in chosen {
            if self.get(path)? != first_match(sorted.iter().copied(), path)? {
                return Err(LoraError::Order {
                    key: self.key,
                    path: (*path).to_owned(),
                });
            }
        }
        Ok(())
    }
}

fn first_match<'e, T: Copy + 'e>(
    entries: impl Iterator<Item = &'e (Expression, T)>,
    path: &str,
) -> Result<Option<T>, LoraError> {
    for (expression, value) in entries {
        if expression.matches(path)? {
            return Ok(Some(*value));
        }
    }
    Ok(None)
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
