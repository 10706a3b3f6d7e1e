//! What expressions can cost, as upstream estimates it.

use wherry_cel::{Env, Node, Range, Type, Value};

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

/// Kubernetes' own expectations: strings and bytes have at most 12 characters where nothing is known of them.
const KUBERNETES: &[(&str, u64, u64)] = &[
    ("[1, 2, 3, 4, 5].sum()", 15, 15),
    ("[uint(1), uint(2), uint(3), uint(4), uint(5)].isSorted()", 20, 20),
    ("['012345678901', '012345678901', '012345678901', '012345678901', '012345678901'].max()", 15, 25),
    (
        "[bytes('012345678901'), bytes('012345678901'), bytes('012345678901'), bytes('012345678901'), bytes('012345678901')].min()",
        25,
        35,
    ),
    ("[1, 2, 3, 4, 5].indexOf(3)", 15, 15),
    ("'01234567890123456789012345678901234567890123456789'.lastIndexOf('123')", 5, 5),
    ("url('https:://kubernetes.io/').getPort()", 4, 4),
    ("url('https:://kubernetes.io/') == url('https:://kubernetes.io/')", 7, 9),
    ("url('https:://kubernetes.io/') == url('http://x.b')", 5, 5),
    ("ip('192.168.0.1')", 2, 2),
    ("ip('2001:db8:3333:4444:5555:6666:7777:8888').isLoopback()", 5, 5),
    ("ip('192.168.0.1') == ip('192.168.0.1')", 5, 5),
    ("ip.isCanonical('2001:db8:3333:4444:5555:6666:7777:8888')", 8, 8),
    ("cidr('192.168.0.0/16').masked()", 3, 3),
    ("cidr('192.168.0.0/16') == cidr('2001:db8::/32')", 5, 5),
    ("cidr('192.168.0.0/16').containsCIDR(cidr('192.0.0.0/30'))", 7, 11),
    ("cidr('192.168.0.0/16').containsCIDR('192.168.0.0/16')", 7, 11),
    ("cidr('192.168.0.0/16').containsIP(ip('192.0.0.1'))", 4, 7),
    ("cidr('192.168.0.0/16').containsIP('192.169.0.1')", 5, 8),
    ("cidr('2001:db8::/32').containsIP('2001:db8:3333:4444:5555:6666:7777:8888')", 7, 10),
    ("'ABCDEFGHIJ abcdefghij'.lowerAscii()", 3, 3),
    ("'ABCDEFGHIJ abcdefghij'.upperAscii() == 'abcdefghij ABCDEFGHIJ'.upperAscii()", 7, 9),
    ("strings.quote('ABCDEFGHIJ abcdefghij')", 3, 3),
    ("strings.quote('ABCDEFGHIJ abcdefghij') == strings.quote('ABCDEFGHIJ abcdefghij')", 7, 11),
    ("'abc 123 def 123'.replace('123', '456')", 3, 3),
    ("'abc 123 def 123'.split(' ', 1)", 3, 3),
    ("'abc 123 def 123'.substring(5, 8)", 2, 2),
    ("'  abc 123 def 123  '.trim()", 2, 2),
    ("['aa', 'bb', 'cc', 'd', 'e', 'f', 'g', 'h', 'i', 'j'].join(' ')", 11, 23),
    ("['aa', 'bb', 'cc', 'd', 'e', 'f', 'g', 'h', 'i', 'j'].join()", 10, 22),
    ("'abc 123 def 123'.findAll('123', 1)", 2, 2),
    ("jsonpatch.escapeKey('abc/def~ abc/def~')", 2, 2),
    (
        "authorizer.group('apps').resource('deployments').subresource('status').namespace('test').name('backend')",
        6,
        6,
    ),
    (
        "authorizer.group('').resource('pods').fieldSelector('spec.nodeName=example-node-name.fully.qualified.domain.name.example.com')",
        1821,
        1821,
    ),
    ("authorizer.path('/healthz').check('get').allowed()", 350_003, 350_003),
    ("quantity('200M') == quantity('0.2G') && quantity('0.2G') == quantity('200M')", 3, 6),
    ("quantity('50k').add(20).sub(quantity('100k')).asInteger() > 0", 6, 6),
    ("format.named('dns1123Subdomain').value().validate('my-name')", 34, 34),
    ("format.named('dns1123Label').value() == format.named('dns1123Label').value()", 5, 11),
    ("sets.contains([1, 2, 3, 4], [2, 3])", 29, 29),
    ("!sets.equivalent([2, 1], [1])", 26, 26),
    ("sets.intersects([], [])", 21, 21),
    ("semver('1234.56789012345.67890123456789')", 4, 4),
    ("semver('1.0.0').compareTo(semver('1.2.3'))", 3, 3),
    ("{'a': 1, 'b': 2}.all(k, v, v > 0)", 37, 41),
    ("{'a': 1, 'b': 2}.exists(k, v, v > 0)", 39, 43),
    ("{'a': 1, 'b': 2}.existsOne(k, v, v > 0)", 38, 40),
    ("{'a': 1, 'b': 2}.transformMap(k, v, v < 5, v + 1)", 67, 75),
    ("{'a': 1, 'b': 2}.transformMapEntry(k, v, {k: v + 1})", 131, 131),
    ("[1, 2].transformList(i, v, v < 5, v + 1)", 27, 53),
];

