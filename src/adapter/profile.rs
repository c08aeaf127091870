//! What a server can load, and an adapter made to fit it.
//!
//! Servers read PEFT's files with fewer features than PEFT, and some of them misread what they do not know: SGLang and
//! llama.cpp take `alpha / r` for the scale of every adapter. What can be said in their terms without changing a number is
//! rewritten; the rest is refused.

use std::collections::BTreeMap;
use std::path::Path;

use super::merge::{Base, BaseFile};
use super::tensors::PREFIX;
use super::{
    Adapter, AdapterConfig, AdapterError, AdapterTask, Factors, LoraSpec, Parts, TargetModules,
    Tensors,
};
use crate::fsio::{self, PendingDir};

/// Who is to load an adapter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// PEFT, and what reads PEFT's files in full.
    Peft,
    /// vLLM (read in its release 0.32.0).
    Vllm,
    /// SGLang (0.5.23).
    Sglang,
    /// llama.cpp, through its `convert_lora_to_gguf.py`.
    Gguf,
}

/// An adapter in a server's terms.
#[derive(Debug, Clone, PartialEq)]
pub struct Served {
    /// What is written.
    pub adapter: Adapter,
    /// What was rewritten, for people.
    pub changes: Vec<String>,
    /// What the server has to be told, for people.
    pub notes: Vec<String>,
}

/// Ranks for which servers have buffers; vLLM's `--max-lora-rank` takes these.
const RANKS: [usize; 8] = [8, 16, 32, 64, 128, 256, 320, 512];

/// vLLM's `--max-lora-rank` where nothing is given.
const VLLM_DEFAULT_RANK: usize = 16;

impl Profile {
    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Peft => "peft",
            Self::Vllm => "vllm",
            Self::Sglang => "sglang",
            Self::Gguf => "gguf",
        }
    }

    /// `adapter` in the terms of this server; it computes the same. Everything that stands against it is named at once.
    ///
    /// `base` gives the shapes of modules that the server will expect beside those that were adapted.
    pub fn fit(self, adapter: &Adapter, base: &[BaseFile]) -> Result<Served, AdapterError> {
        if self == Self::Peft {
            return Ok(Served {
                adapter: adapter.clone(),
                changes: Vec::new(),
                notes: Vec::new(),
            });
        }
        let base = Base::open(base)?;
        let parts = adapter.parts()?;
        let mut faults = self.refused(adapter, &parts, &base);
        let common = Common::of(&parts.adapted).map_err(|why| faults.push(why));
        match common {
            Ok(common) if faults.is_empty() => self.rewrite(adapter, &parts, &base, common),
            _ => Err(AdapterError::Profile {
                server: self.name(),
                faults,
            }),
        }
    }

    /// Features that the server does not have.
    fn refused(self, adapter: &Adapter, parts: &Parts<'_>, base: &Base<'_>) -> Vec<String> {
        const INSTEAD: &str = "export the merged model (--merged), or";
        let mut faults = Vec::new();
        if adapter.config.lora.use_dora {
            faults.push(format!("it uses DoRA; {INSTEAD} train without use_dora"));
        }
        match adapter.config.task {
            None => faults.push("adapter_config.json has no task_type".to_owned()),
            Some(AdapterTask::CausalLm) => {
                for name in parts.whole.keys() {
                    faults.push(format!(
                        "it holds {name} whole; {INSTEAD} train without modules_to_save"
                    ));
                }
            }
            Some(AdapterTask::SeqCls) if !self.serves_classifiers(base) => faults.push(format!(
                "it has the head of a classifier, which {} does not load with an adapter for {}ForSequenceClassification; {INSTEAD} serve it with retune or PEFT",
                self.name(),
                base.family.class
            )),
            Some(AdapterTask::SeqCls) => {}
        }
        if self == Self::Vllm && base.family.class == "GPT2" {
            faults.push(format!(
                "vLLM has no LoRA for GPT-2; {INSTEAD} choose another base"
            ));
        }
        faults
    }

    /// Classes of vLLM that take adapters with a head.
    fn serves_classifiers(self, base: &Base<'_>) -> bool {
        let without = ["Bert", "DistilBert", "ModernBert", "GPT2"];
        self == Self::Vllm && !without.contains(&base.family.class)
    }

    fn rewrite(
        self,
        adapter: &Adapter,
        parts: &Parts<'_>,
        base: &Base<'_>,
        common: Common,
    ) -> Result<Served, AdapterError> {
        let (leaves, added) = beside(parts, base)?;
        let mut tensors = Tensors::new();
        for (path, factors) in &parts.adapted {
            insert(&mut tensors, path, common.widened(factors));
        }
        for (path, (outputs, inputs)) in &added {
            insert(&mut tensors, path, common.zero(*outputs, *inputs));
        }
        for name in parts.whole.keys() {
            let name = format!("{PREFIX}{name}");
            tensors.extend(adapter.tensors.get(&name).map(|t| (name, t.clone())));
        }
        let old = &adapter.config.lora;
        let lora = LoraSpec {
            dropout: old.dropout,
            modules_to_save: old.modules_to_save.clone(),
            init: old.init,
            ..LoraSpec::new(common.r, common.alpha, TargetModules::Suffixes(leaves))
        };
        let config = AdapterConfig {
            lora,
            ..adapter.config.clone()
        };
        let served = Adapter {
            config,
            tensors,
            record: adapter.record.clone(),
            chat_template: adapter.chat_template.clone(),
        };
        served.parts()?;
        Ok(Served {
            changes: changes(old, &served.config.lora, added.len()),
            notes: self.notes(&common, &served.config),
            adapter: served,
        })
    }

    fn notes(self, common: &Common, config: &AdapterConfig) -> Vec<String> {
        let mut notes = Vec::new();
        if self == Self::Vllm && common.r > VLLM_DEFAULT_RANK {
            notes.push(format!("start vLLM with --max-lora-rank {}", common.r));
        }
        if config.base_model_name_or_path.is_none() {
            notes.push(
                "the base has no name here: the server must be started with the very base that the adapter was trained on; none of them checks it"
                    .to_owned(),
            );
        }
        notes
    }
}

