//! What the annotations of a Pod ask of the runtime.
//!
//! | annotation | value | |
//! |---|---|---|
//! | `run.wherry.dev/blobstore` | `/data` | the mount in whose volume `wasi:blobstore` has its containers |
//! | `run.wherry.dev/capabilities` | `http-client, sockets` | what components may import, of what reaches others |
//! | `run.wherry.dev/core-dumps` | `/data` | the mount in whose volume the core dumps of guests that trap are written |
//! | `run.wherry.dev/egress` | `10.0.0.0/8, 192.0.2.7, *.example.com` | the addresses and hosts that guests may reach |
//! | `run.wherry.dev/level` | `baseline` | what its namespace is held to; the API server writes it |
//! | `run.wherry.dev/in-process` | `false` | whether its requests to guests of this process are handed over, without a connection |
//! | `run.wherry.dev/instance-reuse` | `1000` | how many requests an instance may answer, one after the other |
//! | `run.wherry.dev/keyvalue` | `/data`, `redis` | the mount in whose volume `wasi:keyvalue` has its buckets, or the node's Redis |
//! | `run.wherry.dev/request-timeout` | `30s`, `1m 30s` | how long a request to a server may take, with its response |

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use jiff::SignedDuration;

use crate::capabilities::Capabilities;
use crate::egress::Egress;
use crate::level::Level;

/// The beginning of all our annotations.
const PREFIX: &str = "run.wherry.dev/";
const BLOBSTORE: &str = "run.wherry.dev/blobstore";
const CAPABILITIES: &str = "run.wherry.dev/capabilities";
const CORE_DUMPS: &str = "run.wherry.dev/core-dumps";
const EGRESS: &str = "run.wherry.dev/egress";
const LEVEL: &str = "run.wherry.dev/level";
const IN_PROCESS: &str = "run.wherry.dev/in-process";
const INSTANCE_REUSE: &str = "run.wherry.dev/instance-reuse";
const KEYVALUE: &str = "run.wherry.dev/keyvalue";
const REQUEST_TIMEOUT: &str = "run.wherry.dev/request-timeout";

/// What was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    /// The mount in whose volume blobs are.
    pub(crate) blobstore: Option<String>,
    /// What its components may import.
    pub(crate) capabilities: Capabilities,
    /// The mount in whose volume core dumps are written.
    pub(crate) core_dumps: Option<String>,
    /// What its guests may reach.
    pub(crate) egress: Egress,
    /// Whether its requests to guests of this process are handed over.
    pub(crate) in_process: bool,
    /// How many requests an instance may answer, one after the other.
    pub(crate) instance_reuse: NonZeroU32,
    /// Where buckets are, if not in memory.
    pub(crate) keyvalue: Option<Keyvalue>,
    /// How long a request may take, with its response.
    pub(crate) request_timeout: Option<Duration>,
}

/// Where the buckets of a Pod are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Keyvalue {
    /// In the volume of this mount.
    Mount(String),
    /// In the node's Redis.
    Redis,
}

/// An annotation that asks for nothing there is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SettingError {
    /// Nobody knows it.
    #[error("the annotation {0:?} is not known")]
    Unknown(String),
    /// Its value makes no sense.
    #[error("the annotation {name:?} has the value {value:?}, which is not {expected}")]
    Value {
        /// The annotation.
        name: &'static str,
        /// Its value.
        value: String,
        /// What it could be.
        expected: &'static str,
    },
}

impl Settings {
    /// What is given to a Pod that asks for nothing, in a namespace of this level.
    fn usual(level: Level) -> Self {
        let capabilities = Capabilities::usual(level);
        Self {
            blobstore: None,
            capabilities,
            core_dumps: None,
            egress: Egress::usual(level),
            in_process: true,
            instance_reuse: NonZeroU32::MIN,
            keyvalue: None,
            request_timeout: None,
        }
    }

    /// Reads all annotations that are the runtime's.
    pub(crate) fn read(annotations: &BTreeMap<String, String>) -> Result<Self, SettingError> {
        let level = annotations.get(LEVEL).map_or(Ok(Level::default()), |value| {
            parsed(LEVEL, value, "privileged, baseline or restricted", Level::parse(value))
        })?;
        let mut settings = Self::usual(level);
        for (name, value) in annotations.range(PREFIX.to_owned()..) {
            if !name.starts_with(PREFIX) {
                break;
            }
            match name.as_str() {
                BLOBSTORE => settings.blobstore = Some(mount(BLOBSTORE, value)?),
                CAPABILITIES => {
                    let known = "a list of http-client and sockets, or empty";
                    settings.capabilities = parsed(CAPABILITIES, value, known, Capabilities::parse(value))?;
                }
                CORE_DUMPS => settings.core_dumps = Some(mount(CORE_DUMPS, value)?),
                EGRESS => {
                    let known = "a list of CIDRs and hosts, as 10.0.0.0/8, 192.0.2.7, *.example.com";
                    settings.egress = parsed(EGRESS, value, known, Egress::parse(value, level))?;
                }
                LEVEL => {}
                IN_PROCESS => {
                    settings.in_process = parsed(IN_PROCESS, value, "true or false", value.parse().ok())?;
                }
                INSTANCE_REUSE => {
                    let known = "a number above zero, as 1000";
                    settings.instance_reuse = parsed(INSTANCE_REUSE, value, known, value.parse().ok())?;
                }
                KEYVALUE if value == "redis" => settings.keyvalue = Some(Keyvalue::Redis),
                KEYVALUE => {
                    let known = "redis, or the path of a mount, as /data";
                    let place = path(value).map(Keyvalue::Mount);
                    settings.keyvalue = Some(parsed(KEYVALUE, value, known, place)?);
                }
                REQUEST_TIMEOUT => {
                    let known = "a duration above zero, as 30s or 1m 30s";
                    settings.request_timeout = Some(parsed(REQUEST_TIMEOUT, value, known, duration(value))?);
                }
                _ => return Err(SettingError::Unknown(name.clone())),
            }
        }
        Ok(settings)
    }
}

