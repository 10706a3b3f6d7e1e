//! The PodDisruptionBudgets: how many more Pods of each set may be ended.

use std::collections::{BTreeSet, HashMap};

use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::core::{Selector, SelectorExt};

use crate::cluster::Placed;

struct Budget {
    selector: Selector,
    allowed: i32,
    /// Pods that the API server has let go already, by name.
    disrupted: BTreeSet<String>,
}

/// See the module's documentation.
#[derive(Default)]
pub(crate) struct Budgets {
    /// By namespace and name.
    all: HashMap<String, HashMap<String, Budget>>,
}

impl Budgets {
    /// Takes over a budget as it is now. One whose selector is none, or selects nothing by being empty, counts for nobody.
    pub(crate) fn set(&mut self, budget: &PodDisruptionBudget) {
        let (namespace, name) = key(budget);
        let spec = budget.spec.as_ref();
        let selector = spec.and_then(|spec| spec.selector.clone()).and_then(|of| Selector::try_from(of).ok());
        let Some(selector) = selector.filter(|selector| !selector.selects_all()) else {
            self.remove(&namespace, &name);
            return;
        };
        let status = budget.status.as_ref();
        let disrupted = status.and_then(|status| status.disrupted_pods.as_ref());
        let budget = Budget {
            selector,
            allowed: status.and_then(|status| status.disruptions_allowed).unwrap_or(0),
            disrupted: disrupted.into_iter().flatten().map(|(pod, _)| pod.clone()).collect(),
        };
        self.all.entry(namespace).or_default().insert(name, budget);
    }

    /// Forgets a budget.
    pub(crate) fn remove(&mut self, namespace: &str, name: &str) {
        if let Some(budgets) = self.all.get_mut(namespace) {
            budgets.remove(name);
            if budgets.is_empty() {
                self.all.remove(namespace);
            }
        }
    }

    /// Which of these Pods, ended in this order, some budget would not let go.
    pub(super) fn violated<'p>(&self, pods: impl Iterator<Item = &'p Placed>) -> Vec<bool> {
        let mut spent = HashMap::<(&str, &str), i32>::new();
        pods.map(|pod| self.spend(pod, &mut spent)).collect()
    }

    fn spend<'s>(&'s self, pod: &Placed, spent: &mut HashMap<(&'s str, &'s str), i32>) -> bool {
        let (namespace, labels) = (&pod.template.namespace, &pod.template.labels);
        let Some((namespace, budgets)) = self.all.get_key_value(namespace).filter(|_| !labels.is_empty())
        else {
            return false;
        };
        let mut is_violated = false;
        for (name, budget) in budgets {
            if budget.disrupted.contains(&*pod.name) || !budget.selector.matches(labels) {
                continue;
            }
            let spent = spent.entry((namespace, name)).or_default();
            *spent += 1;
            is_violated |= *spent > budget.allowed;
        }
        is_violated
    }
}

fn key(budget: &PodDisruptionBudget) -> (String, String) {
    let meta = &budget.metadata;
    (meta.namespace.clone().unwrap_or_default(), meta.name.clone().unwrap_or_default())
}
