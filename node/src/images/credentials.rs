//! Registry credentials out of image pull secrets.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Secret;
use serde::Deserialize;

use super::registries::decode;
use super::registry::Account;

#[derive(Deserialize)]
struct DockerConfig {
    #[serde(default)]
    auths: BTreeMap<String, Entry>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    username: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    auth: String,
}

/// The credentials the secret holds for the registry, if it holds any.
pub(crate) fn credentials(secret: &Secret, registry: &str) -> Option<Account> {
    let data = secret.data.as_ref()?;
    let entries = if let Some(config) = data.get(".dockerconfigjson") {
        serde_json::from_slice::<DockerConfig>(&config.0).ok()?.auths
    } else {
        serde_json::from_slice(&data.get(".dockercfg")?.0).ok()?
    };
    let entry = entries.into_iter().find(|(name, _)| host_of(name) == canonical(registry))?.1;
    entry.into_account()
}

impl Entry {
    fn into_account(self) -> Option<Account> {
        if !self.username.is_empty() {
            return Some(Account::Password(self.username, self.password));
        }
        decode(&self.auth).map(|(user, password)| Account::Password(user, password))
    }
}

/// The registry an entry is for: without scheme and path.
fn host_of(name: &str) -> &str {
    let name = name.strip_prefix("https://").or_else(|| name.strip_prefix("http://")).unwrap_or(name);
    canonical(name.split('/').next().unwrap_or(name))
}

/// Docker Hub goes by several names.
pub(super) fn canonical(registry: &str) -> &str {
    match registry {
        "docker.io" | "registry-1.docker.io" | "index.docker.io" => "docker.io",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::ByteString;
    use rstest::rstest;

    use super::*;

    fn secret(key: &str, content: &str) -> Secret {
        let data = BTreeMap::from([(key.to_owned(), ByteString(content.as_bytes().to_vec()))]);
        Secret { data: Some(data), ..Secret::default() }
    }

    #[rstest]
    #[case(r#"{"auths":{"https://index.docker.io/v1/":{"username":"u","password":"p"}}}"#, "docker.io", true)]
    #[case(r#"{"auths":{"127.0.0.1:5000":{"auth":"dTpw"}}}"#, "127.0.0.1:5000", true)]
    #[case(r#"{"auths":{"127.0.0.1:5000":{"auth":"dTpw"}}}"#, "127.0.0.1:5001", false)]
    #[case(r#"{"auths":{"ghcr.io":{"auth":"not base64"}}}"#, "ghcr.io", false)]
    #[case("not json", "ghcr.io", false)]
    fn credentials_belong_to_their_registry(
        #[case] config: &str,
        #[case] registry: &str,
        #[case] found: bool,
    ) {
        let expected = found.then(|| Account::Password("u".to_owned(), "p".to_owned()));
        assert_eq!(credentials(&secret(".dockerconfigjson", config), registry), expected);
    }

    #[test]
    fn the_old_format_has_no_outer_object() {
        let secret = secret(".dockercfg", r#"{"ghcr.io":{"auth":"dTpw"}}"#);
        assert!(credentials(&secret, "ghcr.io").is_some());
    }
}
