//! The boundary table of `docs/architecture.md`, held over `cargo metadata`.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, MetadataCommand, Package};

/// Which of our crates a crate may depend on.
const OURS: &[(&str, &[&str])] = &[
    ("wherry-api", &[]),
    ("wherry-store", &[]),
    ("wherry-schema", &["wherry-api"]),
    ("wherry-cel", &["wherry-api"]),
    ("wherry-apiserver", &["wherry-api", "wherry-cel", "wherry-headers", "wherry-schema", "wherry-store"]),
    ("wherry-controllers", &["wherry-api"]),
    ("wherry-metrics", &["wherry-api"]),
    ("wherry-scheduler", &["wherry-api", "wherry-cel"]),
    (
        "wherry-orchestrator",
        &[
            "wherry-api",
            "wherry-apiserver",
            "wherry-controllers",
            "wherry-metrics",
            "wherry-scheduler",
            "wherry-store",
        ],
    ),
    ("wherry-runtime-api", &[]),
    ("wherry-runtime-suite", &["wherry-runtime-api"]),
    ("wherry-cni", &[]),
    ("wherry-dbus", &[]),
    ("wherry-dns", &[]),
    ("wherry-headers", &[]),
    ("wherry-ingress", &["wherry-headers"]),
    ("wherry-nftables", &[]),
    ("wherry-plugin-api", &[]),
    ("wherry-wasm-runtime", &["wherry-runtime-api"]),
    ("wherry-shim", &["wherry-runtime-api"]),
    ("wherry-oci-runtime", &["wherry-runtime-api", "wherry-shim"]),
    (
        "wherry-node",
        &[
            "wherry-api",
            "wherry-cni",
            "wherry-dbus",
            "wherry-dns",
            "wherry-ingress",
            "wherry-nftables",
            "wherry-plugin-api",
            "wherry-runtime-api",
            "wherry-wasm-runtime",
            "wherry-oci-runtime",
        ],
    ),
    (
        "wherry",
        &["wherry-api", "wherry-orchestrator", "wherry-node", "wherry-runtime-api", "wherry-wasm-runtime"],
    ),
];

/// Those that are clients of the API.
const CLIENTS: &[&str] = &[
    "wherry-controllers",
    "wherry-metrics",
    "wherry-scheduler",
    "wherry-node",
    "wherry-orchestrator",
    "wherry",
];

/// Which of our crates may use a third-party crate (tests may use all of them).
const THEIRS: &[(&str, &[&str])] = &[
    ("kube", CLIENTS),
    ("k8s-openapi", CLIENTS),
    ("wasm-encoder", &["wherry-wasm-runtime"]),
    ("wasmparser", &["wherry-wasm-runtime"]),
    ("wasmtime", &["wherry-wasm-runtime"]),
    ("wasmtime-wasi", &["wherry-wasm-runtime"]),
    ("wasmtime-wasi-http", &["wherry-wasm-runtime"]),
    ("redb", &["wherry-store"]),
    ("redis", &["wherry-wasm-runtime"]),
    ("hickory-proto", &["wherry-dns"]),
    ("prost", &["wherry-plugin-api"]),
    ("axum", &["wherry-apiserver", "wherry-node"]),
];

/// Crates that know neither async nor the network.
const PURE: &[&str] = &["wherry-api", "wherry-cel", "wherry-dns", "wherry-headers", "wherry-schema"];
const IMPURE: &[&str] = &["tokio", "hyper", "axum", "kube", "futures", "reqwest", "rustix", "nix"];

/// What only tests, and may know everybody.
const TESTS: &[&str] = &["wherry-tests", "wherry-sim"];

fn packages() -> BTreeMap<String, Package> {
    let metadata = MetadataCommand::new().no_deps().exec().expect("cargo metadata");
    metadata.packages.into_iter().map(|p| (p.name.to_string(), p)).collect()
}

fn dependencies(package: &Package) -> BTreeSet<&str> {
    package
        .dependencies
        .iter()
        .filter(|d| d.kind == DependencyKind::Normal)
        .map(|d| d.name.as_str())
        .collect()
}

