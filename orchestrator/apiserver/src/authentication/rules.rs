//! [`Rules`]: from what a token says to the user it is about.

use std::collections::BTreeMap;
use std::sync::Arc;

use wherry_cel::{Env, Program, Type, Types, Value as Cel};
use wherry_schema::Value;
use wherry_schema::decode::kind_of;

use crate::auth::{UserInfo, credential};
use crate::object::Fields;

/// What one expression may cost.
const BUDGET: u64 = 1_000_000;
const USER: &str = "kubernetes.UserInfo";

/// An expression, compiled.
#[derive(Debug)]
pub(super) struct Check {
    text: String,
    /// What is said where it does not hold.
    message: String,
    program: Program,
}

/// Where a part of a user comes from.
#[derive(Debug)]
pub(super) enum Source {
    /// A claim, with something before it.
    Claim {
        claim: String,
        prefix: String,
    },
    Expression(Check),
}

/// How tokens of an issuer are read.
#[derive(Debug)]
pub(super) struct Rules {
    /// Claims that must be there, with their values.
    pub(super) required: Vec<(String, String)>,
    /// What must hold of a token.
    pub(super) claims: Vec<Check>,
    /// None only in what was refused.
    pub(super) username: Option<Source>,
    pub(super) groups: Option<Source>,
    pub(super) uid: Option<Source>,
    pub(super) extra: Vec<(String, Check)>,
    /// What must hold of the user.
    pub(super) users: Vec<Check>,
}

/// Compiles expressions.
pub(super) struct Compiler {
    claims: Env,
    user: Env,
}

/// The type of `user`.
struct UserType;

impl Types for UserType {
    fn contains(&self, name: &str) -> bool {
        name == USER
    }

    fn field(&self, name: &str, field: &str) -> Option<Type> {
        match field {
            _ if name != USER => None,
            "username" | "uid" => Some(Type::String),
            "groups" => Some(Type::list(Type::String)),
            "extra" => Some(Type::map(Type::String, Type::list(Type::String))),
            _ => None,
        }
    }
}

impl Compiler {
    /// A compiler of expressions about claims and users.
    pub(super) fn new() -> Self {
        let claims = Env::kubernetes().variable("claims", Type::map(Type::String, Type::Dyn));
        let user = Env::kubernetes().variable("user", Type::object(USER)).types(Arc::new(UserType));
        Self { claims, user }
    }

    /// Compiles an expression about claims, which may have to be one that holds or not.
    pub(super) fn claims(&self, text: &str, truth: bool, message: &str) -> Result<Check, String> {
        Check::new(&self.claims, text, truth, message)
    }

    /// Compiles an expression about a user that holds or not.
    pub(super) fn user(&self, text: &str, message: &str) -> Result<Check, String> {
        Check::new(&self.user, text, true, message)
    }
}

impl Check {
    fn new(env: &Env, text: &str, truth: bool, message: &str) -> Result<Self, String> {
        let program = env.compile(text).map_err(|issues| format!("compilation failed: {issues}"))?;
        if truth && *program.result_type() != Type::Bool {
            return Err("must evaluate to bool".to_owned());
        }
        Ok(Self { text: text.to_owned(), message: message.to_owned(), program })
    }

    /// Whether it reads a field of a variable.
    pub(super) fn selects(&self, variable: &str, field: &str) -> bool {
        self.program.selects(variable, field)
    }

    fn run<'a>(&'a self, name: &str, value: &'a Value) -> Result<Cel<'a>, String> {
        let told = |why: String| format!("expression '{}' resulted in error: {why}", self.text);
        let value = Cel::view(value, None).map_err(|error| told(error.to_string()))?;
        let evaluation = self.program.evaluate(&[(name, value)], BUDGET);
        evaluation.result.map_err(|error| told(error.to_string()))
    }

    fn holds(&self, name: &str, value: &Value) -> Result<(), String> {
        match self.run(name, value)?.as_bool() {
            Some(true) => Ok(()),
            Some(false) => Err(format!("validation expression '{}' failed: {}", self.text, self.message)),
            None => Err("validation expression must return a boolean".to_owned()),
        }
    }

