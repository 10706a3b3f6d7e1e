//! What is answered, as rows: what `kubectl get podmetrics` shows.

use serde_json::{Value, json};
use wherry_api::quantity::Quantity;

use crate::objects::{Figures, window};
use crate::usage::Usage;

/// A table with a row for each object, which carries the object's metadata.
pub(crate) fn table(all: &[Figures], now: &str) -> Value {
    let rows: Vec<Value> = all
        .iter()
        .map(|figures| {
            let sum = |of: fn(&Usage) -> Quantity| {
                figures.parts.iter().map(|(_, usage)| of(usage)).reduce(|sum, next| sum + next)
            };
            let text = |sum: Option<Quantity>| sum.map_or_else(String::new, |sum| sum.to_string());
            let metadata = figures.object(now)["metadata"].take();
            json!({
                "cells": [
                    figures.name, text(sum(|usage| usage.cpu)), text(sum(|usage| usage.memory)),
                    figures.oldest().map(window),
                ],
                "object": {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata},
            })
        })
        .collect();
    let column = |name: &str, format: &str, description: &str| json!({"name": name, "type": "string", "format": format, "description": description, "priority": 0});
    json!({
        "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": {},
        "columnDefinitions": [
            column("Name", "name", "Name of the resource"),
            column("cpu", "quantity", "What is used of processors"),
            column("memory", "quantity", "What is used of memory"),
            column("Window", "duration", "The time of which the part of processors is the mean"),
        ],
        "rows": rows,
    })
}

#[cfg(test)]
mod tests {
    use jiff::{SignedDuration, Timestamp};
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

    use super::*;

    #[test]
    fn a_row_adds_up_what_containers_use() {
        let usage = |cpu: &str| Usage {
            at: Timestamp::UNIX_EPOCH,
            window: SignedDuration::from_secs(15),
            cpu: cpu.parse().unwrap(),
            memory: "3Mi".parse().unwrap(),
        };
        let metadata = ObjectMeta {
            name: Some("p".to_owned()),
            namespace: Some("ns".to_owned()),
            ..ObjectMeta::default()
        };
        let parts = vec![("a".to_owned(), usage("200u")), ("b".to_owned(), usage("1m"))];
        let table = table(&[Figures::new(metadata, parts).unwrap()], "1970-01-01T00:00:00Z");
        assert_eq!(table["rows"][0]["cells"], json!(["p", "1200u", "6Mi", "15s"]));
        assert_eq!(table["rows"][0]["object"]["metadata"]["namespace"], "ns");
        assert_eq!(table["columnDefinitions"].as_array().map(Vec::len), Some(4));
    }
}
