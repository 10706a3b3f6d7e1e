//! `wasi:logging`: lines in the container's log, among those of its errors.

use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentType, Lift, Linker};

use crate::guest::Guest;

/// The draft has a version in some guests and none in others.
const NAMES: [&str; 2] = ["wasi:logging/logging@0.1.0-draft", "wasi:logging/logging"];

#[derive(Clone, Copy, ComponentType, Lift)]
#[component(enum)]
#[repr(u8)]
#[expect(dead_code, reason = "guests alone make them")]
enum Severity {
    #[component(name = "trace")]
    Trace,
    #[component(name = "debug")]
    Debug,
    #[component(name = "info")]
    Info,
    #[component(name = "warn")]
    Warn,
    #[component(name = "error")]
    Error,
    #[component(name = "critical")]
    Critical,
}

impl Severity {
    fn as_str(self) -> &'static str {
        match self {
            Self::Trace => "TRACE",
            Self::Debug => "DEBUG",
            Self::Info => "INFO",
            Self::Warn => "WARN",
            Self::Error => "ERROR",
            Self::Critical => "CRITICAL",
        }
    }
}

pub(super) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    for name in NAMES {
        linker.instance(name)?.func_wrap(
            "log",
            |store: StoreContextMut<'_, Guest>, (severity, context, message): (Severity, String, String)| {
                store.data().environment.log.say(&line(severity, &context, &message));
                Ok(())
            },
        )?;
    }
    Ok(())
}

fn line(severity: Severity, context: &str, message: &str) -> String {
    let severity = severity.as_str();
    if context.is_empty() {
        format!("{severity} {message}")
    } else {
        format!("{severity} {context}: {message}")
    }
}
