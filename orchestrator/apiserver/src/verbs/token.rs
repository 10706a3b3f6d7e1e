//! TokenRequest: a token of a ServiceAccount, for as long and as bound as the client asks.

use std::borrow::Cow;

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use wherry_api::kinds::{Kind, by_kind};
use wherry_schema::managed::{Owners, Set, Versions, Write};
use wherry_schema::{FieldValidation, Format, Schema, Value};

use super::incoming::{self, Expected};
use super::owners::MANAGED_FIELDS;
use super::{Cx, schema};
use crate::codec;
use crate::error::Failure;
use crate::object::{self, Fields};
use crate::service_accounts::TokenIssuer;
use crate::service_accounts::claims::{Claims, Objects, Reference, user_name};
use crate::state::seconds;
use crate::validation::{Errors, Path};

const GROUP: &str = "authentication.k8s.io";
const VERSION: &str = "v1";
const API_VERSION: &str = "authentication.k8s.io/v1";
const KIND: &str = "TokenRequest";

const BOUND: &str = "spec.boundObjectRef";
const DEFAULT_SECONDS: i64 = 3600;
const LEAST_SECONDS: i64 = 600;
const MOST_SECONDS: i64 = 1 << 32;
/// Pods ask for so long by default. Programs that read their token once would fail then; theirs lives for a year.
const POD_SECONDS: i64 = 3607;
const EXTENDED_SECONDS: i64 = 365 * 24 * 3600;

/// Reads a TokenRequest, complete with its defaults.
pub(crate) fn parse(
    bytes: &[u8],
    format: Format,
    validation: FieldValidation,
) -> Result<(Value, Vec<String>), Failure> {
    let expected = Expected { group: GROUP, version: VERSION, kind: KIND };
    let (mut request, warnings) = incoming::read(expected, bytes, format, validation)?;
    request.put("kind", KIND);
    request.put("apiVersion", API_VERSION);
    wherry_schema::defaults::apply((GROUP, VERSION, KIND), &mut request);
    if !request.has("spec.expirationSeconds") {
        request.put("spec.expirationSeconds", DEFAULT_SECONDS);
    }
    if !request.has(BOUND) {
        request.put(BOUND, Value::Null);
    }
    Ok((request, warnings))
}

/// Answers the request with a token of the ServiceAccount of this name.
pub(crate) fn issue(cx: &Cx<'_>, name: &str, mut request: Value, manager: &str) -> Result<Bytes, Failure> {
    let issuer = cx.state.issuer.as_ref().ok_or(Failure::NoSuchResource)?;
    let now = cx.state.clock.now();
    own(cx, &mut request, manager)?;
    check_name(cx, name, &request)?;
    let account = cx.state.find(&cx.key(name))?.ok_or_else(|| cx.not_found(name))?;
    complete(cx, &account, issuer, &mut request);
    let lifetime = issuer.lifetime(check_lifetime(&request)?);
    request.put("spec.expirationSeconds", lifetime);
    let bound = bind(cx, name, &request)?;
    let audiences = texts(&request, "spec.audiences");
    let own = audiences.iter().all(|audience| issuer.audiences().contains(audience));
    let extended = issuer.extends() && bound.pod.is_some() && lifetime == POD_SECONDS && own;
    let at = |after: i64| now.as_second().saturating_add(after);
    let claims = Claims {
        aud: audiences,
        exp: at(if extended { EXTENDED_SECONDS } else { lifetime }),
        iat: at(0),
        iss: issuer.url().to_owned(),
        jti: cx.state.new_uid(),
        nbf: at(0),
        sub: user_name(cx.namespace, name),
        objects: Objects {
            namespace: cx.namespace.to_owned(),
            serviceaccount: reference(&account),
            warnafter: extended.then(|| at(lifetime)),
            ..bound
        },
    };
    let token = issuer.issue(&claims);
    let token = token.ok_or_else(|| Failure::Internal("the token cannot be signed".to_owned()))?;
    request.put("status.token", token);
    request.put("status.expirationTimestamp", expiry(now, lifetime));
    Ok(codec::encode_loose(KIND, API_VERSION, &request))
}

fn expiry(now: Timestamp, lifetime: i64) -> String {
    seconds(now.saturating_add(SignedDuration::from_secs(lifetime)).unwrap_or(Timestamp::MAX))
}

