//! Volumes that begin empty (common/storage/empty_dir).

use serde_json::json;
use wherry_tests::{Options, Viewer, in_cluster};

fn viewer(medium: &str) -> Viewer {
    Viewer::of(&[json!({ "emptyDir": { "medium": medium } })])
}

/// The top of a tmpfs if the medium is memory, and a directory of something else if not.
fn is_on(file_system: &str, medium: &str) -> bool {
    (medium == "Memory") == (file_system == "/ tmpfs")
}

const FILE_SYSTEM: &str = "awk '$5 == \"/v0\" { print $4, $(NF - 2) }' /proc/self/mountinfo";

/// A user makes a file of this mode and reads it again.
fn supports(user: Option<u32>, mode: &str, medium: &str) {
    in_cluster(Options::default(), |cluster| {
        let script = format!(
            "{FILE_SYSTEM}; echo content > /v0/file; chmod {mode} /v0/file; stat -c '%a %u' /v0/file; cat /v0/file"
        );
        let viewer = user.into_iter().fold(viewer(medium), Viewer::as_user);
        let shown = viewer.shows(cluster, &script);
        let (file_system, rest) = shown.split_once('\n').expect("the script prints lines");
        assert!(is_on(file_system, medium), "{file_system}");
        let (mode, user) = (mode.trim_start_matches('0'), user.unwrap_or(0));
        assert_eq!(rest, format!("{mode} {user}\ncontent"));
    });
}

/// Everybody may do everything in a new volume.
fn has_the_correct_mode(medium: &str) {
    in_cluster(Options::default(), |cluster| {
        let shown = viewer(medium).shows(cluster, &format!("{FILE_SYSTEM}; stat -c %A /v0"));
        let (file_system, mode) = shown.split_once('\n').expect("the script prints lines");
        assert!(is_on(file_system, medium), "{file_system}");
        assert_eq!(mode, "drwxrwxrwx");
    });
}

macro_rules! supported {
    ($($(#[$doc:meta])* $name:ident: $user:expr, $mode:expr, $medium:expr;)*) => {
        $($(#[$doc])* #[test] fn $name() { supports($user, $mode, $medium); })*
    };
}

supported! {
    /// [sig-storage] EmptyDir volumes should support (non-root,0644,default).
    emptydir_medium_default_volume_mode_0644_non_root_user: Some(1001), "0644", "";
    /// [sig-storage] EmptyDir volumes should support (non-root,0644,tmpfs).
    emptydir_medium_memory_volume_mode_0644_non_root_user: Some(1001), "0644", "Memory";
    /// [sig-storage] EmptyDir volumes should support (non-root,0666,default).
    emptydir_medium_default_volume_mode_0666_non_root_user: Some(1001), "0666", "";
    /// [sig-storage] EmptyDir volumes should support (non-root,0666,tmpfs).
    emptydir_medium_memory_volume_mode_0666_non_root_user: Some(1001), "0666", "Memory";
    /// [sig-storage] EmptyDir volumes should support (non-root,0777,default).
    emptydir_medium_default_volume_mode_0777_non_root_user: Some(1001), "0777", "";
    /// [sig-storage] EmptyDir volumes should support (non-root,0777,tmpfs).
    emptydir_medium_memory_volume_mode_0777_non_root_user: Some(1001), "0777", "Memory";
    /// [sig-storage] EmptyDir volumes should support (root,0644,default).
    emptydir_medium_default_volume_mode_0644: None, "0644", "";
    /// [sig-storage] EmptyDir volumes should support (root,0644,tmpfs).
    emptydir_medium_memory_volume_mode_0644: None, "0644", "Memory";
    /// [sig-storage] EmptyDir volumes should support (root,0666,default).
    emptydir_medium_default_volume_mode_0666: None, "0666", "";
    /// [sig-storage] EmptyDir volumes should support (root,0666,tmpfs).
    emptydir_medium_memory_volume_mode_0666: None, "0666", "Memory";
    /// [sig-storage] EmptyDir volumes should support (root,0777,default).
    emptydir_medium_default_volume_mode_0777: None, "0777", "";
    /// [sig-storage] EmptyDir volumes should support (root,0777,tmpfs).
    emptydir_medium_memory_volume_mode_0777: None, "0777", "Memory";
}

/// [sig-storage] EmptyDir volumes volume on default medium should have the correct mode.
#[test]
fn emptydir_medium_default_volume_mode_default() {
    has_the_correct_mode("");
}

/// [sig-storage] EmptyDir volumes volume on tmpfs should have the correct mode.
#[test]
fn emptydir_medium_memory_volume_mode_default() {
    has_the_correct_mode("Memory");
}

/// [sig-storage] EmptyDir volumes pod should support shared volumes between containers.
#[test]
fn emptydir_shared_volumes_between_containers() {
    in_cluster(Options::default(), |cluster| {
        let mut viewer = viewer("");
        let mut other = viewer.container().clone();
        other["name"] = json!("sub");
        other["command"] = json!(["sh", "-c", "echo from the other > /v0/new; mv /v0/new /v0/shared"]);
        viewer.pod["spec"]["containers"] = json!([viewer.container(), other]);
        let script = "until [ -e /v0/shared ]; do sleep 0.05; done; cat /v0/shared";
        viewer.pod["spec"]["containers"][0]["command"] = json!(["sh", "-c", script]);
        cluster.apply(&viewer.pod.to_string());
        cluster.wait_for("jsonpath={.status.phase}=Succeeded", &["pod", Viewer::NAME]);
        assert_eq!(cluster.kubectl(&["logs", Viewer::NAME, "-c", "main"]), "from the other\n");
    });
}

/// A volume in memory is as large as it was asked to be, and no larger than the memory of its Pod.
#[test]
fn what_is_in_memory_has_a_limit() {
    in_cluster(Options::default(), |cluster| {
        let asked = json!({ "emptyDir": { "medium": "Memory", "sizeLimit": "1Mi" } });
        let mut viewer = Viewer::of(&[asked, json!({ "emptyDir": { "medium": "Memory" } })]);
        viewer.container()["resources"] = json!({ "limits": { "memory": "32Mi" } });
        let shown = viewer.shows(
            cluster,
            "df -k /v0 /v1 | awk '{ print $2 }'; dd if=/dev/zero of=/v0/f bs=2M count=1 2>&1 || true",
        );
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines[1..3], ["1024", "32768"]);
        assert!(shown.contains("No space left on device"), "{shown}");
    });
}
