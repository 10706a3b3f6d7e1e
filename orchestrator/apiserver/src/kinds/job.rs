//! Job: Pods that run to an end. Unless told otherwise, the server gives it a selector that nothing else has.

use jiff::{SignedDuration, Timestamp};
use wherry_schema::Value;

use super::{Rules, Selectable};
use crate::object::{self, Fields};
use crate::table::{self, Column};
use crate::validation::values::{IMMUTABLE, immutable};
use crate::validation::{Errors, Path, Shown, internal, job, meta, names};

/// The rules of Jobs.
pub(crate) struct Job;

static COLUMNS: &[Column] = &[
    table::NAME,
    Column::new("Status", "string", "Status of the job."),
    Column::of("Completions", "string", "batch.v1.JobStatus.succeeded"),
    Column::new("Duration", "string", "Time required to complete the job."),
    table::AGE,
    table::CONTAINERS.in_wide(),
    table::IMAGES.in_wide(),
    Column::of("Selector", "string", "batch.v1.JobSpec.selector").in_wide(),
];

static FIELDS: &[Selectable] = &[Selectable { name: "status.successful", attribute: "=status.successful" }];

impl Rules for Job {
    fn fields(&self) -> &'static [Selectable] {
        FIELDS
    }

    fn generation(&self) -> &'static [&'static str] {
        &["spec"]
    }

    fn prepare_create(&self, object: &mut Value) {
        super::pod_fields::drop_unserved(object, "spec.template.spec");
        object.put("status", Value::object());
        if !object.flag("spec.manualSelector") {
            generate_selector(object);
        }
    }

    fn prepare_update(&self, object: &mut Value, _old: &Value) {
        super::pod_fields::drop_unserved(object, "spec.template.spec");
    }

    fn validate(&self, object: &Value, errors: &mut Errors) {
        job::check_generated(object, errors);
        job::check_spec(object.field("spec").unwrap_or(&Value::Null), &Path::new("spec"), errors);
        let completions = object.int("spec.completions").filter(|number| *number > 0);
        if let (Some(completions), "Indexed") = (completions, object.text("spec.completionMode")) {
            // The host name of the last Pod is the longest.
            let host = format!("{}-{}", object::name(object), completions - 1);
            if !names::label(&host).is_empty() {
                let detail = format!("will not able to create pod with invalid DNS label: {host}");
                errors.invalid(&Path::new("metadata.name"), object::name(object), &detail);
            }
        }
    }

    fn check_update(&self, object: &Value, old: &Value, errors: &mut Errors) {
        self.validate(object, errors);
        meta::check_update(object, old, errors);
        let path = Path::new("spec");
        job::check_spec(object.field("spec").unwrap_or(&Value::Null), &path, errors);
        check_completions(object, old, &path.child("completions"), errors);
        immutable(object, old, "spec.selector", errors);
        check_template(object, old, &path.child("template"), errors);
        immutable(object, old, "spec.completionMode", errors);
        immutable_as("PodFailurePolicy", object, old, "spec.podFailurePolicy", errors);
        for field in ["spec.backoffLimitPerIndex", "spec.managedBy"] {
            immutable(object, old, field, errors);
        }
        immutable_as("SuccessPolicy", object, old, "spec.successPolicy", errors);
    }

    fn validate_status(&self, object: &Value, _old: &Value, errors: &mut Errors) {
        let (path, status) = (Path::new("status"), object.field("status").unwrap_or(&Value::Null));
        let numbers = ["active", "succeeded", "failed", "ready", "terminating"];
        crate::validation::values::non_negative(status, &numbers, &path, errors);
    }

    fn warnings(&self, object: &Value) -> Vec<String> {
        super::pod_warnings::of_workload(object)
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let [containers, images] = table::containers(object, "spec.template.spec.containers");
        vec![
            table::name(object),
            status(object).into(),
            completions(object).into(),
            duration(object, now).into(),
            table::age(object, now),
            containers,
            images,
            table::selector(object, "spec.selector").into(),
        ]
    }
}

