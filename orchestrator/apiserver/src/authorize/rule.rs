//! One rule of a role: verbs on resources, or on paths.
//!
//! A [`CompiledRule`] carries two filters that tell almost every rule that does not fit from one that may, so that a
//! user with many roles costs little: the set of its verbs, and a set of hashes of its resources.

use wherry_schema::Value;

use super::{Attributes, Object, Resource};
use crate::object::Fields;

/// One rule of a role.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct PolicyRule {
    /// What may be done.
    pub(crate) verbs: Vec<String>,
    /// With resources of which groups.
    pub(crate) api_groups: Vec<String>,
    /// With which resources, or parts of them: `pods`, `pods/log`, `*/scale`.
    pub(crate) resources: Vec<String>,
    /// With objects of which names; with all if empty.
    pub(crate) resource_names: Vec<String>,
    /// With which paths.
    pub(crate) non_resource_urls: Vec<String>,
}

fn texts(rule: &Value, field: &str) -> Vec<String> {
    rule.items(field).iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

impl PolicyRule {
    /// A rule as roles hold it.
    pub(crate) fn of(rule: &Value) -> Self {
        Self {
            verbs: texts(rule, "verbs"),
            api_groups: texts(rule, "apiGroups"),
            resources: texts(rule, "resources"),
            resource_names: texts(rule, "resourceNames"),
            non_resource_urls: texts(rule, "nonResourceURLs"),
        }
    }

    /// The rule as roles hold it.
    pub(super) fn to_json(&self) -> serde_json::Value {
        let fields = [
            ("verbs", &self.verbs),
            ("apiGroups", &self.api_groups),
            ("resources", &self.resources),
            ("resourceNames", &self.resource_names),
            ("nonResourceURLs", &self.non_resource_urls),
        ];
        let some = fields.into_iter().filter(|(_, values)| !values.is_empty());
        some.map(|(name, values)| (name.to_owned(), serde_json::Value::from(values.clone()))).collect()
    }

    /// The rule that JSON holds.
    pub(super) fn from_json(rule: &serde_json::Value) -> Self {
        let texts = |field: &str| {
            let items = rule[field].as_array().into_iter().flatten();
            items.filter_map(serde_json::Value::as_str).map(str::to_owned).collect()
        };
        Self {
            verbs: texts("verbs"),
            api_groups: texts("apiGroups"),
            resources: texts("resources"),
            resource_names: texts("resourceNames"),
            non_resource_urls: texts("nonResourceURLs"),
        }
    }

    /// The rules of a role.
    pub(crate) fn all_of(role: &Value) -> Vec<Self> {
        role.items("rules").iter().map(Self::of).collect()
    }

    /// The rule that allows everything with every resource.
    pub(crate) fn every_resource() -> Self {
        let all = || vec!["*".to_owned()];
        Self { verbs: all(), api_groups: all(), resources: all(), ..Self::default() }
    }

    /// The rule that allows everything with every path.
    pub(crate) fn every_path() -> Self {
        let all = || vec!["*".to_owned()];
        Self { verbs: all(), non_resource_urls: all(), ..Self::default() }
    }

    fn allows(&self, attributes: &Attributes<'_>) -> bool {
        has(&self.verbs, attributes.verb)
            && match attributes.object {
                Object::Resource(resource) => self.fits(&resource),
                Object::Path(path) => self.non_resource_urls.iter().any(|url| covers_path(url, path)),
            }
    }

    fn fits(&self, wanted: &Resource<'_>) -> bool {
        has(&self.api_groups, wanted.group)
            && self.resources.iter().any(|resource| names(resource, wanted))
            && (self.resource_names.is_empty() || self.resource_names.iter().any(|n| n == wanted.name))
    }
}

/// Whether a list has the text, or the star that stands for all.
fn has(list: &[String], text: &str) -> bool {
    list.iter().any(|one| one == "*" || one == text)
}

/// Whether a rule's resource is the wanted one: `pods`, `pods/log`, `*/log` or `*`.
fn names(resource: &str, wanted: &Resource<'_>) -> bool {
    if wanted.part.is_empty() {
        return resource == "*" || resource == wanted.plural;
    }
    let part = |of: &str| {
        let rest = resource.strip_prefix(of).and_then(|rest| rest.strip_prefix('/'));
        rest == Some(wanted.part)
    };
    resource == "*" || part(wanted.plural) || part("*")
}

/// Whether a rule's path is the path, or a beginning of it that ends with a star.
pub(super) fn covers_path(url: &str, path: &str) -> bool {
    url == "*" || url == path || (url.ends_with('*') && path.starts_with(url.trim_end_matches('*')))
}

/// The verbs that have a bit of their own. All others share one.
const VERBS: [&str; 15] = [
    "get",
    "list",
    "watch",
    "create",
    "update",
    "patch",
    "delete",
    "deletecollection",
    "use",
    "bind",
    "escalate",
    "impersonate",
    "approve",
    "sign",
    "post",
];

fn verb_bit(verb: &str) -> u16 {
    let at = VERBS.iter().position(|known| *known == verb);
    at.map_or(1 << 15, |at| 1 << at)
}

/// One bit that stands for the parts joined (FNV-1a).
fn hash_bit(parts: &[&str]) -> u64 {
    let bytes = parts.iter().flat_map(|part| part.bytes());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    1 << (hash >> 58)
}

/// What is asked, ready to be held against many rules.
#[derive(Debug, Clone, Copy)]
pub(super) struct Question<'a> {
    attributes: &'a Attributes<'a>,
    verb: u16,
    resource: u64,
}

