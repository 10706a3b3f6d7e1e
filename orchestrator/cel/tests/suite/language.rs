//! The language definition: literals, operators, macros and standard functions.

use crate::common::{LIMIT, fail, hold, outcome};
use wherry_cel::{Env, Type, Value};

#[test]
fn literals_are_read() {
    hold(
        &Env::standard(),
        r#"
        0x1F == 31 && -0x10 == -16 && 7u == uint(7) && 0xFFu == 255u
        1.5e3 == 1500.0 && .5 == 0.5 && 1e-2 == 0.01 && -2.5 < 0.0
        -9223372036854775808 < 0 && 9223372036854775807 > 0
        'a\tb' == "a\tb" && r'\n' == '\\n' && '''a'b"c''' == 'a\'b"c'
        '\u00e9\x41\101\U0001F431' == 'éAA🐱' && size('🐱é') == 2
        b'abc' == bytes('abc') && b'\xff\377' == b'\xFF\xFF' && size(b'é') == 2
        [1, 2, 3,].size() == 3 && {'a': 1, 'b': 2,}['b'] == 2
        true && !false && null == null
        "#,
    );
    for text in ["1 + // one\n 1 == 2", "\"\"\"x\n\"y.\"\"\" == 'x\\n\"y.'"] {
        assert_eq!(outcome(&Env::standard(), text), "true", "{text}");
    }
}

#[test]
fn operators_bind_as_defined() {
    hold(
        &Env::standard(),
        "
        1 + 2 * 3 == 7 && (1 + 2) * 3 == 9 && 10 - 4 - 3 == 3 && 100 / 10 / 2 == 5
        7 % 4 == 3 && -7 % 4 == -3 && -7 / 2 == -3 && --1 == 1 && !!true
        true || false && false
        false ? 1 == 2 : true ? true : false
        1 in [1, 2] && !(3 in [1, 2]) && 'a' in {'a': 1} && !('b' in {'a': 1})
        1 < 2 && 2 <= 2 && 'b' > 'a' && b'b' >= b'a' && true > false
        1 < 1.5 && 2u > 1 && 1.0 <= 1u && dyn(1) == dyn(1.0) && dyn(1u) == dyn(1)
        'a' + 'b' == 'ab' && [1] + [2] == [1, 2] && b'a' + b'b' == b'ab'
        {'a': {'b': [1, 2]}}.a.b[1] == 2
        {1: 'x', 2: 'y'}[2] == 'y' && {true: 1}[true] == 1 && {1u: 1}[1u] == 1 && {1: 2}[dyn(1.0)] == 2
        [1, 2] == [1, 2] && [1, 2] != [2, 1] && {'a': 1, 'b': 2} == {'b': 2, 'a': 1}
        dyn('1') != dyn(1) && dyn([1]) != dyn({'a': 1}) && dyn([1.0]) == dyn([1])
        type(1) == int && type('') == string && type(type(1)) == type && type([]) == list && type({}) == map
        type(1u) == uint && type(1.0) == double && type(b'') == bytes && type(null) == null_type && type(true) == bool
        type(duration('1s')) == google.protobuf.Duration && type(timestamp(0)) == google.protobuf.Timestamp
        ",
    );
}

#[test]
fn logic_absorbs_errors_of_the_other_side() {
    hold(
        &Env::standard(),
        "
        true || 1 / 0 == 1
        1 / 0 == 1 || true
        !(false && 1 / 0 == 1)
        !(1 / 0 == 1 && false)
        [0, 1].exists(x, 1 / x == 1)
        ![1, 0].all(x, 1 / x == 2)
        ",
    );
    fail(
        &Env::standard(),
        &[
            ("false || 1 / 0 == 1", "division by zero"),
            ("1 / 0 == 1 && true", "division by zero"),
            ("[0].all(x, 1 / x == 1)", "division by zero"),
            ("dyn(1) && true", "no such overload"),
        ],
    );
}

#[test]
fn what_has_no_value_is_an_error() {
    fail(
        &Env::standard(),
        &[
            ("9223372036854775807 + 1 == 0", "integer overflow"),
            ("-9223372036854775808 - 1 == 0", "integer overflow"),
            ("-(-9223372036854775808) == 0", "integer overflow"),
            ("-9223372036854775808 / -1 == 0", "integer overflow"),
            ("18446744073709551615u + 1u == 0u", "unsigned integer overflow"),
            ("0u - 1u == 0u", "unsigned integer overflow"),
            ("1 % 0 == 0", "modulus by zero"),
            ("{'a': 1}.b == 1", "no such key: b"),
            ("{'a': 1}['b'] == 1", "no such key: b"),
            ("[1][1] == 1", "index out of bounds: 1"),
            ("[1][-1] == 1", "index out of bounds: -1"),
            ("dyn('a') + 1 == 1", "no such overload"),
            ("dyn('a').size() + dyn(1).size() == 1", "no such overload: size(int)"),
            ("{'a': 1, 'a': 2} == {}", "Failed with repeated key: a"),
            ("int('x') == 1", "strconv.ParseInt: parsing \"x\": invalid syntax"),
            ("int(1e30) == 1", "integer overflow"),
            ("uint(-1) == 1u", "unsigned integer overflow"),
            ("string(b'\\xff') == ''", "invalid UTF-8 in bytes, cannot convert to string"),
            ("timestamp(253402300800) == timestamp(0)", "timestamp overflow"),
            ("dyn('a').matches(string('[')) || false", "error parsing regexp: invalid pattern: `[`"),
        ],
    );
}

