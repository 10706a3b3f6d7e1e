//! `kubectl cp` from a container whose `tar` is not what it says.

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use wherry_tests::Cluster;
use wherry_tests::pods::{IDLE, shell};

/// An entry of an archive: its name, its kind, what it links to or holds.
fn entry(name: &str, kind: u8, link: &str, content: &[u8]) -> Vec<u8> {
    let mut header = [0_u8; 512];
    let mut put = |at: usize, text: &[u8]| header[at..at + text.len()].copy_from_slice(text);
    put(0, name.as_bytes());
    put(100, b"0000644\0");
    put(124, format!("{:011o}\0", content.len()).as_bytes());
    put(136, b"00000000000\0");
    put(148, b"        ");
    put(156, &[kind]);
    put(157, link.as_bytes());
    put(257, b"ustar\0");
    put(263, b"00");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let mut bytes = header.to_vec();
    bytes.extend(content);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

/// Entries that would lead out of the directory that is copied to, and one that does not.
fn archive() -> Vec<u8> {
    let mut archive = [
        entry("data/honest", b'0', "", b"honest"),
        entry("data/../../out-by-dots", b'0', "", b"evil"),
        entry("/out-by-root", b'0', "", b"evil"),
        entry("data/link", b'2', "../..", b""),
        entry("data/link/out-by-link", b'0', "", b"evil"),
        entry("data/hard", b'1', "../../kept", b""),
    ]
    .concat();
    archive.extend([0; 1024]);
    archive
}

pub(crate) fn nothing_is_written_beside_the_target(cluster: &Cluster) {
    let script = format!(
        "echo {} | base64 -d > /evil; rm -f /bin/tar; printf '#!/bin/sh\\ncat /evil\\n' > /bin/tar; chmod 755 /bin/tar; {IDLE}",
        STANDARD.encode(archive())
    );
    cluster.run_pod(
        "lying",
        &json!({ "terminationGracePeriodSeconds": 1, "containers": [shell("main", &script)] }),
    );
    cluster.wait_for("condition=Ready", &["pod/lying"]);
    let around = tempfile::tempdir().expect("a directory can be made");
    let target = around.path().join("a/b");
    fs::create_dir_all(&target).expect("the directory is new");
    fs::write(around.path().join("a/kept"), "kept").expect("the file can be written");
    let target = target.join("data");
    cluster.kubectl_until(&["exec", "lying", "--", "cat", "/bin/tar"], |tar| tar.contains("/evil"));
    cluster.try_kubectl(&["cp", "lying:/data", &target.display().to_string()]);
    assert_eq!(fs::read(target.join("honest")).expect("what is honest arrives"), b"honest");
    for name in
        ["out-by-dots", "a/out-by-dots", "out-by-link", "a/out-by-link", "a/b/out-by-link", "a/b/out-by-dots"]
    {
        assert!(!around.path().join(name).exists(), "{name} was written");
    }
    assert!(!std::path::Path::new("/out-by-root").exists(), "it was written to the root");
    assert_eq!(fs::read(around.path().join("a/kept")).expect("it is there"), b"kept");
}
