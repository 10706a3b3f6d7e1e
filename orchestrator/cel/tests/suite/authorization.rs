//! Checks that an authorizer decides.

use std::cell::RefCell;
use std::rc::Rc;

use wherry_cel::{Authorizer, Check, Decision, Env, Resource, Target, Type, Value};

/// Allows what reads, and remembers what was asked.
#[derive(Debug, Default)]
struct Reader {
    asked: RefCell<Vec<Check>>,
}

impl Authorizer for Reader {
    fn authorize(&self, check: &Check) -> Decision {
        self.asked.borrow_mut().push(check.clone());
        let error = (check.verb == "break").then(|| "broken".to_owned());
        Decision { allowed: check.verb == "get", reason: format!("verb is {}", check.verb), error }
    }
}

fn env() -> Env {
    Env::kubernetes()
        .variable("authorizer", Type::opaque("kubernetes.authorization.Authorizer"))
        .variable("authorizer.requestResource", Type::opaque("kubernetes.authorization.ResourceCheck"))
}

fn ask(text: &str) -> (Result<Option<bool>, String>, Vec<Check>, u64) {
    let reader = Rc::new(Reader::default());
    let program = env().compile(text).unwrap_or_else(|issues| panic!("{text}: {issues}"));
    let pods = Resource { resource: "pods".to_owned(), namespace: "n".to_owned(), ..Resource::default() };
    let variables = [
        ("authorizer", Value::authorizer(reader.clone())),
        ("authorizer.requestResource", Value::resource_check(reader.clone(), pods)),
    ];
    let evaluation = program.evaluate(&variables, 1_000_000);
    let result = evaluation.result.map(|value| value.as_bool()).map_err(|error| error.to_string());
    let asked = reader.asked.borrow().clone();
    (result, asked, evaluation.cost)
}

#[test]
fn resources_are_asked_about() {
    let text = "authorizer.serviceAccount('ns', 'sa').group('apps').resource('deployments').subresource('status')\
                .namespace('default').name('web').fieldSelector('a=b').labelSelector('c').check('get').allowed()";
    let (result, asked, cost) = ask(text);
    assert_eq!(result, Ok(Some(true)));
    let target = Target::Resource(Resource {
        group: "apps".to_owned(),
        resource: "deployments".to_owned(),
        subresource: "status".to_owned(),
        namespace: "default".to_owned(),
        name: "web".to_owned(),
        field_selector: "a=b".to_owned(),
        label_selector: "c".to_owned(),
    });
    let service_account = Some(("ns".to_owned(), "sa".to_owned()));
    assert_eq!(asked, [Check { service_account, target, verb: "get".to_owned() }]);
    assert!((350_000..350_200).contains(&cost), "{cost}");
}

#[test]
fn decisions_tell_their_reason_and_error() {
    for text in [
        "!authorizer.path('/healthz').check('post').allowed()",
        "authorizer.path('/healthz').check('post').reason() == 'verb is post'",
        "authorizer.path('/x').check('break').errored() && authorizer.path('/x').check('break').error() == 'broken'",
        "!authorizer.requestResource.check('get').errored() && authorizer.requestResource.check('get').error() == ''",
    ] {
        assert_eq!(ask(text).0, Ok(Some(true)), "{text}");
    }
}

#[test]
fn three_checks_cost_too_much() {
    let check = "authorizer.path('/x').check('get').allowed()";
    let (result, _, _) = ask(&format!("{check} && {check} && {check}"));
    assert_eq!(result, Err("operation cancelled: actual cost limit exceeded".to_owned()));
}

#[test]
fn empty_and_invalid_names_are_refused() {
    for (text, expected) in [
        ("authorizer.path(' ').check('get').allowed()", "path must not be empty"),
        ("authorizer.group('').resource('').check('get').allowed()", "resource must not be empty"),
        (
            "authorizer.serviceAccount('A', 'b').path('/').check('get').allowed()",
            "Invalid service account namespace",
        ),
        (
            "authorizer.serviceAccount('a', '_').path('/').check('get').allowed()",
            "Invalid service account name",
        ),
    ] {
        assert_eq!(ask(text).0, Err(expected.to_owned()), "{text}");
    }
    let issues = env().compile("authorizer.nope()").expect_err("there is no such function").to_string();
    assert!(
        issues.starts_with("ERROR: <input>:1:16: undeclared reference to 'nope' (in container '')"),
        "{issues}"
    );
}
