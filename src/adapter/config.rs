//! What PEFT's LoRA configuration says of an adapter.

use super::{LoraSpec, TargetModules};

/// The PEFT release whose files these are.
pub const PEFT_VERSION: &str = "0.21.2";

/// What of PEFT's LoRA configuration is used here; every other key has its default value.
#[derive(Debug, Clone, PartialEq)]
pub struct AdapterConfig {
    /// Where the base model came from: an id on the Hugging Face hub or a path.
    pub base_model_name_or_path: Option<String>,
    /// The 40-digit commit of the base, if it came from a hub.
    pub revision: Option<String>,
    /// What the model does; files of other tools may leave it open.
    pub task: Option<AdapterTask>,
    /// Whether the base stores its weights `[in × out]`, as GPT-2 does. PEFT corrects it, so it changes nothing.
    pub fan_in_fan_out: bool,
    /// Ranks, scales and modules.
    pub lora: LoraSpec,
    /// Keys of the file that are not known here and that are off: null, false or empty.
    pub ignored: Vec<String>,
}

/// PEFT's `task_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AdapterTask {
    /// Classification of whole sequences; the head is part of the adapter.
    SeqCls,
    /// Generation.
    CausalLm,
}

/// The names under which PEFT keeps the head of a sequence classifier. It writes both, whichever the model has.
const HEADS: [&str; 2] = ["classifier", "score"];

impl AdapterConfig {
    /// The configuration of an adapter trained as `lora` says on `modules`, the paths that it resolved to.
    ///
    /// All-linear is written as these paths, which is what PEFT does, and so is an expression: it might match modules
    /// that are not linear, at which PEFT gives up, and few servers read one.
    pub fn new(
        lora: &LoraSpec,
        task: AdapterTask,
        modules: &[String],
        base: Option<String>,
        revision: Option<String>,
    ) -> Self {
        let mut lora = lora.clone();
        if !matches!(lora.target_modules, TargetModules::Suffixes(_)) {
            lora.target_modules = TargetModules::Suffixes(modules.to_vec());
            lora.exclude_modules = None;
            lora.layers_to_transform.clear();
            lora.layers_pattern.clear();
        }
        if task == AdapterTask::SeqCls {
            let named = |head: &&str| lora.modules_to_save.iter().any(|name| name == head);
            let heads: Vec<&str> = HEADS.into_iter().filter(|head| !named(head)).collect();
            lora.modules_to_save
                .extend(heads.into_iter().map(str::to_owned));
        }
        lora.rank_pattern.sort_by(|a, b| a.0.cmp(&b.0));
        lora.alpha_pattern.sort_by(|a, b| a.0.cmp(&b.0));
        Self {
            base_model_name_or_path: base,
            revision,
            task: Some(task),
            fan_in_fan_out: false,
            lora,
            ignored: Vec::new(),
        }
    }

    /// The specification that selects the same modules and gives the same scales.
    pub fn spec(&self) -> LoraSpec {
        self.lora.clone()
    }
}

impl AdapterTask {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::SeqCls => "SEQ_CLS",
            Self::CausalLm => "CAUSAL_LM",
        }
    }
}
