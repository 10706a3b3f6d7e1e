//! What a node and its plugins say to each other: gRPC over Unix sockets.
//!
//! Messages are written down by hand with the numbers of the published `.proto` files, so that nobody needs `protoc`. Only what a
//! node uses is here; what else a plugin sends is skipped.
//!
//! Reading order: [`grpc`] (calls and servers), [`registration`] (how a plugin tells the node that it is there), [`csi`] (volumes),
//! [`device`] (devices), [`pod_resources`] (who has them), [`health`] (what probes ask any server).

pub mod csi;
pub mod device;
pub mod grpc;
pub mod health;
pub mod pod_resources;
pub mod registration;