#[test]
fn libraries_are_estimated_as_upstream() {
    let env = Env::mutations().variable("authorizer", Type::opaque("kubernetes.authorization.Authorizer"));
    let sizes =
        |node: Node<'_>| matches!(node.of, Type::String | Type::Bytes).then_some(Range { min: 0, max: 12 });
    for (text, min, max) in KUBERNETES {
        let estimate = env.compile(text).unwrap_or_else(|issues| panic!("{text}: {issues}")).estimate(&sizes);
        assert_eq!((estimate.min, estimate.max), (*min, *max), "{text}");
    }
}

#[test]
fn what_was_paid_is_what_was_estimated_exactly() {
    let sizes =
        |node: Node<'_>| matches!(node.of, Type::String | Type::Bytes).then_some(Range { min: 0, max: 12 });
    let exact = KUBERNETES
        .iter()
        .filter(|(text, min, max)| min == max && !text.contains('[') && !text.contains("authorizer"));
    for (text, ..) in exact.filter(|(text, ..)| !text.contains("validate")) {
        let program = Env::mutations().compile(text).expect(text);
        let none: [(&str, Value<'_>); 0] = [];
        assert_eq!(program.evaluate(&none, 1_000_000).cost, program.estimate(&sizes).max, "{text}");
    }
    let none: [(&str, Value<'_>); 0] = [];
    let program = Env::kubernetes()
        .compile("format.named('dns1123Label').value().validate('my-name')")
        .expect("it is one");
    assert_eq!(program.evaluate(&none, 1_000_000).cost, 10);
}

/// An expression, the type of its variable, sizes by path, and the least and the most it costs.
type Case = (&'static str, Type, &'static [(&'static str, u64)], u64, u64);

/// cel-go's own expectations.
#[test]
fn macros_are_estimated_as_upstream() {
    let object = Type::map(Type::String, Type::map(Type::String, Type::Int));
    let cases: [Case; 7] = [
        ("input.all(x, true)", Type::list(Type::Dyn), &[("input", 100)], 2, 302),
        (
            "input.all(x, x.all(y, true))",
            Type::list(Type::list(Type::Int)),
            &[("input", 50), ("input.@items", 10)],
            2,
            1752,
        ),
        ("input.matches('[0-9]')", Type::String, &[("input", 500)], 3, 103),
        ("bytes(input)", Type::String, &[("input", 500)], 1, 51),
        (
            "input.all(k, input[k].all(x, true))",
            object.clone(),
            &[("input", 5), ("input.@values", 10)],
            2,
            187,
        ),
        ("input.all(k, k.contains(k))", object.clone(), &[("input", 5), ("input.@keys", 10)], 2, 32),
        (
            "input.all(k, input[k].all(k, true) && k.contains(k))",
            object,
            &[("input", 2), ("input.@values", 2), ("input.@keys", 5)],
            2,
            34,
        ),
    ];
    for (text, of, hints, min, max) in cases {
        let program = Env::kubernetes().variable("input", of).compile(text).expect(text);
        let sizes = |node: Node<'_>| {
            let path = node.path.join(".");
            hints.iter().find(|(known, _)| *known == path).map(|(_, max)| Range { min: 0, max: *max })
        };
        let estimate = program.estimate(&sizes);
        assert_eq!((estimate.min, estimate.max), (min, max), "{text}");
    }
}
