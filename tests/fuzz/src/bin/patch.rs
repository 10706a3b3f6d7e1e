//! An object and a patch of each type: no panic; a merge patch applied twice is a merge patch applied once.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wherry_schema::{Schemas, Value, patch};

fuzz_target!(|input: &[u8]| {
    let Some((kind, rest)) = wherry_fuzz::kind(input) else { return };
    let Some((object, change)) = wherry_fuzz::halves(rest) else { return };
    let (Ok(object), Ok(change)) = (Value::from_json(object), Value::from_json(change)) else { return };
    let schema = Schemas::builtin().kind(kind.group, kind.version, kind.kind).expect("every kind has a schema");
    let mut patched = object.clone();
    if patch::merge_patch(&mut patched, &change).is_ok() {
        let once = patched.to_string();
        patch::merge_patch(&mut patched, &change).expect("it was accepted before");
        assert_eq!(patched.to_string(), once);
    }
    let mut patched = object.clone();
    let _ = patch::strategic_merge(&mut patched, &change, schema);
    let mut patched = object;
    let _ = patch::json_patch(&mut patched, &change);
});
