//! Training as a state machine: it has no thread, no clock and no callback of its own. Whoever drives it calls
//! [`Trainer::step`] until that says it is done, evaluates and keeps checkpoints when it likes, and reads the time.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use surefoot_kernels as kernels;
use surefoot_model::Source;
use surefoot_model::backbone::{Backbone, refuse_unknown};
use surefoot_model::backend::Backend;
use surefoot_model::batch::Batch;
use surefoot_model::checkpoint::Checkpoint;
use surefoot_model::compute::Isa;
use surefoot_model::config::Config;
use surefoot_model::cpu::Cpu;

use crate::data::{Example, Target, digest};
use crate::error::{Error, Result};
use crate::head::{Head, Outcome, Scores};
use crate::loss::{auc, shares};
use crate::network::Network;
use crate::optimizer::{AdamW, Named, clipping, factor, norm};
use crate::order::{Order, portions};
use crate::products::Products;
use crate::settings::{BestBy, Method, Objective, Settings};
use crate::state::{self, State};
use crate::weight::Matrix;

pub struct Trainer {
    pub(crate) settings: Settings,
    pub(crate) base: Checkpoint,
    pub(crate) config: Config,
    products: Arc<Products>,
    body: Body,
    head: Head,
    /// All that learns, the backbone's first.
    parameters: Vec<Named>,
    optimizer: AdamW,
    examples: Vec<Example>,
    held_out: Vec<Example>,
    order: Order,
    state: State,
}

/// Where hidden states come from.
enum Body {
    /// The backbone does not learn: each example's hidden states are computed once, when they are first needed.
    Frozen {
        backend: Cpu,
        backbone: Backbone<Cpu>,
        features: HashMap<(Set, usize), Vec<f32>>,
    },
    Learning(Network),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Set {
    Train,
    HeldOut,
}

/// What one update did.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// Updates so far, this one counted, and in all.
    pub update: u64,
    pub updates: u64,
    /// From 0.
    pub epoch: u64,
    /// The mean over the update's batch, before it.
    pub loss: f64,
    /// Of the backbone, or of the head where that alone learns.
    pub learning_rate: f64,
    /// Of all gradients together, before clipping.
    pub gradient_norm: f64,
    pub tokens: usize,
    /// Labelled steps, or tokens to be told.
    pub targets: usize,
    pub done: bool,
}

/// How the model does on the held-out examples.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Evaluation {
    /// After so many updates.
    pub update: u64,
    pub loss: f64,
    /// Of step scores against labels, of which those from 0.5 on are right; none for policies, or with labels of one kind.
    pub auc: Option<f64>,
    pub targets: usize,
    /// Whether no evaluation before was as good.
    pub best: bool,
    /// Whether it is time to stop: as many evaluations in a row as `patience` allows were not better.
    pub stop: bool,
}

/// What restoring a checkpoint found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Restored {
    pub update: u64,
    /// Whether it was written with the instruction set of this run: only then the bits are those of an unbroken run.
    pub same_isa: bool,
}

