//! URL paths: what a request is about.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;
use wherry_api::kinds::{self, KINDS, Kind, Subresource};

use crate::custom::Served;
use crate::error::Failure;

/// An object, a collection or a part of an object.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// The row of the resource.
    pub(crate) kind: &'static Kind,
    /// The namespace in the path.
    pub(crate) namespace: Option<String>,
    /// The object's name; none means the collection.
    pub(crate) name: Option<String>,
    /// The part of the object.
    pub(crate) subresource: Option<&'static Subresource>,
    /// Whether the path is of the older form that can only be watched: `/api/v1/watch/...`.
    pub(crate) watch: bool,
    /// The version of the definition that serves the resource, if it is a custom one.
    pub(crate) custom: Option<Served>,
}

/// Where a request leads.
#[derive(Debug, Clone)]
pub(crate) enum Route {
    /// `/api`: the versions of the core group.
    CoreVersions,
    /// `/apis`: the named groups.
    Groups,
    /// `/apis/G`: one group.
    Group(&'static str),
    /// `/api/v1`, `/apis/G/V`: the resources of a version.
    Resources(&'static str, &'static str),
    /// `/version`.
    Version,
    /// `/`: the paths there are.
    Root,
    /// `/metrics`.
    Metrics,
    /// `/livez`, `/readyz`, `/healthz`, and the one check that follows.
    Health(&'static str, Option<String>),
    /// `/openapi/v2`.
    OpenApiV2,
    /// `/openapi/v3`.
    OpenApiIndex,
    /// `/openapi/v3/...`: the document of one group version.
    OpenApi(String),
    /// `/.well-known/openid-configuration`: who issues tokens.
    OpenIdConfiguration,
    /// `/openid/v1/jwks`: the keys that tokens are signed with.
    OpenIdKeys,
    /// A resource.
    Resource(Target),
    /// `POST .../namespaces/N/bindings`, the older way to bind a Pod.
    Bindings(String),
}

impl Route {
    /// Finds where a path leads.
    pub(crate) fn parse(path: &str) -> Result<Self, Failure> {
        let segments = segments(path)?;
        let parts: Vec<&str> = segments.iter().map(AsRef::as_ref).collect();
        match parts.as_slice() {
            ["api"] => Ok(Self::CoreVersions),
            ["apis"] => Ok(Self::Groups),
            ["version"] => Ok(Self::Version),
            [""] => Ok(Self::Root),
            ["metrics"] => Ok(Self::Metrics),
            ["livez", check @ ..] => health("livez", check),
            ["readyz", check @ ..] => health("readyz", check),
            ["healthz", check @ ..] => health("healthz", check),
            [".well-known", "openid-configuration"] => Ok(Self::OpenIdConfiguration),
            ["openid", "v1", "jwks"] => Ok(Self::OpenIdKeys),
            ["openapi", "v2"] => Ok(Self::OpenApiV2),
            ["openapi", "v3"] => Ok(Self::OpenApiIndex),
            ["openapi", "v3", rest @ ..] => Ok(Self::OpenApi(rest.join("/"))),
            ["api", version, rest @ ..] => in_version("", version, rest),
            ["apis", group] => Ok(Self::Group(known_group(group)?)),
            ["apis", group, version, rest @ ..] => {
                known_group(group)?;
                in_version(group, version, rest)
            }
            _ => Err(Failure::NoSuchPath),
        }
    }
}

/// The segments of a path, decoded.
pub(crate) fn segments(path: &str) -> Result<Vec<Cow<'_, str>>, Failure> {
    let trimmed = path.strip_prefix('/').unwrap_or(path);
    let trimmed = trimmed.strip_suffix('/').unwrap_or(trimmed);
    let segments = trimmed.split('/').map(|s| percent_decode_str(s).decode_utf8());
    segments.collect::<Result<Vec<_>, _>>().map_err(|_| Failure::NoSuchPath)
}

fn health(endpoint: &'static str, check: &[&str]) -> Result<Route, Failure> {
    match check {
        [] => Ok(Route::Health(endpoint, None)),
        [check] => Ok(Route::Health(endpoint, Some((*check).to_owned()))),
        _ => Err(Failure::NoSuchPath),
    }
}

fn known_group(group: &str) -> Result<&'static str, Failure> {
    let row = KINDS.iter().find(|k| !k.group.is_empty() && k.group == group);
    row.map(|k| k.group).ok_or(Failure::NoSuchPath)
}

