//! Server-side apply: a kind, then configurations and updates of an object by several managers, each ended by a zero
//! byte. No panic; force has no conflicts; what was applied changes nothing when it is applied again and again; owners survive their form in
//! objects; and any JSON is a list of owners or is refused.
#![no_main]

use std::borrow::Cow;

use libfuzzer_sys::fuzz_target;
use wherry_schema::managed::{ApplyError, Owners, Set, Versions, Write};
use wherry_schema::{FieldValidation, Format, Schema, Schemas, Value, decode};

/// One version of one kind.
struct One<'a>(&'a str, &'static Schema);

impl Versions for One<'_> {
    fn convert<'v>(&self, object: &'v Value, api_version: &str) -> Option<(Cow<'v, Value>, &'static Schema)> {
        (api_version == self.0).then_some((Cow::Borrowed(object), self.1))
    }
}

fuzz_target!(|input: &[u8]| {
    let Some((kind, rest)) = wherry_fuzz::kind(input) else { return };
    let schema = Schemas::builtin().kind(kind.group, kind.version, kind.kind).expect("every kind has a schema");
    let (api_version, ignored) = (kind.api_version(), Set::default());
    let versions = One(&api_version, schema);
    let mut object = Value::from_json(b"{\"metadata\":{}}").expect("it is JSON");
    let mut owners = Owners::default();
    for step in rest.split(|byte| *byte == 0).take(8) {
        let Some((how, bytes)) = step.split_first() else { continue };
        if let Ok(list) = Value::from_json(bytes)
            && let Ok(read) = Owners::read(Some(&list))
        {
            same_after_writing(&read);
        }
        let Ok((config, _)) = decode(bytes, Format::Json, schema, FieldValidation::Ignore) else { continue };
        let write = Write {
            manager: ["a", "b", "kubectl"][usize::from(how >> 2) % 3],
            api_version: &api_version,
            subresource: "",
            schema,
            ignored: &ignored,
            now: "2026-01-01T00:00:00Z",
            versions: &versions,
        };
        let before = (object.clone(), owners.clone());
        if how & 1 == 0 {
            if owners.update(&object, &config, &write).is_ok() {
                object = config;
            } else {
                (object, owners) = before;
            }
            continue;
        }
        let force = how & 2 != 0;
        match owners.apply(&object, &config, force, &write) {
            Ok(changed) => object = changed.map_or(object, |changed| stored(&changed, schema)),
            Err(error) => {
                assert!(!(force && matches!(error, ApplyError::Conflicts(_))), "force has no conflicts: {error}");
                (object, owners) = before;
                continue;
            }
        }
        // As upstream, an empty map whose last field was pruned is there only when it is applied again; and who applies one
        // that is not stored conflicts with whoever else applied it, so that is by force.
        let (mut again, mut settled) = (owners.clone(), object.clone());
        for round in 0..2 {
            let changed = again.apply(&settled, &config, true, &write).expect("it was applied before");
            let after = changed.map_or(settled.clone(), |changed| stored(&changed, schema));
            assert!(round == 0 || after == settled, "applied again and again, it goes on changing the object");
            settled = after;
        }
        same_after_writing(&again);
    }
});

/// An object as it is stored: what became empty is left out.
fn stored(object: &Value, schema: &'static Schema) -> Value {
    let text = object.to_string();
    decode(text.as_bytes(), Format::Json, schema, FieldValidation::Ignore).expect("what is applied has its schema").0
}

fn same_after_writing(owners: &Owners) {
    let written = owners.write();
    let again = Owners::read(written.as_ref()).expect("what is written can be read");
    assert_eq!(again.write().map(|v| v.to_string()), written.map(|v| v.to_string()));
}
