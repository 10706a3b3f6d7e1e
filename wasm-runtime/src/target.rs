//! The machines that code is compiled for.

use std::fmt;
use std::str::FromStr;

/// A kind of processor, with Linux on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// 64-bit ARM.
    Aarch64,
    /// 64-bit RISC-V.
    Riscv64,
    /// IBM Z.
    S390x,
    /// 64-bit x86.
    X86_64,
}

/// How much address space a node has for the memories of its guests: compiled code depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressSpace {
    /// Enough for a pool of memories that are never moved.
    Large,
    /// Not enough for that, as on kernels with 39 bits of addresses and little of them free.
    Small,
}

/// Nothing that code is compiled for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is none of aarch64-, riscv64gc-, s390x- and x86_64-unknown-linux-gnu")]
pub struct UnknownTarget(String);

impl Target {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Aarch64, Self::Riscv64, Self::S390x, Self::X86_64];

    /// That of this process, if it is one.
    pub fn own() -> Option<Self> {
        Self::ALL.into_iter().find(|target| target.names()[0] == std::env::consts::ARCH)
    }

    /// As compilers name it.
    pub fn triple(self) -> &'static str {
        match self {
            Self::Aarch64 => "aarch64-unknown-linux-gnu",
            Self::Riscv64 => "riscv64gc-unknown-linux-gnu",
            Self::S390x => "s390x-unknown-linux-gnu",
            Self::X86_64 => "x86_64-unknown-linux-gnu",
        }
    }

    /// The address spaces that its nodes may have.
    pub fn address_spaces(self) -> &'static [AddressSpace] {
        match self {
            Self::Aarch64 | Self::Riscv64 => &[AddressSpace::Large, AddressSpace::Small],
            Self::S390x | Self::X86_64 => &[AddressSpace::Large],
        }
    }

    /// The architecture, as Rust, compilers and Kubernetes name it.
    fn names(self) -> [&'static str; 3] {
        match self {
            Self::Aarch64 => ["aarch64", "aarch64", "arm64"],
            Self::Riscv64 => ["riscv64", "riscv64gc", "riscv64"],
            Self::S390x => ["s390x", "s390x", "s390x"],
            Self::X86_64 => ["x86_64", "x86_64", "amd64"],
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.triple())
    }
}

impl FromStr for Target {
    type Err = UnknownTarget;

    /// A triple with or without its C library, which makes no difference, or an architecture alone.
    fn from_str(text: &str) -> Result<Self, UnknownTarget> {
        let (architecture, system) = text.split_once('-').unwrap_or((text, "linux"));
        let known = ["linux", "unknown-linux-gnu", "unknown-linux-musl"].contains(&system);
        Self::ALL
            .into_iter()
            .find(|target| known && target.names().contains(&architecture))
            .ok_or_else(|| UnknownTarget(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_known_by_their_names() {
        for target in Target::ALL {
            assert_eq!(target.triple().parse(), Ok(target));
        }
        for (name, target) in [
            ("arm64", Target::Aarch64),
            ("amd64", Target::X86_64),
            ("riscv64", Target::Riscv64),
            ("x86_64-unknown-linux-musl", Target::X86_64),
        ] {
            assert_eq!(name.parse(), Ok(target));
        }
        for unknown in ["", "mips", "x86_64-pc-windows-msvc", "aarch64-apple-darwin", "aarch64-"] {
            let error = unknown.parse::<Target>().unwrap_err().to_string();
            assert!(error.starts_with(&format!("{unknown:?} is none of")), "{error}");
        }
        assert_eq!(Target::own().unwrap().names()[0], std::env::consts::ARCH);
    }
}
