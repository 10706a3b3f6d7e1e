//! What each of Kubernetes' own signers grants.

use std::collections::BTreeSet;

use super::request::{AlternativeName, Request};

/// Signs client certificates of users.
pub(super) const CLIENT: &str = "kubernetes.io/kube-apiserver-client";
/// Signs client certificates of nodes.
pub(super) const KUBELET_CLIENT: &str = "kubernetes.io/kube-apiserver-client-kubelet";
/// Signs serving certificates of nodes.
pub(super) const KUBELET_SERVING: &str = "kubernetes.io/kubelet-serving";
/// Signs anything, for requests made in an older version of the API.
pub(super) const LEGACY: &str = "kubernetes.io/legacy-unknown";

const CLIENT_AUTH: &str = "client auth";
const SERVER_AUTH: &str = "server auth";
const SIGNATURE: &str = "digital signature";
const ENCIPHERMENT: &str = "key encipherment";

/// Whether the signer is one of ours, and if so, why it does not sign the request.
pub(super) fn check(signer: &str, request: &Request, usages: &[String]) -> Option<Result<(), String>> {
    match signer {
        CLIENT => Some(check_client(usages)),
        KUBELET_CLIENT => Some(check_kubelet_client(request, usages)),
        KUBELET_SERVING => Some(check_kubelet_serving(request, usages)),
        LEGACY => Some(Ok(())),
        _ => None,
    }
}

fn check_client(usages: &[String]) -> Result<(), String> {
    let known = [SIGNATURE, ENCIPHERMENT, CLIENT_AUTH];
    if let Some(other) = usages.iter().find(|usage| !known.contains(&usage.as_str())) {
        return Err(format!("invalid usage for client certificate: {other}"));
    }
    if usages.iter().any(|usage| usage == CLIENT_AUTH) {
        return Ok(());
    }
    Err(format!("missing required usage for client certificate: {CLIENT_AUTH}"))
}

/// What the client certificate of a node may say.
pub(super) fn check_kubelet_client(request: &Request, usages: &[String]) -> Result<(), String> {
    check_organization(request)?;
    refuse_names(request, "DNS", |name| matches!(name, AlternativeName::Dns(_)))?;
    refuse_names(request, "Email", |name| matches!(name, AlternativeName::Email(_)))?;
    refuse_names(request, "IP", |name| matches!(name, AlternativeName::Ip(_)))?;
    refuse_names(request, "URI", |name| matches!(name, AlternativeName::Uri(_)))?;
    check_common_name(request)?;
    check_usages(usages, CLIENT_AUTH)
}

fn check_kubelet_serving(request: &Request, usages: &[String]) -> Result<(), String> {
    check_organization(request)?;
    let reached = |name: &AlternativeName| matches!(name, AlternativeName::Dns(_) | AlternativeName::Ip(_));
    if !request.names.iter().any(reached) {
        return Err("DNS or IP subjectAltName is required".to_owned());
    }
    refuse_names(request, "Email", |name| matches!(name, AlternativeName::Email(_)))?;
    refuse_names(request, "URI", |name| matches!(name, AlternativeName::Uri(_)))?;
    check_usages(usages, SERVER_AUTH)?;
    check_common_name(request)
}

fn check_organization(request: &Request) -> Result<(), String> {
    if request.organizations() == ["system:nodes"] {
        return Ok(());
    }
    Err("subject organization is not system:nodes".to_owned())
}

fn check_common_name(request: &Request) -> Result<(), String> {
    if request.common_name().starts_with("system:node:") {
        return Ok(());
    }
    Err("subject common name does not begin with system:node:".to_owned())
}

fn refuse_names(
    request: &Request,
    kind: &str,
    is_of_kind: fn(&AlternativeName) -> bool,
) -> Result<(), String> {
    if request.names.iter().any(is_of_kind) {
        return Err(format!("{kind} subjectAltNames are not allowed"));
    }
    Ok(())
}

/// Keys that are not RSA do without enciphering other keys.
fn check_usages(usages: &[String], purpose: &str) -> Result<(), String> {
    let usages: BTreeSet<&str> = usages.iter().map(String::as_str).collect();
    let wanted = BTreeSet::from([SIGNATURE, ENCIPHERMENT, purpose]);
    if usages == wanted || usages == BTreeSet::from([SIGNATURE, purpose]) {
        return Ok(());
    }
    // Sorted and without separators, as upstream tells it.
    let wanted: Vec<&str> = wanted.into_iter().collect();
    Err(format!("usages did not match [{}]", wanted.join(" ")))
}
