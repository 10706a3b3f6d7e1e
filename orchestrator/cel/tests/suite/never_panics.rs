//! Properties: nothing that is parsed, checked or run panics, and nothing costs more than its limit allows by much.

use proptest::prelude::*;
use wherry_cel::{Env, Node, Type, Value};

fn env() -> Env {
    Env::extended()
        .variable("a", Type::Dyn)
        .variable("s", Type::String)
        .variable("l", Type::list(Type::Int))
        .variable("m", Type::map(Type::String, Type::Int))
}

fn whole(text: &str) {
    let Ok(program) = env().compile(text) else { return };
    let _ = program.estimate(&|_: Node<'_>| None);
    let variables = [
        ("a", Value::from("b")),
        ("s", Value::from("éa")),
        ("l", Value::list(vec![Value::Int(1), Value::Int(i64::MIN)])),
    ];
    let evaluation = program.evaluate(&variables, 10_000);
    drop(evaluation.result);
}

/// Pieces that make expressions more often than characters do.
const PIECES: &[&str] = &[
    "a",
    "s",
    "l",
    "m",
    "x",
    "1",
    "-1",
    "2u",
    "1.5",
    "'é'",
    "b'a'",
    "true",
    "null",
    "[",
    "]",
    "{",
    "}",
    "(",
    ")",
    ".",
    "?",
    ":",
    ",",
    "+",
    "-",
    "*",
    "/",
    "%",
    "==",
    "<",
    "&&",
    "||",
    "!",
    " in ",
    "size",
    "all(x, ",
    "map(x, ",
    "exists",
    "has(",
    "matches(",
    "timestamp(",
    "duration(",
    "'1h'",
    "int(",
    "string(",
    "type(",
    "dyn(",
    "startsWith(",
    "[?",
    ".?",
    "optMap(x, ",
    "cel.bind(x, ",
    "transformMap(k, v, ",
    "`",
    "\\",
    "'",
    "\"",
    "r'",
    "// ",
    "\n",
    "0x",
    "1e",
    "9223372036854775807",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_text(text in "\\PC{0,80}") {
        whole(&text);
    }

    #[test]
    fn any_pieces(pieces in prop::collection::vec(prop::sample::select(PIECES), 0..24)) {
        whole(&pieces.concat());
    }

    #[test]
    fn any_expression(text in expression()) {
        whole(&text);
    }
}

/// Expressions that mostly parse.
fn expression() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(
        &[
            "a",
            "s",
            "l",
            "m",
            "1",
            "-1",
            "0",
            "2u",
            "1.5",
            "'é'",
            "b'a'",
            "true",
            "null",
            "[]",
            "{}",
            "duration('1h')",
            "timestamp(0)",
        ][..],
    )
    .prop_map(str::to_owned);
    leaf.prop_recursive(5, 60, 3, |inner| {
        let operators =
            prop::sample::select(&["+", "-", "*", "/", "%", "==", "!=", "<", ">=", "&&", "||", "in"][..]);
        let calls = prop::sample::select(
            &[
                "size",
                "int",
                "uint",
                "double",
                "string",
                "bytes",
                "bool",
                "type",
                "dyn",
                "duration",
                "timestamp",
            ][..],
        );
        let macros = prop::sample::select(&["all", "exists", "exists_one", "map", "filter"][..]);
        prop_oneof![
            (inner.clone(), operators, inner.clone())
                .prop_map(|(a, op, b)| format!("(dyn({a}) {op} dyn({b}))")),
            (calls, inner.clone()).prop_map(|(call, a)| format!("{call}(dyn({a}))")),
            (inner.clone(), macros, inner.clone())
                .prop_map(|(a, name, b)| format!("dyn({a}).{name}(x, dyn(x) == {b})")),
            (inner.clone(), inner.clone(), inner.clone())
                .prop_map(|(a, b, c)| format!("({a} == null ? dyn({b}) : dyn({c}))")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("[dyn({a}), dyn({b})]")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("dyn({a})[dyn({b})]")),
            inner.prop_map(|a| format!("{{'k': {a}}}.k")),
        ]
    })
}

#[test]
fn the_deepest_expressions_fit_the_stack() {
    for text in [
        format!("{}1{}", "(".repeat(240), ")".repeat(240)),
        format!("{}1{}", "[".repeat(240), "]".repeat(240)),
        format!("1{}", " + 1".repeat(240)),
        format!("{}true", "true ? true : ".repeat(240)),
        format!("a{}", ".b".repeat(240)),
        format!("a{}", "[0]".repeat(240)),
        format!("{}true{}", "[1].all(x, ".repeat(60), ")".repeat(60)),
        format!("{}a{}", "dyn(".repeat(120), ")".repeat(120)),
        format!("[1]{}", ".map(x, x)".repeat(60)),
    ] {
        assert!(env().compile(&text).is_ok(), "{text}: {}", env().compile(&text).unwrap_err());
        whole(&text);
    }
}
