//! A client of one registry, as one account.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use futures::stream::BoxStream;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, LOCATION, RANGE};
use http::{HeaderValue, Method, StatusCode};
use parking_lot::Mutex;
use reqwest::{RequestBuilder, Response, Url};
use serde::Deserialize;

use super::super::registries::{Endpoint, Tls};
use super::challenge::Challenge;
use super::{Account, RegistryError};

const USER_AGENT: &str = concat!("wherry/", env!("CARGO_PKG_VERSION"));
/// The name under which tokens are asked for.
const CLIENT_ID: &str = "wherry";
/// How long a connection may take to stand.
const CONNECT: Duration = Duration::from_secs(30);
/// How long a registry may be silent.
const SILENCE: Duration = Duration::from_mins(5);
/// The most of a refusal that is read.
const WORDS: u64 = 16 << 10;
/// The largest answer that has a token in it.
const TOKEN: u64 = 1 << 20;

/// What is to be done with a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Access {
    /// Reading.
    Pull,
    /// Writing, too.
    Push,
}

/// Something that is kept under a digest.
#[derive(Clone, Debug)]
pub(in super::super) struct Document {
    /// Its digest.
    pub(in super::super) digest: String,
    /// What it is.
    pub(in super::super) media_type: String,
    /// Its content.
    pub(in super::super) bytes: Bytes,
}

/// A blob from where it was asked for, or from its beginning.
pub(in super::super) struct Blob {
    /// Whether it begins where it was asked to, and not with the first byte.
    pub(in super::super) is_partial: bool,
    /// The bytes.
    pub(in super::super) stream: BoxStream<'static, std::io::Result<Bytes>>,
}

/// Speaks to one registry as one account; clones share connections and tokens.
#[derive(Clone)]
pub(in super::super) struct Client(Arc<Inner>);

struct Inner {
    http: reqwest::Client,
    /// Where repositories are, without a slash at its end.
    base: String,
    /// The registry that a mirror stands for.
    stands_for: Option<String>,
    account: Account,
    /// What was good the last time, by what it was for.
    authorizations: Mutex<HashMap<(String, Access), HeaderValue>>,
}

impl Client {
    /// A client of this endpoint.
    pub(in super::super) fn new(endpoint: &Endpoint) -> Result<Self, RegistryError> {
        // The client asks for the process's default TLS provider; whoever set one before has set the same.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let Tls { authorities, identity, insecure } = &endpoint.tls;
        let authorities = authorities.iter().map(|data| reqwest::Certificate::from_der(data));
        let mut builder = reqwest::Client::builder()
            .danger_accept_invalid_certs(*insecure)
            .tls_certs_merge(authorities.collect::<Result<Vec<_>, _>>()?)
            .connect_timeout(CONNECT)
            .read_timeout(SILENCE)
            .user_agent(USER_AGENT);
        if let Some(pem) = identity {
            builder = builder.identity(reqwest::Identity::from_pem(pem)?);
        }
        Ok(Self(Arc::new(Inner {
            http: builder.build()?,
            base: endpoint.server.base(),
            stands_for: endpoint.stands_for.clone(),
            account: endpoint.account.clone(),
            authorizations: Mutex::default(),
        })))
    }

    /// A manifest by its tag or digest, of at most so many bytes.
    pub(in super::super) async fn manifest(
        &self,
        repository: &str,
        name: &str,
        (accepted, most): (&[&str], u64),
    ) -> Result<Bytes, RegistryError> {
        let url = self.url(repository, &format!("manifests/{name}"));
        let accepted = accepted.join(", ");
        let ask = |http: &reqwest::Client| http.get(&url).header(ACCEPT, &accepted);
        let response = self.send(repository, Access::Pull, ask).await?;
        read(expect(Method::GET, &url, response).await?, most).await
    }

    /// A blob, from a byte on.
    pub(in super::super) async fn blob(
        &self,
        repository: &str,
        digest: &str,
        from: u64,
    ) -> Result<Blob, RegistryError> {
        let url = self.url(repository, &format!("blobs/{digest}"));
        let ask = |http: &reqwest::Client| match from {
            0 => http.get(&url),
            from => http.get(&url).header(RANGE, format!("bytes={from}-")),
        };
        let response = expect(Method::GET, &url, self.send(repository, Access::Pull, ask).await?).await?;
        let is_partial = response.status() == StatusCode::PARTIAL_CONTENT;
        let stream = response.bytes_stream().map(|chunk| chunk.map_err(std::io::Error::other)).boxed();
        Ok(Blob { is_partial, stream })
    }

