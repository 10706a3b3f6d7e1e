//! The file that names the providers, or a directory of such files: each a CredentialProviderConfig of
//! `kubelet.config.k8s.io/v1`.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::SignedDuration;
use serde::Deserialize;
use wherry_api::names::label_key;

use super::pattern::{Pattern, PatternError};

const API: &str = "kubelet.config.k8s.io/v1";
const KIND: &str = "CredentialProviderConfig";
/// How providers are spoken with.
pub(super) const PROVIDER_API: &str = "credentialprovider.kubelet.k8s.io/v1";

/// Why providers cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ProvidersError {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// There is nothing in the directory.
    #[error("there is no file of JSON or YAML in {}", path.display())]
    Empty {
        /// Which directory.
        path: PathBuf,
    },
    /// It is no such configuration.
    #[error("{} is no {KIND} of {API}", path.display())]
    Parse {
        /// Which file.
        path: PathBuf,
        /// The cause.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Something in it is wrong.
    #[error("{}: {what}", path.display())]
    Invalid {
        /// Which file.
        path: PathBuf,
        /// What, and where.
        what: String,
    },
}

/// A program that knows accounts.
#[derive(Debug)]
pub(super) struct Provider {
    pub(super) name: String,
    pub(super) program: PathBuf,
    pub(super) args: Vec<String>,
    pub(super) env: Vec<(String, String)>,
    pub(super) default_duration: Duration,
    /// How it is told the ServiceAccount of a Pod, if it wants to know it.
    pub(super) token: Option<TokenWanted>,
    patterns: Vec<Pattern>,
}

/// What a provider wants to know of a Pod's ServiceAccount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TokenWanted {
    pub(super) audience: String,
    pub(super) cache: TokenCache,
    /// Whether it is not asked for Pods without one.
    pub(super) required: bool,
    /// Annotations of the account that it is told; it is not asked for accounts without them.
    pub(super) needed: Vec<String>,
    /// Annotations that it is told if the account has them.
    pub(super) welcome: Vec<String>,
}

