//! Where log lines and the last error go: standard error.

use std::io::Write as _;

use anyhow::Context as _;
use tracing_subscriber::EnvFilter;

use crate::args::LogFormat;

/// What is logged unless WHERRY_LOG says otherwise.
const DEFAULT_FILTER: &str = "info,kube=warn,hyper=warn,tower=warn,cranelift=warn,wasmtime=warn";

/// Installs the log subscriber.
pub(crate) fn init(format: LogFormat) -> anyhow::Result<()> {
    let filter = match std::env::var("WHERRY_LOG") {
        Ok(text) => EnvFilter::try_new(&text).with_context(|| {
            format!("WHERRY_LOG={text:?} is not a log filter; use for example info,wherry_node=debug")
        })?,
        Err(_) => EnvFilter::new(DEFAULT_FILTER),
    };
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        LogFormat::Text => builder.init(),
        LogFormat::Json => builder.json().flatten_event(true).init(),
    }
    Ok(())
}

/// Prints an error with its whole chain, once.
pub(crate) fn fatal(error: &anyhow::Error) {
    // Nothing can be done when standard error is closed.
    let _ = writeln!(std::io::stderr(), "wherry: {error:#}");
}
