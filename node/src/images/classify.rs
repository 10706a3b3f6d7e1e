//! What an image is, from its documents: WebAssembly, and where in it the binary lies, or an OCI image.
//!
//! | shape | told by |
//! |---|---|
//! | CNCF wasm artifact | config `application/vnd.wasm.config.v0+json` (or `v1`), layer `application/wasm` |
//! | wasm-to-oci | layer `application/vnd.wasm.content.layer.v1+wasm` |
//! | cargo-component, wkg | layer `application/vnd.bytecodealliance.wasm.component.layer.v0+wasm` |
//! | image of platform wasi/wasm | `os` and `architecture` of the config; the entrypoint names the file |
//! | annotated image | `module.wasm.image/variant` = `compat` or `compat-smart` on the manifest or in the labels |
//! | anything else | an OCI image |

use super::manifest::{Descriptor, ImageConfig, Manifest, Platform};

const WASM_LAYERS: &[&str] = &[
    "application/wasm",
    "application/vnd.wasm.content.layer.v1+wasm",
    "application/vnd.bytecodealliance.wasm.component.layer.v0+wasm",
];
const WASM_CONFIG_PREFIX: &str = "application/vnd.wasm.config.";
const VARIANT: &str = "module.wasm.image/variant";

/// What is to be fetched and run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// One layer is the WebAssembly binary itself.
    WasmLayer(Descriptor),
    /// The binary is a file in the layers of an image.
    WasmInImage {
        /// The file to run, relative to the image's root; `None` if the image does not say.
        file: Option<String>,
    },
    /// An OCI image.
    Oci,
}

/// Why an image is neither.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ShapeError {
    /// The config promises wasm, no layer holds it.
    #[error("the manifest is a wasm artifact but none of its layers is WebAssembly (found {0:?})")]
    WithoutWasm(Vec<String>),
    /// Not an image.
    #[error("the manifest has no image configuration")]
    WithoutConfig,
    /// No layers at all.
    #[error("the manifest has no layers")]
    Empty,
}

/// Says what the image is.
pub(crate) fn classify(manifest: &Manifest, config: &ImageConfig) -> Result<Shape, ShapeError> {
    if let Some(layer) = manifest.layers.iter().find(|l| WASM_LAYERS.contains(&l.media_type.as_str())) {
        return Ok(Shape::WasmLayer(layer.clone()));
    }
    let descriptor = manifest.config.as_ref().ok_or(ShapeError::WithoutConfig)?;
    if descriptor.media_type.starts_with(WASM_CONFIG_PREFIX) {
        let found = manifest.layers.iter().map(|layer| layer.media_type.clone()).collect();
        return Err(ShapeError::WithoutWasm(found));
    }
    if manifest.layers.is_empty() {
        return Err(ShapeError::Empty);
    }
    if is_wasm_platform(&config.os, &config.architecture) || is_annotated(manifest, config) {
        return Ok(Shape::WasmInImage { file: entry_file(config) });
    }
    Ok(Shape::Oci)
}

fn is_wasm_platform(os: &str, architecture: &str) -> bool {
    architecture == "wasm" || architecture == "wasm32" || os.starts_with("wasi")
}

fn is_annotated(manifest: &Manifest, config: &ImageConfig) -> bool {
    [&manifest.annotations, &config.config.labels]
        .into_iter()
        .filter_map(|values| values.get(VARIANT))
        .any(|variant| variant == "compat" || variant == "compat-smart")
}

/// The program's path relative to the image's root.
fn entry_file(config: &ImageConfig) -> Option<String> {
    let run = &config.config;
    let program = run.entrypoint.first().or_else(|| run.cmd.first())?;
    let whole = match program.strip_prefix('/') {
        Some(absolute) => absolute.to_owned(),
        None => format!("{}/{program}", run.working_dir),
    };
    let parts: Vec<&str> = whole.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    Some(parts.join("/"))
}

