//! Going through the plugins of a list: forward to attach, backward to undo it.
//!
//! # Guarantees
//! - What is tried is written down first. What was tried is undone by [`Plugins::detach`], by this process or the next, with the
//!   list that it was tried with.
//! - Repeating [`Plugins::detach`] is no error.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::attachment::{Attachment, base};
use crate::config::{NetworkList, Version};
use crate::kept::{Keeper, Kept, KeptError};
use crate::outcome::{Outcome, OutcomeError};
use crate::plugin::{Call, PluginError};

const ADD: &str = "ADD";
const CHECK: &str = "CHECK";
const DEL: &str = "DEL";
const STATUS: &str = "STATUS";
const GC: &str = "GC";

/// Why something is not attached, or still is.
#[derive(Debug, thiserror::Error)]
pub enum CniError {
    /// A plugin did not do its part.
    #[error(transparent)]
    Plugin(#[from] PluginError),
    /// What was done cannot be written down or read.
    #[error(transparent)]
    Kept(#[from] KeptError),
    /// The plugins answer nothing that can be used.
    #[error(transparent)]
    Outcome(#[from] OutcomeError),
    /// The id is no name of a file.
    #[error("{0:?} is no id of a container")]
    Id(String),
}

/// The programs there are, and what they have done.
#[derive(Clone, Debug)]
pub struct Plugins {
    path: Vec<PathBuf>,
    keeper: Keeper,
}

impl Plugins {
    /// The plugins of these directories, which keep what they do in `kept`.
    pub fn open(path: Vec<PathBuf>, kept: PathBuf) -> Result<Self, KeptError> {
        Ok(Self { path, keeper: Keeper::open(kept)? })
    }

    /// Attaches with all plugins of the list, or, if one fails, with none.
    pub async fn attach(&self, list: &NetworkList, attachment: &Attachment) -> Result<Outcome, CniError> {
        check_id(&attachment.container_id)?;
        let mut kept = Kept { list: list.clone(), attachment: attachment.clone(), result: None };
        self.keeper.put(&kept)?;
        match self.add(&kept).await {
            Ok(result) => {
                let outcome = Outcome::read(&result, &attachment.interface);
                kept.result = Some(result);
                self.keeper.put(&kept)?;
                Ok(outcome?)
            }
            Err(error) => {
                // What failed is what the caller must hear; what cannot be undone now is tried again when it asks.
                if let Err(error) = self.detach(&attachment.container_id).await {
                    tracing::warn!(
                        container = attachment.container_id,
                        error = &error as &dyn std::error::Error,
                        "what plugins did before one failed cannot be undone yet"
                    );
                }
                Err(error)
            }
        }
    }

    async fn add(&self, kept: &Kept) -> Result<Value, CniError> {
        let mut result = None;
        for plugin in &kept.list.plugins {
            let request = kept.attachment.request(&kept.list, plugin, result.as_ref());
            result = self.call(ADD, Some(&kept.attachment)).run(request).await?.or(result);
        }
        Ok(result.unwrap_or_else(|| json!({})))
    }

    /// What was attached before, if it was, in this namespace.
    pub fn attached(&self, container_id: &str, netns_id: u64) -> Result<Option<Outcome>, CniError> {
        check_id(container_id)?;
        let kept = self.keeper.get(container_id)?.filter(|kept| kept.attachment.netns_id == netns_id);
        let Some((interface, result)) = kept.and_then(|kept| Some((kept.attachment.interface, kept.result?)))
        else {
            return Ok(None);
        };
        Ok(Some(Outcome::read(&result, &interface)?))
    }

    /// Asks the plugins whether all is as they left it, if their list lets them be asked.
    pub async fn check(&self, container_id: &str) -> Result<(), CniError> {
        check_id(container_id)?;
        let Some(kept) = self.keeper.get(container_id)? else { return Ok(()) };
        if kept.list.disable_check || kept.list.version < Version::V040 {
            return Ok(());
        }
        for plugin in &kept.list.plugins {
            let request = kept.attachment.request(&kept.list, plugin, kept.result.as_ref());
            self.call(CHECK, Some(&kept.attachment)).run(request).await?;
        }
        Ok(())
    }

    /// Undoes what was attached, or tried to be; what nobody knows is no error.
    pub async fn detach(&self, container_id: &str) -> Result<(), CniError> {
        check_id(container_id)?;
        let Some(kept) = self.keeper.get(container_id)? else { return Ok(()) };
        let before = kept.result.as_ref().filter(|_| kept.list.version >= Version::V040);
        for plugin in kept.list.plugins.iter().rev() {
            let request = kept.attachment.request(&kept.list, plugin, before);
            self.call(DEL, Some(&kept.attachment)).run(request).await?;
        }
        Ok(self.keeper.remove(container_id)?)
    }

    /// Asks the plugins whether they can attach anything now. Those of old versions are not asked.
    pub async fn status(&self, list: &NetworkList) -> Result<(), CniError> {
        if !list.tells_status() {
            return Ok(());
        }
        for plugin in &list.plugins {
            self.call(STATUS, None).run(base(list, plugin)).await?;
        }
        Ok(())
    }

    /// Tells the plugins what is attached, for them to forget all else. Those of old versions are not told. Each is, whatever others say.
    pub async fn collect(&self, list: &NetworkList) -> Result<(), CniError> {
        if list.disable_gc || list.version < Version::V110 {
            return Ok(());
        }
        let mut valid = Vec::new();
        for id in self.keeper.list()? {
            let kept = self.keeper.get(&id)?.filter(|kept| kept.list.name == list.name);
            valid.extend(kept.map(|kept| json!({ "containerID": id, "ifname": kept.attachment.interface })));
        }
        let mut ended = Ok(());
        for plugin in &list.plugins {
            let mut request = base(list, plugin);
            request.insert("cni.dev/valid-attachments".to_owned(), json!(valid));
            ended = ended.and(self.call(GC, None).run(request).await.map(drop));
        }
        Ok(ended?)
    }

    /// The ids of all that is attached, or was tried to be.
    pub fn known(&self) -> Result<Vec<String>, KeptError> {
        self.keeper.list()
    }

    fn call<'a>(&'a self, command: &'static str, attachment: Option<&'a Attachment>) -> Call<'a> {
        Call { path: &self.path, command, attachment }
    }
}

/// As the specification says, and so that it names a file.
fn check_id(id: &str) -> Result<(), CniError> {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    if id.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric()) && id.bytes().all(word) {
        return Ok(());
    }
    Err(CniError::Id(id.to_owned()))
}
