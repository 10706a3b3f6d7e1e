//! The command line.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use wherry_api::kinds::SwitchedOn;
use wherry_api::ranges::Ranges;
use wherry_node::{CgroupRoot, EvictionSettings, MinimumReclaim, MissingGrace, SoftGrace, Thresholds};
use wherry_orchestrator::EncryptionFile;

use crate::account_tokens::AccountTokenArgs;
use crate::audit::AuditArgs;
use crate::authentication::AuthenticationArgs;
use crate::authorization::AuthorizationArgs;
use crate::compile::{CodeCommand, CompileArgs};
use crate::controllers::ControllerArgs;
use crate::front_proxies::FrontProxyArgs;
use crate::image::ImageCommand;
use crate::image_args::ImageArgs;
use crate::ingress_args::{IngressArgs, IngressIdentityArgs};
use crate::keyvalue_args::KeyvalueArgs;
use crate::network::Addresses;
use crate::resource_args::ResourceArgs;
use crate::run::RunArgs;
use crate::shutdown_args::ShutdownArgs;
use crate::token::TokenCommand;
use crate::wasm::{InspectArgs, PushArgs};

/// Kubernetes, rebuilt small and fast: containers and WebAssembly side by side.
#[derive(Debug, Parser)]
#[command(name = "wherry", version)]
pub(crate) struct Cli {
    /// How log lines look; WHERRY_LOG sets what is logged (as in `info,wherry_node=debug`).
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text)]
    pub(crate) log_format: LogFormat,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a node of a cluster whose control plane is elsewhere, until SIGTERM or Ctrl-C.
    Agent(Box<AgentArgs>),
    /// Run the API server alone: no controllers, no scheduler, no node.
    Apiserver(Box<ApiserverArgs>),
    /// Show or renew the certificates of the cluster.
    #[command(subcommand)]
    Certificate(CertificateCommand),
    /// Bring code of WebAssembly that was compiled elsewhere, or show it.
    #[command(subcommand)]
    Code(CodeCommand),
    /// Compile a WebAssembly file or image for other nodes, which import it.
    Compile(CompileArgs),
    /// Show the images of a node, or bring some.
    #[command(subcommand)]
    Image(ImageCommand),
    /// Show what a WebAssembly file or image is, imports and exports.
    Inspect(InspectArgs),
    /// Send a WebAssembly file to a registry, as an image.
    Push(PushArgs),
    /// Run or serve a WebAssembly file or image at once, without a cluster, until it ends or is asked to stop.
    Run(Box<RunArgs>),
    /// Change how Secrets are kept.
    #[command(subcommand)]
    Secrets(SecretsCommand),
    /// Let nodes join the cluster.
    #[command(subcommand)]
    Token(TokenCommand),
    /// Run a whole cluster, control plane and node, in this process until SIGTERM or Ctrl-C.
    Up(Box<UpArgs>),
}

#[derive(Debug, Subcommand)]
pub(crate) enum CertificateCommand {
    /// Show all certificates with the time at which they end.
    Check(DataDirArgs),
    /// Have all certificates made anew. The cluster may be running.
    Rotate(RotateCertificatesArgs),
}

/// What is sealed on disk.
#[derive(Debug, Args)]
pub(crate) struct EncryptionArgs {
    /// An EncryptionConfiguration: which resources are sealed on disk, and with which keys [default: Secrets, with the
    /// cluster's own key].
    #[arg(long)]
    pub(crate) encryption_provider_config: Option<PathBuf>,
    /// Do what that file says as soon as it changes.
    #[arg(long, requires = "encryption_provider_config", num_args = 0..=1, default_missing_value = "true",
          require_equals = true, default_value_t = false)]
    pub(crate) encryption_provider_config_automatic_reload: bool,
}

impl EncryptionArgs {
    /// The file, if there is one.
    pub(crate) fn file(self) -> Option<EncryptionFile> {
        let reload = self.encryption_provider_config_automatic_reload;
        self.encryption_provider_config.map(|path| EncryptionFile { path, reload })
    }
}

