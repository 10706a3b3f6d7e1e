//! How soon Services have their endpoints.

use std::time::Duration;

use serde_json::{Value, json};
use wherry_tests::pods::{IDLE, shell};
use wherry_tests::{Cluster, wait};

const SERVICES: usize = 100;

/// [sig-network] Service endpoints latency should not be very high: at most 20 s for half of them, and 50 s for nine in ten.
pub(crate) fn service_endpoint_latency_thresholds(cluster: &Cluster) {
    let spec = json!({ "terminationGracePeriodSeconds": 0, "containers": [shell("main", IDLE)] });
    cluster.run_pod("latency", &spec);
    cluster.wait_for("condition=Ready", &["pod/latency"]);
    let service = |number: usize| {
        format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: latency-{number}, labels: {{of: latency}}}}\nspec:\n  \
             selector: {{app: latency}}\n  ports: [{{port: 80}}]\n"
        )
    };
    cluster.apply(&(0..SERVICES).map(service).collect::<Vec<_>>().join("---\n"));
    for (count, more_seconds) in [(SERVICES / 2, 20), (SERVICES * 9 / 10, 30)] {
        let served = wait::within(Duration::from_secs(more_seconds), || {
            let found = with_endpoint(cluster);
            if found >= count { Ok(()) } else { Err(found) }
        });
        assert_eq!(served, Ok(()), "{count} Services have an endpoint");
    }
    cluster.kubectl(&["delete", "services", "-l", "of=latency"]);
}

/// How many of the Services have a ready endpoint.
fn with_endpoint(cluster: &Cluster) -> usize {
    let slices = cluster.get(&["endpointslices", "-l", "of=latency"]);
    let is_served = |slice: &&Value| slice["endpoints"][0]["conditions"]["ready"] == true;
    slices["items"].as_array().into_iter().flatten().filter(is_served).count()
}
