//! Finds the WebAssembly binary in the layers of an image.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use wherry_oci_runtime::layers::{Allowance, Archive, Bounded, decompress};
use wherry_wasm_runtime::Limits;

use super::store::{ContentStore, StoreError};

/// What the layers of an image may unpack to, each as often as it is read.
const UNPACKED: u64 = 4 << 30;

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
    Ambiguous(&'static str),
    /// The binary is larger than what is compiled.
    #[error("the WebAssembly {name:?} of {size} bytes is larger than the {most} bytes that are compiled")]
    TooLarge {
        /// Its file, or the digest of its layer.
        name: String,
        /// Its size.
        size: u64,
        /// What is compiled.
        most: u64,
    },
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
    let allowance = Allowance::new(UNPACKED);
    let wanted = match file {
        Some(file) => file.to_owned(),
        None => only_wasm_file(store, layers, &allowance)?,
    };
    for (digest, _) in layers.iter().rev() {
        if let Some(found) = take_from(store, digest, &wanted, &allowance)? {
            return Ok(found);
        }
    }
    Err(LayerError::Missing(wanted))
}

/// Refuses what nobody would compile, before it takes room.
pub(super) fn check_size(name: &str, size: u64) -> Result<(), LayerError> {
    let most = Limits::default().image_bytes;
    if size > most {
        return Err(LayerError::TooLarge { name: name.to_owned(), size, most });
    }
    Ok(())
}

fn only_wasm_file(
    store: &ContentStore,
    layers: &[(String, String)],
    allowance: &Allowance,
) -> Result<String, LayerError> {
    let mut files: BTreeSet<PathBuf> = BTreeSet::new();
    for (digest, _) in layers {
        find(store, digest, allowance, |path, _, _| {
            // Whether it is one or not is all that is asked.
            if files.len() < 2 && path.extension().is_some_and(|extension| extension == "wasm") {
                files.insert(path.to_owned());
            }
            Ok(None::<()>)
        })?;
    }
    match files.first() {
        Some(path) if files.len() == 1 => Ok(path.to_string_lossy().into_owned()),
        first => Err(LayerError::Ambiguous(first.map_or("no", |_| "several"))),
    }
}

fn take_from(
    store: &ContentStore,
    digest: &str,
    wanted: &str,
    allowance: &Allowance,
) -> Result<Option<String>, LayerError> {
    find(store, digest, allowance, |path, size, file| {
        if path != Path::new(wanted) {
            return Ok(None);
        }
        check_size(wanted, size)?;
        let mut ingest = store.ingest().map_err(LayerError::Store)?;
        let failed = |source| LayerError::Read { digest: digest.to_owned(), source };
        io::copy(file, &mut ingest).map_err(failed)?;
        ingest.finish(store, None).map(Some).map_err(LayerError::Store)
    })
}

/// What `visit` found first, by path and size of each file of a layer; all before it is unpacked.
fn find<T>(
    store: &ContentStore,
    digest: &str,
    allowance: &Allowance,
    mut visit: impl FnMut(&Path, u64, &mut dyn Read) -> Result<Option<T>, LayerError>,
) -> Result<Option<T>, LayerError> {
    let failed = |source| LayerError::Read { digest: digest.to_owned(), source };
    let path = store.blob_path(digest).map_err(LayerError::Store)?;
    let file = BufReader::new(File::open(&path).map_err(failed)?);
    let mut archive = Archive::new(Bounded::new(decompress(file).map_err(failed)?, allowance));
    while let Some(entry) = archive.next_entry().map_err(failed)? {
        let path = relative(Path::new(OsStr::from_bytes(&entry.path)));
        if entry.kind.is_file()
            && let Some(found) = visit(&path, entry.size, &mut archive)?
        {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// The path without root and dots; nothing is ever written under it.
fn relative(path: &Path) -> PathBuf {
    path.components().filter(|part| matches!(part, Component::Normal(_))).collect()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use tar::EntryType;

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
        assert!(matches!(extract_wasm(&store, &[one, other], None), Err(LayerError::Ambiguous("several"))));
    }

    /// A compressed layer of one entry, which unpacks to so many zeros.
    fn bomb(store: &ContentStore, kind: EntryType, size: u64) -> String {
        let mut ingest = store.ingest().unwrap();
        let gzip = flate2::write::GzEncoder::new(&mut ingest, flate2::Compression::fast());
        let mut tar = tar::Builder::new(gzip);
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(size);
        tar.append_data(&mut header, "zeros.wasm", io::repeat(0).take(size)).unwrap();
        tar.into_inner().unwrap().finish().unwrap();
        let digest = ingest.finish(store, None).unwrap();
        assert!(std::fs::metadata(store.blob_path(&digest).unwrap()).unwrap().len() < 1 << 16);
        digest
    }

    fn refusal(found: Result<Option<()>, LayerError>) -> String {
        crate::context::chain(&found.unwrap_err())
    }

    #[test]
    fn layers_that_unpack_to_more_than_they_may_are_not_read_to_their_end() {
        let dir = tempfile::tempdir().unwrap();
        let store = ContentStore::open(dir.path()).unwrap();
        let digest = bomb(&store, EntryType::Regular, 3 << 20);
        let allowance = Allowance::new(4 << 20);
        let read = || find(&store, &digest, &allowance, |_, _, _| Ok(None::<()>));
        assert_eq!(read().unwrap(), None);
        let told = refusal(read());
        assert!(
            told.ends_with("the layer unpacks to more than 4194304 bytes"),
            "what was read counts: {told}"
        );
    }

    /// A name of gigabytes, which takes some kilobytes of a layer, was read into the agent's memory.
    #[test]
    fn names_that_are_too_long_are_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let store = ContentStore::open(dir.path()).unwrap();
        let digest = bomb(&store, EntryType::GNULongName, 2 << 20);
        let allowance = Allowance::new(1 << 20);
        let told = refusal(find(&store, &digest, &allowance, |_, _, _| Ok(None::<()>)));
        assert!(told.ends_with("a name of 2097152 bytes is longer than 4097"), "{told}");
    }

    #[test]
    fn what_is_too_large_to_be_compiled_takes_no_room() {
        let dir = tempfile::tempdir().unwrap();
        let store = ContentStore::open(dir.path()).unwrap();
        let mut header = tar::Header::new_gnu();
        header.set_path("app.wasm").unwrap();
        header.set_size((256 << 20) + 1);
        header.set_cksum();
        let mut ingest = store.ingest().unwrap();
        ingest.push(header.as_bytes()).unwrap();
        let layers = [(ingest.finish(&store, None).unwrap(), "any".to_owned())];
        let told = extract_wasm(&store, &layers, Some("app.wasm")).unwrap_err().to_string();
        let most = "larger than the 268435456 bytes that are compiled";
        assert_eq!(told, format!("the WebAssembly \"app.wasm\" of 268435457 bytes is {most}"));
    }
}
