//! How the part that says what nodes and Pods use is reached: as a server of another group is, but without a connection.
//!
//! The API server settles who asks and whether they may, then hands the request over; the answer is worked out by a client
//! of the API. An APIService that names a Service takes the group over.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use futures::FutureExt as _;
use http::{Response, StatusCode};
use k8s_openapi::api::rbac::v1::ClusterRoleBinding;
use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::APIService;
use kube::api::DeleteParams;
use kube::{Api, Client};
use serde_json::json;
use wherry_apiserver::{HostedVersion, UserInfo};
use wherry_metrics::{GROUP, MetricsServer, VERSION};

use crate::bootstrap::create_all;
use crate::policy;

/// In whose name nodes are asked.
const USER: &str = "system:metrics-server";
/// What lets this user ask them.
const ROLE: &str = "wherry:metrics-server";
/// As metrics-server's manifest has them.
const PRIORITIES: (i64, i64) = (100, 100);

/// The place where the API server finds the part that answers, which is a client of that server.
#[derive(Default)]
pub(crate) struct UsageMetrics(Arc<OnceLock<MetricsServer>>);

impl UsageMetrics {
    /// What the API server hands requests to. It does not keep alive what answers them, which holds the API server.
    pub(crate) fn version(&self) -> HostedVersion {
        let server = Arc::downgrade(&self.0);
        let answer = Arc::new(move |request| {
            let server = server.upgrade();
            async move {
                match server.as_ref().and_then(|server| server.get()) {
                    Some(server) => server.answer(request).await,
                    None => not_yet(),
                }
            }
            .boxed()
        });
        HostedVersion { group: GROUP, version: VERSION, priorities: PRIORITIES, answer }
    }

    /// Has requests answered from now on.
    pub(crate) fn serve(&self, server: MetricsServer) {
        // Only the first counts, and there is one.
        let _second = self.0.set(server);
    }
}

fn not_yet() -> Response<Bytes> {
    let mut response = Response::new(Bytes::from_static(b"the metrics server is not running\n"));
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    response
}

/// Who asks nodes what they use.
pub(crate) fn user() -> UserInfo {
    UserInfo::new(USER, &["system:authenticated"])
}

/// Creates what makes the group known and who may use it, under the names that metrics-server's manifest has; without
/// `metrics`, takes back that it is served here.
pub(crate) async fn bootstrap(client: &Client, metrics: bool) -> Result<(), kube::Error> {
    let name = format!("{VERSION}.{GROUP}");
    if !metrics {
        return forget(&Api::all(client.clone()), &name).await;
    }
    let service = json!({
        "metadata": {"name": name, "labels": {"kube-aggregator.kubernetes.io/automanaged": "onstart"}},
        "spec": {
            "group": GROUP, "version": VERSION, "groupPriorityMinimum": PRIORITIES.0, "versionPriority": PRIORITIES.1,
        },
    });
    let aggregate = |to| (format!("rbac.authorization.k8s.io/aggregate-to-{to}"), json!("true"));
    let labels: serde_json::Map<_, _> = ["admin", "edit", "view"].map(aggregate).into_iter().collect();
    let reader = json!({
        "metadata": {"name": "system:aggregated-metrics-reader", "labels": labels},
        "rules": [{"apiGroups": [GROUP], "resources": ["pods", "nodes"], "verbs": ["get", "list", "watch"]}],
    });
    let role = json!({
        "metadata": {"name": ROLE},
        "rules": [
            {"apiGroups": [""], "resources": ["pods", "nodes"], "verbs": ["get", "list"]},
            {"apiGroups": [""], "resources": ["nodes/proxy"], "verbs": ["get"]},
        ],
    });
    let binding = json!({
        "metadata": {"name": ROLE},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": ROLE},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": USER}],
    });
    futures::try_join!(
        create_all::<APIService>(client, service),
        policy::role(client, reader),
        policy::role(client, role),
        create_all::<ClusterRoleBinding>(client, binding),
    )
    .map(drop)
}

/// Removes the APIService, unless it names another server.
async fn forget(api: &Api<APIService>, name: &str) -> Result<(), kube::Error> {
    let found = api.get_opt(name).await?;
    if found.and_then(|found| found.spec).is_some_and(|spec| spec.service.is_none()) {
        api.delete(name, &DeleteParams::default()).await?;
    }
    Ok(())
}
