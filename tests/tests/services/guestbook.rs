//! An application of three tiers that find each other by name.

use serde_json::json;
use wherry_tests::Cluster;
use wherry_tests::pods::shell;

/// What the one that keeps the entries does with a request.
const KEEP: &str = "case $QUERY_STRING in cmd=set*) echo ${QUERY_STRING#*value=} >> /tmp/entries; echo Updated;; \
                    *) cat /tmp/entries;; esac";
/// What the others do: writes go to the one that keeps them, reads to a replica, and from there on.
const FRONT: &str = "case $QUERY_STRING in cmd=set*) host=primary;; *) host=replica;; esac; \
                     wget -q -O- \"http://$host/cgi-bin/book?$QUERY_STRING\"";
const FOLLOW: &str = "wget -q -O- \"http://primary/cgi-bin/book?$QUERY_STRING\"";

/// A Deployment of web servers that answer as the script says, and its Service.
fn tier(cluster: &Cluster, name: &str, replicas: u32, answer: &str) {
    let script = format!(
        "mkdir -p /tmp/w/cgi-bin; cd /tmp/w/cgi-bin; touch /tmp/entries; cat > book <<'END'\n#!/bin/sh\n\
         printf 'Content-Type: text/plain\\r\\n\\r\\n'; {answer}\nEND\nchmod +x book; exec httpd -f -p 80 -h /tmp/w"
    );
    let labels = json!({ "app": "guestbook", "tier": name });
    let spec = json!({ "terminationGracePeriodSeconds": 0, "containers": [shell("main", &script)] });
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": name },
        "spec": {
            "replicas": replicas, "selector": { "matchLabels": labels },
            "template": { "metadata": { "labels": labels }, "spec": spec },
        },
    });
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "name": name },
        "spec": { "selector": labels, "ports": [{ "port": 80 }] },
    });
    cluster.create(&deployment.to_string());
    cluster.create(&service.to_string());
}

/// [sig-cli] Kubectl client Guestbook application should create and stop a working application.
pub(crate) fn kubectl_guestbook_application(cluster: &Cluster) {
    let tiers = [("primary", 1, KEEP), ("replica", 2, FOLLOW), ("frontend", 3, FRONT)];
    for (name, replicas, answer) in tiers {
        tier(cluster, name, replicas, answer);
    }
    let ask = |query: &str| format!("wget -q -O- 'http://frontend/cgi-bin/book?{query}'; true");
    cluster.exec_until("client", &ask("cmd=set&value=TestEntry"), |answer| answer.contains("Updated"));
    cluster.exec_until("client", &ask("cmd=get"), |answer| answer.contains("TestEntry"));
    for (name, ..) in tiers {
        cluster.kubectl(&["delete", "deployment,service", name]);
    }
    cluster.kubectl(&["wait", "--for=delete", "pods", "-l", "app=guestbook", "--timeout=60s"]);
}
