//! What is trained of a model, and by which names: factors, whole modules, or everything.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::body::{Body, NormId, NormKind, Projection, ProjectionId, Role, Table, TableSource};
use super::linear::{Adapted, Block, Linear};
use super::{NetworkError, Parameter, Trained, dora, random};
use crate::base::{AdaptedModule as AdaptedPath, Init, LoraError, LoraSpec, TargetModules};

/// What transformers calls the scores of the vocabulary.
const HEAD: &str = "lm_head";

/// How each part of a body runs, and the parameters that this needs.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) parameters: Vec<Parameter>,
    pub(super) projections: Vec<Applied>,
    /// Gain and bias of each norm, where they are trained.
    pub(super) norms: Vec<Option<(usize, Option<usize>)>>,
    /// The tables, by path, that are trained.
    pub(super) tables: BTreeMap<String, usize>,
    pub(super) dropout: f64,
    /// Below this layer nothing is trained.
    pub(super) lowest: usize,
}

/// Where a plan's values come from.
#[derive(Debug, Clone, Copy)]
pub(super) enum Origin {
    /// A seed: every part of the specification must select something.
    Fresh(u64),
    /// An adapter that exists, whose specification is taken as PEFT takes it.
    Stored,
}

/// How a projection runs.
#[derive(Debug)]
pub(super) enum Applied {
    Frozen(Arc<Linear>),
    Adapted(Adaptation),
    Trained(Vec<TrainedModule>),
}

/// A frozen projection with factors on some of its modules.
#[derive(Debug)]
pub(super) struct Adaptation {
    pub(super) layer: Adapted,
    /// One per block.
    pub(super) modules: Vec<AdaptedModule>,
}

/// The parameters of one adapted module, and its part of the projection.
#[derive(Debug)]
pub(super) struct AdaptedModule {
    pub(super) path: String,
    pub(super) block: Block,
    pub(super) r: usize,
    pub(super) scale: f32,
    pub(super) a: usize,
    pub(super) b: usize,
    pub(super) magnitude: Option<usize>,
}

/// The parameters of a module that is trained itself.
#[derive(Debug)]
pub(super) struct TrainedModule {
    pub(super) weight: usize,
    pub(super) bias: Option<usize>,
    pub(super) outputs: usize,
}

impl Plan {
    /// The plan, and the parameters' first values.
    ///
    /// `A` is U(−1/√in, 1/√in) or N(0, 1/r²) and `B` zero as PEFT makes them; a head that the checkpoint lacks is N(0,
    /// `initializer_range`²) with a zero bias as transformers makes it; each from its own stream of the seed.
    pub(super) fn new(
        body: &Body,
        trained: Trained<'_>,
        origin: Origin,
    ) -> Result<(Self, Vec<Vec<f32>>), NetworkError> {
        let mut planner = Planner::new(body, trained, origin)?;
        planner.tables()?;
        let projections = (0..body.projections.len())
            .map(|index| planner.projection(&body.projections[index]))
            .collect::<Result<_, _>>()?;
        let norms = (0..body.norms.len())
            .map(|index| planner.norm(NormId(index)))
            .collect::<Result<_, _>>()?;
        let plan = Self {
            parameters: planner.parameters,
            projections,
            norms,
            tables: planner.tables,
            dropout: planner.lora.map_or(0.0, |lora| lora.dropout),
            lowest: 0,
        };
        let lowest = plan.lowest_trained(body);
        Ok((Self { lowest, ..plan }, planner.values))
    }

    pub(super) fn applied(&self, id: ProjectionId) -> &Applied {
        &self.projections[id.0]
    }

    fn lowest_trained(&self, body: &Body) -> usize {
        if !self.tables.is_empty() {
            return 0;
        }
        let is_trained = |id: &ProjectionId| !matches!(self.applied(*id), Applied::Frozen(_));
        let first = body
            .layers
            .iter()
            .position(|layer| layer.projections().iter().any(is_trained));
        first.unwrap_or(body.layers.len())
    }
}

struct Planner<'a> {
    body: &'a Body,
    lora: Option<&'a LoraSpec>,
    everything: bool,
    /// Rank and scale of the adapted modules, by path.
    adapted: BTreeMap<String, (usize, f64)>,
    seed: Option<u64>,
    parameters: Vec<Parameter>,
    values: Vec<Vec<f32>>,
    tables: BTreeMap<String, usize>,
}

