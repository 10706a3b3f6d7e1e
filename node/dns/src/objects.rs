//! What a zone is told of the cluster.

use std::net::IpAddr;

/// Namespace and name of an object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// The namespace.
    pub namespace: String,
    /// The name in it.
    pub name: String,
}

/// A Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// What its name stands for.
    pub face: Face,
    /// Its ports.
    pub ports: Vec<Port>,
}

/// What the name of a Service stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Face {
    /// Addresses of its own.
    Cluster(Vec<IpAddr>),
    /// Its endpoints.
    Headless,
    /// Another name, of whatever domain.
    Alias(String),
}

/// A port with a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// Its name, empty for the only port of a Service.
    pub name: String,
    /// Its protocol in small letters, as in names: `tcp`.
    pub protocol: String,
    /// Its number.
    pub number: u16,
}

/// A part of a Service's endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slice {
    /// Whose they are.
    pub service: Key,
    /// The ports all of them have.
    pub ports: Vec<Port>,
    /// Those that names are to lead to.
    pub endpoints: Vec<Endpoint>,
}

/// An endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Its address.
    pub ip: IpAddr,
    /// Its name in the Service, if it was given one.
    pub hostname: Option<String>,
}

impl Endpoint {
    /// Its name in the Service: the one it was given, else one made of its address.
    pub fn host(&self) -> String {
        let of_address = || self.ip.to_string().replace(['.', ':'], "-");
        self.hostname.clone().unwrap_or_else(of_address)
    }
}
