//! The tensors of an adapter, module by module.

use std::collections::BTreeMap;

use super::tensors::{PREFIX, Tensors, fault};
use super::{AdapterConfig, AdapterError};

/// The factors of one module, row-major.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Factors<'t> {
    /// Rank.
    pub r: usize,
    /// Width of the module's input.
    pub inputs: usize,
    /// Width of its output.
    pub outputs: usize,
    /// What multiplies `B·A`.
    pub scale: f64,
    /// `A`, `[r × inputs]`.
    pub a: &'t [f32],
    /// `B`, `[outputs × r]`.
    pub b: &'t [f32],
    /// DoRA's magnitude per output.
    pub magnitude: Option<&'t [f32]>,
}

/// The adapted modules by path, and the modules that are trained whole by the name of their tensor, without PEFT's prefix.
#[derive(Debug, Clone, PartialEq)]
pub struct Parts<'t> {
    /// Modules with factors.
    pub adapted: BTreeMap<&'t str, Factors<'t>>,
    /// Whole tensors: shape and values.
    pub whole: BTreeMap<&'t str, (&'t [usize], &'t [f32])>,
}

const A: &str = ".lora_A.weight";
const B: &str = ".lora_B.weight";
const MAGNITUDE: &str = ".lora_magnitude_vector";

/// Sorts `tensors` by module, and checks that they are what `config` says: every adapted module is selected by it and has
/// its rank, has a magnitude where DoRA is used and only there, and every whole tensor belongs to a module to save.
pub(super) fn parts<'t>(
    config: &AdapterConfig,
    tensors: &'t Tensors,
) -> Result<Parts<'t>, AdapterError> {
    let modules: Vec<&str> = tensors.keys().filter_map(|name| module(name, A)).collect();
    let adapted = config.lora.apply(&modules)?;
    let mut parts = Parts {
        adapted: BTreeMap::new(),
        whole: BTreeMap::new(),
    };
    for chosen in adapted {
        let found = factors(tensors, chosen.path, chosen.scale)?;
        let Some(found) = found.filter(|found| found.r == chosen.r) else {
            let why = format!("does not have the rank {}", chosen.r);
            return Err(fault(&format!("{PREFIX}{}{A}", chosen.path), &why));
        };
        if found.magnitude.is_some() != config.lora.use_dora {
            let name = format!("{PREFIX}{}{MAGNITUDE}", chosen.path);
            return Err(fault(&name, dora_fault(config.lora.use_dora)));
        }
        parts.adapted.insert(chosen.path, found);
    }
    for (name, (shape, values)) in tensors {
        let path = name.strip_prefix(PREFIX).unwrap_or(name);
        let of_module = [A, B, MAGNITUDE]
            .iter()
            .find_map(|end| path.strip_suffix(end));
        match of_module {
            Some(module) if parts.adapted.contains_key(module) => {}
            Some(_) => {
                return Err(fault(
                    name,
                    "is of a module that the configuration does not adapt",
                ));
            }
            None if is_saved(config, path) => {
                parts.whole.insert(path, (shape, values));
            }
            None => {
                return Err(fault(
                    name,
                    "is of no module that the configuration adapts or saves",
                ));
            }
        }
    }
    Ok(parts)
}

fn factors<'t>(
    tensors: &'t Tensors,
    path: &str,
    scale: f64,
) -> Result<Option<Factors<'t>>, AdapterError> {
    let tensor = |end: &str| tensors.get(&format!("{PREFIX}{path}{end}"));
    let (Some((a_shape, a)), Some((b_shape, b))) = (tensor(A), tensor(B)) else {
        return Ok(None);
    };
    let ([r, inputs], [outputs, _]) = (a_shape.as_slice(), b_shape.as_slice()) else {
        return Ok(None);
    };
    let magnitude = tensor(MAGNITUDE);
    if let Some((shape, _)) = magnitude
        && shape != &[*outputs]
    {
        let why = format!("has shape {shape:?}, not [{outputs}]");
        return Err(fault(&format!("{PREFIX}{path}{MAGNITUDE}"), &why));
    }
    Ok(Some(Factors {
        r: *r,
        inputs: *inputs,
        outputs: *outputs,
        scale,
        a,
        b,
        magnitude: magnitude.map(|(_, values)| values.as_slice()),
    }))
}

/// Whether the tensor at `path` belongs to a module to save, or to one inside it.
fn is_saved(config: &AdapterConfig, path: &str) -> bool {
    let ends = path.match_indices('.').map(|(end, _)| &path[..end]);
    ends.into_iter().any(|module| config.lora.saves(module))
}

fn module<'t>(name: &'t str, end: &str) -> Option<&'t str> {
    name.strip_prefix(PREFIX)?.strip_suffix(end)
}

fn dora_fault(use_dora: bool) -> &'static str {
    if use_dora {
        "is missing, and use_dora is true"
    } else {
        "is there, and use_dora is false"
    }
}
