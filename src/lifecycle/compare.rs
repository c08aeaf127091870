//! A merged model beside the base and adapter that it was made of.

use std::error::Error;

use super::export::Drift;
use crate::adapter::{Adapter, AdapterTask, Tensors};
use crate::base::network::{Batch, Model, Setup, Trained};
use crate::base::{Checkpoint, Precision, Tokenizer, Weights};

/// The largest difference of their logits on `texts`, one text at a time, in f32.
pub(super) fn drift(
    base: &Checkpoint,
    adapter: &Adapter,
    merged: &Checkpoint,
    texts: &[String],
) -> Result<Drift, Box<dyn Error>> {
    let tokenizer = Tokenizer::from_bytes(&base.tokenizer, adapter.record.max_length)?;
    let apart = Model::load_adapter(base, adapter)?;
    let whole = Setup {
        task: apart.task(),
        trained: Trained::Head,
        precision: Precision::F32,
        seed: 0,
    };
    let whole = Model::load_trained(merged, &whole, &heads(adapter, merged)?)?;
    let mut drift = Drift {
        texts: texts.len(),
        logits: 0.0,
        largest: 0.0,
    };
    for text in texts {
        let ids = tokenizer.encode(text)?.ids;
        let batch = Batch::new([ids.as_slice()], Vec::new());
        for (one, other) in apart.logits(&batch)?.iter().zip(whole.logits(&batch)?) {
            if !(one.is_finite() && other.is_finite()) {
                return Err("a logit is not finite".into());
            }
            drift.logits = drift.logits.max(f64::from((one - other).abs()));
            drift.largest = drift.largest.max(f64::from(one.abs()));
        }
    }
    Ok(drift)
}

/// The head of a classifier as the merged checkpoint stores it, by PEFT name. A language model has all in its weights.
fn heads(adapter: &Adapter, merged: &Checkpoint) -> Result<Tensors, Box<dyn Error>> {
    let mut heads = Tensors::new();
    if adapter.config.task == Some(AdapterTask::CausalLm) {
        return Ok(heads);
    }
    let weights = Weights::open(merged)?;
    for (name, (shape, _)) in adapter.parts()?.whole {
        let values = weights.read(name, shape)?;
        heads.insert(format!("base_model.model.{name}"), (shape.to_vec(), values));
    }
    Ok(heads)
}
