//! Expressions against data: parsing, checking, estimating and evaluating never panic, and what is evaluated again gives
//! the same and costs the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wherry_cel::{Env, Node, Type, Value};

fuzz_target!(|text: &str| {
    let env = Env::extended()
        .variable("self", Type::Dyn)
        .variable("text", Type::String)
        .variable("list", Type::list(Type::Int))
        .variable("map", Type::map(Type::String, Type::Int));
    let Ok(program) = env.compile(text) else { return };
    let range = program.estimate(&|_: Node<'_>| None);
    assert!(range.min <= range.max, "{text}: {range:?}");
    let list = Value::list(vec![Value::Int(1), Value::Int(i64::MIN), Value::Int(0)]);
    let variables = [("self", Value::from("2020-01-01T00:00:00Z")), ("text", Value::from("é a+b")), ("list", list)];
    let (first, second) = (program.evaluate(&variables, 20_000), program.evaluate(&variables, 20_000));
    assert_eq!(first.cost, second.cost, "{text}");
    assert_eq!(format!("{:?}", first.result), format!("{:?}", second.result), "{text}");
});
