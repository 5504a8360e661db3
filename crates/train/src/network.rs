//! A backbone that learns. Layers are passed one at a time, forth and back, so that a pass can be cancelled between two
//! of them and that what a layer computed need not be kept.

use std::sync::Arc;

use candle_core::{Device, Tensor, Var};
use rayon::prelude::*;
use surefoot_model::backbone::{Backbone, Weight as Place};
use surefoot_model::batch::Batch;
use surefoot_model::checkpoint::Checkpoint;
use surefoot_model::config::Config;
use surefoot_model::draws::{Draws, hash};
use surefoot_model::{Error as ModelError, backend::Backend};

use crate::autograd::Autograd;
use crate::error::{Error, Result};
use crate::ops::{Seed, with};
use crate::optimizer::{Group, Named};
use crate::products::Products;
use crate::settings::{Method, TARGETS};
use crate::weight::{Adapter, Matrix, Parameter};

pub struct Network {
    backend: Autograd,
    backbone: Backbone<Autograd>,
    pub embeddings: Arc<Parameter>,
    /// What learns.
    parameters: Vec<Named>,
    /// What is packed again after it has changed.
    matrices: Vec<Arc<Matrix>>,
    recompute: bool,
}

/// The gradient by the hidden states, rows × hidden, beside what else a loss gives.
pub type Loss<T> = Result<(T, Vec<f32>)>;

impl Network {
    pub fn load(
        products: &Arc<Products>,
        checkpoint: &Checkpoint,
        config: &Config,
        method: &Method,
        recompute: bool,
        seed: u64,
    ) -> Result<Self> {
        let backend = Autograd {
            products: products.clone(),
            learns: *method == Method::Full,
        };
        let mut backbone = Backbone::load(&backend, checkpoint, config)?;
        let mut parameters = Vec::new();
        let mut matrices = Vec::new();
        let mut embeddings = None;
        for (name, place) in backbone.weights() {
            let mut learn = |name: &str, parameter: &Arc<Parameter>| {
                if parameter.learns {
                    parameters.push(Named {
                        name: name.into(),
                        parameter: parameter.clone(),
                        group: Group::Backbone,
                    });
                }
            };
            match place {
                Place::Table(table) => {
                    learn(&name, table);
                    embeddings = Some(table.clone());
                }
                Place::Vector(vector) => learn(&name, vector),
                Place::Matrix(weight) => {
                    if let Some(parameter) = weight.base.learner() {
                        learn(&name, parameter);
                        matrices.push(weight.base.clone());
                    }
                    let module = name.trim_end_matches(".weight");
                    if let Method::Lora { rank, alpha, targets } = method
                        && updates(module, targets)
                    {
                        let adapter = adapter(products, module, &weight.base, *rank, *alpha, seed);
                        for (half, matrix) in [("lora_A", &adapter.a), ("lora_B", &adapter.b)] {
                            matrix
                                .learner()
                                .into_iter()
                                .for_each(|parameter| learn(&format!("{module}.{half}.weight"), parameter));
                            matrices.push(matrix.clone());
                        }
                        weight.adapter = Some(adapter);
                    }
                }
            }
        }
        let embeddings = embeddings.ok_or_else(|| ModelError::Internal {
            message: "a backbone without embeddings".into(),
        })?;
        Ok(Self {
            backend,
            backbone,
            embeddings,
            parameters,
            matrices,
            recompute,
        })
    }

    pub fn parameters(&self) -> &[Named] {
        &self.parameters
    }

    /// Brings the packed weights up to date after an update.
    pub fn pack(&self) {
        self.matrices.par_iter().for_each(|matrix| matrix.pack());
    }

    /// The hidden states at the batch's reads, rows × hidden; nothing is kept.
    pub fn hidden(&self, batch: &Batch, cancelled: &dyn Fn() -> bool) -> Result<Vec<f32>> {
        let [cos, sin] = self.backbone.angles(&self.backend, &batch.positions)?;
        let mut x = self.backbone.embed(&self.backend, &batch.ids)?;
        for index in 0..self.layers() {
            refuse(cancelled)?;
            x = self.layer(index, &x, [&cos, &sin], batch)?;
        }
        let hidden = self.backbone.finish(&self.backend, &x, &batch.reads)?;
        Ok(with(&hidden, |hidden| Ok(hidden.to_vec()))?)
    }

