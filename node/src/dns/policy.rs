//! What a Pod is told about finding hosts by their names: `dnsPolicy` and `dnsConfig`. Pure.

use std::net::IpAddr;

use k8s_openapi::api::core::v1::{Pod, PodDNSConfig, PodDNSConfigOption};
use wherry_runtime_api::DnsConfig;

/// More are not asked by resolvers.
const NAMESERVERS: usize = 3;
/// As many as upstream lets a Pod have.
const SEARCHES: usize = 32;
const SEARCH_LETTERS: usize = 2048;
/// What Pods of the cluster's DNS are told, so that `service.namespace.svc` is searched for, too.
const OPTIONS: &str = "ndots:5";

/// What all Pods of this node share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsSettings {
    /// The domain of the cluster's names.
    pub domain: String,
    /// Who answers for them, at an address or one of each family. Those of the Services' ranges are this node's to serve.
    pub servers: Vec<IpAddr>,
}

/// What a Pod is told, and what its owner is to know of it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct PodDns {
    /// What its resolver is told.
    pub(crate) config: DnsConfig,
    /// Messages of events that say what was left out.
    pub(crate) omissions: Vec<String>,
}

/// What this Pod is told, where the node itself is told `node`.
pub(crate) fn of_pod(pod: &Pod, settings: &DnsSettings, node: DnsConfig) -> PodDns {
    let spec = pod.spec.as_ref();
    let host_network = spec.and_then(|spec| spec.host_network) == Some(true);
    let mut config = match spec.and_then(|spec| spec.dns_policy.as_deref()) {
        Some("None") => DnsConfig::default(),
        Some("Default") => node,
        Some("ClusterFirstWithHostNet") => of_cluster(pod, settings, node),
        _ if host_network => node,
        _ => of_cluster(pod, settings, node),
    };
    if let Some(own) = spec.and_then(|spec| spec.dns_config.as_ref()) {
        append(&mut config, own);
    }
    let omissions = limit(&mut config);
    PodDns { config, omissions }
}

fn of_cluster(pod: &Pod, settings: &DnsSettings, node: DnsConfig) -> DnsConfig {
    let (namespace, domain) = (pod.metadata.namespace.as_deref().unwrap_or_default(), &settings.domain);
    let mut searches = vec![format!("{namespace}.svc.{domain}"), format!("svc.{domain}"), domain.clone()];
    add_new(&mut searches, node.searches);
    DnsConfig { nameservers: settings.servers.clone(), searches, options: vec![OPTIONS.to_owned()] }
}

fn append(config: &mut DnsConfig, own: &PodDNSConfig) {
    let servers = own.nameservers.iter().flatten().filter_map(|server| server.parse().ok());
    add_new(&mut config.nameservers, servers);
    add_new(&mut config.searches, own.searches.iter().flatten().cloned());
    for option in own.options.iter().flatten() {
        let Some(name) = &option.name else { continue };
        let text = text_of(name, option);
        match config.options.iter_mut().find(|known| known.split(':').next() == Some(name)) {
            Some(known) => *known = text,
            None => config.options.push(text),
        }
    }
}

fn text_of(name: &str, option: &PodDNSConfigOption) -> String {
    match option.value.as_deref() {
        Some(value) if !value.is_empty() => format!("{name}:{value}"),
        _ => name.to_owned(),
    }
}

fn add_new<T: PartialEq>(list: &mut Vec<T>, more: impl IntoIterator<Item = T>) {
    for item in more {
        if !list.contains(&item) {
            list.push(item);
        }
    }
}

