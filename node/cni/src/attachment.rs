//! What is attached to a network.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::config::NetworkList;

/// An interface of a container, as plugins are told of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attachment {
    /// What it belongs to; also the name of the file in which it is kept.
    pub container_id: String,
    /// The network namespace.
    pub netns: PathBuf,
    /// Which namespace that is, as long as the machine runs.
    pub netns_id: u64,
    /// What the interface is called inside.
    pub interface: String,
    /// What plugins may want to know besides (`CNI_ARGS`), in order.
    pub args: Vec<(String, String)>,
    /// What plugins get that say that they are capable of it, by capability.
    pub capabilities: BTreeMap<String, Value>,
}

impl Attachment {
    /// The arguments as plugins read them.
    pub(crate) fn args(&self) -> String {
        let pairs: Vec<String> = self.args.iter().map(|(name, value)| format!("{name}={value}")).collect();
        pairs.join(";")
    }

    /// What a plugin of a list is given, after another that answered `before`.
    pub(crate) fn request(
        &self,
        list: &NetworkList,
        plugin: &Map<String, Value>,
        before: Option<&Value>,
    ) -> Map<String, Value> {
        let mut request = base(list, plugin);
        let able = plugin.get("capabilities").and_then(Value::as_object);
        let wanted = self
            .capabilities
            .iter()
            .filter(|(name, _)| able.and_then(|able| able.get(*name)).and_then(Value::as_bool) == Some(true));
        let told: Map<String, Value> = wanted.map(|(name, value)| (name.clone(), value.clone())).collect();
        if !told.is_empty() {
            request.insert("runtimeConfig".to_owned(), Value::Object(told));
        }
        if let Some(before) = before {
            request.insert("prevResult".to_owned(), before.clone());
        }
        request
    }
}

/// A plugin's configuration as it is handed over.
pub(crate) fn base(list: &NetworkList, plugin: &Map<String, Value>) -> Map<String, Value> {
    let mut request = plugin.clone();
    request.remove("capabilities");
    request.insert("name".to_owned(), json!(list.name));
    request.insert("cniVersion".to_owned(), json!(list.version.as_str()));
    request
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plugin_is_given_what_it_is_capable_of() {
        let list = NetworkList::parse(
            br#"{"cniVersion": "1.0.0", "name": "n", "plugins": [
                {"type": "portmap", "snat": true, "capabilities": {"portMappings": true, "dns": false}}, {"type": "tuning"}]}"#,
        )
        .unwrap();
        let attachment = Attachment {
            container_id: "c".to_owned(),
            netns: "/n".into(),
            netns_id: 1,
            interface: "eth0".to_owned(),
            args: vec![
                ("IgnoreUnknown".to_owned(), "1".to_owned()),
                ("K8S_POD_NAME".to_owned(), "p".to_owned()),
            ],
            capabilities: BTreeMap::from([
                ("portMappings".to_owned(), json!([1])),
                ("dns".to_owned(), json!({})),
            ]),
        };
        let before = json!({"ips": []});
        let first = attachment.request(&list, &list.plugins[0], Some(&before));
        let expected = json!({"type": "portmap", "snat": true, "name": "n", "cniVersion": "1.0.0",
            "runtimeConfig": {"portMappings": [1]}, "prevResult": {"ips": []}});
        assert_eq!(Value::Object(first), expected);
        let second = attachment.request(&list, &list.plugins[1], None);
        assert_eq!(Value::Object(second), json!({"type": "tuning", "name": "n", "cniVersion": "1.0.0"}));
        assert_eq!(attachment.args(), "IgnoreUnknown=1;K8S_POD_NAME=p");
    }
}
