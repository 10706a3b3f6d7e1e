//! WebAssembly by hand: what `wherry run`, `wherry push` and `wherry inspect` have in common, and the last two.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use ring::digest::{SHA256, digest};
use serde_json::json;
use wherry_api::clock::{Clock as _, SystemClock};
use wherry_node::{ImageStore, Interfaces, Registries, WasmArtifact};
use wherry_runtime_api::ImageContent;
use wherry_wasm_runtime::{Form, Inspection, Start, inspect};

use crate::args::DataDirArgs;

/// Where WebAssembly comes from.
#[derive(Debug, Args)]
pub(crate) struct SourceArgs {
    /// A WebAssembly file, or an image as a Pod would name it.
    pub(crate) source: String,
    /// Mirrors of registries, their credentials and certificates, in a file as k3s' registries.yaml.
    #[arg(long)]
    registries: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) data_dir: DataDirArgs,
}

#[derive(Debug, Args)]
pub(crate) struct InspectArgs {
    #[command(flatten)]
    source: SourceArgs,
    /// How it is shown.
    #[arg(long, short, value_enum, default_value_t = OutputFormat::Text)]
    output: OutputFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputFormat {
    /// Lines for people.
    Text,
    /// A JSON object.
    Json,
}

#[derive(Debug, Args)]
pub(crate) struct PushArgs {
    /// The WebAssembly file.
    file: PathBuf,
    /// The image's name, with its registry.
    image: String,
    /// Credentials and certificates of registries, in a file as k3s' registries.yaml.
    #[arg(long)]
    registries: Option<PathBuf>,
}

/// WebAssembly as a runtime takes it.
pub(crate) struct Source {
    /// The file.
    pub(crate) path: PathBuf,
    /// Its digest.
    pub(crate) digest: String,
    /// Entrypoint, variables and arguments, if it is an image that has some.
    pub(crate) entrypoint: Vec<String>,
    /// `NAME=value` pairs.
    pub(crate) env: Vec<String>,
    /// What its program is told unless something else is said.
    pub(crate) default_args: Vec<String>,
}

impl SourceArgs {
    /// The file, or the image, which is fetched unless it is here.
    pub(crate) async fn open(self) -> anyhow::Result<Source> {
        let path = Path::new(&self.source);
        if path.is_file() {
            return Source::of_file(path);
        }
        let registries = read_registries(self.registries.as_deref())?;
        let store = ImageStore::open(&self.data_dir.open()?, Arc::new(registries))?;
        let fetched = store.fetch_wasm(&self.source).await;
        let (content, default_args) = fetched
            .with_context(|| format!("{:?} is neither a file nor an image that can be had", self.source))?;
        match content {
            ImageContent::Wasm { digest, path, entrypoint, env } => {
                Ok(Source { path, digest, entrypoint, env, default_args })
            }
            ImageContent::Oci { .. } => {
                anyhow::bail!("{:?} is an OCI image, not WebAssembly", self.source)
            }
        }
    }
}

impl Source {
    fn of_file(path: &Path) -> anyhow::Result<Self> {
        let bytes = read(path)?;
        let digest = format!("sha256:{}", hex::encode(digest(&SHA256, &bytes)));
        let path = std::path::absolute(path)?;
        Ok(Self { path, digest, entrypoint: Vec::new(), env: Vec::new(), default_args: Vec::new() })
    }
}

pub(crate) fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

fn read_registries(path: Option<&Path>) -> anyhow::Result<Registries> {
    match path {
        Some(path) => Registries::read(path, false).context("--registries cannot be used"),
        None => Ok(Registries::default()),
    }
}

/// Sends a file to a registry.
pub(crate) async fn push(args: PushArgs) -> anyhow::Result<()> {
    let bytes = read(&args.file)?;
    let found = inspect(&bytes).with_context(|| format!("cannot push {}", args.file.display()))?;
    let component = (found.form == Form::Component)
        .then_some(Interfaces { imports: found.imports, exports: found.exports });
    let artifact = WasmArtifact { bytes, component, created: SystemClock.now().to_string() };
    let registries = read_registries(args.registries.as_deref())?;
    let pushed = wherry_node::push_wasm(&registries, &args.image, artifact).await;
    let name = pushed.with_context(|| format!("cannot push {:?}", args.image))?;
    print(&format!("pushed {name}\n"))
}

/// Shows what a file or an image is.
pub(crate) async fn show(args: InspectArgs) -> anyhow::Result<()> {
    let name = args.source.source.clone();
    let source = args.source.open().await?;
    let bytes = read(&source.path)?;
    let found = inspect(&bytes).with_context(|| format!("cannot inspect {name:?}"))?;
    match args.output {
        OutputFormat::Text => print(&text(&found, &source.digest, bytes.len())),
        OutputFormat::Json => print(&format!("{:#}\n", document(&found, &source.digest, bytes.len()))),
    }
}

fn form(form: Form) -> &'static str {
    match form {
        Form::Module => "module",
        Form::Component => "component",
    }
}

fn start(start: Start) -> &'static str {
    match start {
        Start::Server => "server",
        Start::ServerAndCommand => "server, with commands beside it",
        Start::Command => "command",
        Start::Nothing => "nothing: it exports neither a server nor a command",
    }
}

fn document(found: &Inspection, digest: &str, size: usize) -> serde_json::Value {
    let starts = match found.start {
        Start::Server => json!(["server"]),
        Start::ServerAndCommand => json!(["server", "command"]),
        Start::Command => json!(["command"]),
        Start::Nothing => json!([]),
    };
    json!({
        "kind": form(found.form),
        "starts": starts,
        "digest": digest,
        "size": size,
        "capabilities": found.capabilities(),
        "imports": found.imports,
        "exports": found.exports,
    })
}

fn text(found: &Inspection, digest: &str, size: usize) -> String {
    let mut text = format!(
        "kind:          {}\nstarts as:     {}\ndigest:        {digest}\nsize:          {size} bytes\n",
        form(found.form),
        start(found.start)
    );
    let needed = found.capabilities();
    let needed = if needed.is_empty() { "none".to_owned() } else { needed.join(", ") };
    // Writing to a String cannot fail.
    let _ = writeln!(text, "capabilities:  {needed}");
    for (title, names) in [("imports", &found.imports), ("exports", &found.exports)] {
        let _ = writeln!(text, "{title}:");
        for name in names {
            let _ = writeln!(text, "  {name}");
        }
    }
    text
}

pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    Ok(std::io::stdout().lock().write_all(text.as_bytes())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_found_is_shown_to_people_and_to_programs() {
        let found = Inspection {
            form: Form::Component,
            start: Start::ServerAndCommand,
            imports: vec!["wasi:sockets/tcp@0.2.3".to_owned()],
            exports: vec!["wasi:cli/run@0.2.3".to_owned()],
        };
        let shown = "\
kind:          component
starts as:     server, with commands beside it
digest:        sha256:0
size:          12 bytes
capabilities:  sockets
imports:
  wasi:sockets/tcp@0.2.3
exports:
  wasi:cli/run@0.2.3
";
        assert_eq!(text(&found, "sha256:0", 12), shown);
        let document = document(&found, "sha256:0", 12);
        assert_eq!(document["starts"], json!(["server", "command"]));
        assert_eq!(document["capabilities"], json!(["sockets"]));
    }
}