    /// The texts it gives; empty ones count as none.
    fn texts(&self, claims: &Value) -> Result<Vec<String>, String> {
        let wrong = || "expression must return a string or a list of strings".to_owned();
        let texts: Vec<String> = match self.run("claims", claims)? {
            Cel::Null => Vec::new(),
            Cel::String(text) => vec![text.to_string()],
            Cel::List(list) => {
                let items = (0..list.len()).map(|at| list.get(at).and_then(Result::ok));
                let text = |item: Option<Cel<'_>>| item.and_then(|item| item.as_str().map(str::to_owned));
                items.map(|item| text(item).ok_or_else(wrong)).collect::<Result<_, _>>()?
            }
            _ => return Err(wrong()),
        };
        Ok(texts.into_iter().filter(|text| !text.is_empty()).collect())
    }
}

/// A claim that is a text.
fn text<'c>(claims: &'c Value, claim: &str) -> Result<&'c str, String> {
    match claims.get(claim) {
        None => Err("claim not present".to_owned()),
        Some(Value::Null) => Ok(""),
        Some(found) => found.as_str().ok_or_else(|| unfit(found, "string")),
    }
}

fn unfit(found: &Value, wanted: &str) -> String {
    format!("json: cannot unmarshal {} into Go value of type {wanted}", kind_of(found))
}

impl Rules {
    /// The user that a token is about. The error says what of the token does not fit.
    pub(super) fn user(&self, claims: &Value) -> Result<UserInfo, String> {
        let name = self.username(claims)?;
        let mut user = UserInfo {
            name,
            groups: self.groups(claims)?,
            uid: self.uid(claims)?,
            extra: self.extra(claims)?,
        };
        if claims.get("jti").is_some() {
            let id = text(claims, "jti").map_err(|why| format!("oidc: parse jti claim: {why}"))?;
            user.extra.extend(credential(format!("JTI={id}")));
        }
        self.check_claims(claims)?;
        self.check_user(&user)?;
        Ok(user)
    }

    fn username(&self, claims: &Value) -> Result<String, String> {
        let name = match &self.username {
            Some(Source::Expression(check)) => {
                let told = |why: String| format!("oidc: error evaluating username claim expression: {why}");
                let value = check.run("claims", claims).map_err(told)?;
                let name = value.as_str().map(str::to_owned);
                name.ok_or_else(|| told("username claim expression must return a string".to_owned()))?
            }
            Some(Source::Claim { claim, prefix }) => {
                let name = text(claims, claim);
                let name = name.map_err(|why| format!("oidc: parse username claims {claim:?}: {why}"))?;
                if claim == "email" {
                    check_verified(claims)?;
                }
                if name.is_empty() { String::new() } else { format!("{prefix}{name}") }
            }
            None => String::new(),
        };
        if name.is_empty() { Err("oidc: empty username is not allowed".to_owned()) } else { Ok(name) }
    }

    fn groups(&self, claims: &Value) -> Result<Vec<String>, String> {
        match &self.groups {
            None => Ok(Vec::new()),
            Some(Source::Expression(check)) => check
                .texts(claims)
                .map_err(|why| format!("oidc: error evaluating group claim expression: {why}")),
            Some(Source::Claim { claim, prefix }) => {
                let Some(found) = claims.get(claim) else { return distributed(claims, claim) };
                let groups = match found {
                    Value::Null => Some(Vec::new()),
                    Value::Array(items) => items.iter().map(Value::as_str).collect(),
                    one => one.as_str().map(|one| vec![one]),
                };
                let groups = groups.ok_or_else(|| {
                    format!("oidc: parse groups claim {claim:?}: {}", unfit(found, "string"))
                })?;
                Ok(groups.into_iter().map(|group| format!("{prefix}{group}")).collect())
            }
        }
    }

    fn uid(&self, claims: &Value) -> Result<String, String> {
        match &self.uid {
            None => Ok(String::new()),
            Some(Source::Claim { claim, .. }) => text(claims, claim)
                .map(str::to_owned)
                .map_err(|why| format!("oidc: parse uid claim {claim:?}: {why}")),
            Some(Source::Expression(check)) => {
                let told = |why: String| format!("oidc: error evaluating uid claim expression: {why}");
                let value = check.run("claims", claims).map_err(told)?;
                let uid = value.as_str().map(str::to_owned);
                uid.ok_or_else(|| told("uid claim expression must return a string".to_owned()))
            }
        }
    }

