//! What the operator configured: a list of plugins, from a directory of files.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Ends the names of files that are looked at.
const ENDINGS: [&str; 3] = ["conf", "conflist", "json"];

/// A version of the specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Version {
    /// 0.3.0
    #[serde(rename = "0.3.0")]
    V030,
    /// 0.3.1
    #[serde(rename = "0.3.1")]
    V031,
    /// 0.4.0, the first with CHECK.
    #[serde(rename = "0.4.0")]
    V040,
    /// 1.0.0
    #[serde(rename = "1.0.0")]
    V100,
    /// 1.1.0, the first with STATUS and GC.
    #[serde(rename = "1.1.0")]
    V110,
}

impl Version {
    const ALL: [(Self, &str); 5] = [
        (Self::V030, "0.3.0"),
        (Self::V031, "0.3.1"),
        (Self::V040, "0.4.0"),
        (Self::V100, "1.0.0"),
        (Self::V110, "1.1.0"),
    ];

    /// The version of this name, if it is supported.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(_, name)| *name == text).map(|(version, _)| version)
    }

    /// Its name.
    pub fn as_str(self) -> &'static str {
        Self::ALL.into_iter().find(|(version, _)| *version == self).map_or("", |(_, name)| name)
    }
}

/// Plugins that make a network together, in their order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkList {
    /// The network's name.
    pub name: String,
    /// The version plugins are spoken to in.
    pub version: Version,
    /// Whether attachments are not to be checked.
    pub disable_check: bool,
    /// Whether plugins are not to be told which attachments there are.
    pub disable_gc: bool,
    /// The plugins' own configurations, each an object with a `type`.
    pub plugins: Vec<Map<String, Value>>,
}

/// Why there is no network.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The directory has no configuration.
    #[error("no network config found in {}", directory.display())]
    None {
        /// The directory.
        directory: PathBuf,
    },
    /// It cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The directory, or a file in it.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The first file is no configuration.
    #[error("{} cannot be used: {reason}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

impl NetworkList {
    /// The configuration of a directory: its first file by name, as container runtimes choose it.
    pub fn load(directory: &Path) -> Result<Self, ConfigError> {
        let none = || ConfigError::None { directory: directory.to_owned() };
        let entries = match fs::read_dir(directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(none()),
            Err(source) => return Err(ConfigError::Read { path: directory.to_owned(), source }),
        };
        let is_one = |path: &PathBuf| {
            let ending = path.extension().and_then(|ending| ending.to_str());
            ending.is_some_and(|ending| ENDINGS.contains(&ending)) && path.is_file()
        };
        let path = entries.flatten().map(|entry| entry.path()).filter(is_one).min().ok_or_else(none)?;
        let bytes = fs::read(&path).map_err(|source| ConfigError::Read { path: path.clone(), source })?;
        Self::parse(&bytes).map_err(|reason| ConfigError::Invalid { path, reason })
    }

    /// Whether its plugins can be asked how they are.
    pub fn tells_status(&self) -> bool {
        self.version >= Version::V110
    }

    /// A list, or the configuration of one plugin.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let mut said: Map<String, Value> =
            serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        let name = said.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
        check_name(&name)?;
        let version = version(&said)?;
        let flag = |said: &Map<String, Value>, name: &str| match said.get(name) {
            None | Some(Value::Bool(false)) => Ok(false),
            Some(Value::Bool(true)) => Ok(true),
            // libcni takes them as texts, too.
            Some(Value::String(text)) if text == "true" || text == "false" => Ok(text == "true"),
            Some(other) => Err(format!("{name} is {other}, not true or false")),
        };
        let (disable_check, disable_gc) = (flag(&said, "disableCheck")?, flag(&said, "disableGC")?);
        let plugins = match said.remove("plugins") {
            None => vec![said],
            Some(Value::Array(all)) => all
                .into_iter()
                .map(|plugin| match plugin {
                    Value::Object(plugin) => Ok(plugin),
                    other => Err(format!("plugins has {other}, which is no object")),
                })
                .collect::<Result<_, _>>()?,
            Some(other) => return Err(format!("plugins is {other}, not a list")),
        };
        if plugins.is_empty() {
            return Err("plugins is empty".to_owned());
        }
        plugins.iter().try_for_each(|plugin| kind(plugin).map(drop))?;
        Ok(Self { name, version, disable_check, disable_gc, plugins })
    }
}

