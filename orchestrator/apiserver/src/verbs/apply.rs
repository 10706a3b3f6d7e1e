//! Server-side apply: a client says what it wants to own, and the server merges that into the object.
//!
//! Flow: read the configuration, merge it into what there is (or into nothing), then go on as any update, or as any
//! creation, does.

use bytes::Bytes;
use http::StatusCode;
use wherry_schema::decode::{self, conform};
use wherry_schema::managed::{ApplyError, Owners, Write};
use wherry_schema::{FieldValidation, Format, Value};

use super::owners::{self, MANAGED_FIELDS};
use super::update::{Part, Wanted, update};
use super::{ATTEMPTS, Cx, create, incoming};
use crate::admission;
use crate::custom::Served;
use crate::error::Failure;
use crate::object::{self, Fields};
use crate::request::query::WriteOptions;
use crate::validation::Cause;

/// Has the server itself, by the name of a manager, own what is in the status of an object.
pub(crate) async fn own_status(cx: &Cx<'_>, name: &str, manager: &str, status: Value) -> Result<(), Failure> {
    let mut object = Value::object();
    object.put("apiVersion", cx.kind.api_version());
    object.put("kind", cx.kind.kind);
    object.put("metadata.name", name);
    object.put("status", status);
    let options = WriteOptions { force: Some(true), ..WriteOptions::own(manager) };
    // It takes fields from other managers.
    let config = Config { object, duplicate: None, force: true };
    apply(cx, (name, Part::Status), &config, &options, &mut Vec::new()).await.map(drop)
}

/// What a client applies.
pub(crate) struct Config {
    object: Value,
    /// That a key is given twice, where the client wants to know.
    duplicate: Option<String>,
    /// Whether it takes fields from other managers.
    force: bool,
}

impl Config {
    /// Reads a configuration.
    pub(crate) fn parse(bytes: &[u8], options: &WriteOptions) -> Result<Self, Failure> {
        let refuse = |why: String| Failure::BadRequest(format!("error decoding YAML: {why}"));
        let object = match decode::parse(bytes, Format::Yaml).map_err(|e| refuse(e.to_string()))? {
            Value::Null => Value::object(),
            object @ Value::Object(_) => object,
            other => {
                let found = decode::kind_of(&other);
                return Err(refuse(format!(
                    "error unmarshaling JSON: while decoding JSON: json: cannot unmarshal {found} into Go value of \
                     type map[string]interface {{}}"
                )));
            }
        };
        let wanted = options.validation != FieldValidation::Ignore;
        let duplicate = wanted.then(|| decode::duplicate_keys(bytes)).flatten();
        let duplicate = duplicate.map(|why| format!("error converting YAML to JSON: {why}"));
        Ok(Self { object, duplicate, force: options.force == Some(true) })
    }

    /// The configuration must be of the version and kind that the URL names, and claim no owners.
    fn check(&self, (group, version, kind): (&str, &str, &str)) -> Result<(), Failure> {
        let given = self.object.text("apiVersion");
        let (given_group, given_version) = match given.matches('/').count() {
            0 => ("", given),
            1 => given.split_once('/').unwrap_or_default(),
            _ => ("", ""),
        };
        let given_kind = self.object.text("kind");
        if (given_group, given_version, given_kind) != (group, version, kind) {
            return Err(Failure::BadRequest(format!(
                "invalid object type: {given_group}/{given_version}, Kind={given_kind}"
            )));
        }
        if self.object.field(MANAGED_FIELDS).is_some_and(|list| list.as_array().is_some()) {
            return Err(Failure::BadRequest("metadata.managedFields must be nil".to_owned()));
        }
        Ok(())
    }

    /// The object as messages call it.
    fn subject(&self, (group, version, kind): (&str, &str, &str)) -> String {
        let (namespace, name) = (object::namespace(&self.object), object::name(&self.object));
        format!("{namespace}/{name}; {group}/{version}, Kind={kind}")
    }

    /// Duplicate keys are refused or told of.
    fn check_duplicates(&self, options: &WriteOptions, warnings: &mut Vec<String>) -> Result<(), Failure> {
        match (&self.duplicate, options.validation) {
            (Some(why), FieldValidation::Strict) => {
                Err(Failure::BadRequest(format!("error strict decoding YAML: {why}")))
            }
            (Some(why), _) => {
                *warnings = vec![why.clone()];
                Ok(())
            }
            (None, _) => Ok(()),
        }
    }

