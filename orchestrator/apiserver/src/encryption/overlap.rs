//! Which resources one rule may name, in upstream's words.

use wherry_schema::Value;

use super::resource::{ANY, GroupResource};
use crate::validation::{Errors, Path};

const DUPLICATE: &str = "the same resource cannot be specified multiple times";
const OVERLAP: &str = "using overlapping resources such as 'secrets' and '*.' in the same resource list is not allowed as they will be masked";
const CAPITALS: &str = "resource name should not contain capital letters";
const STAR: &str =
    "use '*.' to encrypt all the resources from core API group or *.* to encrypt all resources";
const NO_RESOURCE: &str = "resources which do not have REST API/s cannot be encrypted";
const EVENTS: &str = "'*.events.k8s.io' objects are stored using the 'events' API group in etcd. Use 'events' instead in the config file";
const EXTENSIONS: &str = "'extensions' group has been removed and cannot be used for encryption";
const ACROSS: &str = "encrypting the same resource across groups is not supported";

/// Refuses resources that are named twice or that another one of the rule covers.
pub(super) fn check_overlap(resources: &[String], path: &Path, errors: &mut Errors) {
    let all: Vec<GroupResource> = resources.iter().map(|text| GroupResource::parse(text)).collect();
    let pairs =
        || all.iter().enumerate().flat_map(|(at, one)| all[at + 1..].iter().map(move |two| (one, two)));
    let everything = GroupResource::new(ANY, ANY);
    let overlaps = |one: &GroupResource, two: &GroupResource| {
        let within = one.group == two.group && (one.resource == ANY || two.resource == ANY);
        one != two && (within || *one == everything || *two == everything)
    };
    let shown = Value::from(resources.to_vec());
    if pairs().any(|(one, two)| one == two) {
        errors.invalid(path, &shown, DUPLICATE);
    }
    if pairs().any(|(one, two)| overlaps(one, two)) {
        errors.invalid(path, &shown, OVERLAP);
    }
}

/// Refuses names that are none.
pub(super) fn check_names(resources: &[String], path: &Path, errors: &mut Errors) {
    for (at, text) in resources.iter().enumerate() {
        if let Some(why) = misnamed(text) {
            errors.invalid(&path.index(at), text, why);
        }
    }
}

fn misnamed(text: &str) -> Option<&'static str> {
    if text.to_lowercase() != text {
        return Some(CAPITALS);
    }
    if text == ANY {
        return Some(STAR);
    }
    if matches!(text, "apiserveripinfo" | "serviceipallocations" | "servicenodeportallocations") {
        return Some(NO_RESOURCE);
    }
    let GroupResource { group, resource } = GroupResource::parse(text);
    match group.as_str() {
        "events.k8s.io" => Some(EVENTS),
        "extensions" => Some(EXTENSIONS),
        ANY if resource != ANY => Some(ACROSS),
        _ => None,
    }
}
