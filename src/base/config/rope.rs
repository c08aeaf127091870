//! Rotary position embeddings: the angle per position of each pair of elements.
//!
//! Angles are computed in `f32`, in the order in which transformers computes them: they are multiplied by positions of
//! many thousands, where another rounding would show.

use super::fields::Fields;
use super::{CheckpointError, Family};

/// One rotation: how far each pair of elements turns from one position to the next.
#[derive(Debug, Clone, PartialEq)]
pub struct Rope {
    /// Angles of the pairs; the rotated part of a head has twice as many elements.
    pub angles: Vec<f32>,
    /// For rows longer than this, other angles.
    pub long: Option<(usize, Vec<f32>)>,
    /// Multiplies sine and cosine.
    pub factor: f32,
}

/// Rotations, and which of them a layer with or without a window has.
type Ropes = (Vec<Rope>, fn(bool) -> usize);

const ROPE_TYPES: &str = "default, linear, dynamic, llama3, yarn and longrope";

/// What `rope_parameters`, or `rope_theta` and `rope_scaling`, say.
struct Scaling<'a> {
    fields: Option<&'a Fields>,
    theta: f64,
    /// Elements that turn.
    dim: usize,
    max_position_embeddings: usize,
    /// At the top level, where Phi-3 has it.
    original: Option<usize>,
}

/// The ropes of a decoder, and which of them a layer with or without a window has.
pub(super) fn of_decoder(
    family: Family,
    fields: &Fields,
    head_dim: usize,
    max_position_embeddings: usize,
) -> Result<Ropes, CheckpointError> {
    if family == Family::Gemma3 {
        return of_two(
            fields,
            head_dim,
            max_position_embeddings,
            [("rope_theta", 1e6), ("rope_local_base_freq", 1e4)],
        );
    }
    let default_theta = if family == Family::SmolLm3 { 2e6 } else { 1e4 };
    let newer = fields.object("rope_parameters")?;
    let older = fields.object("rope_scaling")?;
    let scaling = older.as_ref().or(newer.as_ref());
    let number = |key: &str| match scaling.map(|scaling| scaling.number(key)) {
        Some(Ok(None)) | None => fields.number(key),
        Some(found) => found,
    };
    let partial = match family {
        Family::Phi3 => number("partial_rotary_factor")?.unwrap_or(1.0),
        _ => 1.0,
    };
    let original = match family {
        Family::Phi3 => fields.size("original_max_position_embeddings")?,
        _ => None,
    };
    let rope = Scaling {
        fields: scaling,
        theta: number("rope_theta")?.unwrap_or(default_theta),
        dim: (head_dim as f64 * partial) as usize,
        max_position_embeddings,
        original,
    };
    Ok((vec![rope.rope(family == Family::Phi3)?], |_| 0))
}

/// Global layers turn with one theta and local ones with another.
pub(super) fn of_modernbert(
    fields: &Fields,
    head_dim: usize,
    max_position_embeddings: usize,
) -> Result<Ropes, CheckpointError> {
    let thetas = [("global_rope_theta", 160_000.0), ("local_rope_theta", 1e4)];
    of_two(fields, head_dim, max_position_embeddings, thetas)
}

/// The rope of layers that see everything, and that of layers with a window.
fn of_two(
    fields: &Fields,
    head_dim: usize,
    max_position_embeddings: usize,
    thetas: [(&str, f64); 2],
) -> Result<Ropes, CheckpointError> {
    let newer = fields.object("rope_parameters")?;
    let older = fields.object("rope_scaling")?;
    let mut ropes = Vec::new();
    for ((theta, default), kind) in thetas
        .into_iter()
        .zip(["full_attention", "sliding_attention"])
    {
        let own = match &newer {
            Some(newer) => newer.object(kind)?,
            None => None,
        };
        // The older spelling scales the global rope only.
        let scaling = match (&older, kind) {
            (Some(older), "full_attention") => Some(older),
            _ => own.as_ref(),
        };
        let own_theta = match &own {
            Some(own) => own.number("rope_theta")?,
            None => None,
        };
        let theta = match own_theta {
            Some(theta) => theta,
            None => fields.number_or(theta, default)?,
        };
        let rope = Scaling {
            fields: scaling,
            theta,
            dim: head_dim,
            max_position_embeddings,
            original: None,
        };
        ropes.push(rope.rope(false)?);
    }
    Ok((ropes, usize::from))
}

