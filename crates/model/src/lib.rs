//! Computes: a checkpoint and a trace become step scores. Knows nothing of search or of Node.
//!
//! The way of the data: [`checkpoint`] (folder, [`gguf`] file or [`adapter`] → [`stored`] tensors) and [`config`] (its shape), [`profile`] (how a family is read)
//! and [`choose`] (which family it is), [`tokenizer`], [`template`] and [`prompt`] (trace → ids and read positions), [`prefixes`] and [`batch`] (what is new of them), [`backbone`]
//! over a [`backend`] (ids → hidden states), [`head`] (hidden states → scores), all held together by [`prm`].

pub mod adapter;
pub mod backbone;
pub mod backend;
pub mod batch;
pub mod candle;
pub mod checkpoint;
pub mod choose;
pub mod compute;
pub mod config;
pub mod cpu;
pub mod device;
pub mod draws;
pub mod error;
pub mod forward;
pub mod gguf;
pub mod gguf_config;
pub mod gguf_tokenizer;
pub mod head;
mod json;
pub mod policy;
pub mod prefixes;
pub mod prm;
pub mod profile;
pub mod prompt;
pub mod rope;
pub mod sampler;
pub mod stored;
pub mod template;
pub mod tokenizer;
mod tree;
pub mod writer;

pub use checkpoint::Source;
pub use error::{Error, Result};
pub use policy::Policy;
pub use prm::Prm;
pub use prompt::{Overflow, Trace};
pub use surefoot_kernels::lower_priority;

// candle's matmul: named here so that its AVX-512 kernels are compiled in.
use gemm as _;
