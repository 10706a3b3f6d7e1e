//! Paths that lead to custom kinds, or to what is switched on. They are looked at when a path leads to nothing that is
//! always built in.

use wherry_api::kinds::Kind;

use super::definition::Served;
use super::registry::{Definitions, Registry};
use crate::error::Failure;
use crate::request::path::{Route, Target, segments};

/// Where a path leads that leads to nothing built in, which `failure` says.
pub(crate) fn find(registry: &Registry, path: &str, failure: Failure) -> Result<Route, Failure> {
    if !path.starts_with("/apis/") {
        return Err(failure);
    }
    let segments = segments(path)?;
    let parts: Vec<&str> = segments.iter().map(AsRef::as_ref).collect();
    let definitions = registry.definitions();
    let found = match parts.as_slice() {
        ["apis", group] => {
            definitions.rows().find(|row| row.group == *group).map(|row| Ok(Route::Group(row.group)))
        }
        ["apis", group, version] => {
            let row = definitions.rows().find(|row| row.group == *group && row.version == *version);
            row.map(|row| Ok(Route::Resources(row.group, row.version)))
        }
        ["apis", group, version, rest @ ..] => resource(&definitions, (group, version), rest),
        _ => None,
    };
    found.unwrap_or(Err(failure))
}

/// A path below a version; none if it leads to nothing custom.
fn resource(
    definitions: &Definitions,
    (group, version): (&str, &str),
    rest: &[&str],
) -> Option<Result<Route, Failure>> {
    let (watch, rest) = match rest {
        ["watch", rest @ ..] if definitions.find(group, version, "watch").is_none() => (true, rest),
        _ => (false, rest),
    };
    let (namespace, plural, more) = match rest {
        ["namespaces", namespace, plural, more @ ..] => (Some(*namespace), plural, more),
        [plural, more @ ..] => (None, plural, more),
        [] => return None,
    };
    let custom = definitions.find(group, version, plural);
    let built_in = || definitions.built_in(group, version, plural);
    let kind = custom.as_ref().map(|served| served.version().kind).or_else(built_in)?;
    let (name, part) = match more {
        [] => (None, None),
        [name] => (Some(*name), None),
        [name, part] => (Some(*name), Some(*part)),
        _ => return None,
    };
    let sound =
        namespace.into_iter().chain(name).all(|segment| !segment.is_empty() && !segment.contains('/'));
    let placed = kind.namespaced == namespace.is_some() || (namespace.is_none() && name.is_none());
    if !sound || !placed || (watch && part.is_some()) {
        return None;
    }
    Some(target(custom, kind, (namespace, name, part), watch))
}

fn target(
    custom: Option<Served>,
    kind: &'static Kind,
    (namespace, name, part): (Option<&str>, Option<&str>, Option<&str>),
    watch: bool,
) -> Result<Route, Failure> {
    let name = name.map(str::to_owned);
    let subresource = match part {
        None => None,
        Some(part) => {
            let missing = || Failure::NotFound { kind, name: name.clone().unwrap_or_default() };
            Some(kind.subresource(part).ok_or_else(missing)?)
        }
    };
    let namespace = namespace.map(str::to_owned);
    Ok(Route::Resource(Target { kind, namespace, name, subresource, watch, custom }))
}
