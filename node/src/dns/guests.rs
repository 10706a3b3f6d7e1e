//! Names for guests in this process: what a resolver of their own would find, without a packet where the cluster knows.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use async_trait::async_trait;
use tokio::runtime::Handle;
use tokio_util::task::AbortOnDropHandle;
use wherry_dns::Answer;
use wherry_dns::proto::op::ResponseCode;
use wherry_dns::proto::rr::{Name, RecordType};
use wherry_runtime_api::DnsConfig;
use wherry_wasm_runtime::Names;

use super::cluster::ClusterDns;
use super::forward::Told;
use super::resolv_conf;

/// Finds addresses for guests.
pub(crate) struct GuestNames {
    dns: Arc<ClusterDns>,
    /// Where nameservers are asked: a guest's own threads may be in its Pod's network, which does not reach all the node does.
    node: Handle,
}

impl GuestNames {
    /// Asks for others' names from the calling runtime.
    pub(crate) fn new(dns: Arc<ClusterDns>) -> Self {
        Self { dns, node: Handle::current() }
    }
}

#[async_trait]
impl Names for GuestNames {
    async fn addresses(&self, name: &str, config: &DnsConfig) -> io::Result<Vec<IpAddr>> {
        if name.trim_end_matches('.').eq_ignore_ascii_case("localhost") {
            return Ok(vec![Ipv4Addr::LOCALHOST.into()]);
        }
        if let Some(addresses) = self.known(name, config) {
            return Ok(addresses);
        }
        let (dns, name, config) = (self.dns.clone(), name.to_owned(), config.clone());
        let found = self.node.spawn(async move { find(&dns, &name, &config).await });
        AbortOnDropHandle::new(found).await.map_err(io::Error::other)?
    }

    fn known(&self, name: &str, config: &DnsConfig) -> Option<Vec<IpAddr>> {
        if !asks_cluster(&self.dns, config) {
            return None;
        }
        for name in candidates(name, config) {
            let found = in_cluster(&self.dns, &name)?;
            if !found.is_empty() {
                return Some(found);
            }
        }
        None
    }
}

/// Whether one of the nameservers is the cluster's.
fn asks_cluster(dns: &ClusterDns, config: &DnsConfig) -> bool {
    dns.settings().servers.iter().any(|server| config.nameservers.contains(server))
}

/// The addresses of a name, if others do not have to be asked.
fn in_cluster(dns: &ClusterDns, name: &Name) -> Option<Vec<IpAddr>> {
    let known = |wanted| dns.known(name, wanted, 0).ok().filter(|answer| answer.elsewhere.is_none());
    let addresses = |answer: &Answer| -> Vec<IpAddr> {
        answer.records.iter().filter_map(|record| record.data.ip_addr()).collect()
    };
    // Of a name that stands for another, that one is all there is.
    let all = known(RecordType::ANY)?;
    if all.records.iter().all(|record| record.record_type() != RecordType::CNAME) {
        return Some(addresses(&all));
    }
    Some([addresses(&known(RecordType::A)?), addresses(&known(RecordType::AAAA)?)].concat())
}

async fn find(dns: &ClusterDns, name: &str, config: &DnsConfig) -> io::Result<Vec<IpAddr>> {
    let asks_cluster = asks_cluster(dns, config);
    if !asks_cluster && config.nameservers == resolv_conf::of_node(resolv_conf::NODE).nameservers {
        // It finds what the node finds, with the node's own file of hosts.
        return Ok(tokio::net::lookup_host((name, 0)).await?.map(|address| address.ip()).collect());
    }
    let mut failure = None;
    for candidate in candidates(name, config) {
        match find_one(dns, &candidate, config, asks_cluster).await {
            Ok(addresses) if !addresses.is_empty() => return Ok(addresses),
            Ok(_) => {}
            Err(error) => failure = Some(error),
        }
    }
    Err(failure.unwrap_or_else(|| io::Error::new(io::ErrorKind::NotFound, "there is no such name")))
}

async fn find_one(
    dns: &ClusterDns,
    name: &Name,
    config: &DnsConfig,
    asks_cluster: bool,
) -> io::Result<Vec<IpAddr>> {
    let (mut found, mut failure) = (Vec::new(), None);
    for wanted in [RecordType::A, RecordType::AAAA] {
        let told = if asks_cluster {
            let known = dns.known(name, wanted, 0).map_err(io::Error::other)?;
            let answer = dns.complete(known, wanted).await;
            answer.map(|answer| Told { answers: answer.records, authority: None, code: answer.code })
        } else {
            dns.forwarder().ask_servers(&config.nameservers, name, wanted).await
        };
        match told {
            Ok(told) if matches!(told.code, ResponseCode::NoError | ResponseCode::NXDomain) => {
                found.extend(told.answers.iter().filter_map(|record| record.data.ip_addr()));
            }
            Ok(told) => failure = Some(io::Error::other(told.code.to_str())),
            Err(error) => failure = Some(io::Error::other(error)),
        }
    }
    match failure {
        Some(error) if found.is_empty() => Err(error),
        _ => Ok(found),
    }
}

/// The names that a resolver would try, in order.
fn candidates(name: &str, config: &DnsConfig) -> impl Iterator<Item = Name> {
    let ndots =
        config.options.iter().find_map(|option| option.strip_prefix("ndots:")?.parse().ok()).unwrap_or(1);
    let is_absolute = name.ends_with('.');
    let is_first = is_absolute || name.matches('.').count() >= ndots;
    let domains = if is_absolute { &[] } else { &config.searches[..] };
    let as_it_is = |wanted: bool| wanted.then(|| name.to_owned()).into_iter();
    let searched = domains.iter().map(move |domain| format!("{name}.{domain}"));
    as_it_is(is_first).chain(searched).chain(as_it_is(!is_first)).filter_map(|text| {
        let mut name = Name::from_ascii(text).ok()?;
        name.set_fqdn(true);
        Some(name)
    })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("web", &["web.shop.svc.cluster.local.", "web.cluster.local.", "web."])]
    #[case("web.shop", &["web.shop.shop.svc.cluster.local.", "web.shop.cluster.local.", "web.shop."])]
    #[case("a.b.c", &["a.b.c.", "a.b.c.shop.svc.cluster.local.", "a.b.c.cluster.local."])]
    #[case("web.", &["web."])]
    #[case("not..one", &[])]
    fn short_names_are_searched_first(#[case] name: &str, #[case] expected: &[&str]) {
        let config = DnsConfig {
            searches: ["shop.svc.cluster.local", "cluster.local"].map(str::to_owned).into(),
            options: vec!["ndots:2".to_owned()],
            ..DnsConfig::default()
        };
        let names: Vec<String> = candidates(name, &config).map(|name| name.to_string()).collect();
        assert_eq!(names, expected);
    }
}
