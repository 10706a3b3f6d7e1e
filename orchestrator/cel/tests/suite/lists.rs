//! The libraries of lists, and the macros with two variables.

use wherry_cel::Env;

use crate::common::{fail, hold};

#[test]
fn lists_are_measured() {
    hold(
        &Env::kubernetes(),
        "
        [1, 2, 2].isSorted() && !['b', 'a'].isSorted() && [].isSorted() && [duration('1s'), duration('1m')].isSorted()
        [1, 3].sum() == 4 && [1.5, 2.5].sum() == 4.0 && [1u, 2u].sum() == 3u && [duration('1s'), duration('1m')].sum() == duration('61s')
        [1, 3, 2].min() == 1 && [1, 3, 2].max() == 3 && ['a', 'c', 'b'].max() == 'c' && [true, false].min() == false
        [1, 2, 2].indexOf(2) == 1 && [1, 2, 2].lastIndexOf(2) == 2 && ['a'].indexOf('b') == -1
        ",
    );
    fail(&Env::kubernetes(), &[("[1].filter(x, x > 1).min() == 1", "min called on empty list")]);
}

#[test]
fn lists_are_rearranged() {
    hold(
        &Env::kubernetes(),
        "
        [1, 2, 3, 4].slice(1, 3) == [2, 3] && [1].slice(0, 0) == []
        [[1, 2], [3]].flatten() == [1, 2, 3] && [dyn(1), [dyn(2), [dyn(3), [4]]]].flatten(2) == [dyn(1), 2, 3, [4]]
        lists.range(4) == [0, 1, 2, 3] && [1, 2, 3].reverse() == [3, 2, 1] && [dyn(1), 2, 1, 'b', 'b'].distinct() == [dyn(1), 2, 'b']
        [3, 1, 2].sort() == [1, 2, 3] && ['b', 'a'].sort() == ['a', 'b'] && [3.5, 1.5].sort() == [1.5, 3.5]
        [{'n': 'b', 's': '2'}, {'n': 'a', 's': '1'}].sortBy(e, e.s).map(e, e.n) == ['a', 'b'] && [1, 3, 2].sortBy(e, -e) == [3, 2, 1]
        ",
    );
    fail(
        &Env::kubernetes(),
        &[
            ("[1].slice(0, 2) == []", "cannot slice(0, 2), list is length 1"),
            (
                "[1].slice(1, 0) == []",
                "cannot slice(1, 0), start index must be less than or equal to end index",
            ),
            ("[1].slice(-1, 0) == []", "cannot slice(-1, 0), negative indexes not supported"),
            ("lists.range(-1) == []", "lists.range: size must be non-negative, got -1"),
        ],
    );
}

#[test]
fn macros_take_two_variables() {
    hold(
        &Env::kubernetes(),
        "
        [1, 2].all(i, v, v == i + 1) && {'a': 1, 'b': 2}.all(k, v, k == 'a' ? v == 1 : v == 2)
        ['x', 'y'].exists(i, v, i == 1 && v == 'y') && !{'a': 1}.exists(k, v, v == 2)
        [1, 2, 2].existsOne(i, v, v == 1) && ![2, 2].existsOne(i, v, v == 2) && [1, 2].existsOne(v, v == 1)
        [1, 2, 3].transformList(i, v, i * v) == [0, 2, 6] && [1, 2, 3].transformList(i, v, i > 0, v) == [2, 3]
        {'a': 1}.transformList(k, v, k + string(v)) == ['a1'] && [].transformList(i, v, v) == []
        [5, 6].transformMap(i, v, v * 2) == {0: 10, 1: 12} && {'a': 1, 'b': 2}.transformMap(k, v, v > 1, v + 1) == {'b': 3}
        {'a': 'x', 'b': 'y'}.transformMapEntry(k, v, {v: k}) == {'x': 'a', 'y': 'b'}
        ",
    );
    fail(
        &Env::kubernetes(),
        &[(
            "{'a': 'x', 'b': 'x'}.transformMapEntry(k, v, {v: k}) == {}",
            "insert failed: key x already exists",
        )],
    );
}

#[test]
fn what_grows_without_cost_is_bounded() {
    let text = "a".repeat(1000);
    fail(
        &Env::kubernetes(),
        &[
            (
                &format!("[lists.range(100000)]{}.size() > 0", ".map(x, x + x)".repeat(4)),
                "resulting list is too large",
            ),
            (
                &format!("['{text}']{}.size() > 0", ".map(x, x.replace('', x))".repeat(2)),
                "resulting string is too large",
            ),
            (
                "[lists.range(50000)].map(x, lists.range(30).map(y, x)).flatten(2).size() > 0",
                "resulting list is too large",
            ),
            (
                "lists.range(2000000).size() > 0",
                "lists.range: size 2000000 exceeds maximum allowed (1000000)",
            ),
        ],
    );
}

#[test]
fn long_lists_do_not_grow_by_copies() {
    let text =
        "lists.range(2000).map(x, x).size() == 2000 && (lists.range(100) + lists.range(100))[150] == 50";
    hold(&Env::kubernetes(), text);
}
