//! The built-in Ingress controller: the words by which the control plane and nodes speak of it.

/// The IngressClass every cluster begins with.
pub const CLASS: &str = "wherry";
/// Whose it is.
pub const CONTROLLER: &str = "wherry.io/ingress";
/// The ServiceAccount in kube-system as which the controller reads what it serves.
pub const ACCOUNT: &str = "wherry-ingress";
/// The role that account has.
pub const ROLE: &str = "wherry:ingress";
