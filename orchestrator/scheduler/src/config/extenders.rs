//! Who else is asked about Pods (`extenders`).

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::SignedDuration;
use wherry_api::names::label_key;

use super::reader::Fields;
use crate::extender::{Settings, Tls, Verbs};

/// How long an extender may take if nothing else is said.
const TIMEOUT: Duration = Duration::from_secs(5);

/// What is said of all of them.
#[derive(Default)]
pub(super) struct Read {
    pub(super) extenders: Vec<Settings>,
    /// The resources that nodes need not have room for, since an extender looks after them.
    pub(super) ignored: Vec<String>,
}

/// Reads them.
pub(super) fn read(document: &mut Fields<'_>) -> Read {
    let (mut found, mut managed) = (Read::default(), BTreeSet::new());
    for mut extender in document.objects("extenders") {
        let settings = read_one(&mut extender, &mut managed, &mut found.ignored);
        found.extenders.push(settings);
    }
    let binders = found.extenders.iter().filter(|extender| extender.verbs.bind.is_some()).count();
    if binders > 1 {
        let value = format!("\"found {binders} extenders implementing bind\"");
        document.errors.invalid("extenders", value, "only one extender can implement bind");
    }
    found
}

fn read_one(
    extender: &mut Fields<'_>,
    managed: &mut BTreeSet<String>,
    ignored: &mut Vec<String>,
) -> Settings {
    let mut verb = |field: &str| extender.text(field).filter(|verb| !verb.is_empty());
    let verbs = Verbs {
        filter: verb("filterVerb"),
        prioritize: verb("prioritizeVerb"),
        preempt: verb("preemptVerb"),
        bind: verb("bindVerb"),
    };
    let weight = extender.int("weight").unwrap_or(0);
    if verbs.prioritize.is_some() && weight <= 0 {
        extender.errors.invalid(&extender.at("weight"), weight, "must have a positive weight applied to it");
    }
    let is_https = extender.flag("enableHTTPS").unwrap_or(false);
    Settings {
        url: read_url(extender),
        verbs,
        weight,
        tls: read_tls(extender, is_https),
        timeout: read_timeout(extender),
        knows_nodes: extender.flag("nodeCacheCapable").unwrap_or(false),
        managed: read_managed(extender, managed, ignored),
        is_ignorable: extender.flag("ignorable").unwrap_or(false),
    }
}

fn read_url(extender: &mut Fields<'_>) -> String {
    let url = extender.text("urlPrefix").unwrap_or_default();
    let parsed = url.parse::<http::Uri>().ok().filter(|url| {
        matches!(url.scheme_str(), Some("http" | "https"))
            && url.authority().is_some()
            && url.query().is_none()
    });
    if parsed.is_none() {
        let why = "must be the URL of an extender, such as http://127.0.0.1:8888/prefix";
        extender.errors.invalid(&extender.at("urlPrefix"), format!("{url:?}"), why);
    }
    url
}

fn read_tls(extender: &mut Fields<'_>, is_https: bool) -> Tls {
    let mut tls = Tls::default();
    if let Some(mut fields) = extender.object("tlsConfig") {
        tls.insecure = fields.flag("insecure").unwrap_or(false);
        let mut text = |field: &str| fields.text(field).filter(|text| !text.is_empty());
        tls.server_name = text("serverName");
        (tls.cert_file, tls.cert_data) = (text("certFile"), text("certData"));
        (tls.key_file, tls.key_data) = (text("keyFile"), text("keyData"));
        (tls.ca_file, tls.ca_data) = (text("caFile"), text("caData"));
        let has_authority = tls.ca_file.is_some() || tls.ca_data.is_some();
        if tls.insecure && has_authority {
            let why = "specifying a root certificates file with the insecure flag is not allowed";
            fields.errors.invalid(&fields.at("insecure"), true, why);
        }
    }
    // As upstream has it: without an authority whoever answers is believed.
    tls.insecure |= is_https && tls.ca_file.is_none() && tls.ca_data.is_none();
    tls
}