impl Served {
    /// Writes the directory; it appears whole or not at all.
    pub fn write_dir(&self, dir: &Path) -> Result<u64, AdapterError> {
        let pending = PendingDir::beside(dir)?;
        let mut bytes = 0;
        for (name, content) in self.adapter.files()? {
            fsio::write_atomic(&pending.path().join(name), &content)?;
            bytes += content.len() as u64;
        }
        let mut read = Adapter::read_dir(pending.path())?;
        // serde_json reads a long decimal fraction as the nearest f64 or its neighbour; PEFT and servers read the nearest.
        let (alpha, found) = (self.adapter.config.lora.alpha, &mut read.config.lora.alpha);
        if (*found - alpha).abs() <= alpha * f64::EPSILON {
            *found = alpha;
        }
        self.adapter.compare(&read)?;
        pending.commit(dir)?;
        Ok(bytes)
    }
}

/// One rank and one scale for all modules.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Common {
    r: usize,
    alpha: f64,
    scale: f64,
}

impl Common {
    /// The smallest allowed rank, and the scale of the first module.
    fn of(adapted: &BTreeMap<&str, Factors<'_>>) -> Result<Self, String> {
        let largest = adapted.values().map(|factors| factors.r).max();
        let r = largest.and_then(|largest| RANKS.into_iter().find(|r| *r >= largest));
        let r = r.ok_or_else(|| {
            format!(
                "its rank is above {}; train with a smaller one",
                RANKS[RANKS.len() - 1]
            )
        })?;
        let scale = adapted.values().next().map_or(1.0, |factors| factors.scale);
        let common = Self {
            r,
            alpha: scale * r as f64,
            scale,
        };
        if common.alpha / r as f64 != scale {
            return Err(format!(
                "its scale {scale} cannot be written as an alpha for rank {r}; train with an alpha that is a multiple of the rank"
            ));
        }
        let unfit = adapted.iter().find(|(_, factors)| !common.folds(factors));
        match unfit {
            Some((path, factors)) => Err(format!(
                "{path} has the scale {} and others have {scale}: one alpha for all would round the factors; train with scales that differ by powers of two, or export the merged model (--merged)",
                factors.scale
            )),
            None => Ok(common),
        }
    }

