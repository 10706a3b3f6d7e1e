//! The part of `/metrics` about Services, under the names of kube-proxy.

use super::exposition::{Kind, Page, seconds};
use crate::services::{Counted, limit};

const IN_PROCESS: &str = "wherry_in_process_requests_total";
const SYNC: &str = "kubeproxy_sync_proxy_rules_duration_seconds";

/// The families.
pub(super) fn page(counted: &Counted) -> String {
    let mut page = Page::default();
    page.family(SYNC, Kind::Histogram, "[ALPHA] SyncProxyRules latency in seconds");
    let nanos = |time: std::time::Duration| seconds(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    for (bucket, count) in counted.within.iter().enumerate() {
        let limit = nanos(limit(bucket)).to_string();
        page.sample(&format!("{SYNC}_bucket"), &[("le", &limit)], count, None);
    }
    page.sample(&format!("{SYNC}_bucket"), &[("le", "+Inf")], counted.count, None);
    page.sample(&format!("{SYNC}_sum"), &[], nanos(counted.total), None);
    page.sample(&format!("{SYNC}_count"), &[], counted.count, None);
    page.into_text()
}

/// The family of requests that needed no connection.
pub(super) fn in_process(requests: u64) -> String {
    let mut page = Page::default();
    let what = "Requests of wasm containers and Ingresses that were handed to wasm containers of this node without a connection";
    page.family(IN_PROCESS, Kind::Counter, what);
    page.sample(IN_PROCESS, &[], requests, None);
    page.into_text()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_histogram_counts_what_is_below_each_limit() {
        let mut counted = Counted { count: 2, total: Duration::from_millis(1_503), ..Counted::default() };
        counted.within[2..].fill(1);
        counted.within[11..].fill(2);
        let page = page(&counted);
        for line in [
            "_bucket{le=\"0.002\"} 0\n",
            "_bucket{le=\"0.004\"} 1\n",
            "_bucket{le=\"2.048\"} 2\n",
            "_bucket{le=\"+Inf\"} 2\n",
            "_sum 1.503\n",
            "_count 2\n",
        ] {
            assert!(page.contains(&format!("{SYNC}{line}")), "{line} {page}");
        }
    }
}
