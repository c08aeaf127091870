//! Keys as other tools spell them, and keys for what this version does not do.

use crate::document::{Fault, Faults};

/// Another tool's key, and what to write here.
const SPELLINGS: &[(&str, &str)] = &[
    ("base_model", "base"),
    ("model_name_or_path", "base"),
    ("model_name", "base"),
    ("model", "base"),
    ("tokenizer_name_or_path", "base"),
    ("datasets", "dataset"),
    ("dataset_name", "dataset"),
    ("dataset_path", "dataset"),
    ("train_file", "dataset"),
    ("task_type", "task"),
    ("problem_type", "task"),
    ("max_length", "sequence_len"),
    ("max_seq_length", "sequence_len"),
    ("max_seq_len", "sequence_len"),
    ("cutoff_len", "sequence_len"),
    ("model_max_length", "sequence_len"),
    ("excess_length_strategy", "on_overlong"),
    ("truncation", "on_overlong"),
    ("lora_r", "lora.r"),
    ("lora_rank", "lora.r"),
    ("rank", "lora.r"),
    ("lora_alpha", "lora.alpha"),
    ("lora_dropout", "lora.dropout"),
    ("lora_target_modules", "lora.target_modules"),
    ("lora_target", "lora.target_modules"),
    ("lora_target_linear", "lora.target_modules"),
    ("use_rslora", "lora.use_rslora"),
    ("peft_use_rslora", "lora.use_rslora"),
    ("learning_rate", "optimizer.learning_rate"),
    ("lr", "optimizer.learning_rate"),
    ("adam_beta1", "optimizer.betas"),
    ("adam_beta2", "optimizer.betas"),
    ("adam_epsilon", "optimizer.eps"),
    ("epsilon", "optimizer.eps"),
    ("weight_decay", "optimizer.weight_decay"),
    ("optim", "optimizer.name"),
    ("lr_scheduler_type", "lr_scheduler.name"),
    ("warmup_ratio", "lr_scheduler.warmup_ratio"),
    ("warmup_steps", "lr_scheduler.warmup_steps"),
    ("cosine_min_lr_ratio", "lr_scheduler.min_lr_ratio"),
    ("per_device_train_batch_size", "micro_batch_size"),
    ("train_batch_size", "micro_batch_size"),
    ("batch_size", "micro_batch_size"),
    ("gradient_accumulation", "gradient_accumulation_steps"),
    ("num_train_epochs", "num_epochs"),
    ("epochs", "num_epochs"),
    ("train_steps", "max_steps"),
    ("gradient_clipping", "max_grad_norm"),
    ("train_sampling_strategy", "group_by_length"),
    ("data_seed", "seed"),
    ("eval_steps", "eval.every_steps"),
    ("evals_per_epoch", "eval.every_steps"),
    ("eval_strategy", "eval"),
    ("evaluation_strategy", "eval"),
    ("metric_for_best_model", "eval.metric"),
    ("early_stopping_patience", "eval.early_stopping_patience"),
    ("load_best_model_at_end", "eval.load_best"),
    ("save_steps", "checkpoint.every_steps"),
    ("save_total_limit", "checkpoint.keep"),
    ("loss_watchdog_threshold", "watchdog.max_loss"),
    ("loss_watchdog_patience", "watchdog.patience"),
    ("pooling_mode", "pooling"),
    ("finetuning_type", "adapter"),
    ("modules_to_save", "lora.modules_to_save"),
    ("lora_modules_to_save", "lora.modules_to_save"),
    ("additional_target", "lora.modules_to_save"),
    ("use_dora", "lora.use_dora"),
    ("peft_use_dora", "lora.use_dora"),
    ("rank_pattern", "lora.rank_pattern"),
    ("alpha_pattern", "lora.alpha_pattern"),
    ("layers_to_transform", "lora.layers_to_transform"),
    ("peft_layers_to_transform", "lora.layers_to_transform"),
    ("init_lora_weights", "lora.init"),
    ("packing", "sample_packing"),
    ("neat_packing", "sample_packing"),
    ("train_on_inputs", "train_on"),
    ("train_on_prompt", "train_on"),
    ("mask_history", "train_on"),
    ("roles_to_train", "train_on"),
    ("assistant_only_loss", "train_on"),
    ("completion_only_loss", "train_on"),
    ("train_on_eot", "train_on_eos"),
    ("add_bos_token", "tokenizer.add_bos"),
    ("template", "chat_template"),
    ("chat_template_jinja", "chat_template.file"),
    ("chat_template_path", "chat_template.file"),
    ("bf16", "precision.compute"),
    ("torch_dtype", "precision.compute"),
    ("dtype", "precision.compute"),
    ("val_size", "val_set_size"),
    ("loraplus_lr_ratio", "optimizer.loraplus_lr_ratio"),
    ("use_gradient_checkpointing", "gradient_checkpointing"),
];

