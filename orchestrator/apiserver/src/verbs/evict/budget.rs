//! The disruption budgets of a Pod, as an eviction sees them.

use std::sync::Arc;

use wherry_api::kinds::{self, Kind};
use wherry_schema::Value;
use wherry_store::{Entry, Precondition, TxnError};

use crate::error::{Failure, Told};
use crate::object::{self, Fields};
use crate::validation::template::selects;
use crate::verbs::Cx;

/// More evictions than this that the controller has not seen yet are too many.
const MOST_DISRUPTED: usize = 2000;
const REFUSED: &str = "Cannot evict pod as it would violate the pod's disruption budget.";

/// The budgets that are about a Pod.
pub(super) struct Budgets(Vec<Budget>);

/// One budget as it was read.
pub(super) struct Budget {
    entry: Arc<Entry>,
    object: Value,
}

fn kind() -> &'static Kind {
    kinds::by_kind("policy", "v1", "PodDisruptionBudget").expect("the kinds table has budgets")
}

/// The context of budgets in the Pod's namespace.
fn context<'a>(cx: &Cx<'a>) -> Cx<'a> {
    Cx::new(cx.state, kind(), cx.namespace)
}

impl Budgets {
    /// Those that select the Pod.
    pub(super) async fn of(cx: &Cx<'_>, pod: &Value) -> Result<Self, Failure> {
        let (budgets, labels) = (context(cx), pod.map("metadata.labels"));
        let entries: Vec<Arc<Entry>> =
            cx.state.store.snapshot().range(&budgets.prefix(), None).map(Arc::clone).collect();
        let mut found = Vec::new();
        for entry in entries {
            let object = budgets.load(&entry.key, &entry.value).await?;
            if selects(object.field("spec.selector"), labels) {
                found.push(Budget { entry, object });
            }
        }
        Ok(Self(found))
    }

    /// The only one, if there is one.
    pub(super) fn only(mut self) -> Result<Option<Budget>, Failure> {
        if self.0.len() > 1 {
            return Err(Failure::Told(Box::new(Told {
                code: 500,
                reason: String::new(),
                message:
                    "This pod has more than one PodDisruptionBudget, which the eviction subresource does not \
                          support."
                        .to_owned(),
                details: None,
            })));
        }
        Ok(self.0.pop())
    }
}

impl Budget {
    fn name(&self) -> &str {
        object::name(&self.object)
    }

    fn count(&self, field: &str) -> i64 {
        self.object.int(&format!("status.{field}")).unwrap_or(0)
    }

    /// Whether a Pod that is not ready may go whatever the budget has left.
    pub(super) fn spares_unhealthy(&self) -> bool {
        let (healthy, desired) = (self.count("currentHealthy"), self.count("desiredHealthy"));
        let always = self.object.text("spec.unhealthyPodEvictionPolicy") == "AlwaysAllow";
        always || healthy >= desired && desired > 0
    }

    /// That the budget is about to change.
    pub(super) fn busy(&self) -> Failure {
        refusal(format!("The disruption budget {} is still being processed by the server.", self.name()), 10)
    }

    fn forbidden(&self, why: &str) -> Failure {
        let (group, resource) = (kind().group, "poddisruptionbudget");
        Failure::Forbidden {
            message: format!("{resource}.{group} {:?} is forbidden: {why}", self.name()),
            group: group.to_owned(),
            resource: resource.to_owned(),
            name: self.name().to_owned(),
            causes: Vec::new(),
        }
    }

    fn check(&self) -> Result<(), Failure> {
        if self.count("observedGeneration") < self.object.int("metadata.generation").unwrap_or(0) {
            return Err(self.busy());
        }
        let allowed = self.count("disruptionsAllowed");
        if allowed < 0 {
            return Err(self.forbidden("pdb disruptions allowed is negative"));
        }
        if self.object.map("status.disruptedPods").is_some_and(|noted| noted.len() > MOST_DISRUPTED) {
            let why = "DisruptedPods map too big - too many evictions not confirmed by PDB controller";
            return Err(self.forbidden(why));
        }
        if allowed == 0 {
            let (desired, healthy) = (self.count("desiredHealthy"), self.count("currentHealthy"));
            let name = self.name();
            let why = format!(
                "The disruption budget {name} needs {desired} healthy pods and has {healthy} currently"
            );
            return Err(refusal(why, 0));
        }
        Ok(())
    }

    /// Takes one off what the budget allows and notes the Pod, which must be as it was read; a conflict if the budget or
    /// the Pod was changed by another meanwhile.
    pub(super) async fn take_one(
        mut self,
        cx: &Cx<'_>,
        (pod_entry, pod): (&Entry, &Value),
        dry_run: bool,
    ) -> Result<(), Failure> {
        self.check()?;
        if dry_run {
            return Ok(());
        }
        let (budgets, now) = (context(cx), cx.state.timestamp());
        let left = self.count("disruptionsAllowed") - 1;
        self.object.put("status.disruptionsAllowed", left);
        if left == 0 {
            self.disallow(&now);
        }
        self.object.set(&["status", "disruptedPods", object::name(pod)], now.as_str());
        let encoded = budgets.encode(&self.object).await?;
        let unchanged = |entry: &Entry| Precondition::ModRevision {
            key: entry.key.to_string(),
            revision: entry.mod_revision,
        };
        let preconditions = vec![unchanged(&self.entry), unchanged(pod_entry)];
        match budgets.put(&self.entry.key, &encoded, preconditions).await {
            Ok(_) => Ok(()),
            Err(TxnError::Conflict { .. }) => Err(Failure::modified(kind(), self.name())),
            Err(error) => Err(error.into()),
        }
    }

    /// Says that no more may go.
    fn disallow(&mut self, now: &str) {
        let mut condition = Value::object();
        condition.put("type", "DisruptionAllowed");
        condition.put("status", "False");
        condition.put("observedGeneration", self.count("observedGeneration"));
        condition.put("lastTransitionTime", now);
        condition.put("reason", "InsufficientPods");
        condition.put("message", "");
        let mut conditions = self.object.items("status.conditions").to_vec();
        match conditions.iter_mut().find(|found| found.text("type") == "DisruptionAllowed") {
            None => conditions.push(condition),
            Some(found) => *found = condition,
        }
        self.object.put("status.conditions", conditions);
    }
}

/// 429, with the cause that clients look for.
fn refusal(why: String, retry_after: i64) -> Failure {
    let mut cause = Value::object();
    cause.put("reason", "DisruptionBudget");
    cause.put("message", why);
    let mut details = Value::object();
    details.put("causes", vec![cause]);
    details.put("retryAfterSeconds", retry_after);
    Failure::Told(Box::new(Told {
        code: 429,
        reason: "TooManyRequests".to_owned(),
        message: REFUSED.to_owned(),
        details: Some(details),
    }))
}