fn in_version(group: &str, version: &str, rest: &[&str]) -> Result<Route, Failure> {
    let row =
        KINDS.iter().find(|k| k.group == group && k.version == version).ok_or(Failure::NoSuchResource)?;
    if rest.is_empty() {
        return Ok(Route::Resources(row.group, row.version));
    }
    if let Some(route) = proxied(group, version, rest) {
        return Ok(route);
    }
    if rest.iter().any(|s| s.is_empty() || s.contains('/')) {
        return Err(Failure::NoSuchResource);
    }
    match rest {
        ["watch", of @ ..] if kinds::by_plural(group, version, "watch").is_none() => {
            watched(group, version, of)
        }
        ["namespaces", namespace, "bindings"] if group.is_empty() => {
            Ok(Route::Bindings((*namespace).to_owned()))
        }
        // A subresource of a Namespace looks like a collection inside it; subresource names are no plurals.
        ["namespaces", namespace, plural, more @ ..]
            if kinds::by_plural(group, version, plural).is_some()
                || !group.is_empty()
                || kinds::by_plural("", "v1", "namespaces")
                    .is_some_and(|k| k.subresource(plural).is_none()) =>
        {
            let kind = kinds::by_plural(group, version, plural).ok_or(Failure::NoSuchResource)?;
            if !kind.namespaced {
                return Err(Failure::NoSuchResource);
            }
            target(kind, Some(namespace), more)
        }
        [plural, more @ ..] => {
            let kind = kinds::by_plural(group, version, plural).ok_or(Failure::NoSuchResource)?;
            if kind.namespaced && !more.is_empty() {
                return Err(Failure::NoSuchResource);
            }
            target(kind, None, more)
        }
        [] => Err(Failure::NoSuchResource),
    }
}

/// A path that is passed on: what follows `proxy` is not this server's, whatever it looks like.
fn proxied(group: &str, version: &str, rest: &[&str]) -> Option<Route> {
    let (namespace, plural, name) = match rest {
        ["namespaces", namespace, plural, name, "proxy", ..] => (Some(*namespace), *plural, *name),
        [plural, name, "proxy", ..] => (None, *plural, *name),
        _ => return None,
    };
    let kind = kinds::by_plural(group, version, plural)?;
    let sound = [namespace.unwrap_or("-"), name].iter().all(|s| !s.is_empty() && !s.contains('/'));
    if !sound || kind.namespaced != namespace.is_some() {
        return None;
    }
    let subresource = Some(kind.subresource("proxy")?);
    let (namespace, name) = (namespace.map(str::to_owned), Some(name.to_owned()));
    Some(Route::Resource(Target { kind, namespace, name, subresource, watch: false, custom: None }))
}

fn target(kind: &'static Kind, namespace: Option<&&str>, more: &[&str]) -> Result<Route, Failure> {
    let (name, subresource) = match more {
        [] => (None, None),
        [name] => (Some((*name).to_owned()), None),
        [name, sub] => {
            let sub = kind.subresource(sub).ok_or(Failure::NoSuchResource)?;
            (Some((*name).to_owned()), Some(sub))
        }
        _ => return Err(Failure::NoSuchResource),
    };
    // What is only created has no paths but that of its creation.
    if kind.verbs == ["create"] && (name.is_some() || kind.namespaced != namespace.is_some()) {
        return Err(Failure::NoSuchResource);
    }
    let namespace = namespace.map(|n| (*n).to_owned());
    Ok(Route::Resource(Target { kind, namespace, name, subresource, watch: false, custom: None }))
}

