//! The rules of ClusterRoles that are the sum of others.
//!
//! Flow: whenever a ClusterRole changes, every role with an `aggregationRule` is looked at again. Its rules become those
//! of the roles that its selectors choose, in the order of the selectors and of their names, each rule once. Roles that
//! are sums themselves take part with the rules they have by then, so that sums of sums settle in a few rounds.

use std::sync::Arc;

use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule};
use kube::api::{Patch, PatchParams};
use kube::core::SelectorExt;
use kube::{Api, Client, ResourceExt};
use serde_json::json;

use crate::context::{Caches, Context};
use crate::objects::meta::{labels, selector};
use crate::runtime::error::{ReconcileError, Step, is_not_found};
use crate::runtime::queue::Queue;
use crate::runtime::worker::{Controller, Next};

/// Who owns the rules of sums.
const MANAGER: &str = "clusterrole-aggregation-controller";

/// Keys are names of ClusterRoles.
pub(crate) struct ClusterRoleController {
    client: Client,
    caches: Arc<Caches>,
}

impl Controller for ClusterRoleController {
    const NAME: &'static str = MANAGER;
    type Key = String;

    fn new(context: &Context, queue: &Arc<Queue<String>>) -> Self {
        let (wake, caches) = (queue.clone(), context.caches.clone());
        context.caches.cluster_roles.on_change(move |_| {
            let sums = caches.cluster_roles.all().into_iter().filter(|role| role.aggregation_rule.is_some());
            sums.for_each(|role| wake.add(role.name_any()));
        });
        Self { client: context.client.clone(), caches: context.caches.clone() }
    }

    async fn reconcile(&self, name: &String) -> Result<Next, ReconcileError> {
        let Some(role) = self.caches.cluster_roles.get_global(name) else { return Ok(Next::OnChange) };
        let Some(rules) = plan(&role, self.caches.cluster_roles.all())? else { return Ok(Next::OnChange) };
        let applied = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
            "metadata": {"name": name}, "rules": rules,
        });
        let api = Api::<ClusterRole>::all(self.client.clone());
        let params = PatchParams::apply(MANAGER).force();
        match api.patch(name, &params, &Patch::Apply(applied)).await {
            Err(error) if is_not_found(&error) => {}
            written => self.caches.cluster_roles.note(written.step("writing the rules of a role")?),
        }
        Ok(Next::OnChange)
    }
}

/// The rules that a role should have, if it is a sum and has others.
fn plan(
    role: &ClusterRole,
    mut all: Vec<Arc<ClusterRole>>,
) -> Result<Option<Vec<PolicyRule>>, ReconcileError> {
    let Some(sum) = &role.aggregation_rule else { return Ok(None) };
    all.sort_by_key(|one| one.name_any());
    let mut rules: Vec<PolicyRule> = Vec::new();
    for chosen in sum.cluster_role_selectors.iter().flatten() {
        let chosen = selector(chosen)?;
        let others = all.iter().filter(|one| one.metadata.name != role.metadata.name);
        for part in others.filter(|one| chosen.matches(labels(&one.metadata))) {
            for rule in part.rules.iter().flatten() {
                if !rules.contains(rule) {
                    rules.push(rule.clone());
                }
            }
        }
    }
    let same = role.rules.as_deref().unwrap_or_default() == rules;
    Ok((!same).then_some(rules))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn role(name: &str, more: &Value) -> Arc<ClusterRole> {
        let mut role = json!({"metadata": {"name": name, "labels": {"part": name}}});
        for (key, value) in more.as_object().unwrap() {
            role[key] = value.clone();
        }
        Arc::new(serde_json::from_value(role).unwrap())
    }

    fn rule(resource: &str) -> Value {
        json!({"verbs": ["get"], "apiGroups": [""], "resources": [resource]})
    }

    fn resources(rules: Option<Vec<PolicyRule>>) -> Option<Vec<String>> {
        Some(rules?.into_iter().map(|rule| rule.resources.unwrap().join(",")).collect())
    }

    fn sum(rules: &[Value]) -> Arc<ClusterRole> {
        let selectors = json!([{"matchLabels": {"part": "c"}}, {"matchExpressions": [{"key": "part",
            "operator": "In", "values": ["b", "a", "c", "sum"]}]}]);
        role("sum", &json!({"rules": rules, "aggregationRule": {"clusterRoleSelectors": selectors}}))
    }

    #[test]
    fn a_sum_has_each_rule_of_its_parts_once_in_the_order_of_selectors_and_names() {
        let parts = |sum: &Arc<ClusterRole>| {
            vec![
                role("b", &json!({"rules": [rule("pods"), rule("nodes")]})),
                role("a", &json!({"rules": [rule("nodes")]})),
                role("c", &json!({"rules": [rule("secrets")]})),
                role("other", &json!({"rules": [rule("services")]})),
                sum.clone(),
            ]
        };
        let fresh = sum(&[rule("own")]);
        let expected = ["secrets", "nodes", "pods"].map(str::to_owned).to_vec();
        assert_eq!(resources(plan(&fresh, parts(&fresh)).unwrap()), Some(expected));
        let settled = sum(&[rule("secrets"), rule("nodes"), rule("pods")]);
        assert_eq!(plan(&settled, parts(&settled)).unwrap(), None);
        let alone = sum(&[rule("own")]);
        assert_eq!(plan(&alone, vec![alone.clone()]).unwrap(), Some(Vec::new()));
    }

    #[test]
    fn a_role_that_is_no_sum_stays_as_it_is() {
        let plain = role("a", &json!({"rules": [rule("pods")]}));
        assert_eq!(plan(&plain, vec![plain.clone()]).unwrap(), None);
    }
}
