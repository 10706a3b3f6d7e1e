//! What expressions can cost, as upstream estimates it.

use wherry_cel::{Env, Node, Range, Type};

fn env() -> Env {
    Env::kubernetes()
        .variable("text", Type::String)
        .variable("names", Type::list(Type::String))
        .variable("labels", Type::map(Type::String, Type::String))
        .variable("n", Type::Int)
        .variable("nested", Type::list(Type::list(Type::Int)))
}

/// Texts have at most 100 characters, lists 10 items, maps 5 entries, if they are reached from variables.
fn sizes(node: Node<'_>) -> Option<Range> {
    let first = node.path.first()?;
    let max = match (first.as_str(), node.path.last()?.as_str(), node.of) {
        ("text" | "names" | "labels", _, Type::String) => 100,
        ("names", "names", _) | ("nested", ..) => 10,
        ("labels", "labels", _) => 5,
        _ => return None,
    };
    Some(Range { min: 0, max })
}

#[test]
fn costs_are_estimated_from_sizes() {
    for (text, min, max) in [
        ("1 == 1", 1, 1),
        ("n == 1", 2, 2),
        ("n > 1 && n < 5", 2, 4),
        ("true ? n : 1", 0, 1),
        ("text == 'abc'", 2, 2),
        ("text.contains('ab')", 1, 11),
        ("text.startsWith('ab')", 2, 2),
        ("text.matches('a+b+')", 2, 12),
        ("'a' in names", 1, 11),
        ("names.all(x, x == 'a')", 2, 52),
        ("names.map(x, x + 'b')", 12, 252),
        ("names.filter(x, true)", 12, 142),
        ("labels.all(k, labels[k] == 'x')", 2, 37),
        ("nested.all(x, x.all(y, y > 0))", 2, 552),
        ("[1, 2, 3]", 10, 10),
        ("{'a': n}", 31, 31),
        ("size(text) > 1", 3, 3),
        ("dyn(n) == 1", 3, 3),
        ("names[0] == 'a'", 3, 3),
        ("text + text", 2, 22),
    ] {
        let estimate = env().compile(text).expect(text).estimate(&sizes);
        assert_eq!((estimate.min, estimate.max), (min, max), "{text}");
    }
}

#[test]
fn what_is_unbounded_costs_without_bound() {
    let env = Env::kubernetes().variable("any", Type::Dyn);
    let unknown = |_: Node<'_>| None;
    let program = env.compile("any.all(x, x.all(y, y.all(z, z == 1)))").expect("it is an expression");
    assert_eq!(program.estimate(&unknown).max, u64::MAX);
}
