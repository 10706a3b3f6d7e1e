//! Authorization checks of the one who asks, or of a ServiceAccount. Who decides is the caller's [`Authorizer`].

use std::any::Any;
use std::fmt::Debug;
use std::rc::Rc;

use wherry_api::names;

use crate::env::Row;
use crate::error::Error;
use crate::value::{Opaque, Value};

type Result<T> = std::result::Result<T, Error>;

pub(super) const ROWS: &[Row] = &[
    (
        "path",
        "authorizer_path",
        "kubernetes.authorization.Authorizer.(string) -> kubernetes.authorization.PathCheck",
        path,
    ),
    (
        "group",
        "authorizer_group",
        "kubernetes.authorization.Authorizer.(string) -> kubernetes.authorization.GroupCheck",
        group,
    ),
    (
        "serviceAccount",
        "authorizer_serviceaccount",
        "kubernetes.authorization.Authorizer.(string, string) -> kubernetes.authorization.Authorizer",
        service_account,
    ),
    (
        "resource",
        "groupcheck_resource",
        "kubernetes.authorization.GroupCheck.(string) -> kubernetes.authorization.ResourceCheck",
        resource,
    ),
    ("subresource", "resourcecheck_subresource", REFINED, |args| {
        refine(args, |check, text| check.subresource = text)
    }),
    ("namespace", "resourcecheck_namespace", REFINED, |args| {
        refine(args, |check, text| check.namespace = text)
    }),
    ("name", "resourcecheck_name", REFINED, |args| refine(args, |check, text| check.name = text)),
    ("fieldSelector", "authorizer_fieldselector", REFINED, |args| {
        refine(args, |check, text| check.field_selector = text)
    }),
    ("labelSelector", "authorizer_labelselector", REFINED, |args| {
        refine(args, |check, text| check.label_selector = text)
    }),
    (
        "check",
        "pathcheck_check",
        "kubernetes.authorization.PathCheck.(string) -> kubernetes.authorization.Decision",
        check,
    ),
    (
        "check",
        "resourcecheck_check",
        "kubernetes.authorization.ResourceCheck.(string) -> kubernetes.authorization.Decision",
        check,
    ),
    ("allowed", "decision_allowed", "kubernetes.authorization.Decision.() -> bool", allowed),
    ("reason", "decision_reason", "kubernetes.authorization.Decision.() -> string", reason),
    ("errored", "decision_errored", "kubernetes.authorization.Decision.() -> bool", errored),
    ("error", "decision_error", "kubernetes.authorization.Decision.() -> string", error),
];

const REFINED: &str =
    "kubernetes.authorization.ResourceCheck.(string) -> kubernetes.authorization.ResourceCheck";

/// Who decides what is allowed.
pub trait Authorizer: Debug {
    /// Decides a check.
    fn authorize(&self, check: &Check) -> Decision;
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Namespace and name of the ServiceAccount that is asked about, instead of who sent the request.
    pub service_account: Option<(String, String)>,
    /// What it would be done to.
    pub target: Target,
    /// What would be done.
    pub verb: String,
}

/// What something would be done to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A path that is no resource.
    Path(String),
    /// Resources.
    Resource(Resource),
}

/// Resources that something would be done to. What is empty is not restricted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resource {
    /// The API group.
    pub group: String,
    /// The plural name.
    pub resource: String,
    /// The subresource.
    pub subresource: String,
    /// The namespace.
    pub namespace: String,
    /// The name of the object.
    pub name: String,
    /// Of the fields of the objects.
    pub field_selector: String,
    /// Of the labels of the objects.
    pub label_selector: String,
}

/// What was decided.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// Whether it is allowed.
    pub allowed: bool,
    /// Why.
    pub reason: String,
    /// Why nothing could be decided.
    pub error: Option<String>,
}

/// The steps of a question.
#[derive(Clone, Debug)]
enum Step {
    Authorizer,
    Group(String),
    Target(Target),
}

#[derive(Clone, Debug)]
struct Question {
    authorizer: Rc<dyn Authorizer>,
    service_account: Option<(String, String)>,
    step: Step,
}