impl Trainer {
    /// Loads the base and checks every example. `held_out` may be empty.
    pub fn new(settings: Settings, base: &Source, examples: Vec<Example>, held_out: Vec<Example>) -> Result<Self> {
        settings.check()?;
        let base = Checkpoint::open(base)?;
        let (json, path) = base.config()?;
        let config = Config::parse(&json, &path)?;
        let head_tensors = surefoot_model::head::detect(&base, &config).map(|head| head.tensors);
        refuse_unknown(&base, &config, &head_tensors.unwrap_or_default())?;
        if examples.is_empty() {
            return Err(Error::invalid("examples", "there is nothing to learn from"));
        }
        for example in examples.iter().chain(&held_out) {
            example.check(&config, settings.objective)?;
        }
        let named = std::env::var("SUREFOOT_ISA").ok();
        let isa = Isa::choose(named.as_deref()).map_err(|error| Error::invalid("SUREFOOT_ISA", error.to_string()))?;
        let products = Arc::new(Products::new(isa));
        let body = if settings.method == Method::Head {
            let backend = Cpu::new(Some(isa), kernels::Precision::Exact)?;
            Body::Frozen {
                backbone: Backbone::load(&backend, &base, &config)?,
                backend,
                features: HashMap::new(),
            }
        } else {
            let method = &settings.method;
            Body::Learning(Network::load(
                &products,
                &base,
                &config,
                method,
                settings.recompute,
                settings.seed,
            )?)
        };
        let head = match (settings.objective, &body) {
            (Objective::Bce, _) => Head::Scores(Scores::load(&base, &config, 1, settings.seed)?),
            (Objective::CrossEntropy, _) => Head::Scores(Scores::load(&base, &config, 2, settings.seed)?),
            (Objective::NextToken, Body::Learning(network)) => {
                Head::Vocabulary(vocabulary(&products, &base, &config, network, &settings.method)?)
            }
            (Objective::NextToken, Body::Frozen { .. }) => {
                return Err(Error::invalid("method", "a policy has no head of its own"));
            }
        };
        let mut parameters = Vec::new();
        if let Body::Learning(network) = &body {
            parameters.extend(network.parameters().iter().map(Named::clone));
        }
        // A tied output layer is the embeddings, which are there already.
        let more = head.parameters().into_iter();
        let more: Vec<Named> = more
            .filter(|named| {
                !parameters
                    .iter()
                    .any(|known: &Named| Arc::ptr_eq(&known.parameter, &named.parameter))
            })
            .collect();
        parameters.extend(more);
        let order = Order::new(examples.iter().map(|example| example.ids.len()).collect(), &settings);
        let state = State {
            settings: settings.clone(),
            data: format!("{:016x}", digest(&examples)),
            isa: isa.name().into(),
            update: 0,
            best: None,
            since_best: 0,
        };
        Ok(Self {
            optimizer: AdamW::new(&parameters),
            settings,
            base,
            config,
            products,
            body,
            head,
            parameters,
            examples,
            held_out,
            order,
            state,
        })
    }

    /// Updates so far, and in all.
    pub fn progress(&self) -> (u64, u64) {
        (self.state.update, self.order.updates())
    }

    /// What learns: names of tensors and their numbers.
    pub fn parameters(&self) -> &[Named] {
        &self.parameters
    }

    /// One update. `cancelled` is asked between layers; a cancelled or failed update changes nothing and can be made again.
    pub fn step(&mut self, cancelled: &dyn Fn() -> bool) -> Result<Progress> {
        let (update, updates) = self.progress();
        if update >= updates {
            return Err(Error::invalid("step", "all updates are made"));
        }
        let (epoch, batch) = self.order.batch(update);
        let result = self.gradients(&batch, cancelled).and_then(|(loss, targets)| {
            let not_finite = |what| Error::NotFinite {
                update,
                what,
                ids: batch.iter().map(|&index| self.examples[index].id.clone()).collect(),
            };
            if !loss.is_finite() {
                return Err(not_finite("the loss"));
            }
            let size = norm(&self.parameters);
            if !size.is_finite() {
                return Err(not_finite("the gradient"));
            }
            Ok((loss, targets, size))
        });
        let (loss, targets, gradient_norm) = match result {
            Ok(result) => result,
            Err(error) => {
                self.forget();
                return Err(error);
            }
        };
        let factor = factor(&self.settings, update, updates);
        let scale = clipping(gradient_norm, self.settings.clip) as f32;
        self.optimizer
            .step(&self.settings, &self.parameters, update, factor, scale);
        self.pack();
        self.state.update += 1;
        let rate = match self.settings.method {
            Method::Head => self.settings.head_learning_rate,
            _ => self.settings.learning_rate,
        };
        Ok(Progress {
            update: update + 1,
            updates,
            epoch,
            loss,
            learning_rate: rate * factor,
            gradient_norm,
            tokens: batch.iter().map(|&index| self.examples[index].ids.len()).sum(),
            targets,
            done: update + 1 == updates,
        })
    }

