//! Builds the shim's program, which this crate carries with it.
//!
//! The program is built apart from everything else, with the profile `shim` whatever the profile of this build is, because every
//! container has a process of it. `docs/adr` says more.

use std::env;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What is made of the variables of the build around this one would be said twice, or is meant for another program.
const NOT_INHERITED: [&str; 8] = [
    "CARGO_BUILD_TARGET",
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_TARGET_DIR",
    "RUSTC",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTC_WRAPPER",
    "RUSTDOC",
    "RUSTFLAGS",
];
/// The sources of the program, seen from this crate.
const SOURCES: [&str; 6] = [
    "shim/Cargo.toml",
    "shim/src",
    "../node/runtime-api/Cargo.toml",
    "../node/runtime-api/src",
    "../Cargo.toml",
    "../Cargo.lock",
];

fn main() -> Result<(), Box<dyn Error>> {
    for source in SOURCES {
        println!("cargo::rerun-if-changed={source}");
    }
    let (target, out) = (env::var("TARGET")?, PathBuf::from(env::var("OUT_DIR")?));
    let built = build(&target, &out.join("build"))?;
    // In a place of its own: what lies around the program is of no use to anybody else.
    let program = out.join("wherry-shim");
    std::fs::copy(&built, &program)?;
    println!("cargo::rustc-env=WHERRY_SHIM={}", program.display());
    Ok(())
}

fn build(target: &str, directory: &Path) -> Result<PathBuf, Box<dyn Error>> {
    let mut cargo = Command::new(env::var("CARGO")?);
    cargo.args(["build", "--locked", "--offline", "--quiet", "--profile", "shim", "--bin", "wherry-shim"]);
    cargo.args(["--manifest-path", "shim/Cargo.toml", "--target", target]).arg("--target-dir").arg(directory);
    for name in NOT_INHERITED {
        cargo.env_remove(name);
    }
    // Without pages of shared libraries, and running on whatever they become.
    cargo.env("RUSTFLAGS", "-C target-feature=+crt-static");
    let status = cargo.status()?;
    if !status.success() {
        return Err(format!("the shim's program cannot be built: cargo ended with {status}").into());
    }
    Ok(directory.join(target).join("shim/wherry-shim"))
}