impl Scaling<'_> {
    fn rope(&self, phi3: bool) -> Result<Rope, CheckpointError> {
        let text = |key| match self.fields {
            Some(fields) => fields.text(key),
            None => Ok(None),
        };
        let name = match text("rope_type")? {
            Some(name) => name,
            None => text("type")?.unwrap_or_else(|| "default".to_owned()),
        };
        if !(self.theta > 0.0 && self.theta.is_finite())
            || self.dim == 0
            || !self.dim.is_multiple_of(2)
        {
            return Err(CheckpointError::Config(
                "the rope needs a positive theta and an even number of elements".to_owned(),
            ));
        }
        let plain = |angles| Rope {
            angles,
            long: None,
            factor: 1.0,
        };
        match name.as_str() {
            "default" => Ok(plain(self.angles())),
            // Beyond its longest length the base would change; such rows are refused, so it never does.
            "dynamic" => Ok(plain(self.angles())),
            "linear" => {
                let factor = self.number("factor")? as f32;
                Ok(plain(self.angles().iter().map(|a| a / factor).collect()))
            }
            "llama3" => Ok(plain(self.llama3()?)),
            "su" | "longrope" => self.longrope(),
            "yarn" if phi3 => self.longrope(),
            "yarn" => self.yarn(),
            other => Err(CheckpointError::Unsupported {
                key: "rope_type",
                found: other.to_owned(),
                supported: ROPE_TYPES,
            }),
        }
    }

    /// `1 / θ^(2i/dim)`.
    fn angles(&self) -> Vec<f32> {
        self.powers().map(|power| 1.0 / power).collect()
    }

    /// `θ^(2i/dim)`.
    fn powers(&self) -> impl Iterator<Item = f32> {
        let (theta, dim) = (self.theta as f32, self.dim as f32);
        (0..self.dim)
            .step_by(2)
            .map(move |i| theta.powf(i as f32 / dim))
    }

    fn llama3(&self) -> Result<Vec<f32>, CheckpointError> {
        let factor = self.number("factor")? as f32;
        let (low, high) = (
            self.number("low_freq_factor")?,
            self.number("high_freq_factor")?,
        );
        let original = self.original()? as f64;
        let scaled = |angle: f32| {
            let wavelength = (2.0 * std::f64::consts::PI) as f32 / angle;
            if wavelength < (original / high) as f32 {
                angle
            } else if wavelength > (original / low) as f32 {
                angle / factor
            } else {
                let smooth = (original as f32 / wavelength - low as f32) / (high - low) as f32;
                (1.0 - smooth) * angle / factor + smooth * angle
            }
        };
        Ok(self.angles().into_iter().map(scaled).collect())
    }

    fn yarn(&self) -> Result<Rope, CheckpointError> {
        let original = self.original()? as f64;
        let factor = match self.optional("factor")? {
            Some(factor) => factor,
            None => self.max_position_embeddings as f64 / original,
        };
        let stretch = |mscale: f64| match factor {
            small if small <= 1.0 => 1.0,
            factor => 0.1 * mscale * factor.ln() + 1.0,
        };
        let nonzero = |number: Option<f64>| number.filter(|n| *n != 0.0);
        let scales = (
            nonzero(self.optional("mscale")?),
            nonzero(self.optional("mscale_all_dim")?),
        );
        let attention = match (self.optional("attention_factor")?, scales) {
            (Some(given), _) => given,
            (None, (Some(mscale), Some(all))) => stretch(mscale) / stretch(all),
            (None, _) => stretch(1.0),
        };
        let fast = nonzero(self.optional("beta_fast")?).unwrap_or(32.0);
        let slow = nonzero(self.optional("beta_slow")?).unwrap_or(1.0);
        let dim = self.dim as f64;
        let place = |turns: f64| {
            dim * (original / (turns * 2.0 * std::f64::consts::PI)).ln() / (2.0 * self.theta.ln())
        };
        let truncate = match self.fields {
            Some(fields) => fields.flag("truncate")?.unwrap_or(true),
            None => true,
        };
        let (mut low, mut high) = (place(fast), place(slow));
        if truncate {
            (low, high) = (low.floor(), high.ceil());
        }
        (low, high) = (low.max(0.0), high.min(dim - 1.0));
        if low == high {
            high += 0.001;
        }
        let angles = self.powers().enumerate().map(|(i, power)| {
            let ramp = ((i as f32 - low as f32) / (high - low) as f32).clamp(0.0, 1.0);
            let keep = 1.0 - ramp;
            1.0 / (factor as f32 * power) * (1.0 - keep) + 1.0 / power * keep
        });
        Ok(Rope {
            angles: angles.collect(),
            long: None,
            factor: attention as f32,
        })
    }

    fn longrope(&self) -> Result<Rope, CheckpointError> {
        let original = self.original()?;
        let factor = match self.optional("factor")? {
            Some(factor) => factor,
            None => self.max_position_embeddings as f64 / original as f64,
        };
        let attention = match self.optional("attention_factor")? {
            Some(given) => given,
            None if factor <= 1.0 => 1.0,
            None => (1.0 + factor.ln() / (original as f64).ln()).sqrt(),
        };
        let angles = |key: &str| {
            let factors = match self.fields {
                Some(fields) => fields.numbers(key)?,
                None => None,
            };
            match factors {
                Some(factors) if factors.len() == self.dim / 2 => Ok(self
                    .powers()
                    .zip(factors)
                    .map(|(power, factor)| 1.0 / (factor as f32 * power))
                    .collect()),
                _ => Err(CheckpointError::Config(format!(
                    "{key} is not a list of {} numbers",
                    self.dim / 2
                ))),
            }
        };
        Ok(Rope {
            angles: angles("short_factor")?,
            long: Some((original, angles("long_factor")?)),
            factor: attention as f32,
        })
    }

    fn original(&self) -> Result<usize, CheckpointError> {
        if let Some(original) = self.original {
            return Ok(original);
        }
        let found = match self.fields {
            Some(fields) => fields.size("original_max_position_embeddings")?,
            None => None,
        };
        Ok(found.unwrap_or(self.max_position_embeddings))
    }

    fn optional(&self, key: &str) -> Result<Option<f64>, CheckpointError> {
        match self.fields {
            Some(fields) => fields.number(key),
            None => Ok(None),
        }
    }

    fn number(&self, key: &str) -> Result<f64, CheckpointError> {
        match self.optional(key)? {
            Some(number) if number > 0.0 => Ok(number),
            _ => Err(CheckpointError::Config(format!(
                "the rope's {key} is not a positive number"
            ))),
        }
    }
}