    /// Uploads a blob, in one piece.
    pub(in super::super) async fn upload(
        &self,
        repository: &str,
        blob: &Document,
    ) -> Result<(), RegistryError> {
        let url = self.url(repository, "blobs/uploads/");
        let begin = |http: &reqwest::Client| http.post(&url);
        let response = expect(Method::POST, &url, self.send(repository, Access::Push, begin).await?).await?;
        let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
        let mut place = location.and_then(|to| response.url().join(to).ok()).ok_or(RegistryError::Upload)?;
        place.query_pairs_mut().append_pair("digest", &blob.digest);
        let content = |http: &reqwest::Client| {
            http.put(place.clone()).header(CONTENT_TYPE, "application/octet-stream").body(blob.bytes.clone())
        };
        // Whoever else takes it is not shown the account.
        let is_own = Url::parse(&url).is_ok_and(|own| own.origin() == place.origin());
        let response = if is_own {
            self.send(repository, Access::Push, content).await?
        } else {
            content(&self.0.http).send().await?
        };
        expect(Method::PUT, place.as_str(), response).await.map(drop)
    }

    /// Puts a manifest under a tag or its digest.
    pub(in super::super) async fn put_manifest(
        &self,
        repository: &str,
        name: &str,
        manifest: &Document,
    ) -> Result<(), RegistryError> {
        let url = self.url(repository, &format!("manifests/{name}"));
        let put = |http: &reqwest::Client| {
            http.put(&url).header(CONTENT_TYPE, &manifest.media_type).body(manifest.bytes.clone())
        };
        expect(Method::PUT, &url, self.send(repository, Access::Push, put).await?).await.map(drop)
    }

    fn url(&self, repository: &str, what: &str) -> String {
        let stands_for = self.0.stands_for.as_ref().map(|registry| format!("?ns={registry}"));
        format!("{}/{repository}/{what}{}", self.0.base, stands_for.unwrap_or_default())
    }

    /// Sends a request with what was good the last time, and once more with what the registry wants to see if it wants more.
    async fn send(
        &self,
        repository: &str,
        access: Access,
        request: impl Fn(&reqwest::Client) -> RequestBuilder,
    ) -> Result<Response, RegistryError> {
        let key = (repository.to_owned(), access);
        let known = self.0.authorizations.lock().get(&key).cloned();
        let authorized = |value: Option<&HeaderValue>| {
            let request = request(&self.0.http);
            value.into_iter().fold(request, |request, value| request.header(AUTHORIZATION, value))
        };
        let response = authorized(known.as_ref()).send().await?;
        if response.status() != StatusCode::UNAUTHORIZED {
            return Ok(response);
        }
        let Some(challenge) = Challenge::of(response.headers()) else { return Ok(response) };
        let Some(value) = self.answer(&challenge, repository, access).await? else { return Ok(response) };
        drop(response);
        let response = authorized(Some(&value)).send().await?;
        if response.status() != StatusCode::UNAUTHORIZED {
            self.0.authorizations.lock().insert(key, value);
        }
        Ok(response)
    }

    /// What is shown to a registry that wants this; nothing if there is nothing that it could want.
    async fn answer(
        &self,
        challenge: &Challenge,
        repository: &str,
        access: Access,
    ) -> Result<Option<HeaderValue>, RegistryError> {
        let shown = match (challenge, &self.0.account) {
            (Challenge::Basic, Account::Password(user, password)) => {
                let request = self.0.http.get(&self.0.base).basic_auth(user, Some(password)).build()?;
                request.headers().get(AUTHORIZATION).cloned()
            }
            (Challenge::Basic, Account::Nobody | Account::IdentityToken(_)) => None,
            (Challenge::Bearer { realm, service, scope }, _) => {
                let actions = match access {
                    Access::Pull => "pull",
                    Access::Push => "pull,push",
                };
                let usual = || format!("repository:{repository}:{actions}");
                let mut wanted = vec![("scope", scope.clone().unwrap_or_else(usual))];
                wanted.extend(service.clone().map(|service| ("service", service)));
                let token = self.token(realm, wanted).await?;
                HeaderValue::try_from(format!("Bearer {token}")).ok()
            }
        };
        Ok(shown.map(|mut value| {
            value.set_sensitive(true);
            value
        }))
    }

