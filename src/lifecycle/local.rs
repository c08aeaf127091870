//! Running models to answer a suite.

use super::evaluate::EvaluateError;
use super::workspace::Workspace;
use crate::adapter::Product;
use crate::base::network::{Model, Setup, Task, Trained};
use crate::base::{self, BaseId, BaseManifest, Checkpoint, Config, Pooling, Precision, Tokenizer};
use crate::dataset::{self, DatasetId, Example, SplitName};
use crate::digest::Digest;
use crate::eval::{Answer, Centroids, EvalError, Local, Suite};
use crate::store::TreeId;

/// The labels of what a run trained, and what it says to each case.
pub(super) fn adapter(
    workspace: &Workspace<'_>,
    suite: &Suite,
    base: &BaseId,
    id: &TreeId,
) -> Result<(Vec<String>, Vec<Answer>), EvaluateError> {
    let product = Product::open(&workspace.store, id)?;
    let record = product.record();
    if record.base.tree != base.digest() {
        return Err(EvaluateError::OtherBase {
            adapter: *id,
            named: record.base.tree.into(),
            base: *base,
        });
    }
    let checkpoint = checkpoint(workspace, base)?;
    let tokenizer = Digest::of(&checkpoint.tokenizer);
    if record.tokenizer != tokenizer {
        return Err(EvaluateError::OtherTokenizer {
            adapter: *id,
            named: record.tokenizer,
            base: tokenizer,
        });
    }
    let local = Local {
        tokenizer: &Tokenizer::from_bytes(&checkpoint.tokenizer, record.max_length)?,
        classifier: &Model::load_product(&checkpoint, &product).map_err(EvalError::Network)?,
        reporter: workspace.act.reporter,
    };
    let answers = local.predict(&record.labels, &texts(suite))?;
    Ok((record.labels.clone(), answers))
}

/// The labels of a dataset, and the one whose centroid is nearest to each case.
pub(super) fn centroid(
    workspace: &Workspace<'_>,
    suite: &Suite,
    base: &BaseId,
    id: &DatasetId,
) -> Result<(Vec<String>, Vec<Answer>), EvaluateError> {
    let manifest = dataset::load(&workspace.store, id)?;
    let rows = dataset::examples(&workspace.store, &manifest, SplitName::Train)?;
    let labels: Vec<&str> = rows.iter().filter_map(Example::label).collect();
    if labels.len() != rows.len() || labels.is_empty() {
        return Err(EvaluateError::NoLabels(*id));
    }
    let checkpoint = checkpoint(workspace, base)?;
    let config = Config::parse(&checkpoint.config)?;
    // The head is not used; two labels are the fewest that a classifier can have.
    let task = match config.is_decoder() {
        true => Task::CausalLm,
        false => Task::SeqCls {
            labels: 2,
            pooling: Pooling::Mean,
        },
    };
    let setup = Setup {
        task,
        trained: Trained::Head,
        precision: Precision::F32,
        seed: 0,
    };
    let classifier = Model::load(&checkpoint, &setup);
    let local = Local {
        tokenizer: &Tokenizer::from_bytes(&checkpoint.tokenizer, config.longest())?,
        classifier: &classifier.map_err(EvalError::Network)?,
        reporter: workspace.act.reporter,
    };
    let questions: Vec<&str> = rows.iter().map(Example::question).collect();
    let mut embeddings = Vec::new();
    for (index, row) in local
        .embed("embedding the training split for its centroids", &questions)?
        .into_iter()
        .enumerate()
    {
        let text = |why| EvalError::Centroids(format!("training row {}: {why}", index + 1));
        embeddings.extend(row.map_err(text)?);
    }
    let centroids = Centroids::fit(&labels, &embeddings, config.hidden_size)?;
    let answer = |row: Result<Vec<f32>, String>| match row {
        Ok(embedding) => centroids.answer(&embedding),
        Err(why) => Answer::Error(why),
    };
    let cases = local.embed("embedding the cases for nearest-centroid", &texts(suite))?;
    let answers = cases.into_iter().map(answer);
    Ok((centroids.labels(), answers.collect()))
}

fn checkpoint(workspace: &Workspace<'_>, id: &BaseId) -> Result<Checkpoint, EvaluateError> {
    let record = workspace.tenant().bases().by_id(&id.digest())?;
    let record = record.ok_or(EvaluateError::UnknownBase(*id))?;
    let manifest = BaseManifest::decode(&record.document)?;
    Ok(base::open(&workspace.store, &manifest)?)
}

fn texts(suite: &Suite) -> Vec<&str> {
    suite
        .cases()
        .iter()
        .map(|case| case.text.as_str())
        .collect()
}
