//! The rules of an AuthenticationConfiguration, and its expressions, compiled.

use std::collections::HashSet;

use super::document::{Authenticator, ClaimRule, Document, Extra, Issuer, Mappings, Prefixed, UserRule};
use super::rules::{Check, Compiler, Rules, Source};
use crate::node_client::certificates;
use crate::validation::ingress::check_domain_path;
use crate::validation::url::Url;
use crate::validation::{Errors, Path, Shown};

/// The most issuers there may be.
const MOST: usize = 64;

const MATCH_ANY: &str = "MatchAny";
const BOTH: &str = "claim and expression can't both be set";
const NEITHER: &str = "claim or expression is required";
const UNVERIFIED: &str = "claims.email_verified must be used in claimMappings.username.expression or \
                          claimMappings.extra[*].valueExpression or claimValidationRules[*].expression when \
                          claims.email is used in claimMappings.username.expression";

/// Checks a configuration and compiles the rules of its authenticators, one for each.
pub(super) fn check(document: &Document, disallowed: &[String], errors: &mut Errors) -> Vec<Rules> {
    let root = Path::new("jwt");
    if document.jwt.len() > MOST {
        errors.too_many(&root, document.jwt.len(), MOST);
        return Vec::new();
    }
    let (mut issuers, mut discoveries) = (HashSet::new(), HashSet::new());
    let mut compiled = Vec::with_capacity(document.jwt.len());
    for (at, authenticator) in document.jwt.iter().enumerate() {
        let path = root.index(at);
        compiled.push(check_authenticator(authenticator, disallowed, &path, errors));
        let Issuer { url, discovery_url, .. } = &authenticator.issuer;
        if !issuers.insert(url) {
            errors.duplicate(&path.child("issuer.url"), url);
        }
        if !discovery_url.is_empty() && !discoveries.insert(discovery_url) {
            errors.duplicate(&path.child("issuer.discoveryURL"), discovery_url);
        }
    }
    if let Some(anonymous) = document.anonymous.as_ref()
        && !anonymous.enabled
        && !anonymous.conditions.is_empty()
    {
        let shown: Vec<String> =
            anonymous.conditions.iter().map(|one| format!("{{\"path\":{:?}}}", one.path)).collect();
        let shown = Shown::raw(format!("[{}]", shown.join(",")));
        let why = "enabled should be set to true when conditions are defined";
        errors.invalid(&Path::new("anonymous.conditions"), shown, why);
    }
    compiled
}

fn check_authenticator(
    authenticator: &Authenticator,
    disallowed: &[String],
    path: &Path,
    errors: &mut Errors,
) -> Rules {
    check_issuer(&authenticator.issuer, disallowed, &path.child("issuer"), errors);
    let mut check = Checker { compiler: Compiler::new(), errors };
    let at = path.child("claimValidationRules");
    let (required, claims) = check.claim_rules(&authenticator.claim_validation_rules, &at);
    let mappings = &authenticator.claim_mappings;
    let at = path.child("claimMappings");
    let username = check.prefixed(&mappings.username, true, &at.child("username"));
    let groups = check.prefixed(&mappings.groups, false, &at.child("groups"));
    let uid = check.uid(mappings, &at.child("uid"));
    let extra = check.extra(&mappings.extra, &at.child("extra"));
    let verifies = |source: &Check| source.selects("claims", "email_verified");
    if let Some(Source::Expression(name)) = &username
        && name.selects("claims", "email")
        && !verifies(name)
        && !extra.iter().map(|(_, check)| check).chain(&claims).any(verifies)
    {
        check.errors.invalid(&at.child("username.expression"), &mappings.username.expression, UNVERIFIED);
    }
    let users = check.user_rules(&authenticator.user_validation_rules, &path.child("userValidationRules"));
    Rules { required, claims, username, groups, uid, extra, users }
}