#[derive(Debug, Args)]
pub(crate) struct RotateCertificatesArgs {
    #[command(flatten)]
    pub(crate) data_dir: DataDirArgs,
    /// Give the CA a new key, too. The one before it is believed until the next time.
    #[arg(long)]
    pub(crate) ca: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SecretsCommand {
    /// Seal all Secrets with a new key and forget the old ones. The cluster must not be running.
    Rotate(RotateSecretsArgs),
}

#[derive(Debug, Args)]
pub(crate) struct RotateSecretsArgs {
    /// The EncryptionConfiguration that the cluster runs with: all it names is sealed anew with its first providers.
    #[arg(long)]
    pub(crate) encryption_provider_config: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) data_dir: DataDirArgs,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct DataDirArgs {
    /// Where everything is kept [default: /var/lib/wherry as root, else $XDG_DATA_HOME/wherry].
    #[arg(long)]
    pub(crate) data_dir: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum NetworkArg {
    /// `bridge` as root, else `loopback`.
    Auto,
    /// Pods on a bridge with addresses of their own; needs root.
    Bridge,
    /// Pod and Service addresses from 127.0.0.0/8; wasm Pods only, no privileges needed.
    Loopback,
}

/// Where the API server is found.
#[derive(Debug, Args)]
pub(crate) struct ListenArgs {
    /// Address of the API server.
    #[arg(long, default_value = "127.0.0.1:6443")]
    pub(crate) listen: SocketAddr,
    /// The address under which Pods find the API server [default: that of --listen; of a server on localhost, an
    /// address of the node that only its own Pods are led to].
    #[arg(long)]
    pub(crate) advertise_address: Option<IpAddr>,
}

/// What every API server is told.
#[derive(Debug, Args)]
pub(crate) struct ServerArgs {
    #[command(flatten)]
    pub(crate) listen: ListenArgs,
    #[command(flatten)]
    pub(crate) audit: AuditArgs,
    #[command(flatten)]
    pub(crate) encryption: EncryptionArgs,
    #[command(flatten)]
    pub(crate) authentication: AuthenticationArgs,
    #[command(flatten)]
    pub(crate) account_tokens: AccountTokenArgs,
    /// Which APIs of beta versions are served, as kube-apiserver's flag: `certificates.k8s.io/v1beta1=true` for
    /// ClusterTrustBundles and PodCertificateRequests, `certificates.k8s.io/v1beta1/clustertrustbundles=true` for one of
    /// them, `api/beta=true` for all there are [default: none].
    #[arg(long, value_parser = SwitchedOn::parse, default_value = "", hide_default_value = true)]
    pub(crate) runtime_config: SwitchedOn,
}

#[derive(Debug, Args)]
pub(crate) struct UpArgs {
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    /// A KubeSchedulerConfiguration: which schedulers there are, and how they decide.
    #[arg(long)]
    pub(crate) scheduler_config: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) controllers: ControllerArgs,
    #[command(flatten)]
    pub(crate) node: NodeArgs,
}

#[derive(Debug, Args)]
pub(crate) struct AgentArgs {
    /// Leads to the API server, with credentials that may ask for a node's certificate: what `wherry token create` prints there.
    #[arg(long)]
    pub(crate) bootstrap_kubeconfig: PathBuf,
    /// The Pod addresses of this node, a part of the cluster's range that no other node has [default: what the control
    /// plane gives it]. With both families one range of each, the one of IPv4 first.
    #[arg(long)]
    pub(crate) pod_cidr: Option<Ranges>,
    /// The address under which this node is reached, or one of each family with a comma between them [default: those of its default
    /// routes].
    #[arg(long)]
    pub(crate) node_ip: Option<Addresses>,
    #[command(flatten)]
    pub(crate) ingress: IngressIdentityArgs,
    #[command(flatten)]
    pub(crate) node: NodeArgs,
}

/// What every node is told.
#[derive(Debug, Args)]
pub(crate) struct NodeArgs {
    #[command(flatten)]
    pub(crate) data_dir: DataDirArgs,
    /// Name of this node [default: the host name].
    #[arg(long)]
    pub(crate) node_name: Option<String>,
    /// How Pods are connected.
    #[arg(long, value_enum, default_value_t = NetworkArg::Auto)]
    pub(crate) network: NetworkArg,
    /// Range of Pod addresses, of IPv4 or of IPv6, or one of IPv4 and one of IPv6: `10.244.0.0/16,fd00:244::/56` [default:
    /// 10.244.0.0/16, in loopback mode 127.244.0.0/16].
    #[arg(long)]
    pub(crate) cluster_cidr: Option<Ranges>,
    /// Range of Service addresses, of the same families: `10.96.0.0/16,fd00:96::/112` [default: 10.96.0.0/16, in loopback mode
    /// 127.96.0.0/16].
    #[arg(long)]
    pub(crate) service_cidr: Option<Ranges>,
    /// Whom Pods ask for names, at an address or one of IPv4 and one of IPv6. An address of the range of Services is answered at by
    /// every node; one beyond it is somebody else's, and nodes answer nobody. [default: the tenth address of each range of Services]
    #[arg(long)]
    pub(crate) cluster_dns: Option<Addresses>,
    /// Domain of the names of Services and Pods.
    #[arg(long, default_value = "cluster.local")]
    pub(crate) cluster_domain: String,
    /// A directory of manifests: the node runs the Pods they name, also without an API server, as long as they are there.
    #[arg(long)]
    pub(crate) pod_manifest_path: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) manifest_url: crate::manifest_url::ManifestUrlArgs,
    /// How many Pods the scheduler may place on this node.
    #[arg(long, default_value_t = wherry_node::Config::MAX_PODS, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_pods: u32,
    /// The longest wait before a container that ended is started again, in seconds.
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=300))]
    pub(crate) max_container_restart_period: u64,
    /// Kernel settings that Pods may have beyond those that are safe: names, or beginnings of names that end with *.
    #[arg(long, value_delimiter = ',')]
    pub(crate) allowed_unsafe_sysctls: Vec<String>,
    /// Where configurations of CNI plugins are: these connect Pods then, instead of the node itself, and the node is not ready while
    /// there is none. Needs root, as --network bridge.
    #[arg(long)]
    pub(crate) cni_conf_dir: Option<PathBuf>,
    /// Where CNI plugins are.
    #[arg(long, default_value = "/opt/cni/bin", value_delimiter = ',', requires = "cni_conf_dir")]
    pub(crate) cni_bin_dir: Vec<PathBuf>,
    /// What runs OCI containers of Pods whose RuntimeClass names nothing else: runc, crun or youki, or the path of such a program.
    #[arg(long, default_value = "runc")]
    pub(crate) oci_runtime: PathBuf,
    /// The cgroup that those of Pods and of their shims are below.
    #[arg(long, default_value = "/")]
    pub(crate) cgroup_root: CgroupRoot,
    /// What must stay free, as in memory.available<100Mi,nodefs.available<5%: below it the node says that it is short, takes no
    /// more Pods, and ends some of those it has. Signals are memory.available, pid.available, and available and inodesFree of nodefs and imagefs.
    /// [default: memory.available<100Mi,pid.available<5%, and of nodefs 5%, but at most 512Mi and 20k inodes]
    #[arg(long, overrides_with = "eviction_hard")]
    pub(crate) eviction_hard: Option<Thresholds>,
    #[command(flatten)]
    pub(crate) eviction: EvictionArgs,
    #[command(flatten)]
    pub(crate) resources: ResourceArgs,
    #[command(flatten)]
    pub(crate) shutdown: ShutdownArgs,
    #[command(flatten)]
    pub(crate) images: ImageArgs,
    #[command(flatten)]
    pub(crate) keyvalue: KeyvalueArgs,
    #[command(flatten)]
    pub(crate) ingress: IngressArgs,
}

