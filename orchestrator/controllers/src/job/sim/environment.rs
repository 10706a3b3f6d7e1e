//! What happens to Pods by themselves.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::PodStatus;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::api::{Api, State};
use crate::objects::pods::{is_terminal, is_terminating};

/// When Pods are told to go.
pub(super) fn some_time() -> Time {
    Time(Timestamp::from_second(1_000_000).unwrap())
}

impl Api {
    /// Lets one Pod come a step further.
    pub(super) fn live(&self, now: Timestamp) {
        self.change(|state| live(state, now));
    }
}

fn live(state: &mut State, now: Timestamp) {
    let going: Vec<_> = state.pods.values().filter(|pod| !is_terminal(pod) || is_terminating(pod)).collect();
    let count = u64::try_from(going.len()).unwrap();
    if count == 0 {
        return;
    }
    let ids: Vec<String> = going.iter().filter_map(|pod| pod.metadata.uid.clone()).collect();
    let at = usize::try_from(state.draw(count)).unwrap();
    let mut pod = state.pods[&ids[at]].clone();
    let phase = match (is_terminal(&pod), is_terminating(&pod), state.draw(8)) {
        (true, ..) => return,
        (false, true, _) | (false, false, 0) => "Failed",
        // Somebody else deletes it.
        (false, false, 1) => {
            pod.metadata.deletion_timestamp = Some(some_time());
            pod.metadata.creation_timestamp = Some(Time(now));
            return state.put(pod);
        }
        (false, false, 2..=5) => "Succeeded",
        (false, false, _) => "Running",
    };
    pod.status = Some(PodStatus { phase: Some(phase.to_owned()), ..PodStatus::default() });
    pod.metadata.creation_timestamp = Some(Time(now));
    state.put(pod);
}
