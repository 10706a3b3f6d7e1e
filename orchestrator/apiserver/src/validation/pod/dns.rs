//! How a Pod resolves names.

use wherry_schema::Value;

use crate::object::Fields;
use crate::validation::net::check_ip;
use crate::validation::values::required_choice;
use crate::validation::{Errors, Path, names};

const POLICIES: &[&str] = &["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"];
const SERVERS: usize = 3;
const SEARCHES: usize = 32;
const SEARCH_CHARACTERS: usize = 2048;

/// The rules of `dnsPolicy`.
pub(super) fn check_policy(spec: &Value, path: &Path, errors: &mut Errors) {
    required_choice(spec, "dnsPolicy", POLICIES, path, errors);
}

/// The rules of `dnsConfig`.
pub(super) fn check_config(spec: &Value, path: &Path, errors: &mut Errors) {
    let none = spec.text("dnsPolicy") == "None";
    let Some(config) = spec.field("dnsConfig") else {
        if none {
            errors.required(path, "must provide `dnsConfig` when `dnsPolicy` is None");
        }
        return;
    };
    let servers = config.items("nameservers");
    if none && servers.is_empty() {
        let detail = "must provide at least one DNS nameserver when `dnsPolicy` is None";
        errors.required(&path.child("nameservers"), detail);
        return;
    }
    if servers.len() > SERVERS {
        let detail = format!("must not have more than {SERVERS} nameservers");
        errors.invalid(&path.child("nameservers"), &Value::Array(servers.to_vec()), &detail);
    }
    for (index, server) in servers.iter().enumerate() {
        check_ip(server.as_str().unwrap_or_default(), None, &path.child("nameservers").index(index), errors);
    }
    check_searches(config.items("searches"), &path.child("searches"), errors);
    for (index, option) in config.items("options").iter().enumerate() {
        if option.text("name").is_empty() {
            errors.required(&path.child("options").index(index), "must not be empty");
        }
    }
}

fn check_searches(searches: &[Value], path: &Path, errors: &mut Errors) {
    let shown = || Value::Array(searches.to_vec());
    let texts: Vec<&str> = searches.iter().filter_map(Value::as_str).collect();
    if texts.len() > SEARCHES {
        errors.invalid(path, &shown(), &format!("must not have more than {SEARCHES} search paths"));
    }
    if texts.join(" ").len() > SEARCH_CHARACTERS {
        let detail = format!(
            "must not have more than {SEARCH_CHARACTERS} characters (including spaces) in the search list"
        );
        errors.invalid(path, &shown(), &detail);
    }
    for (index, search) in texts.iter().enumerate().filter(|(_, search)| **search != ".") {
        let search = search.strip_suffix('.').unwrap_or(search);
        errors.problems(&path.index(index), search, names::underscored_subdomain(search));
    }
}
