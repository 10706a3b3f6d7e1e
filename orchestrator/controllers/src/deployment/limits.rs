//! How far a rolling update may go above and below the wanted number of Pods.

use k8s_openapi::api::apps::v1::{Deployment, RollingUpdateDeployment};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::objects::intstr::scaled;

/// The bounds of a rollout, in Pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    pub(super) max_surge: i32,
    pub(super) max_unavailable: i32,
}

/// Whether all old Pods go before the first new one comes.
pub(super) fn is_recreate(deployment: &Deployment) -> bool {
    let strategy = deployment.spec.as_ref().and_then(|spec| spec.strategy.as_ref());
    strategy.and_then(|strategy| strategy.type_.as_deref()) == Some("Recreate")
}

/// How many Pods are wanted.
pub(super) fn replicas(deployment: &Deployment) -> i32 {
    deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1)
}

/// Resolves the Deployment's limits: percentages of a surge round up, those of a loss round down, and if
/// both come to nothing one Pod may be missing, or nothing could ever move.
pub(super) fn limits(deployment: &Deployment) -> Limits {
    if is_recreate(deployment) {
        return Limits { max_surge: 0, max_unavailable: 0 };
    }
    let strategy = deployment.spec.as_ref().and_then(|spec| spec.strategy.as_ref());
    let RollingUpdateDeployment { max_surge, max_unavailable } =
        strategy.and_then(|strategy| strategy.rolling_update.clone()).unwrap_or_default();
    let wanted = replicas(deployment);
    let surge = resolve(max_surge.as_ref(), wanted, true);
    let unavailable = resolve(max_unavailable.as_ref(), wanted, false);
    let unavailable = if surge == 0 && unavailable == 0 { 1 } else { unavailable };
    Limits { max_surge: surge, max_unavailable: unavailable.min(wanted) }
}

fn resolve(limit: Option<&IntOrString>, of: i32, round_up: bool) -> i32 {
    let quarter = IntOrString::String("25%".to_owned());
    scaled(limit.unwrap_or(&quarter), of, round_up)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::apps::v1::{DeploymentSpec, DeploymentStrategy};
    use rstest::rstest;

    use super::*;

    fn value(text: &str) -> IntOrString {
        text.parse().map_or_else(|_| IntOrString::String(text.to_owned()), IntOrString::Int)
    }

    #[rstest]
    #[case("25%", "25%", 10, 3, 2)]
    #[case("25%", "25%", 1, 1, 0)]
    #[case("0", "0", 4, 0, 1)]
    #[case("0", "10%", 4, 0, 1)]
    #[case("1", "0", 4, 1, 0)]
    #[case("100%", "100%", 3, 3, 3)]
    #[case("2", "9", 3, 2, 3)]
    #[case("25%", "25%", 0, 0, 0)]
    #[case("nonsense", "1", 3, 0, 1)]
    fn resolves(
        #[case] surge: &str,
        #[case] unavailable: &str,
        #[case] wanted: i32,
        #[case] max_surge: i32,
        #[case] max_unavailable: i32,
    ) {
        let rolling_update = RollingUpdateDeployment {
            max_surge: Some(value(surge)),
            max_unavailable: Some(value(unavailable)),
        };
        let strategy = DeploymentStrategy { type_: None, rolling_update: Some(rolling_update) };
        let spec =
            DeploymentSpec { replicas: Some(wanted), strategy: Some(strategy), ..DeploymentSpec::default() };
        let deployment = Deployment { spec: Some(spec), ..Deployment::default() };
        assert_eq!(limits(&deployment), Limits { max_surge, max_unavailable });
    }
}
