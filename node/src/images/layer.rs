//! Finds the WebAssembly binary in the layers of an image.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Component, Path, PathBuf};

use super::store::{ContentStore, StoreError};

/// The largest binary taken out of a layer.
const MAX_WASM: u64 = 1 << 30;

/// Why no binary was found.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LayerError {
    /// A layer cannot be read.
    #[error("cannot read layer {digest}")]
    Read {
        /// The layer.
        digest: String,
        /// The cause.
        source: io::Error,
    },
    /// The file the entrypoint names is in no layer.
    #[error("the entrypoint names {0:?}, which is in none of the image's layers")]
    Missing(String),
    /// The image names no file and does not hold exactly one.
    #[error(
        "the image has no entrypoint and holds {0} .wasm files: it needs an entrypoint or exactly one file"
    )]
    Ambiguous(usize),
    /// The file is too large.
    #[error("{0:?} is larger than 1 GiB")]
    TooLarge(String),
    /// The binary cannot be kept.
    #[error("cannot keep the WebAssembly binary")]
    Store(#[source] StoreError),
}

/// Takes the binary out of the layers (lowest first) into the store; returns its digest.
///
/// Blocks: it reads and unpacks whole layers.
pub(crate) fn extract_wasm(
    store: &ContentStore,
    layers: &[(String, String)],
    file: Option<&str>,
) -> Result<String, LayerError> {
    let wanted = match file {
        Some(file) => file.to_owned(),
        None => only_wasm_file(store, layers)?,
    };
    for (digest, _) in layers.iter().rev() {
        if let Some(found) = take_from(store, digest, &wanted)? {
            return Ok(found);
        }
    }
    Err(LayerError::Missing(wanted))
}

fn only_wasm_file(store: &ContentStore, layers: &[(String, String)]) -> Result<String, LayerError> {
    let mut files = std::collections::BTreeSet::new();
    for (digest, _) in layers {
        let failed = |source| LayerError::Read { digest: digest.clone(), source };
        let mut archive = open(store, digest)?;
        for entry in archive.entries().map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let path = relative(&entry.path().map_err(failed)?);
            if entry.header().entry_type().is_file() && path.extension().is_some_and(|e| e == "wasm") {
                files.insert(path);
            }
        }
    }
    match files.first() {
        Some(path) if files.len() == 1 => Ok(path.to_string_lossy().into_owned()),
        _ => Err(LayerError::Ambiguous(files.len())),
    }
}

fn take_from(store: &ContentStore, digest: &str, wanted: &str) -> Result<Option<String>, LayerError> {
    let failed = |source| LayerError::Read { digest: digest.to_owned(), source };
    let mut archive = open(store, digest)?;
    for entry in archive.entries().map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if !entry.header().entry_type().is_file()
            || relative(&entry.path().map_err(failed)?) != Path::new(wanted)
        {
            continue;
        }
        let mut ingest = store.ingest().map_err(LayerError::Store)?;
        let copied = io::copy(&mut entry.take(MAX_WASM + 1), &mut ingest).map_err(failed)?;
        if copied > MAX_WASM {
            return Err(LayerError::TooLarge(wanted.to_owned()));
        }
        return ingest.finish(store, None).map(Some).map_err(LayerError::Store);
    }
    Ok(None)
}

/// The path without root and dots; nothing is ever written under it.
fn relative(path: &Path) -> PathBuf {
    path.components().filter(|part| matches!(part, Component::Normal(_))).collect()
}

/// The layer's archive; its compression is not told by the media type, because media types lie.
fn open(store: &ContentStore, digest: &str) -> Result<tar::Archive<Box<dyn Read>>, LayerError> {
    let failed = |source| LayerError::Read { digest: digest.to_owned(), source };
    let path = store.blob_path(digest).map_err(LayerError::Store)?;
    let file = BufReader::new(File::open(&path).map_err(failed)?);
    Ok(tar::Archive::new(decompressed(file).map_err(failed)?))
}

/// What the stream is, once it is unpacked; the compression is told by its first bytes.
pub(super) fn decompressed<'a>(mut stream: impl BufRead + 'a) -> io::Result<Box<dyn Read + 'a>> {
    Ok(match stream.fill_buf()? {
        [0x1f, 0x8b, ..] => Box::new(flate2::bufread::MultiGzDecoder::new(stream)),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Box::new(zstd::Decoder::with_buffer(stream)?),
        _ => Box::new(stream),
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn layer(store: &ContentStore, gzip: bool, files: &[(&str, &[u8])]) -> (String, String) {
        let mut tar = tar::Builder::new(Vec::new());
        for (path, content) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            tar.append_data(&mut header, path, *content).unwrap();
        }
        let bytes = tar.into_inner().unwrap();
        let mut ingest = store.ingest().unwrap();
        if gzip {
            let mut encoder = flate2::write::GzEncoder::new(&mut ingest, flate2::Compression::fast());
            encoder.write_all(&bytes).unwrap();
            encoder.finish().unwrap();
        } else {
            ingest.push(&bytes).unwrap();
        }
        (ingest.finish(store, None).unwrap(), "any".to_owned())
    }

    #[test]
    fn the_topmost_file_of_the_name_is_taken() {
        let dir = tempfile::tempdir().unwrap();
        let store = ContentStore::open(dir.path()).unwrap();
        let lower = layer(&store, true, &[("app/main.wasm", b"old")]);
        let upper = layer(&store, false, &[("./app/main.wasm", b"new")]);
        let digest = extract_wasm(&store, &[lower.clone(), upper], Some("app/main.wasm")).unwrap();
        assert_eq!(std::fs::read(store.blob_path(&digest).unwrap()).unwrap(), b"new");

        let error = extract_wasm(&store, &[lower], Some("main.wasm")).unwrap_err().to_string();
        assert_eq!(error, "the entrypoint names \"main.wasm\", which is in none of the image's layers");
    }

    #[test]
    fn without_an_entrypoint_there_must_be_exactly_one_file() {
        let dir = tempfile::tempdir().unwrap();
        let store = ContentStore::open(dir.path()).unwrap();
        let one = layer(&store, true, &[("a.wasm", b"a"), ("readme.txt", b"r")]);
        let other = layer(&store, true, &[("b.wasm", b"b")]);
        assert!(extract_wasm(&store, std::slice::from_ref(&one), None).is_ok());
        assert!(matches!(extract_wasm(&store, &[one, other], None), Err(LayerError::Ambiguous(2))));
    }
}
