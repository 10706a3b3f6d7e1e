//! What nobody may learn: not from an answer, not from the logs, not from the disk.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use wherry_tests::ApiServer;

use crate::client::{Answer, Client};

/// The token of an administrator.
pub(crate) const ADMIN: &str = "golden-admin";
/// What the Secret `default/s` holds.
pub(crate) const WORD: &str = "correct-horse-battery-staple";
pub(crate) const SECRETS: &str = "/api/v1/namespaces/default/secrets";
/// What tells of the inside of a server.
const INSIDE: [&str; 6] = ["-----BEGIN", "panicked", "stack backtrace", ".rs:", "/pki", "redb"];

/// The administrator of a server.
pub(crate) fn admin(server: &ApiServer) -> Client {
    Client::new(server, ADMIN)
}

/// Makes the Secret that is attacked.
pub(crate) fn hide(admin: &Client) {
    let secret = json!({"metadata": {"name": "s"}, "stringData": {"password": WORD}});
    admin.post(SECRETS, &secret).expect(201);
}

/// The word as it may be written: in base64 it depends on where it begins.
fn spellings(word: &str) -> [String; 2] {
    [word.to_owned(), STANDARD.encode(word).trim_end_matches('=').to_owned()]
}

/// Checks that an answer tells nothing but that the request is refused.
#[track_caller]
pub(crate) fn tells_nothing(attack: &str, server: &ApiServer, answer: &Answer) {
    let directory = server.dir().to_string_lossy().into_owned();
    let words = spellings(WORD);
    let told = INSIDE
        .iter()
        .copied()
        .chain([directory.as_str(), ADMIN, "eyJ"])
        .chain(words.iter().map(String::as_str));
    for word in told {
        assert!(!answer.text.contains(word), "{attack}: the answer tells {word:?}:\n{}", answer.text);
    }
}

/// Checks that neither the logs nor the file of the store hold the Secret's word, these texts, or a key of the cluster.
pub(crate) fn keeps_secrets(server: &mut ApiServer, texts: &[&str]) {
    server.kill();
    let store = server.file("store.redb");
    let keys =
        ["pki/ca.key", "pki/sa.key", "pki/server.key", "pki/admin.key", "pki/secrets.key"].map(|name| {
            let text = String::from_utf8(server.file(name)).unwrap();
            // A line in the middle of a PEM file, or what follows the name of a key.
            let line = text.lines().find(|line| !line.starts_with("---")).unwrap();
            line.rsplit(':').next().unwrap().to_owned()
        });
    let words = spellings(WORD);
    let tokens = [ADMIN, "golden-alice", "golden-bob"];
    let all = words.iter().chain(&keys).map(String::as_str).chain(tokens).chain(texts.iter().copied());
    let (log, audit) = (server.log(), server.audit_log());
    assert!(
        log.contains("TRACE") && audit.contains("\"level\":\"RequestResponse\""),
        "the logs tell too little"
    );
    for word in all {
        assert!(!log.contains(word), "the log tells {word:?}: {}", line_of(&log, word));
        assert!(!audit.contains(word), "the audit log tells {word:?}: {}", line_of(&audit, word));
        let found = store.windows(word.len()).any(|window| window == word.as_bytes());
        assert!(!found, "{word:?} is in the file of the store");
    }
}

fn line_of<'t>(text: &'t str, word: &str) -> &'t str {
    text.lines().find(|line| line.contains(word)).unwrap_or_default()
}