fn texts(object: &Value, path: &str) -> Vec<String> {
    object.items(path).iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// A TokenRequest has one version.
struct OnlyVersion(&'static Schema);

impl Versions for OnlyVersion {
    fn convert<'v>(&'v self, object: &'v Value, api_version: &str) -> Option<(Cow<'v, Value>, &'v Schema)> {
        (api_version == API_VERSION).then_some((Cow::Borrowed(object), self.0))
    }
}

/// Notes who owns what the client sent: the answer shows it though nothing is kept.
fn own(cx: &Cx<'_>, request: &mut Value, manager: &str) -> Result<(), Failure> {
    let schema = schema(GROUP, VERSION, KIND)?;
    request.take(MANAGED_FIELDS);
    let mut owners = Owners::default();
    let write = Write {
        manager,
        api_version: API_VERSION,
        subresource: "token",
        schema,
        ignored: &Set::default(),
        now: &cx.state.timestamp(),
        versions: &OnlyVersion(schema),
    };
    // The field is written even where nothing is bound, so that what is bound does not own it as a whole.
    let mut nothing = schema.empty().clone();
    nothing.put(BOUND, Value::Null);
    if owners.update(&nothing, request, &write).is_ok() {
        request.assign(MANAGED_FIELDS, owners.write());
    }
    Ok(())
}

fn check_name(cx: &Cx<'_>, name: &str, request: &Value) -> Result<(), Failure> {
    let mut errors = Errors::default();
    let (given, namespace) = (object::name(request), object::namespace(request));
    if !given.is_empty() && given != name {
        let why = "must match the service account name if specified";
        errors.invalid(&Path::new("metadata.name"), given, why);
    } else if !namespace.is_empty() && namespace != cx.namespace {
        let why = "must match the service account namespace if specified";
        errors.invalid(&Path::new("metadata.namespace"), namespace, why);
    }
    if errors.is_empty() { Ok(()) } else { Err(Failure::invalid_named(GROUP, KIND, name, errors)) }
}

/// Fills in what the answer says of the ServiceAccount and what the client left open.
fn complete(cx: &Cx<'_>, account: &Value, issuer: &TokenIssuer, request: &mut Value) {
    request.put("metadata.name", object::name(account));
    request.put("metadata.namespace", cx.namespace);
    request.put("metadata.uid", account.text("metadata.uid"));
    request.put("metadata.creationTimestamp", cx.state.timestamp());
    if request.items("spec.audiences").is_empty() {
        request.put("spec.audiences", issuer.audiences().to_vec());
    }
    request.take("status");
}

fn check_lifetime(request: &Value) -> Result<i64, Failure> {
    let lifetime = request.int("spec.expirationSeconds").unwrap_or(DEFAULT_SECONDS);
    let why = match lifetime {
        ..LEAST_SECONDS => "may not specify a duration less than 10 minutes",
        LEAST_SECONDS..=MOST_SECONDS => return Ok(lifetime),
        _ => "may not specify a duration larger than 2^32 seconds",
    };
    let mut errors = Errors::default();
    errors.invalid(&Path::new("spec.expirationSeconds"), lifetime, why);
    Err(Failure::invalid_named(GROUP, KIND, "", errors))
}

/// The objects the token is bound to.
fn bind(cx: &Cx<'_>, account: &str, request: &Value) -> Result<Objects, Failure> {
    let Some(wanted) = request.field(BOUND) else { return Ok(Objects::default()) };
    let (kind, name, uid) = (wanted.text("kind"), wanted.text("name"), wanted.text("uid"));
    let (group, version) = match wanted.text("apiVersion").split_once('/') {
        Some(both) => both,
        None => ("", wanted.text("apiVersion")),
    };
    if !group.is_empty() || !matches!(kind, "Pod" | "Secret" | "Node") {
        let text = format!("cannot bind token to object of type {group}/{version}, Kind={kind}");
        return Err(Failure::BadRequest(text));
    }
    let found = core(kind);
    let namespace = if found.namespaced { cx.namespace } else { "" };
    let object = cx.state.find(&codec::key(found, namespace, name))?;
    let object = object.ok_or_else(|| Failure::NotFound { kind: found, name: name.to_owned() })?;
    let mut bound = Objects::default();
    match kind {
        "Pod" => bind_pod(cx, account, &object, &mut bound)?,
        "Secret" => bound.secret = Some(reference(&object)),
        _ => bound.node = Some(reference(&object)),
    }
    if !uid.is_empty() && uid != object.text("metadata.uid") {
        return Err(replaced(kind, name, uid));
    }
    Ok(bound)
}

fn bind_pod(cx: &Cx<'_>, account: &str, pod: &Value, bound: &mut Objects) -> Result<(), Failure> {
    if pod.text("spec.serviceAccountName") != account {
        return Err(Failure::BadRequest(format!(
            "cannot bind token for serviceaccount {account:?} to pod running with different serviceaccount name."
        )));
    }
    bound.pod = Some(reference(pod));
    let node = pod.text("spec.nodeName");
    if !node.is_empty() {
        // A node that is not there is named all the same, without a uid.
        let uid = cx.state.find(&codec::key(core("Node"), "", node))?;
        let uid = uid.map(|found| found.text("metadata.uid").to_owned()).unwrap_or_default();
        bound.node = Some(Reference { name: node.to_owned(), uid });
    }
    Ok(())
}

fn replaced(kind: &str, name: &str, uid: &str) -> Failure {
    Failure::Conflict {
        subject: kind.to_owned(),
        group: String::new(),
        resource: kind.to_owned(),
        name: name.to_owned(),
        reason: format!(
            "the UID in the bound object reference ({uid}) does not match the UID in record. The object might have \
             been deleted and then recreated"
        ),
    }
}

fn core(kind: &str) -> &'static Kind {
    by_kind("", "v1", kind).expect("the kinds table has what tokens can be bound to")
}

fn reference(object: &Value) -> Reference {
    Reference { name: object::name(object).to_owned(), uid: object.text("metadata.uid").to_owned() }
}
