//! Rewrite: redirects and links of an answer lead through the proxy again.

use axum::body::Body;
use axum::response::Response;
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use http::HeaderValue;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, LOCATION};

use super::path::join;
use super::{html, is_html};

/// The longest page whose links are rewritten.
const PAGE: usize = 8 * 1024 * 1024;

/// How links are rewritten.
pub(super) struct Rewriter {
    /// What the proxy is reached by.
    pub(super) prefix: String,
    /// Address and port of whom the request was passed to.
    pub(super) backend: String,
    /// The host that the client called.
    pub(super) host: String,
}

/// The parts of a link that matter here.
struct Link<'a> {
    /// Scheme with its colon; may be empty.
    scheme: &'a str,
    /// The host, where one is named.
    host: Option<&'a str>,
    path: &'a str,
    /// Query and fragment.
    rest: &'a str,
}

impl<'a> Link<'a> {
    fn parse(link: &'a str) -> Self {
        let end = link.find(['?', '#']).unwrap_or(link.len());
        let (before, rest) = link.split_at(end);
        let letters = |scheme: &str| {
            scheme.starts_with(|c: char| c.is_ascii_alphabetic())
                && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
        };
        let colon = before.find(':').filter(|colon| letters(&before[..*colon]));
        let (scheme, after) = before.split_at(colon.map_or(0, |colon| colon + 1));
        let (host, path) = match after.strip_prefix("//") {
            Some(after) => {
                let (host, path) = after.split_at(after.find('/').unwrap_or(after.len()));
                (Some(host), path)
            }
            None => (None, after),
        };
        Self { scheme, host, path, rest }
    }
}

impl Rewriter {
    /// A link as it leads through the proxy; none if it leads elsewhere, or there already.
    fn link(&self, link: &str) -> Option<String> {
        let Link { scheme, host, path, rest } = Link::parse(link);
        let elsewhere =
            host.is_some_and(|host| !host.is_empty() && host != self.backend && host != self.host);
        if elsewhere || !path.starts_with('/') {
            return None;
        }
        let path = if path.starts_with(&self.prefix) { path.to_owned() } else { join(&self.prefix, path) };
        // A link to the host that the client called stays one.
        let own = host.filter(|host| *host == self.host && !host.is_empty());
        let root = own.map(|host| format!("{scheme}//{host}")).unwrap_or_default();
        Some(format!("{root}{path}{rest}"))
    }

    /// The answer with its redirect, or the links of its page, rewritten.
    pub(super) async fn answer(&self, mut answer: Response) -> Response {
        let location = answer.headers().get(LOCATION).and_then(|value| value.to_str().ok());
        if let Some(location) = location.filter(|location| !location.is_empty()) {
            if let Some(value) = self.link(location).and_then(|link| HeaderValue::try_from(link).ok()) {
                answer.headers_mut().insert(LOCATION, value);
            }
            return answer;
        }
        if !is_html(&answer) || answer.headers().contains_key(CONTENT_ENCODING) {
            return answer;
        }
        let (mut parts, body) = answer.into_parts();
        let page = match whole(body).await {
            Ok(page) => page,
            Err(body) => return Response::from_parts(parts, body),
        };
        let rewritten = html::rewrite(&page, |link| self.link(link));
        // An answer to HEAD has the length of what it does not send.
        if !page.is_empty() {
            parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(rewritten.len()));
        }
        Response::from_parts(parts, Body::from(rewritten))
    }
}

/// A body that is not too long, or the same body as a stream.
async fn whole(body: Body) -> Result<Bytes, Body> {
    let mut stream = body.into_data_stream();
    let mut read = BytesMut::new();
    while let Some(next) = stream.next().await {
        let failed = next.is_err();
        if let Ok(bytes) = &next {
            read.extend_from_slice(bytes);
        }
        if failed || read.len() > PAGE {
            let begin = futures::stream::iter([Ok(read.freeze())]);
            let failure = futures::stream::iter(next.err().map(Err));
            return Err(Body::from_stream(begin.chain(failure).chain(stream)));
        }
    }
    Ok(read.freeze())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn rewriter() -> Rewriter {
        Rewriter {
            prefix: "/p/proxy".to_owned(),
            backend: "10.0.0.1:80".to_owned(),
            host: "api:6443".to_owned(),
        }
    }

    #[rstest]
    #[case("/login", Some("/p/proxy/login"))]
    #[case("/login/?a=b#c", Some("/p/proxy/login/?a=b#c"))]
    #[case("http://10.0.0.1:80/x", Some("/p/proxy/x"))]
    #[case("https://api:6443/x", Some("https://api:6443/p/proxy/x"))]
    #[case("//10.0.0.1:80/x", Some("/p/proxy/x"))]
    #[case("/p/proxy/x", Some("/p/proxy/x"))]
    #[case("x/y", None)]
    #[case("?a=/b", None)]
    #[case("#top", None)]
    #[case("https://example.com/x", None)]
    #[case("mailto:a@example.com", None)]
    fn links_to_the_same_host_lead_through_the_proxy(#[case] link: &str, #[case] expected: Option<&str>) {
        assert_eq!(rewriter().link(link).as_deref(), expected);
    }

    #[tokio::test]
    async fn a_long_page_is_passed_on_as_it_is() {
        let long = vec![b'a'; PAGE];
        let chunks = [Bytes::from_static(b"<a href='/x'>"), Bytes::from(long)];
        let body = Body::from_stream(futures::stream::iter(chunks.clone().map(Ok::<_, std::io::Error>)));
        let body = whole(body).await.unwrap_err();
        let read = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        assert_eq!(read, chunks.concat());
    }

    proptest! {
        #[test]
        fn any_link_is_rewritten_at_most_once(link in "[a-z:/?#.@%0-9]{0,24}") {
            if let Some(once) = rewriter().link(&link) {
                prop_assert_eq!(rewriter().link(&once), Some(once));
            }
        }
    }
}
