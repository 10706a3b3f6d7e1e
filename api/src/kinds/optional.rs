//! Resources that are served only where `--runtime-config` switches them on: those of beta versions.
//!
//! They are what rows of the kinds table are, but no part of it, so that whoever goes through the table sees what every
//! server serves.

use super::parts::own;
use super::table::{CLUSTER, CORE, OBJECT_VERBS};
use super::{KINDS, Kind};

const CERTIFICATES: &str = "certificates.k8s.io";

/// Every resource that can be switched on.
pub static OPTIONAL: &[Kind] = &[
    Kind {
        group: CERTIFICATES,
        version: "v1beta1",
        kind: "ClusterTrustBundle",
        plural: "clustertrustbundles",
        singular: "clustertrustbundle",
        storage: "certificates.k8s.io/clustertrustbundles",
        ..CLUSTER
    },
    Kind {
        group: CERTIFICATES,
        version: "v1beta1",
        kind: "PodCertificateRequest",
        plural: "podcertificaterequests",
        singular: "podcertificaterequest",
        subresources: &[own("status", "PodCertificateRequest", OBJECT_VERBS)],
        storage: "certificates.k8s.io/podcertificaterequests",
        ..CORE
    },
];

/// The row of a kind name that can be switched on.
pub fn optional(group: &str, kind: &str) -> Option<&'static Kind> {
    OPTIONAL.iter().find(|row| row.group == group && row.kind == kind)
}

/// Which resources are served besides those of the kinds table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SwitchedOn(Vec<&'static Kind>);

/// A setting of `--runtime-config` that cannot be followed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuntimeConfigError {
    /// Neither `NAME` nor `NAME=true` nor `NAME=false`.
    #[error("{0:?} is no setting: say GROUP/VERSION=true, GROUP/VERSION/RESOURCE=true or api/beta=true")]
    Form(String),
    /// There is no such version, or no such resource in it.
    #[error("there is no API {0:?} to switch on or off")]
    Unknown(String),
    /// It is served always.
    #[error("{0:?} is always served and cannot be switched off")]
    Always(String),
}

/// What a setting names, from what it is least particular about on: what comes later decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Scope {
    All,
    Stability,
    Version,
    Resource,
}

impl SwitchedOn {
    /// Reads settings as kube-apiserver's flag has them: `GROUP/VERSION`, `GROUP/VERSION/RESOURCE`, `api/all`,
    /// `api/beta`, `api/alpha` or `api/ga`, each with `=true` (or nothing) or `=false`. What is named more exactly decides.
    pub fn parse(settings: &str) -> Result<Self, RuntimeConfigError> {
        let settings = settings.split(',').map(str::trim).filter(|setting| !setting.is_empty());
        let mut read = settings.map(Setting::parse).collect::<Result<Vec<_>, _>>()?;
        // Of two that are as exact the later one decides.
        read.sort_by_key(|setting| setting.scope);
        let on = |kind: &&Kind| read.iter().rev().find(|s| s.covers(kind)).is_some_and(|s| s.on);
        Ok(Self(OPTIONAL.iter().filter(on).collect()))
    }

    /// Everything that can be switched on.
    pub fn all() -> Self {
        Self(OPTIONAL.iter().collect())
    }

    /// The resources.
    pub fn rows(&self) -> impl Iterator<Item = &'static Kind> + Clone + use<'_> {
        self.0.iter().copied()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The row of a resource name.
    pub fn by_plural(&self, group: &str, version: &str, plural: &str) -> Option<&'static Kind> {
        self.rows().find(|row| (row.group, row.version, row.plural) == (group, version, plural))
    }

    /// Whether a kind is among them.
    pub fn has(&self, group: &str, kind: &str) -> bool {
        self.rows().any(|row| (row.group, row.kind) == (group, kind))
    }
}

/// One setting.
#[derive(Debug)]
struct Setting<'a> {
    scope: Scope,
    group: &'a str,
    version: &'a str,
    resource: &'a str,
    on: bool,
}

