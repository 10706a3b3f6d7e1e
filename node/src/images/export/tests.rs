//! What was exported comes back by import, in another store.

use std::sync::Arc;

use rstest::rstest;
use tempfile::TempDir;

use super::super::Selection;
use super::super::import::import;
use super::super::index_name;
use super::super::signatures::Evidence;
use super::super::store::Keep;
use super::*;

fn store() -> (TempDir, ContentStore) {
    let dir = tempfile::tempdir().unwrap();
    let store = ContentStore::open(dir.path()).unwrap();
    (dir, store)
}

fn keep(store: &ContentStore, bytes: &[u8]) -> String {
    let mut ingest = store.ingest().unwrap();
    ingest.push(bytes).unwrap();
    ingest.finish(store, None).unwrap()
}

fn native(store: &ContentStore, layer: &[u8]) -> ImageKind {
    let config = json!({"os": "linux", "architecture": native_architecture(), "config": {}}).to_string();
    let layers = vec![(keep(store, layer), "application/vnd.oci.image.layer.v1.tar".to_owned())];
    ImageKind::Oci { config: keep(store, config.as_bytes()), layers }
}

fn wasm(store: &ContentStore) -> ImageKind {
    let env = vec!["A=1".to_owned()];
    ImageKind::Wasm { digest: keep(store, b"\0asm\x01\0\0\0"), entrypoint: vec!["/run".to_owned()], env }
}

fn record(store: &ContentStore, name: &str, kind: ImageKind, selections: &[Selection]) {
    let reference = ImageReference::parse(name).unwrap();
    let repo_digest = reference.repo_digest(&format!("sha256:{}", "0".repeat(64)));
    let default_args = match kind {
        ImageKind::Wasm { .. } => vec!["arg".to_owned()],
        ImageKind::Oci { .. } => Vec::new(),
    };
    let image =
        Image { repo_digest, size: 1, default_args, kind, keep: Keep::No, evidence: Evidence::default() };
    for selection in selections {
        store.record(&index_name(&reference, *selection), image.clone()).unwrap();
    }
}

fn exported(store: &ContentStore, names: &[&str], form: ArchiveForm) -> Result<Vec<u8>, ExportError> {
    let names: Vec<ImageReference> = names.iter().map(|name| ImageReference::parse(name).unwrap()).collect();
    let mut archive = Vec::new();
    export(store, &names, form, &mut archive).map(|()| archive)
}

fn found(store: &ContentStore, name: &str, selection: Selection) -> Option<Arc<Image>> {
    store.lookup(&index_name(&ImageReference::parse(name).unwrap(), selection))
}

#[rstest]
#[case(ArchiveForm::Oci)]
#[case(ArchiveForm::Docker)]
fn images_that_share_layers_come_back(#[case] form: ArchiveForm) {
    let (_from, from) = store();
    record(&from, "a.example/one:1", native(&from, b"layer"), &Selection::ALL);
    record(&from, "a.example/two:2", native(&from, b"layer"), &Selection::ALL);
    let archive = exported(&from, &["a.example/one:1", "a.example/two:2"], form).unwrap();
    assert_eq!(archive, exported(&from, &["a.example/one:1", "a.example/two:2"], form).unwrap());
    let (_to, to) = store();
    assert_eq!(import(&to, archive.as_slice()).unwrap(), ["a.example/one:1", "a.example/two:2"]);
    for name in ["a.example/one:1", "a.example/two:2"] {
        let (before, after) = (found(&from, name, Selection::Native), found(&to, name, Selection::Native));
        assert_eq!(before.unwrap().id(), after.unwrap().id());
    }
}

#[test]
fn an_image_of_several_platforms_stays_one() {
    let (_from, from) = store();
    let name = "a.example/both:1";
    record(&from, name, native(&from, b"layer"), &[Selection::NativeFirst, Selection::Native]);
    record(&from, name, wasm(&from), &[Selection::WasmFirst, Selection::Wasm]);
    let archive = exported(&from, &[name], ArchiveForm::Oci).unwrap();
    let (_to, to) = store();
    assert_eq!(import(&to, archive.as_slice()).unwrap(), [name]);
    for selection in Selection::ALL {
        let (before, after) = (found(&from, name, selection).unwrap(), found(&to, name, selection).unwrap());
        assert_eq!((&before.kind, &before.default_args), (&after.kind, &after.default_args), "{selection:?}");
    }
}

#[test]
fn what_cannot_be_exported_says_why() {
    let (_dir, store) = store();
    record(&store, "a.example/wasm:1", wasm(&store), &Selection::ALL);
    let error = |name, form| exported(&store, &[name], form).unwrap_err().to_string();
    assert!(error("a.example/none:1", ArchiveForm::Oci).contains("there is no image \"a.example/none:1\""));
    assert!(error("a.example/wasm:1", ArchiveForm::Docker).contains("leave --format out"));
}