impl Opaque for Question {
    fn type_name(&self) -> &'static str {
        match self.step {
            Step::Authorizer => "kubernetes.authorization.Authorizer",
            Step::Group(_) => "kubernetes.authorization.GroupCheck",
            Step::Target(Target::Path(_)) => "kubernetes.authorization.PathCheck",
            Step::Target(Target::Resource(_)) => "kubernetes.authorization.ResourceCheck",
        }
    }

    fn equals(&self, other: &dyn Opaque) -> bool {
        std::ptr::addr_eq(self, other)
    }
}

impl Opaque for Decision {
    fn type_name(&self) -> &'static str {
        "kubernetes.authorization.Decision"
    }

    fn equals(&self, other: &dyn Opaque) -> bool {
        (other as &dyn Any).downcast_ref() == Some(self)
    }
}

impl Value<'_> {
    /// The variable `authorizer`, of type `kubernetes.authorization.Authorizer`.
    pub fn authorizer(authorizer: Rc<dyn Authorizer>) -> Self {
        Self::opaque(Question { authorizer, service_account: None, step: Step::Authorizer })
    }

    /// The variable `authorizer.requestResource`, of type `kubernetes.authorization.ResourceCheck`.
    pub fn resource_check(authorizer: Rc<dyn Authorizer>, resource: Resource) -> Self {
        let step = Step::Target(Target::Resource(resource));
        Self::opaque(Question { authorizer, service_account: None, step })
    }
}

fn question<'v>(args: &'v [Value<'_>]) -> Result<(&'v Question, &'v str)> {
    match args {
        [target, Value::String(text), ..] => Ok((target.as_opaque().ok_or_else(Error::no_overload)?, text)),
        _ => Err(Error::no_overload()),
    }
}

fn not_empty(text: &str, what: &str) -> Result<String> {
    if text.trim().is_empty() {
        Err(Error::other(format!("{what} must not be empty")))
    } else {
        Ok(text.to_owned())
    }
}

fn path<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    let (question, text) = question(args)?;
    let step = Step::Target(Target::Path(not_empty(text, "path")?));
    Ok(Value::opaque(Question { step, ..question.clone() }))
}

fn group<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    let (question, text) = question(args)?;
    Ok(Value::opaque(Question { step: Step::Group(text.to_owned()), ..question.clone() }))
}

fn service_account<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    let (question, namespace) = question(args)?;
    let name = args.get(2).and_then(Value::as_str).ok_or_else(Error::no_overload)?;
    names::dns1123_subdomain(name).map_err(|_| Error::other("Invalid service account name"))?;
    names::dns1123_label(namespace).map_err(|_| Error::other("Invalid service account namespace"))?;
    let service_account = Some((namespace.to_owned(), name.to_owned()));
    Ok(Value::opaque(Question { service_account, ..question.clone() }))
}

fn resource<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    let (question, text) = question(args)?;
    let Step::Group(group) = &question.step else { return Err(Error::no_overload()) };
    let resource = not_empty(text, "resource")?;
    let step =
        Step::Target(Target::Resource(Resource { group: group.clone(), resource, ..Resource::default() }));
    Ok(Value::opaque(Question { step, ..question.clone() }))
}

fn refine<'a>(args: &[Value<'a>], set: fn(&mut Resource, String)) -> Result<Value<'a>> {
    let (question, text) = question(args)?;
    let mut question = question.clone();
    let Step::Target(Target::Resource(resource)) = &mut question.step else {
        return Err(Error::no_overload());
    };
    set(resource, text.to_owned());
    Ok(Value::opaque(question))
}

fn check<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    let (question, verb) = question(args)?;
    let Step::Target(target) = question.step.clone() else { return Err(Error::no_overload()) };
    let check = Check { service_account: question.service_account.clone(), target, verb: verb.to_owned() };
    Ok(Value::opaque(question.authorizer.authorize(&check)))
}

fn decision<'v>(args: &'v [Value<'_>]) -> Result<&'v Decision> {
    args.first().and_then(Value::as_opaque).ok_or_else(Error::no_overload)
}

fn allowed<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    decision(args).map(|decision| Value::Bool(decision.allowed))
}

fn reason<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    decision(args).map(|decision| Value::from(decision.reason.clone()))
}

fn errored<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    decision(args).map(|decision| Value::Bool(decision.error.is_some()))
}

fn error<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    decision(args).map(|decision| Value::from(decision.error.clone().unwrap_or_default()))
}
