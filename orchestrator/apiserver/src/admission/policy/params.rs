//! Parameters of policies: the objects that bindings refer to.

use wherry_api::kinds::{self, Kind};
use wherry_api::selector::LabelSelector;
use wherry_schema::{Object, Value};

use crate::codec;
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

    /// The row of the kind, if it is built in.
    pub(super) fn built_in(&self) -> Option<&'static Kind> {
        kinds::by_kind(&self.group, &self.version, &self.kind).filter(|row| row.stored())
    }

    /// The row of the kind, built in or custom; the error says that there is none.
    pub(super) fn row(&self, state: &State) -> Result<&'static Kind, String> {
        let Self { group, version, kind } = self;
        let is_it = |row: &&Kind| row.kind == kind && row.version == version && row.group == group;
        let custom = || state.custom.definitions().rows().find(is_it);
        self.built_in().or_else(custom).ok_or_else(|| {
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
    fn collect(&self, state: &State, row: &'static Kind, namespace: &str) -> Result<Vec<Value>, String> {
        let namespace = self.namespace(row, namespace)?;
        let found = self.find(&Cx::new(state, row, namespace)).map_err(|failure| failure.to_string())?;
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

    fn find(&self, cx: &Cx<'_>) -> Result<Vec<Value>, Failure> {
        let selector = match &self.wanted {
            Wanted::Named(name) => {
                return Ok(cx
                    .state
                    .find(&cx.key(name))?
                    .map(|object| served(cx, object))
                    .into_iter()
                    .collect());
            }
            Wanted::Selected(selector) => selector,
        };
        let mut found = Vec::new();
        for entry in cx.state.store.snapshot().range(&cx.prefix(), None) {
            let object = codec::decode(&entry.key, &entry.value)?;
            let labels: Option<&Object> = object.map("metadata.labels");
            if selector.matches(|key| labels.and_then(|labels| labels.get(key)).and_then(Value::as_str)) {
                found.push(served(cx, object));
            }
        }
        Ok(found)
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
pub(super) fn collect(
    state: &State,
    kind: Option<&ParamKind>,
    reference: Option<&ParamRef>,
    namespace: &str,
) -> Result<Vec<Option<Value>>, String> {
    let (Some(kind), Some(reference)) = (kind, reference) else { return Ok(vec![None]) };
    let found = reference.collect(state, kind.row(state)?, namespace)?;
    Ok(found.into_iter().map(Some).collect())
}
