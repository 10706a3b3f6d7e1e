//! DaemonSet: one Pod of a template on every node.

use jiff::Timestamp;
use wherry_schema::Value;

use super::Rules;
use crate::object::{self, Fields};
use crate::table::{self, Column};
use crate::validation::template::{
    check_endless, check_label_selector, check_pod_template, check_selected, is_empty, is_usable,
};
use crate::validation::values::{at_most_all, collisions, immutable, int_or_percent, non_negative, percent};
use crate::validation::{Errors, Path, Shown, internal, meta};

/// The rules of DaemonSets.
pub(crate) struct DaemonSet;

static COLUMNS: &[Column] = &[
    table::NAME,
    Column::of("Desired", "integer", "apps.v1.DaemonSetStatus.desiredNumberScheduled"),
    Column::of("Current", "integer", "apps.v1.DaemonSetStatus.currentNumberScheduled"),
    Column::of("Ready", "integer", "apps.v1.DaemonSetStatus.numberReady"),
    Column::of("Up-to-date", "integer", "apps.v1.DaemonSetStatus.updatedNumberScheduled"),
    Column::of("Available", "integer", "apps.v1.DaemonSetStatus.numberAvailable"),
    Column::of("Node Selector", "string", "core.v1.PodSpec.nodeSelector"),
    table::AGE,
    table::CONTAINERS.in_wide(),
    table::IMAGES.in_wide(),
    Column::of("Selector", "string", "apps.v1.DaemonSetSpec.selector").in_wide(),
];

/// Where the number of changes of the template is told.
const GENERATION: &[&str] = &["metadata", "annotations", "deprecated.daemonset.template.generation"];

impl Rules for DaemonSet {
    fn generation(&self) -> &'static [&'static str] {
        &["spec"]
    }

    fn prepare_create(&self, object: &mut Value) {
        super::pod_fields::drop_unserved(object, "spec.template.spec");
        object.put("status", Value::object());
        object.set(GENERATION, "1");
    }

    fn prepare_update(&self, object: &mut Value, old: &Value) {
        super::pod_fields::drop_unserved(object, "spec.template.spec");
        let before = old.at(GENERATION).and_then(Value::as_str).and_then(|text| text.parse::<i64>().ok());
        let changed = !object::same(object, old, "spec.template");
        object.set(GENERATION, (before.unwrap_or(0) + i64::from(changed)).to_string());
    }

    fn validate(&self, object: &Value, errors: &mut Errors) {
        let (path, spec) = (Path::new("spec"), object.field("spec").unwrap_or(&Value::Null));
        let selector = spec.field("selector");
        if let Some(selector) = selector {
            check_label_selector(selector, &path.child("selector"), errors);
        }
        if selector.is_none_or(is_usable) {
            check_selected(object, &path, errors);
        }
        if selector.is_some_and(is_empty) {
            let detail = "empty selector is invalid for daemonset";
            errors.invalid(&path.child("selector"), Shown::raw("{}"), detail);
        }
        let template = spec.field("template").unwrap_or(&Value::Null);
        check_pod_template(template, &path.child("template"), errors);
        check_endless(template, "DaemonSet", &path.child("template"), errors);
        non_negative(spec, &["minReadySeconds"], &path, errors);
        check_strategy(spec, &path.child("updateStrategy"), errors);
        non_negative(spec, &["revisionHistoryLimit"], &path, errors);
    }

    fn check_update(&self, object: &Value, old: &Value, errors: &mut Errors) {
        self.validate(object, errors);
        meta::check_update(object, old, errors);
        self.validate(object, errors);
        immutable(object, old, "spec.selector", errors);
    }

    fn validate_status(&self, object: &Value, old: &Value, errors: &mut Errors) {
        let fields = [
            "currentNumberScheduled",
            "numberMisscheduled",
            "desiredNumberScheduled",
            "numberReady",
            "observedGeneration",
            "updatedNumberScheduled",
            "numberAvailable",
            "numberUnavailable",
            "collisionCount",
        ];
        let status = object.field("status").unwrap_or(&Value::Null);
        non_negative(status, &fields, &Path::new("status"), errors);
        collisions(object, old, errors);
    }

    fn warnings(&self, object: &Value) -> Vec<String> {
        super::pod_warnings::of_workload(object)
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let [containers, images] = table::containers(object, "spec.template.spec.containers");
        let count = |field: &str| table::number(object, &format!("status.{field}"));
        let nodes = table::labels(object, "spec.template.spec.nodeSelector");
        let nodes = if nodes.is_empty() { "<none>".to_owned() } else { nodes };
        vec![
            table::name(object),
            count("desiredNumberScheduled"),
            count("currentNumberScheduled"),
            count("numberReady"),
            count("updatedNumberScheduled"),
            count("numberAvailable"),
            nodes.into(),
            table::age(object, now),
            containers,
            images,
            table::selector(object, "spec.selector").into(),
        ]
    }
}

fn check_strategy(spec: &Value, path: &Path, errors: &mut Errors) {
    match spec.text("updateStrategy.type") {
        "OnDelete" => {}
        "RollingUpdate" => {
            let path = path.child("rollingUpdate");
            match spec.field("updateStrategy.rollingUpdate") {
                Some(rolling) => check_rolling(rolling, &path, errors),
                None => errors.required(&path, ""),
            }
        }
        _ => {
            let shown = internal::show("DeploymentStrategy", spec.field("updateStrategy"));
            errors.unsupported(path, shown, &["RollingUpdate", "OnDelete"]);
        }
    }
}

fn check_rolling(rolling: &Value, path: &Path, errors: &mut Errors) {
    let get = |field: &str| rolling.field(field).unwrap_or(&Value::Null);
    for field in ["maxUnavailable", "maxSurge"] {
        int_or_percent(get(field), &path.child(field), errors);
    }
    for field in ["maxUnavailable", "maxSurge"] {
        at_most_all(get(field), &path.child(field), errors);
    }
    let some = |field: &str| get(field).as_i64().or(percent(get(field))).unwrap_or(0) != 0;
    match (some("maxUnavailable"), some("maxSurge")) {
        (true, true) => {
            let detail = "may not be set when maxUnavailable is non-zero";
            errors.invalid(&path.child("maxSurge"), get("maxSurge"), detail);
        }
        (false, false) => {
            errors.required(&path.child("maxUnavailable"), "cannot be 0 when maxSurge is 0");
        }
        _ => {}
    }
}
