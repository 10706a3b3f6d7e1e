//! Arguments of the form `NAME=VALUE`.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::PathBuf;
use std::str::FromStr;

/// The value of a field that says no more than that it is there.
const YES: &str = "yes";

/// Arguments as they are put together.
pub(super) struct Writer(Vec<OsString>);

impl Writer {
    pub(super) fn new(word: &str) -> Self {
        Self(vec![word.into()])
    }

    pub(super) fn put(&mut self, name: &str, value: impl AsRef<OsStr>) {
        let mut argument = OsString::from(name);
        argument.push("=");
        argument.push(value);
        self.0.push(argument);
    }

    pub(super) fn maybe(&mut self, name: &str, value: Option<impl AsRef<OsStr>>) {
        if let Some(value) = value {
            self.put(name, value);
        }
    }

    pub(super) fn flag(&mut self, name: &str, is_set: bool) {
        self.maybe(name, is_set.then_some(YES));
    }

    pub(super) fn finish(self) -> Vec<OsString> {
        self.0
    }
}

/// Arguments as they are taken apart.
pub(super) struct Reader(Vec<(OsString, OsString)>);

impl Reader {
    pub(super) fn new(args: impl Iterator<Item = OsString>) -> Result<Self, String> {
        let split = |argument: OsString| {
            let at = argument.as_bytes().iter().position(|byte| *byte == b'=');
            let at = at.ok_or_else(|| format!("the argument {} has no value", argument.display()))?;
            let mut name = argument.into_vec();
            let value = name.split_off(at + 1);
            name.truncate(at);
            Ok((OsString::from_vec(name), OsString::from_vec(value)))
        };
        args.map(split).collect::<Result<_, _>>().map(Self)
    }

    /// The values of all fields of this name.
    pub(super) fn all(&mut self, name: &str) -> Vec<OsString> {
        self.0.extract_if(.., |(known, _)| known == name).map(|(_, value)| value).collect()
    }

    pub(super) fn optional(&mut self, name: &str) -> Option<PathBuf> {
        let at = self.0.iter().position(|(known, _)| known == name)?;
        Some(self.0.remove(at).1.into())
    }

    pub(super) fn path(&mut self, name: &str) -> Result<PathBuf, String> {
        self.optional(name).ok_or_else(|| format!("the field {name} is missing"))
    }

    pub(super) fn text(&mut self, name: &str) -> Result<String, String> {
        let text = self.path(name)?.into_os_string().into_string();
        text.map_err(|_| format!("the field {name} is no text"))
    }

    pub(super) fn number<N: FromStr>(&mut self, name: &str) -> Result<N, String> {
        self.text(name)?.parse().map_err(|_| format!("the field {name} is no number"))
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(known, _)| known == name)
    }

    pub(super) fn flag(&mut self, name: &str) -> bool {
        self.optional(name).is_some()
    }

    /// Refuses what nobody asked for.
    pub(super) fn finish(self) -> Result<(), String> {
        let left = self.0.first();
        left.map_or(Ok(()), |(name, _)| Err(format!("the field {} does not belong here", name.display())))
    }
}
