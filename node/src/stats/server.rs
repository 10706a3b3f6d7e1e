//! The routes.

use std::path::PathBuf;
use std::sync::Arc;

use axum::extract::State;
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use futures::future::join_all;
use http::header;
use k8s_openapi::List;
use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ListMeta, ObjectMeta};
use rustix::fs::statvfs;
use serde_json::Value;
use wherry_ingress::Metrics;

use super::rates::Rates;
use super::snapshot::{Snapshot, take};
use super::summary::{DiskUsage, Surroundings, Taken};
use super::{cadvisor, host, ingress, kubelet, probes, resource, services, summary};
use crate::config::Config;
use crate::containers::Running;
use crate::context::Context;
use crate::pods::{self, PodIndex};
use crate::registration::Machine;

/// As Prometheus names its text format.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What answers need.
#[derive(Clone)]
pub(crate) struct StatsState {
    ctx: Arc<Context>,
    pods: PodIndex,
    machine: Arc<Machine>,
    data_dir: PathBuf,
    settings: Arc<Value>,
    ingress: Option<Arc<Metrics>>,
    rates: Arc<Rates>,
}

impl StatsState {
    /// Answers for this node.
    pub(crate) fn new(
        ctx: Arc<Context>,
        pods: PodIndex,
        machine: Machine,
        config: &Config,
        ingress: Option<Arc<Metrics>>,
    ) -> Self {
        let settings = Arc::new(kubelet::settings(config));
        Self {
            ctx,
            pods,
            machine: Arc::new(machine),
            data_dir: config.data_dir.clone(),
            settings,
            ingress,
            rates: Arc::default(),
        }
    }

    async fn snapshot(&self) -> Snapshot {
        take(&self.ctx, &self.pods).await
    }

    /// What every Pod takes of the disk, and how full its other volumes are.
    async fn taken(&self, snapshot: &Snapshot) -> DiskUsage {
        let mut found = self.disk_usage(snapshot).await;
        let asked = snapshot.pods.iter().map(|figures| self.ctx.csi.fullness(&figures.pod));
        for (figures, of_drivers) in snapshot.pods.iter().zip(join_all(asked).await) {
            found.entry(figures.uid().to_owned()).or_default().of_drivers = of_drivers;
        }
        found
    }

    /// What every Pod takes of the disk.
    async fn disk_usage(&self, snapshot: &Snapshot) -> DiskUsage {
        let mut found = DiskUsage::new();
        for figures in &snapshot.pods {
            let running = self.ctx.containers.of_pod(figures.uid()).into_iter().filter(Running::is_running);
            let containers = running.map(|it| (it.status.id, it.handler)).collect();
            if let Some(own) = pods::disk_usage(self.ctx.clone(), figures.pod.clone(), containers).await {
                found.insert(figures.uid().to_owned(), Taken { own, of_drivers: Vec::new() });
            }
        }
        found
    }
}

/// The routes.
pub(crate) fn router(state: StatsState) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok"))
        .route("/metrics", get(metrics))
        .route("/metrics/resource", get(resource_metrics))
        .route("/metrics/cadvisor", get(cadvisor_metrics))
        .route("/metrics/probes", get(probe_metrics))
        .route("/stats/summary", get(stats_summary))
        .route("/pods", get(list_pods))
        .route("/runningpods/", get(list_running_pods))
        .route("/configz", get(configz))
        .with_state(state)
}

fn text(page: String) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, TEXT)], page)
}

async fn metrics(State(state): State<StatsState>) -> impl IntoResponse {
    let containers: Vec<Vec<Running>> =
        state.ctx.containers.pods().iter().map(|uid| state.ctx.containers.of_pod(uid)).collect();
    let page = kubelet::page(&state.ctx.node_name, &containers);
    let page = page + &services::page(&state.ctx.service_syncs.counted());
    let page = page + &services::in_process(state.ctx.in_process.requests());
    text(state.ingress.iter().fold(page, |page, counted| page + &ingress::page(counted)))
}

async fn resource_metrics(State(state): State<StatsState>) -> impl IntoResponse {
    text(resource::page(&state.snapshot().await))
}

async fn cadvisor_metrics(State(state): State<StatsState>) -> impl IntoResponse {
    let snapshot = state.snapshot().await;
    let taken = state.disk_usage(&snapshot).await;
    let size = statvfs(&state.data_dir).ok();
    let disk = size.map(|size| cadvisor::Disk { device: host::device_of(&state.data_dir), size });
    text(cadvisor::page(&snapshot, (disk.as_ref(), &taken), &state.machine))
}

async fn probe_metrics(State(state): State<StatsState>) -> impl IntoResponse {
    text(probes::page(&state.pods.all(), &state.ctx.probe_tallies))
}

async fn stats_summary(State(state): State<StatsState>) -> Json<Value> {
    let snapshot = state.snapshot().await;
    let taken = state.taken(&snapshot).await;
    let around = Surroundings {
        node_name: &state.ctx.node_name,
        memory: state.machine.memory,
        disk: statvfs(&state.data_dir).ok(),
        taken: &taken,
        rates: &state.rates,
    };
    Json(summary::of(&snapshot, &around))
}

async fn list_pods(State(state): State<StatsState>) -> Json<List<Pod>> {
    let items = state.pods.all().iter().map(|pod| Pod::clone(pod)).collect();
    Json(List { items, metadata: ListMeta::default() })
}

/// What runs, whatever the API says: of each Pod its name and the containers that run.
async fn list_running_pods(State(state): State<StatsState>) -> Json<List<Pod>> {
    let running = |pod: &Arc<Pod>| {
        let uid = pod.metadata.uid.as_deref().unwrap_or_default();
        let all = state.ctx.containers.of_pod(uid);
        let runs = |name: &str| all.iter().any(|it| it.is_running() && it.status.id.name == name);
        let spec = pod.spec.iter();
        let known = spec.flat_map(|spec| spec.init_containers.iter().flatten().chain(&spec.containers));
        let one = |container: &Container| Container {
            name: container.name.clone(),
            image: container.image.clone(),
            ..Container::default()
        };
        let containers: Vec<_> = known.filter(|container| runs(&container.name)).map(one).collect();
        if containers.is_empty() {
            return None;
        }
        let ObjectMeta { name, namespace, uid, .. } = pod.metadata.clone();
        let metadata = ObjectMeta { name, namespace, uid, ..ObjectMeta::default() };
        Some(Pod { metadata, spec: Some(PodSpec { containers, ..PodSpec::default() }), status: None })
    };
    let items = state.pods.all().iter().filter_map(running).collect();
    Json(List { items, metadata: ListMeta::default() })
}

async fn configz(State(state): State<StatsState>) -> Json<Value> {
    Json(Value::clone(&state.settings))
}
