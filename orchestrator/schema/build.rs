//! Generates what the crate knows of the built-in kinds: the schema arena and the OpenAPI documents.
//!
//! Structure and descriptions come from k8s-openapi's JSON schemas, what those lack from the tables in `facts/`,
//! and the paths from the kinds table of `wherry-api`. Everything goes gzipped into `OUT_DIR`.

#[path = "build/arena.rs"]
mod arena;
#[path = "build/collect.rs"]
mod collect;
#[path = "build/columns.rs"]
mod columns;
#[path = "build/components.rs"]
mod components;
#[path = "build/documents.rs"]
mod documents;
#[path = "build/facts.rs"]
mod facts;
#[path = "build/operations.rs"]
mod operations;
#[path = "build/parameters.rs"]
mod parameters;
#[path = "build/paths.rs"]
mod paths;
#[path = "build/swagger.rs"]
mod swagger;
#[path = "build/words.rs"]
mod words;

use std::io::Write;
use std::path::{Path, PathBuf};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=build");
    println!("cargo::rerun-if-changed=facts");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let facts = facts::Facts::read(Path::new("facts"));
    let definitions = collect::definitions();
    write_gzip(&out.join("arena.gz"), arena::render(&definitions, &facts).as_bytes());
    columns::write(&out, &definitions, &facts);
    documents::write(&out, &components::components(&definitions, &facts));
}

/// Compresses `bytes` into a file.
fn write_gzip(path: &Path, bytes: &[u8]) {
    let file = std::fs::File::create(path).expect("OUT_DIR is writable");
    let mut encoder = flate2::write::GzEncoder::new(file, flate2::Compression::best());
    encoder.write_all(bytes).expect("OUT_DIR is writable");
    encoder.finish().expect("OUT_DIR is writable");
}
