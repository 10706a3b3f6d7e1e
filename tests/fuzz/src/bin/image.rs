//! Documents of images: a manifest and a configuration. No panic; what is run is of the manifest, and is no more than the documents say.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wherry_fuzz::halves;

// Their crate has all of a node, which would be built with counters, too; these files know nothing of it.
#[path = "../../../../node/src/images/classify.rs"]
#[allow(dead_code, reason = "words for the local index are not asked for")]
mod classify;
#[path = "../../../../node/src/images/manifest.rs"]
#[allow(dead_code, reason = "registries and archives are not asked")]
mod manifest;

use classify::{Selection, Shape, classify};
use manifest::{ImageConfig, Manifest};

fuzz_target!(|input: &[u8]| {
    let Some((manifest, config)) = halves(input) else { return };
    let Ok(manifest) = serde_json::from_slice::<Manifest>(manifest) else { return };
    for selection in Selection::ALL {
        if let Some(chosen) = selection.choose(&manifest.manifests, "amd64") {
            let platform = chosen.platform.as_ref().expect("it is chosen for what it is for");
            let native = platform.os == "linux" && platform.architecture == "amd64";
            assert!(!(native && selection == Selection::Wasm) && (native || selection != Selection::Native));
            assert!(manifest.manifests.contains(&chosen));
        }
    }
    let Ok(config) = serde_json::from_slice::<ImageConfig>(config) else { return };
    match classify(&manifest, &config) {
        Ok(Shape::WasmLayer(layer)) => {
            assert!(layer.media_type.contains("wasm") && manifest.layers.contains(&layer));
        }
        Ok(Shape::WasmInImage { file }) => {
            assert!(!manifest.layers.is_empty());
            let mut parts = file.iter().flat_map(|file| file.split('/'));
            assert!(file.as_deref() == Some("") || parts.all(|part| !part.is_empty() && part != "."), "{file:?}");
        }
        Ok(Shape::Oci) => assert!(manifest.config.is_some() && !manifest.layers.is_empty()),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