/// Leaves out what resolvers would not heed, and says so in upstream's words.
fn limit(config: &mut DnsConfig) -> Vec<String> {
    let mut told = Vec::new();
    if config.nameservers.len() > NAMESERVERS {
        config.nameservers.truncate(NAMESERVERS);
        let line: Vec<String> = config.nameservers.iter().map(ToString::to_string).collect();
        told.push(format!(
            "Nameserver limits were exceeded, some nameservers have been omitted, the applied nameserver line is: {}",
            line.join(" ")
        ));
    }
    let wanted = config.searches.len();
    config.searches.truncate(SEARCHES);
    while config.searches.join(" ").len() > SEARCH_LETTERS {
        config.searches.pop();
    }
    if config.searches.len() < wanted {
        told.push(format!(
            "Search Line limits were exceeded, some search paths have been omitted, the applied search line is: {}",
            config.searches.join(" ")
        ));
    }
    told
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::super::resolv_conf::render;
    use super::*;

    fn told(spec: Value) -> PodDns {
        let pod = json!({"metadata": {"namespace": "shop"}, "spec": spec});
        let settings =
            DnsSettings { domain: "cluster.local".to_owned(), servers: vec!["10.96.0.10".parse().unwrap()] };
        let node = DnsConfig {
            nameservers: vec!["192.0.2.53".parse().unwrap()],
            searches: vec!["example.com".to_owned()],
            options: vec!["edns0".to_owned()],
        };
        of_pod(&serde_json::from_value(pod).unwrap(), &settings, node)
    }

    const CLUSTER: &str = "nameserver 10.96.0.10\nsearch shop.svc.cluster.local svc.cluster.local cluster.local \
                           example.com\noptions ndots:5\n";
    const NODE: &str = "nameserver 192.0.2.53\nsearch example.com\noptions edns0\n";

    #[rstest]
    #[case(json!({"dnsPolicy": "ClusterFirst"}), CLUSTER)]
    #[case(json!({}), CLUSTER)]
    #[case(json!({"dnsPolicy": "ClusterFirst", "hostNetwork": true}), NODE)]
    #[case(json!({"dnsPolicy": "ClusterFirstWithHostNet", "hostNetwork": true}), CLUSTER)]
    #[case(json!({"dnsPolicy": "Default"}), NODE)]
    fn a_policy_tells_whom_to_ask(#[case] mut spec: Value, #[case] expected: &str) {
        spec["containers"] = json!([]);
        assert_eq!(render(&told(spec).config), expected);
    }

    #[test]
    fn a_pod_may_bring_its_own_resolver() {
        let own = json!({ "nameservers": ["10.0.0.2"], "searches": ["a.b", "c"], "options": [{ "name": "ndots", "value": "2" }] });
        let dns = told(json!({"containers": [], "dnsPolicy": "None", "dnsConfig": own}));
        assert_eq!(render(&dns.config), "nameserver 10.0.0.2\nsearch a.b c\noptions ndots:2\n");
    }

    #[test]
    fn a_pod_may_add_to_what_it_is_told() {
        let own = json!({
            "nameservers": ["10.96.0.10", "10.0.0.2"], "searches": ["cluster.local", "c"],
            "options": [{"name": "ndots", "value": "2"}, {"name": "edns0"}],
        });
        let dns = told(json!({"containers": [], "dnsConfig": own}));
        let expected = "nameserver 10.96.0.10\nnameserver 10.0.0.2\nsearch shop.svc.cluster.local svc.cluster.local \
                        cluster.local example.com c\noptions ndots:2 edns0\n";
        assert_eq!((render(&dns.config).as_str(), dns.omissions), (expected, vec![]));
    }

    #[test]
    fn what_resolvers_would_not_heed_is_left_out_and_told() {
        let long: Vec<String> = (0..40).map(|n| format!("{}.{n}", "a".repeat(60))).collect();
        let own = json!({"nameservers": ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"], "searches": long});
        let dns = told(json!({"containers": [], "dnsPolicy": "None", "dnsConfig": own}));
        assert_eq!((dns.config.nameservers.len(), dns.config.searches.len()), (3, 32));
        assert!(dns.omissions[0].ends_with("the applied nameserver line is: 10.0.0.1 10.0.0.2 10.0.0.3"));
        assert!(dns.omissions[1].starts_with("Search Line limits were exceeded"));
        let longer: Vec<String> = (0..20).map(|n| format!("{}.{n}", "a".repeat(120))).collect();
        let own = json!({"nameservers": ["10.0.0.1"], "searches": longer});
        let dns = told(json!({"containers": [], "dnsPolicy": "None", "dnsConfig": own}));
        let line = dns.config.searches.join(" ").len();
        assert!(line <= 2048 && line > 1900, "{line}");
    }
}
