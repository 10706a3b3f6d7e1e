//! What components may import beyond what reaches nobody: told from the names of their imports, before anything of them runs.

use std::collections::BTreeSet;

use crate::level::Level;

/// Something that not every Pod gives its components.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Capability {
    /// To send requests.
    HttpClient,
    /// To open sockets, for servers and clients, and to look up names.
    Sockets,
}

impl Capability {
    /// All of them.
    pub(crate) const ALL: [Self; 2] = [Self::HttpClient, Self::Sockets];

    /// As the annotation has it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::HttpClient => "http-client",
            Self::Sockets => "sockets",
        }
    }

    /// What an import needs.
    pub(crate) fn of(import: &str) -> Option<Self> {
        let client = ["wasi:http/outgoing-handler@", "wasi:http/client@", "wasi:http/handler@"];
        if client.iter().any(|interface| import.starts_with(interface)) {
            return Some(Self::HttpClient);
        }
        let module = import.strip_prefix("wasi_snapshot_preview1.sock_").is_some();
        (module || import.starts_with("wasi:sockets/")).then_some(Self::Sockets)
    }
}

/// What a Pod gives its components.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Capabilities(BTreeSet<Capability>);

/// A component imports what its Pod does not give.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it imports {import}, for which the annotation run.wherry.dev/capabilities of its Pod lacks {:?}", needed.as_str())]
pub(crate) struct Missing {
    import: String,
    needed: Capability,
}

impl Capabilities {
    /// What is given in a namespace of this level to a Pod that asks for nothing.
    pub(crate) fn usual(level: Level) -> Self {
        match level {
            Level::Privileged | Level::Baseline => Self(Capability::ALL.into()),
            Level::Restricted => Self(BTreeSet::new()),
        }
    }

    /// Words as `http-client, sockets`; none of them is nothing.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
        let known = |word: &str| Capability::ALL.into_iter().find(|capability| capability.as_str() == word);
        words.map(known).collect::<Option<_>>().map(Self)
    }

    /// Whether these imports are given, by the first that is not.
    pub(crate) fn check(&self, imports: &[String]) -> Result<(), Missing> {
        for import in imports {
            if let Some(needed) = Capability::of(import).filter(|needed| !self.0.contains(needed)) {
                return Err(Missing { import: import.clone(), needed });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imports_need_what_they_reach() {
        let imports = [
            "wasi:io/streams@0.2.0",
            "wasi:http/types@0.2.3",
            "wasi:http/outgoing-handler@0.2.3",
            "wasi:sockets/tcp@0.2.0",
        ]
        .map(str::to_owned);
        assert_eq!(Capabilities::usual(Level::Baseline).check(&imports), Ok(()));
        let lacks = |text: &str, imports: &[String]| {
            Capabilities::parse(text).unwrap().check(imports).map_err(|missing| missing.to_string())
        };
        assert_eq!(lacks("http-client,sockets", &imports), Ok(()));
        assert_eq!(
            lacks("http-client", &imports).unwrap_err(),
            "it imports wasi:sockets/tcp@0.2.0, for which the annotation run.wherry.dev/capabilities of its Pod lacks \"sockets\""
        );
        assert_eq!(Capabilities::parse(""), Some(Capabilities::usual(Level::Restricted)));
        assert!(lacks("", &imports).unwrap_err().contains("lacks \"http-client\""));
        assert_eq!(lacks("", &imports[..2]), Ok(()), "types reach nobody");
        for (import, needed) in [
            ("wasi:http/client@0.3.0", "http-client"),
            ("wasi:http/handler@0.3.0", "http-client"),
            ("wasi:sockets/types@0.3.0", "sockets"),
            ("wasi:sockets/ip-name-lookup@0.3.0", "sockets"),
        ] {
            let refused = lacks("", &[import.to_owned()]).unwrap_err();
            assert!(refused.ends_with(&format!("lacks {needed:?}")), "{refused}");
        }
        assert_eq!(lacks("", &["wasi:http/types@0.3.0".to_owned()]), Ok(()));
        assert!(lacks("", &["wasi_snapshot_preview1.sock_accept".to_owned()]).is_err());
        assert_eq!(Capabilities::parse("sockets, files"), None);
    }
}
