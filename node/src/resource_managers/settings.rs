//! What the node's owner says about processors and about what is kept from Pods, in kubelet's words.

use std::path::PathBuf;
use std::str::FromStr;

use wherry_api::quantity::Quantity;
use wherry_runtime_api::CpuSet;

use crate::allocations::Amounts;

/// Memory kept from pods where nobody says how much.
const DEFAULT_MEMORY: u64 = 100 << 20;

/// What the node's owner says.
#[derive(Clone, Debug, Default)]
pub struct ResourceSettings {
    /// Whether containers can have processors for themselves.
    pub cpu_policy: CpuPolicy,
    /// Processors that no container has for itself.
    pub reserved_cpus: Option<CpuSet>,
    /// What is kept from Pods for the system.
    pub system_reserved: Reserved,
    /// What is kept from Pods for the agent.
    pub kube_reserved: Reserved,
    /// How much it matters that what a container has is of the same NUMA nodes.
    pub topology_policy: TopologyPolicy,
    /// Whose it is that is looked at together.
    pub topology_scope: TopologyScope,
    /// Where files of the Container Device Interface are; a later directory has a say before an earlier.
    pub cdi_directories: Vec<PathBuf>,
}

/// Whether containers can have processors for themselves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CpuPolicy {
    /// All containers share all processors.
    #[default]
    None,
    /// Containers of Guaranteed Pods that ask for whole processors have them for themselves.
    Static,
}

/// How much it matters that devices and processors of a container are of the same NUMA nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TopologyPolicy {
    /// Not at all.
    #[default]
    None,
    /// They are, where that can be.
    BestEffort,
    /// Pods are not taken where they could be, but are not.
    Restricted,
    /// Pods are not taken unless all is of one node.
    SingleNumaNode,
}

/// What is looked at together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TopologyScope {
    /// Each container.
    #[default]
    Container,
    /// All containers of a Pod.
    Pod,
}

/// Resources that are kept from Pods.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reserved {
    cpu: u64,
    memory: Option<u64>,
    storage: u64,
}

/// A text that says nothing that can be kept from Pods.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} cannot be kept from Pods: write amounts of cpu, memory and ephemeral-storage, as in cpu=500m,memory=200Mi"
)]
pub struct ReservedError(String);

/// Why the settings cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResourceSettingsError {
    /// Something has to be left for those who have no processors of their own.
    #[error(
        "--cpu-manager-policy static needs processors that no container has for itself: name them with --reserved-cpus, \
             or keep an amount of cpu with --system-reserved or --kube-reserved"
    )]
    NoneReserved,
}

impl ResourceSettings {
    /// The same, if it can be used.
    pub fn checked(self) -> Result<Self, ResourceSettingsError> {
        let reserves = self.reserved_cpus.as_ref().is_some_and(|cpus| !cpus.is_empty());
        if self.cpu_policy == CpuPolicy::Static && !reserves && self.reserved().cpu == 0 {
            return Err(ResourceSettingsError::NoneReserved);
        }
        Ok(self)
    }

    /// Processors and memory that are kept from Pods.
    pub(crate) fn reserved(&self) -> Amounts {
        let (system, kube) = (self.system_reserved, self.kube_reserved);
        let named = self.reserved_cpus.as_ref().map(|cpus| 1000 * cpus.len() as u64);
        let memory = match (system.memory, kube.memory) {
            (None, None) => DEFAULT_MEMORY,
            (system, kube) => system.unwrap_or(0).saturating_add(kube.unwrap_or(0)),
        };
        Amounts { cpu: named.unwrap_or(system.cpu.saturating_add(kube.cpu)), memory }
    }

    /// Bytes of the disk that are kept from Pods.
    pub(crate) fn reserved_storage(&self) -> u64 {
        self.system_reserved.storage.saturating_add(self.kube_reserved.storage)
    }
}

impl FromStr for Reserved {
    type Err = ReservedError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ReservedError(text.to_owned());
        let mut reserved = Self::default();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let (resource, amount) = part.split_once('=').ok_or_else(error)?;
            let amount: Quantity = amount.parse().map_err(|_| error())?;
            let value = if resource == "cpu" { amount.as_milli() } else { amount.value() };
            let value = u64::try_from(value).map_err(|_| error())?;
            match resource {
                "cpu" => reserved.cpu = value,
                "memory" => reserved.memory = Some(value),
                "ephemeral-storage" => reserved.storage = value,
                _ => return Err(error()),
            }
        }
        Ok(reserved)
    }
}