    /// The loss of a batch and how many targets it has; the gradients are added up in the parameters.
    fn gradients(&mut self, batch: &[usize], cancelled: &dyn Fn() -> bool) -> Result<(f64, usize)> {
        self.forget();
        let outcome = self.pass(Set::Train, batch, true, cancelled)?;
        let targets = batch.iter().map(|&index| self.examples[index].targets().len()).sum();
        Ok((outcome.loss, targets))
    }

    /// The loss over the next batch and every gradient by the name of its tensor, without an update: what a test compares.
    pub fn next_gradients(&mut self) -> Result<(f64, Vec<(String, Vec<f32>)>)> {
        let (_, batch) = self.order.batch(self.state.update);
        let (loss, _) = self.gradients(&batch, &|| false)?;
        let named = self.parameters.iter();
        let gradients = named
            .map(|named| (named.name.clone(), named.parameter.gradient().clone()))
            .collect();
        self.forget();
        Ok((loss, gradients))
    }

    /// Loss and AUC on the held-out examples; an error without any.
    pub fn evaluate(&mut self, cancelled: &dyn Fn() -> bool) -> Result<Evaluation> {
        if self.held_out.is_empty() {
            return Err(Error::invalid("heldOut", "there are no held-out examples"));
        }
        let all: Vec<usize> = (0..self.held_out.len()).collect();
        let outcome = self.pass(Set::HeldOut, &all, false, cancelled)?;
        let auc = auc(&outcome.scored);
        // The larger the better.
        let merit = match (self.settings.best_by, auc) {
            (BestBy::Auc, Some(auc)) => auc,
            _ => -outcome.loss,
        };
        let best = merit.is_finite() && self.state.best.is_none_or(|best| merit > best);
        if best {
            self.state.best = Some(merit);
            self.state.since_best = 0;
        } else {
            self.state.since_best += 1;
        }
        Ok(Evaluation {
            update: self.state.update,
            loss: outcome.loss,
            auc,
            targets: self.held_out.iter().map(|example| example.targets().len()).sum(),
            best,
            stop: self.settings.patience.is_some_and(|most| self.state.since_best >= most),
        })
    }

    /// Passes examples in portions.
    fn pass(&mut self, set: Set, batch: &[usize], learns: bool, cancelled: &dyn Fn() -> bool) -> Result<Outcome> {
        let examples = match set {
            Set::Train => &self.examples,
            Set::HeldOut => &self.held_out,
        };
        let targets = batch.iter().map(|&index| examples[index].targets());
        let (reads, targets): (Vec<Vec<usize>>, Vec<Vec<Target>>) =
            targets.map(|targets| targets.into_iter().unzip()).unzip();
        let shares = shares(&self.settings, &targets);
        let lengths: Vec<usize> = batch.iter().map(|&index| examples[index].ids.len()).collect();
        let numbers: Vec<usize> = (0..batch.len()).collect();
        let mut outcome = Outcome::default();
        for portion in portions(&numbers, &lengths, self.settings.rows) {
            let rows = |of: &dyn Fn(usize) -> &'_ [u32]| Batch::of(portion.iter().map(|&number| of(number)));
            let (mut rows, changes) = rows(&|number| &examples[batch[number]].ids);
            for (&number, span) in portion.iter().zip(&rows.spans) {
                rows.reads
                    .extend(reads[number].iter().map(|read| span.rows.start + read));
            }
            let targets: Vec<Target> = portion.iter().flat_map(|&number| &targets[number]).copied().collect();
            let shares: Vec<f64> = portion.iter().flat_map(|&number| &shares[number]).copied().collect();
            let (head, products, settings) = (&self.head, &self.products, &self.settings);
            let loss = |hidden: &[f32]| head.loss(products, settings, hidden, &targets, &shares, learns);
            outcome.add(match &mut self.body {
                Body::Learning(network) if learns => network.learn(&rows, cancelled, loss)?,
                Body::Learning(network) => loss(&network.hidden(&rows, cancelled)?)?.0,
                Body::Frozen {
                    backend,
                    backbone,
                    features,
                } => {
                    let keys: Vec<(Set, usize)> = portion.iter().map(|&number| (set, batch[number])).collect();
                    if keys.iter().any(|key| !features.contains_key(key)) {
                        let mut pages = backend.pages(backbone.page_shape());
                        backend.change(&mut pages, &changes)?;
                        let hidden = backbone.forward(backend, &rows, &mut pages, cancelled)?;
                        let mut hidden = backend.values(&hidden)?.into_iter();
                        for (&number, &key) in portion.iter().zip(&keys) {
                            let own = hidden.by_ref().take(reads[number].len());
                            features.insert(key, own.flatten().collect());
                        }
                    }
                    let hidden: Vec<f32> = keys.iter().flat_map(|key| &features[key]).copied().collect();
                    loss(&hidden)?.0
                }
            });
        }
        Ok(outcome)
    }

