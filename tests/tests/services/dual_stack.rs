//! Services of one family and of both, in a cluster of both.

use serde_json::json;
use wherry_tests::Cluster;

use crate::reach::{is_served, service_of_hosts};

/// Where nodes answer for names.
const DNS: [&str; 2] = ["10.96.0.10", "fd00:96::a"];

/// The addresses of a Service of the web servers that says this of families; all of them lead to the servers, and are its name's.
fn served_at(cluster: &Cluster, families: &str) -> Vec<bool> {
    service_of_hosts(cluster, "families", families);
    let told = cluster.kubectl(&["get", "service", "families", "-o", "jsonpath={.spec.clusterIPs[*]}"]);
    let ips: Vec<&str> = told.split(' ').collect();
    for ip in &ips {
        is_served(cluster, &if ip.contains(':') { format!("[{ip}]") } else { (*ip).to_owned() });
    }
    cluster.exec_until("client", "nslookup families.default.svc.cluster.local", |text| {
        ips.iter().all(|ip| text.contains(ip))
    });
    cluster.kubectl(&["delete", "service", "families"]);
    ips.into_iter().map(|ip| ip.contains(':')).collect()
}

/// Pods are told both addresses of the cluster's DNS, are answered at both, by datagrams and by connections, and the Service has both.
pub(crate) fn the_cluster_dns_is_of_both_families(cluster: &Cluster) {
    let service = cluster.get(&["service", "kube-dns", "-n", "kube-system"]);
    assert_eq!(service["spec"]["clusterIPs"], json!(DNS), "{service}");
    assert_eq!(service["spec"]["ipFamilyPolicy"], "PreferDualStack", "{service}");
    let told = cluster.kubectl(&["exec", "client", "--", "cat", "/etc/resolv.conf"]);
    let servers: Vec<_> = told.lines().filter_map(|line| line.strip_prefix("nameserver ")).collect();
    assert_eq!(servers, DNS, "{told}");
    for server in DNS {
        let script = format!("nslookup -type=a kubernetes.default.svc.cluster.local {server}; true");
        cluster.exec_until("client", &script, |text| text.contains("Address: 10.96.0.1\n"));
        // For the start of authority, with its length before it.
        let question = r"\0\37\0\7\1\0\0\1\0\0\0\0\0\0\7cluster\5local\0\0\6\0\1";
        let script = format!("printf '{question}' | timeout 2 nc {server} 53 | wc -c");
        cluster
            .exec_until("client", &script, |text| text.trim().parse::<u32>().is_ok_and(|length| length > 40));
    }
}

/// [sig-network] IPv6DualStack should create a single stack service with cluster ip from primary service range.
pub(crate) fn dual_stack_single_stack_service_of_primary_range(cluster: &Cluster) {
    assert_eq!(served_at(cluster, "type: ClusterIP"), [false]);
}

/// [sig-network] IPv6DualStack should create service with ipv4 cluster ip.
pub(crate) fn dual_stack_service_with_ipv4_cluster_ip(cluster: &Cluster) {
    assert_eq!(served_at(cluster, "ipFamilies: [IPv4]"), [false]);
}

/// [sig-network] IPv6DualStack should create service with ipv6 cluster ip.
pub(crate) fn dual_stack_service_with_ipv6_cluster_ip(cluster: &Cluster) {
    assert_eq!(served_at(cluster, "ipFamilies: [IPv6]"), [true]);
}

/// [sig-network] IPv6DualStack should create service with ipv4,v6 cluster ip.
pub(crate) fn dual_stack_service_with_ipv4_v6_cluster_ip(cluster: &Cluster) {
    let both = "ipFamilyPolicy: RequireDualStack\n  ipFamilies: [IPv4, IPv6]";
    assert_eq!(served_at(cluster, both), [false, true]);
}

/// [sig-network] IPv6DualStack should create service with ipv6,v4 cluster ip.
pub(crate) fn dual_stack_service_with_ipv6_v4_cluster_ip(cluster: &Cluster) {
    let both = "ipFamilyPolicy: RequireDualStack\n  ipFamilies: [IPv6, IPv4]";
    assert_eq!(served_at(cluster, both), [true, false]);
}