fn mount(name: &'static str, value: &str) -> Result<String, SettingError> {
    parsed(name, value, "the path of a mount, as /data", path(value))
}

fn path(value: &str) -> Option<String> {
    Some(value.to_owned()).filter(|value| value.starts_with('/'))
}

fn duration(value: &str) -> Option<Duration> {
    let duration = Duration::try_from(value.parse::<SignedDuration>().ok()?).ok()?;
    Some(duration).filter(|duration| !duration.is_zero())
}

fn parsed<T>(
    name: &'static str,
    value: &str,
    expected: &'static str,
    parsed: Option<T>,
) -> Result<T, SettingError> {
    parsed.ok_or_else(|| SettingError::Value { name, value: value.to_owned(), expected })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Settings, SettingError> {
        let pairs = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Settings::read(&pairs.collect())
    }

    #[test]
    fn what_others_annotate_is_not_looked_at() {
        assert_eq!(
            read(&[("a/b", "x"), ("run.wherry.de/x", "y"), ("run.wherry.devel/x", "y")]),
            Ok(Settings::usual(Level::Privileged))
        );
    }

    #[test]
    fn the_request_timeout_is_a_duration() {
        for (text, seconds) in [("30s", 30), ("1m 30s", 90), ("1m30s", 90), ("2h", 7200)] {
            let settings = read(&[(REQUEST_TIMEOUT, text)]).unwrap();
            assert_eq!(settings.request_timeout, Some(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "0s", "-1s", "30", "soon", "1 parsec"] {
            let error = read(&[(REQUEST_TIMEOUT, text)]).unwrap_err().to_string();
            assert!(error.contains(text) && error.contains("as 30s or 1m 30s"), "{error}");
        }
    }

    #[test]
    fn buckets_are_in_a_volume_or_in_redis() {
        assert_eq!(read(&[(KEYVALUE, "redis")]).unwrap().keyvalue, Some(Keyvalue::Redis));
        assert_eq!(read(&[(KEYVALUE, "/redis")]).unwrap().keyvalue, Some(Keyvalue::Mount("/redis".into())));
        let error = read(&[(KEYVALUE, "Redis")]).unwrap_err().to_string();
        assert!(error.contains("not redis, or the path of a mount"), "{error}");
    }

    #[test]
    fn a_restricted_namespace_gives_what_is_asked_for_and_no_more() {
        let nothing = read(&[(CAPABILITIES, ""), (EGRESS, ""), (LEVEL, "restricted")]).unwrap();
        assert_eq!(read(&[(LEVEL, "restricted")]), Ok(nothing.clone()));
        let asked =
            read(&[(CAPABILITIES, "http-client"), (EGRESS, "192.0.2.0/24"), (LEVEL, "restricted")]).unwrap();
        assert_ne!(asked, nothing);
        assert_ne!(read(&[(LEVEL, "baseline")]), Ok(nothing));
    }

    #[test]
    fn a_misspelt_annotation_is_told() {
        let error = read(&[("run.wherry.dev/request-timout", "1s")]).unwrap_err();
        assert_eq!(error.to_string(), "the annotation \"run.wherry.dev/request-timout\" is not known");
    }

    proptest! {
        #[test]
        fn any_value_is_read_or_refused_with_its_name(value in ".*") {
            for name in [BLOBSTORE, CAPABILITIES, CORE_DUMPS, EGRESS, IN_PROCESS, INSTANCE_REUSE, KEYVALUE, LEVEL, REQUEST_TIMEOUT] {
                match read(&[(name, &value)]) {
                    Ok(settings) => {
                        prop_assert!(name != REQUEST_TIMEOUT || settings.request_timeout.is_some());
                        prop_assert!(name != CORE_DUMPS || settings.core_dumps.is_some_and(|path| path.starts_with('/')));
                        prop_assert!(name != KEYVALUE || settings.keyvalue == Some(Keyvalue::Mount(value.clone())) && value.starts_with('/'));
                        prop_assert!(name != IN_PROCESS || settings.in_process == (value == "true"));
                        prop_assert!(name != INSTANCE_REUSE || settings.instance_reuse == value.parse().unwrap());
                    }
                    Err(error) => prop_assert!(error.to_string().contains(name)),
                }
            }
        }
    }
}