impl<'a> Planner<'a> {
    fn new(body: &'a Body, trained: Trained<'a>, origin: Origin) -> Result<Self, NetworkError> {
        let lora = match trained {
            Trained::Lora(lora) => Some(lora),
            Trained::Head | Trained::Everything => None,
        };
        Ok(Self {
            body,
            lora,
            everything: trained == Trained::Everything,
            adapted: match lora {
                Some(lora) => resolve(lora, body, origin)?,
                None => BTreeMap::new(),
            },
            seed: match origin {
                Origin::Fresh(seed) => Some(seed),
                Origin::Stored => None,
            },
            parameters: Vec::new(),
            values: Vec::new(),
            tables: BTreeMap::new(),
        })
    }

    fn projection(&mut self, projection: &Projection) -> Result<Applied, NetworkError> {
        let saved = projection.modules.iter().filter(|m| self.is_whole(&m.path));
        match saved.count() {
            _ if projection.role == Role::Head => {
                return self.trained(projection).map(Applied::Trained);
            }
            0 => {}
            all if all == projection.modules.len() => {
                return self.trained(projection).map(Applied::Trained);
            }
            _ => {
                return Err(NetworkError::Variant(
                    "modules_to_save with some of the projections that share an input has",
                ));
            }
        }
        let path = || projection.modules[0].path.clone();
        let linear = projection
            .linear
            .as_ref()
            .ok_or_else(|| NetworkError::Weights(format!("{} was not read", path())))?;
        let modules = self.adapted_modules(projection, linear)?;
        let Some(first) = modules.first() else {
            return Ok(Applied::Frozen(linear.clone()));
        };
        // One rank and one scale for all blocks; where they differ, factors are filled up and scaled beforehand.
        let alike = modules
            .iter()
            .all(|module| (module.r, module.scale) == (first.r, first.scale));
        let layer = Adapted {
            linear: linear.clone(),
            blocks: modules.iter().map(|module| module.block).collect(),
            r: modules
                .iter()
                .map(|module| module.r)
                .max()
                .unwrap_or(first.r),
            scale: if alike { first.scale } else { 1.0 },
        };
        Ok(Applied::Adapted(Adaptation { layer, modules }))
    }

    fn adapted_modules(
        &mut self,
        projection: &Projection,
        linear: &Arc<Linear>,
    ) -> Result<Vec<AdaptedModule>, NetworkError> {
        let mut modules = Vec::new();
        let mut first = 0;
        for module in &projection.modules {
            let block = Block {
                first,
                count: module.outputs,
            };
            first += module.outputs;
            let Some((r, scale)) = self.adapted.get(&module.path).copied() else {
                continue;
            };
            if self.seed.is_some() && r > projection.inputs.min(module.outputs) {
                return Err(NetworkError::Lora(LoraError::Rank {
                    path: module.path.clone(),
                    r,
                    outputs: module.outputs,
                    inputs: projection.inputs,
                }));
            }
            let name = |suffix: &str| format!("base_model.model.{}.{suffix}", module.path);
            let (a_name, inputs) = (name("lora_A.weight"), projection.inputs);
            let a = self.fresh_a(&a_name, r, inputs);
            let a = self.parameter(a_name, &[r, inputs], a);
            let zeros = vec![0.0; block.count * r];
            let b = self.parameter(name("lora_B.weight"), &[block.count, r], zeros);
            let magnitude = self.lora.filter(|lora| lora.use_dora).map(|_| {
                let norms = dora::norms(linear, block, None);
                self.parameter(name("lora_magnitude_vector"), &[block.count], norms)
            });
            modules.push(AdaptedModule {
                path: module.path.clone(),
                block,
                r,
                scale: scale as f32,
                a,
                b,
                magnitude,
            });
        }
        Ok(modules)
    }

    fn trained(&mut self, projection: &Projection) -> Result<Vec<TrainedModule>, NetworkError> {
        let inputs = projection.inputs;
        let is_head = projection.role == Role::Head;
        let mut modules = Vec::new();
        for module in &projection.modules {
            let outputs = module.outputs;
            if let Some(table) = self.tables.get(&module.path) {
                modules.push(TrainedModule {
                    weight: *table,
                    bias: None,
                    outputs,
                });
                continue;
            }
            let shape = match projection.transposed {
                true => [inputs, outputs],
                false => [outputs, inputs],
            };
            let weight = self.whole(&format!("{}.weight", module.path), &shape, is_head)?;
            let bias = match module.bias {
                true => Some(self.whole(&format!("{}.bias", module.path), &[outputs], is_head)?),
                false => None,
            };
            modules.push(TrainedModule {
                weight,
                bias,
                outputs,
            });
        }
        Ok(modules)
    }