/// For whom its answers are remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(super) enum TokenCache {
    /// For this one token.
    Token,
    /// For all tokens of the account.
    ServiceAccount,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct File {
    api_version: String,
    kind: String,
    providers: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Entry {
    name: String,
    match_images: Vec<String>,
    default_cache_duration: String,
    api_version: String,
    #[serde(default)]
    args: Vec<String>,
    #[serde(default)]
    env: Vec<Variable>,
    token_attributes: Option<TokenAttributes>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Variable {
    name: String,
    value: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct TokenAttributes {
    service_account_token_audience: String,
    cache_type: TokenCache,
    require_service_account: bool,
    #[serde(default)]
    required_service_account_annotation_keys: Vec<String>,
    #[serde(default)]
    optional_service_account_annotation_keys: Vec<String>,
}

impl Provider {
    /// Whether it is asked for the image.
    pub(super) fn is_for(&self, image: &str) -> bool {
        self.patterns.iter().any(|pattern| pattern.matches(image))
    }
}

/// Reads the file, or those of the directory in the order of their names; the programs are in `bin_dir`.
pub(super) fn read(path: &Path, bin_dir: &Path) -> Result<Vec<Provider>, ProvidersError> {
    let (mut names, mut found) = (HashSet::new(), Vec::new());
    for file in files(path)? {
        let text = std::fs::read(&file);
        let text = text.map_err(|source| ProvidersError::Read { path: file.clone(), source })?;
        found.extend(parse(&text, &file, bin_dir, &mut names)?);
    }
    Ok(found)
}

fn files(path: &Path) -> Result<Vec<PathBuf>, ProvidersError> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let failed = |source| ProvidersError::Read { path: path.to_owned(), source };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).map_err(failed)? {
        let file = entry.map_err(failed)?.path();
        let is_known =
            file.extension().is_some_and(|end| ["json", "yaml", "yml"].iter().any(|known| end == *known));
        if is_known && !file.is_dir() {
            files.push(file);
        }
    }
    files.sort();
    if files.is_empty() { Err(ProvidersError::Empty { path: path.to_owned() }) } else { Ok(files) }
}

fn parse(
    text: &[u8],
    path: &Path,
    bin_dir: &Path,
    names: &mut HashSet<String>,
) -> Result<Vec<Provider>, ProvidersError> {
    let file: File = serde_saphyr::from_slice(text)
        .map_err(|source| ProvidersError::Parse { path: path.to_owned(), source: Box::new(source) })?;
    let invalid = |what: String| ProvidersError::Invalid { path: path.to_owned(), what };
    if (file.api_version.as_str(), file.kind.as_str()) != (API, KIND) {
        return Err(invalid(format!("apiVersion and kind have to be {API} and {KIND}")));
    }
    if file.providers.is_empty() {
        return Err(invalid("providers: at least one is needed".to_owned()));
    }
    let mut found = Vec::new();
    for (index, entry) in file.providers.into_iter().enumerate() {
        let named = format!("providers[{index}]");
        let provider = provider(entry, bin_dir).map_err(|what| invalid(format!("{named}.{what}")))?;
        if !names.insert(provider.name.clone()) {
            return Err(invalid(format!("{named}.name: {:?} is there twice", provider.name)));
        }
        found.push(provider);
    }
    Ok(found)
}

/// One of them; an error begins with the field that it is about.
fn provider(entry: Entry, bin_dir: &Path) -> Result<Provider, String> {
    if entry.name.is_empty() || entry.name.contains(['/', ' ']) || [".", ".."].contains(&entry.name.as_str())
    {
        return Err(format!("name: {:?} is no name of a program in {}", entry.name, bin_dir.display()));
    }
    if entry.api_version != PROVIDER_API {
        return Err(format!("apiVersion: {:?} is not understood; use {PROVIDER_API}", entry.api_version));
    }
    if entry.match_images.is_empty() {
        return Err("matchImages: at least one pattern is needed".to_owned());
    }
    let patterns = entry.match_images.iter().map(|text| {
        Pattern::parse(text)
            .map_err(|why: PatternError| format!("matchImages: {text:?} is no pattern: {why}"))
    });
    let patterns = patterns.collect::<Result<_, _>>()?;
    let default_duration =
        duration(&entry.default_cache_duration).map_err(|why| format!("defaultCacheDuration: {why}"))?;
    let program = bin_dir.join(&entry.name);
    if !program.is_file() {
        return Err(format!("name: there is no program {}", program.display()));
    }
    let token = entry.token_attributes.map(token_wanted).transpose();
    let token = token.map_err(|why| format!("tokenAttributes.{why}"))?;
    let env = entry.env.into_iter().map(|variable| (variable.name, variable.value)).collect();
    Ok(Provider { name: entry.name, program, args: entry.args, env, default_duration, token, patterns })
}

/// What a provider wants to know of ServiceAccounts; an error begins with the field that it is about.
fn token_wanted(wanted: TokenAttributes) -> Result<TokenWanted, String> {
    if wanted.service_account_token_audience.is_empty() {
        return Err("serviceAccountTokenAudience: it is empty".to_owned());
    }
    let (needed, welcome) =
        (wanted.required_service_account_annotation_keys, wanted.optional_service_account_annotation_keys);
    if !wanted.require_service_account && !needed.is_empty() {
        return Err("requiredServiceAccountAnnotationKeys: only with requireServiceAccount".to_owned());
    }
    let mut seen = HashSet::new();
    let named = [
        ("requiredServiceAccountAnnotationKeys", &needed),
        ("optionalServiceAccountAnnotationKeys", &welcome),
    ];
    for (field, key) in named.into_iter().flat_map(|(field, keys)| keys.iter().map(move |key| (field, key))) {
        // Annotations are named in letters of any case, domains too.
        label_key(&key.to_lowercase())
            .map_err(|why| format!("{field}: {key:?} is no key of an annotation: {why}"))?;
        if !seen.insert(key) {
            return Err(format!("{field}: {key:?} is there twice"));
        }
    }
    Ok(TokenWanted {
        audience: wanted.service_account_token_audience,
        cache: wanted.cache_type,
        required: wanted.require_service_account,
        needed,
        welcome,
    })
}

/// A duration as Go writes it, not below zero.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let parsed: SignedDuration = text.parse().map_err(|error| format!("{text:?} is no duration: {error}"))?;
    parsed.try_into().map_err(|_| format!("{text:?} is below zero"))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const GOOD: &str = "\
apiVersion: kubelet.config.k8s.io/v1
kind: CredentialProviderConfig
providers:
- name: accounts
  matchImages: [\"*.example.com\", \"127.0.0.1:5000\"]
  defaultCacheDuration: 12h
  apiVersion: credentialprovider.kubelet.k8s.io/v1
  args: [get]
  env: [{name: PLACE, value: here}]
  tokenAttributes:
    serviceAccountTokenAudience: registry
    cacheType: Token
    requireServiceAccount: true
    requiredServiceAccountAnnotationKeys: [example.com/Role]
    optionalServiceAccountAnnotationKeys: [note]
";

    fn parsed(text: &str) -> Result<Vec<Provider>, String> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("accounts"), "").unwrap();
        let found = parse(text.as_bytes(), Path::new("file"), dir.path(), &mut HashSet::new());
        found.map_err(|error| crate::context::chain(&error).replace(&dir.path().display().to_string(), "BIN"))
    }

    #[test]
    fn a_provider_is_read_whole() {
        let found = parsed(GOOD).unwrap();
        let [provider] = found.as_slice() else { panic!("there is one") };
        assert_eq!((provider.name.as_str(), provider.args.as_slice()), ("accounts", &["get".to_owned()][..]));
        assert_eq!(provider.default_duration, Duration::from_hours(12));
        assert_eq!(provider.env, [("PLACE".to_owned(), "here".to_owned())]);
        let token = TokenWanted {
            audience: "registry".to_owned(),
            cache: TokenCache::Token,
            required: true,
            needed: vec!["example.com/Role".to_owned()],
            welcome: vec!["note".to_owned()],
        };
        assert_eq!(provider.token, Some(token));
        assert!(provider.is_for("a.example.com/x") && provider.is_for("127.0.0.1:5000/x"));
        assert!(!provider.is_for("docker.io/library/x"));
    }

    #[test]
    fn files_of_a_directory_are_read_in_their_order() {
        let dir = tempfile::tempdir().unwrap();
        let (bin, files) = (dir.path(), dir.path().join("files"));
        std::fs::create_dir_all(files.join("dir.yaml")).unwrap();
        let told = |files: &Path| read(files, bin).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(told(&files).starts_with("there is no file of JSON or YAML in "), "{}", told(&files));
        for (file, name) in [("b.yaml", "second"), ("a.yml", "first"), ("c.json.old", "third")] {
            std::fs::write(bin.join(name), "").unwrap();
            std::fs::write(files.join(file), GOOD.replace("name: accounts", &format!("name: {name}")))
                .unwrap();
        }
        let found = read(&files, bin).unwrap();
        assert_eq!(
            found.iter().map(|provider| provider.name.as_str()).collect::<Vec<_>>(),
            ["first", "second"]
        );
        std::fs::rename(files.join("c.json.old"), files.join("c.yaml")).unwrap();
        std::fs::write(files.join("c.yaml"), GOOD.replace("name: accounts", "name: first")).unwrap();
        assert!(
            told(&files).ends_with("c.yaml: providers[0].name: \"first\" is there twice"),
            "{}",
            told(&files)
        );
    }

    #[rstest]
    #[case("kind: CredentialProviderConfig", "kind: Other", "file: apiVersion and kind have to be")]
    #[case("name: accounts", "name: ../accounts", "file: providers[0].name: \"../accounts\" is no name")]
    #[case("name: accounts", "name: other", "file: providers[0].name: there is no program BIN/other")]
    #[case("12h", "soon", "file: providers[0].defaultCacheDuration: \"soon\" is no duration")]
    #[case("12h", "-1h", "file: providers[0].defaultCacheDuration: \"-1h\" is below zero")]
    #[case(
        "\"*.example.com\"",
        "\"https://x\"",
        "file: providers[0].matchImages: \"https://x\" is no pattern: it must not"
    )]
    #[case(
        "credentialprovider.kubelet.k8s.io/v1",
        "credentialprovider.kubelet.k8s.io/v1beta1",
        "is not understood; use"
    )]
    #[case("cacheType: Token", "cacheType: Never", "file is no CredentialProviderConfig")]
    #[case("args: [get]", "more: [get]", "file is no CredentialProviderConfig")]
    #[case("Audience: registry", "Audience: ''", "tokenAttributes.serviceAccountTokenAudience: it is empty")]
    #[case("[note]", "[a/b/c]", "optionalServiceAccountAnnotationKeys: \"a/b/c\" is no key of an annotation")]
    #[case("[note]", "[-note]", "\"-note\" is no key of an annotation")]
    #[case("[note]", "[note, note]", "optionalServiceAccountAnnotationKeys: \"note\" is there twice")]
    #[case("[note]", "[example.com/Role]", "\"example.com/Role\" is there twice")]
    #[case(
        "Account: true",
        "Account: false",
        "requiredServiceAccountAnnotationKeys: only with requireServiceAccount"
    )]
    fn what_is_wrong_is_said_with_its_place(#[case] good: &str, #[case] bad: &str, #[case] message: &str) {
        let error = parsed(&GOOD.replacen(good, bad, 1)).err().unwrap();
        assert!(error.contains(message), "{error}");
    }
}
