//! What a WebAssembly file is, read from its outer sections without compiling it.

use wasmparser::{Encoding, Parser, Payload};

use crate::capabilities::Capability;

/// What servers export, up to the last number; of several the first counts.
pub(crate) const HANDLERS: [(Wasi, &str); 2] =
    [(Wasi::P3, "wasi:http/handler@0.3."), (Wasi::P2, "wasi:http/incoming-handler@0.2.")];
/// What commands export, likewise.
pub(crate) const RUNS: [(Wasi, &str); 2] = [(Wasi::P3, "wasi:cli/run@0.3."), (Wasi::P2, "wasi:cli/run@0.2.")];

/// A version of WASI that components are made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wasi {
    /// 0.2.
    P2,
    /// 0.3.
    P3,
}

/// Of which version there is one of these among the exports. Drafts of a version are none.
pub(crate) fn exported<S: AsRef<str>>(exports: &[S], ones: [(Wasi, &str); 2]) -> Option<Wasi> {
    let is = |name: &str, one: &str| {
        name.strip_prefix(one).is_some_and(|last| last.bytes().all(|digit| digit.is_ascii_digit()))
    };
    let found = ones.into_iter().find(|(_, one)| exports.iter().any(|name| is(name.as_ref(), one)));
    found.map(|(version, _)| version)
}

/// What a file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// How it is encoded.
    pub form: Form,
    /// What a container of it would be.
    pub start: Start,
    /// Interfaces that a component imports, or `module.function` of a module.
    pub imports: Vec<String>,
    /// What it exports, by name.
    pub exports: Vec<String>,
}

/// How WebAssembly is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A core module.
    Module,
    /// A component.
    Component,
}

/// What a container of it would be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// A server, whose requests get instances of their own.
    Server,
    /// A server that also runs commands beside it.
    ServerAndCommand,
    /// A command, which runs to its exit code.
    Command,
    /// Nothing: it exports nothing to begin with.
    Nothing,
}

/// Why a file is not WebAssembly.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct InspectError(String);

/// Reads the outer sections.
pub fn inspect(bytes: &[u8]) -> Result<Inspection, InspectError> {
    if !bytes.starts_with(b"\0asm") || bytes.len() < 8 {
        return Err(InspectError(not_wasm(bytes)));
    }
    read(bytes).map_err(|error| InspectError(format!("the WebAssembly is not valid: {error}")))
}

fn read(bytes: &[u8]) -> wasmparser::Result<Inspection> {
    let mut form = Form::Module;
    let (mut imports, mut exports) = (Vec::new(), Vec::new());
    // How many modules and components the parser is inside of, beyond the file itself.
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            _ if depth > 0 => {}
            Payload::Version { encoding: Encoding::Component, .. } => form = Form::Component,
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    let import = import?;
                    imports.push(format!("{}.{}", import.module, import.name));
                }
            }
            Payload::ExportSection(section) => {
                for export in section {
                    exports.push(export?.name.to_owned());
                }
            }
            Payload::ComponentImportSection(section) => {
                for import in section {
                    imports.push(import?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(section) => {
                for export in section {
                    exports.push(export?.name.name.to_owned());
                }
            }
            _ => {}
        }
    }
    Ok(Inspection { form, start: start(form, &exports), imports, exports })
}

/// What bytes are that begin as no WebAssembly does.
pub(crate) fn not_wasm(bytes: &[u8]) -> String {
    match bytes {
        [] => "the WebAssembly file is empty".into(),
        [0x7f, b'E', b'L', b'F', ..] => {
            "the file is native or precompiled code (ELF); only WebAssembly is accepted, which is compiled here".into()
        }
        [b'\0', b'a', b's', b'm', version @ ..] if !version.is_empty() => {
            let version = &version[..version.len().min(4)];
            format!("the WebAssembly version {} is not known", hex::encode(version))
        }
        _ => {
            let begin = &bytes[..bytes.len().min(8)];
            format!("not a WebAssembly file: it begins with {} instead of 0061736d", hex::encode(begin))
        }
    }
}