    fn extra(&self, claims: &Value) -> Result<BTreeMap<String, Vec<String>>, String> {
        let mut extra = BTreeMap::new();
        for (key, check) in &self.extra {
            let told =
                |why: String| format!("oidc: error evaluating extra claim expression: {}: {why}", check.text);
            let values = check.texts(claims).map_err(told)?;
            if !values.is_empty() {
                extra.insert(key.clone(), values);
            }
        }
        Ok(extra)
    }

    fn check_claims(&self, claims: &Value) -> Result<(), String> {
        for (claim, wanted) in &self.required {
            if claims.get(claim).is_none() {
                return Err(format!("oidc: required claim {claim} not present in ID token"));
            }
            let found = text(claims, claim).map_err(|why| format!("oidc: parse claim {claim}: {why}"))?;
            if found != wanted {
                return Err(format!(
                    "oidc: required claim {claim} value does not match. Got = {found}, want = {wanted}"
                ));
            }
        }
        let holds = self.claims.iter().try_for_each(|check| check.holds("claims", claims));
        holds.map_err(|why| format!("oidc: error evaluating claim validation expression: {why}"))
    }

    fn check_user(&self, user: &UserInfo) -> Result<(), String> {
        if self.users.is_empty() {
            return Ok(());
        }
        let mut value = Value::object();
        value.put("username", &*user.name);
        value.put("uid", &*user.uid);
        value.put("groups", user.groups.clone());
        value.put("extra", Value::object());
        for (key, values) in &user.extra {
            value.set(&["extra", key], values.clone());
        }
        let holds = self.users.iter().try_for_each(|check| check.holds("user", &value));
        holds.map_err(|why| format!("oidc: error evaluating user info validation rule: {why}"))
    }
}

/// Refuses an address that the issuer has not verified.
fn check_verified(claims: &Value) -> Result<(), String> {
    match claims.get("email_verified") {
        None | Some(Value::Bool(true)) => Ok(()),
        Some(Value::Bool(false) | Value::Null) => Err("oidc: email not verified".to_owned()),
        Some(other) => Err(format!("oidc: parse 'email_verified' claim: {}", unfit(other, "bool"))),
    }
}

