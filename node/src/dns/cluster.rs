//! Answers: from the zone at once, of other names when somebody else has answered.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::RwLock;
use wherry_dns::proto::rr::{Name, RecordType};
use wherry_dns::{Answer, ExtendedError, Zone};

use super::forward::Forwarder;
use super::policy::DnsSettings;

/// Why there is no answer. It may be there if one asks again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NameError {
    /// The watches have not told of everything yet.
    #[error("the cluster's names are not known yet")]
    Early,
    /// The node's own resolver names nobody.
    #[error("there is no nameserver in the node's /etc/resolv.conf to ask")]
    NobodyToAsk,
    /// Too many names of others are being asked for.
    #[error("too many names are being asked for")]
    Busy,
    /// Whoever was asked did not answer.
    #[error("no nameserver of the node's /etc/resolv.conf answered")]
    Silence,
}

impl NameError {
    /// The same in the words of the protocol.
    pub(crate) fn extended(self) -> ExtendedError {
        let (code, text) = match self {
            Self::Early => (14, "the cluster's names are not known yet"),
            Self::NobodyToAsk => (23, "there is no nameserver in the node's /etc/resolv.conf to ask"),
            Self::Busy => (23, "too many names are being asked for"),
            Self::Silence => (22, "no nameserver of the node's /etc/resolv.conf answered"),
        };
        ExtendedError { code, text }
    }
}

/// The names of the cluster, and through it those of others.
pub(crate) struct ClusterDns {
    zone: RwLock<Zone>,
    complete: AtomicBool,
    forwarder: Forwarder,
    settings: DnsSettings,
}

impl ClusterDns {
    /// Knows no names yet. Names of others are asked for as the file `resolv_conf` says.
    pub(crate) fn new(settings: &DnsSettings, zone: Zone, resolv_conf: &Path) -> Self {
        Self {
            zone: RwLock::new(zone),
            complete: AtomicBool::new(false),
            forwarder: Forwarder::new(resolv_conf, settings.servers.clone()),
            settings: settings.clone(),
        }
    }

    /// The same, with nameservers at another port.
    #[cfg(test)]
    pub(super) fn at_port(mut self, port: u16) -> Self {
        self.forwarder = self.forwarder.at_port(port);
        self
    }

    /// What Pods are told of it.
    pub(crate) fn settings(&self) -> &DnsSettings {
        &self.settings
    }

    /// Whom the node itself asks.
    pub(crate) fn forwarder(&self) -> &Forwarder {
        &self.forwarder
    }

    /// Changes the zone.
    pub(super) fn change(&self, change: impl FnOnce(&mut Zone)) {
        change(&mut self.zone.write());
    }

    /// Says that what is not known from now on does not exist.
    pub(super) fn set_complete(&self) {
        self.complete.store(true, Ordering::Release);
    }

    /// What is told of a name is the same as long as this is.
    pub(super) fn version(&self) -> (bool, u32) {
        (self.complete.load(Ordering::Acquire), self.zone.read().version())
    }

    /// What the zone says; `elsewhere` is left to be asked for.
    pub(crate) fn known(&self, name: &Name, wanted: RecordType, turn: u16) -> Result<Answer, NameError> {
        let complete = self.complete.load(Ordering::Acquire);
        let answer = self.zone.read().answer(name, wanted, turn);
        if answer.elsewhere.is_none() && !complete { Err(NameError::Early) } else { Ok(answer) }
    }

    /// Completes an answer by what somebody else says.
    pub(crate) async fn complete(&self, mut answer: Answer, wanted: RecordType) -> Result<Answer, NameError> {
        let Some(name) = &answer.elsewhere else { return Ok(answer) };
        let told = self.forwarder.ask(name, wanted).await?;
        answer.records.extend(told.answers);
        answer.authority = told.authority;
        answer.code = told.code;
        Ok(answer)
    }
}
