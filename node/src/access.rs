//! Who may ask the node's endpoint for what, as kubelet decides it: the API server everything, everybody else what the API server
//! says they may do with this Node (`nodes/metrics`, `nodes/stats`, `nodes/pods`, `nodes/configz`, `nodes/healthz`, `nodes/proxy`).

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, Method, StatusCode, header};
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, UserInfo};
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::api::PostParams;
use kube::{Api, Client};
use rustls_pki_types::CertificateDer;
use tracing::warn;

use crate::context::chain;

const API_SERVER: &str = "kube-apiserver-kubelet-client";
const ADMINISTRATORS: &str = "system:masters";

/// Who opened a connection.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Caller {
    /// The API server, or an administrator.
    Trusted,
    /// Whom a certificate names.
    Known(UserInfo),
    /// Who showed no certificate: each request says who it is by.
    Unknown,
}

impl Caller {
    /// The owner of the certificate.
    pub(crate) fn of(certificate: Option<&CertificateDer<'_>>) -> Self {
        let Some(parsed) = certificate.and_then(|der| x509_parser::parse_x509_certificate(der).ok()) else {
            return Self::Unknown;
        };
        let subject = parsed.1.subject();
        let name = subject.iter_common_name().find_map(|name| name.as_str().ok());
        let groups: Vec<String> =
            subject.iter_organization().filter_map(|name| name.as_str().ok()).map(str::to_owned).collect();
        if name == Some(API_SERVER) || groups.iter().any(|group| group == ADMINISTRATORS) {
            return Self::Trusted;
        }
        let Some(name) = name else { return Self::Unknown };
        let groups = groups.into_iter().chain(["system:authenticated".to_owned()]).collect();
        Self::Known(UserInfo { username: Some(name.to_owned()), groups: Some(groups), ..UserInfo::default() })
    }
}

/// Asks the API server who callers are and what they may do.
#[derive(Clone)]
pub(crate) struct Access {
    client: Client,
    node_name: String,
}

impl Access {
    /// Decides about the node of this name.
    pub(crate) fn new(client: Client, node_name: String) -> Self {
        Self { client, node_name }
    }

    /// Lets the request pass, or answers it.
    pub(crate) async fn check(
        &self,
        caller: &Caller,
        method: &Method,
        path: &str,
        headers: &HeaderMap,
    ) -> Result<(), Response> {
        let user = match caller {
            Caller::Trusted => return Ok(()),
            Caller::Known(user) => user.clone(),
            Caller::Unknown => match self.authenticate(headers).await.map_err(|error| unavailable(&error))? {
                Some(user) => user,
                None => return Err((StatusCode::UNAUTHORIZED, "Unauthorized").into_response()),
            },
        };
        let (verb, asked) = (verb(method), subresources(path));
        for subresource in &asked {
            if self.may(&user, verb, subresource).await.map_err(|error| unavailable(&error))? {
                return Ok(());
            }
        }
        let name = user.username.unwrap_or_default();
        let message = format!(
            "Forbidden (user={name}, verb={verb}, resource=nodes, subresource(s)=[{}])\n",
            asked.join(" ")
        );
        Err((StatusCode::FORBIDDEN, message).into_response())
    }

    /// Whose token the request carries.
    async fn authenticate(&self, headers: &HeaderMap) -> Result<Option<UserInfo>, kube::Error> {
        let Some(token) = token(headers) else { return Ok(None) };
        let spec = TokenReviewSpec { token: token.to_owned(), ..TokenReviewSpec::default() };
        let review = TokenReview { spec, ..TokenReview::default() };
        let answer =
            Api::<TokenReview>::all(self.client.clone()).create(&PostParams::default(), &review).await?;
        let status = answer.status.unwrap_or_default();
        Ok(status.user.filter(|_| status.authenticated == Some(true)))
    }

    async fn may(&self, user: &UserInfo, verb: &str, subresource: &str) -> Result<bool, kube::Error> {
        let attributes = ResourceAttributes {
            verb: Some(verb.to_owned()),
            version: Some("v1".to_owned()),
            resource: Some("nodes".to_owned()),
            subresource: Some(subresource.to_owned()),
            name: Some(self.node_name.clone()),
            ..ResourceAttributes::default()
        };
        let spec = SubjectAccessReviewSpec {
            user: user.username.clone(),
            uid: user.uid.clone(),
            groups: user.groups.clone(),
            extra: user.extra.clone(),
            resource_attributes: Some(attributes),
            ..SubjectAccessReviewSpec::default()
        };
        let review = SubjectAccessReview { spec, ..SubjectAccessReview::default() };
        let api: Api<SubjectAccessReview> = Api::all(self.client.clone());
        let answer = api.create(&PostParams::default(), &review).await?;
        Ok(answer.status.is_some_and(|status| status.allowed))
    }
}

fn unavailable(error: &kube::Error) -> Response {
    warn!(error = %chain(error), "the API server cannot be asked about a caller of the node");
    (StatusCode::INTERNAL_SERVER_ERROR, "the API server cannot be asked who may do this").into_response()
}

fn token(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then(|| token.trim())
}

fn verb(method: &Method) -> &'static str {
    match *method {
        Method::POST => "create",
        Method::GET => "get",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        _ => "",
    }
}

/// Any of which allows the request, the narrowest first.
fn subresources(path: &str) -> Vec<&'static str> {
    let below =
        |root: &str| path == root || path.strip_prefix(root).is_some_and(|rest| rest.starts_with('/'));
    match path {
        _ if below("/stats") => vec!["stats"],
        _ if below("/metrics") => vec!["metrics"],
        _ if below("/healthz") => vec!["healthz", "proxy"],
        _ if below("/pods") => vec!["pods", "proxy"],
        _ if below("/configz") => vec!["configz", "proxy"],
        _ => vec!["proxy"],
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("/metrics/cadvisor", &["metrics"])]
    #[case("/metricsx", &["proxy"])]
    #[case("/stats/summary", &["stats"])]
    #[case("/pods", &["pods", "proxy"])]
    #[case("/configz", &["configz", "proxy"])]
    #[case("/exec/a/b/c", &["proxy"])]
    #[case("/containerLogs/a/b/c", &["proxy"])]
    fn paths_ask_for_what_kubelet_asks(#[case] path: &str, #[case] expected: &[&str]) {
        assert_eq!(subresources(path), expected);
    }

    #[test]
    fn tokens_are_read_from_their_header() {
        let of = |value: &str| {
            let headers = HeaderMap::from_iter([(header::AUTHORIZATION, value.parse().unwrap())]);
            token(&headers).map(str::to_owned)
        };
        assert_eq!(of("bearer abc"), Some("abc".to_owned()));
        assert_eq!((of("Basic abc"), of("Bearer "), of("abc")), (None, None, None));
        assert_eq!(Caller::of(None), Caller::Unknown);
    }

    proptest! {
        #[test]
        fn what_is_no_certificate_names_nobody(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            prop_assert_eq!(Caller::of(Some(&CertificateDer::from(bytes))), Caller::Unknown);
        }
    }
}
