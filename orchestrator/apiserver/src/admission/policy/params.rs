//! Parameters of policies: the objects that bindings refer to.

use std::sync::Arc;

use wherry_api::kinds::{self, Kind};
use wherry_api::selector::LabelSelector;
use wherry_schema::{Object, Value};
use wherry_store::Entry;

use crate::codec;
use crate::custom::Definitions;
use crate::error::Failure;
use crate::object::Fields;
use crate::state::State;
use crate::validation::template::parse_selector;
use crate::verbs::Cx;

/// What the parameters of a policy are objects of.
#[derive(Debug)]
pub(super) struct ParamKind {
    group: String,
    version: String,
    kind: String,
}

/// Which parameters a binding refers to.
#[derive(Debug)]
pub(super) struct ParamRef {
    wanted: Wanted,
    /// Empty for the namespace of what is written.
    namespace: String,
    /// Whether a write is refused if there are none.
    deny: bool,
}

#[derive(Debug)]
enum Wanted {
    Named(String),
    Selected(LabelSelector),
}

impl ParamKind {
    /// Reads the spec of a policy.
    pub(super) fn of(spec: &Value) -> Option<Self> {
        let kind = spec.field("paramKind")?;
        let api_version = kind.text("apiVersion");
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        Some(Self {
            group: group.to_owned(),
            version: version.to_owned(),
            kind: kind.text("kind").to_owned(),
        })
    }

    /// The row of the kind, built in or custom, if there is one.
    pub(super) fn find(&self, definitions: &Definitions) -> Option<&'static Kind> {
        let Self { group, version, kind } = self;
        let is_it = |row: &&Kind| row.kind == kind && row.version == version && row.group == group;
        let built_in = kinds::by_kind(group, version, kind).filter(|row| row.stored());
        built_in.or_else(|| definitions.rows().find(is_it))
    }

    /// The row of the kind; the error says that there is none.
    pub(super) fn row(&self, state: &State) -> Result<&'static Kind, String> {
        let Self { group, version, kind } = self;
        self.find(&state.custom.definitions()).ok_or_else(|| {
            format!("failed to find resource referenced by paramKind: '{group}/{version}, Kind={kind}'")
        })
    }
}

impl ParamRef {
    /// Reads the spec of a binding.
    pub(super) fn of(spec: &Value) -> Option<Self> {
        let reference = spec.field("paramRef")?;
        let wanted = match reference.field("selector") {
            Some(selector) => Wanted::Selected(parse_selector(selector)),
            None => Wanted::Named(reference.text("name").to_owned()),
        };
        Some(Self {
            wanted,
            namespace: reference.text("namespace").to_owned(),
            deny: reference.text("parameterNotFoundAction") == "Deny",
        })
    }

    /// The parameters for a write to a namespace.
    async fn collect(
        &self,
        state: &State,
        row: &'static Kind,
        namespace: &str,
    ) -> Result<Vec<Value>, String> {
        let namespace = self.namespace(row, namespace)?;
        let served = state.custom.definitions().find(row.group, row.version, row.plural);
        let cx = match &served {
            Some(served) => Cx::custom(state, served, namespace),
            None => Cx::new(state, row, namespace),
        };
        let found = self.find(&cx).await.map_err(|failure| failure.to_string())?;
        if found.is_empty() && self.deny {
            return Err("no params found for policy binding with `Deny` parameterNotFoundAction".to_owned());
        }
        Ok(found)
    }

    fn namespace<'n>(&'n self, row: &Kind, written: &'n str) -> Result<&'n str, String> {
        match (row.namespaced, self.namespace.as_str()) {
            (false, "") => Ok(""),
            (false, _) => {
                Err("paramRef.namespace must not be provided for a cluster-scoped `paramKind`".to_owned())
            }
            (true, "") if written.is_empty() => Err("cannot use namespaced paramRef in policy binding that \
                                                     matches cluster-scoped resources"
                .to_owned()),
            (true, "") => Ok(written),
            (true, own) => Ok(own),
        }
    }

    /// The objects as the version that the policy names has them.
    async fn find(&self, cx: &Cx<'_>) -> Result<Vec<Value>, Failure> {
        let mut entries: Vec<Arc<Entry>> = match &self.wanted {
            Wanted::Named(name) => cx.state.store.get(&cx.key(name)).into_iter().collect(),
            Wanted::Selected(_) => cx.state.store.snapshot().range(&cx.prefix(), None).cloned().collect(),
        };
        if let Some(served) = cx.custom {
            served.show_all(cx.state, &mut entries).await?;
        }
        let mut found = Vec::new();
        for entry in entries {
            let object = codec::decode(&entry.key, &entry.value)?;
            if self.wanted.has(&object) {
                found.push(served(cx, object));
            }
        }
        Ok(found)
    }
}

impl Wanted {
    fn has(&self, object: &Value) -> bool {
        let Self::Selected(selector) = self else { return true };
        let labels: Option<&Object> = object.map("metadata.labels");
        selector.matches(|key| labels.and_then(|labels| labels.get(key)).and_then(Value::as_str))
    }
}

/// A stored object as one of the version that a policy names.
fn served(cx: &Cx<'_>, object: Value) -> Value {
    let mut object = cx.to_served(object);
    object.put("kind", cx.kind.kind);
    object.put("apiVersion", cx.kind.api_version());
    object
}

/// The parameters a policy is evaluated with, one after the other; none stands for evaluating it without any.
pub(super) async fn collect(
    state: &State,
    kind: Option<&ParamKind>,
    reference: Option<&ParamRef>,
    namespace: &str,
) -> Result<Vec<Option<Value>>, String> {
    let (Some(kind), Some(reference)) = (kind, reference) else { return Ok(vec![None]) };
    let found = reference.collect(state, kind.row(state)?, namespace).await?;
    Ok(found.into_iter().map(Some).collect())
}