fn start(form: Form, exports: &[String]) -> Start {
    match form {
        Form::Module if exports.iter().any(|name| name == "_start") => Start::Command,
        Form::Module => Start::Nothing,
        Form::Component => match (exported(exports, HANDLERS).is_some(), exported(exports, RUNS).is_some()) {
            (true, true) => Start::ServerAndCommand,
            (true, false) => Start::Server,
            (false, true) => Start::Command,
            (false, false) => Start::Nothing,
        },
    }
}

impl Inspection {
    /// What a Pod of it must give, as the annotation `run.wherry.dev/capabilities` has it.
    pub fn capabilities(&self) -> Vec<&'static str> {
        let needed = |capability: &Capability| {
            self.imports.iter().any(|import| Capability::of(import) == Some(*capability))
        };
        Capability::ALL.iter().filter(|capability| needed(capability)).map(|it| it.as_str()).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// `(module (import "env" "f" (func)) (export "_start" (func 0)))`
    const MODULE: &[u8] =
        b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x02\x09\x01\x03env\x01f\0\0\x07\x0a\x01\x06_start\0\0";

    #[test]
    fn a_module_with_a_start_is_a_command() {
        let found = inspect(MODULE).unwrap();
        assert_eq!((found.form, found.start), (Form::Module, Start::Command));
        assert_eq!((found.imports, found.exports), (vec!["env.f".to_owned()], vec!["_start".to_owned()]));
    }

    #[test]
    fn what_is_inside_a_component_is_not_the_components() {
        let mut bytes = b"\0asm\x0d\0\x01\0".to_vec();
        bytes.extend([1, u8::try_from(MODULE.len()).unwrap()]);
        bytes.extend(MODULE);
        let found = inspect(&bytes).unwrap();
        let nothing = Inspection {
            form: Form::Component,
            start: Start::Nothing,
            imports: Vec::new(),
            exports: Vec::new(),
        };
        assert_eq!(found, nothing);
    }

    #[test]
    fn what_is_no_wasm_or_damaged_is_told() {
        assert_eq!(inspect(b"").unwrap_err().to_string(), "the WebAssembly file is empty");
        assert!(inspect(b"\x7fELF").unwrap_err().to_string().contains("precompiled code (ELF)"));
        let cut = inspect(&MODULE[..MODULE.len() - 3]).unwrap_err().to_string();
        assert!(cut.starts_with("the WebAssembly is not valid: ") && cut.contains("offset"), "{cut}");
    }

    #[test]
    fn exports_are_of_a_version_and_drafts_of_none() {
        let of = |names: &[&str]| (exported(names, HANDLERS), exported(names, RUNS));
        assert_eq!(
            of(&["wasi:http/incoming-handler@0.2.3", "wasi:cli/run@0.3.0"]),
            (Some(Wasi::P2), Some(Wasi::P3))
        );
        assert_eq!(
            of(&["wasi:http/incoming-handler@0.2.0", "wasi:http/handler@0.3.1"]),
            (Some(Wasi::P3), None)
        );
        assert_eq!(of(&["wasi:http/handler@0.3.0-rc-2025-09-16", "wasi:cli/run@0.4.0"]), (None, None));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(tail in prop::collection::vec(any::<u8>(), 0..200), component: bool) {
            let mut bytes = if component { b"\0asm\x0d\0\x01\0".to_vec() } else { b"\0asm\x01\0\0\0".to_vec() };
            bytes.extend(tail);
            let _ = inspect(&bytes);
        }

        #[test]
        fn a_damaged_file_is_read_or_refused(place in 8..MODULE.len(), byte: u8) {
            let mut bytes = MODULE.to_vec();
            bytes[place] = byte;
            if let Ok(found) = inspect(&bytes) {
                prop_assert_eq!(found.form, Form::Module);
            }
        }
    }
}
