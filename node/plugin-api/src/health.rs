//! `grpc.health.v1`: whether a server serves.

use prost::Message;

/// Asks for the health of a service.
pub const CHECK: &str = "/grpc.health.v1.Health/Check";

/// Which service is asked for.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct HealthRequest {
    /// Its name, empty for the server as a whole.
    #[prost(string, tag = "1")]
    pub service: String,
}

/// How a service is.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct HealthResponse {
    /// A [`Serving`], or something this node does not know.
    #[prost(enumeration = "Serving", tag = "1")]
    pub status: i32,
}

/// Whether a service serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum Serving {
    /// Nobody knows.
    Unknown = 0,
    /// It does.
    Serving = 1,
    /// It does not.
    NotServing = 2,
    /// There is no such service.
    ServiceUnknown = 3,
}