#[test]
fn our_crates_depend_only_on_whom_they_may() {
    let packages = packages();
    let allowed: BTreeMap<_, _> = OURS.iter().copied().collect();
    for (name, package) in packages.iter().filter(|(name, _)| !TESTS.contains(&name.as_str())) {
        let may =
            allowed.get(name.as_str()).unwrap_or_else(|| panic!("{name} is missing in the boundary table"));
        for dependency in dependencies(package).into_iter().filter(|d| packages.contains_key(*d)) {
            assert!(may.contains(&dependency), "{name} must not depend on {dependency}");
        }
    }
}

#[test]
fn libraries_stay_in_the_crates_that_own_them() {
    let packages = packages();
    for (name, package) in packages.iter().filter(|(name, _)| !TESTS.contains(&name.as_str())) {
        for dependency in dependencies(package) {
            if let Some((_, owners)) = THEIRS.iter().find(|(library, _)| *library == dependency) {
                assert!(owners.contains(&name.as_str()), "{name} must not depend on {dependency}");
            }
        }
    }
}

#[test]
fn pure_crates_know_no_io() {
    let packages = packages();
    for name in PURE {
        let found = dependencies(&packages[*name]);
        for library in IMPURE {
            assert!(!found.contains(library), "{name} must not depend on {library}");
        }
    }
}

#[test]
fn every_source_file_says_what_it_is_for() {
    let mut silent = Vec::new();
    for package in packages().values() {
        let root = package.manifest_path.parent().expect("a manifest lies in a directory");
        collect_silent(root.join("src").as_std_path(), &mut silent);
    }
    assert!(silent.is_empty(), "files that do not open with //!: {silent:#?}");
}

fn collect_silent(dir: &std::path::Path, silent: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(dir).expect("a source directory can be read") {
        let path = entry.expect("an entry can be read").path();
        if path.is_dir() {
            collect_silent(&path, silent);
        } else if path.extension().is_some_and(|e| e == "rs") {
            let text = std::fs::read_to_string(&path).expect("a source file can be read");
            if !text.starts_with("//!") {
                silent.push(path);
            }
        }
    }
}

/// The tests that `docs/conformance.md` names are there, and every description has one.
#[test]
fn every_description_of_conformance_has_the_test_that_is_named() {
    let root = wherry_tests::workspace();
    let mut sources = Vec::new();
    for dir in ["tests/tests", "orchestrator", "node/src"] {
        collect_sources(&root.join(dir), &mut sources);
    }
    let functions: BTreeSet<&str> = sources
        .iter()
        .flat_map(|text| text.split("fn ").skip(1))
        .map(|rest| rest.split(['(', '<']).next().unwrap_or_default())
        .collect();
    let table = std::fs::read_to_string(root.join("docs/conformance.md")).expect("the table can be read");
    let rows = table.lines().filter(|line| line.starts_with("| ") && line.contains('/'));
    let mut missing = Vec::new();
    for row in rows.clone() {
        let tests = row.trim_end_matches([' ', '|']).rsplit(" | ").next().unwrap_or_default();
        let named: Vec<&str> = tests.split('`').skip(1).step_by(2).collect();
        // Some are named to a macro, one a line.
        let is_told = |name: &str| sources.iter().any(|text| text.contains(&format!("\n    {name}: ")));
        let is_there = |path: &&str| {
            let name = path.rsplit("::").next().unwrap_or_default();
            functions.contains(name) || is_told(name)
        };
        if named.is_empty() || !named.iter().all(is_there) {
            missing.push(row);
        }
    }
    assert!(rows.count() > 400 && missing.is_empty(), "descriptions without their tests: {missing:#?}");
}

fn collect_sources(dir: &std::path::Path, sources: &mut Vec<String>) {
    for entry in std::fs::read_dir(dir).expect("a source directory can be read") {
        let path = entry.expect("an entry can be read").path();
        if path.is_dir() {
            collect_sources(&path, sources);
        } else if path.extension().is_some_and(|e| e == "rs") {
            sources.push(std::fs::read_to_string(&path).expect("a source file can be read"));
        }
    }
}