/// Groups that are told elsewhere are not asked for: their absence must not be taken for none.
fn distributed(claims: &Value, claim: &str) -> Result<Vec<String>, String> {
    let names = claims.get("_claim_names");
    if names.and_then(|names| names.get(claim)).is_some() {
        return Err(format!(
            "oidc: could not expand distributed claims: claim {claim:?} is told by another server, which is not supported"
        ));
    }
    Ok(Vec::new())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::super::document::Document;
    use super::super::validate::check;
    use super::*;
    use crate::validation::Errors;

    fn rules(authenticator: &str) -> Rules {
        let text = format!(
            "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthenticationConfiguration\njwt:\n- issuer: {{url: \
             \"https://issuer\", audiences: [me]}}\n{authenticator}"
        );
        let mut errors = Errors::default();
        let mut rules = check(&Document::parse(text.as_bytes()).unwrap(), &[], &mut errors);
        assert!(errors.is_empty(), "{errors}");
        rules.remove(0)
    }

    fn claims() -> Value {
        json!({
            "sub": "ann", "email": "ann@x", "email_verified": true, "groups": ["a", "b"], "role": "c", "n": 1,
            "nested": {"deep": ["x", ""]}, "https://x/y": "z", "jti": "j-1",
        })
        .into()
    }

    const CLAIMS: &str = "  claimMappings:\n    username: {claim: email, prefix: 'p:'}\n    groups: {claim: groups, \
                          prefix: 'g:'}\n    uid: {claim: sub}\n";

    #[test]
    fn claims_are_mapped_with_what_comes_before_them() {
        let user = rules(CLAIMS).user(&claims()).unwrap();
        assert_eq!((&*user.name, &*user.uid), ("p:ann@x", "ann"));
        assert_eq!(user.groups, ["g:a", "g:b"]);
        assert_eq!(user.extra["authentication.kubernetes.io/credential-id"], ["JTI=j-1"]);
        let one = rules(&CLAIMS.replace("claim: groups", "claim: role")).user(&claims()).unwrap();
        assert_eq!(one.groups, ["g:c"]);
    }

    #[test]
    fn expressions_say_who_a_token_is_about() {
        let rules = rules(
            "  claimMappings:\n    username: {expression: 'claims.sub + \"@\" + claims[\"https://x/y\"]'}\n    groups: \
             {expression: 'claims.groups.map(g, g.upperAscii())'}\n    uid: {expression: 'string(claims.n)'}\n    \
             extra:\n    - {key: x.io/a, valueExpression: claims.nested.deep}\n    - {key: x.io/b, valueExpression: \
             'claims.?none.orValue(\"\")'}\n  claimValidationRules:\n  - {claim: role, requiredValue: c}\n  \
             - {expression: claims.n < 2, message: too many}\n  userValidationRules:\n  - {expression: \
             '!user.username.startsWith(\"system:\") && user.groups.size() == 2'}\n  - {expression: '\"x.io/a\" in \
             user.extra'}\n",
        );
        let user = rules.user(&claims()).unwrap();
        assert_eq!((&*user.name, &*user.uid), ("ann@z", "1"));
        assert_eq!(
            (user.groups, user.extra["x.io/a"].clone()),
            (vec!["A".to_owned(), "B".to_owned()], vec!["x".to_owned()])
        );
        assert!(!user.extra.contains_key("x.io/b"));
    }

    #[test]
    fn what_does_not_fit_is_told() {
        let with = |name: &str, value: serde_json::Value| {
            let mut claims = claims();
            claims.set(&[name], Value::from(value));
            claims
        };
        let rule = |more: &str| rules(&format!("{CLAIMS}{more}"));
        let told = |rules: Rules, claims: &Value| rules.user(claims).unwrap_err();
        assert_eq!(told(rule(""), &with("email_verified", json!(false))), "oidc: email not verified");
        assert_eq!(
            told(rule(""), &with("email", json!(1))),
            "oidc: parse username claims \"email\": json: cannot unmarshal number into Go value of type string"
        );
        assert_eq!(told(rule(""), &with("email", json!(""))), "oidc: empty username is not allowed");
        let required = "  claimValidationRules: [{claim: hd, requiredValue: x}]\n";
        assert_eq!(told(rule(required), &claims()), "oidc: required claim hd not present in ID token");
        assert_eq!(
            told(rule(required), &with("hd", json!("y"))),
            "oidc: required claim hd value does not match. Got = y, want = x"
        );
        let expression = "  claimValidationRules: [{expression: claims.n == 2, message: not two}]\n";
        assert_eq!(
            told(rule(expression), &claims()),
            "oidc: error evaluating claim validation expression: validation expression 'claims.n == 2' failed: not two"
        );
        let user = "  userValidationRules: [{expression: user.uid == '', message: has one}]\n";
        assert_eq!(
            told(rule(user), &claims()),
            "oidc: error evaluating user info validation rule: validation expression 'user.uid == ''' failed: has one"
        );
        let mut elsewhere = with("_claim_names", json!({"groups": "s"}));
        elsewhere.remove(&["groups"]);
        assert!(told(rule(""), &elsewhere).starts_with("oidc: could not expand distributed claims"));
    }

    proptest! {
        #[test]
        fn any_claims_make_a_user_or_are_refused(
            name in "\\PC{0,8}", groups in prop::collection::vec("\\PC{0,4}", 0..3), number: i64, which in 0..4_usize
        ) {
            let values = [json!(name), json!(groups), json!(number), json!(null)];
            let claims = json!({"email": values[which], "groups": values[3 - which], "sub": name});
            if let Ok(user) = rules(CLAIMS).user(&claims.into()) {
                prop_assert!(user.name.starts_with("p:"));
                prop_assert!(user.groups.iter().all(|group| group.starts_with("g:")));
            }
        }
    }
}
