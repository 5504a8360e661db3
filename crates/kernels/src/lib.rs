//! CPU maths on slices, chosen by instruction set at run time. All `unsafe` of the workspace lives here, behind safe
//! functions that check lengths. No dependencies, no threads of its own, no allocation on the hot path beyond scratch.
//!
//! What every function promises: an element of the result is computed by the same operations in the same order whatever
//! the number of rows, the number of threads, and whatever else is in the call. One [`Isa`] gives one result, bit for bit.

mod amx;
mod attention;
mod crew;
mod exponentials;
mod gemm;
mod isa;
mod lanes;
mod math;
mod norm;
mod out;
mod pack;
mod pages;
mod plan;
mod priority;
mod rope;
mod threads;
mod tile;

pub use attention::{Span, attend};
pub use crew::Crew;
pub use exponentials::exponentials;
pub use gemm::{Epilogue, Format, Packed, Precision, Workspace, gated, linear};
pub use isa::{Isa, IsaError};
pub use norm::rms_norm;
pub use pages::{PAGE, PageShape, Pages, Write};
pub use priority::lower_priority;
pub use rope::rope;
pub use threads::{Serial, Threads};
