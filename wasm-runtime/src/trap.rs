//! What there is to say about a guest that failed: the cause first, then where it happened, with the names of functions.

use wasmtime::WasmBacktrace;
use wasmtime::component::ResourceTableError;

use crate::core_dumps;

/// The most bytes that are said; a container's status takes no more, and frames at the end tell the least.
const MOST: usize = 4096;

/// The failure in words.
pub(crate) fn explain(error: &wasmtime::Error) -> String {
    let mut text = match error.downcast_ref() {
        Some(ResourceTableError::Full) => {
            "too much is open at one time (files, sockets, streams and the like)".to_owned()
        }
        _ => error.root_cause().to_string(),
    };
    if let Some(told) = core_dumps::told(error) {
        text = format!("{text}\n{told}");
    }
    if let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() {
        text = format!("{text}\n{backtrace}");
    }
    shortened(text)
}

fn shortened(mut text: String) -> String {
    if text.len() > MOST {
        text.truncate(text.floor_char_boundary(MOST - 4));
        text.push_str("\n...");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_backtrace_loses_its_end() {
        assert_eq!(shortened("short".into()), "short");
        let long = shortened("\u{e9}".repeat(MOST));
        assert!(long.len() <= MOST && long.ends_with("\u{e9}\n..."), "{}", long.len());
    }
}
