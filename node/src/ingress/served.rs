//! What is to be served at one port, before it is made a table.

use wherry_ingress::{Certificate, Certificates, Host, Rule, Site, Table};

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct Served {
    /// The rules, of equal ones the first counts.
    pub(super) rules: Vec<Rule>,
    /// Which hosts are shown which certificates, where TLS is spoken; of several for a host the first counts.
    pub(super) certificates: Vec<(Host, Certificate)>,
    /// Whether it is.
    pub(super) is_secure: bool,
}

impl Served {
    /// This, and behind it that.
    pub(super) fn and(mut self, other: Self) -> Self {
        self.rules.extend(other.rules);
        self.certificates.extend(other.certificates);
        self
    }

    /// What a door is shown; hosts without a certificate are shown this one.
    pub(super) fn into_site(self, other: &Certificate) -> Site {
        let mut certificates = Certificates::default();
        for (host, certificate) in &self.certificates {
            certificates.add(host, certificate);
        }
        certificates.add(&Host::Any, other);
        Site { table: Table::new(self.rules), certificates }
    }
}