/// Keys that mean something elsewhere, and why they are not here.
const ABSENT: &[(&str, &str)] = &[
    (
        "deepspeed",
        "training runs in one process; the key is not needed",
    ),
    (
        "fsdp",
        "training runs in one process; the key is not needed",
    ),
    (
        "flash_attention",
        "attention is always computed in blocks; the key is not needed",
    ),
    (
        "report_to",
        "every step is written to metrics.jsonl; the key is not needed",
    ),
    (
        "save_strategy",
        "write `checkpoint: {every_steps: …}`; the key is not needed",
    ),
    (
        "output_dir",
        "a run's directory is named after its id; the key is not needed",
    ),
    (
        "logging_steps",
        "every step is written to metrics.jsonl; the key is not needed",
    ),
    (
        "logging",
        "every step is written to metrics.jsonl; the key is not needed",
    ),
    (
        "export",
        "the adapter is written into the run's directory; the key is not needed",
    ),
    (
        "val",
        "the validation split belongs to the dataset; see `retune dataset add`",
    ),
    (
        "val_file",
        "the validation split belongs to the dataset; see `retune dataset add`",
    ),
    (
        "labels",
        "the labels are those of the training split, sorted; the key is not needed",
    ),
    (
        "greater_is_better",
        "the metric says so itself; the key is not needed",
    ),
    (
        "resume_from_checkpoint",
        "resume with `retune train --resume RUN`",
    ),
    ("resume", "resume with `retune train --resume RUN`"),
    (
        "load_in_4bit",
        "quantised bases are not supported by this version",
    ),
    (
        "load_in_8bit",
        "quantised bases are not supported by this version",
    ),
    (
        "pad_to_sequence_len",
        "batches are always packed without padding; the key is not needed",
    ),
    (
        "fp16",
        "f16 overflows in training; write `precision: {compute: bf16}`",
    ),
];

/// Replaces "unknown key" by what the key is called here, where it is known from elsewhere.
pub(super) fn explain(faults: Faults) -> Faults {
    let explained = faults.as_slice().iter().cloned().map(explain_one);
    Faults::check(explained.collect()).err().unwrap_or(faults)
}

fn explain_one(mut fault: Fault) -> Fault {
    if !fault.message.starts_with("unknown key") {
        return fault;
    }
    let key = fault.key.rsplit('.').next().unwrap_or_default();
    let spelling = SPELLINGS.iter().find(|(foreign, _)| *foreign == key);
    let absent = ABSENT.iter().find(|(foreign, _)| *foreign == key);
    if let Some((_, ours)) = spelling.filter(|(_, ours)| *ours != fault.key) {
        fault.message = format!("unknown key; retune calls it `{ours}`");
    } else if let Some((_, why)) = absent {
        fault.message = format!("unknown key: {why}");
    }
    fault
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_is_listed_twice() {
        let mut keys: Vec<&str> = SPELLINGS
            .iter()
            .chain(ABSENT)
            .map(|(key, _)| *key)
            .collect();
        keys.sort_unstable();
        let all = keys.len();
        keys.dedup();
        assert_eq!(keys.len(), all);
    }
}