    fn norm(&mut self, id: NormId) -> Result<Option<(usize, Option<usize>)>, NetworkError> {
        let norm = self.body.norm(id);
        if !self.is_whole(&norm.path) {
            return Ok(None);
        }
        let width = [norm.gain.len()];
        let gain = self.whole(&format!("{}.weight", norm.path), &width, false)?;
        let bias = match norm.kind {
            NormKind::Layer => Some(self.whole(&format!("{}.bias", norm.path), &width, false)?),
            _ => None,
        };
        Ok(Some((gain, bias)))
    }

    fn tables(&mut self) -> Result<(), NetworkError> {
        let embeddings = &self.body.embeddings;
        let tied = matches!(embeddings.words.rest, TableSource::Tied(_));
        let names = [HEAD, embeddings.words.path.as_str()];
        let saved = |name: &&str| self.lora.is_some_and(|lora| lora.saves(name));
        if let (true, Some(name)) = (tied, names.into_iter().find(saved)) {
            return Err(NetworkError::Lora(LoraError::Tied(name.to_owned())));
        }
        let others = [&embeddings.positions, &embeddings.types];
        let tables = [&embeddings.words]
            .into_iter()
            .chain(others.into_iter().flatten());
        for table in tables
            .filter(|table| self.is_whole(&table.path))
            .collect::<Vec<_>>()
        {
            self.table(table)?;
        }
        Ok(())
    }

    fn table(&mut self, table: &Table) -> Result<(), NetworkError> {
        let shape = [table.rows, self.body.config.hidden_size];
        let parameter = self.whole(&format!("{}.weight", table.path), &shape, false)?;
        // A tied head finds its weight under the same path.
        self.tables.insert(table.path.clone(), parameter);
        Ok(())
    }

    /// Whether the module at `path` is trained itself.
    fn is_whole(&self, path: &str) -> bool {
        self.everything || self.lora.is_some_and(|lora| lora.saves(path))
    }

    /// A tensor of the checkpoint as a parameter; fresh if it may be and the file has none of this shape.
    fn whole(
        &mut self,
        name: &str,
        shape: &[usize],
        may_be_fresh: bool,
    ) -> Result<usize, NetworkError> {
        let parameter = match self.everything {
            true => name.to_owned(),
            false => format!("base_model.model.{name}"),
        };
        let source = &self.body.source;
        let values = match may_be_fresh {
            false => source.read(name, shape)?,
            true => match source.read_if_fits(name, shape)? {
                Some(values) => values,
                None => self.fresh(&parameter, shape),
            },
        };
        Ok(self.parameter(parameter, shape, values))
    }

    fn fresh(&self, name: &str, shape: &[usize]) -> Vec<f32> {
        let count = shape.iter().product();
        match (self.seed, shape.len()) {
            (Some(seed), 2) => {
                random::normal(seed, name, count, self.body.config.initializer_range)
            }
            _ => vec![0.0; count],
        }
    }

    fn fresh_a(&self, name: &str, r: usize, inputs: usize) -> Vec<f32> {
        let count = r * inputs;
        match (self.seed, self.lora.map(|lora| lora.init)) {
            (None, _) => vec![0.0; count],
            (Some(seed), Some(Init::Gaussian)) => random::normal(seed, name, count, 1.0 / r as f64),
            (Some(seed), _) => random::uniform(seed, name, count, 1.0 / (inputs as f64).sqrt()),
        }
    }

    fn parameter(&mut self, name: String, shape: &[usize], values: Vec<f32>) -> usize {
        self.parameters.push(Parameter {
            name,
            shape: shape.to_vec(),
        });
        self.values.push(values);
        self.parameters.len() - 1
    }
}

/// Embeddings that a name or an expression selects; PEFT would put factors on them.
fn check_embeddings(lora: &LoraSpec, body: &Body) -> Result<(), NetworkError> {
    if lora.target_modules == TargetModules::AllLinear {
        return Ok(());
    }
    for path in [HEAD, body.embeddings.words.path.as_str()] {
        // Nothing selected is an error there, which is what should be.
        if body.config.is_decoder() && lora.apply(&[path]).is_ok() {
            return Err(NetworkError::Lora(LoraError::Embedding(path.to_owned())));
        }
    }
    Ok(())
}

/// Rank and scale of each module that the specification selects.
fn resolve(
    lora: &LoraSpec,
    body: &Body,
    origin: Origin,
) -> Result<BTreeMap<String, (usize, f64)>, NetworkError> {
    let paths = body.adaptable();
    if let Origin::Fresh(_) = origin {
        check_embeddings(lora, body)?;
    }
    let chosen = match origin {
        Origin::Fresh(_) => lora.resolve(&paths)?,
        Origin::Stored => lora.apply(&paths)?,
    };
    let with = |module: AdaptedPath<'_>| (module.path.to_owned(), (module.r, module.scale));
    Ok(chosen.into_iter().map(with).collect())
}
