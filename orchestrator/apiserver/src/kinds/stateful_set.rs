//! StatefulSet: Pods that keep their names and their storage.

use std::borrow::Cow;

use jiff::Timestamp;
use wherry_schema::Value;

use super::Rules;
use crate::object::{self, Fields};
use crate::table::{self, Column};
use crate::validation::storage::check_claim_spec;
use crate::validation::template::{
    check_endless, check_label_selector, check_pod_template, check_selected, is_empty, is_usable,
};
use crate::validation::values::{at_most_all, choice, collisions, int_or_percent, non_negative};
use crate::validation::{Errors, Path, Shown, internal, meta, names};

/// The rules of StatefulSets.
pub(crate) struct StatefulSet;

static COLUMNS: &[Column] = &[
    table::NAME,
    Column::new("Ready", "string", "Number of the pod with ready state"),
    table::AGE,
    table::CONTAINERS.in_wide(),
    table::IMAGES.in_wide(),
];

/// What an update of the spec may change.
const MUTABLE: &[&str] = &[
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
];

impl Rules for StatefulSet {
    fn generation(&self) -> &'static [&'static str] {
        &["spec"]
    }

    fn check_name(&self, name: &str) -> Result<(), String> {
        wherry_api::names::dns1123_label(name)
    }

    fn prepare_create(&self, object: &mut Value) {
        super::pod_fields::drop_unserved(object, "spec.template.spec");
        object.put("status", Value::object());
    }

    fn prepare_update(&self, object: &mut Value, _old: &Value) {
        super::pod_fields::drop_unserved(object, "spec.template.spec");
    }

    fn validate(&self, object: &Value, errors: &mut Errors) {
        let (path, spec) = (Path::new("spec"), object.field("spec").unwrap_or(&Value::Null));
        match spec.text("podManagementPolicy") {
            "OrderedReady" | "Parallel" => {}
            "" => errors.required(&path.child("podManagementPolicy"), ""),
            other => {
                let detail = "must be 'OrderedReady' or 'Parallel'";
                errors.invalid(&path.child("podManagementPolicy"), other, detail);
            }
        }
        check_strategy(spec, &path.child("updateStrategy"), errors);
        if let Some(retention) = spec.field("persistentVolumeClaimRetentionPolicy") {
            let path = path.child("persistentVolumeClaimRetentionPolicy");
            for field in ["whenDeleted", "whenScaled"] {
                choice(retention, field, &["Retain", "Delete"], &path, errors);
            }
        }
        non_negative(spec, &["replicas", "minReadySeconds"], &path, errors);
        non_negative(spec, &["ordinals.start", "revisionHistoryLimit"], &path, errors);
        check_selection(object, spec, &path, errors);
        for (index, claim) in spec.items("volumeClaimTemplates").iter().enumerate() {
            let path = path.child("volumeClaimTemplates").index(index).child("spec");
            check_claim_spec(claim.field("spec").unwrap_or(&Value::Null), &path, errors);
        }
        let service = spec.text("serviceName");
        if !service.is_empty() {
            errors.problems(&path.child("serviceName"), service, names::label(service));
        }
    }

    fn check_update(&self, object: &Value, old: &Value, errors: &mut Errors) {
        self.validate(object, errors);
        meta::check_update(object, old, errors);
        self.validate_update(object, old, errors);
    }

    fn validate_update(&self, object: &Value, old: &Value, errors: &mut Errors) {
        let fixed = |object: &Value| {
            let mut spec = object.field("spec").cloned().unwrap_or(Value::Null);
            for field in MUTABLE {
                spec.take(field);
            }
            spec
        };
        if fixed(object) != fixed(old) {
            let (last, fields) = MUTABLE.split_last().expect("some fields can be changed");
            let fields: Vec<String> = fields.iter().map(|field| format!("'{field}'")).collect();
            let detail = format!(
                "updates to statefulset spec for fields other than {} and '{last}' are forbidden",
                fields.join(", ")
            );
            errors.forbidden(&Path::new("spec"), &detail);
        }
    }

    fn validate_status(&self, object: &Value, old: &Value, errors: &mut Errors) {
        let (path, status) = (Path::new("status"), object.field("status").unwrap_or(&Value::Null));
        let fields = ["replicas", "readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas"];
        non_negative(status, &fields, &path, errors);
        non_negative(status, &["observedGeneration", "collisionCount"], &path, errors);
        let count = |field: &str| status.int(field).unwrap_or(0);
        for field in &fields[1..] {
            if count(field) > count("replicas") {
                let detail = "cannot be greater than status.replicas";
                errors.invalid(&path.child(field), count(field), detail);
            }
        }
        if count("availableReplicas") > count("readyReplicas") {
            let detail = "cannot be greater than status.readyReplicas";
            errors.invalid(&path.child("availableReplicas"), count("availableReplicas"), detail);
        }
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
        let count = |path: &str| object.int(path).unwrap_or(0);
        vec![
            object::name(object).into(),
            format!("{}/{}", count("status.readyReplicas"), count("spec.replicas")).into(),
            table::age(object, now),
            containers,
            images,
        ]
    }
}

