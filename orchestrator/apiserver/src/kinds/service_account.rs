//! ServiceAccount: a name Pods run as. Its tokens are in `service_accounts`.

use jiff::Timestamp;
use wherry_schema::Value;

use super::Rules;
use crate::object::Fields;
use crate::table::{self, Column};

/// The rules of ServiceAccounts.
pub(crate) struct ServiceAccount;

/// The annotation that lets Pods mount the account's own Secrets only.
const MOUNTABLE: &str = "kubernetes.io/enforce-mountable-secrets";

static COLUMNS: &[Column] = &[table::NAME, table::AGE];

impl Rules for ServiceAccount {
    fn prepare_create(&self, object: &mut Value) {
        clean_secrets(object);
    }

    fn prepare_update(&self, object: &mut Value, _old: &Value) {
        clean_secrets(object);
    }

    fn warnings(&self, object: &Value) -> Vec<String> {
        let annotated = object.map("metadata.annotations").is_some_and(|a| a.get(MOUNTABLE).is_some());
        let text = "deprecated in v1.32+; prefer separate namespaces to isolate access to mounted secrets";
        if annotated { vec![format!("metadata.annotations[{MOUNTABLE}]: {text}")] } else { Vec::new() }
    }

    fn update_warnings(&self, _object: &Value) -> Vec<String> {
        // Upstream warns of an annotation that is new, which an update seldom adds.
        Vec::new()
    }

    fn returns_deleted(&self) -> bool {
        true
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        vec![table::name(object), table::age(object, now)]
    }
}

/// A secret of the account is in its namespace, so its name says all.
fn clean_secrets(object: &mut Value) {
    for secret in object.items_mut("secrets") {
        let mut name = Value::object();
        name.assign("name", secret.take("name"));
        *secret = name;
    }
}