impl CpuPolicy {
    const ALL: [(Self, &str); 2] = [(Self::None, "none"), (Self::Static, "static")];

    /// Kubelet's word.
    pub(crate) fn as_str(self) -> &'static str {
        word(&Self::ALL, self)
    }
}

impl TopologyPolicy {
    const ALL: [(Self, &str); 4] = [
        (Self::None, "none"),
        (Self::BestEffort, "best-effort"),
        (Self::Restricted, "restricted"),
        (Self::SingleNumaNode, "single-numa-node"),
    ];

    /// Kubelet's word.
    pub(crate) fn as_str(self) -> &'static str {
        word(&Self::ALL, self)
    }
}

impl TopologyScope {
    const ALL: [(Self, &str); 2] = [(Self::Container, "container"), (Self::Pod, "pod")];

    /// Kubelet's word.
    pub(crate) fn as_str(self) -> &'static str {
        word(&Self::ALL, self)
    }
}

impl FromStr for CpuPolicy {
    type Err = WordError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(&Self::ALL, text)
    }
}

impl FromStr for TopologyPolicy {
    type Err = WordError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(&Self::ALL, text)
    }
}

impl FromStr for TopologyScope {
    type Err = WordError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(&Self::ALL, text)
    }
}

/// A word that is none of those there are.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write one of {0}")]
pub struct WordError(String);

fn word<T: Copy + PartialEq>(all: &[(T, &'static str)], value: T) -> &'static str {
    all.iter().find(|(one, _)| *one == value).map_or("", |(_, word)| word)
}

fn parse<T: Copy>(all: &[(T, &str)], text: &str) -> Result<T, WordError> {
    let words = || all.iter().map(|(_, word)| *word).collect::<Vec<_>>().join(", ");
    let found = all.iter().find(|(_, word)| *word == text);
    found.map(|(value, _)| *value).ok_or_else(|| WordError(words()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_kept_adds_up() {
        let mut settings = ResourceSettings::default();
        assert_eq!(settings.reserved(), Amounts { cpu: 0, memory: 100 << 20 });
        settings.system_reserved = "cpu=500m,memory=1Gi,ephemeral-storage=1k".parse().unwrap();
        settings.kube_reserved = "cpu=1".parse().unwrap();
        assert_eq!(settings.reserved(), Amounts { cpu: 1500, memory: 1 << 30 });
        assert_eq!(settings.reserved_storage(), 1000);
        settings.reserved_cpus = Some("0-1".parse().unwrap());
        assert_eq!(settings.reserved().cpu, 2000, "processors that are named count instead");
    }

    #[test]
    fn containers_without_processors_of_their_own_need_some() {
        let mut settings = ResourceSettings { cpu_policy: CpuPolicy::Static, ..ResourceSettings::default() };
        assert_eq!(settings.clone().checked().unwrap_err(), ResourceSettingsError::NoneReserved);
        settings.kube_reserved = "cpu=100m".parse().unwrap();
        settings.checked().unwrap();
    }

    #[test]
    fn policies_are_kubelets_words() {
        assert_eq!("single-numa-node".parse(), Ok(TopologyPolicy::SingleNumaNode));
        assert_eq!(
            (TopologyPolicy::BestEffort.as_str(), CpuPolicy::Static.as_str()),
            ("best-effort", "static")
        );
        let refused = "node".parse::<TopologyScope>().unwrap_err().to_string();
        assert_eq!((refused.as_str(), TopologyScope::Pod.as_str()), ("write one of container, pod", "pod"));
    }

    proptest! {
        #[test]
        fn only_amounts_are_taken(text in "(cpu|memory|gpu)?=?[-0-9a-zA-Z.]{0,6}") {
            if let Ok(reserved) = text.parse::<Reserved>() {
                prop_assert!(text.is_empty() || text.starts_with("cpu=") || text.starts_with("memory="), "{:?}", reserved);
            }
        }
    }
}
