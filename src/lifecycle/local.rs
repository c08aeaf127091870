//! Running models to answer a suite.

use super::evaluate::{EvaluateError, LABELS, TEXTS};
use super::workspace::Workspace;
use crate::adapter::{AdapterTask, Product};
use crate::base::chat::ChatTemplate;
use crate::base::network::{Model, Setup, Task, Trained};
use crate::base::{
    self, BaseId, BaseManifest, Checkpoint, Config, Pooling, Precision, Tokenizer, TokenizerConfig,
};
use crate::dataset::{self, DatasetId, Example, SplitName};
use crate::digest::Digest;
use crate::eval::{
    Answer, Centroids, Embedding, EvalError, Generation, Local, Speaker, Subject, Suite,
    Task as SuiteTask,
};
use crate::store::TreeId;
use crate::train::{JobText, PromptEncoder, RunStart, TrainError};

/// The labels of what a run trained, where it has some, and what it says to each case.
pub(super) fn adapter(
    workspace: &Workspace<'_>,
    suite: &Suite,
    subject: &Subject,
    base: &BaseId,
    id: &TreeId,
    run: Option<&Digest>,
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
    let speaks = product.task() == Some(AdapterTask::CausalLm);
    let model = || Model::load_product(&checkpoint, &product).map_err(EvalError::Network);
    match suite.task() {
        SuiteTask::Generation(asked) if speaks => {
            let text = run.map(|run| job_text(workspace, run)).transpose()?;
            let voice = Voice {
                checkpoint: &checkpoint,
                template: product.chat_template(),
                text: text.unwrap_or_default(),
            };
            return Ok((
                Vec::new(),
                voice.answer(workspace, suite, asked, base, model)?,
            ));
        }
        SuiteTask::Generation(_) | SuiteTask::Scored(_) => {
            return Err(EvaluateError::other_task(suite, subject, LABELS));
        }
        SuiteTask::Classification if speaks => {
            return Err(EvaluateError::other_task(suite, subject, TEXTS));
        }
        SuiteTask::Classification => {}
    }
    let local = Local {
        tokenizer: &Tokenizer::from_bytes(&checkpoint.tokenizer, record.max_length)?,
        classifier: &model()?,
        reporter: workspace.act.reporter,
    };
    let answers = local.predict(&record.labels, &texts(suite))?;
    Ok((record.labels.clone(), answers))
}

/// What the bare base says to each case.
pub(super) fn base(
    workspace: &Workspace<'_>,
    suite: &Suite,
    subject: &Subject,
    id: &BaseId,
) -> Result<(Vec<String>, Vec<Answer>), EvaluateError> {
    let SuiteTask::Generation(asked) = suite.task() else {
        return Err(EvaluateError::other_task(suite, subject, TEXTS));
    };
    let checkpoint = checkpoint(workspace, id)?;
    if !Config::parse(&checkpoint.config)?.is_decoder() {
        return Err(EvaluateError::other_task(suite, subject, "vectors"));
    }
    let setup = Setup {
        task: Task::CausalLm,
        trained: Trained::Head,
        precision: Precision::F32,
        seed: 0,
    };
    let model = || Model::load(&checkpoint, &setup).map_err(EvalError::Network);
    let voice = Voice {
        checkpoint: &checkpoint,
        template: None,
        text: JobText::default(),
    };
    Ok((
        Vec::new(),
        voice.answer(workspace, suite, asked, id, model)?,
    ))
}

/// How a language model is spoken to.
struct Voice<'a> {
    checkpoint: &'a Checkpoint,
    /// The adapter's own; else the base's.
    template: Option<&'a str>,
    /// What the training job said about texts.
    text: JobText,
}

