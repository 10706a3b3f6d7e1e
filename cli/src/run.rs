//! `wherry run`: WebAssembly at once, in the engine of nodes, without a cluster.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use wherry_api::clock::{Clock as _, SystemClock};
use wherry_runtime_api::{
    CommonEnv, Confinement, ContainerId, ContainerSpec, ContainerState, DnsConfig, ImageContent, Mount,
    NodeNamespaces, Resources, Runtime as _, SandboxId, SandboxSpec, Streams, UserSpec,
};
use wherry_wasm_runtime::{Config, Output, WasmRuntime};

use crate::process::Stop;
use crate::wasm::{Source, SourceArgs};

/// How long a server that is asked to stop may take to finish what is in flight.
const GRACE: Duration = Duration::from_secs(10);

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    source: SourceArgs,
    /// A variable of its environment, as NAME=VALUE; may be given again.
    #[arg(long = "env", short, value_name = "NAME=VALUE", value_parser = variable)]
    env: Vec<(String, String)>,
    /// A file or directory that it sees, as HOST, HOST:GUEST or HOST:GUEST:ro; may be given again. It sees no others.
    #[arg(long = "dir", value_name = "HOST[:GUEST[:ro]]", value_parser = mount)]
    dirs: Vec<Mount>,
    /// Where a server listens; a command's sockets have this address, too.
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Where the core dump is written if it traps: the last one of a server that traps again.
    #[arg(long, value_name = "FILE")]
    coredump: Option<PathBuf>,
    /// What its program is told, after --.
    #[arg(last = true)]
    args: Vec<String>,
}

fn variable(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected NAME=VALUE".to_owned()),
    }
}

fn mount(text: &str) -> Result<Mount, String> {
    let mut parts = text.split(':');
    let (host, guest, mode) = (parts.next().unwrap_or_default(), parts.next(), parts.next());
    let read_only = match mode {
        None => false,
        Some("ro") => true,
        Some(other) => return Err(format!("{other:?} is not ro")),
    };
    let absolute = std::path::absolute(host).map_err(|error| format!("{host:?}: {error}"))?;
    let guest = match guest {
        Some(guest) => guest.to_owned(),
        None => absolute.to_str().ok_or("the path is not UTF-8; name it in the guest, too")?.to_owned(),
    };
    match parts.next() {
        None => Ok(Mount::new(absolute, guest, read_only)),
        Some(_) => Err("expected HOST, HOST:GUEST or HOST:GUEST:ro".to_owned()),
    }
}

/// Runs it to its end; the exit code is the program's.
pub(crate) async fn run(args: RunArgs) -> anyhow::Result<ExitCode> {
    let stop = Stop::new()?;
    let dir = tempfile::tempdir().context("no directory for compiled code")?;
    let RunArgs { source, env, dirs, listen, coredump, args } = args;
    // What this node imported needs no compiler here, either.
    let imported = source.data_dir.clone().path().map(|dir| wherry_node::wasm_dir(&dir));
    let source = source.open().await?;
    let mut config = Config::new(dir.path().join("runtime"), Arc::new(|| SystemClock.now()));
    config.output = Output::Inherited;
    config.core_dump = coredump;
    config.imported = imported;
    let runtime = WasmRuntime::new(config)?;
    let spec = specify(dir.path(), source, listen, args, (env, dirs));
    let mut events = runtime.events();
    runtime.create(&spec).await?;
    runtime.start(&spec.id).await?;
    let ended = async {
        loop {
            let found = runtime.list().await?.into_iter().find(|found| found.id == spec.id);
            match found.map(|found| found.state) {
                Some(ContainerState::Exited { code, .. }) => return Ok(code),
                _ => events.recv().await?,
            };
        }
    };
    let stopped = async {
        stop.asked().await;
        runtime.stop(&spec.id, GRACE).await
    };
    tokio::pin!(ended);
    let code: anyhow::Result<i32> = tokio::select! {
        code = &mut ended => code,
        stopped = stopped => {
            stopped?;
            ended.await
        }
    };
    Ok(ExitCode::from(u8::try_from(code?).unwrap_or(u8::MAX)))
}

fn specify(
    dir: &Path,
    source: Source,
    listen: SocketAddr,
    args: Vec<String>,
    (env, mounts): (Vec<(String, String)>, Vec<Mount>),
) -> ContainerSpec {
    let sandbox = SandboxSpec {
        id: SandboxId("run".to_owned()),
        namespace: String::new(),
        hostname: "localhost".to_owned(),
        ip: listen.ip(),
        ip6: None,
        netns: None,
        dns: DnsConfig::default(),
        cgroup_parent: String::new(),
        resources: Resources::default(),
        huge_pages: BTreeMap::new(),
        node_namespaces: NodeNamespaces::default(),
        shares_processes: false,
        sysctls: BTreeMap::new(),
        users: None,
    };
    let name = source.path.file_stem().and_then(|name| name.to_str()).unwrap_or("run").to_owned();
    let args = if args.is_empty() { source.default_args } else { args };
    ContainerSpec {
        id: ContainerId { sandbox: sandbox.id.clone(), name, attempt: 0 },
        sandbox,
        image: ImageContent::Wasm {
            digest: source.digest,
            path: source.path,
            entrypoint: source.entrypoint,
            env: source.env,
        },
        command: None,
        args: Some(args),
        env,
        common_env: CommonEnv::default(),
        working_dir: None,
        mounts,
        devices: Vec::new(),
        resources: Resources::default(),
        huge_pages: BTreeMap::new(),
        cpus: None,
        hooks: Vec::new(),
        user: UserSpec::default(),
        confinement: Confinement::default(),
        read_only_rootfs: false,
        processes_of: None,
        own_network: false,
        program: None,
        streams: Streams::default(),
        ports: vec![listen.port()],
        log_path: dir.join("log"),
        annotations: BTreeMap::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_are_read_as_they_are_written() {
        assert_eq!(mount("/a"), Ok(Mount::new("/a", "/a", false)));
        assert_eq!(mount("/a:/b"), Ok(Mount::new("/a", "/b", false)));
        assert_eq!(mount("/a:/b:ro"), Ok(Mount::new("/a", "/b", true)));
        assert!(mount("/a:/b:rw").is_err() && mount("/a:/b:ro:x").is_err() && mount("").is_err());
        assert_eq!(variable("A=b=c"), Ok(("A".to_owned(), "b=c".to_owned())));
        assert!(variable("A").is_err() && variable("=b").is_err());
    }
}
