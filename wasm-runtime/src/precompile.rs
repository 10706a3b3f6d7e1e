//! Code for other machines: what `wherry compile` makes, and nodes import.
//!
//! Code for a target that is named runs on all its processors, as it uses nothing that not all have; code for machines like this one uses what this
//! processor has, and is refused by those that lack it.

use crate::archive::Archive;
use crate::engine;
use crate::imported::ENGINE;
use crate::program::ProgramError;
use crate::target::{AddressSpace, Target};
use crate::{compiler, inspect};
use ring::digest::{SHA256, digest};

/// Why nothing was compiled.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// The bytes are no program, or none that can be compiled for the target.
    #[error("{0}")]
    Program(String),
    /// The compiler does not know such machines.
    #[error("code cannot be compiled for {target}: {reason}")]
    Target {
        /// What it should be for.
        target: Target,
        /// What the compiler says.
        reason: String,
    },
    /// Only its own architecture is known to this compiler.
    #[error(
        "this wherry compiles for machines like its own only, and not for {0}: use one that was built with the feature all-targets"
    )]
    Left(Target),
    /// This machine is none that code is compiled for.
    #[error("code is not compiled for machines like this one; name a target")]
    Here,
}

/// Compiles WebAssembly for nodes of a target, or else for machines like this one, that have such address spaces.
pub fn compile(
    bytes: &[u8],
    target: Option<Target>,
    spaces: &[AddressSpace],
) -> Result<Archive, CompileError> {
    let program = |error: ProgramError| CompileError::Program(error.to_string());
    let found = inspect(bytes).map_err(|error| CompileError::Program(error.to_string()))?;
    if found.start == inspect::Start::Nothing {
        return Err(CompileError::Program(
            "nothing to run: it exports neither a server nor a command".into(),
        ));
    }
    let named = named(target, cfg!(feature = "all-targets"))?;
    let code = |space: &AddressSpace| {
        let failed =
            |error: wasmtime::Error| CompileError::Target { target: named, reason: format!("{error:#}") };
        let engine = engine::for_target(bytes, target, *space).map_err(failed)?;
        compiler::compile(&engine, bytes).map_err(program)
    };
    let codes = spaces.iter().map(code).collect::<Result<_, _>>()?;
    let digest = format!("sha256:{}", hex::encode(digest(&SHA256, bytes)));
    Ok(Archive { digest, target: named.to_string(), engine: ENGINE.to_owned(), codes })
}

/// The target that code is to be for.
fn named(asked: Option<Target>, all: bool) -> Result<Target, CompileError> {
    let named = asked.or_else(Target::own).ok_or(CompileError::Here)?;
    if all || Target::own() == Some(named) { Ok(named) } else { Err(CompileError::Left(named)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `(module (func (export "_start")))`
    const COMMAND: &[u8] =
        b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\0\x07\x0a\x01\x06_start\0\0\x0a\x04\x01\x02\0\x0b";

    /// What an ELF file says it is for.
    fn machine(code: &[u8]) -> u16 {
        let bytes = [code[18], code[19]];
        if code[5] == 2 { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) }
    }

    #[test]
    fn a_compiler_of_one_architecture_says_what_it_lacks() {
        let own = Target::own().unwrap();
        for target in Target::ALL {
            assert_eq!(named(Some(target), true).unwrap(), target);
            match named(Some(target), false) {
                Ok(found) => assert_eq!((found, target), (own, own)),
                Err(error) => {
                    assert!(target != own && error.to_string().contains("feature all-targets"), "{error}");
                }
            }
        }
        assert_eq!(named(None, false).unwrap(), own);
    }

    #[test]
    #[cfg(feature = "all-targets")]
    fn code_is_made_for_every_target_and_kind_of_node() {
        let machines = [183, 243, 22, 62];
        for (target, number) in Target::ALL.into_iter().zip(machines) {
            let archive =
                compile(COMMAND, Some(target), &[AddressSpace::Large, AddressSpace::Small]).unwrap();
            assert_eq!((archive.target.as_str(), archive.codes.len()), (target.triple(), 2));
            for code in &archive.codes {
                assert_eq!((&code[..4], machine(code)), (&b"\x7fELF"[..], number), "{target}");
            }
            assert_ne!(archive.codes[0], archive.codes[1], "address spaces make a difference");
        }
    }

    #[test]
    fn what_would_not_start_is_not_compiled() {
        let spaces = [AddressSpace::Large];
        let refused = |bytes: &[u8]| compile(bytes, None, &spaces).unwrap_err().to_string();
        assert!(refused(b"(module)").starts_with("not a WebAssembly file"));
        assert!(refused(b"\0asm\x01\0\0\0").starts_with("nothing to run"));
    }
}