    /// A token of whoever gives them out.
    async fn token(&self, realm: &str, mut wanted: Vec<(&str, String)>) -> Result<String, RegistryError> {
        let (method, request) = match &self.0.account {
            Account::IdentityToken(token) => {
                wanted.push(("grant_type", "refresh_token".to_owned()));
                wanted.push(("refresh_token", token.clone()));
                wanted.push(("client_id", CLIENT_ID.to_owned()));
                let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(wanted).finish();
                let request = self.0.http.post(realm).body(form);
                (Method::POST, request.header(CONTENT_TYPE, "application/x-www-form-urlencoded"))
            }
            account => {
                let url = Url::parse_with_params(realm, wanted).map(String::from);
                let request = self.0.http.get(url.unwrap_or_else(|_| realm.to_owned()));
                let request = match account {
                    Account::Password(user, password) => request.basic_auth(user, Some(password)),
                    Account::Nobody | Account::IdentityToken(_) => request,
                };
                (Method::GET, request)
            }
        };
        let bytes = read(expect(method, realm, request.send().await?).await?, TOKEN).await?;
        let given: Given = serde_json::from_slice(&bytes)
            .map_err(|source| RegistryError::Token { url: realm.to_owned(), source })?;
        given.token().ok_or_else(|| RegistryError::Token {
            url: realm.to_owned(),
            source: serde::de::Error::missing_field("token"),
        })
    }
}

/// A token under either of its names, or both.
#[derive(Deserialize)]
struct Given {
    token: Option<String>,
    access_token: Option<String>,
}

impl Given {
    fn token(self) -> Option<String> {
        self.token.or(self.access_token).filter(|token| !token.is_empty())
    }
}

/// An answer that is none of a failure.
async fn expect(method: Method, url: &str, response: Response) -> Result<Response, RegistryError> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    // A refusal without words is one, too.
    let words = read(response, WORDS).await.unwrap_or_default();
    Err(RegistryError::Status { method, url: url.to_owned(), status, said: said(&words) })
}

#[derive(Deserialize)]
struct Refusal {
    errors: Vec<Reason>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Reason {
    code: String,
    message: String,
}

/// A registry's own words.
fn said(body: &[u8]) -> String {
    let Ok(refusal) = serde_json::from_slice::<Refusal>(body) else { return String::new() };
    let words = |reason: Reason| if reason.message.is_empty() { reason.code } else { reason.message };
    let all: Vec<String> = refusal.errors.into_iter().map(words).filter(|words| !words.is_empty()).collect();
    if all.is_empty() { String::new() } else { format!(": {}", all.join(", ")) }
}

async fn read(response: Response, most: u64) -> Result<Bytes, RegistryError> {
    let mut stream = response.bytes_stream();
    let mut bytes = BytesMut::new();
    while let Some(chunk) = stream.next().await {
        bytes.extend_from_slice(&chunk?);
        if bytes.len() as u64 > most {
            return Err(RegistryError::TooLarge(most));
        }
    }
    Ok(bytes.freeze())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_registry_is_quoted() {
        assert_eq!(said(br#"{"errors":[{"code":"A","message":"no"},{"code":"B"},{}]}"#), ": no, B");
        for silent in ["", "<html>", "{}", r#"{"errors":[]}"#] {
            assert_eq!(said(silent.as_bytes()), "", "{silent}");
        }
    }

    #[test]
    fn a_token_has_two_names() {
        let token = |text: &str| serde_json::from_str::<Given>(text).unwrap().token();
        for text in [
            r#"{"token":"t","expires_in":9}"#,
            r#"{"access_token":"t"}"#,
            r#"{"token":"t","access_token":"t"}"#,
        ] {
            assert_eq!(token(text).as_deref(), Some("t"), "{text}");
        }
        assert_eq!((token("{}"), token(r#"{"token":""}"#)), (None, None));
    }

    proptest! {
        #[test]
        fn any_words_are_read(body: Vec<u8>) {
            said(&body);
        }
    }
}
