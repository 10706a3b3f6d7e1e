//! Replays recorded requests against `wherry apiserver` and counts how many answers are those recorded.
//!
//! The recordings are no part of the repository: `WHERRY_GOLDEN` names the folder that has them in `golden/`, with
//! `replay.py` beside them. Each file has to pass as many steps as it did before.

#![cfg(feature = "golden")]

use std::path::PathBuf;
use std::process::Command;

use wherry_tests::ApiServer;

/// How many steps in a thousand pass at least.
const FLOORS: [(&str, usize); 6] = [
    ("resources", 990),
    ("validation", 990),
    ("protocol", 998),
    ("discovery", 970),
    // Five of 219 steps show Pods with the annotation `run.wherry.dev/level`, which upstream does not write.
    ("admission", 965),
    ("crds", 980),
];

fn golden() -> PathBuf {
    let folder = std::env::var_os("WHERRY_GOLDEN").expect("WHERRY_GOLDEN names the folder of recordings");
    PathBuf::from(folder).join("golden")
}

/// The numbers of `resources: cases 1/2, steps 3/4`: passed and all steps.
fn steps(line: &str) -> Option<(usize, usize)> {
    let (passed, all) = line.rsplit_once("steps ")?.1.trim().split_once('/')?;
    Some((passed.parse().ok()?, all.parse().ok()?))
}

#[test]
fn recorded_requests_are_answered_as_recorded() {
    let folder = golden();
    let mut worse = Vec::new();
    for (file, floor) in FLOORS {
        let server = ApiServer::start();
        let output = Command::new("python3")
            .arg(folder.join("replay.py"))
            .args(["--server", &server.url(), "--token", "golden-admin", "--insecure"])
            .arg(folder.join(format!("{file}.json")))
            .output()
            .expect("python3 is installed");
        let out = String::from_utf8_lossy(&output.stdout);
        let totals = out.lines().last().unwrap_or_default();
        let (passed, all) = steps(totals)
            .unwrap_or_else(|| panic!("replay.py said: {out}{}", String::from_utf8_lossy(&output.stderr)));
        eprintln!("{totals}");
        if passed * 1000 < floor * all {
            worse.push(format!("{file}: {passed} of {all}, expected {floor} in 1000"));
        }
    }
    assert!(worse.is_empty(), "{worse:?}");
}

#[test]
fn totals_are_read_from_the_last_line() {
    assert_eq!(steps("resources: cases 63/216, steps 1083/1981"), Some((1083, 1981)));
    assert_eq!(steps("Traceback"), None);
}
