//! `wherry image`: the images of a node, whether or not its agent runs.

use std::fs::File;
use std::io::{BufReader, BufWriter, Write as _};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use clap::{Args, Subcommand, ValueEnum};
use wherry_node::{ArchiveForm, ImageStore, ListedImage, Registries, RemovedImage};

use crate::args::DataDirArgs;

#[derive(Debug, Subcommand)]
pub(crate) enum ImageCommand {
    /// Show all images of the node.
    List(DataDirArgs),
    /// Take the images of an archive (an OCI layout, or of docker save, also compressed). They are never removed by
    /// themselves.
    Import(ImportArgs),
    /// Write images into an archive (an OCI layout), which import and other tools read.
    Export(ExportArgs),
    /// Fetch an image from its registry.
    Pull(PullArgs),
    /// Keep an image, whether or not anything uses it.
    Pin(NamedArgs),
    /// Let an image that was pinned or imported go when nothing uses it.
    Unpin(NamedArgs),
    /// Remove images by all their names, unless something uses them. The node must be running.
    Rm(RemoveArgs),
    /// Remove all images that nothing uses, but for those that were pinned or imported. The node must be running.
    Prune(DataDirArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// The images, as Pods would name them.
    #[arg(required = true)]
    names: Vec<String>,
    /// The archive; - is the standard output.
    #[arg(long, short)]
    output: PathBuf,
    /// How images lie in it.
    #[arg(long, value_enum, default_value_t = FormatArg::Oci)]
    format: FormatArg,
    #[command(flatten)]
    data_dir: DataDirArgs,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum FormatArg {
    /// An OCI layout.
    Oci,
    /// As docker save writes it; images of WebAssembly cannot be in it.
    Docker,
}

#[derive(Debug, Args)]
pub(crate) struct RemoveArgs {
    /// The images' names, or their digests.
    #[arg(required = true)]
    names: Vec<String>,
    /// Remove pinned ones, too.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    data_dir: DataDirArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// The archive; - is the standard input.
    archive: PathBuf,
    #[command(flatten)]
    data_dir: DataDirArgs,
}

#[derive(Debug, Args)]
pub(crate) struct PullArgs {
    /// The image, as a Pod would name it.
    name: String,
    /// Mirrors of registries, their credentials and certificates, in a file as k3s' registries.yaml.
    #[arg(long)]
    registries: Option<PathBuf>,
    #[command(flatten)]
    data_dir: DataDirArgs,
}

#[derive(Debug, Args)]
pub(crate) struct NamedArgs {
    /// The image's name, or its digest.
    name: String,
    #[command(flatten)]
    data_dir: DataDirArgs,
}

/// Does what was asked, and prints what came of it.
pub(crate) async fn run(command: ImageCommand) -> anyhow::Result<()> {
    let open = |data_dir: DataDirArgs| -> anyhow::Result<ImageStore> {
        Ok(ImageStore::open(&data_dir.open()?, Arc::default())?)
    };
    match command {
        ImageCommand::List(data_dir) => print(&table(&open(data_dir)?.list())),
        ImageCommand::Import(args) => {
            let store = open(args.data_dir)?;
            let names = if args.archive.as_os_str() == "-" {
                store.import(std::io::stdin().lock())
            } else {
                let file = File::open(&args.archive);
                let file = file.with_context(|| format!("cannot open {}", args.archive.display()))?;
                store.import(BufReader::new(file))
            };
            let names = names.with_context(|| format!("cannot import {}", args.archive.display()))?;
            let lines: Vec<String> = names.iter().map(|name| format!("imported {name}\n")).collect();
            print(&lines.concat())
        }
        ImageCommand::Export(args) => export(&open(args.data_dir.clone())?, &args),
        ImageCommand::Rm(args) => {
            let store = open(args.data_dir)?;
            let mut removed = Vec::new();
            let mut remove = |name: &String| -> anyhow::Result<()> {
                let images = store.remove(name, args.force);
                removed.extend(images.with_context(|| format!("cannot remove {name:?}"))?);
                Ok(())
            };
            let done = args.names.iter().try_for_each(&mut remove);
            // What is gone is told, whatever became of the rest.
            print(&freed(&removed))?;
            done
        }
        ImageCommand::Prune(data_dir) => print(&freed(&open(data_dir)?.prune()?)),
        ImageCommand::Pull(args) => {
            let registries = match &args.registries {
                Some(path) => Registries::read(path, false).context("--registries cannot be used")?,
                None => Registries::default(),
            };
            let store = ImageStore::open(&args.data_dir.open()?, Arc::new(registries))?;
            let name =
                store.pull(&args.name).await.with_context(|| format!("cannot pull {:?}", args.name))?;
            print(&format!("pulled {name}\n"))
        }
        ImageCommand::Pin(args) => Ok(open(args.data_dir)?.pin(&args.name, true)?),
        ImageCommand::Unpin(args) => Ok(open(args.data_dir)?.pin(&args.name, false)?),
    }
}

/// Writes an archive; one that cannot be finished does not stay.
fn export(store: &ImageStore, args: &ExportArgs) -> anyhow::Result<()> {
    let form = match args.format {
        FormatArg::Oci => ArchiveForm::Oci,
        FormatArg::Docker => ArchiveForm::Docker,
    };
    if args.output.as_os_str() == "-" {
        return Ok(store.export(&args.names, form, std::io::stdout().lock())?);
    }
    let path = args.output.display();
    let file = File::create(&args.output).with_context(|| format!("cannot create {path}"))?;
    let written = store.export(&args.names, form, BufWriter::new(file));
    if written.is_err() {
        std::fs::remove_file(&args.output).with_context(|| format!("cannot remove the unfinished {path}"))?;
    }
    Ok(written?)
}

/// A line for each name that is gone, and the bytes that are free again.
fn freed(images: &[RemovedImage]) -> String {
    let names = images.iter().flat_map(|image| &image.names);
    let lines: Vec<String> = names.map(|name| format!("removed {name}\n")).collect();
    let bytes: u64 = images.iter().map(|image| image.freed).sum();
    format!("{}{bytes} bytes freed\n", lines.concat())
}

/// A line for each name of each image.
fn table(images: &[ListedImage]) -> String {
    let rows = images.iter().flat_map(|image| {
        image
            .names
            .iter()
            .map(|name| [name.clone(), short(&image.id), image.size.to_string(), image.keep.to_owned()])
    });
    let header = ["IMAGE", "ID", "SIZE", "KEPT"].map(str::to_owned);
    let rows: Vec<[String; 4]> = std::iter::once(header).chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let widths = [width(0), width(1), width(2)];
    let line = |[name, id, size, keep]: &[String; 4]| {
        let [names, ids, sizes] = widths;
        let line = format!("{name:names$}  {id:ids$}  {size:>sizes$}  {keep}");
        format!("{}\n", line.trim_end())
    };
    rows.iter().map(line).collect()
}

/// The first digits of a digest.
fn short(digest: &str) -> String {
    let hex = digest.strip_prefix("sha256:").unwrap_or(digest);
    hex.get(..12).unwrap_or(hex).to_owned()
}

fn print(text: &str) -> anyhow::Result<()> {
    Ok(std::io::stdout().lock().write_all(text.as_bytes())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_gone_is_told_with_what_that_freed() {
        let image = |name: &str, freed| RemovedImage { names: vec![name.to_owned()], freed };
        let told = freed(&[image("a:1", 5), image("b:2", 7)]);
        assert_eq!(told, "removed a:1\nremoved b:2\n12 bytes freed\n");
        assert_eq!(freed(&[]), "0 bytes freed\n");
    }

    #[test]
    fn images_are_shown_by_their_names() {
        let image = ListedImage {
            names: vec!["docker.io/library/a:1".to_owned(), "a@sha256:0".to_owned()],
            id: "sha256:0123456789abcdef".to_owned(),
            size: 1234,
            keep: "pinned",
        };
        let free = ListedImage { names: vec!["b".to_owned()], size: 5, keep: "", ..image.clone() };
        let shown = "\
IMAGE                  ID            SIZE  KEPT
docker.io/library/a:1  0123456789ab  1234  pinned
a@sha256:0             0123456789ab  1234  pinned
b                      0123456789ab     5
";
        assert_eq!(table(&[image, free]), shown);
    }
}
