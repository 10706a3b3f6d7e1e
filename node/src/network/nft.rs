//! Runs one nftables script as one transaction: all of it is applied, or nothing is.

use std::collections::BTreeMap;
use std::io;
use std::process::{Output, Stdio};

use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};

/// Why a script was not applied.
#[derive(Debug, thiserror::Error)]
pub enum NftError {
    /// The program is not there or does not start.
    #[error("cannot run nft: install the nftables package")]
    Start(#[source] io::Error),
    /// The script could not be handed over.
    #[error("cannot pass a script to nft")]
    Pipe(#[source] io::Error),
    /// The kernel or nft refused it.
    #[error("nft refused a script: {message}")]
    Refused {
        /// The first lines nft printed.
        message: String,
    },
}

/// The base chains of a table that translates destinations by its chain `lead`. After routing a client whose answers would
/// not come through here gets the node's address, and what the rules `more` say: the table's set `hairpin` has the Pods
/// that may be their own clients, each twice.
pub(crate) fn base_chains(lead: &str, more: &str) -> String {
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
    ct status dnat ip saddr . ip daddr @hairpin masquerade
    ct status dnat ip saddr 127.0.0.0/8 oifname != \"lo\" masquerade
    {more}
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

/// Applies a script. When this returns without an error, every rule of it is in force.
pub(crate) async fn apply(script: &str) -> Result<(), NftError> {
    run(start()?, script).await
}

/// For whoever applies scripts again and again: the program for the next one was started before and waits for it, so that a change
/// takes the time of the kernel and not that of starting a program. It ends with this process.
#[derive(Default)]
pub(crate) struct Standby {
    next: Option<Box<Child>>,
}

impl Standby {
    /// As [`apply`].
    pub(crate) async fn apply(&mut self, script: &str) -> Result<(), NftError> {
        let waiting = match self.next.as_mut().map(|child| child.try_wait()) {
            Some(Ok(None)) => self.next.take(),
            _ => None,
        };
        let applied = match waiting {
            Some(child) => run(*child, script).await,
            None => apply(script).await,
        };
        // What is in its way is told when the next script is applied.
        self.next = start().ok().map(Box::new);
        applied
    }
}

/// The program, which reads all of its script before it looks at what the kernel has.
fn start() -> Result<Child, NftError> {
    Command::new("nft")
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(NftError::Start)
}

async fn run(mut child: Child, script: &str) -> Result<(), NftError> {
    let mut stdin = child.stdin.take().expect("stdin is piped");
    let feed = async move {
        let written = stdin.write_all(script.as_bytes()).await;
        drop(stdin);
        written
    };
    let (written, output) = tokio::join!(feed, child.wait_with_output());
    let output = output.map_err(NftError::Pipe)?;
    check(&output)?;
    written.map_err(NftError::Pipe)
}

fn check(output: &Output) -> Result<(), NftError> {
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).take(3).collect();
    Err(NftError::Refused { message: lines.join("; ") })
}

#[cfg(test)]
mod tests {
    use super::super::testing::isolated;
    use super::*;

    #[test]
    fn who_waits_applies_the_next_script_and_is_replaced_if_it_is_gone() {
        isolated(|| async {
            let mut standby = Standby::default();
            standby.apply("add table ip waited\nadd chain ip waited one\n").await.unwrap();
            standby.apply("add chain ip waited two\n").await.unwrap();
            standby.next.as_mut().unwrap().kill().await.unwrap();
            standby.apply("add chain ip waited three\n").await.unwrap();
            let refused = standby.apply("add chain ip missing one\n").await;
            assert!(matches!(refused, Err(NftError::Refused { .. })), "{refused:?}");
            let listed = Command::new("nft").args(["list", "table", "ip", "waited"]).output().await.unwrap();
            let listed = String::from_utf8(listed.stdout).unwrap();
            for chain in ["chain one", "chain two", "chain three"] {
                assert!(listed.contains(chain), "{listed}");
            }
        });
    }
}
