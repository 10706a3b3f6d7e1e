//! What can go wrong between a Pod and its address.

use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use wherry_cni::{CniError, ConfigError};

use super::nft::NftError;

/// Why a Pod network could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// The Pod needs what this network does not have.
    #[error(
        "the loopback network has no network namespaces, so it runs WebAssembly containers only: \
         start wherry as root with --network bridge to run OCI containers"
    )]
    Unsupported,
    /// The address range cannot be used.
    #[error("pod CIDR {cidr} cannot be used: {reason}")]
    Cidr {
        /// The range.
        cidr: IpNet,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The uid is no uid.
    #[error(
        "{uid:?} is no Pod uid: it must be 1 to 128 letters, digits, '-', '_' or '.', not starting with '.'"
    )]
    PodUid {
        /// What was given.
        uid: String,
    },
    /// A Pod cannot change between having a network namespace and not.
    #[error("Pod {uid} was given an address without a network namespace and cannot get one while it runs")]
    NamespaceNeeded {
        /// The Pod.
        uid: String,
    },
    /// All addresses are taken.
    #[error("all {size} addresses of {range} are taken")]
    Exhausted {
        /// The range, as text.
        range: String,
        /// How many addresses it has.
        size: usize,
    },
    /// The journal of addresses cannot be read or written.
    #[error("cannot {step} the journal of addresses {path}")]
    Journal {
        /// What was tried.
        step: &'static str,
        /// The journal.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A Pod does not answer at a port.
    #[error("failed to connect to localhost:{port} inside the network namespace of the pod")]
    Connect {
        /// The port.
        port: u16,
        /// The cause.
        source: io::Error,
    },
    /// A request to the kernel's routing tables failed.
    #[error("cannot {step}")]
    Netlink {
        /// What was tried.
        step: String,
        /// The cause.
        source: rtnetlink::Error,
    },
    /// No netlink socket.
    #[error("cannot open a netlink socket")]
    NetlinkSocket(#[source] io::Error),
    /// Packets to a node would go nowhere.
    #[error("there is no route to node {address}")]
    NoRoute {
        /// The node's address.
        address: IpAddr,
    },
    /// An interface that must exist does not.
    #[error("there is no interface {name}")]
    NoInterface {
        /// Its name.
        name: String,
    },
    /// An interface was set up and passes no packets.
    #[error("interface {index} did not get a carrier")]
    NoCarrier {
        /// Its number.
        index: u32,
    },
    /// A network namespace could not be made, found or removed.
    #[error("cannot {step} of network namespace {path}")]
    Namespace {
        /// What was tried.
        step: &'static str,
        /// The namespace's mount point.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The operator's plugins have no configuration.
    #[error("cni plugin not initialized")]
    NotInitialized(#[source] ConfigError),
    /// A plugin did not do what it was to, or what it did is not known.
    #[error(transparent)]
    Cni(Box<CniError>),
    /// The plugins gave the Pod nothing.
    #[error("the plugins gave the Pod no address")]
    NoAddress,
    /// A kernel setting was refused.
    #[error("cannot set {path} to {value}")]
    Sysctl {
        /// The file under /proc/sys.
        path: PathBuf,
        /// The value.
        value: &'static str,
        /// The cause.
        source: io::Error,
    },
    /// The packet filter rules were refused.
    #[error("cannot set the masquerading rules of the Pod network")]
    Masquerade(#[source] NftError),
}

impl NetworkError {
    pub(super) fn cni(error: CniError) -> Self {
        Self::Cni(Box::new(error))
    }

    /// Something cannot be done with a namespace.
    pub(super) fn netns(step: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Namespace { step, path: path.to_owned(), source }
    }
}