    /// Passes a batch forth, asks `loss` for the gradient by the hidden states, and passes that back: all that learns
    /// adds to its gradient. `cancelled` is asked between layers.
    pub fn learn<T>(
        &self,
        batch: &Batch,
        cancelled: &dyn Fn() -> bool,
        loss: impl FnOnce(&[f32]) -> Loss<T>,
    ) -> Result<T> {
        let [cos, sin] = self.backbone.angles(&self.backend, &batch.positions)?;
        let angles = [&cos, &sin];
        let mut x = self.backbone.embed(&self.backend, &batch.ids)?;
        // The rows that go into each layer and, unless they are to be computed again, those that come out.
        let mut layers: Vec<(Var, Option<Tensor>)> = Vec::with_capacity(self.layers());
        for index in 0..self.layers() {
            refuse(cancelled)?;
            let from = Var::from_tensor(&x)?;
            if self.recompute {
                x = self.layer(index, &from.as_detached_tensor(), angles, batch)?;
                layers.push((from, None));
            } else {
                let y = self.layer(index, from.as_tensor(), angles, batch)?;
                x = y.detach();
                layers.push((from, Some(y)));
            }
        }
        let last = Var::from_tensor(&x)?;
        let hidden = self.backbone.finish(&self.backend, last.as_tensor(), &batch.reads)?;
        let (result, gradient) = with(&hidden, |values| Ok(loss(values)))??;
        let mut dx = back(
            &last,
            &hidden,
            Tensor::from_vec(gradient, hidden.shape(), &Device::Cpu)?,
        )?;
        for (index, (from, y)) in layers.into_iter().enumerate().rev() {
            refuse(cancelled)?;
            let y = y.map_or_else(|| self.layer(index, from.as_tensor(), angles, batch), Ok)?;
            dx = back(&from, &y, dx)?;
        }
        if self.embeddings.learns {
            with(&dx, |dx| {
                self.learn_embeddings(&batch.ids, dx);
                Ok(())
            })?;
        }
        Ok(result)
    }

    fn learn_embeddings(&self, ids: &[u32], dx: &[f32]) {
        let columns = self.embeddings.shape[1];
        let mut gradient = self.embeddings.gradient();
        gradient.resize(self.embeddings.shape[0] * columns, 0.0);
        for (&id, dx) in ids.iter().zip(dx.chunks_exact(columns)) {
            let at = id as usize * columns;
            crate::lanes::add(&mut gradient[at..at + columns], dx, 1.0);
        }
    }

    fn layers(&self) -> usize {
        self.backbone.config().layers
    }

    fn layer(&self, index: usize, x: &Tensor, angles: [&Tensor; 2], batch: &Batch) -> surefoot_model::Result<Tensor> {
        let mut pages = self.backend.pages(self.backbone.page_shape());
        self.backbone.layer(&self.backend, index, x, angles, batch, &mut pages)
    }
}

fn refuse(cancelled: &dyn Fn() -> bool) -> Result<()> {
    if cancelled() {
        return Err(Error::Model(ModelError::Cancelled));
    }
    Ok(())
}

/// The gradient by `x` of what `y` was made of it, where that by `y` is `dy`.
fn back(x: &Var, y: &Tensor, dy: Tensor) -> Result<Tensor> {
    let mut gradients = y.apply_op1(Seed { seed: dy })?.backward()?;
    let gradient = gradients.remove(x.as_tensor());
    gradient.ok_or_else(|| {
        Error::Model(ModelError::Internal {
            message: "an operation cut the gradient".into(),
        })
    })
}

fn updates(module: &str, targets: &[String]) -> bool {
    let last = module.rsplit('.').next().unwrap_or(module);
    if targets.is_empty() {
        TARGETS.contains(&last)
    } else {
        targets.iter().any(|target| target == last)
    }
}

/// As PEFT begins: A uniform within ±1/√inputs, B zero.
fn adapter(products: &Products, module: &str, base: &Matrix, rank: usize, alpha: f64, seed: u64) -> Adapter {
    let draws = Draws::new(seed, hash(&[b"lora", module.as_bytes()]), 0);
    let bound = 1.0 / (base.inputs as f64).sqrt();
    let a = (0..rank * base.inputs).map(|index| ((2.0 * draws.uniform(index as u32, 0) - 1.0) * bound) as f32);
    let learning =
        |values: Vec<f32>, shape: [usize; 2]| Arc::new(Matrix::of(products, Parameter::new(values, &shape, true)));
    Adapter {
        a: learning(a.collect(), [rank, base.inputs]),
        b: learning(vec![0.0; base.outputs * rank], [base.outputs, rank]),
        scale: alpha / rank as f64,
    }
}
