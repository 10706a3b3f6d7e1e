//! Tells the program which commit it is built from. Who builds from an archive says it in `WHERRY_GIT_COMMIT` and
//! `WHERRY_BUILD_DATE`; where nobody knows, it stays untold.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // What git changes with each commit and each change of branches.
    for file in ["HEAD", "logs/HEAD"] {
        if let Some(path) = git(&["rev-parse", "--git-path", file]).filter(|path| Path::new(path).exists()) {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    tell("WHERRY_GIT_COMMIT", &["rev-parse", "HEAD"]);
    tell(
        "WHERRY_BUILD_DATE",
        &["show", "--no-patch", "--date=format-local:%Y-%m-%dT%H:%M:%SZ", "--format=%cd", "HEAD"],
    );
}

/// Sets a variable for the compiler to what it is in the environment, else to what git answers.
fn tell(name: &str, question: &[&str]) {
    println!("cargo::rerun-if-env-changed={name}");
    let value = std::env::var(name).ok().or_else(|| git(question)).unwrap_or_default();
    println!("cargo::rustc-env={name}={value}");
}

/// What git answers about the repository that this folder is in, if it is in one.
fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).env("TZ", "UTC").output().ok()?;
    let answer = String::from_utf8(output.stdout).ok()?;
    (output.status.success() && !answer.trim().is_empty()).then(|| answer.trim().to_owned())
}
