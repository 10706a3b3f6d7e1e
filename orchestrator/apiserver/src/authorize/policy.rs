//! Roles and bindings as the store holds them, and the index by subject that decisions are made from.
//!
//! A [`Policy`] keeps what it decoded, so that after a change only what changed is decoded again. An [`Index`] never
//! changes: whoever decides holds one, and gets another when roles or bindings have changed.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use wherry_schema::{Object, Value};
use wherry_store::{Revision, Snapshot};

use super::rule::{CompiledRule, PolicyRule, Question};
use super::subject::Subject;
use crate::auth::UserInfo;
use crate::follow::Made;
use crate::object::{self, Fields};
use crate::validation::template::selects;

/// A role of either kind.
#[derive(Debug)]
struct Role {
    rules: Rules,
    labels: Option<Object>,
    /// Which other roles it is the sum of, if it is one.
    sum_of: Option<Vec<Value>>,
}

/// Rules that are held against questions, shared by the role and all who are bound to it.
type Rules = Arc<[CompiledRule]>;

/// A role as bindings refer to it: its namespace, empty for a ClusterRole, and its name.
type RoleKey = (String, String);

/// A binding of either kind.
#[derive(Debug)]
struct Binding {
    name: String,
    /// Empty for a ClusterRoleBinding.
    namespace: String,
    role_kind: String,
    role_name: String,
    subjects: Vec<Subject>,
}

/// One stored object, decoded.
#[derive(Debug, Clone)]
enum Decoded {
    Role(RoleKey, Arc<Role>),
    Binding(Arc<Binding>),
}

/// What was decoded of the store's objects, and the index of it.
#[derive(Debug, Default)]
pub(super) struct Policy {
    decoded: HashMap<Arc<str>, (Revision, Option<Decoded>)>,
    pub(super) index: Arc<Index>,
}

impl Made for Policy {
    const PREFIX: &'static str = "/registry/rbac.authorization.k8s.io/";

    fn make(&self, state: &Snapshot) -> Self {
        let mut next = HashMap::new();
        let (mut roles, mut bindings) = (HashMap::new(), Vec::new());
        for entry in state.range(Self::PREFIX, None) {
            let known = self.decoded.get(&entry.key).filter(|(revision, _)| *revision == entry.mod_revision);
            let decoded = known.map_or_else(|| decode(&entry.key, &entry.value), |(_, same)| same.clone());
            match decoded.clone() {
                Some(Decoded::Role(key, role)) => drop(roles.insert(key, role)),
                Some(Decoded::Binding(binding)) => bindings.push(binding),
                None => {}
            }
            next.insert(Arc::clone(&entry.key), (entry.mod_revision, decoded));
        }
        Self { decoded: next, index: Arc::new(Index::new(&roles, bindings)) }
    }
}

fn decode(key: &str, bytes: &[u8]) -> Option<Decoded> {
    let object = match Value::from_json(bytes) {
        Ok(object) => object,
        Err(error) => {
            tracing::error!(key, %error, "a role or binding cannot be read; it allows nothing");
            return None;
        }
    };
    let (namespace, name) = (object::namespace(&object).to_owned(), object::name(&object).to_owned());
    match object.text("kind") {
        "Role" | "ClusterRole" => {
            let role = Role {
                rules: PolicyRule::all_of(&object).into_iter().map(CompiledRule::from).collect(),
                labels: object.map("metadata.labels").cloned(),
                sum_of: object
                    .has("aggregationRule")
                    .then(|| object.items("aggregationRule.clusterRoleSelectors").to_vec()),
            };
            Some(Decoded::Role((namespace, name), Arc::new(role)))
        }
        "RoleBinding" | "ClusterRoleBinding" => {
            let subjects = object.items("subjects").iter().map(|s| Subject::of(s, &namespace)).collect();
            let (role_kind, role_name) = (object.text("roleRef.kind"), object.text("roleRef.name"));
            Some(Decoded::Binding(Arc::new(Binding {
                role_kind: role_kind.to_owned(),
                role_name: role_name.to_owned(),
                name,
                namespace,
                subjects,
            })))
        }
        _ => None,
    }
}

type Roles = HashMap<RoleKey, Arc<Role>>;

/// The rules of a role. Those of a sum are the rules of all roles it selects, and of those they select in turn.
fn rules_of(role: &Role, roles: &Roles) -> Rules {
    if role.sum_of.is_none() {
        return Arc::clone(&role.rules);
    }
    let mut names: Vec<&RoleKey> = roles.keys().filter(|(namespace, _)| namespace.is_empty()).collect();
    names.sort_unstable();
    let (mut rules, mut seen, mut waiting) = (Vec::<CompiledRule>::new(), BTreeSet::new(), vec![role]);
    while let Some(next) = waiting.pop() {
        let Some(selectors) = &next.sum_of else {
            for one in next.rules.iter() {
                if !rules.iter().any(|known| known.rule == one.rule) {
                    rules.push(one.clone());
                }
            }
            continue;
        };
        for name in names.iter().rev() {
            let labels = roles[*name].labels.as_ref();
            if selectors.iter().any(|selector| selects(Some(selector), labels)) && seen.insert(*name) {
                waiting.push(&roles[*name]);
            }
        }
    }
    rules.into()
}

/// A binding with the rules it grants; none if there is no such role.
#[derive(Debug)]
struct Grant {
    binding: Arc<Binding>,
    rules: Option<Rules>,
}

