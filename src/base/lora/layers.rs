//! `layers_to_transform` and `layers_pattern`.

use super::expression::Expression;
use crate::base::LoraError;

/// Which layers may be adapted.
pub(super) struct Layers<'a> {
    wanted: &'a [usize],
    patterns: Vec<Expression>,
}

impl<'a> Layers<'a> {
    /// No number stands for every layer.
    pub(super) fn new(wanted: &'a [usize], patterns: &[String]) -> Result<Self, LoraError> {
        let patterns = patterns
            .iter()
            .map(|pattern| Expression::layer("layers_pattern", pattern))
            .collect::<Result<_, _>>()?;
        Ok(Self { wanted, patterns })
    }

    /// Whether the module at `path` is in a wanted layer.
    pub(super) fn contain(&self, path: &str) -> Result<bool, LoraError> {
        if self.wanted.is_empty() {
            return Ok(true);
        }
        let index = self.index(path)?;
        Ok(index.is_some_and(|index| self.wanted.contains(&index)))
    }

    /// Every wanted layer must have one of `targeted`.
    pub(super) fn demand(&self, targeted: &[&str]) -> Result<(), LoraError> {
        let mut available = Vec::new();
        for path in targeted {
            available.extend(self.index(path)?);
        }
        available.sort_unstable();
        available.dedup();
        match self.wanted.iter().find(|layer| !available.contains(layer)) {
            Some(layer) => Err(LoraError::NoLayer {
                layer: *layer,
                available,
            }),
            None => Ok(()),
        }
    }

    fn index(&self, path: &str) -> Result<Option<usize>, LoraError> {
        if self.patterns.is_empty() {
            return Ok(first_number(path));
        }
        for pattern in &self.patterns {
            if let Some(index) = pattern.index(path)? {
                return Ok(Some(index));
            }
        }
        Ok(None)
    }
}

/// The first segment that is a number and has two segments or more before it and one after it, as PEFT demands.
fn first_number(path: &str) -> Option<usize> {
    let segments: Vec<&str> = path.split('.').collect();
    let inner = segments.get(2..segments.len().saturating_sub(1))?;
    inner.iter().find_map(|segment| segment.parse().ok())
}
