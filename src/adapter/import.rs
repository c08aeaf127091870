//! Adapters of other tools.

use std::path::Path;

use super::config_file::CONFIG;
use super::merge::{Base, BaseFile, misfit};
use super::tensors::MODEL;
use super::{AdapterConfig, AdapterError, Parts, Tensors, factors, read_tensors};
use crate::fsio;

/// An adapter without a record of ours: what training can start from.
#[derive(Debug, Clone, PartialEq)]
pub struct Imported {
    /// PEFT's configuration; its [`lora`](AdapterConfig::lora) is the specification to go on with.
    pub config: AdapterConfig,
    /// Factors, magnitudes and whole modules by PEFT name.
    pub tensors: Tensors,
}

/// Reads a directory that PEFT, or a tool that writes its files, made for `base`.
///
/// PEFT warns of a tensor that is missing or has no place, and goes on with the base alone. Here it is an error: every
/// module that the configuration selects must have its factors, in its shape, and nothing may be left over.
pub fn import(dir: &Path, base: &[BaseFile]) -> Result<Imported, AdapterError> {
    let read = |name: &str| {
        let path = dir.join(name);
        match path.exists() {
            true => Ok(Some(fsio::read(&path)?)),
            false => Ok(None),
        }
    };
    Imported::read(&read, base)
}

impl Imported {
    /// Like [`import`], from wherever `read` finds the files; `None` is a file that is not there.
    pub fn read(
        read: &impl Fn(&str) -> Result<Option<Vec<u8>>, AdapterError>,
        base: &[BaseFile],
    ) -> Result<Self, AdapterError> {
        let Some(tensors) = read(MODEL)? else {
            let why = match read("adapter_model.bin")? {
                Some(_) => {
                    "the weights are in adapter_model.bin, which can hold code; have PEFT save them as safetensors"
                }
                None => "it is not there",
            };
            return Err(AdapterError::Format(why.to_owned()));
        };
        let config = read(CONFIG)?;
        let config = config.ok_or_else(|| AdapterError::Config("it is not there".to_owned()))?;
        let config = AdapterConfig::parse(&config)?;
        let tensors = read_tensors(&tensors)?;
        check_complete(
            &config,
            &factors::parts(&config, &tensors)?,
            &Base::open(base)?,
        )?;
        Ok(Self { config, tensors })
    }
}

fn check_complete(
    config: &AdapterConfig,
    parts: &Parts<'_>,
    base: &Base<'_>,
) -> Result<(), AdapterError> {
    let modules = base.modules()?;
    let paths: Vec<&str> = modules.keys().map(String::as_str).collect();
    for (path, factors) in &parts.adapted {
        let found = modules.get(*path);
        let found = found.ok_or_else(|| misfit(&format!("the base has no module {path}")))?;
        let (outputs, inputs) = (factors.outputs, factors.inputs);
        if *found != (outputs, inputs) {
            let why = format!(
                "the factors of {path} are for {outputs} outputs and {inputs} inputs; the base has {} and {}",
                found.0, found.1
            );
            return Err(misfit(&why));
        }
    }
    for selected in config.lora.apply(&paths)? {
        if !parts.adapted.contains_key(selected.path) {
            let path = selected.path;
            let why = format!(
                "adapter_config.json selects {path}, but the adapter has no factors for it"
            );
            return Err(misfit(&why));
        }
    }
    Ok(())
}