/// The name of a plugin's program.
pub(crate) fn kind(plugin: &Map<String, Value>) -> Result<&str, String> {
    let kind = plugin.get("type").and_then(Value::as_str).unwrap_or_default();
    if kind.is_empty() || kind.contains(['/', '\\', '\0']) || kind.starts_with('.') {
        return Err(format!("a plugin has the type {kind:?}, which is no name of a program"));
    }
    Ok(kind)
}

/// As the specification says: it begins with a letter or a digit, dots, underscores and dashes may follow.
fn check_name(name: &str) -> Result<(), String> {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    if name.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric()) && name.bytes().all(word) {
        return Ok(());
    }
    Err(format!(
        "name is {name:?}: it has to begin with a letter or a digit, and to have letters, digits, '_', '.' and '-' only"
    ))
}

/// The highest version that is asked for and supported.
fn version(said: &Map<String, Value>) -> Result<Version, String> {
    let one = said.get("cniVersion").into_iter();
    let more = said.get("cniVersions").and_then(Value::as_array).into_iter().flatten();
    let asked: Vec<&str> = one.chain(more).filter_map(Value::as_str).collect();
    asked.iter().filter_map(|text| Version::parse(text)).max().ok_or_else(|| {
        format!("cniVersion is {:?}; versions from 0.3.0 to 1.1.0 are supported", asked.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_list_and_one_plugin_alone_are_read() {
        let list = NetworkList::parse(
            br#"{"cniVersion": "0.4.0", "cniVersions": ["1.0.0", "9.9.9"], "name": "pods", "disableCheck": true,
                "plugins": [{"type": "bridge", "mtu": 1400}, {"type": "portmap", "capabilities": {"portMappings": true}}]}"#,
        )
        .unwrap();
        assert_eq!((list.name.as_str(), list.version), ("pods", Version::V100));
        assert!(list.disable_check && !list.disable_gc);
        assert_eq!(list.plugins[0]["mtu"], 1400);
        let one = NetworkList::parse(br#"{"cniVersion": "0.3.1", "name": "p", "type": "ptp", "ipam": {}}"#)
            .unwrap();
        assert_eq!((one.plugins.len(), one.version.as_str()), (1, "0.3.1"));
    }

    #[test]
    fn what_cannot_be_used_says_why() {
        let cases = [
            ("{", "EOF"),
            (r#"{"cniVersion": "1.0.0", "name": "a b", "type": "x"}"#, "\"a b\""),
            (r#"{"cniVersion": "0.2.0", "name": "a", "type": "x"}"#, "0.3.0 to 1.1.0"),
            (r#"{"cniVersion": "1.0.0", "name": "a", "type": "../sh"}"#, "../sh"),
            (r#"{"cniVersion": "1.0.0", "name": "a", "plugins": []}"#, "empty"),
            (r#"{"cniVersion": "1.0.0", "name": "a", "plugins": [1]}"#, "no object"),
            (r#"{"cniVersion": "1.0.0", "name": "a", "type": "x", "disableCheck": 1}"#, "disableCheck"),
        ];
        for (text, expected) in cases {
            let reason = NetworkList::parse(text.as_bytes()).unwrap_err();
            assert!(reason.contains(expected), "{text}: {reason}");
        }
    }

    #[test]
    fn the_first_file_by_name_counts_even_if_it_is_broken() {
        let dir = tempfile::tempdir().unwrap();
        let load = || NetworkList::load(dir.path());
        assert!(matches!(load(), Err(ConfigError::None { .. })));
        let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
        write("00-readme.txt", "");
        write("20-b.conf", r#"{"cniVersion": "1.0.0", "name": "b", "type": "x"}"#);
        assert_eq!(load().unwrap().name, "b");
        write("10-a.conflist", r#"{"cniVersion": "1.0.0", "name": "a", "plugins": [{"type": "x"}]}"#);
        assert_eq!(load().unwrap().name, "a");
        write("05-c.json", "{");
        assert!(load().unwrap_err().to_string().contains("05-c.json"));
        assert!(matches!(NetworkList::load(&dir.path().join("none")), Err(ConfigError::None { .. })));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200), name in ".{0,9}", kind in ".{0,9}") {
            let _ = NetworkList::parse(&bytes);
            let text = serde_json::json!({"cniVersion": "1.1.0", "name": name, "plugins": [{"type": kind}]}).to_string();
            if let Ok(list) = NetworkList::parse(text.as_bytes()) {
                prop_assert_eq!(&list.name, &name);
                prop_assert!(!kind.contains('/') && !kind.is_empty());
            }
        }
    }
}
