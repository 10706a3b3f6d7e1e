//! All that a door leads to. It is exchanged as a whole, so a request sees the rules of one time.

use std::collections::HashSet;
use std::net::SocketAddr;

use crate::certificates::Certificates;
use crate::rule::{Action, Forward};
use crate::table::Table;

/// What a door leads to.
#[derive(Debug, Default)]
pub struct Site {
    /// The rules.
    pub table: Table,
    /// Which certificate a name is shown, where the door speaks TLS.
    pub certificates: Certificates,
}

impl Site {
    /// The endpoints that its rules name.
    pub(crate) fn endpoints(&self) -> HashSet<SocketAddr> {
        let forwards = self.table.rules().iter().filter_map(|rule| match &rule.action {
            Action::Forward(forward) => Some(&**forward),
            Action::Redirect(_) | Action::Answer(_) => None,
        });
        let backends = forwards.flat_map(Forward::leads_to);
        backends.flat_map(|backend| backend.endpoints.iter().copied()).collect()
    }
}
