//! Images: what is refused and why, and what is compiled when.

use std::path::PathBuf;

use crate::support::{Node, PATIENCE, container, digest_of, guest_file, image, image_of, runtime};
use wherry_runtime_api::{ImageContent, Runtime as _, RuntimeError};

/// A valid module without anything in it.
const EMPTY_MODULE: &[u8] = b"\0asm\x01\0\0\0";
/// A valid component without anything in it.
const EMPTY_COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";
/// `(module (import "env" "f" (func)) (export "_start" (func 0)))`
const FOREIGN_IMPORT: &[u8] =
    b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x02\x09\x01\x03env\x01f\0\0\x07\x0a\x01\x06_start\0\0";

/// The reason why these bytes are refused; nothing may be left of them.
async fn refused(bytes: &[u8]) -> String {
    let node = Node::new();
    let image = image_of(node.dir.path(), bytes);
    let error = node.runtime.prepare_image(&image).await.unwrap_err();
    let spec = container(node.dir.path(), "refused", image.clone());
    let again = node.runtime.create(&spec).await.unwrap_err();
    assert_eq!(error.to_string(), again.to_string());
    assert_eq!(node.runtime.list().await.unwrap(), []);
    match error {
        RuntimeError::InvalidImage { digest, reason } if digest == digest_of(&image) => reason,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_is_no_wasm_is_refused_by_saying_what_it_is() {
    assert_eq!(refused(b"").await, "the WebAssembly file is empty");
    assert_eq!(
        refused(b"#!/bin/sh\necho").await,
        "not a WebAssembly file: it begins with 23212f62696e2f73 instead of 0061736d"
    );
    assert_eq!(
        refused(b"(module)").await,
        "not a WebAssembly file: it begins with 286d6f64756c6529 instead of 0061736d"
    );
    assert_eq!(refused(b"\0asm\x02\0\0\0").await, "the WebAssembly version 02000000 is not known");
    assert!(
        refused(b"\x7fELF\x02\x01\x01").await.starts_with("the file is native or precompiled code (ELF)")
    );
}

#[tokio::test]
async fn a_corrupt_file_is_refused_with_the_place_of_the_damage() {
    let bytes = std::fs::read(guest_file("hello-wasm")).unwrap();
    let cut = refused(&bytes[..bytes.len() / 2]).await;
    assert!(cut.starts_with("the WebAssembly is not valid: ") && cut.contains("out of bounds"), "{cut}");
    let mut garbled = bytes;
    let middle = garbled.len() / 3;
    garbled[middle..middle + 512].fill(0xff);
    let garbled = refused(&garbled).await;
    assert!(garbled.starts_with("the WebAssembly is not valid: "), "{garbled}");
}

#[tokio::test]
async fn what_cannot_be_started_is_refused() {
    let library = refused(EMPTY_MODULE).await;
    assert!(library.starts_with("nothing to run: the module exports no _start"), "{library}");
    assert_eq!(
        refused(EMPTY_COMPONENT).await,
        "nothing to run: the component exports none of wasi:http/handler@0.3.x, wasi:http/incoming-handler@0.2.x, wasi:cli/run@0.3.x, wasi:cli/run@0.2.x"
    );
    let foreign = refused(FOREIGN_IMPORT).await;
    assert!(
        foreign.starts_with("the WebAssembly cannot be linked: ") && foreign.contains("env"),
        "{foreign}"
    );
}

#[tokio::test]
async fn content_that_is_not_what_its_digest_says_is_refused() {
    let node = Node::new();
    let ImageContent::Wasm { digest, .. } = image(&guest_file("hello-wasm")) else { unreachable!() };
    let ImageContent::Wasm { path, entrypoint, env, .. } = image(&guest_file("http")) else { unreachable!() };
    let forged = ImageContent::Wasm { digest: digest.clone(), path, entrypoint, env };
    let error = node.runtime.prepare_image(&forged).await.unwrap_err().to_string();
    assert!(
        error.starts_with(&format!("invalid image {digest}: the content has the digest sha256:")),
        "{error}"
    );
    // The right content is not spoilt by it.
    node.runtime.prepare_image(&image(&guest_file("hello-wasm"))).await.unwrap();
}

#[tokio::test]
async fn a_missing_file_is_an_io_error() {
    let node = Node::new();
    let image = ImageContent::Wasm {
        digest: format!("sha256:{}", "0".repeat(64)),
        path: PathBuf::from("/nonexistent/blob"),
        entrypoint: Vec::new(),
        env: Vec::new(),
    };
    let error = node.runtime.prepare_image(&image).await.unwrap_err();
    assert_eq!(error.to_string(), "cannot read /nonexistent/blob");
}

#[tokio::test]
async fn oci_images_are_for_the_other_runtime() {
    let node = Node::new();
    let image = ImageContent::Oci {
        digest: "sha256:0".into(),
        config: PathBuf::from("/nonexistent"),
        layers: Vec::new(),
    };
    let error = node.runtime.prepare_image(&image).await.unwrap_err().to_string();
    assert!(error.contains("not WebAssembly"), "{error}");
}

#[tokio::test]
async fn an_image_is_compiled_once_even_across_restarts() {
    let node = Node::new();
    let image = image(&guest_file("hello-wasm"));
    let (one, two) = tokio::join!(node.runtime.prepare_image(&image), node.runtime.prepare_image(&image));
    one.and(two).unwrap();
    assert_eq!(node.runtime.statistics().images_compiled, 1);

    let restarted = runtime(node.dir.path(), |_| {});
    restarted.prepare_image(&image).await.unwrap();
    assert_eq!(restarted.statistics().images_compiled, 0);

    restarted.forget_image(digest_of(&image)).await.unwrap();
    restarted.forget_image(digest_of(&image)).await.unwrap();
    restarted.prepare_image(&image).await.unwrap();
    assert_eq!(restarted.statistics().images_compiled, 1);
}

#[tokio::test]
async fn compiled_code_that_was_tampered_with_is_made_anew() {
    let node = Node::new();
    let image = image(&guest_file("cli-p1"));
    node.runtime.prepare_image(&image).await.unwrap();
    let code = node.dir.path().join("runtime/code");
    let engine = std::fs::read_dir(&code).unwrap().next().unwrap().unwrap().path();
    let file = engine.join(digest_of(&image).replace(':', "-"));
    let original = std::fs::read(&file).unwrap();
    let mut changed = original.clone();
    let middle = changed.len() / 2;
    changed[middle] ^= 0xff;
    for damaged in [&changed[..], &original[..middle], b""] {
        std::fs::write(&file, damaged).unwrap();
        let restarted = runtime(node.dir.path(), |_| {});
        restarted.prepare_image(&image).await.unwrap();
        assert_eq!(restarted.statistics().images_compiled, 1);
        assert_eq!(std::fs::read(&file).unwrap().len(), original.len());
    }
    let restarted = runtime(node.dir.path(), |_| {});
    let mut spec = container(node.dir.path(), "cli", image);
    spec.args = Some(crate::support::strings(&["exit", "5"]));
    restarted.create(&spec).await.unwrap();
    let mut events = restarted.events();
    restarted.start(&spec.id).await.unwrap();
    tokio::time::timeout(PATIENCE, events.recv()).await.unwrap().unwrap();
}

#[tokio::test]
async fn code_is_readable_by_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let node = Node::new();
    node.runtime.prepare_image(&image(&guest_file("cli-p1"))).await.unwrap();
    for directory in ["runtime", "runtime/code"] {
        let mode = std::fs::metadata(node.dir.path().join(directory)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700, "{directory}");
    }
}