/// How a node that is short of something ends Pods.
#[derive(Debug, Args)]
pub(crate) struct EvictionArgs {
    /// What should stay free: below it the node says so at once, and ends Pods when it lasts.
    #[arg(long = "eviction-soft")]
    pub(crate) soft: Option<Thresholds>,
    /// How long soft thresholds may be undercut, as in memory.available=1m30s, for each of them.
    #[arg(long = "eviction-soft-grace-period")]
    pub(crate) soft_grace_period: Option<SoftGrace>,
    /// The most seconds that containers may take to end for a soft threshold.
    #[arg(long = "eviction-max-pod-grace-period", default_value_t = 0)]
    pub(crate) max_pod_grace_period: u32,
    /// How long the node still says that it is short after it was last so.
    #[arg(long = "eviction-pressure-transition-period", default_value = "5m", value_parser = crate::audit::duration)]
    pub(crate) pressure_transition_period: Duration,
    /// How much more than thresholds is to be free before the node stops ending Pods, as in nodefs.available=500Mi.
    #[arg(long = "eviction-minimum-reclaim")]
    pub(crate) minimum_reclaim: Option<MinimumReclaim>,
}

impl NodeArgs {
    /// What the flags say about a node that is short of something.
    pub(crate) fn eviction_settings(&self) -> Result<EvictionSettings, MissingGrace> {
        let more = &self.eviction;
        EvictionSettings {
            hard: self.eviction_hard.clone().unwrap_or_default(),
            soft: more.soft.clone().unwrap_or_else(Thresholds::none),
            soft_grace: more.soft_grace_period.clone().unwrap_or_default(),
            max_pod_grace: more.max_pod_grace_period,
            transition: more.pressure_transition_period,
            minimum_reclaim: more.minimum_reclaim.clone().unwrap_or_default(),
        }
        .checked()
    }
}

#[derive(Debug, Args)]
pub(crate) struct ApiserverArgs {
    #[command(flatten)]
    pub(crate) data_dir: DataDirArgs,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    /// Range of Service addresses, or one of each family, the one that Services get by default first: `10.96.0.0/16,fd00::/112`.
    #[arg(long, default_value = "10.96.0.0/16")]
    pub(crate) service_cidr: Ranges,
    /// Users with static tokens, one a line: token,user,uid,"group1,group2".
    #[arg(long)]
    pub(crate) token_auth_file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) authorization: AuthorizationArgs,
    #[command(flatten)]
    pub(crate) front_proxies: FrontProxyArgs,
}