    /// Writes all that the run needs to go on: weights, moments, the place in the order of examples, the best so far. The
    /// file is there whole or not at all; one that was there before stays until then.
    pub fn checkpoint(&self, path: &Path) -> Result<()> {
        state::write(path, &self.state, &self.parameters, &self.optimizer)
    }

    /// Goes on from a checkpoint of a run with the same settings, base and examples.
    pub fn restore(&mut self, path: &Path) -> Result<Restored> {
        let read = state::read(path, &self.state, &self.parameters)?;
        self.take(read.weights);
        self.optimizer.moments = read.moments;
        let same_isa = read.state.isa == self.state.isa;
        self.state = State {
            isa: self.state.isa.clone(),
            ..read.state
        };
        Ok(Restored {
            update: self.state.update,
            same_isa,
        })
    }

    /// Takes the weights of a checkpoint, those of the best one for example, and nothing else of it.
    pub fn adopt(&mut self, path: &Path) -> Result<()> {
        let read = state::read(path, &self.state, &self.parameters)?;
        self.take(read.weights);
        Ok(())
    }

    fn take(&mut self, weights: Vec<Vec<f32>>) {
        for (named, weights) in self.parameters.iter().zip(weights) {
            *named.parameter.values_mut() = weights;
        }
        self.forget();
        self.pack();
    }

    fn forget(&self) {
        self.parameters
            .iter()
            .for_each(|named| named.parameter.gradient().clear());
    }

    fn pack(&self) {
        if let Body::Learning(network) = &self.body {
            network.pack();
        }
        if let Head::Vocabulary(matrix) = &self.head
            && matrix.learner().is_some()
        {
            matrix.pack();
        }
    }

    pub(crate) fn head(&self) -> &Head {
        &self.head
    }
}

fn vocabulary(
    products: &Products,
    base: &Checkpoint,
    config: &Config,
    network: &Network,
    method: &Method,
) -> Result<Arc<Matrix>> {
    if config.tied_embeddings {
        return Ok(Arc::new(Matrix::of(products, network.embeddings.clone())));
    }
    let (rows, columns) = (config.vocab_size, config.hidden_size);
    let weight = base.matrix("lm_head.weight", rows, columns)?;
    let matrix = if *method == Method::Full {
        let values = base.read("lm_head.weight", &[rows, columns])?;
        Matrix::of(products, crate::weight::Parameter::new(values, &[rows, columns], true))
    } else {
        Matrix::frozen(products, &weight.read(0..rows)?, rows, columns)
    };
    Ok(Arc::new(matrix))
}
