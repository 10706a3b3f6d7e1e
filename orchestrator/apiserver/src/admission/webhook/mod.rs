//! Webhooks: programs that are asked about changes over HTTPS, as their configurations say.
//!
//! Reading order: `hook` (one webhook, compiled), `review` (what it is asked and answers), `mutate` and `validate` (who
//! is asked when, and what follows), `counts` (what metrics tell of that).
//!
//! # Guarantees
//! Mutating webhooks are asked one after the other, in the order of the names of their configurations; validating
//! webhooks all at once. A webhook that gives no answer refuses the change, unless its `failurePolicy` is `Ignore`.

mod counts;
mod hook;
mod mutate;
mod review;
mod validate;

use std::sync::Arc;

use wherry_schema::Value;
use wherry_store::{Entry, Revision, Snapshot};

use crate::codec;
use crate::error::{Failure, Told};
use crate::object::{self, Fields};
use hook::Hook;

/// All webhooks.
#[derive(Default)]
pub(crate) struct Webhooks {
    mutating: Vec<Configuration>,
    validating: Vec<Configuration>,
}

/// The webhooks of one object.
#[derive(Clone)]
struct Configuration {
    key: Arc<str>,
    revision: Revision,
    hooks: Arc<[Hook]>,
}

impl Webhooks {
    /// The webhooks in a state of the store. What was compiled of objects that did not change is kept, and with it the
    /// connections to their programs.
    pub(crate) fn make(&self, state: &Snapshot) -> Self {
        let read = |resource: &str, before: &[Configuration]| {
            let prefix = format!("/registry/admissionregistration.k8s.io/{resource}/");
            state.range(&prefix, None).map(|entry| Configuration::of(entry, before)).collect()
        };
        Self {
            mutating: read("mutatingwebhookconfigurations", &self.mutating),
            validating: read("validatingwebhookconfigurations", &self.validating),
        }
    }
}

impl Configuration {
    fn of(entry: &Arc<Entry>, before: &[Self]) -> Self {
        let same = |known: &&Self| known.key == entry.key && known.revision == entry.mod_revision;
        if let Some(known) = before.iter().find(same) {
            return known.clone();
        }
        let decoded = codec::decode(&entry.key, &entry.value).unwrap_or_default();
        let name = object::name(&decoded);
        let hooks = decoded.items("webhooks").iter();
        Self {
            key: Arc::clone(&entry.key),
            revision: entry.mod_revision,
            hooks: hooks.map(|webhook| Hook::new(name, webhook)).collect(),
        }
    }
}

/// Why a webhook stands in the way of a change.
enum Stopped {
    /// It could not be asked, or its answer makes no sense: its failure policy decides.
    Uncalled(String),
    /// It refuses the change, or asks for what cannot be done.
    Refused(Box<Failure>),
}

impl Stopped {
    fn refused(failure: Failure) -> Self {
        Self::Refused(Box::new(failure))
    }

    fn uncalled(why: impl std::fmt::Display) -> Self {
        Self::Uncalled(why.to_string())
    }
}

/// The refusal of a webhook, with the status it gives.
fn denied(hook: &str, status: Option<&Value>) -> Failure {
    let empty = Value::object();
    let status = status.unwrap_or(&empty);
    let by = format!("admission webhook {hook:?} denied the request");
    let message = match (status.text("message"), status.text("reason")) {
        ("", "") => format!("{by} without explanation"),
        ("", reason) => format!("{by}: {reason}"),
        (message, _) => format!("{by}: {message}"),
    };
    let code = status.int("code").and_then(|code| u16::try_from(code).ok());
    Failure::Told(Box::new(Told {
        code: code.filter(|code| *code >= 400).unwrap_or(400),
        reason: status.text("reason").to_owned(),
        message,
        details: status.field("details").cloned(),
    }))
}
