//! JSON and YAML against the schema of a kind: no panic; what is accepted prints and decodes to itself.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wherry_schema::{FieldValidation, Format, Schemas, decode, defaults};

fuzz_target!(|input: &[u8]| {
    let Some((kind, bytes)) = wherry_fuzz::kind(input) else { return };
    let schema = Schemas::builtin().kind(kind.group, kind.version, kind.kind).expect("every kind has a schema");
    for format in [Format::Json, Format::Yaml] {
        let strict = decode(bytes, format, schema, FieldValidation::Strict);
        let lenient = decode(bytes, format, schema, FieldValidation::Ignore);
        if let Ok((value, _)) = &strict {
            assert_eq!(lenient.as_ref().map(|(v, _)| v).ok(), Some(value));
        }
        let Ok((mut value, _)) = lenient else { continue };
        let printed = value.to_string();
        let (again, warnings) = decode(printed.as_bytes(), Format::Json, schema, FieldValidation::Strict)
            .unwrap_or_else(|error| panic!("{printed}: {error}"));
        assert_eq!((again.to_string(), warnings.len()), (printed, 0));
        let gvk = (kind.group, kind.version, kind.kind);
        defaults::apply(gvk, &mut value);
        let once = value.to_string();
        defaults::apply(gvk, &mut value);
        assert_eq!(value.to_string(), once, "defaulting twice is defaulting once");
    }
});
