//! The environment of a container, of which most may be shared with others: nothing is copied until a guest asks for all.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use wherry_runtime_api::{CommonEnv, ContainerSpec, ImageContent, Variable};

/// See the module's documentation.
pub(crate) struct Variables {
    /// The host name and the image's, which all others win over.
    of_image: Vec<Variable>,
    common: CommonEnv,
    /// The container's own, which win over all others.
    own: Vec<Variable>,
    /// All of them, each name once.
    merged: OnceLock<Arc<[Variable]>>,
}

impl Variables {
    /// Those of a container.
    pub(crate) fn of(spec: &ContainerSpec) -> Self {
        let image = match &spec.image {
            ImageContent::Wasm { env, .. } => env.as_slice(),
            ImageContent::Oci { .. } => &[],
        };
        let image = image.iter().filter_map(|pair| pair.split_once('='));
        let hostname = ("HOSTNAME", spec.sandbox.hostname.as_str());
        let own = spec.env.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        Self {
            of_image: std::iter::once(hostname).chain(image).map(shared).collect(),
            common: spec.common_env.clone(),
            own: own.map(shared).collect(),
            merged: OnceLock::new(),
        }
    }

    /// All of them, each name once: where it first stands, with the value that it has last.
    pub(crate) fn all(&self) -> &Arc<[Variable]> {
        self.merged.get_or_init(|| {
            // There may be thousands in common, and whoever asks waits: those are copied as they are.
            let in_common = self.common.merged();
            let most = self.of_image.len() + in_common.len() + self.own.len();
            let mut merged: Vec<Variable> = Vec::with_capacity(most);
            let mut places: HashMap<&str, usize> = HashMap::new();
            for (name, value) in &self.of_image {
                put(&mut merged, &mut places, (name, value));
            }
            let mut stand_before = Vec::new();
            for (name, place) in &places {
                if let Some(common) = self.common.place(name) {
                    merged[*place].1 = Arc::clone(&in_common[common].1);
                    stand_before.push(common);
                }
            }
            stand_before.sort_unstable();
            let mut begin = 0;
            let first = merged.len();
            for place in &stand_before {
                merged.extend_from_slice(&in_common[begin..*place]);
                begin = place + 1;
            }
            merged.extend_from_slice(&in_common[begin..]);
            for (name, value) in &self.own {
                let common = self.common.place(name).filter(|_| !places.contains_key(&**name));
                if let Some(common) = common {
                    let place = first + common - stand_before.partition_point(|before| *before < common);
                    merged[place].1 = Arc::clone(value);
                } else {
                    put(&mut merged, &mut places, (name, value));
                }
            }
            merged.into()
        })
    }

    /// The value of one.
    pub(crate) fn get(&self, name: &str) -> Option<&Arc<str>> {
        let among = |all: &'_ [Variable]| all.iter().rposition(|(known, _)| **known == *name);
        if let Some(place) = among(&self.own) {
            return Some(&self.own[place].1);
        }
        self.common.get(name).or_else(|| among(&self.of_image).map(|place| &self.of_image[place].1))
    }
}

/// Adds a variable, or replaces its value.
fn put<'a>(
    merged: &mut Vec<Variable>,
    places: &mut HashMap<&'a str, usize>,
    (name, value): (&'a Arc<str>, &Arc<str>),
) {
    let place = *places.entry(name).or_insert(merged.len());
    if place == merged.len() {
        merged.push((Arc::clone(name), Arc::clone(value)));
    } else {
        merged[place].1 = Arc::clone(value);
    }
}

fn shared((name, value): (&str, &str)) -> Variable {
    (name.into(), value.into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Pairs = Vec<(String, String)>;

    fn pairs() -> impl Strategy<Value = Pairs> {
        prop::collection::vec(("[A-D]", "[a-z]{0,2}"), 0..5)
    }

    fn variables(all: &Pairs) -> Vec<Variable> {
        all.iter().map(|(name, value)| shared((name, value))).collect()
    }

    proptest! {
        /// Each name is there once, where it first stood, with the value it was last given; asked for one by one, too.
        #[test]
        fn the_last_of_equal_names_counts(of_image in pairs(), first in pairs(), second in pairs(), own in pairs()) {
            let mut common = CommonEnv::default();
            common.set("b", variables(&second).into());
            common.set("a", variables(&first).into());
            let merged = OnceLock::new();
            let all = Variables { of_image: variables(&of_image), common, own: variables(&own), merged };
            let mut expected: Pairs = Vec::new();
            for (name, value) in [of_image, first, second, own].concat() {
                match expected.iter_mut().find(|(known, _)| *known == name) {
                    Some(known) => known.1 = value,
                    None => expected.push((name, value)),
                }
            }
            let found: Pairs = all.all().iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
            prop_assert_eq!(&found, &expected);
            for name in ["A", "B", "C", "D", "E"] {
                let expected = expected.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
                prop_assert_eq!(all.get(name).map(|value| &**value), expected);
            }
        }
    }
}
