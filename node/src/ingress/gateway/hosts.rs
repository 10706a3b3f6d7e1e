//! Hosts that a listener and a route are both about.

use wherry_ingress::Host;

/// What a hostname of the Gateway API means; a wildcard stands for one label or more.
pub(super) fn host(name: Option<&str>) -> Host {
    let name = name.unwrap_or_default().to_ascii_lowercase();
    match name.strip_prefix("*.") {
        _ if name.is_empty() => Host::Any,
        Some(domain) => Host::Below(domain.to_owned()),
        None => Host::Exactly(name),
    }
}

/// The hosts that both are about; none if there are none.
pub(super) fn both(listener: &Host, route: &Host) -> Option<Host> {
    let wider = |wide: &Host, narrow: &Host| match (wide, narrow) {
        (Host::Any, _) => true,
        (Host::Below(_), Host::Exactly(name)) => wide.holds(name),
        (Host::Below(domain), Host::Below(inner)) => inner == domain || wide.holds(inner),
        _ => wide == narrow,
    };
    if wider(listener, route) {
        Some(route.clone())
    } else {
        wider(route, listener).then(|| listener.clone())
    }
}

/// The hosts that a listener and a route of these names are both about; a route without names is about all.
pub(super) fn of_route(listener: Option<&str>, names: &[String]) -> Vec<Host> {
    let listener = host(listener);
    if names.is_empty() {
        return vec![listener];
    }
    names.iter().filter_map(|name| both(&listener, &host(Some(name)))).collect()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    /// The cases of upstream's HTTPRouteHostnameIntersection, and those of its field documentation.
    #[rstest]
    #[case(None, "a.com", Some("a.com"))]
    #[case(Some("very.specific.com"), "very.specific.com", Some("very.specific.com"))]
    #[case(Some("very.specific.com"), "non.matching.com", None)]
    #[case(Some("very.specific.com"), "*.specific.com", Some("very.specific.com"))]
    #[case(Some("very.specific.com"), "*.nonmatching.io", None)]
    #[case(Some("*.wildcard.io"), "foo.wildcard.io", Some("foo.wildcard.io"))]
    #[case(Some("*.wildcard.io"), "foo.bar.wildcard.io", Some("foo.bar.wildcard.io"))]
    #[case(Some("*.wildcard.io"), "wildcard.io", None)]
    #[case(Some("*.wildcard.io"), "*.wildcard.io", Some("*.wildcard.io"))]
    #[case(Some("*.anotherwildcard.io"), "*.wildcard.io", None)]
    #[case(Some("*.io"), "*.wildcard.io", Some("*.wildcard.io"))]
    #[case(Some("*.wildcard.io"), "*.io", Some("*.wildcard.io"))]
    fn http_route_hostname_intersection(
        #[case] listener: Option<&str>,
        #[case] route: &str,
        #[case] expected: Option<&str>,
    ) {
        let expected: Vec<Host> = expected.into_iter().map(|name| host(Some(name))).collect();
        assert_eq!(of_route(listener, &[route.to_owned()]), expected);
        assert_eq!(of_route(listener, &[]), [host(listener)]);
    }
}
