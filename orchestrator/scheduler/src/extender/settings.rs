//! What a configuration says of an extender.

use std::time::Duration;

/// What it is asked, by the end of the URL; what has none is not asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Verbs {
    pub(crate) filter: Option<String>,
    pub(crate) prioritize: Option<String>,
    pub(crate) preempt: Option<String>,
    pub(crate) bind: Option<String>,
}

/// How it is spoken to over TLS. Files are read when the scheduler starts; data is base64.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tls {
    pub(crate) insecure: bool,
    pub(crate) server_name: Option<String>,
    pub(crate) cert_file: Option<String>,
    pub(crate) key_file: Option<String>,
    pub(crate) ca_file: Option<String>,
    pub(crate) cert_data: Option<String>,
    pub(crate) key_data: Option<String>,
    pub(crate) ca_data: Option<String>,
}

/// See the module's documentation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) url: String,
    pub(crate) verbs: Verbs,
    /// What its scores count for.
    pub(crate) weight: i64,
    pub(crate) tls: Tls,
    pub(crate) timeout: Duration,
    /// Whether it knows the nodes, so that their names will do.
    pub(crate) knows_nodes: bool,
    /// The resources it looks after; if there are any, it is asked only about Pods that want some.
    pub(crate) managed: Vec<String>,
    /// Whether Pods are scheduled without it when it fails.
    pub(crate) is_ignorable: bool,
}
