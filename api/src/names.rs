//! Validation of names. The messages are those of Kubernetes (`k8s.io/apimachinery/pkg/util/validation`).

const LABEL_MAX: usize = 63;
const SUBDOMAIN_MAX: usize = 253;

const LABEL_TEXT: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', \
    and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for \
    validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const SUBDOMAIN_TEXT: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, \
    '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for \
    validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL_1035_TEXT: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start \
    with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex \
    used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
const QUALIFIED_TEXT: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start \
    and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for \
    validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const LABEL_VALUE_TEXT: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', \
    '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or \
    '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
const ENV_TEXT: &str = "a valid environment variable name must consist only of printable ASCII characters other \
    than '='";
const CONFIG_KEY_TEXT: &str = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. \
    'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";

fn too_long(max: usize) -> String {
    format!("must be no more than {max} characters")
}

fn too_many_bytes(max: usize) -> String {
    format!("must be no more than {max} bytes")
}

fn is_lower_alnum(b: u8) -> bool {
    b.is_ascii_lowercase() || b.is_ascii_digit()
}

fn is_label(s: &str) -> bool {
    let b = s.as_bytes();
    !b.is_empty()
        && is_lower_alnum(b[0])
        && is_lower_alnum(b[b.len() - 1])
        && b.iter().all(|c| is_lower_alnum(*c) || *c == b'-')
}

fn is_word(s: &str) -> bool {
    let b = s.as_bytes();
    !b.is_empty()
        && b[0].is_ascii_alphanumeric()
        && b[b.len() - 1].is_ascii_alphanumeric()
        && b.iter().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.'))
}

fn check(ok: bool, text: &str) -> Result<(), String> {
    if ok { Ok(()) } else { Err(text.to_owned()) }
}

/// A DNS label (RFC 1123): names of namespaces, containers and ports.
pub fn dns1123_label(s: &str) -> Result<(), String> {
    if s.len() > LABEL_MAX {
        return Err(too_long(LABEL_MAX));
    }
    // What is a subdomain and no label has dots.
    let text = if s.split('.').all(is_label) { "must not contain dots" } else { LABEL_TEXT };
    check(is_label(s), text)
}

/// A DNS subdomain (RFC 1123): names of most objects.
pub fn dns1123_subdomain(s: &str) -> Result<(), String> {
    if s.len() > SUBDOMAIN_MAX {
        return Err(too_long(SUBDOMAIN_MAX));
    }
    check(s.split('.').all(is_label), SUBDOMAIN_TEXT)
}

/// A DNS label of RFC 1035, which starts with a letter: names of Services.
pub fn dns1035_label(s: &str) -> Result<(), String> {
    if s.len() > LABEL_MAX {
        return Err(too_long(LABEL_MAX));
    }
    check(is_label(s) && s.as_bytes()[0].is_ascii_lowercase(), LABEL_1035_TEXT)
}

/// A qualified name, `[prefix/]name`: keys of labels, annotations and finalizers.
pub fn label_key(s: &str) -> Result<(), String> {
    let mut parts = s.split('/');
    let (prefix, name) = match (parts.next(), parts.next(), parts.next()) {
        (Some(name), None, None) => (None, name),
        (Some(prefix), Some(name), None) => (Some(prefix), name),
        _ => {
            return Err("a qualified name must consist of alphanumeric characters, '-', '_' or '.', and must \
                start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex \
                used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]') with an optional DNS subdomain \
                prefix and '/' (e.g. 'example.com/MyName')"
                .to_owned());
        }
    };
    match prefix {
        Some("") => return Err("prefix part must be non-empty".to_owned()),
        Some(prefix) => dns1123_subdomain(prefix).map_err(|e| format!("prefix part {e}"))?,
        None => {}
    }
    if name.is_empty() {
        return Err("name part must be non-empty".to_owned());
    }
    if name.len() > LABEL_MAX {
        return Err(format!("name part {}", too_many_bytes(LABEL_MAX)));
    }
    check(is_word(name), QUALIFIED_TEXT)
}

/// The value of a label; may be empty.
pub fn label_value(s: &str) -> Result<(), String> {
    if s.len() > LABEL_MAX {
        return Err(too_many_bytes(LABEL_MAX));
    }
    check(s.is_empty() || is_word(s), LABEL_VALUE_TEXT)
}

/// The name of an environment variable (relaxed rules, the default since Kubernetes 1.34).
pub fn env_var_name(s: &str) -> Result<(), String> {
    check(!s.is_empty() && s.bytes().all(|b| (b' '..=b'~').contains(&b) && b != b'='), ENV_TEXT)
}

/// A key of a ConfigMap or Secret, which becomes a file name.
pub fn config_key(s: &str) -> Result<(), String> {
    if s.len() > SUBDOMAIN_MAX {
        return Err(too_long(SUBDOMAIN_MAX));
    }
    match s {
        "." => Err("must not be '.'".to_owned()),
        ".." => Err("must not be '..'".to_owned()),
        _ if s.starts_with("..") => Err("must not start with '..'".to_owned()),
        _ => check(
            !s.is_empty() && s.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.')),
            CONFIG_KEY_TEXT,
        ),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("a", true)]
    #[case("my-name", true)]
    #[case("1a", true)]
    #[case("", false)]
    #[case("-a", false)]
    #[case("a-", false)]
    #[case("A", false)]
    #[case("a.b", false)]
    fn labels(#[case] name: &str, #[case] valid: bool) {
        assert_eq!(dns1123_label(name).is_ok(), valid);
        assert_eq!(dns1035_label(name).is_ok(), valid && !name.starts_with('1'));
    }

    #[rstest]
    #[case("example.com", true)]
    #[case("a..b", false)]
    #[case(".a", false)]
    #[case("a_b", false)]
    fn subdomains(#[case] name: &str, #[case] valid: bool) {
        assert_eq!(dns1123_subdomain(name).is_ok(), valid);
    }

    #[rstest]
    #[case("app", true)]
    #[case("app.kubernetes.io/name", true)]
    #[case("/name", false)]
    #[case("a/b/c", false)]
    #[case("a/", false)]
    #[case("with space", false)]
    fn label_keys(#[case] key: &str, #[case] valid: bool) {
        assert_eq!(label_key(key).is_ok(), valid);
    }

    #[test]
    fn lengths_are_limited() {
        assert_eq!(dns1123_label(&"a".repeat(64)), Err("must be no more than 63 characters".to_owned()));
        assert_eq!(
            dns1123_subdomain(&"a".repeat(254)),
            Err("must be no more than 253 characters".to_owned())
        );
        assert!(label_value(&"a".repeat(64)).is_err());
        assert!(label_value("").is_ok());
    }

    #[test]
    fn config_keys_cannot_climb_out_of_their_directory() {
        for key in [".", "..", "..a", "a/b", ""] {
            assert!(config_key(key).is_err(), "{key:?}");
        }
        assert!(config_key(".hidden_file-1.txt").is_ok());
    }
}
