//! Forward passes over the cache of prefixes, whatever the backend and the head.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::backbone::Backbone;
use crate::backend::Backend;
use crate::batch::Batch;
use crate::compute::Compute;
use crate::error::{Error, Result};
use crate::head::Head;
use crate::prefixes::{Counters, Kept, Prefixes, Sequence};

/// The backbone and the head, whatever the backend.
pub(crate) trait Forward: Send + Sync {
    fn iteration(&self) -> Box<dyn Iteration + '_>;
    fn counters(&self) -> Counters;
}

/// One forward pass in the making, of rows of many sequences. While it lives, others wait. What it has planned is
/// forgotten unless it runs to its end.
pub trait Iteration {
    /// Adds what a sequence needs next, about `most` rows of it. Returns how many rows: none where all is known or on its
    /// way, or where the memory is needed for the sequences that were planned before.
    fn plan(&mut self, sequence: &mut Sequence, most: usize) -> Result<usize>;

    /// Rows planned so far.
    fn rows(&self) -> usize;

    /// Computes what was planned. `cancelled` is asked between layers.
    fn run(&mut self, cancelled: &dyn Fn() -> bool) -> Result<()>;

    /// Hands a planned sequence what was computed.
    fn collect(&mut self, sequence: &mut Sequence);
}

pub(crate) struct On<B: Backend> {
    backend: B,
    backbone: Backbone<B>,
    head: Head<B>,
    cache: Mutex<Cache<B>>,
    /// As of the last finished iteration: reading them waits for none.
    counters: Mutex<Counters>,
}

struct Cache<B: Backend> {
    prefixes: Prefixes,
    pages: B::Pages,
}

impl<B: Backend> On<B> {
    /// `longest`: tokens of the longest sequence.
    pub(crate) fn new(
        backend: B,
        backbone: Backbone<B>,
        head: Head<B>,
        compute: &Compute,
        longest: usize,
        kept: Kept,
    ) -> Result<Self> {
        let shape = backbone.page_shape();
        let bytes_per_page = backend.bytes_per_page(shape);
        let budget = compute.budget(bytes_per_page, longest);
        let prefixes = Prefixes::new(budget, bytes_per_page, compute.reuse, kept)?;
        Ok(Self {
            counters: Mutex::new(prefixes.counters()),
            cache: Mutex::new(Cache {
                prefixes,
                pages: backend.pages(shape),
            }),
            backend,
            backbone,
            head,
        })
    }
}

impl<B: Backend> Forward for On<B> {
    fn iteration(&self) -> Box<dyn Iteration + '_> {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        cache.prefixes.begin();
        Box::new(InTheMaking {
            model: self,
            cache,
            batch: Batch::default(),
            outputs: vec![],
        })
    }

    fn counters(&self) -> Counters {
        *self.counters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct InTheMaking<'a, B: Backend> {
    model: &'a On<B>,
    cache: MutexGuard<'a, Cache<B>>,
    batch: Batch,
    /// Of the head, by read.
    outputs: Vec<Arc<Vec<f32>>>,
}

impl<B: Backend> Iteration for InTheMaking<'_, B> {
    fn plan(&mut self, sequence: &mut Sequence, most: usize) -> Result<usize> {
        self.cache.prefixes.plan(sequence, most, &mut self.batch)
    }

    fn rows(&self) -> usize {
        self.batch.ids.len()
    }

    fn run(&mut self, cancelled: &dyn Fn() -> bool) -> Result<()> {
        let On {
            backend,
            backbone,
            head,
            ..
        } = self.model;
        let Cache { prefixes, pages } = &mut *self.cache;
        backend.change(pages, &prefixes.changes())?;
        if !self.batch.ids.is_empty() {
            let hidden = backbone.forward(backend, &self.batch, pages, cancelled)?;
            self.outputs = head.logits(backend, hidden)?.into_iter().map(Arc::new).collect();
        }
        if self.outputs.len() != self.batch.reads.len() {
            return Err(Error::Internal {
                message: format!(
                    "{} head outputs for {} reads",
                    self.outputs.len(),
                    self.batch.reads.len()
                ),
            });
        }
        prefixes.commit(&self.outputs);
        Ok(())
    }

    fn collect(&mut self, sequence: &mut Sequence) {
        self.cache.prefixes.collect(sequence, &self.outputs);
    }
}

impl<B: Backend> Drop for InTheMaking<'_, B> {
    fn drop(&mut self) {
        let counters = self.cache.prefixes.counters();
        *self.model.counters.lock().unwrap_or_else(PoisonError::into_inner) = counters;
    }
}
