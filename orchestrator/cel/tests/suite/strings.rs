//! The library of strings, with formatting.

use wherry_cel::Env;

use crate::common::{fail, hold};

#[test]
fn parts_are_found_and_taken() {
    hold(
        &Env::kubernetes(),
        "
        'hello'.charAt(4) == 'o' && 'hello'.charAt(5) == '' && 'tacocat'.charAt(3) == 'o' && '©αT'.charAt(1) == 'α'
        'hello mellow'.indexOf('') == 0 && 'hello mellow'.indexOf('ello') == 1 && 'hello mellow'.indexOf('jello') == -1
        'hello mellow'.indexOf('', 2) == 2 && 'hello mellow'.indexOf('ello', 2) == 7 && 'ta©o©αT'.indexOf('©α') == 4
        'hello mellow'.lastIndexOf('') == 12 && 'hello mellow'.lastIndexOf('ello') == 7 && 'hello mellow'.lastIndexOf('jello') == -1
        'hello mellow'.lastIndexOf('ello', 6) == 1 && 'ta©o©αT'.lastIndexOf('©', 3) == 2 && ''.indexOf('a') == -1
        'tacocat'.substring(4) == 'cat' && 'tacocat'.substring(0, 4) == 'taco' && 'ta©o©αT'.substring(2, 6) == '©o©α' && 'a'.substring(1) == ''
        ",
    );
    fail(
        &Env::kubernetes(),
        &[
            ("'tacocat'.charAt(30) == ''", "index out of range: 30"),
            ("'tacocat'.substring(40) == ''", "index out of range: 40"),
            ("'tacocat'.substring(3, 1) == ''", "invalid substring range. start: 3, end: 1"),
            ("'hello'.indexOf('l', 30) == 0", "index out of range: 30"),
            ("'hello'.lastIndexOf('l', -1) == 0", "index out of range: -1"),
        ],
    );
}

#[test]
fn texts_are_changed() {
    hold(
        &Env::kubernetes(),
        r#"
        'TacoCÆt'.lowerAscii() == 'tacocÆt' && 'TacoCÆt'.upperAscii() == 'TACOCÆT' && '  \t trim\n '.trim() == 'trim'
        'hello hello'.replace('he', 'we') == 'wello wello' && 'hello hello'.replace('he', 'we', -1) == 'wello wello'
        'hello hello'.replace('he', 'we', 1) == 'wello hello' && 'hello hello'.replace('he', 'we', 0) == 'hello hello' && 'ab'.replace('', '_') == '_a_b_'
        'hello hello'.split(' ') == ['hello', 'hello'] && 'a b c'.split(' ', 2) == ['a', 'b c'] && 'a b'.split(' ', 0) == []
        'a b'.split(' ', 1) == ['a b'] && 'a b'.split(' ', -1) == ['a', 'b'] && 'été'.split('') == ['é', 't', 'é'] && 'abc'.split('', 2) == ['a', 'bc']
        ['x', 'y'].join() == 'xy' && ['x', 'y'].join('-') == 'x-y' && [].join('-') == ''
        strings.quote('a"b\n\\') == '"a\\"b\\n\\\\"'
        "#,
    );
    hold(
        &Env::extended(),
        "'gums'.reverse() == 'smug' && cel.bind(x, 'ab', x + x) == 'abab' && {'a-b': 1}.`a-b` == 1",
    );
    assert!(Env::kubernetes().compile("'gums'.reverse()").is_err());
}

#[test]
fn values_are_formatted() {
    hold(
        &Env::kubernetes(),
        r#"
        'no args'.format([]) == 'no args' && '100%%'.format([]) == '100%' && '%s, %s!'.format(['hello', 'world']) == 'hello, world!'
        '%d %d %d'.format([dyn(1), -2, 3u]) == '1 -2 3' && '%f'.format([2.5]) == '2.500000' && '%.2f'.format([1234567.891]) == '1,234,567.89'
        '%b %b %b'.format([dyn(5), -5, true]) == '101 -101 1' && '%o'.format([11]) == '13' && '%x %X'.format([dyn(255), 'hi']) == 'ff 6869' && '%X'.format([254]) == 'FE'
        '%e'.format([2.71828]) == '2.718280\u202f\u00d7\u202f10\u2070\u2070' && '%.3e'.format([1052.032911275]) == '1.052\u202f\u00d7\u202f10\u2070\u00b3'
        '%s'.format([[dyn(1), 'a', 2.5, true, null]]) == '[1, "a", 2.500000, true, null]' && '%s'.format([{'b': 1, 'a': 2}]) == '{"a":2, "b":1}'
        '%s %s'.format([dyn(type(1)), b'xyz']) == 'int xyz' && '%s'.format([timestamp('2023-02-03T23:31:20Z')]) == '2023-02-03T23:31:20Z'
        '%s %s'.format([dyn(duration('1h45m47s')), [duration('2h')]]) == '6347s [duration("7200s")]' && '%s'.format([1.5]) == '1.5'
        "#,
    );
    fail(
        &Env::kubernetes(),
        &[
            ("'%d'.format(['a']) == ''", "decimal clause can only be used on integers, was given string"),
            ("'%s %s'.format(['a']) == ''", "index 1 out of range"),
            (
                "'%q'.format(['a']) == ''",
                "could not parse formatting clause: unrecognized formatting clause \"q\"",
            ),
            ("'%'.format([1]) == ''", "unexpected end of string"),
        ],
    );
}
