//! The language of specs at work: the evaluator, conversions between types, and the functions.
//!
//! One evaluator serves compile time, plan and apply time, and previews. It evaluates *symbolically*: a value that nobody knows yet is
//! deferred, and what is computed from it is the residual expression of that computation, with everything known folded in. Evaluated
//! again when more is known, the residue gives what direct evaluation would have given.
//!
//! It does no IO and reads no clock or environment: names come through [`Scope`], files through [`Files`]. It does not know what the
//! names of a spec mean, which attributes a block has, or in which order blocks are evaluated.

mod conditional;
mod console;
mod convert;
mod evaluate;
mod functions;
mod impure;
mod instantiate;
mod json;
pub mod limits;
mod operators;
mod parse_type;
mod previews;
mod references;
mod render;
mod repeat;
mod residual;
mod scope;
mod template;
mod text;
mod traverse;
mod unify;
mod yaml;

pub use console::console_text;
pub use convert::{ConvertError, convert};
pub use evaluate::{evaluate, resolve};
pub use functions::{FunctionInfo, INHERIT, clean_path, function_names, functions, utc_text};
pub use impure::{Impure, Moment, Planning, impure_calls};
pub use instantiate::{
    Filling, Fragment, LateValues, fill_late, instantiate, instantiate_head, late_names_of, members_value, worker_address,
};
pub use json::{from_json_text, from_plain_json, to_json_text, to_plain_json};
pub use parse_type::parse_type;
pub use previews::step_inputs_preview;
pub use references::{Reference, ReferenceStep, references};
pub use render::{preview, render, render_line};
pub use scope::{Context, Files, Found, Scope, Step, Traversal, Variables};
pub use text::expression_text;
