//! The part of `/metrics` about the Ingress controller.

use wherry_ingress::Metrics;

use super::exposition::{Kind, Page, seconds};

const REQUESTS: &str = "wherry_ingress_requests_total";
const TIME: &str = "wherry_ingress_request_seconds_total";

/// The families.
pub(super) fn page(metrics: &Metrics) -> String {
    let mut page = Page::default();
    let routes = metrics.routes();
    let mut family = |name: &str, help: &str, value: &dyn Fn(usize) -> String| {
        page.family(name, Kind::Counter, help);
        for (at, (rule, status, _)) in routes.iter().enumerate() {
            page.sample(name, &[("code", &status.to_string()), ("rule", rule)], value(at), None);
        }
    };
    let help = "Requests by the object whose rule they met (none for those that met no rule) and by the status of the answer.";
    family(REQUESTS, help, &|at| routes[at].2.requests.to_string());
    let nanos = |at: usize| u64::try_from(routes[at].2.time.as_nanos()).unwrap_or(u64::MAX);
    family(TIME, "How long they took, to the end of their answers.", &|at| seconds(nanos(at)).to_string());
    for (name, help, value) in [
        ("wherry_ingress_connections_total", "Connections of clients.", metrics.connections()),
        ("wherry_ingress_retries_total", "Requests that were tried at another endpoint.", metrics.retries()),
        (
            "wherry_ingress_ejections_total",
            "Endpoints that began to be passed over, because they could not be reached.",
            metrics.ejections(),
        ),
    ] {
        page.family(name, Kind::Counter, help);
        page.sample(name, &[], value, None);
    }
    page.into_text()
}
