//! Connections to Pods, Services and Nodes as those see them who look at changes: their options as an object.

use wherry_schema::Value;

use super::attributes::GroupKind;
use crate::object::Fields;
use crate::request::query::Query;
use crate::verbs::Cx;

/// Options that say yes or no.
const FLAGS: &[&str] = &["stdin", "stdout", "stderr", "tty"];

/// The options of a connection to a part of the object: `PodExecOptions` and so on.
pub(crate) fn options(cx: &Cx<'_>, part: &str, path: &str, query: &Query) -> Value {
    let mut options = Value::object();
    options.put("kind", GroupKind::of(cx.kind, part).kind);
    options.put("apiVersion", cx.kind.api_version());
    match part {
        "proxy" if !path.is_empty() => options.put("path", path),
        "proxy" => {}
        "portforward" => {
            let ports: Vec<Value> = query
                .all("ports")
                .iter()
                .filter_map(|port| port.parse::<i64>().ok())
                .map(Value::from)
                .collect();
            if !ports.is_empty() {
                options.put("ports", ports);
            }
        }
        _ => {
            for flag in FLAGS.iter().filter(|flag| query.flag(flag)) {
                options.put(flag, true);
            }
            if let Some(container) = query.get("container") {
                options.put("container", container);
            }
            if !query.all("command").is_empty() {
                options.put("command", query.all("command"));
            }
        }
    }
    options
}
