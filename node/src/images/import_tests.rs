//! Archives, whole and hostile.

use std::io::Write;

use proptest::prelude::*;
use rstest::rstest;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::*;

const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

fn hex_of(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// An archive being written.
struct Files(tar::Builder<Vec<u8>>);

impl Files {
    fn new() -> Self {
        Self(tar::Builder::new(Vec::new()))
    }

    fn header(kind: EntryType, size: usize) -> tar::Header {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(size as u64);
        header.set_mode(0o644);
        header
    }

    fn file(mut self, path: &str, bytes: &[u8]) -> Self {
        let mut header = Self::header(EntryType::Regular, bytes.len());
        // What no builder writes is written by hand.
        header.as_gnu_mut().unwrap().name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_cksum();
        self.0.append(&header, bytes).unwrap();
        self
    }

    fn link(mut self, path: &str, target: &str) -> Self {
        let mut header = Self::header(EntryType::Symlink, 0);
        self.0.append_link(&mut header, path, target).unwrap();
        self
    }

    fn blob(self, bytes: &[u8]) -> Self {
        self.file(&format!("blobs/sha256/{}", hex_of(bytes)), bytes)
    }

    fn end(self) -> Vec<u8> {
        self.0.into_inner().unwrap()
    }
}

fn config() -> Vec<u8> {
    json!({ "os": "linux", "architecture": native_architecture(), "config": {} }).to_string().into_bytes()
}

/// As older versions of docker write it: each layer once, others linked to it.
fn docker() -> Vec<u8> {
    let manifest = json!([{
        "Config": "c.json", "RepoTags": ["app:1", "127.0.0.1:5000/app:2"], "Layers": ["a/layer.tar", "b/layer.tar"],
    }]);
    Files::new()
        .file("a/layer.tar", b"layer")
        .link("b/layer.tar", "../a/layer.tar")
        .file("c.json", &config())
        .file("repositories", b"{}")
        .file("manifest.json", manifest.to_string().as_bytes())
        .end()
}

fn layout(change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let config = config();
    let mut manifest = json!({
        "schemaVersion": 2, "mediaType": OCI_MANIFEST,
        "config": { "mediaType": "application/vnd.oci.image.config.v1+json", "size": config.len(),
                    "digest": format!("sha256:{}", hex_of(&config)) },
        "layers": [{ "mediaType": TAR, "size": 5, "digest": format!("sha256:{}", hex_of(b"layer")) }],
    });
    change(&mut manifest);
    let manifest = manifest.to_string().into_bytes();
    let index = json!({ "schemaVersion": 2, "manifests": [{
        "mediaType": OCI_MANIFEST, "digest": format!("sha256:{}", hex_of(&manifest)), "size": manifest.len(),
        "annotations": { "org.opencontainers.image.ref.name": "1", "io.containerd.image.name": "docker.io/library/app:1" },
    }]});
    Files::new()
        .file("oci-layout", b"{\"imageLayoutVersion\":\"1.0.0\"}")
        .blob(b"layer")
        .blob(&config)
        .blob(&manifest)
        .file("./index.json", index.to_string().as_bytes())
        .end()
}

fn zipped(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

struct Case {
    dir: tempfile::TempDir,
    store: ContentStore,
}

impl Case {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = ContentStore::open(dir.path()).unwrap();
        Self { dir, store }
    }

    fn import(&self, archive: &[u8]) -> Result<Vec<String>, ImportError> {
        import(&self.store, archive)
    }

    fn image(&self, name: &str, selection: Selection) -> Option<std::sync::Arc<Image>> {
        self.store.lookup(&index_name(&ImageReference::parse(name).unwrap(), selection))
    }

    fn blobs(&self) -> usize {
        std::fs::read_dir(self.dir.path().join("blobs/sha256")).unwrap().count()
    }
}

#[test]
fn what_docker_saves_becomes_images_under_all_their_names() {
    let case = Case::new();
    let names = case.import(&docker()).unwrap();
    assert_eq!(names, ["docker.io/library/app:1", "127.0.0.1:5000/app:2"]);
    let image = case.image("127.0.0.1:5000/app:2", Selection::NativeFirst).unwrap();
    assert_eq!((image.id(), image.keep), (format!("sha256:{}", hex_of(&config())).as_str(), Keep::Imported));
    let layer = (format!("sha256:{}", hex_of(b"layer")), TAR.to_owned());
    let super::super::store::ImageKind::Oci { layers, .. } = &image.kind else {
        panic!("expected an OCI image")
    };
    assert_eq!(layers, &[layer.clone(), layer]);
    assert_eq!(case.blobs(), 2, "what no image needs is not kept");
}

#[rstest]
fn a_layout_becomes_an_image_under_containerds_name(#[values(true, false)] compressed: bool) {
    let case = Case::new();
    let archive = layout(|_| {});
    let names = case.import(&if compressed { zipped(&archive) } else { archive }).unwrap();
    assert_eq!(names, ["docker.io/library/app:1"]);
    for selection in Selection::ALL {
        let image = case.image("app:1", selection).unwrap();
        assert!(image.repo_digest.starts_with("docker.io/library/app@sha256:"), "{}", image.repo_digest);
    }
}

#[rstest]
#[case(Files::new().file("something", b"x").end(), "neither index.json")]
#[case(layout(|manifest| manifest["layers"][0]["digest"] = json!(format!("sha256:{}", "0".repeat(64)))), "is not in it")]
#[case(layout(|manifest| manifest["layers"] = json!([])), "unusable image")]
#[case(layout(|manifest| manifest["config"]["digest"] = json!("sha256:../../../etc/passwd")), "is not in it")]
#[case(Files::new().file(&format!("blobs/sha256/{}", "0".repeat(64)), b"other").end(), "cannot keep content")]
#[case(Files::new().file("manifest.json", b"[{\"Config\":\"c\",\"Layers\":[]}]").end(), "names \"c\", which is not in it")]
#[case(Files::new().file("manifest.json", b"[]").end(), "has a name")]
#[case(Files::new().file("manifest.json", b"{}").end(), "cannot parse manifest.json")]
#[case(docker()[..700].to_vec(), "cannot read the archive")]
fn what_is_wrong_with_an_archive_is_told_and_nothing_of_it_is_kept(
    #[case] archive: Vec<u8>,
    #[case] expected: &str,
) {
    let case = Case::new();
    let error = case.import(&archive).unwrap_err().to_string();
    assert!(error.contains(expected), "{error}");
    assert_eq!(case.blobs(), 0);
}

#[test]
fn no_name_in_an_archive_leads_anywhere() {
    let case = Case::new();
    let manifest = json!([{ "Config": "../../c.json", "RepoTags": ["app:1"], "Layers": ["/../../layer"] }]);
    let archive = Files::new()
        .file("../../c.json", &config())
        .file("/../../layer", b"layer")
        .link("out", "/etc/passwd")
        .file("manifest.json", manifest.to_string().as_bytes())
        .end();
    assert_eq!(case.import(&archive).unwrap(), ["docker.io/library/app:1"]);
    let mut names: Vec<_> =
        std::fs::read_dir(case.dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["blobs", "index.json", "ingest", "lock"]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damaged_archives_are_refused_or_read_and_leave_nothing_half_done(
        whole in prop_oneof![Just(docker()), Just(layout(|_| {}))],
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        end in any::<prop::sample::Index>(),
        cut in any::<bool>(),
    ) {
        let mut archive = whole;
        for (at, byte) in damage {
            let at = at.index(archive.len());
            archive[at] = byte;
        }
        if cut {
            archive.truncate(end.index(archive.len()));
        }
        let case = Case::new();
        if case.import(&archive).is_err() && case.store.images().is_empty() {
            prop_assert_eq!(case.blobs(), 0);
        }
        prop_assert_eq!(std::fs::read_dir(case.dir.path().join("ingest")).unwrap().count(), 0);
    }
}