    /// Whether the module's own scale can move into its `B` without rounding.
    fn folds(&self, factors: &Factors<'_>) -> bool {
        let ratio = (factors.scale / self.scale) as f32;
        let exact = |b: &f32| (b * ratio).is_finite() && (b * ratio) / ratio == *b;
        ratio.to_bits().trailing_zeros() >= 23
            && f64::from(ratio) * self.scale == factors.scale
            && factors.b.iter().all(exact)
    }

    /// `A` and `B` with zeros up to the common rank, `B` times what its scale is more than the common one.
    fn widened(&self, factors: &Factors<'_>) -> Pair {
        let ratio = (factors.scale / self.scale) as f32;
        let mut a = factors.a.to_vec();
        a.resize(self.r * factors.inputs, 0.0);
        let mut b = Vec::with_capacity(self.r * factors.outputs);
        for row in factors.b.chunks_exact(factors.r) {
            b.extend(row.iter().map(|value| value * ratio));
            b.resize(b.len() + self.r - factors.r, 0.0);
        }
        Pair {
            a: (vec![self.r, factors.inputs], a),
            b: (vec![factors.outputs, self.r], b),
        }
    }

    fn zero(&self, outputs: usize, inputs: usize) -> Pair {
        Pair {
            a: (vec![self.r, inputs], vec![0.0; self.r * inputs]),
            b: (vec![outputs, self.r], vec![0.0; outputs * self.r]),
        }
    }
}

struct Pair {
    a: (Vec<usize>, Vec<f32>),
    b: (Vec<usize>, Vec<f32>),
}

fn insert(tensors: &mut Tensors, path: &str, pair: Pair) {
    tensors.insert(format!("{PREFIX}{path}.lora_A.weight"), pair.a);
    tensors.insert(format!("{PREFIX}{path}.lora_B.weight"), pair.b);
}

/// The last segments of the adapted paths, and the modules of the base that end like them and are not adapted.
type Beside = (Vec<String>, BTreeMap<String, (usize, usize)>);

fn beside(parts: &Parts<'_>, base: &Base<'_>) -> Result<Beside, AdapterError> {
    let leaf = |path: &str| path.rsplit('.').next().unwrap_or(path).to_owned();
    let mut leaves: Vec<String> = parts.adapted.keys().map(|path| leaf(path)).collect();
    leaves.sort();
    leaves.dedup();
    let mut added = base.modules()?;
    added.retain(|path, _| {
        let whole = parts.whole.contains_key(format!("{path}.weight").as_str());
        leaves.contains(&leaf(path)) && !parts.adapted.contains_key(path.as_str()) && !whole
    });
    Ok((leaves, added))
}

fn changes(old: &LoraSpec, new: &LoraSpec, added: usize) -> Vec<String> {
    let mut changes = Vec::new();
    if old.use_rslora {
        changes.push("the scale alpha/√r of rsLoRA is in lora_alpha".to_owned());
    }
    if !(old.rank_pattern.is_empty() && old.alpha_pattern.is_empty()) {
        changes.push("rank_pattern and alpha_pattern are in the factors".to_owned());
    }
    if new.r != old.r {
        let (from, to) = (old.r, new.r);
        changes.push(format!("rank {from} is {to}, with zeros"));
    }
    if new.alpha != old.alpha {
        changes.push(format!("lora_alpha {} is {}", old.alpha, new.alpha));
    }
    if added > 0 {
        changes.push(format!(
            "{added} modules with the same last name and no factors got zeros"
        ));
    }
    if new.target_modules != old.target_modules {
        changes.push("target_modules are the last names of the modules".to_owned());
    }
    changes
}