/// Which image of an index is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Selection {
    /// The machine's own, else WebAssembly.
    NativeFirst,
    /// WebAssembly, else the machine's own.
    WasmFirst,
    /// Only WebAssembly.
    Wasm,
    /// Only the machine's own.
    Native,
}

impl Selection {
    /// All of them.
    pub(crate) const ALL: [Self; 4] = [Self::NativeFirst, Self::WasmFirst, Self::Wasm, Self::Native];

    /// A word for the local index.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::NativeFirst => "native-first",
            Self::WasmFirst => "wasm-first",
            Self::Wasm => "wasm",
            Self::Native => "native",
        }
    }

    /// The manifest to take of an index.
    pub(crate) fn choose(self, manifests: &[Descriptor], architecture: &str) -> Option<Descriptor> {
        let native = || find(manifests, |p| p.os == "linux" && p.architecture == architecture);
        let wasm = || find(manifests, |p| is_wasm_platform(&p.os, &p.architecture));
        match self {
            Self::NativeFirst => native().or_else(wasm),
            Self::WasmFirst => wasm().or_else(native),
            Self::Wasm => wasm(),
            Self::Native => native(),
        }
    }
}

fn find(manifests: &[Descriptor], wanted: impl Fn(&Platform) -> bool) -> Option<Descriptor> {
    manifests.iter().find(|d| d.platform.as_ref().is_some_and(&wanted)).cloned()
}

