//! Which schema and level a request belongs to.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use http::HeaderValue;

use super::level::{Counts, Level, Limits};
use super::objects::{LevelSpec, Object, Objects, PathRule, ResourceRule, RuleSubject, SchemaSpec};

/// The level whose requests never wait.
const EXEMPT: &str = "exempt";
/// The level of what no schema matches.
const CATCH_ALL: &str = "catch-all";
/// The seats that a level has without a say in the matter.
const DEFAULT_SHARES: i32 = 30;

/// What a request asks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'a> {
    /// The user's name.
    pub(crate) user: &'a str,
    /// The user's groups.
    pub(crate) groups: &'a [String],
    /// What is done.
    pub(crate) verb: &'a str,
    /// To what.
    pub(crate) subject: Subject<'a>,
}

/// What a request is about.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Subject<'a> {
    /// A resource.
    Resource {
        /// Its group.
        group: &'a str,
        /// Its plural name.
        resource: &'a str,
        /// Its part, or nothing.
        subresource: &'a str,
        /// The namespace in the path.
        namespace: Option<&'a str>,
    },
    /// Another path.
    Path(&'a str),
}

/// A FlowSchema with its level.
pub(super) struct Schema {
    pub(super) name: String,
    pub(super) uid: Option<HeaderValue>,
    pub(super) level: Arc<Level>,
    pub(super) counts: Arc<Counts>,
    spec: SchemaSpec,
}

/// All schemas, in the order in which they are asked.
pub(super) struct Table {
    schemas: Vec<Arc<Schema>>,
    levels: BTreeMap<String, Arc<Level>>,
    /// For what none matches.
    rest: Arc<Schema>,
}

impl Table {
    /// The table of these objects. Levels and counters that exist already go on.
    pub(super) fn build(objects: &Objects, concurrency: u32, old: Option<&Self>) -> Self {
        let levels = levels(&objects.levels, concurrency, old);
        let schema = |object: &Object<SchemaSpec>, level: &Arc<Level>| {
            let name = object.metadata.name.clone();
            let known = old.and_then(|old| old.schemas().find(|schema| schema.name == name));
            Arc::new(Schema {
                uid: header(&object.metadata.uid),
                level: Arc::clone(level),
                counts: known.map_or_else(Arc::default, |schema| Arc::clone(&schema.counts)),
                spec: object.spec.clone(),
                name,
            })
        };
        let mut schemas: Vec<_> = objects
            .schemas
            .iter()
            .filter_map(|object| {
                let level = levels.get(&object.spec.priority_level_configuration.name)?;
                Some(schema(object, level))
            })
            .collect();
        schemas.sort_by(|a, b| {
            (a.spec.matching_precedence, &a.name).cmp(&(b.spec.matching_precedence, &b.name))
        });
        let rest = schemas.iter().find(|schema| schema.name == CATCH_ALL).cloned().unwrap_or_else(|| {
            let spec = SchemaSpec::default();
            let metadata = super::objects::Metadata { name: CATCH_ALL.to_owned(), uid: String::new() };
            schema(&Object { metadata, spec }, &levels[CATCH_ALL])
        });
        Self { schemas, levels, rest }
    }

    /// The schema of a request.
    pub(super) fn find(&self, asked: &Asked<'_>) -> Arc<Schema> {
        Arc::clone(self.schemas.iter().find(|schema| schema.matches(asked)).unwrap_or(&self.rest))
    }

    pub(super) fn schemas(&self) -> impl Iterator<Item = &Arc<Schema>> {
        let known = self.schemas.iter().any(|schema| Arc::ptr_eq(schema, &self.rest));
        self.schemas.iter().chain((!known).then_some(&self.rest))
    }

    pub(super) fn levels(&self) -> impl Iterator<Item = &Arc<Level>> {
        self.levels.values()
    }
}