    /// What `live` becomes when the configuration, which must be of that version and kind, is applied to it.
    pub(crate) fn apply_to(
        &self,
        live: &Value,
        owners: &mut Owners,
        of: (&str, &str, &str),
        write: &Write<'_>,
    ) -> Result<Value, Failure> {
        self.check(of)?;
        let applied = owners.apply(live, &self.object, self.force, write);
        let new = applied.map_err(|error| self.refuse(error, of))?;
        let Some(new) = new else { return Ok(live.clone()) };
        let (new, _) = conform(&new, write.schema, FieldValidation::Ignore).map_err(|e| {
            let subject = self.subject(of);
            Failure::Unversioned(format!("failed to convert new typed object ({subject}) to object: {e}"))
        })?;
        Ok(new)
    }

    fn refuse(&self, error: ApplyError, of: (&str, &str, &str)) -> Failure {
        match error {
            ApplyError::Conflicts(conflicts) => Failure::ApplyConflict {
                message: conflicts.to_string(),
                causes: conflicts
                    .iter()
                    .map(|conflict| Cause {
                        reason: "FieldManagerConflict",
                        message: format!("conflict with {}", conflict.manager()),
                        field: conflict.field(),
                    })
                    .collect(),
            },
            ApplyError::Config(problems) => Failure::Unversioned(format!(
                "failed to create typed patch object ({}): {problems}",
                self.subject(of)
            )),
            error @ (ApplyError::Merge(_) | ApplyError::Compare(_)) => {
                Failure::Unversioned(error.to_string())
            }
        }
    }

    /// The object that comes of applying the configuration to `live`, with its owners; both as clients see them.
    fn result(
        &self,
        cx: &Cx<'_>,
        part: Part,
        live: &Value,
        options: &WriteOptions,
    ) -> Result<Value, Failure> {
        let mut live = live.clone();
        let listed = live.take(MANAGED_FIELDS);
        let mut owners = Owners::read(listed.as_ref())
            .map_err(|e| Failure::Unversioned(format!("failed to decode managed fields: {e}")))?;
        let of = (cx.kind.group, cx.kind.version, cx.kind.kind);
        let applied = owners::with_write(cx, part, &options.manager, |write| {
            self.apply_to(&live, &mut owners, of, write)
        })?;
        if let Some(failure) = cx.custom.and_then(Served::sibling_failure) {
            return Err(failure);
        }
        let mut object = applied?;
        incoming::complete(cx, &mut object);
        object.assign(MANAGED_FIELDS, owners.write());
        Ok(object)
    }
}

/// Applies a configuration to an object, which is made if there is none, and answers it as stored.
pub(crate) async fn apply(
    cx: &Cx<'_>,
    (name, part): (&str, Part),
    config: &Config,
    options: &WriteOptions,
    warnings: &mut Vec<String>,
) -> Result<(StatusCode, Bytes), Failure> {
    for _ in 0..ATTEMPTS {
        if cx.state.store.get(&cx.key(name)).is_none() && part == Part::Whole {
            match make(cx, name, config, options, warnings).await {
                Err(Failure::AlreadyExists { .. }) if !options.dry_run => continue,
                made => return Ok((StatusCode::CREATED, made?)),
            }
        }
        let change = &mut |live: &Value| {
            let object = config.result(cx, part, live, options)?;
            warnings.clear();
            config.check_duplicates(options, warnings)?;
            warnings.extend(part.warnings(cx, &object));
            Ok(Wanted::Owned(object))
        };
        match update(cx, name, part, options, change).await {
            Err(Failure::NotFound { .. }) if part == Part::Whole => {}
            updated => return Ok((StatusCode::OK, updated?)),
        }
    }
    Err(Failure::modified(cx.kind, name))
}

/// Makes the object.
async fn make(
    cx: &Cx<'_>,
    name: &str,
    config: &Config,
    options: &WriteOptions,
    warnings: &mut Vec<String>,
) -> Result<Bytes, Failure> {
    let mut object = config.result(cx, Part::Whole, cx.schema()?.empty(), options)?;
    config.check_duplicates(options, warnings)?;
    warnings.extend(cx.rules.warnings(&object));
    warnings.extend(admission::warnings(cx, &object));
    let uid = object.text("metadata.uid");
    if !uid.is_empty() {
        let why = format!(
            "uid mismatch: the provided object specified uid {uid}, and no existing object was found"
        );
        return Err(Failure::conflict(cx.kind, name, why));
    }
    incoming::settle_namespace(cx, &mut object)?;
    incoming::check_name(&object, name)?;
    object.take("metadata.resourceVersion");
    create::store(cx, cx.to_stored(object), options).await
}