/// This machine's architecture in the words of image platforms.
pub(crate) fn native_architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "powerpc64" => "ppc64le",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn manifest(config_type: &str, layer_type: &str) -> Manifest {
        serde_json::from_value(json!({
            "config": { "mediaType": config_type, "digest": "sha256:c", "size": 2 },
            "layers": [{ "mediaType": layer_type, "digest": "sha256:l", "size": 3 }],
        }))
        .unwrap()
    }

    const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
    const TAR: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

    #[rstest]
    #[case("application/vnd.wasm.config.v0+json", "application/wasm")]
    #[case(OCI_CONFIG, "application/vnd.wasm.content.layer.v1+wasm")]
    #[case("application/vnd.wasm.config.v1+json", "application/vnd.wasm.content.layer.v1+wasm")]
    #[case(OCI_CONFIG, "application/vnd.bytecodealliance.wasm.component.layer.v0+wasm")]
    fn artifacts_are_wasm_layers(#[case] config: &str, #[case] layer: &str) {
        let manifest = manifest(config, layer);
        let shape = classify(&manifest, &ImageConfig::default()).unwrap();
        assert_eq!(shape, Shape::WasmLayer(manifest.layers[0].clone()));
    }

    #[rstest]
    #[case(json!({"os":"wasi","architecture":"wasm","config":{"Entrypoint":["/app.wasm"]}}), Some("app.wasm"))]
    #[case(json!({"os":"wasi","architecture":"wasm","config":{"Cmd":["./a.wasm"],"WorkingDir":"/srv"}}), Some("srv/a.wasm"))]
    #[case(json!({"os":"wasip1","architecture":"wasm","config":null}), None)]
    #[case(json!({"os":"linux","architecture":"amd64",
        "config":{"Entrypoint":["hello.wasm"],"Labels":{"module.wasm.image/variant":"compat"}}}), Some("hello.wasm"))]
    fn wasm_images_name_their_file(#[case] config: serde_json::Value, #[case] file: Option<&str>) {
        let config: ImageConfig = serde_json::from_value(config).unwrap();
        let shape = classify(&manifest(OCI_CONFIG, TAR), &config).unwrap();
        assert_eq!(shape, Shape::WasmInImage { file: file.map(str::to_owned) });
    }

    #[test]
    fn the_annotation_may_stand_on_the_manifest() {
        let mut manifest = manifest(OCI_CONFIG, TAR);
        manifest.annotations.insert(VARIANT.to_owned(), "compat-smart".to_owned());
        assert!(matches!(classify(&manifest, &ImageConfig::default()), Ok(Shape::WasmInImage { .. })));
        manifest.annotations.insert(VARIANT.to_owned(), "other".to_owned());
        assert_eq!(classify(&manifest, &ImageConfig::default()), Ok(Shape::Oci));
    }

    #[test]
    fn what_promises_wasm_and_has_none_is_refused() {
        let error = classify(&manifest("application/vnd.wasm.config.v0+json", TAR), &ImageConfig::default());
        assert!(error.unwrap_err().to_string().contains("none of its layers is WebAssembly"));
        let empty = Manifest { config: Some(Descriptor::default()), ..Manifest::default() };
        assert_eq!(classify(&empty, &ImageConfig::default()), Err(ShapeError::Empty));
        assert_eq!(classify(&Manifest::default(), &ImageConfig::default()), Err(ShapeError::WithoutConfig));
    }

    proptest! {
        /// Whatever a registry sends is one of the shapes or refused, and a file that is named is so from the image's root.
        #[test]
        fn any_documents_are_classified_or_refused(
            types in prop::collection::vec(prop::sample::select(vec![OCI_CONFIG, TAR, "application/wasm",
                "application/vnd.wasm.config.v0+json", "application/vnd.wasm.content.layer.v1+wasm", "", "x/y"]), 0..4),
            platform in prop::sample::select(vec![("wasi", "wasm"), ("linux", "amd64"), ("", ""), ("wasip1", "wasm32")]),
            entrypoint in prop::collection::vec("[a./]{0,12}", 0..2),
            dir in "[a./]{0,8}",
        ) {
            let layers: Vec<_> =
                types.iter().skip(1).map(|kind| json!({"mediaType": kind, "digest": "sha256:l", "size": 3})).collect();
            let config = types.first().map(|kind| json!({"mediaType": kind, "digest": "sha256:c", "size": 2}));
            let manifest: Manifest = serde_json::from_value(json!({"config": config, "layers": layers})).unwrap();
            let run = json!({"Entrypoint": entrypoint, "WorkingDir": dir});
            let config = json!({"os": platform.0, "architecture": platform.1, "config": run});
            let config: ImageConfig = serde_json::from_value(config).unwrap();
            match classify(&manifest, &config) {
                Ok(Shape::WasmLayer(layer)) => prop_assert!(WASM_LAYERS.contains(&layer.media_type.as_str())),
                Ok(Shape::WasmInImage { file: Some(file) }) => {
                    let parts = || file.split('/').filter(|_| !file.is_empty());
                    prop_assert!(parts().all(|part| !matches!(part, "" | ".")), "{file}");
                }
                Ok(Shape::WasmInImage { file: None } | Shape::Oci) | Err(_) => {}
            }
        }
    }

    #[rstest]
    #[case(Selection::NativeFirst, &["linux/amd64", "wasi/wasm"], Some(0))]
    #[case(Selection::WasmFirst, &["linux/amd64", "wasi/wasm"], Some(1))]
    #[case(Selection::NativeFirst, &["linux/arm64", "wasi/wasm"], Some(1))]
    #[case(Selection::Wasm, &["linux/amd64"], None)]
    #[case(Selection::Native, &["linux/arm64", "linux/amd64"], Some(1))]
    #[case(Selection::Native, &["windows/amd64"], None)]
    fn an_index_is_chosen_from(
        #[case] selection: Selection,
        #[case] platforms: &[&str],
        #[case] chosen: Option<usize>,
    ) {
        let manifests: Vec<Descriptor> = platforms
            .iter()
            .map(|platform| {
                let (os, architecture) = platform.split_once('/').unwrap();
                let platform = Platform { architecture: architecture.to_owned(), os: os.to_owned() };
                Descriptor {
                    digest: os.to_owned() + architecture,
                    platform: Some(platform),
                    ..Descriptor::default()
                }
            })
            .collect();
        assert_eq!(selection.choose(&manifests, "amd64"), chosen.map(|index| manifests[index].clone()));
    }
}
