//! Parts that several resources have.

use super::Subresource;

const OBJECT_VERBS: &[&str] = &["get", "patch", "update"];

pub(super) const SCALE: Subresource =
    Subresource { name: "scale", group: "autoscaling", version: "v1", kind: "Scale", verbs: OBJECT_VERBS };
pub(super) const EVICTION: Subresource =
    Subresource { name: "eviction", group: "policy", version: "v1", kind: "Eviction", verbs: &["create"] };

pub(super) const TOKEN: Subresource = Subresource {
    name: "token",
    group: "authentication.k8s.io",
    version: "v1",
    kind: "TokenRequest",
    verbs: &["create"],
};

/// A part of a kind of its own group.
pub(super) const fn own(
    name: &'static str,
    kind: &'static str,
    verbs: &'static [&'static str],
) -> Subresource {
    Subresource { name, group: "", version: "", kind, verbs }
}

/// The proxy to a kind. What its verbs do is up to whom it leads to.
pub(super) const fn proxy(options: &'static str) -> Subresource {
    own("proxy", options, &["create", "delete", "get", "patch", "update"])
}

/// A part of a Pod that is a stream of bytes both ways.
pub(super) const fn stream(name: &'static str, options: &'static str) -> Subresource {
    own(name, options, &["create", "get"])
}