/// Refuses a change of a field of this type.
fn immutable_as(kind: &str, object: &Value, old: &Value, field: &str, errors: &mut Errors) {
    if !object::same(object, old, field) {
        let shown = object.field(field).map(|value| internal::show(kind, Some(value)));
        errors.invalid(&Path::new(field), shown.unwrap_or(Shown::raw("null")), IMMUTABLE);
    }
}

/// Labels the Pods with the Job's name and id, and selects them by the id.
fn generate_selector(object: &mut Value) {
    let (uid, name) = (object.text("metadata.uid").to_owned(), object::name(object).to_owned());
    for (key, value) in [
        ("job-name", &name),
        ("batch.kubernetes.io/job-name", &name),
        ("controller-uid", &uid),
        ("batch.kubernetes.io/controller-uid", &uid),
    ] {
        // What the client says of them is looked at by the rules.
        let path = ["spec", "template", "metadata", "labels", key];
        if object.at(&path).is_none() {
            object.set(&path, value.as_str());
        }
    }
    let path = ["spec", "selector", "matchLabels", "batch.kubernetes.io/controller-uid"];
    if object.at(&path).is_none() {
        object.set(&path, uid);
    }
}

/// The number of completions of an indexed Job changes with its parallelism, that of others never.
fn check_completions(object: &Value, old: &Value, path: &Path, errors: &mut Errors) {
    if object::same(object, old, "spec.completions") {
        return;
    }
    let (new, before) = (object.field("spec.completions"), old.field("spec.completions"));
    let shown = new.unwrap_or(&Value::Null);
    if object.text("spec.completionMode") != "Indexed" {
        errors.invalid(path, shown, IMMUTABLE);
    } else if new.is_none() || before.is_none() || new != object.field("spec.parallelism") {
        errors.invalid(path, shown, "can only be modified in tandem with spec.parallelism");
    }
}

/// The template changes only while the Job waits, and then only in where its Pods may run.
fn check_template(object: &Value, old: &Value, path: &Path, errors: &mut Errors) {
    let template = object.field("spec.template").unwrap_or(&Value::Null);
    let mut before = old.field("spec.template").cloned().unwrap_or(Value::object());
    if old.flag("spec.suspend") && !old.has("status.startTime") {
        let mutable = [
            "metadata.annotations",
            "metadata.labels",
            "spec.nodeSelector",
            "spec.tolerations",
            "spec.schedulingGates",
            "spec.affinity.nodeAffinity",
        ];
        for field in mutable {
            before.assign(field, template.field(field).cloned());
        }
        if !template.has("spec.affinity") {
            before.take("spec.affinity");
        }
    }
    if *template != before {
        let shown: Shown = internal::show("PodTemplateSpec", Some(template));
        errors.invalid(path, shown, IMMUTABLE);
    }
}

fn status(object: &Value) -> &'static str {
    let conditions = object.items("status.conditions");
    let has = |kind: &str| conditions.iter().any(|c| c.text("type") == kind && c.text("status") == "True");
    if has("Complete") {
        "Complete"
    } else if has("Failed") {
        "Failed"
    } else if object::terminating(object) {
        "Terminating"
    } else {
        ["Suspended", "FailureTarget", "SuccessCriteriaMet"].into_iter().find(|k| has(k)).unwrap_or("Running")
    }
}

fn completions(object: &Value) -> String {
    let done = object.int("status.succeeded").unwrap_or(0);
    match (object.int("spec.completions"), object.int("spec.parallelism").unwrap_or(0)) {
        (Some(wanted), _) => format!("{done}/{wanted}"),
        (None, parallel) if parallel > 1 => format!("{done}/1 of {parallel}"),
        (None, _) => format!("{done}/1"),
    }
}

fn duration(object: &Value, now: Timestamp) -> String {
    let time = |path: &str| object.text(path).parse::<Timestamp>().ok();
    let Some(start) = time("status.startTime") else { return String::new() };
    let taken: SignedDuration = time("status.completionTime").unwrap_or(now).duration_since(start);
    table::human(taken.as_secs())
}
