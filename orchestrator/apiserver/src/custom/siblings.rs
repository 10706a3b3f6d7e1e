//! Objects in other versions than a request speaks, which owners of fields are told apart by.
//!
//! Who owns what is settled by code that does not wait. When it meets a version that only a webhook can make, the
//! version is noted here and settling goes on with a stand-in; then the webhook is asked for all that were noted, and
//! what was settled is thrown away and settled again, now with the webhook's answers.

use parking_lot::Mutex;
use wherry_schema::Value;

use super::convert::convert;
use super::definition::Served;
use crate::error::Failure;
use crate::state::State;

/// The versions of objects of one request.
#[derive(Default)]
pub(super) struct Siblings(Mutex<Vec<Sibling>>);

struct Sibling {
    object: Value,
    api_version: String,
    made: Made,
}

enum Made {
    NotYet,
    Object(Value),
    Failed(String),
}

impl Siblings {
    /// An object in a version; none as long as the webhook was not asked, which is noted, or if it failed.
    pub(super) fn find(&self, object: &Value, api_version: &str) -> Option<Value> {
        let mut known = self.0.lock();
        let is_it = |sibling: &&Sibling| sibling.api_version == api_version && sibling.object == *object;
        if let Some(sibling) = known.iter().find(is_it) {
            return match &sibling.made {
                Made::Object(made) => Some(made.clone()),
                Made::NotYet | Made::Failed(_) => None,
            };
        }
        let (object, api_version) = (object.clone(), api_version.to_owned());
        known.push(Sibling { object, api_version, made: Made::NotYet });
        None
    }

    /// Why a version could not be made.
    fn failure(&self) -> Option<String> {
        self.0.lock().iter().find_map(|sibling| match &sibling.made {
            Made::Failed(why) => Some(why.clone()),
            Made::NotYet | Made::Object(_) => None,
        })
    }

    /// What was noted of the first version that is still to be made.
    fn noted(&self) -> Option<(String, Vec<Value>)> {
        let known = self.0.lock();
        let mut waiting = known.iter().filter(|sibling| matches!(sibling.made, Made::NotYet));
        let first = waiting.next()?;
        let same = waiting.filter(|sibling| sibling.api_version == first.api_version);
        let objects = std::iter::once(first).chain(same).map(|sibling| sibling.object.clone());
        Some((first.api_version.clone(), objects.collect()))
    }

    /// Keeps what became of what was noted.
    fn keep(&self, api_version: &str, made: Result<Vec<Value>, String>) {
        let mut known = self.0.lock();
        let waiting = known
            .iter_mut()
            .filter(|sibling| sibling.api_version == api_version && matches!(sibling.made, Made::NotYet));
        match made {
            Ok(objects) => {
                for (sibling, object) in waiting.zip(objects) {
                    sibling.made = Made::Object(object);
                }
            }
            Err(why) => {
                for sibling in waiting {
                    sibling.made = Made::Failed(why.clone());
                }
            }
        }
    }
}

impl Served {
    /// Asks the webhook for versions that were noted; whether there were any, so that what was settled is to be settled
    /// again.
    pub(crate) async fn ask_for_siblings(&self, state: &State) -> bool {
        let mut asked = false;
        while let Some((api_version, mut objects)) = self.siblings().noted() {
            asked = true;
            let versions = &self.definition().versions;
            let to = versions.iter().find(|version| version.kind.api_version() == api_version);
            let made = match to {
                Some(to) => convert(state, self.definition(), &mut objects, to).await,
                None => Err(Failure::NoSuchResource),
            };
            self.siblings().keep(&api_version, made.map(|()| objects).map_err(|why| why.to_string()));
        }
        asked
    }

    /// Why the webhook made no version of an object that owners are told apart by.
    pub(crate) fn sibling_failure(&self) -> Option<Failure> {
        self.siblings().failure().map(Failure::Unversioned)
    }
}
