//! The README's first command, on the binary the tests were built with.

use std::process::Command;

use wherry_tests::{wherry_binary, workspace};

#[test]
fn the_readme_demo_answers_requests_through_both_runtimes() {
    let output = Command::new(workspace().join("scripts/demo"))
        .arg("--once")
        .env("WHERRY_BIN", wherry_binary())
        .output()
        .expect("the demo runs");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}\n{err}");
    let answers: Vec<_> = out.split("request ").skip(1).collect();
    assert_eq!(answers.len(), 3, "{out}");
    for answer in answers {
        assert!(answer.contains("pod frontend-") && answer.contains("pod backend-"), "{answer}");
    }
}
