//! Layers: an input is a tar stream, whatever its checksums say. No panic; nothing is written beside the directory it is unpacked
//! into; and what was unpacked once is unpacked the same again. Makes devices, so it takes root, as the node does.
#![no_main]

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use libfuzzer_sys::fuzz_target;

const BLOCK: usize = 512;
const CHECKSUM: std::ops::Range<usize> = 148..156;

/// The stream with checksums that are right, so that fuzzing gets beyond them.
fn mended(input: &[u8]) -> Vec<u8> {
    let mut stream = input.to_vec();
    for block in stream.chunks_exact_mut(BLOCK).filter(|block| block[0] != 0) {
        block[CHECKSUM].fill(b' ');
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[CHECKSUM].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
    stream
}

/// What is below a directory: kind and mode, length, owner and group of each.
fn found(directory: &Path) -> BTreeMap<PathBuf, (u32, u64, u32, u32)> {
    let mut all = BTreeMap::new();
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let Ok(meta) = entry.metadata() else { continue };
        let length = if meta.is_dir() { 0 } else { meta.len() };
        all.insert(entry.path(), (meta.mode(), length, meta.uid(), meta.gid()));
        if meta.is_dir() {
            all.extend(found(&entry.path()));
        }
    }
    all
}

fuzz_target!(|input: &[u8]| {
    let stream = mended(input);
    let unpacked = || {
        let dir = tempfile::tempdir().expect("a directory can be made");
        let root = dir.path().join("root");
        std::fs::create_dir(&root).expect("it is new");
        std::fs::write(dir.path().join("beside"), "beside").expect("it can be written");
        let result = wherry_oci_runtime::unpack_layer(stream.as_slice(), &root);
        let beside = std::fs::read_to_string(dir.path().join("beside")).expect("it is still there");
        assert_eq!(beside, "beside");
        let entries = std::fs::read_dir(dir.path()).expect("it can be read").count();
        assert_eq!(entries, 2, "something was made beside the root");
        let below = found(&root).into_iter();
        let below: Vec<_> =
            below.map(|(path, what)| (path.strip_prefix(&root).map(Path::to_owned), what)).collect();
        (result.map_err(|error| error.kind()), below)
    };
    assert_eq!(unpacked(), unpacked());
});