fn check_issuer(issuer: &Issuer, disallowed: &[String], path: &Path, errors: &mut Errors) {
    if issuer.url.is_empty() {
        errors.required(&path.child("url"), "");
    } else {
        check_url(&issuer.url, disallowed, &path.child("url"), errors);
    }
    let (discovery, at) = (&issuer.discovery_url, path.child("discoveryURL"));
    if !discovery.is_empty() {
        if !issuer.url.is_empty() && issuer.url.trim_end_matches('/') == discovery.trim_end_matches('/') {
            errors.invalid(&at, discovery, "discoveryURL must be different from URL");
        }
        check_url(discovery, &[], &at, errors);
    }
    check_audiences(issuer, path, errors);
    let ca = &issuer.certificate_authority;
    if !ca.is_empty() && certificates(ca.as_bytes()).is_err() {
        let why = "data does not contain any valid RSA or ECDSA certificates";
        errors.invalid(&path.child("certificateAuthority"), "<omitted>", why);
    }
    let at = path.child("egressSelectorType");
    match &*issuer.egress_selector_type {
        "" => {}
        kind @ ("controlplane" | "cluster") => {
            errors.invalid(&at, kind, "egress selectors are not supported: issuers are asked directly");
        }
        kind => errors.invalid(&at, kind, "egress selector must be either controlplane or cluster"),
    }
}

fn check_url(text: &str, disallowed: &[String], path: &Path, errors: &mut Errors) {
    if disallowed.iter().any(|one| one == text) {
        let why = format!("URL must not overlap with disallowed issuers: [{}]", disallowed.join(" "));
        errors.invalid(path, text, &why);
    }
    let url = match Url::parse(text) {
        Ok(url) => url,
        Err(why) => return errors.invalid(path, text, &why.to_string()),
    };
    for (wrong, why) in [
        (url.scheme != "https", "URL scheme must be https"),
        (url.user.is_some(), "URL must not contain a username or password"),
        (!url.query.is_empty(), "URL must not contain a query"),
        (!url.fragment.is_empty(), "URL must not contain a fragment"),
    ] {
        if wrong {
            errors.invalid(path, text, why);
        }
    }
}

fn check_audiences(issuer: &Issuer, path: &Path, errors: &mut Errors) {
    let (at, policy) = (path.child("audiences"), &*issuer.audience_match_policy);
    if issuer.audiences.is_empty() {
        errors.required(&at, &format!("at least one {at} is required"));
        return;
    }
    let mut seen = HashSet::new();
    for (place, audience) in issuer.audiences.iter().enumerate() {
        if audience.is_empty() {
            errors.required(&at.index(place), "");
        }
        if !seen.insert(audience) {
            errors.duplicate(&at.index(place), audience);
        }
    }
    let at = path.child("audienceMatchPolicy");
    if issuer.audiences.len() > 1 {
        if policy != MATCH_ANY {
            errors.invalid(&at, policy, "audienceMatchPolicy must be MatchAny for multiple audiences");
        }
    } else if !matches!(policy, "" | MATCH_ANY) {
        errors.invalid(&at, policy, "audienceMatchPolicy must be empty or MatchAny for single audience");
    }
}

/// Checks what expressions there are, and keeps what they compile to.
struct Checker<'e> {
    compiler: Compiler,
    errors: &'e mut Errors,
}

