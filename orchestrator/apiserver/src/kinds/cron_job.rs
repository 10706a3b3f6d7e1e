//! CronJob: Jobs at certain times.

use jiff::Timestamp;
use wherry_schema::Value;

use super::Rules;
use crate::object::{self, Fields};
use crate::table::{self, Column};
use crate::validation::job::check_cron_spec;
use crate::validation::{Errors, Path};

/// The rules of CronJobs.
pub(crate) struct CronJob;

/// The longest name, so that those of its Jobs are names too.
const MAX_NAME: usize = 52;

static COLUMNS: &[Column] = &[
    table::NAME,
    Column::of("Schedule", "string", "batch.v1.CronJobSpec.schedule"),
    Column::of("Timezone", "string", "batch.v1.CronJobSpec.timeZone"),
    Column::of("Suspend", "boolean", "batch.v1.CronJobSpec.suspend"),
    Column::of("Active", "integer", "batch.v1.CronJobStatus.active"),
    Column::of("Last Schedule", "string", "batch.v1.CronJobStatus.lastScheduleTime"),
    table::AGE,
    table::CONTAINERS.in_wide(),
    table::IMAGES.in_wide(),
    Column::of("Selector", "string", "batch.v1.JobSpec.selector").in_wide(),
];

impl Rules for CronJob {
    fn generation(&self) -> &'static [&'static str] {
        &["spec"]
    }

    fn prepare_create(&self, object: &mut Value) {
        super::pod_fields::drop_unserved(object, "spec.jobTemplate.spec.template.spec");
        object.put("status", Value::object());
    }

    fn prepare_update(&self, object: &mut Value, _old: &Value) {
        super::pod_fields::drop_unserved(object, "spec.jobTemplate.spec.template.spec");
    }

    fn validate_create(&self, object: &Value, errors: &mut Errors) {
        check_cron_spec(object.field("spec").unwrap_or(&Value::Null), true, &Path::new("spec"), errors);
        let name = object::name(object);
        if name.len() > MAX_NAME {
            let detail = format!("must be no more than {MAX_NAME} characters");
            errors.invalid(&Path::new("metadata.name"), name, &detail);
        }
    }

    fn validate_update(&self, object: &Value, old: &Value, errors: &mut Errors) {
        let new_zone = !object::same(object, old, "spec.timeZone");
        check_cron_spec(object.field("spec").unwrap_or(&Value::Null), new_zone, &Path::new("spec"), errors);
    }

    fn warnings(&self, object: &Value) -> Vec<String> {
        super::pod_warnings::of_template(object, "spec.jobTemplate.spec.template")
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let [containers, images] =
            table::containers(object, "spec.jobTemplate.spec.template.spec.containers");
        let suspend = match object.field("spec.suspend").and_then(Value::as_bool) {
            Some(true) => "True",
            Some(false) => "False",
            None => "<unset>",
        };
        let last = match object.text("status.lastScheduleTime") {
            "" => "<none>".to_owned(),
            time => table::since(time, now),
        };
        vec![
            table::name(object),
            object.text("spec.schedule").into(),
            table::text_or(object, "spec.timeZone", "<none>"),
            suspend.into(),
            table::count(object.items("status.active").len()),
            last.into(),
            table::age(object, now),
            containers,
            images,
            table::selector(object, "spec.jobTemplate.spec.selector").into(),
        ]
    }
}
