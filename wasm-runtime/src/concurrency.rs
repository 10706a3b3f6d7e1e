//! Whether a component lets calls overlap: told from its bytes, so that it is compiled for the engine that can do it.
//!
//! It does if it imports or exports an interface of WASI 0.3, or makes use of the canonical ABI's streams, futures and tasks, be it in a component inside
//! of it. What is read as not doing it and does is refused by the other engine's compiler.

use wasmparser::{CanonicalFunction, CanonicalOption, Parser, Payload};

/// What names of interfaces end with, up to the last number.
const NEWER: &str = "@0.3.";

/// Whether it does. What cannot be read is the compiler's to tell.
pub(crate) fn is_used(bytes: &[u8]) -> bool {
    read(bytes).unwrap_or(false)
}

fn read(bytes: &[u8]) -> wasmparser::Result<bool> {
    for payload in Parser::new(0).parse_all(bytes) {
        let found = match payload? {
            Payload::ComponentImportSection(section) => {
                any(section, |import| import.name.name.contains(NEWER))?
            }
            Payload::ComponentExportSection(section) => {
                any(section, |export| export.name.name.contains(NEWER))?
            }
            Payload::ComponentCanonicalSection(section) => any(section, |function| overlaps(&function))?,
            _ => false,
        };
        if found {
            return Ok(true);
        }
    }
    Ok(false)
}

fn any<T>(
    section: impl IntoIterator<Item = wasmparser::Result<T>>,
    is_one: impl Fn(T) -> bool,
) -> wasmparser::Result<bool> {
    for item in section {
        if is_one(item?) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn overlaps(function: &CanonicalFunction) -> bool {
    match function {
        CanonicalFunction::Lift { options, .. } | CanonicalFunction::Lower { options, .. } => {
            options.contains(&CanonicalOption::Async)
        }
        CanonicalFunction::ResourceNew { .. }
        | CanonicalFunction::ResourceDrop { .. }
        | CanonicalFunction::ResourceRep { .. } => false,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";
    const CANONICAL: u8 = 8;
    const IMPORT: u8 = 10;
    const INSIDE: u8 = 4;

    fn component(section: u8, content: &[u8]) -> Vec<u8> {
        let length = u8::try_from(content.len()).unwrap();
        [COMPONENT, &[section, length], content].concat()
    }

    #[test]
    fn components_tell_by_what_they_import_and_do() {
        let import = |name: &str| {
            let length = u8::try_from(name.len()).unwrap();
            component(IMPORT, &[&[1, 0, length], name.as_bytes(), &[5, 0]].concat())
        };
        assert!(is_used(&import("wasi:clocks/types@0.3.0")));
        assert!(!is_used(&import("wasi:clocks/types@0.2.3")));
        let (drops_resource, drops_subtask) = ([1, 3, 0], [1, 0x0d]);
        assert!(!is_used(&component(CANONICAL, &drops_resource)));
        assert!(is_used(&component(CANONICAL, &drops_subtask)));
        assert!(is_used(&component(INSIDE, &component(CANONICAL, &drops_subtask))));
        let lifts = |option: u8| component(CANONICAL, &[1, 0, 0, 0, 1, option, 0]);
        assert!(is_used(&lifts(6)) && !is_used(&lifts(0)), "by the option async");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(tail in prop::collection::vec(proptest::num::u8::ANY, 0..200)) {
            let _ = is_used(&[COMPONENT, &tail].concat());
        }
    }
}