impl<'a> Question<'a> {
    pub(super) fn new(attributes: &'a Attributes<'a>) -> Self {
        let resource = match attributes.object {
            Object::Path(_) => u64::MAX,
            Object::Resource(of) if of.part.is_empty() => hash_bit(&[of.plural]),
            Object::Resource(of) => hash_bit(&[of.plural, "/", of.part]) | hash_bit(&["*/", of.part]),
        };
        Self { attributes, verb: verb_bit(attributes.verb), resource }
    }
}

/// A rule with its filters.
#[derive(Debug, Clone)]
pub(super) struct CompiledRule {
    verbs: u16,
    resources: u64,
    pub(super) rule: PolicyRule,
}

impl From<PolicyRule> for CompiledRule {
    fn from(rule: PolicyRule) -> Self {
        let all = |list: &[String]| list.iter().any(|one| one == "*");
        let verbs = if all(&rule.verbs) {
            u16::MAX
        } else {
            rule.verbs.iter().fold(0, |bits, verb| bits | verb_bit(verb))
        };
        let resources = if all(&rule.resources) || !rule.non_resource_urls.is_empty() {
            u64::MAX
        } else {
            rule.resources.iter().fold(0, |bits, resource| bits | hash_bit(&[resource]))
        };
        Self { verbs, resources, rule }
    }
}

impl CompiledRule {
    /// Whether the rule allows what is asked.
    pub(super) fn allows(&self, question: &Question<'_>) -> bool {
        self.verbs & question.verb != 0
            && self.resources & question.resource != 0
            && self.rule.allows(question.attributes)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;
    use crate::auth::UserInfo;

    fn list(items: &[&str]) -> Vec<String> {
        items.iter().map(|item| (*item).to_owned()).collect()
    }

    fn resource_rule(verbs: &[&str], group: &str, resources: &[&str], names: &[&str]) -> PolicyRule {
        PolicyRule {
            verbs: list(verbs),
            api_groups: list(&[group]),
            resources: list(resources),
            resource_names: list(names),
            ..PolicyRule::default()
        }
    }

    fn asks(rule: &PolicyRule, verb: &str, resource: &str, subresource: &str, name: &str) -> bool {
        let user = UserInfo::new("u", &[]);
        let resource = Resource {
            group: "",
            plural: resource,
            part: subresource,
            namespace: "n",
            name,
            ..Resource::default()
        };
        let attributes = Attributes { user: &user, verb, object: Object::Resource(resource) };
        CompiledRule::from(rule.clone()).allows(&Question::new(&attributes))
    }

    #[rstest]
    #[case(&["pods"], "pods", "", true)]
    #[case(&["pods"], "pods", "log", false)]
    #[case(&["pods/log"], "pods", "log", true)]
    #[case(&["pods/log"], "pods", "", false)]
    #[case(&["*/log"], "pods", "log", true)]
    #[case(&["*/log"], "pods", "", false)]
    #[case(&["pods/*"], "pods", "log", false)]
    #[case(&["*"], "pods", "log", true)]
    #[case(&["services", "pods"], "pods", "", true)]
    fn resources_and_their_parts_are_named(
        #[case] resources: &[&str],
        #[case] resource: &str,
        #[case] subresource: &str,
        #[case] allowed: bool,
    ) {
        let rule = resource_rule(&["get"], "", resources, &[]);
        assert_eq!(asks(&rule, "get", resource, subresource, ""), allowed);
    }

    #[test]
    fn names_narrow_a_rule_and_verbs_must_fit() {
        let rule = resource_rule(&["get", "odd"], "", &["pods"], &["a"]);
        assert!(asks(&rule, "get", "pods", "", "a") && asks(&rule, "odd", "pods", "", "a"));
        assert!(!asks(&rule, "get", "pods", "", "b") && !asks(&rule, "get", "pods", "", ""));
        assert!(!asks(&rule, "list", "pods", "", "a") && !asks(&rule, "strange", "pods", "", "a"));
        assert!(asks(&PolicyRule::every_resource(), "strange", "anything", "part", ""));
    }

    #[rstest]
    #[case("/healthz", "/healthz", true)]
    #[case("/healthz", "/healthz/ping", false)]
    #[case("/healthz/*", "/healthz/ping", true)]
    #[case("/api*", "/apis", true)]
    #[case("*", "/anything", true)]
    #[case("/a*/b", "/ax/b", false)]
    fn paths_end_with_a_star_or_are_whole(#[case] url: &str, #[case] path: &str, #[case] covered: bool) {
        assert_eq!(covers_path(url, path), covered);
    }

    proptest! {
        #[test]
        fn the_filters_never_hide_a_rule_that_fits(
            verbs in prop::collection::vec("get|list|use|odd|\\*", 1..3),
            resources in prop::collection::vec("pods|pods/log|\\*/log|\\*|nodes", 1..4),
            names in prop::collection::vec("a|b", 0..2),
            (verb, resource, part, name) in ("get|list|odd|x", "pods|nodes|x", "|log|status", "|a|b"),
        ) {
            let rule = PolicyRule { verbs, resources, resource_names: names, api_groups: list(&[""]), ..PolicyRule::default() };
            let user = UserInfo::new("u", &[]);
            let object = Resource { group: "", plural: &resource, part: &part, namespace: "", name: &name, ..Resource::default() };
            let attributes = Attributes { user: &user, verb: &verb, object: Object::Resource(object) };
            let plain = rule.allows(&attributes);
            prop_assert_eq!(CompiledRule::from(rule).allows(&Question::new(&attributes)), plain);
        }
    }
}