/// The levels by name; `exempt` and `catch-all` are there in any case.
fn levels(
    objects: &[Object<LevelSpec>],
    concurrency: u32,
    old: Option<&Table>,
) -> BTreeMap<String, Arc<Level>> {
    let total: i64 = objects.iter().map(|object| i64::from(shares(&object.spec))).sum::<i64>().max(1);
    let seats = |shares: i32| {
        let seats = (i64::from(concurrency) * i64::from(shares) + total - 1) / total;
        u32::try_from(seats).unwrap_or(u32::MAX)
    };
    let make = |name: &str, uid: &str, limits: Limits| match old.and_then(|old| old.levels.get(name)) {
        Some(level) if level.uid == header(uid) => {
            level.change(limits);
            (name.to_owned(), Arc::clone(level))
        }
        _ => (name.to_owned(), Arc::new(Level::new(name.to_owned(), header(uid), limits))),
    };
    let exempt = [make(EXEMPT, "", Limits::Exempt), make(CATCH_ALL, "", Limits::reject(seats(5).max(1)))];
    let named = objects.iter().map(|object| {
        let limits = match (&object.spec.kind == "Exempt", &object.spec.limited) {
            (true, _) | (false, None) => Limits::Exempt,
            (false, Some(limited)) => {
                let queuing = (limited.limit_response.kind == "Queue")
                    .then(|| limited.limit_response.queuing.unwrap_or_default());
                Limits::Limited { seats: seats(shares(&object.spec)), queuing }
            }
        };
        make(&object.metadata.name, &object.metadata.uid, limits)
    });
    exempt.into_iter().chain(named).collect()
}

fn shares(spec: &LevelSpec) -> i32 {
    match (&spec.limited, &spec.exempt) {
        (Some(limited), _) => limited.nominal_concurrency_shares.unwrap_or(DEFAULT_SHARES),
        (None, exempt) => exempt.as_ref().and_then(|e| e.nominal_concurrency_shares).unwrap_or_default(),
    }
}

fn header(uid: &str) -> Option<HeaderValue> {
    HeaderValue::from_str(uid).ok().filter(|uid| !uid.is_empty())
}

impl Schema {
    fn matches(&self, asked: &Asked<'_>) -> bool {
        self.spec.rules.iter().any(|rule| {
            rule.subjects.iter().any(|subject| is_subject(subject, asked))
                && match asked.subject {
                    Subject::Resource { .. } => rule.resource_rules.iter().any(|r| is_resource(r, asked)),
                    Subject::Path(path) => {
                        rule.non_resource_rules.iter().any(|r| is_path(r, asked.verb, path))
                    }
                }
        })
    }

    /// What tells the flow of a request from the others of its schema.
    pub(super) fn flow(&self, asked: &Asked<'_>) -> u64 {
        let distinguisher =
            match (self.spec.distinguisher_method.as_ref().map(|d| d.kind.as_str()), asked.subject) {
                (Some("ByUser"), _) => asked.user,
                (Some("ByNamespace"), Subject::Resource { namespace, .. }) => namespace.unwrap_or_default(),
                _ => "",
            };
        let mut hasher = DefaultHasher::new();
        (&self.name, distinguisher).hash(&mut hasher);
        hasher.finish()
    }
}

fn is_subject(subject: &RuleSubject, asked: &Asked<'_>) -> bool {
    let name = |name: &str, of: &str| name == "*" || name == of;
    match (subject.kind.as_str(), &subject.user, &subject.group, &subject.service_account) {
        ("User", Some(user), _, _) => name(&user.name, asked.user),
        ("Group", _, Some(group), _) => group.name == "*" || asked.groups.contains(&group.name),
        ("ServiceAccount", _, _, Some(account)) => {
            let of = asked.user.strip_prefix("system:serviceaccount:").and_then(|rest| rest.split_once(':'));
            of.is_some_and(|(namespace, of)| account.namespace == namespace && name(&account.name, of))
        }
        _ => false,
    }
}

fn has(list: &[String], value: &str) -> bool {
    list.iter().any(|one| one == "*" || one == value)
}

fn is_resource(rule: &ResourceRule, asked: &Asked<'_>) -> bool {
    let Subject::Resource { group, resource, subresource, namespace } = asked.subject else { return false };
    let named = rule.resources.iter().any(|one| {
        one == "*"
            || match one.split_once('/') {
                None => subresource.is_empty() && one == resource,
                Some((of, part)) => of == resource && part == subresource,
            }
    });
    let scope = match namespace {
        None => rule.cluster_scope,
        Some(namespace) => has(&rule.namespaces, namespace),
    };
    named && scope && has(&rule.verbs, asked.verb) && has(&rule.api_groups, group)
}

fn is_path(rule: &PathRule, verb: &str, path: &str) -> bool {
    let fits = |pattern: &String| match pattern.strip_suffix('*') {
        Some(prefix) => path.starts_with(prefix),
        None => pattern == path,
    };
    has(&rule.verbs, verb) && rule.paths.iter().any(fits)
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
