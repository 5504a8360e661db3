//! Weights that learn, and those that stay as they are.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use surefoot_kernels::{Format, Packed, Precision};
use surefoot_model::checkpoint::Numbers;

use crate::products::{Products, fill_transposed};

/// Numbers, and the gradient that the passes of one update add up for them.
pub struct Parameter {
    pub shape: Vec<usize>,
    /// Whether it learns.
    pub learns: bool,
    values: RwLock<Vec<f32>>,
    /// As long as the values, or empty for zero.
    gradient: Mutex<Vec<f32>>,
}

impl Parameter {
    pub fn new(values: Vec<f32>, shape: &[usize], learns: bool) -> Arc<Self> {
        assert_eq!(values.len(), shape.iter().product(), "values fit their shape");
        Arc::new(Self {
            shape: shape.to_vec(),
            learns,
            values: RwLock::new(values),
            gradient: Mutex::default(),
        })
    }

    pub fn values(&self) -> RwLockReadGuard<'_, Vec<f32>> {
        self.values.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn values_mut(&self) -> RwLockWriteGuard<'_, Vec<f32>> {
        self.values.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn gradient(&self) -> MutexGuard<'_, Vec<f32>> {
        self.gradient.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds to the gradient.
    pub fn add(&self, more: Vec<f32>) {
        let mut gradient = self.gradient();
        if gradient.is_empty() {
            *gradient = more;
        } else {
            crate::lanes::add(&mut gradient, &more, 1.0);
        }
    }
}

/// A matrix of a linear layer, packed for both ways through it.
pub struct Matrix {
    pub outputs: usize,
    pub inputs: usize,
    /// The numbers themselves, where they are needed beside the packed ones: those that learn.
    pub parameter: Option<Arc<Parameter>>,
    packed: RwLock<Both>,
}

/// W for x Wᵀ, and Wᵀ for dY W.
pub struct Both {
    pub forward: Packed,
    pub backward: Packed,
}

impl Matrix {
    /// One that stays as it is. bf16 is kept as such.
    pub fn frozen(products: &Products, numbers: &Numbers, outputs: usize, inputs: usize) -> Self {
        let format = match numbers {
            Numbers::F32(_) => Format::F32,
            Numbers::Bf16(_) => Format::Bf16,
        };
        let new = |outputs, inputs| Packed::new(products.isa(), Precision::Exact, format, outputs, inputs);
        let (mut forward, mut backward) = (new(outputs, inputs), new(inputs, outputs));
        match numbers {
            Numbers::F32(values) => {
                forward.fill_f32(0, values);
                fill_transposed(values, outputs, inputs, |first, turned| {
                    backward.fill_f32(first, turned)
                });
            }
            Numbers::Bf16(bits) => {
                forward.fill_bf16(0, bits);
                fill_transposed(bits, outputs, inputs, |first, turned| backward.fill_bf16(first, turned));
            }
        }
        Self {
            outputs,
            inputs,
            parameter: None,
            packed: RwLock::new(Both { forward, backward }),
        }
    }

    /// Of a parameter of outputs × inputs.
    pub fn of(products: &Products, parameter: Arc<Parameter>) -> Self {
        let (outputs, inputs) = (parameter.shape[0], parameter.shape[1]);
        let new = |outputs, inputs| Packed::new(products.isa(), Precision::Exact, Format::F32, outputs, inputs);
        let packed = Both {
            forward: new(outputs, inputs),
            backward: new(inputs, outputs),
        };
        let matrix = Self {
            outputs,
            inputs,
            parameter: Some(parameter),
            packed: RwLock::new(packed),
        };
        matrix.pack();
        matrix
    }

    /// Packs the numbers again, after they have changed.
    pub fn pack(&self) {
        let Some(parameter) = &self.parameter else { return };
        let values = parameter.values();
        let mut packed = self.packed.write().unwrap_or_else(PoisonError::into_inner);
        let Both { forward, backward } = &mut *packed;
        forward.fill_f32(0, &values);
        fill_transposed(&values, self.outputs, self.inputs, |first, turned| {
            backward.fill_f32(first, turned);
        });
    }

    pub fn packed(&self) -> RwLockReadGuard<'_, Both> {
        self.packed.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds dYᵀ X to the gradient, where it learns.
    pub fn learn(&self, products: &Products, dy: &[f32], x: &[f32]) {
        if let Some(parameter) = self.learner() {
            products.add_outer(dy, self.outputs, x, self.inputs, &mut parameter.gradient());
        }
    }

    pub fn learner(&self) -> Option<&Arc<Parameter>> {
        self.parameter.as_ref().filter(|parameter| parameter.learns)
    }
}

/// What a linear layer multiplies with: a matrix, and maybe a LoRA update, y += scale · (x Aᵀ) Bᵀ.
pub struct Weight {
    pub base: Arc<Matrix>,
    pub adapter: Option<Adapter>,
}

/// arXiv 2106.09685.
pub struct Adapter {
    /// rank × inputs.
    pub a: Arc<Matrix>,
    /// outputs × rank.
    pub b: Arc<Matrix>,
    pub scale: f64,
}
