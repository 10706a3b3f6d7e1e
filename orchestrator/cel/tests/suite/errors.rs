//! The texts of syntax and type errors, as cel-go prints them.

use crate::common::outcome;
use wherry_cel::{Env, Type};

const OPERANDS: &str = "{'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}";

fn env() -> Env {
    Env::kubernetes().variable("self", Type::String).variable("n", Type::Int).variable("any", Type::Dyn)
}

/// The first line of what is wrong, without `ERROR: <input>:`.
fn wrong(text: &str) -> String {
    let printed = outcome(&env(), text);
    let first = printed.lines().next().unwrap_or_default();
    first.strip_prefix("ERROR: <input>:").unwrap_or(&printed).to_owned()
}

#[test]
fn a_problem_prints_with_its_line_and_a_caret() {
    let expected = format!(
        "ERROR: <input>:1:7: Syntax error: mismatched input '<EOF>' expecting {OPERANDS}\n | self +\n | ......^"
    );
    assert_eq!(outcome(&env(), "self +"), expected);
    let expected = "ERROR: <input>:1:1: undeclared reference to 'x' (in container '')\n | x\n | ^";
    assert_eq!(outcome(&env(), "x"), expected);
}

#[test]
fn syntax_errors_read_as_upstream() {
    for (text, expected) in [
        ("n $ 1", "1:3: Syntax error: token recognition error at: '$'"),
        ("n | 1", "1:3: Syntax error: token recognition error at: '| '"),
        ("'abc", "1:1: Syntax error: token recognition error at: ''abc'"),
        ("n n", "1:3: Syntax error: extraneous input 'n' expecting <EOF>"),
        ("size(self", "1:10: Syntax error: missing ')' at '<EOF>'"),
        ("if == 1", "1:1: reserved identifier: if"),
        ("99999999999999999999 == 1", "1:1: invalid int literal"),
        ("[1].all(2, true)", "1:9: argument must be a simple name"),
        ("[1].map(2, true)", "1:9: argument is not an identifier"),
        ("has(n)", "1:5: invalid argument to has() macro"),
        ("self.`a-b`", "1:6: unsupported syntax: '`'"),
    ] {
        assert_eq!(wrong(text), expected, "{text}");
    }
}

/// All errors of cel-go 0.26 for these, without `ERROR: <input>:` and without the lines and carets.
#[test]
fn several_syntax_errors_read_as_upstream() {
    let operand = |input: &str| format!("mismatched input '{input}' expecting {OPERANDS}");
    let in_map =
        OPERANDS.replace("'{', ", "'{', '}', ").replace("'.', ", "'.', ',', ").replace("'!', ", "'!', '?', ");
    let cases = [
        ("1 + +", vec![(5, operand("+")), (6, operand("<EOF>"))]),
        ("1 + 2 n +", vec![(7, "mismatched input 'n' expecting <EOF>".to_owned())]),
        ("{\"a\": 1}.\"a\"", vec![(10, "no viable alternative at input '.\"a\"'".to_owned())]),
        ("self.", vec![(6, "no viable alternative at input '.'".to_owned())]),
        ("....", vec![(2, "no viable alternative at input '..'".to_owned())]),
        ("-", vec![(2, "no viable alternative at input '-'".to_owned()), (2, operand("<EOF>"))]),
        ("?", vec![(1, operand("?")), (2, operand("<EOF>"))]),
        ("in", vec![(1, operand("in")), (3, operand("<EOF>"))]),
        ("{", vec![(2, format!("mismatched input '<EOF>' expecting {in_map}"))]),
        ("{a}", vec![(3, "mismatched input '}' expecting ':'".to_owned())]),
        (
            "{:a}",
            vec![
                (2, format!("extraneous input ':' expecting {in_map}")),
                (4, "mismatched input '}' expecting ':'".to_owned()),
            ],
        ),
        ("{1: 305 2: 569}", vec![(9, "mismatched input '2' expecting {'}', ','}".to_owned())]),
        (
            "t{>c}",
            vec![
                (3, "extraneous input '>' expecting {'}', ',', '?', IDENTIFIER, ESC_IDENTIFIER}".to_owned()),
                (5, "mismatched input '}' expecting ':'".to_owned()),
            ],
        ),
        ("n(){}", vec![(4, "mismatched input '{' expecting <EOF>".to_owned())]),
        (
            "*n | n",
            vec![
                (1, format!("extraneous input '*' expecting {OPERANDS}")),
                (4, "token recognition error at: '| '".to_owned()),
                (6, "extraneous input 'n' expecting <EOF>".to_owned()),
            ],
        ),
    ];
    for (text, expected) in cases {
        let printed = outcome(&env(), text);
        let told: Vec<&str> =
            printed.lines().filter_map(|line| line.strip_prefix("ERROR: <input>:1:")).collect();
        let expected: Vec<String> =
            expected.iter().map(|(at, message)| format!("{at}: Syntax error: {message}")).collect();
        assert_eq!(told, expected, "{text}");
    }
}

#[test]
fn type_errors_read_as_upstream() {
    for (text, expected) in [
        ("self.nope > 1", "1:5: type 'string' does not support field selection"),
        ("size(any) > 'x'", "1:11: found no matching overload for '_>_' applied to '(int, string)'"),
        ("self.foo()", "1:9: undeclared reference to 'foo' (in container '')"),
        ("self.size(1)", "1:10: found no matching overload for 'size' applied to 'string.(int)'"),
        ("[1, 'a']", "1:5: expected type 'int' but found 'string'"),
        ("{'a': 1, 'b': 'c'}", "1:15: expected type 'int' but found 'string'"),
        (
            "n.all(x, true)",
            "1:1: expression of type 'int' cannot be range of a comprehension (must be list, map, or dynamic)",
        ),
        ("[1].all(x, x)", "1:8: found no matching overload for '_&&_' applied to '(bool, int)'"),
        ("n + self", "1:3: found no matching overload for '_+_' applied to '(int, string)'"),
        ("n == self", "1:3: found no matching overload for '_==_' applied to '(int, string)'"),
        ("Nope{a: 1}", "1:5: undeclared reference to 'Nope' (in container '')"),
        ("n{a: 1}", "1:2: 'int' is not a type"),
        ("self.matches('[')", "1:14: invalid matches argument"),
        ("duration('1x') == duration('1s')", "1:10: invalid duration argument"),
        ("timestamp('x') == timestamp(0)", "1:11: invalid timestamp argument"),
    ] {
        assert_eq!(wrong(text), expected, "{text}");
    }
}

#[test]
fn depth_and_size_are_bounded() {
    let deep = format!("{}1{}", "(".repeat(300), ")".repeat(300));
    assert!(wrong(&deep).ends_with("expression recursion limit exceeded: 250"), "{}", wrong(&deep));
    let chain = format!("1{}", " + 1".repeat(300));
    assert!(wrong(&chain).ends_with("expression recursion limit exceeded: 250"), "{}", wrong(&chain));
    let many = format!("true{}", " && true".repeat(5000));
    assert_eq!(outcome(&env(), &many), "true");
    let long = format!("'{}' == ''", "a".repeat(100_001));
    assert!(wrong(&long).contains("expression code point size exceeds limit"), "{}", wrong(&long));
}
