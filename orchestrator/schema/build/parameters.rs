//! The parameters of operations: their places, types and what they mean.

use serde_json::{Value, json};

pub(crate) const LISTING: &[&str] = &[
    "allowWatchBookmarks",
    "continue",
    "fieldSelector",
    "labelSelector",
    "limit",
    "resourceVersion",
    "resourceVersionMatch",
    "sendInitialEvents",
    "shardSelector",
    "timeoutSeconds",
    "watch",
];
pub(crate) const WRITING: &[&str] = &["dryRun", "fieldManager", "fieldValidation"];
pub(crate) const PATCHING: &[&str] = &["dryRun", "fieldManager", "fieldValidation", "force"];
const DELETE_BROKEN: &str = "ignoreStoreReadErrorWithClusterBreakingPotential";
pub(crate) const DELETING: &[&str] =
    &["dryRun", "gracePeriodSeconds", DELETE_BROKEN, "orphanDependents", "propagationPolicy"];
pub(crate) const DELETING_COLLECTION: &[&str] = &[
    "continue",
    "dryRun",
    "fieldSelector",
    "gracePeriodSeconds",
    DELETE_BROKEN,
    "labelSelector",
    "limit",
    "orphanDependents",
    "propagationPolicy",
    "resourceVersion",
    "resourceVersionMatch",
    "sendInitialEvents",
    "shardSelector",
    "timeoutSeconds",
];

/// The parameters of a part of an object that is connected to, or logged.
pub(crate) fn connecting(kind: &str) -> &'static [&'static str] {
    match kind {
        "PodAttachOptions" => &["container", "stderr", "stdin", "stdout", "tty"],
        "PodExecOptions" => &["command", "container", "stderr", "stdin", "stdout", "tty"],
        "PodPortForwardOptions" => &["ports"],
        "log" => &[
            "container",
            "follow",
            "insecureSkipTLSVerifyBackend",
            "limitBytes",
            "previous",
            "sinceSeconds",
            "stream",
            "tailLines",
            "timestamps",
        ],
        _ => &["path"],
    }
}

/// A parameter in the path.
pub(crate) fn in_path(name: &str, description: &str) -> Value {
    let schema = json!({"type": "string", "uniqueItems": true});
    json!({"name": name, "in": "path", "description": description, "required": true, "schema": schema})
}

/// A parameter in the query string.
pub(crate) fn in_query(name: &str) -> Value {
    let (kind, description) = reading(name)
        .or_else(|| writing(name))
        .or_else(|| streaming(name))
        .expect("every parameter is described");
    let schema = json!({"type": kind, "uniqueItems": true});
    json!({"name": name, "in": "query", "description": description, "schema": schema})
}

fn reading(name: &str) -> Option<(&'static str, &'static str)> {
    Some(match name {
        "allowWatchBookmarks" => ("boolean", "Allow BOOKMARK events in a watch."),
        "continue" => ("string", "The token of the list's previous part."),
        "fieldSelector" => ("string", "Restricts the objects by their fields."),
        "labelSelector" => ("string", "Restricts the objects by their labels."),
        "limit" => ("integer", "The most objects to answer; the rest follows by `continue`."),
        "pretty" => ("string", "If 'true', then the output is pretty printed."),
        "resourceVersion" => ("string", "The version to list or to watch from."),
        "resourceVersionMatch" => {
            ("string", "How resourceVersion is meant in a list: Exact or NotOlderThan.")
        }
        "sendInitialEvents" => ("boolean", "Whether a watch starts with the objects that exist."),
        "shardSelector" => ("string", "Part of an alpha feature that is switched off: sharded lists."),
        "timeoutSeconds" => ("integer", "How long the call may take."),
        "watch" => ("boolean", "Watch for changes instead of listing."),
        _ => return None,
    })
}

fn writing(name: &str) -> Option<(&'static str, &'static str)> {
    Some(match name {
        "dryRun" => ("string", "With `All`, every step is processed and nothing is stored."),
        "fieldManager" => ("string", "The name of the actor that makes these changes."),
        "fieldValidation" => {
            ("string", "What to do about unknown and duplicate fields: Ignore, Warn (the default) or Strict.")
        }
        "force" => ("boolean", "Takes over fields of other managers; only for apply requests."),
        "gracePeriodSeconds" => ("integer", "Seconds before the object is deleted; zero means now."),
        DELETE_BROKEN => ("boolean", "Deletes an object even if what is stored of it cannot be read."),
        "orphanDependents" => ("boolean", "Deprecated: use propagationPolicy."),
        "propagationPolicy" => ("string", "Whether and how dependents go: Orphan, Background or Foreground."),
        _ => return None,
    })
}

fn streaming(name: &str) -> Option<(&'static str, &'static str)> {
    Some(match name {
        "command" => ("string", "The command to run and its arguments; not run by a shell."),
        "container" => ("string", "The container; the Pod's only one by default."),
        "follow" => ("boolean", "Whether to send what will be logged, too."),
        "insecureSkipTLSVerifyBackend" => ("boolean", "Whether the node's certificate is not checked."),
        "limitBytes" => ("integer", "The most bytes to send."),
        "path" => ("string", "The path to pass on."),
        "ports" => ("integer", "The ports to forward."),
        "previous" => ("boolean", "Whether to send the log of the container's previous run."),
        "sinceSeconds" => ("integer", "How old lines may be, in seconds."),
        "stderr" => ("boolean", "Whether to send standard error."),
        "stdin" => ("boolean", "Whether to take standard input."),
        "stdout" => ("boolean", "Whether to send standard output."),
        "stream" => ("string", "Which stream to send: All, Stdout or Stderr."),
        "tailLines" => ("integer", "How many lines to send, counted from the end."),
        "timestamps" => ("boolean", "Whether each line starts with its time."),
        "tty" => ("boolean", "Whether to use a terminal."),
        _ => return None,
    })
}