/// A path after `/watch/`: a collection or an object of a resource that can be watched.
fn watched(group: &str, version: &str, rest: &[&str]) -> Result<Route, Failure> {
    match in_version(group, version, rest) {
        Ok(Route::Resource(target))
            if target.subresource.is_none() && !target.watch && target.kind.verbs.contains(&"watch") =>
        {
            Ok(Route::Resource(Target { watch: true, ..target }))
        }
        _ => Err(Failure::NoSuchResource),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn target(path: &str) -> Target {
        match Route::parse(path) {
            Ok(Route::Resource(target)) => target,
            other => panic!("{path} leads to {other:?}"),
        }
    }

    #[rstest]
    #[case("/api/v1/pods", "pods", None, None)]
    #[case("/api/v1/namespaces/a/pods/", "pods", Some("a"), None)]
    #[case("/api/v1/namespaces/a/pods/b%2Dc", "pods", Some("a"), Some("b-c"))]
    #[case("/api/v1/namespaces/a", "namespaces", None, Some("a"))]
    #[case("/apis/apps/v1/namespaces/a/deployments/d", "deployments", Some("a"), Some("d"))]
    fn paths_lead_to_resources(
        #[case] path: &str,
        #[case] plural: &str,
        #[case] namespace: Option<&str>,
        #[case] name: Option<&str>,
    ) {
        let target = target(path);
        let found = (target.kind.plural, target.namespace.as_deref(), target.name.as_deref());
        assert_eq!(found, (plural, namespace, name));
        assert!(!target.watch);
    }

    #[rstest]
    #[case("/api/v1/watch/pods", None, None)]
    #[case("/api/v1/watch/namespaces/a/pods", Some("a"), None)]
    #[case("/api/v1/watch/namespaces/a/pods/b", Some("a"), Some("b"))]
    fn the_older_form_of_a_watch_is_known(
        #[case] path: &str,
        #[case] namespace: Option<&str>,
        #[case] name: Option<&str>,
    ) {
        let target = target(path);
        assert_eq!((target.namespace.as_deref(), target.name.as_deref()), (namespace, name));
        assert!(target.watch);
    }

    #[rstest]
    #[case("/api/v1/namespaces/a/pods/http:b:80/proxy", Some("a"), "http:b:80")]
    #[case("/api/v1/namespaces/a/services/b/proxy/x//y%2F/proxy/", Some("a"), "b")]
    #[case("/api/v1/nodes/n:10250/proxy/", None, "n:10250")]
    fn what_follows_a_proxy_is_not_read(
        #[case] path: &str,
        #[case] namespace: Option<&str>,
        #[case] name: &str,
    ) {
        let target = target(path);
        assert_eq!((target.namespace.as_deref(), target.name.as_deref()), (namespace, Some(name)));
        assert_eq!(target.subresource.unwrap().name, "proxy");
    }

    #[rstest]
    #[case("/api/v1/namespaces/a/configmaps/b/proxy/x")]
    #[case("/api/v1/namespaces/a/nodes/b/proxy/x")]
    #[case("/api/v1/pods/b/proxy/x")]
    #[case("/api/v1/watch")]
    #[case("/api/v1/watch/watch/pods")]
    #[case("/api/v1/watch/namespaces/a/pods/b/status")]
    #[case("/api/v1/pods/a")]
    #[case("/api/v1/namespaces/a/nodes")]
    #[case("/api//v1")]
    #[case("/api/v1/namespaces/a/pods/a%2Fb")]
    fn other_paths_below_a_version_lead_nowhere(#[case] path: &str) {
        assert!(matches!(Route::parse(path), Err(Failure::NoSuchResource)), "{path}");
    }

    proptest! {
        #[test]
        fn any_path_leads_somewhere_or_nowhere(path in "(/(api|apis|v1|apps|watch|namespaces|pods|%2F|%|[a-z]{0,3})){0,8}|\\PC{0,40}") {
            let _ = Route::parse(&path);
        }

        #[test]
        fn a_name_is_found_as_it_was_encoded(name in "[^/]{1,20}") {
            let encoded = percent_encoding::utf8_percent_encode(&name, percent_encoding::NON_ALPHANUMERIC);
            let found = target(&format!("/api/v1/namespaces/a/pods/{encoded}"));
            prop_assert_eq!(found.name.as_deref(), Some(name.as_str()));
        }
    }
}
