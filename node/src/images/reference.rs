//! Image references as they stand in a Pod, parsed and made complete.

use std::net::IpAddr;

use oci_client::Reference;

/// An image name that cannot be parsed, in kubelet's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Failed to apply default image tag {image:?}: couldn't parse image name {image:?}: {reason}")]
pub(crate) struct InvalidImageName {
    image: String,
    reason: String,
}

/// A complete reference: registry, repository, and tag or digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ImageReference {
    parsed: Reference,
}

impl ImageReference {
    /// Parses and completes a name: `nginx` is `docker.io/library/nginx:latest`.
    pub(crate) fn parse(image: &str) -> Result<Self, InvalidImageName> {
        let parsed = image.parse::<Reference>().map_err(|error| InvalidImageName {
            image: image.to_owned(),
            reason: format!("invalid reference format: {error}"),
        })?;
        Ok(Self { parsed })
    }

    /// The reference for the registry client.
    pub(crate) fn registry_form(&self) -> &Reference {
        &self.parsed
    }

    /// The whole reference as text, the key of the local index.
    pub(crate) fn full_name(&self) -> String {
        self.parsed.whole()
    }

    /// `registry/repository@digest`, which a container status shows as its image id.
    pub(crate) fn repo_digest(&self, digest: &str) -> String {
        format!("{}/{}@{digest}", self.parsed.registry(), self.parsed.repository())
    }

    /// The registry as it was named: `docker.io`, `127.0.0.1:5000`.
    pub(crate) fn registry(&self) -> &str {
        self.parsed.registry()
    }

    /// The digest the name asks for, if it asks for one.
    pub(crate) fn digest(&self) -> Option<&str> {
        self.parsed.digest()
    }

    /// The tag it has, if it does not ask for a digest alone.
    pub(crate) fn tag(&self) -> Option<&str> {
        self.parsed.tag()
    }

    /// Whether the name stands for whatever is newest, so that kubelet's default is to pull always.
    pub(crate) fn is_latest(&self) -> bool {
        self.parsed.digest().is_none() && self.parsed.tag().is_none_or(|tag| tag == "latest")
    }

    /// The repository without its registry.
    pub(crate) fn repository(&self) -> &str {
        self.parsed.repository()
    }

    /// The same tag or digest of a repository elsewhere.
    pub(crate) fn elsewhere(&self, registry: &str, repository: String) -> Reference {
        let registry = registry.to_owned();
        match (self.parsed.digest(), self.parsed.tag()) {
            (Some(digest), _) => Reference::with_digest(registry, repository, digest.to_owned()),
            (None, tag) => Reference::with_tag(registry, repository, tag.unwrap_or("latest").to_owned()),
        }
    }
}

/// Whether the registry is on this machine and is spoken to without TLS.
pub(crate) fn is_loopback(registry: &str) -> bool {
    let host = match registry.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(rest),
        None => registry.split(':').next().unwrap_or(registry),
    };
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("nginx", "docker.io/library/nginx:latest", false, true)]
    #[case("grafana/k6:1", "docker.io/grafana/k6:1", false, false)]
    #[case("127.0.0.1:5000/hello:v1", "127.0.0.1:5000/hello:v1", true, false)]
    #[case("localhost:5000/a/b", "localhost:5000/a/b:latest", true, true)]
    #[case("127.1.2.3/x:latest", "127.1.2.3/x:latest", true, true)]
    #[case("ghcr.io/x/y:2", "ghcr.io/x/y:2", false, false)]
    fn names_are_completed(
        #[case] image: &str,
        #[case] full: &str,
        #[case] loopback: bool,
        #[case] latest: bool,
    ) {
        let reference = ImageReference::parse(image).unwrap();
        assert_eq!(reference.full_name(), full);
        assert_eq!((is_loopback(reference.registry()), reference.is_latest()), (loopback, latest));
    }

    #[rstest]
    #[case("UPPER:x")]
    #[case("")]
    #[case("a b")]
    fn bad_names_are_refused_with_kubelets_words(#[case] image: &str) {
        let error = ImageReference::parse(image).unwrap_err().to_string();
        assert!(
            error.contains(&format!("couldn't parse image name {image:?}: invalid reference format")),
            "{error}"
        );
    }
}
