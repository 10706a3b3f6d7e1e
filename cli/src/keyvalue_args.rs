//! What the command line says of the Redis in which WebAssembly may keep values.

use std::fs;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use wherry_api::quantity::Quantity;
use wherry_wasm_runtime::Redis;

#[derive(Debug, Args)]
pub(crate) struct KeyvalueArgs {
    /// A file with the URL of a Redis, as redis://user:password@host:6379/0, or rediss:// for TLS: Pods of WebAssembly may have their
    /// wasi:keyvalue there.
    #[arg(long = "keyvalue-redis")]
    redis_url: Option<PathBuf>,
    /// Certificates that vouch for it, in PEM [default: those of the system].
    #[arg(long = "keyvalue-redis-ca", requires = "redis_url")]
    redis_ca: Option<PathBuf>,
    /// How many bytes each namespace may keep there.
    #[arg(long = "keyvalue-redis-quota", requires = "redis_url", default_value = "64Mi")]
    quota: Quantity,
}

impl KeyvalueArgs {
    /// Where it is.
    pub(crate) fn redis(&self) -> anyhow::Result<Option<Redis>> {
        let Some(file) = &self.redis_url else { return Ok(None) };
        let read = |path: &PathBuf| {
            fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
        };
        let url = read(file).context("--keyvalue-redis cannot be used")?;
        let roots = self.redis_ca.as_ref().map(read).transpose();
        let roots = roots.context("--keyvalue-redis-ca cannot be used")?.map(String::into_bytes);
        let quota =
            usize::try_from(self.quota.value()).context("--keyvalue-redis-quota is no number of bytes")?;
        Ok(Some(Redis::new(url.trim(), roots, quota).context("--keyvalue-redis cannot be used")?))
    }
}