#[test]
fn macros_expand() {
    hold(
        &Env::standard(),
        "
        [1, 2, 3].all(x, x > 0) && ![1, 2].all(x, x > 1) && [].all(x, x > 1)
        [1, 2, 3].exists(x, x == 2) && ![].exists(x, true)
        [1, 2, 2].exists_one(x, x == 1) && ![1, 2, 2].exists_one(x, x == 2)
        [1, 2, 3].map(x, x * x) == [1, 4, 9] && [1, 2, 3].map(x, x > 1, x * 2) == [4, 6]
        [1, 2, 3].filter(x, x % 2 == 1) == [1, 3]
        {'a': 1, 'b': 2}.all(k, k in ['a', 'b']) && {'a': 1}.exists(k, k == 'a')
        {'a': 1, 'b': 2}.map(k, k) == ['a', 'b'] && {'a': 1, 'b': 2}.filter(k, k != 'a') == ['b']
        [[1, 2], [3]].map(x, x.map(y, y + 1)) == [[2, 3], [4]]
        [1, 2].all(x, [3, 4].exists(y, y == x + 2))
        has({'a': 1}.a) && !has({'a': 1}.b) && !has({'a': {}}.a.b)
        ",
    );
}

#[test]
fn strings_and_conversions_work() {
    hold(
        &Env::standard(),
        r"
        'abc'.contains('b') && 'abc'.startsWith('ab') && 'abc'.endsWith('bc') && 'abc'.contains('')
        'abc'.matches('^[a-c]+$') && !'abd'.matches('^[a-c]+$') && matches('abc', 'b') && 'a1'.matches(r'\d')
        size('abc') == 3 && 'é'.size() == 1 && size([1]) == 1 && {'a': 1}.size() == 1
        int('42') == 42 && int(42u) == 42 && int(4.9) == 4 && int(-4.9) == -4 && int(timestamp('1970-01-01T00:01:00Z')) == 60
        uint('42') == 42u && uint(4.9) == 4u && double('1.5') == 1.5 && double(3) == 3.0
        string(42) == '42' && string(1.5) == '1.5' && string(true) == 'true' && string(b'abc') == 'abc' && string(4u) == '4'
        string(1e21) == '1e+21' && string(1000000.0) == '1e+06' && string(0.00001) == '1e-05' && string(-4500.0) == '-4500'
        string(duration('1h1.5s')) == '3601.5s' && string(timestamp('2009-02-13T23:31:30+01:00')) == '2009-02-13T22:31:30Z'
        bool('true') && !bool('False') && bytes('é') == b'\xc3\xa9'
        ",
    );
}

#[test]
fn times_and_durations_work() {
    hold(
        &Env::standard(),
        "
        timestamp('2009-02-13T23:31:30Z').getFullYear() == 2009 && timestamp('2009-02-13T23:31:30Z').getMonth() == 1
        timestamp('2009-02-13T23:31:30Z').getDate() == 13 && timestamp('2009-02-13T23:31:30Z').getDayOfMonth() == 12
        timestamp('2009-02-13T23:31:30Z').getDayOfWeek() == 5 && timestamp('2009-02-13T23:31:30Z').getDayOfYear() == 43
        timestamp('2009-02-13T23:31:30Z').getHours() == 23 && timestamp('2009-02-13T23:31:30.123Z').getMilliseconds() == 123
        timestamp('2009-02-13T23:31:30Z').getHours('America/Phoenix') == 16
        timestamp('2009-02-13T23:31:30Z').getDate('Australia/Sydney') == 14
        timestamp('2009-02-13T23:31:30Z').getMinutes('-00:30') == 1 && timestamp('2009-02-13T23:31:30Z').getHours('+02:00') == 1
        duration('90m').getHours() == 1 && duration('90m').getMinutes() == 90 && duration('1.5s').getMilliseconds() == 1500
        timestamp('2009-02-13T00:00:00Z') + duration('24h') == timestamp('2009-02-14T00:00:00Z')
        timestamp('2009-02-14T00:00:00Z') - timestamp('2009-02-13T00:00:00Z') == duration('24h')
        duration('1h') - duration('30m') == duration('1800s') && duration('1s') < duration('1m')
        timestamp('2009-02-13T23:31:30Z') > timestamp(0)
        ",
    );
    fail(
        &Env::standard(),
        &[
            ("timestamp(0).getHours('Nowhere/Land') == 0", "unknown time zone Nowhere/Land"),
            ("timestamp('9999-12-31T23:59:59Z') + duration('1s') == timestamp(0)", "timestamp overflow"),
        ],
    );
}

#[test]
fn the_type_of_the_result_is_known() {
    let env = Env::standard().variable("any", Type::Dyn).variable("names", Type::list(Type::String));
    for (text, of) in [
        ("1 + 1", "int"),
        ("[1].map(x, string(x))", "list(string)"),
        ("{'a': [1.0]}", "map(string, list(double))"),
        ("any.x", "dyn"),
        ("names[0]", "string"),
        ("names.filter(n, n != '')", "list(string)"),
        ("true ? any : 1", "dyn"),
        ("type(1)", "type(int)"),
        ("[]", "list(dyn)"),
    ] {
        assert_eq!(env.compile(text).expect(text).result_type().to_string(), of, "{text}");
    }
}

#[test]
fn evaluation_stops_at_its_limit() {
    let env = Env::standard();
    let text =
        "[1,2,3,4,5,6,7,8,9].all(a, [1,2,3,4,5,6,7,8,9].all(b, [1,2,3,4,5,6,7,8,9].all(c, true))) || true";
    let program = env.compile(text).expect("it is an expression");
    let none: [(&str, Value<'_>); 0] = [];
    let stopped = program.evaluate(&none, 1000);
    assert_eq!(
        stopped.result.map(|_| ()).unwrap_err().to_string(),
        "operation cancelled: actual cost limit exceeded"
    );
    assert!(program.evaluate(&none, LIMIT).result.is_ok());
}
