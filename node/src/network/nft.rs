//! Applies one nftables script as one transaction, and what scripts have in common.

use std::collections::BTreeMap;
use std::io;

use wherry_api::ranges::IpFamily;
use wherry_nftables::Connection;

/// Why a script was not applied.
#[derive(Debug, thiserror::Error)]
pub enum NftError {
    /// The kernel refused it, or could not be asked.
    #[error("nftables was not changed")]
    Refused(#[source] wherry_nftables::Error),
    /// There are no threads to wait on.
    #[error("nftables was not changed: the process ends")]
    Ending(#[source] io::Error),
}

/// What a family is called: of a table, and of a packet's header.
pub(crate) fn header(family: IpFamily) -> &'static str {
    match family {
        IpFamily::V4 => "ip",
        IpFamily::V6 => "ip6",
    }
}

/// The type of a family's addresses.
pub(crate) fn address_type(family: IpFamily) -> &'static str {
    match family {
        IpFamily::V4 => "ipv4_addr",
        IpFamily::V6 => "ipv6_addr",
    }
}

/// The base chains of a table that translates destinations by its chain `lead`. After routing a client whose answers would
/// not come through here gets the node's address, and what the rules `more` say: the table's set `hairpin` has the Pods
/// that may be their own clients, each twice.
pub(crate) fn base_chains(family: IpFamily, lead: &str, more: &str) -> String {
    let ip = header(family);
    // In IPv6 nothing leaves by the node's loopback address.
    let from_loopback = match family {
        IpFamily::V4 => "ct status dnat ip saddr 127.0.0.0/8 oifname != \"lo\" masquerade\n    ",
        IpFamily::V6 => "",
    };
    format!(
        "chain prerouting {{
    type nat hook prerouting priority dstnat; policy accept;
    jump {lead}
  }}
  chain output {{
    type nat hook output priority -100; policy accept;
    jump {lead}
  }}
  chain postrouting {{
    type nat hook postrouting priority srcnat; policy accept;
    ct status dnat {ip} saddr . {ip} daddr @hairpin masquerade
    {from_loopback}{more}
  }}"
    )
}

/// The rules of chains, by their names.
pub(crate) type Chains = BTreeMap<String, Vec<String>>;

/// A script about one table, line by line.
pub(crate) struct Script {
    table: &'static str,
    /// What was written so far.
    pub(crate) text: String,
}

impl Script {
    /// Nothing yet, about the table of this family and name.
    pub(crate) fn about(table: &'static str) -> Self {
        Self { table, text: String::new() }
    }

    /// Writes a line.
    pub(crate) fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    /// Adds elements to a set or map of the table, or deletes them: no line if there are none.
    pub(crate) fn elements(&mut self, verb: &str, name: &str, elements: &[String]) {
        if !elements.is_empty() {
            self.line(&format!("{verb} element {} {name} {{ {} }}", self.table, elements.join(", ")));
        }
    }

    /// Leads from chains with some rules to chains with others. All chains exist, and none that goes refers to another, before
    /// the first rule is added.
    pub(crate) fn chains(&mut self, old: &Chains, new: &Chains) {
        let table = self.table;
        for chain in new.keys().filter(|chain| !old.contains_key(*chain)) {
            self.line(&format!("add chain {table} {chain}"));
        }
        for (chain, _) in old.iter().filter(|(chain, rules)| new.get(*chain) != Some(rules)) {
            self.line(&format!("flush chain {table} {chain}"));
        }
        for (chain, rules) in new.iter().filter(|(chain, rules)| old.get(*chain) != Some(rules)) {
            for rule in rules {
                self.line(&format!("add rule {table} {chain} {rule}"));
            }
        }
        for chain in old.keys().filter(|chain| !new.contains_key(*chain)) {
            self.line(&format!("delete chain {table} {chain}"));
        }
    }
}

/// Changes the kernel's rules, script after script.
#[derive(Default)]
pub(crate) struct Transactions {
    /// None before the first script, and after the last did not get there.
    connection: Option<Connection>,
}

impl Transactions {
    /// Applies a script. When this returns without an error, every rule of it is in force.
    pub(crate) async fn apply(&mut self, script: String) -> Result<(), NftError> {
        let known = self.connection.take();
        let applied = tokio::task::spawn_blocking(move || {
            let mut connection = known.map_or_else(Connection::open, Ok)?;
            connection.apply(&script)?;
            Ok(connection)
        });
        let connection = applied.await.map_err(|error| NftError::Ending(error.into()))?;
        self.connection = Some(connection.map_err(NftError::Refused)?);
        Ok(())
    }
}
