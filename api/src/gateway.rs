//! The Gateway API: the words by which the control plane and nodes speak of it.

/// The group of its kinds.
pub const GROUP: &str = "gateway.networking.k8s.io";
/// The GatewayClass every cluster begins with.
pub const CLASS: &str = "wherry";
/// Whose it is.
pub const CONTROLLER: &str = "wherry.io/gateway";
/// The role that whoever serves Gateways has besides that of the Ingress controller.
pub const ROLE: &str = "wherry:gateway";
