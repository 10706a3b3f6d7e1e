//! Kubernetes objects as schema-guided values: what the API server does to an object between reading a request and
//! storing bytes. Pure: no IO, no async, no HTTP, no clock.
//!
//! Reading order: [`value`] (the type everything works on), `json` (the parser), [`schema`] (what is known of
//! kinds), [`structural`] (what definitions say of custom ones), [`decode`] (bytes to values that fit a schema), [`patch`], [`defaults`], [`managed`] (who owns
//! which field), [`openapi`] (what is told to clients). The build script in `build/` prepares the schemas.

mod base64;
pub mod decode;
pub mod defaults;
mod json;
pub mod managed;
pub mod openapi;
pub mod patch;
pub mod schema;
pub mod structural;
pub mod value;
pub mod yaml;

pub use decode::{DecodeError, FieldValidation, Format, decode};
pub use json::SyntaxError;
pub use patch::PatchError;
pub use schema::{Schema, Schemas};
pub use value::{Object, Str, Value};
