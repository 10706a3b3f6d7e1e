//! What both kinds of policies have, and what bindings say of where they apply.

use wherry_api::kinds::Kind;
use wherry_schema::Value;

use super::expression::{Compiler, Variable};
use super::params::{self, ParamKind, ParamRef};
use crate::admission::dynamic::conditions::{Conditions, FailurePolicy};
use crate::admission::dynamic::{Matcher, Write};
use crate::error::Failure;
use crate::object::{self, Fields};
use crate::state::State;

/// What both kinds of policies have.
#[derive(Debug)]
pub(super) struct Common {
    pub(super) name: String,
    pub(super) fail: FailurePolicy,
    pub(super) variables: Vec<Variable>,
    pub(super) conditions: Conditions,
    matcher: Matcher,
    params: Option<ParamKind>,
}

impl Common {
    /// Compiles a policy, with what compiles its other expressions.
    pub(super) fn compile(policy: &Value) -> (Self, Compiler) {
        let empty = Value::object();
        let spec = policy.field("spec").unwrap_or(&empty);
        let mut compiler = Compiler::composing(spec.has("paramKind"));
        let variables = spec.items("variables").iter();
        let variables =
            variables.map(|v| Variable::new(&mut compiler, v.text("name"), v.text("expression"))).collect();
        let common = Self {
            name: object::name(policy).to_owned(),
            fail: FailurePolicy::of(spec),
            variables,
            conditions: Conditions::compile(spec.items("matchConditions"), &compiler),
            matcher: Matcher::of_policy(spec.field("matchConstraints").unwrap_or(&empty)),
            params: ParamKind::of(spec),
        };
        (common, compiler)
    }

    /// Whether the policy is about a write, and as which row of the kinds table it sees it.
    pub(super) fn matches(&self, write: &Write<'_>) -> Result<Option<&'static Kind>, Failure> {
        self.matcher.matches(write)
    }

    /// Why the policy cannot be used at all.
    pub(super) fn broken(&self, state: &State) -> Option<String> {
        self.params.as_ref().and_then(|kind| kind.row(state).err())
    }

    /// The parameters with which a binding has the policy evaluated; none stands for evaluating it without any.
    pub(super) async fn params(
        &self,
        binding: &Binding,
        write: &Write<'_>,
    ) -> Result<Vec<Option<Value>>, String> {
        params::collect(write.state, self.params.as_ref(), binding.params.as_ref(), &write.namespace).await
    }
}

/// What follows from a policy that is not met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Deny,
    Warn,
    Audit,
}

impl Action {
    /// As bindings call it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Deny => "Deny",
            Self::Warn => "Warn",
            Self::Audit => "Audit",
        }
    }

    /// As metrics call it.
    pub(super) fn counted(self) -> &'static str {
        match self {
            Self::Deny => "deny",
            Self::Warn => "warn",
            Self::Audit => "audit",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        match text {
            "Deny" => Some(Self::Deny),
            "Warn" => Some(Self::Warn),
            "Audit" => Some(Self::Audit),
            _ => None,
        }
    }
}

/// Where a policy applies and with which parameters.
#[derive(Debug)]
pub(super) struct Binding {
    pub(super) name: String,
    /// The name of the policy.
    pub(super) policy: String,
    /// What follows if the policy is not met; nothing in bindings of policies that make changes.
    pub(super) actions: Vec<Action>,
    matcher: Option<Matcher>,
    params: Option<ParamRef>,
}

impl Binding {
    /// Compiles a binding.
    pub(super) fn compile(binding: &Value) -> Self {
        let empty = Value::object();
        let spec = binding.field("spec").unwrap_or(&empty);
        let actions = spec.items("validationActions").iter().filter_map(Value::as_str);
        Self {
            name: object::name(binding).to_owned(),
            policy: spec.text("policyName").to_owned(),
            actions: actions.filter_map(Action::parse).collect(),
            matcher: spec.field("matchResources").map(Matcher::of_policy),
            params: ParamRef::of(spec),
        }
    }

    /// Whether the binding is about a write.
    pub(super) fn matches(&self, write: &Write<'_>) -> Result<bool, Failure> {
        self.matcher.as_ref().map_or(Ok(true), |matcher| matcher.covers(write))
    }
}
