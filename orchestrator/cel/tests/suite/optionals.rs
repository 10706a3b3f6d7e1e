//! Values that may be missing, and the syntax for them.

use wherry_cel::Env;

use crate::common::{fail, hold, outcome};

#[test]
fn optionals_hold_or_do_not() {
    hold(
        &Env::kubernetes(),
        "
        optional.of(1).hasValue() && !optional.none().hasValue() && optional.of(1).value() == 1
        !optional.ofNonZeroValue(0).hasValue() && !optional.ofNonZeroValue('').hasValue() && optional.ofNonZeroValue([1]).hasValue()
        optional.of(1).or(optional.of(2)).value() == 1 && optional.none().or(optional.of(2)).value() == 2
        optional.of(1).orValue(2) == 1 && optional.none().orValue(2) == 2 && optional.of(1).orValue(1 / 0) == 1
        optional.of(1) == optional.of(1) && optional.none() == optional.none() && optional.of(1) != optional.none()
        optional.of(2).optMap(x, x * 2).value() == 4 && !optional.none().optMap(x, 1).hasValue()
        optional.of(2).optFlatMap(x, x > 1 ? optional.of(x) : optional.none()).value() == 2
        optional.unwrap([optional.of(1), optional.none()]) == [1] && [optional.of(1)].unwrapOpt() == [1]
        [1, 2].first().value() == 1 && [1, 2].last().value() == 2 && ![].first().hasValue()
        type(optional.none()) == optional_type
        ",
    );
    fail(&Env::kubernetes(), &[("optional.none().value() == 1", "optional.none() dereference")]);
}

#[test]
fn fields_keys_and_items_are_asked_for() {
    hold(
        &Env::kubernetes(),
        "
        {'a': 1}.?a.value() == 1 && !{'a': 1}.?b.hasValue() && {'a': {'b': 1}}.?a.b == optional.of(1)
        {'a': {'b': 1}}.?a.?b.orValue(0) == 1 && {'a': {'b': 1}}.?x.b.orValue(0) == 0 && has({'a': {'b': 1}}.?a.b)
        [1, 2][?1].value() == 2 && ![1, 2][?5].hasValue() && {'a': 1}[?'a'].value() == 1 && {'a': [1]}.?a[0].orValue(0) == 1
        [?optional.of(1), ?optional.none(), 3] == [1, 3] && {?'a': optional.none(), 'b': 1} == {'b': 1}
        ",
    );
    let printed = outcome(&Env::kubernetes(), "'a' == optional.of('a')");
    let expected = "ERROR: <input>:1:5: found no matching overload for '_==_' applied to '(string, optional_type(string))'";
    assert_eq!(printed.lines().next(), Some(expected));
    assert!(Env::standard().compile("{'a': 1}.?a").is_err());
}