fn check_strategy(spec: &Value, path: &Path, errors: &mut Errors) {
    let rolling = spec.field("updateStrategy.rollingUpdate");
    let at = path.child("rollingUpdate");
    match (spec.text("updateStrategy.type"), rolling) {
        ("", _) => errors.required(path, ""),
        ("OnDelete", Some(_)) => {
            let shown = internal::show("StatefulSetRollingUpdate", rolling);
            errors.invalid(&at, shown, "only allowed for updateStrategy 'RollingUpdate'");
        }
        ("RollingUpdate", Some(rolling)) => {
            non_negative(rolling, &["partition"], &at, errors);
            if let Some(most) = rolling.field("maxUnavailable") {
                let path = at.child("maxUnavailable");
                int_or_percent(most, &path, errors);
                at_most_all(most, &path, errors);
                if most.as_i64() == Some(0) || most.as_str() == Some("0%") {
                    errors.invalid(&path, most, "cannot be 0");
                }
            }
        }
        ("OnDelete" | "RollingUpdate", None) => {}
        _ => {
            let shown = internal::show("StatefulSetUpdateStrategy", spec.field("updateStrategy"));
            errors.invalid(path, shown, "must be 'RollingUpdate' or 'OnDelete'");
        }
    }
}

/// The template with the volumes that its Pods get by the claims of the set, which containers may mount.
fn with_claims<'t>(template: &'t Value, claims: &[Value]) -> Cow<'t, Value> {
    let volumes = template.items("spec.volumes");
    let is_missing = |name: &str| {
        wherry_api::names::dns1123_label(name).is_ok()
            && !volumes.iter().any(|volume| volume.text("name") == name)
    };
    let missing: Vec<&str> = claims.iter().map(object::name).filter(|name| is_missing(name)).collect();
    if missing.is_empty() {
        return Cow::Borrowed(template);
    }
    let mut volumes = volumes.to_vec();
    volumes.extend(missing.into_iter().map(|name| {
        let mut volume = Value::object();
        volume.put("name", name);
        volume.put("persistentVolumeClaim.claimName", name);
        volume
    }));
    let mut template = template.clone();
    template.put("spec.volumes", volumes);
    Cow::Owned(template)
}

fn check_selection(object: &Value, spec: &Value, path: &Path, errors: &mut Errors) {
    let (selector, at) = (spec.field("selector"), path.child("selector"));
    match selector {
        None => errors.required(&at, ""),
        Some(selector) => {
            check_label_selector(selector, &at, errors);
            if is_empty(selector) {
                errors.invalid(&at, Shown::raw("{}"), "empty selector is invalid for statefulset");
            }
        }
    }
    let template = spec.field("template").unwrap_or(&Value::Null);
    let path = path.child("template");
    if let Some(selector) = selector.filter(|selector| !is_usable(selector)) {
        errors.invalid(&at, selector, "");
    } else {
        if selector.is_none_or(|selector| !is_empty(selector)) {
            check_selected(object, &Path::new("spec"), errors);
        }
        // Upstream checks these twice.
        meta::check_labels(template.map("metadata.labels"), &path.child("labels"), errors);
        meta::check_annotations(template.map("metadata.annotations"), &path.child("annotations"), errors);
        check_pod_template(&with_claims(template, spec.items("volumeClaimTemplates")), &path, errors);
    }
    check_endless(template, "StatefulSet", &path, errors);
}
