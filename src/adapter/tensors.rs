//! `adapter_model.safetensors`.

use std::collections::{BTreeMap, HashMap};

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use super::AdapterError;
use super::storage::Storage;

/// Tensors by PEFT name: shape and row-major values.
pub type Tensors = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

pub(super) const MODEL: &str = "adapter_model.safetensors";
pub(super) const PREFIX: &str = "base_model.model.";

/// The file's bytes: f32, metadata `{"format": "pt"}`, tensors ordered as Python's safetensors orders them.
pub fn write_tensors(tensors: &Tensors) -> Result<Vec<u8>, AdapterError> {
    check(tensors)?;
    write_named(tensors)
}

/// Like [`write_tensors`], of tensors with other names than PEFT's: finite and not empty is all that is asked.
pub fn write_named(tensors: &Tensors) -> Result<Vec<u8>, AdapterError> {
    check_values(tensors)?;
    let bytes: Vec<Vec<u8>> = tensors
        .values()
        .map(|(_, values)| values.iter().flat_map(|v| v.to_le_bytes()).collect())
        .collect();
    let format = |error: safetensors::SafeTensorError| AdapterError::Format(error.to_string());
    let mut views = Vec::with_capacity(tensors.len());
    for ((name, (shape, _)), bytes) in tensors.iter().zip(&bytes) {
        views.push((
            name,
            TensorView::new(Dtype::F32, shape.clone(), bytes).map_err(format)?,
        ));
    }
    // One entry only: the header is written from a hash map, whose order differs from run to run.
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    safetensors::serialize(views, Some(metadata)).map_err(format)
}

/// Reads the file's bytes. Tensors must be PEFT-named, finite and not empty, and factors must come in fitting pairs.
///
/// f16 and bf16 are widened, which is exact. Names with the adapter's name inside (`.default.`), as some tools leave it,
/// are read as without it.
pub fn read_tensors(bytes: &[u8]) -> Result<Tensors, AdapterError> {
    let mut tensors = Tensors::new();
    for (name, tensor) in read_named(bytes)? {
        if tensors
            .insert(without_adapter_name(&name), tensor)
            .is_some()
        {
            return Err(fault(&name, "is there twice, with and without `default`"));
        }
    }
    check(&tensors)?;
    Ok(tensors)
}

/// Like [`read_tensors`], of tensors with other names than PEFT's.
pub fn read_named(bytes: &[u8]) -> Result<Tensors, AdapterError> {
    let file =
        SafeTensors::deserialize(bytes).map_err(|error| AdapterError::Format(error.to_string()))?;
    let mut tensors = Tensors::new();
    for (name, view) in file.iter() {
        let Some(stored) = Storage::of(view.dtype()) else {
            let found = view.dtype();
            let why = format!("is stored as {found:?}; only F32, F16 and BF16 are read");
            return Err(fault(name, &why));
        };
        let values = stored.widen(view.data());
        tensors.insert(name.to_owned(), (view.shape().to_vec(), values));
    }
    check_values(&tensors)?;
    Ok(tensors)
}

/// PEFT leaves the adapter's name out: `….lora_A.default.weight` is `….lora_A.weight`.
fn without_adapter_name(name: &str) -> String {
    const NAMED: [(&str, &str); 3] = [
        (".lora_A.default.weight", ".lora_A.weight"),
        (".lora_B.default.weight", ".lora_B.weight"),
        (".lora_magnitude_vector.default", ".lora_magnitude_vector"),
    ];
    // In a live model the magnitude is a module with a weight.
    let name = name.replace(
        ".lora_magnitude_vector.default.weight",
        ".lora_magnitude_vector.default",
    );
    let plain = NAMED
        .iter()
        .find_map(|(named, plain)| Some(format!("{}{plain}", name.strip_suffix(named)?)));
    plain
        .unwrap_or(name)
        .replace(".modules_to_save.default.", ".")
}

fn check(tensors: &Tensors) -> Result<(), AdapterError> {
    check_values(tensors)?;
    for (name, (shape, _)) in tensors {
        if !name.starts_with(PREFIX) {
            return Err(fault(
                name,
                "has no name of PEFT's: it does not begin with base_model.model.",
            ));
        }
        check_partner(name, shape, tensors)?;
    }
    Ok(())
}

fn check_values(tensors: &Tensors) -> Result<(), AdapterError> {
    if tensors.is_empty() {
        return Err(AdapterError::Format("it holds no tensor".to_owned()));
    }
    for (name, (shape, values)) in tensors {
        if values.is_empty() {
            return Err(fault(name, "is empty"));
        }
        if values.len() != shape.iter().product::<usize>() {
            return Err(fault(name, "does not have as many values as its shape"));
        }
        if !values.iter().all(|value| value.is_finite()) {
            return Err(fault(name, "holds a value that is not finite"));
        }
    }
    Ok(())
}

/// `A` `[r × in]` and `B` `[out × r]` come together.
fn check_partner(name: &str, shape: &[usize], tensors: &Tensors) -> Result<(), AdapterError> {
    let (partner, mine, theirs) = if let Some(module) = name.strip_suffix(".lora_A.weight") {
        (format!("{module}.lora_B.weight"), 0, 1)
    } else if let Some(module) = name.strip_suffix(".lora_B.weight") {
        (format!("{module}.lora_A.weight"), 1, 0)
    } else {
        return Ok(());
    };
    match tensors.get(&partner) {
        Some((other, _))
            if other.len() == 2 && shape.len() == 2 && other[theirs] == shape[mine] =>
        {
            Ok(())
        }
        Some((other, _)) => Err(fault(
            name,
            &format!("of shape {shape:?} does not fit {partner} of shape {other:?}"),
        )),
        None => Err(fault(name, &format!("is there without {partner}"))),
    }
}

pub(super) fn fault(name: &str, why: &str) -> AdapterError {
    AdapterError::Tensor {
        name: name.to_owned(),
        why: why.to_owned(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Written by PEFT 0.21.2 (tests/fixtures/parity).
    const PEFT: &[u8] =
        include_bytes!("../../tests/fixtures/parity/bert/adapters/qv/adapter_model.safetensors");

    #[test]
    fn writes_the_bytes_that_peft_writes() {
        let tensors = read_tensors(PEFT).unwrap();
        assert_eq!(tensors.len(), 10);
        assert!(write_tensors(&tensors).unwrap() == PEFT);
    }

    #[test]
    fn refuses_what_would_load_silently_wrong() {
        let good = read_tensors(PEFT).unwrap();
        let a = good
            .keys()
            .find(|k| k.ends_with("lora_A.weight"))
            .unwrap()
            .clone();
        let with = |change: &dyn Fn(&mut Tensors)| {
            let mut tensors = good.clone();
            change(&mut tensors);
            write_tensors(&tensors).unwrap_err().to_string()
        };
        assert!(
            with(&|t| {
                t.remove(&a);
            })
            .contains("is there without")
        );
        assert!(with(&|t| t.get_mut(&a).unwrap().1[0] = f32::NAN).contains("not finite"));
        assert!(with(&|t| t.clear()).contains("no tensor"));
        assert!(
            with(&|t| {
                t.insert("classifier.weight".into(), (vec![1], vec![0.0]));
            })
            .contains("base_model.model.")
        );
        assert!(
            with(&|t| {
                t.insert(a.clone(), (vec![2, 2], vec![0.0; 4]));
            })
            .contains("does not fit")
        );
        assert!(read_tensors(&PEFT[..PEFT.len() - 1]).is_err());
    }
}
