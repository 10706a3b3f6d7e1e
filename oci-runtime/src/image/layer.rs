//! Turns a layer blob into an unpacked directory: once, verified, in one step.
//!
//! A layer is unpacked beside its final place and renamed there when its digest (of the blob) and its diff id
//! (of the tar stream within) have been found right. A crash leaves a temporary directory, never half a layer.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use wherry_runtime_api::{RuntimeError, spec::Layer};

use super::bounded::{Allowance, Bounded};
use super::unpack::unpack;
use crate::files::{self, failed};

/// Begins the name of a directory being filled.
pub(crate) const TEMPORARY: &str = ".tmp-";
const DIFF_ID: &str = "diff-id";
const GZIP_MAGIC: &[u8] = &[0x1f, 0x8b];
const ZSTD_MAGIC: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];

/// The hexadecimal digits of a `sha256:` digest, which name files safely.
pub(crate) fn hex_of(digest: &str) -> Result<&str, RuntimeError> {
    let hex = digest.strip_prefix("sha256:").unwrap_or_default();
    let valid = hex.len() == 64 && hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    valid.then_some(hex).ok_or_else(|| invalid(digest, "not a sha256 digest"))
}

/// `sha256:...` of the bytes.
pub(crate) fn digest_of(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

pub(crate) fn invalid(digest: &str, reason: impl Into<String>) -> RuntimeError {
    RuntimeError::InvalidImage { digest: digest.to_owned(), reason: reason.into() }
}

/// Where the content of the unpacked layer is, below the directory of layers.
pub(crate) fn content(layers: &Path, hex: &str) -> PathBuf {
    layers.join(hex).join("fs")
}

/// Makes sure that `layer` is unpacked below `layers`. `limit` bounds the unpacked bytes.
pub(crate) fn ensure(layers: &Path, layer: &Layer, diff_id: &str, limit: u64) -> Result<(), RuntimeError> {
    let hex = hex_of(&layer.digest)?;
    let target = layers.join(hex);
    if target.exists() {
        return check_diff_id(&target, layer, diff_id);
    }
    let temporary = tempfile::Builder::new()
        .prefix(&format!("{TEMPORARY}{hex}-"))
        .tempdir_in(layers)
        .map_err(failed("create directory in", layers))?;
    let fs = temporary.path().join("fs");
    files::create_dir(&fs)?;
    let found = unpack_verified(layer, &fs, limit)?;
    if found != diff_id {
        let reason = format!("the layer unpacks to {found}, the image config says {diff_id}");
        return Err(invalid(&layer.digest, reason));
    }
    let record = temporary.path().join(DIFF_ID);
    fs::write(&record, &found).map_err(failed("write", &record))?;
    publish(temporary, &target)
}

/// Syncs and renames. That another process published the same layer meanwhile is as good.
fn publish(temporary: tempfile::TempDir, target: &Path) -> Result<(), RuntimeError> {
    let directory = File::open(temporary.path()).map_err(failed("open", temporary.path()))?;
    rustix::fs::syncfs(&directory).map_err(io::Error::from).map_err(failed("sync", temporary.path()))?;
    match fs::rename(temporary.path(), target) {
        Ok(()) => {
            // Renamed: nothing is left to clean up under the old name.
            let _ = temporary.keep();
            Ok(())
        }
        Err(_) if target.exists() => Ok(()),
        Err(error) => Err(failed("create", target)(error)),
    }
}

fn check_diff_id(target: &Path, layer: &Layer, diff_id: &str) -> Result<(), RuntimeError> {
    let path = target.join(DIFF_ID);
    let found = fs::read_to_string(&path).map_err(failed("read", &path))?;
    if found == diff_id {
        return Ok(());
    }
    Err(invalid(&layer.digest, format!("the layer unpacks to {found}, the image config says {diff_id}")))
}

/// Unpacks and answers the diff id; the blob's digest has been verified.
fn unpack_verified(layer: &Layer, target: &Path, limit: u64) -> Result<String, RuntimeError> {
    let file = File::open(&layer.path).map_err(failed("open", &layer.path))?;
    let mut blob = Hashing::new(file);
    let unpacked = unpack_stream(&mut blob, target, limit);
    io::copy(&mut blob, &mut io::sink()).map_err(failed("read", &layer.path))?;
    let digest = blob.digest();
    if digest != layer.digest {
        // Told first: it explains whatever else went wrong.
        return Err(invalid(&layer.digest, format!("the stored layer is damaged, its digest is {digest}")));
    }
    unpacked.map_err(|error| match error.kind() {
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput | io::ErrorKind::UnexpectedEof => {
            invalid(&layer.digest, error.to_string())
        }
        _ => {
            RuntimeError::Failed { step: format!("unpack layer {}", layer.digest), reason: error.to_string() }
        }
    })
}

fn unpack_stream(blob: impl Read, target: &Path, limit: u64) -> io::Result<String> {
    let allowance = Allowance::new(limit);
    let mut plain = Hashing::new(Bounded::new(decompress(BufReader::new(blob))?, &allowance));
    unpack(&mut plain, target)?;
    io::copy(&mut plain, &mut io::sink())?;
    Ok(plain.digest())
}

/// Tells the compression by the first bytes, as media types and content do not always agree.
pub fn decompress<'a>(mut blob: impl BufRead + 'a) -> io::Result<Box<dyn Read + 'a>> {
    let start = blob.fill_buf()?;
    if start.starts_with(GZIP_MAGIC) {
        Ok(Box::new(flate2::bufread::MultiGzDecoder::new(blob)))
    } else if start.starts_with(ZSTD_MAGIC) {
        Ok(Box::new(zstd::stream::read::Decoder::with_buffer(blob)?))
    } else {
        Ok(Box::new(blob))
    }
}

/// Hashes what is read through it.
struct Hashing<R> {
    inner: R,
    state: Sha256,
}

impl<R> Hashing<R> {
    fn new(inner: R) -> Self {
        Self { inner, state: Sha256::new() }
    }

    fn digest(self) -> String {
        format!("sha256:{}", hex::encode(self.state.finalize()))
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.state.update(&buffer[..count]);
        Ok(count)
    }
}