impl Checker<'_> {
    fn compiled(&mut self, check: Result<Check, String>, text: &str, path: &Path) -> Option<Check> {
        check.map_err(|why| self.errors.invalid(path, text, &why)).ok()
    }

    /// The claims that must have a value, and the expressions that must hold.
    fn claim_rules(&mut self, rules: &[ClaimRule], path: &Path) -> (Vec<(String, String)>, Vec<Check>) {
        let (mut required, mut checks): (Vec<(String, String)>, Vec<Check>) = (Vec::new(), Vec::new());
        let mut seen = HashSet::new();
        for (at, rule) in rules.iter().enumerate() {
            let path = path.index(at);
            match (rule.claim.is_empty(), rule.expression.is_empty()) {
                (false, false) => self.errors.invalid(&path, &rule.claim, BOTH),
                (true, true) => self.errors.required(&path, NEITHER),
                (false, true) => {
                    if !rule.message.is_empty() {
                        let why = "may not be specified when claim is set";
                        self.errors.invalid(&path.child("message"), &rule.message, why);
                    }
                    if required.iter().any(|(claim, _)| *claim == rule.claim) {
                        self.errors.duplicate(&path.child("claim"), &rule.claim);
                    }
                    required.push((rule.claim.clone(), rule.required_value.clone()));
                }
                (true, false) => {
                    if !rule.required_value.is_empty() {
                        let why = "may not be specified when expression is set";
                        self.errors.invalid(&path.child("requiredValue"), &rule.required_value, why);
                    }
                    let at = path.child("expression");
                    if !seen.insert(&rule.expression) {
                        self.errors.duplicate(&at, &rule.expression);
                        continue;
                    }
                    let check = self.compiler.claims(&rule.expression, true, &rule.message);
                    checks.extend(self.compiled(check, &rule.expression, &at));
                }
            }
        }
        (required, checks)
    }

    fn prefixed(&mut self, mapping: &Prefixed, required: bool, path: &Path) -> Option<Source> {
        match (mapping.claim.is_empty(), mapping.expression.is_empty()) {
            (false, false) => self.errors.invalid(path, "", BOTH),
            (true, true) if required => self.errors.required(path, NEITHER),
            (true, true) => {}
            (true, false) => {
                if let Some(prefix) = &mapping.prefix {
                    let why = "may not be specified when expression is set";
                    self.errors.invalid(&path.child("prefix"), prefix, why);
                }
                return self.expression(&mapping.expression, &path.child("expression"));
            }
            (false, true) => {
                let claim = mapping.claim.clone();
                if let Some(prefix) = mapping.prefix.clone() {
                    return Some(Source::Claim { claim, prefix });
                }
                let why = "prefix is required when claim is set. It can be set to an empty string to disable \
                           prefixing";
                self.errors.required(&path.child("prefix"), why);
            }
        }
        None
    }

    fn expression(&mut self, text: &str, path: &Path) -> Option<Source> {
        let check = self.compiler.claims(text, false, "");
        self.compiled(check, text, path).map(Source::Expression)
    }

    fn uid(&mut self, mappings: &Mappings, path: &Path) -> Option<Source> {
        let uid = &mappings.uid;
        match (uid.claim.is_empty(), uid.expression.is_empty()) {
            (false, false) => {
                self.errors.invalid(path, "", BOTH);
                None
            }
            (true, true) => None,
            (true, false) => self.expression(&uid.expression, &path.child("expression")),
            (false, true) => Some(Source::Claim { claim: uid.claim.clone(), prefix: String::new() }),
        }
    }

    fn extra(&mut self, mappings: &[Extra], path: &Path) -> Vec<(String, Check)> {
        let (mut seen, mut compiled) = (HashSet::new(), Vec::new());
        for (at, mapping) in mappings.iter().enumerate() {
            let (path, key) = (path.index(at), &mapping.key);
            self.key(key, &path.child("key"));
            if !seen.insert(key) {
                self.errors.duplicate(&path.child("key"), key);
                continue;
            }
            let (text, at) = (&mapping.value_expression, path.child("valueExpression"));
            if text.is_empty() {
                self.errors.required(&at, "");
                continue;
            }
            let check = self.compiler.claims(text, false, "");
            compiled.extend(self.compiled(check, text, &at).map(|check| (key.clone(), check)));
        }
        compiled
    }

    fn key(&mut self, key: &str, path: &Path) {
        if key.is_empty() {
            self.errors.required(path, "");
        } else {
            check_domain_path(key, path, self.errors);
        }
        if key.to_lowercase() != key {
            self.errors.invalid(path, key, "must be lowercase");
        }
        let domain = key.split_once('/').map_or("", |(domain, _)| domain);
        let below =
            |parent: &str| domain.strip_suffix(parent).is_some_and(|it| it.is_empty() || it.ends_with('.'));
        if below("kubernetes.io") || below("k8s.io") {
            let why = "k8s.io, kubernetes.io and their subdomains are reserved for Kubernetes use";
            self.errors.invalid(path, key, why);
        }
    }

    fn user_rules(&mut self, rules: &[UserRule], path: &Path) -> Vec<Check> {
        let (mut seen, mut compiled) = (HashSet::new(), Vec::new());
        for (at, rule) in rules.iter().enumerate() {
            let path = path.index(at).child("expression");
            if rule.expression.is_empty() {
                self.errors.required(&path, "");
            } else if !seen.insert(&rule.expression) {
                self.errors.duplicate(&path, &rule.expression);
            } else {
                let check = self.compiler.user(&rule.expression, &rule.message);
                compiled.extend(self.compiled(check, &rule.expression, &path));
            }
        }
        compiled
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const GOOD: &str = r#"
apiVersion: apiserver.config.k8s.io/v1
kind: AuthenticationConfiguration
jwt:
- issuer: {url: "https://issuer", audiences: [me]}
  claimMappings:
    username: {claim: sub, prefix: ""}
"#;

    fn problems(text: &str) -> String {
        let mut errors = Errors::default();
        let document = Document::parse(text.as_bytes()).unwrap();
        check(&document, &["https://kubernetes.default.svc".to_owned()], &mut errors);
        errors.to_string()
    }

    #[rstest]
    #[case(
        "https://issuer",
        "https://kubernetes.default.svc",
        "jwt[0].issuer.url: Invalid value: \"https://kubernetes.default.svc\": URL must not overlap with disallowed issuers: [https://kubernetes.default.svc]"
    )]
    #[case(
        "https://issuer",
        "http://issuer",
        "jwt[0].issuer.url: Invalid value: \"http://issuer\": URL scheme must be https"
    )]
    #[case(
        "https://issuer",
        "https://a:b@issuer",
        "jwt[0].issuer.url: Invalid value: \"https://a:b@issuer\": URL must not contain a username or password"
    )]
    #[case(
        "https://issuer",
        "https://issuer?a=b",
        "jwt[0].issuer.url: Invalid value: \"https://issuer?a=b\": URL must not contain a query"
    )]
    #[case(
        "\"https://issuer\"",
        "\"https://issuer\", discoveryURL: \"https://issuer/\"",
        "jwt[0].issuer.discoveryURL: Invalid value: \"https://issuer/\": discoveryURL must be different from URL"
    )]
    #[case("\"https://issuer\"", "''", "jwt[0].issuer.url: Required value")]
    #[case(
        "[me]",
        "[]",
        "jwt[0].issuer.audiences: Required value: at least one jwt[0].issuer.audiences is required"
    )]
    #[case(
        "[me]",
        "[me, you]",
        "jwt[0].issuer.audienceMatchPolicy: Invalid value: \"\": audienceMatchPolicy must be MatchAny for multiple audiences"
    )]
    #[case(
        "[me]",
        "[me], audienceMatchPolicy: All",
        "jwt[0].issuer.audienceMatchPolicy: Invalid value: \"All\": audienceMatchPolicy must be empty or MatchAny for single audience"
    )]
    #[case(
        "[me]",
        "[me], certificateAuthority: x",
        "jwt[0].issuer.certificateAuthority: Invalid value: \"<omitted>\": data does not contain any valid RSA or ECDSA certificates"
    )]
    #[case(
        "[me]",
        "[me], egressSelectorType: etcd",
        "jwt[0].issuer.egressSelectorType: Invalid value: \"etcd\": egress selector must be either controlplane or cluster"
    )]
    #[case(
        "[me]",
        "[me], egressSelectorType: cluster",
        "jwt[0].issuer.egressSelectorType: Invalid value: \"cluster\": egress selectors are not supported: issuers are asked directly"
    )]
    #[case(
        "prefix: \"\"",
        "",
        "jwt[0].claimMappings.username.prefix: Required value: prefix is required when claim is set. It can be set to an empty string to disable prefixing"
    )]
    #[case(
        "claim: sub, prefix: \"\"",
        "",
        "jwt[0].claimMappings.username: Required value: claim or expression is required"
    )]
    #[case(
        "prefix: \"\"",
        "expression: claims.sub",
        "jwt[0].claimMappings.username: Invalid value: \"\": claim and expression can't both be set"
    )]
    #[case(
        "claim: sub, prefix: \"\"",
        "expression: claims.email",
        "jwt[0].claimMappings.username.expression: Invalid value: \"claims.email\": claims.email_verified must be used in claimMappings.username.expression or claimMappings.extra[*].valueExpression or claimValidationRules[*].expression when claims.email is used in claimMappings.username.expression"
    )]
    #[case(
        "claim: sub, prefix: \"\"",
        "expression: 'claims.?email.orValue(\"x\")'",
        "jwt[0].claimMappings.username.expression: Invalid value: \"claims.?email.orValue(\\\"x\\\")\": claims.email_verified must be used in claimMappings.username.expression or claimMappings.extra[*].valueExpression or claimValidationRules[*].expression when claims.email is used in claimMappings.username.expression"
    )]
    #[case(
        "claim: sub, prefix: \"\"",
        "expression: nope",
        "jwt[0].claimMappings.username.expression: Invalid value: \"nope\": compilation failed: ERROR: <input>:1:1: undeclared reference to 'nope' (in container '')\n | nope\n | ^"
    )]
    #[case(
        "  claimMappings:",
        "  userValidationRules: [{expression: user.nope == ''}]\n  claimMappings:",
        "jwt[0].userValidationRules[0].expression: Invalid value: \"user.nope == ''\": compilation failed: ERROR: <input>:1:5: undefined field 'nope'\n | user.nope == ''\n | ....^"
    )]
    #[case(
        "  claimMappings:",
        "  claimValidationRules: [{expression: claims.hd}]\n  claimMappings:",
        "jwt[0].claimValidationRules[0].expression: Invalid value: \"claims.hd\": must evaluate to bool"
    )]
    #[case(
        "  claimMappings:",
        "  claimValidationRules: [{claim: hd}, {claim: hd}, {}]\n  claimMappings:",
        "[jwt[0].claimValidationRules[1].claim: Duplicate value: \"hd\", jwt[0].claimValidationRules[2]: Required value: claim or expression is required]"
    )]
    #[case(
        "username:",
        "extra: [{key: a.k8s.io/x, valueExpression: claims.sub}]\n    username:",
        "jwt[0].claimMappings.extra[0].key: Invalid value: \"a.k8s.io/x\": k8s.io, kubernetes.io and their subdomains are reserved for Kubernetes use"
    )]
    #[case(
        "username:",
        "extra: [{key: x, valueExpression: claims.sub}]\n    username:",
        "jwt[0].claimMappings.extra[0].key: Invalid value: \"x\": must be a domain-prefixed path (such as \"acme.io/foo\")"
    )]
    #[case(
        "jwt:",
        "anonymous: {conditions: [{path: /x}]}\njwt:",
        "anonymous.conditions: Invalid value: [{\"path\":\"/x\"}]: enabled should be set to true when conditions are defined"
    )]
    fn what_is_wrong_is_told_as_upstream_tells_it(
        #[case] from: &str,
        #[case] to: &str,
        #[case] wanted: &str,
    ) {
        assert!(GOOD.contains(from));
        assert_eq!(problems(&GOOD.replacen(from, to, 1)), wanted);
    }

    #[test]
    fn what_is_right_has_no_problems() {
        assert_eq!(problems(GOOD), "[]");
        let verified = "expression: 'claims.email_verified ? claims.email : claims.sub'";
        assert_eq!(problems(&GOOD.replace("claim: sub, prefix: \"\"", verified)), "[]");
    }

    #[test]
    fn an_issuer_is_configured_once() {
        let twice = GOOD.split_once("jwt:\n").unwrap().1;
        assert_eq!(
            problems(&format!("{GOOD}{twice}")),
            "jwt[1].issuer.url: Duplicate value: \"https://issuer\""
        );
    }
}