/// The grants to each user and group, by their place in the list of all.
#[derive(Debug, Default)]
struct Scope {
    users: HashMap<String, Vec<usize>>,
    groups: HashMap<String, Vec<usize>>,
}

impl Scope {
    /// The grants to a user. One to several of their names comes up several times.
    fn of<'a>(&'a self, user: &'a UserInfo) -> impl Iterator<Item = usize> + 'a {
        let groups = user.groups.iter().filter_map(|group| self.groups.get(group));
        self.users.get(&user.name).into_iter().chain(groups).flatten().copied()
    }
}

/// All grants, by whom they are to.
#[derive(Debug, Default)]
pub(crate) struct Index {
    grants: Vec<Grant>,
    cluster: Scope,
    namespaces: HashMap<String, Scope>,
    roles: HashMap<RoleKey, Rules>,
}

/// What several bindings together come to.
#[derive(Debug, Default)]
pub(crate) struct Granted {
    /// The rules.
    pub(crate) rules: Vec<PolicyRule>,
    /// What is wrong with bindings.
    pub(crate) errors: Vec<String>,
}

impl Index {
    fn new(roles: &Roles, bindings: Vec<Arc<Binding>>) -> Self {
        let compiled = roles.iter().map(|(key, role)| (key.clone(), rules_of(role, roles))).collect();
        let mut index = Self {
            grants: Vec::new(),
            cluster: Scope::default(),
            namespaces: HashMap::new(),
            roles: compiled,
        };
        for binding in bindings {
            index.add(binding);
        }
        index
    }

    fn add(&mut self, binding: Arc<Binding>) {
        let at = self.grants.len();
        let scope = match binding.namespace.as_str() {
            "" => &mut self.cluster,
            namespace => self.namespaces.entry(namespace.to_owned()).or_default(),
        };
        for subject in &binding.subjects {
            let (names, name) = match subject {
                Subject::User(name) => (&mut scope.users, name.clone()),
                Subject::ServiceAccount { user, .. } => (&mut scope.users, user.clone()),
                Subject::Group(name) => (&mut scope.groups, name.clone()),
            };
            if name.is_empty() {
                continue;
            }
            let list = names.entry(name).or_default();
            if list.last() != Some(&at) {
                list.push(at);
            }
        }
        let rules = self.role(&binding.role_kind, &binding.namespace, &binding.role_name);
        self.grants.push(Grant { binding, rules });
    }

    fn role(&self, kind: &str, namespace: &str, name: &str) -> Option<Rules> {
        let namespace = if kind == "Role" { namespace } else { "" };
        self.roles.get(&(namespace.to_owned(), name.to_owned())).cloned()
    }

    /// The rules of a role that a binding in this namespace refers to.
    pub(crate) fn rules_of_role(&self, kind: &str, namespace: &str, name: &str) -> Option<Vec<PolicyRule>> {
        Some(self.role(kind, namespace, name)?.iter().map(|compiled| compiled.rule.clone()).collect())
    }

    /// The scopes that count in a namespace; outside of all if it is empty.
    fn scopes(&self, namespace: &str) -> impl Iterator<Item = &Scope> {
        let inner = (!namespace.is_empty()).then(|| self.namespaces.get(namespace)).flatten();
        std::iter::once(&self.cluster).chain(inner)
    }

    /// The reason why the question is answered with yes, or what is wrong with bindings of the user.
    pub(super) fn decide(
        &self,
        question: &Question<'_>,
        user: &UserInfo,
        namespace: &str,
    ) -> Result<String, Vec<String>> {
        let mut errors = Vec::new();
        for at in self.scopes(namespace).flat_map(|scope| scope.of(user)) {
            let grant = &self.grants[at];
            match &grant.rules {
                Some(rules) if rules.iter().any(|rule| rule.allows(question)) => {
                    return Ok(format!("RBAC: allowed by {}", grant.binding.describe(user)));
                }
                Some(_) => {}
                None => errors.push(grant.binding.dangling()),
            }
        }
        errors.dedup();
        Err(errors)
    }

    /// All that a user is granted in a namespace and outside of all.
    pub(crate) fn granted(&self, user: &UserInfo, namespace: &str) -> Granted {
        let grants: BTreeSet<usize> = self.scopes(namespace).flat_map(|scope| scope.of(user)).collect();
        let mut granted = Granted::default();
        for grant in grants.into_iter().map(|at| &self.grants[at]) {
            match &grant.rules {
                Some(rules) => granted.rules.extend(rules.iter().map(|compiled| compiled.rule.clone())),
                None => granted.errors.push(grant.binding.dangling()),
            }
        }
        granted
    }
}

impl Binding {
    /// The binding as reasons name it: with the first of its subjects that is the user.
    fn describe(&self, user: &UserInfo) -> String {
        let subject = self.subjects.iter().find(|subject| subject.is(user));
        let subject = subject.map(ToString::to_string).unwrap_or_default();
        let (kind, name) = match self.namespace.as_str() {
            "" => ("ClusterRoleBinding", self.name.clone()),
            namespace => ("RoleBinding", format!("{}/{namespace}", self.name)),
        };
        format!("{kind} {name:?} of {} {:?} to {subject}", self.role_kind, self.role_name)
    }

    /// What is said of a binding to a role that does not exist.
    fn dangling(&self) -> String {
        let kind = self.role_kind.to_lowercase();
        format!("{kind}.rbac.authorization.k8s.io {:?} not found", self.role_name)
    }
}
