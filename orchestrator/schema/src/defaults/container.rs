//! Defaults of containers of every kind: pull policy, termination message, probes, ports, environment.

use wherry_api::quantity::Quantity;

use super::{child, default, items, text};
use crate::value::{Object, Str, Value};

pub(super) fn container(container: &mut Object) {
    child(container, "resources").into_iter().for_each(round_lists);
    let image = container.get("image").and_then(Value::as_str).unwrap_or_default();
    let policy = pull_policy(image);
    default(container, &"imagePullPolicy", policy);
    default(container, &"terminationMessagePath", text(&"/dev/termination-log"));
    default(container, &"terminationMessagePolicy", text(&"File"));
    for port in items(container, "ports") {
        default(port, &"protocol", text(&"TCP"));
    }
    items(container, "env").for_each(environment);
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        child(container, name).into_iter().for_each(probe);
    }
    for name in ["postStart", "preStop"] {
        let lifecycle = child(container, "lifecycle");
        lifecycle.and_then(|lifecycle| child(lifecycle, name)).into_iter().for_each(http_get);
    }
}

/// Rounds what is requested and what is the limit.
pub(super) fn round_lists(resources: &mut Object) {
    for name in ["limits", "requests"] {
        child(resources, name).into_iter().for_each(round_resources);
    }
}

/// Resources are counted in thousandths; what is finer is rounded up.
pub(super) fn round_resources(list: &mut Object) {
    for (_, amount) in list.iter_mut() {
        // Only the suffixes for less than a thousandth can hold a part of one.
        let fine = amount.as_str().filter(|text| text.ends_with(['n', 'u']));
        let milli = fine.and_then(|text| text.parse::<Quantity>().ok()).map(|quantity| quantity.as_milli());
        if let Some(milli) = milli.and_then(|milli| i64::try_from(milli).ok()) {
            *amount = Quantity::from_milli(milli).to_string().into();
        }
    }
}

/// In the network of the host a port is the host's port.
pub(super) fn host_ports(container: &mut Object) {
    for port in items(container, "ports") {
        if let Some(number) = port.get("containerPort").cloned() {
            port.or_insert_with(Str::fixed(&"hostPort"), || number);
        }
    }
}

/// `Always` for what may change under its name: the tag `latest`, or no tag at all.
pub(super) fn pull_policy(image: &str) -> Value {
    let name = image.rsplit('/').next().unwrap_or(image);
    let latest = match name.split_once('@') {
        Some((name, _)) => name.ends_with(":latest"),
        None => !name.is_empty() && name.split_once(':').is_none_or(|(_, tag)| tag == "latest"),
    };
    if latest { text(&"Always") } else { text(&"IfNotPresent") }
}

fn environment(variable: &mut Object) {
    let Some(source) = child(variable, "valueFrom") else { return };
    field_ref(source);
    if let Some(file) = child(source, "fileKeyRef") {
        default(file, &"optional", false);
    }
}

/// The `fieldRef` of a source speaks of a version of the API.
pub(super) fn field_ref(source: &mut Object) {
    if let Some(field) = child(source, "fieldRef") {
        default(field, &"apiVersion", text(&"v1"));
    }
}

fn probe(probe: &mut Object) {
    default(probe, &"timeoutSeconds", 1);
    default(probe, &"periodSeconds", 10);
    default(probe, &"successThreshold", 1);
    default(probe, &"failureThreshold", 3);
    http_get(probe);
    if let Some(grpc) = child(probe, "grpc") {
        default(grpc, &"service", text(&""));
    }
}

fn http_get(handler: &mut Object) {
    if let Some(action) = child(handler, "httpGet") {
        default(action, &"path", text(&"/"));
        default(action, &"scheme", text(&"HTTP"));
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::pull_policy;

    #[rstest]
    #[case("nginx", "Always")]
    #[case("nginx:latest", "Always")]
    #[case("nginx:1.25", "IfNotPresent")]
    #[case("localhost:5000/nginx", "Always")]
    #[case("localhost:5000/nginx:1", "IfNotPresent")]
    #[case("repo/img@sha256:aaaa", "IfNotPresent")]
    #[case("repo/img:latest@sha256:aaaa", "Always")]
    #[case("", "IfNotPresent")]
    fn the_policy_follows_the_tag(#[case] image: &str, #[case] policy: &str) {
        assert_eq!(pull_policy(image).as_str(), Some(policy));
    }
}
