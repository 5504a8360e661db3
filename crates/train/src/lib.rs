//! Learns: examples with step labels become a process reward model, and texts a policy.
//!
//! The way of the data: [`data`] (what is learned from) and [`settings`] (how) make a [`trainer::Trainer`], which goes one
//! update at a time: [`order`] (which examples), [`network`] (the backbone of `surefoot-model` over the backend
//! [`autograd`], whose operations are candle ones of our own: [`ops`], [`attention`] on [`products`]), [`head`] and
//! [`loss`] (what is to be smaller), [`optimizer`] (the step). [`state`] keeps all of it on disk, [`export`] writes what
//! other tools load.

pub mod attention;
pub mod autograd;
pub mod data;
pub mod error;
pub mod export;
pub mod head;
mod lanes;
pub mod loss;
pub mod network;
pub mod ops;
pub mod optimizer;
pub mod order;
pub mod products;
pub mod settings;
pub mod state;
pub mod trainer;
pub mod weight;

pub use data::{Example, Targets};
pub use error::{Error, Result};
pub use settings::Settings;
pub use trainer::{Evaluation, Progress, Trainer};
