//! Adapters: LoRA factors in PEFT's on-disk format.
