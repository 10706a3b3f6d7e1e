//! A version of a group that others serve, and how they are reached.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio_rustls::TlsConnector;
use wherry_schema::Value;
use wherry_store::Revision;

use crate::config::{Answerer, HostedVersion, NodeClientTls};
use crate::object::{self, Fields};
use crate::outbound::place::Place;
use crate::outbound::tls;
use crate::state::State;

/// What this server showed itself with, and how it connects so.
type Connector = (Arc<NodeClientTls>, Result<TlsConnector, String>);

/// A version of a group that others serve.
pub(crate) struct Remote {
    /// The name of its APIService.
    pub(crate) name: String,
    pub(crate) group: String,
    pub(crate) version: String,
    /// Among the groups, and among the versions of its group, the highest comes first.
    pub(super) priorities: (i64, i64),
    pub(super) server: Server,
}

/// Who serves it.
pub(super) enum Server {
    /// Another part of this process.
    Here(Answerer),
    /// A server behind a Service.
    Elsewhere(Box<Elsewhere>),
}

/// A server behind a Service, as an APIService of this revision names it.
pub(super) struct Elsewhere {
    pub(super) revision: Revision,
    pub(super) place: Place,
    /// Namespace, name and port of the Service.
    pub(super) service: (String, String, u16),
    pub(super) available: bool,
    bundle: String,
    insecure: bool,
    tls: Mutex<Option<Connector>>,
}

impl Remote {
    /// What an APIService names.
    pub(super) fn elsewhere(object: &Value, service: &Value, revision: Revision) -> Self {
        let text = |path: &str| object.text(path).to_owned();
        let port = service.int("port").and_then(|port| u16::try_from(port).ok()).unwrap_or(443);
        let conditions = object.items("status.conditions").iter();
        let mut available = conditions.filter(|condition| condition.text("type") == "Available");
        let server = Elsewhere {
            revision,
            place: Place::of_service(service),
            service: (service.text("namespace").to_owned(), service.text("name").to_owned(), port),
            available: available.any(|condition| condition.text("status") == "True"),
            bundle: text("spec.caBundle"),
            insecure: object.flag("spec.insecureSkipTLSVerify"),
            tls: Mutex::new(None),
        };
        Self {
            name: object::name(object).to_owned(),
            group: text("spec.group"),
            version: text("spec.version"),
            priorities: (
                object.int("spec.groupPriorityMinimum").unwrap_or(0),
                object.int("spec.versionPriority").unwrap_or(0),
            ),
            server: Server::Elsewhere(Box::new(server)),
        }
    }

    /// What another part of this process serves.
    pub(super) fn here(hosted: &HostedVersion) -> Self {
        Self {
            name: format!("{}.{}", hosted.version, hosted.group),
            group: hosted.group.to_owned(),
            version: hosted.version.to_owned(),
            priorities: hosted.priorities,
            server: Server::Here(Arc::clone(&hosted.answer)),
        }
    }

    /// The server, if it is behind a Service.
    pub(super) fn there(&self) -> Option<&Elsewhere> {
        match &self.server {
            Server::Here(_) => None,
            Server::Elsewhere(there) => Some(there),
        }
    }
}

impl Elsewhere {
    /// How to connect, showing what this server shows itself with now.
    pub(super) fn tls(&self, state: &State) -> Result<TlsConnector, String> {
        let identity = state.identity.as_ref().ok_or("this server has no certificate to show to others")?;
        let identity = identity.get();
        let mut made = self.tls.lock();
        if let Some((_, connector)) = made.as_ref().filter(|(of, _)| Arc::ptr_eq(of, &identity)) {
            return connector.clone();
        }
        let connector = tls::connector_as(&identity, &self.bundle, self.insecure);
        *made = Some((identity, connector.clone()));
        connector
    }
}
