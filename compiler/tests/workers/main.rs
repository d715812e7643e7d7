//! Clusters with workers: what the head is told, what stands for it in the graph, and what is refused.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test ends with a panic, its helpers too; clippy knows tests by their attribute"
)]

mod dynamic;
mod inside;
mod moved;
mod refused;
mod templates;
mod told;
mod world;
