//! Files that claim to be WebAssembly: any bytes. No panic; what is valid is read, and no import that a validator sees is passed over.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wasmparser::{Validator, WasmFeatures};

// Their crate has an engine, which would be built with counters, too; these files know nothing of it.
#[path = "../../../../wasm-runtime/src/capabilities.rs"]
#[allow(dead_code, reason = "of all that it has, what imports need is asked")]
mod capabilities;
#[path = "../../../../wasm-runtime/src/inspect.rs"]
mod inspect;
#[path = "../../../../wasm-runtime/src/level.rs"]
#[allow(dead_code, reason = "capabilities name it")]
mod level;

use inspect::{Form, inspect};

fuzz_target!(|input: &[u8]| {
    let found = inspect(input);
    let mut validator = Validator::new_with_features(WasmFeatures::all());
    let Ok(types) = validator.validate_all(input) else { return };
    let found = found.unwrap_or_else(|error| panic!("it is valid, and refused: {error}"));
    if found.form == Form::Component {
        for import in &found.imports {
            assert!(types.as_ref().component_item_for_import(import).is_some(), "{import}");
        }
    }
    let reaches = |import: &String| import.starts_with("wasi:sockets/") || import.starts_with("wasi_snapshot_preview1.sock_");
    assert_eq!(found.capabilities().contains(&"sockets"), found.imports.iter().any(reaches), "{found:?}");
    if let Some(something) = something(input) {
        assert_eq!(found.imports.len() + found.exports.len() > 0, something, "{found:?}");
    }
});

/// Whether the outermost module or component has imports or exports, by its sections' numbers; none if it ends within a section, which
/// the validator lets pass where that is a module's or component's.
fn something(input: &[u8]) -> Option<bool> {
    let wanted = if input[4..6] == [0x0d, 0] { [10, 11] } else { [2, 7] };
    let (mut rest, mut found) = (&input[8..], false);
    while let Some((kind, after)) = rest.split_first() {
        let (size, after) = leb(after)?;
        found |= wanted.contains(kind) && leb(after)?.0 > 0;
        rest = after.get(size..)?;
    }
    Some(found)
}

fn leb(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let last = bytes.iter().position(|byte| byte & 0x80 == 0)?;
    let number = bytes[..=last].iter().rev().fold(0, |sum, byte| sum << 7 | usize::from(byte & 0x7f));
    Some((number, &bytes[last + 1..]))
}
