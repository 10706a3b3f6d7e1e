//! What the kernel has after a script is what it has after `nft` read the same script. Needs root and `nft`.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic")]

use std::fmt::Write as _;
use std::process::{Command, Stdio};

use nix::sched::{CloneFlags, unshare};
use wherry_nftables::{Connection, Error};

/// Runs something in a network namespace of its own.
fn isolated<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let run = move || {
        unshare(CloneFlags::CLONE_NEWNET).expect("these tests need root");
        work()
    };
    std::thread::spawn(run).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn nft(arguments: &[&str]) -> String {
    let output = Command::new("nft").args(arguments).stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "{arguments:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// All rules: as `nft` writes them, and step by step as the kernel works through them. The kernel tells elements of a set in any
/// order, and `nft` notes with some what only it reads.
fn listed() -> String {
    let listed = nft(&["--stateless", "--debug=netlink", "list", "ruleset"]);
    let mut lines: Vec<&str> =
        listed.lines().map(|line| line.split("  userdata = ").next().unwrap_or(line)).collect();
    let is_element = |line: &str| line.starts_with("\telement ");
    for elements in lines.chunk_by_mut(|one, next| is_element(one) && is_element(next)) {
        elements.sort_unstable();
    }
    lines.join("\n")
}

/// What there is after each of the transactions.
fn after_each(transactions: &[String], mut apply: impl FnMut(&str)) -> Vec<String> {
    let mut states = Vec::new();
    for transaction in transactions {
        apply(transaction);
        states.push(listed());
    }
    states
}

#[test]
fn the_kernel_has_what_nft_would_have_made() {
    let scripts = [
        include_str!("scripts/language.nft"),
        include_str!("scripts/services.nft"),
        // What the node writes of Services in a cluster with both families.
        include_str!("../../src/services/nftables/golden/six.nft"),
    ];
    for text in scripts {
        let transactions: Vec<String> = text.split("# then\n").map(str::to_owned).collect();
        let other = transactions.clone();
        let expected = isolated(move || {
            after_each(&other, |script| {
                let file = tempfile::NamedTempFile::new().unwrap();
                std::fs::write(file.path(), script).unwrap();
                nft(&["-f", file.path().to_str().unwrap()]);
            })
        });
        let states = isolated(move || {
            let mut rules = Connection::open().unwrap();
            after_each(&transactions, |script| rules.apply(script).unwrap())
        });
        for (step, (state, expected)) in states.iter().zip(&expected).enumerate() {
            let differing = state.lines().zip(expected.lines()).find(|(own, theirs)| own != theirs);
            assert!(state == expected, "after transaction {step}: {differing:#?}");
        }
        assert!(expected.iter().all(|state| state.lines().count() > 20));
    }
}

#[test]
fn all_of_a_script_is_in_force_or_nothing() {
    isolated(|| {
        let mut rules = Connection::open().unwrap();
        rules.apply("add table ip t\nadd chain ip t one\n").unwrap();
        let before = listed();
        let script = "add chain ip t two\nadd rule ip t two accept\n\nadd rule ip t two jump three\nadd chain ip t three\n";
        let refused = rules.apply(script).unwrap_err();
        let Error::Refused { line, text, source } = &refused else { panic!("{refused}") };
        assert_eq!((*line, text.as_str()), (4, "add rule ip t two jump three"));
        assert_eq!(source.raw_os_error(), Some(nix::errno::Errno::ENOENT as i32));
        assert_eq!(listed(), before);

        let unread = rules.apply("add chain ip t two\nadd rule ip t two frobnicate\n").unwrap_err();
        assert!(
            matches!(&unread, Error::Syntax { line: 2, message } if message.contains("frobnicate")),
            "{unread}"
        );
        assert_eq!(listed(), before);
        rules.apply("\n# nothing\n").unwrap();
    });
}

/// Longer than one attribute can be, and than a socket may send unless it is told.
#[test]
fn large_changes_are_one_transaction_too() {
    isolated(|| {
        let mut rules = Connection::open().unwrap();
        let mut script =
            String::from("table ip t {\nset all { type ipv4_addr . inet_service; }\nchain main {\n");
        let number = |index: usize| format!("10.1.{}.{}", index / 256, index % 256);
        for index in 0..9000 {
            writeln!(script, "ip saddr {} accept", number(index)).unwrap();
        }
        let elements: Vec<String> = (0..20_000).map(|index| format!("{} . 80", number(index))).collect();
        write!(script, "}}\n}}\nadd element ip t all {{ {} }}\n", elements.join(",\n")).unwrap();
        rules.apply(&script).unwrap();
        let listed = nft(&["list", "ruleset"]);
        assert_eq!(listed.matches(" . 80").count(), 20_000);
        assert_eq!(listed.matches("accept").count(), 9000);
        // The other way round, one of them is missing.
        let missing = format!("delete element ip t all {{ {}, 10.9.9.9 . 80 }}\n", elements.join(", "));
        assert!(matches!(rules.apply(&missing), Err(Error::Refused { line: 1, .. })));
        rules.apply(&format!("delete element ip t all {{ {} }}\n", elements.join(", "))).unwrap();
        assert_eq!(nft(&["list", "ruleset"]).matches(" . 80").count(), 0);
    });
}
