//! A node closed by `kubectl cordon` takes only Pods that tolerate it.

use k8s_openapi::api::core::v1::Taint;

use super::taint_toleration::tolerates;
use super::{Change, Filter, Misfit};
use crate::cluster::NodeInfo;
use crate::pod::PodInfo;

const REASON: &str = "node(s) were unschedulable";
const TAINT: &str = "node.kubernetes.io/unschedulable";

pub(super) const FILTER: Filter =
    Filter { name: "NodeUnschedulable", fits, helped_by: &[Change::NodeTaints] };

fn fits(pod: &PodInfo, node: &NodeInfo) -> Result<(), Misfit> {
    if !node.is_unschedulable() {
        return Ok(());
    }
    let taint = Taint { key: TAINT.to_owned(), effect: "NoSchedule".to_owned(), ..Taint::default() };
    if pod.tolerations.iter().any(|toleration| tolerates(toleration, &taint)) {
        return Ok(());
    }
    Err(Misfit::one(REASON, true))
}