impl<'a> Setting<'a> {
    fn parse(setting: &'a str) -> Result<Self, RuntimeConfigError> {
        let form = || RuntimeConfigError::Form(setting.to_owned());
        let (name, on) = match setting.split_once('=') {
            None => (setting, true),
            Some((name, "true" | "")) => (name, true),
            Some((name, "false")) => (name, false),
            Some(_) => return Err(form()),
        };
        let parts: Vec<&str> = name.split('/').collect();
        let (scope, group, version, resource) = match *parts.as_slice() {
            ["api", "all"] => (Scope::All, "", "", ""),
            ["api", stability @ ("ga" | "beta" | "alpha")] => (Scope::Stability, "", stability, ""),
            // The core group has no name.
            ["v1"] => (Scope::Version, "", "v1", ""),
            ["v1", resource] => (Scope::Resource, "", "v1", resource),
            [group, version] => (Scope::Version, group, version, ""),
            [group, version, resource] => (Scope::Resource, group, version, resource),
            _ => return Err(form()),
        };
        let setting = Self { scope, group, version, resource, on };
        setting.check(name).map(|()| setting)
    }

    /// Refuses what names nothing, or switches off what is served always.
    fn check(&self, name: &str) -> Result<(), RuntimeConfigError> {
        let always = KINDS.iter().any(|row| self.covers(row));
        if always && !self.on {
            return Err(RuntimeConfigError::Always(name.to_owned()));
        }
        let known = always || OPTIONAL.iter().any(|row| self.covers(row)) || self.scope <= Scope::Stability;
        if known { Ok(()) } else { Err(RuntimeConfigError::Unknown(name.to_owned())) }
    }

    fn covers(&self, row: &Kind) -> bool {
        let stability = match row.version {
            version if version.contains("alpha") => "alpha",
            version if version.contains("beta") => "beta",
            _ => "ga",
        };
        match self.scope {
            Scope::All => true,
            Scope::Stability => self.version == stability,
            Scope::Version => (self.group, self.version) == (row.group, row.version),
            Scope::Resource => {
                (self.group, self.version, self.resource) == (row.group, row.version, row.plural)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    const BOTH: [&str; 2] = ["clustertrustbundles", "podcertificaterequests"];

    #[rstest]
    #[case::nothing("", &[])]
    #[case::a_version("certificates.k8s.io/v1beta1=true", &BOTH)]
    #[case::without_a_value("certificates.k8s.io/v1beta1", &BOTH)]
    #[case::with_an_empty_one("certificates.k8s.io/v1beta1=", &BOTH)]
    #[case::a_resource("certificates.k8s.io/v1beta1/clustertrustbundles=true", &BOTH[..1])]
    #[case::beta("api/beta=true", &BOTH)]
    #[case::all(" api/all=true ,", &BOTH)]
    #[case::alpha("api/alpha=true", &[])]
    #[case::stable("api/ga=true,apps/v1=true,v1=true,v1/pods=true", &[])]
    #[case::the_more_exact("certificates.k8s.io/v1beta1/podcertificaterequests=false,api/beta=true", &BOTH[..1])]
    #[case::the_later("api/beta=true,api/beta=false", &[])]
    fn what_is_switched_on_is_served(#[case] settings: &str, #[case] expected: &[&str]) {
        let on = SwitchedOn::parse(settings).unwrap();
        assert_eq!(on.rows().map(|row| row.plural).collect::<Vec<_>>(), expected);
        assert_eq!(on.is_empty(), expected.is_empty());
    }

    #[rstest]
    #[case("certificates.k8s.io/v9=true", "there is no API \"certificates.k8s.io/v9\"")]
    #[case("certificates.k8s.io/v1beta1/pods", "there is no API")]
    #[case("nope/v1=false", "there is no API")]
    #[case("certificates.k8s.io/v1beta1=yes", "is no setting")]
    #[case("a/b/c/d", "is no setting")]
    #[case("beta", "is no setting")]
    #[case("apps/v1=false", "\"apps/v1\" is always served")]
    #[case("api/all=false", "\"api/all\" is always served")]
    #[case("api/ga=false", "\"api/ga\" is always served")]
    fn what_cannot_be_followed_is_refused(#[case] settings: &str, #[case] expected: &str) {
        let error = SwitchedOn::parse(settings).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in r"([a-z0-9./=, ]|\PC){0,60}") {
            if let Ok(on) = SwitchedOn::parse(&text) {
                prop_assert!(on.rows().count() <= OPTIONAL.len());
            }
        }
    }

    #[test]
    fn no_row_is_in_both_tables() {
        for row in OPTIONAL {
            assert!(!KINDS.iter().any(|other| other.storage == row.storage), "{}", row.plural);
            assert!(row.verbs.is_sorted() && optional(row.group, row.kind) == Some(row));
        }
    }
}