impl Voice<'_> {
    fn answer(
        &self,
        workspace: &Workspace<'_>,
        suite: &Suite,
        asked: &Generation,
        base: &BaseId,
        model: impl FnOnce() -> Result<Model, EvalError>,
    ) -> Result<Vec<Answer>, EvaluateError> {
        let config = Config::parse(&self.checkpoint.config)?;
        let tokenizer = Tokenizer::from_bytes(&self.checkpoint.tokenizer, config.longest())?;
        let template = self.template()?;
        let talks = suite.cases().iter().any(|case| !case.messages.is_empty());
        if talks && template.is_none() {
            return Err(EvaluateError::NoTemplate {
                suite: suite.name().to_string(),
                base: *base,
            });
        }
        let template = template.as_ref().filter(|_| talks);
        let add_bos = self.text.add_bos;
        let prompts = PromptEncoder::new(self.checkpoint, &tokenizer, template, add_bos)?;
        let speaker = Speaker {
            tokenizer: &tokenizer,
            prompts: &prompts,
            model: &model()?,
            reporter: workspace.act.reporter,
        };
        Ok(speaker.answer(suite, asked)?)
    }

    fn template(&self) -> Result<Option<ChatTemplate>, EvaluateError> {
        let names = TokenizerConfig::of(self.checkpoint)?;
        let own = names.templates.get("default").map(String::as_str);
        let Some(source) = self.template.or(own) else {
            return Ok(None);
        };
        let date = self.text.template.as_ref().and_then(|asked| asked.date);
        let template = ChatTemplate::new(source, names.tokens, date);
        Ok(Some(template.map_err(TrainError::from)?))
    }
}

/// What the job of a run said about texts.
fn job_text(workspace: &Workspace<'_>, run: &Digest) -> Result<JobText, EvaluateError> {
    let start = RunStart::decode(&workspace.store.read(run)?)?;
    Ok(start.job.text)
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
    let embedder = Embedder::open(workspace, base)?;
    let questions: Vec<&str> = rows.iter().map(Example::question).collect();
    let mut embeddings = Vec::new();
    for (index, row) in embedder
        .embed(
            workspace,
            "embedding the training split for its centroids",
            &questions,
        )?
        .into_iter()
        .enumerate()
    {
        let text = |why| EvalError::Centroids(format!("training row {}: {why}", index + 1));
        embeddings.extend(row.map_err(text)?);
    }
    let centroids = Centroids::fit(&labels, &embeddings, embedder.width)?;
    let answer = |row: Result<Vec<f32>, String>| match row {
        Ok(embedding) => centroids.answer(&embedding),
        Err(why) => Answer::Error(why),
    };
    let what = "embedding the cases for nearest-centroid";
    let cases = embedder.embed(workspace, what, &texts(suite))?;
    let answers = cases.into_iter().map(answer);
    Ok((centroids.labels(), answers.collect()))
}

/// A base that turns texts into vectors: the means of its last hidden states.
pub(super) struct Embedder {
    tokenizer: Tokenizer,
    model: Model,
    longest: usize,
    width: usize,
}

impl Embedder {
    pub(super) fn open(workspace: &Workspace<'_>, id: &BaseId) -> Result<Self, EvaluateError> {
        let checkpoint = checkpoint(workspace, id)?;
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
        Ok(Self {
            tokenizer: Tokenizer::from_bytes(&checkpoint.tokenizer, config.longest())?,
            model: Model::load(&checkpoint, &setup).map_err(EvalError::Network)?,
            longest: config.longest(),
            width: config.hidden_size,
        })
    }

    /// One vector for each text; what the base does not read of a text does not count.
    pub(super) fn embed(
        &self,
        workspace: &Workspace<'_>,
        what: &str,
        texts: &[&str],
    ) -> Result<Vec<Embedding>, EvaluateError> {
        Ok(self.local(workspace).embed(what, texts)?)
    }

    /// The same, where a text that the base does not read to its end has none.
    pub(super) fn embed_whole(
        &self,
        workspace: &Workspace<'_>,
        what: &str,
        texts: &[&str],
    ) -> Result<Vec<Embedding>, EvaluateError> {
        let vectors = self.embed(workspace, what, texts)?.into_iter();
        let whole = |(vector, text): (Embedding, &&str)| match self.tokenizer.encode(text) {
            Ok(read) if read.truncated() => Err(format!(
                "it has {} tokens; the base reads {}",
                read.length, self.longest
            )),
            _ => vector,
        };
        Ok(vectors.zip(texts).map(whole).collect())
    }

    fn local<'a>(&'a self, workspace: &'a Workspace<'_>) -> Local<'a> {
        Local {
            tokenizer: &self.tokenizer,
            classifier: &self.model,
            reporter: workspace.act.reporter,
        }
    }
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