fn read_timeout(extender: &mut Fields<'_>) -> Duration {
    let Some(text) = extender.text("httpTimeout") else { return TIMEOUT };
    match text.parse::<SignedDuration>().ok().and_then(|read| Duration::try_from(read).ok()) {
        Some(Duration::ZERO) => TIMEOUT,
        Some(timeout) => timeout,
        None => {
            let why = "must be a duration, such as 5s";
            extender.errors.invalid(&extender.at("httpTimeout"), format!("{text:?}"), why);
            TIMEOUT
        }
    }
}

fn read_managed(
    extender: &mut Fields<'_>,
    managed: &mut BTreeSet<String>,
    ignored: &mut Vec<String>,
) -> Vec<String> {
    let mut names = Vec::new();
    for mut resource in extender.objects("managedResources") {
        let name = resource.text("name").unwrap_or_default();
        let path = resource.at("name");
        if let Err(why) = label_key(&name) {
            resource.errors.invalid(&path, format!("{name:?}"), &why);
        } else if !is_extended(&name) {
            resource.errors.invalid(&path, format!("{name:?}"), "is an invalid extended resource name");
        }
        if !managed.insert(name.clone()) {
            let why = "duplicate extender managed resource name";
            resource.errors.invalid(&path, format!("{name:?}"), why);
        }
        if resource.flag("ignoredByScheduler").unwrap_or(false) {
            ignored.push(name.clone());
        }
        names.push(name);
    }
    names
}

/// Whether a resource is none that Kubernetes knows itself.
fn is_extended(name: &str) -> bool {
    name.contains('/') && !name.contains("kubernetes.io/") && !name.starts_with("requests.")
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use crate::config::Configuration;

    fn parse(extenders: &Value) -> Result<Configuration, String> {
        let document = json!({
            "apiVersion": "kubescheduler.config.k8s.io/v1", "kind": "KubeSchedulerConfiguration",
            "extenders": extenders,
        });
        Configuration::parse(document).map_err(|error| error.to_string())
    }

    #[test]
    fn what_upstream_documents_is_read() {
        let found = parse(&json!([{
            "urlPrefix": "http://127.0.0.1:80/prefix", "filterVerb": "filter", "prioritizeVerb": "prioritize",
            "weight": 3, "bindVerb": "bind", "enableHTTPS": true, "nodeCacheCapable": true, "ignorable": true,
            "httpTimeout": "1m30s", "tlsConfig": { "insecure": true, "serverName": "n" },
            "managedResources": [
                { "name": "example.com/foo", "ignoredByScheduler": true }, { "name": "example.com/bar" },
            ],
        }]))
        .unwrap();
        let extender = &found.extenders[0];
        assert_eq!((extender.weight, extender.timeout.as_secs()), (3, 90));
        assert_eq!(extender.managed, ["example.com/foo", "example.com/bar"]);
        assert_eq!(found.profiles[0].profile.args.fit.ignored, ["example.com/foo"]);
        assert_eq!(
            (extender.verbs.filter.as_deref(), extender.verbs.preempt.as_deref()),
            (Some("filter"), None)
        );
    }

    #[rstest]
    #[case::weight(
        json!([{ "urlPrefix": "http://a", "prioritizeVerb": "p" }]),
        "extenders[0].weight: Invalid value: 0: must have a positive weight applied to it"
    )]
    #[case::binders(
        json!([{ "urlPrefix": "http://a", "bindVerb": "b" }, { "urlPrefix": "http://b", "bindVerb": "b" }]),
        "extenders: Invalid value: \"found 2 extenders implementing bind\": only one extender can implement bind"
    )]
    #[case::twice(
        json!([{ "urlPrefix": "http://a", "managedResources": [{ "name": "e.com/a" }, { "name": "e.com/a" }] }]),
        "extenders[0].managedResources[1].name: Invalid value: \"e.com/a\": duplicate extender managed resource name"
    )]
    #[case::not_extended(
        json!([{ "urlPrefix": "http://a", "managedResources": [{ "name": "cpu" }] }]),
        "extenders[0].managedResources[0].name: Invalid value: \"cpu\": is an invalid extended resource name"
    )]
    #[case::unknown(
        json!([{ "urlPrefix": "http://a", "filter": "f" }]),
        "strict decoding error: unknown field \"extenders[0].filter\""
    )]
    fn what_is_wrong_is_said(#[case] extenders: Value, #[case] expected: &str) {
        assert_eq!(parse(&extenders).unwrap_err(), expected);
    }
}
