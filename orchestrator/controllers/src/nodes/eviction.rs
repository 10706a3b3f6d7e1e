//! Which Pods a node's NoExecute taints drive away, and when.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Pod, Taint, Toleration};

use super::health::{NOT_READY, UNREACHABLE};
use crate::objects::placement::tolerates;

/// How long a Pod that says nothing of it stays on a node that is not ready or not reachable. Upstream writes
/// this toleration into every Pod at admission.
const PATIENCE: SignedDuration = SignedDuration::from_secs(300);

/// When the Pod has to go: `None` if it may stay.
pub(super) fn evict_at(pod: &Pod, taints: &[Taint]) -> Option<Timestamp> {
    let tolerations = pod.spec.as_ref().and_then(|spec| spec.tolerations.as_deref()).unwrap_or_default();
    taints
        .iter()
        .filter(|taint| taint.effect == "NoExecute")
        .filter_map(|taint| until(taint, tolerations))
        .min()
}

fn until(taint: &Taint, tolerations: &[Toleration]) -> Option<Timestamp> {
    let since = taint.time_added.as_ref().map_or(Timestamp::UNIX_EPOCH, |time| time.0);
    let mut matching = tolerations.iter().filter(|toleration| tolerates(toleration, taint)).peekable();
    let patience = if matching.peek().is_none() {
        let is_about_health = taint.key == NOT_READY || taint.key == UNREACHABLE;
        if is_about_health { PATIENCE } else { SignedDuration::ZERO }
    } else {
        // Of several tolerations the least patient holds; one without a limit sets none.
        let seconds = matching.filter_map(|toleration| toleration.toleration_seconds).min()?;
        SignedDuration::from_secs(seconds.max(0))
    };
    Some(since.saturating_add(patience).unwrap_or(Timestamp::MAX))
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::PodSpec;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use rstest::rstest;

    use super::*;

    fn toleration(key: &str, seconds: Option<i64>) -> Toleration {
        Toleration {
            key: Some(key.into()).filter(|key: &String| !key.is_empty()),
            operator: Some("Exists".into()),
            toleration_seconds: seconds,
            ..Toleration::default()
        }
    }

    #[rstest]
    #[case::nothing_said_of_health(UNREACHABLE, vec![], Some(1300))]
    #[case::nothing_said_of_another("example.com/drain", vec![], Some(1000))]
    #[case::some_time(UNREACHABLE, vec![toleration(UNREACHABLE, Some(10))], Some(1010))]
    #[case::the_least_patient(UNREACHABLE, vec![toleration("", Some(60)), toleration(UNREACHABLE, Some(5))], Some(1005))]
    #[case::for_ever(UNREACHABLE, vec![toleration("", None)], None)]
    #[case::another_taint("example.com/drain", vec![toleration(UNREACHABLE, None)], Some(1000))]
    fn leaves(#[case] key: &str, #[case] tolerations: Vec<Toleration>, #[case] expected: Option<i64>) {
        let spec = PodSpec { tolerations: Some(tolerations), ..PodSpec::default() };
        let pod = Pod { spec: Some(spec), ..Pod::default() };
        let taint = Taint {
            key: key.into(),
            effect: "NoExecute".into(),
            time_added: Some(Time(Timestamp::from_second(1000).unwrap())),
            value: None,
        };
        assert_eq!(evict_at(&pod, &[taint]).map(Timestamp::as_second), expected);
        let harmless = Taint { key: key.into(), effect: "NoSchedule".into(), ..Taint::default() };
        assert_eq!(evict_at(&pod, &[harmless]), None);
    }
}
