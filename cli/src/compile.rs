//! `wherry compile` and `wherry code`: code that one machine compiles and others run.

#[cfg(feature = "compiler")]
mod making;

use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Subcommand, ValueEnum};
use wherry_node::PublicKey;
use wherry_wasm_runtime::{Archive, Imported, ImportedCode, Target};

use crate::args::DataDirArgs;
use crate::wasm::{SourceArgs, print};
#[cfg(feature = "compiler")]
pub(crate) use making::compile;

#[derive(Debug, Args)]
pub(crate) struct CompileArgs {
    #[command(flatten)]
    source: SourceArgs,
    /// The nodes that it is for: aarch64, riscv64gc, s390x or x86_64, or a triple, as aarch64-unknown-linux-gnu [default: machines like this one, with
    /// what its processor has].
    #[arg(long, value_name = "TRIPLE")]
    target: Option<Target>,
    /// The address space of these nodes [default: large for s390x and x86_64, else both].
    #[arg(long, value_enum)]
    address_space: Option<SpaceArg>,
    /// The key that signs it: Ed25519 in PEM, as openssl genpkey -algorithm ed25519 writes it.
    #[arg(long)]
    key: PathBuf,
    /// The archive that is written, for wherry code import.
    #[arg(long, short)]
    output: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum SpaceArg {
    /// Room for a pool of memories.
    Large,
    /// Less, as with 39 bits of addresses and few of them free.
    Small,
    /// Code for either, of twice the size.
    Both,
}

#[derive(Debug, Subcommand)]
pub(crate) enum CodeCommand {
    /// Take the code of an archive that wherry compile wrote, so that this node need not compile it.
    Import(ImportArgs),
    /// Show what was imported.
    List(DataDirArgs),
    /// Remove code that was imported, by the digest of its WebAssembly.
    Rm(RemoveArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// The archive.
    archive: PathBuf,
    /// The public key of who signed it, in PEM: Ed25519, or ECDSA on P-256.
    #[arg(long)]
    key: PathBuf,
    #[command(flatten)]
    data_dir: DataDirArgs,
}

#[derive(Debug, Args)]
pub(crate) struct RemoveArgs {
    /// The digests, as they are listed.
    #[arg(required = true)]
    digests: Vec<String>,
    #[command(flatten)]
    data_dir: DataDirArgs,
}

/// Compiles a file or an image.
#[cfg(not(feature = "compiler"))]
#[expect(clippy::unused_async, reason = "what compiles waits for images")]
pub(crate) async fn compile(_: CompileArgs) -> anyhow::Result<()> {
    anyhow::bail!(
        "this wherry was built without a compiler; use one that was built with the feature compiler"
    )
}

/// Does what was asked, and prints what came of it.
pub(crate) fn code(command: CodeCommand) -> anyhow::Result<()> {
    let open = |data_dir: DataDirArgs| -> anyhow::Result<ImportedCode> {
        let directory = wherry_node::wasm_dir(&data_dir.open()?);
        std::fs::create_dir_all(&directory)
            .and_then(|()| ImportedCode::open(&directory))
            .with_context(|| format!("cannot open {}", directory.display()))
    };
    match command {
        CodeCommand::Import(args) => {
            let pem = crate::wasm::read(&args.key)?;
            let key = PublicKey::parse(&pem);
            let key = key.with_context(|| format!("{} cannot be used", args.key.display()))?;
            let refused = || format!("cannot import {}", args.archive.display());
            let file = BufReader::new(File::open(&args.archive).with_context(refused)?);
            let archive = Archive::read(file, |message, signature| key.verifies(message, signature));
            let archive = archive.with_context(refused)?;
            open(args.data_dir)?.add(&archive).with_context(refused)?;
            print(&format!("imported code of {}\n", archive.digest))
        }
        CodeCommand::List(data_dir) => print(&table(&open(data_dir)?.list()?)),
        CodeCommand::Rm(args) => {
            let imported = open(args.data_dir)?;
            for digest in &args.digests {
                let found = imported.remove(digest).with_context(|| format!("cannot remove {digest}"))?;
                anyhow::ensure!(found, "there is no imported code of {digest:?}");
                print(&format!("removed {digest}\n"))?;
            }
            Ok(())
        }
    }
}

/// A line for each.
fn table(imported: &[Imported]) -> String {
    let lines = imported.iter().map(|code| format!("{:71}  {}\n", code.digest, code.size));
    std::iter::once(format!("{:71}  SIZE\n", "WEBASSEMBLY")).chain(lines).collect()
}
