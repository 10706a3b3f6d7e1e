//! The messages of gnostic's `OpenAPIv2.proto`: a table of fields each.

use serde_json::Value;

/// How a field of JSON is written.
pub(super) enum Kind {
    Text,
    Texts,
    Flag,
    Integer,
    Number,
    /// Of any shape.
    Any,
    Anys,
    /// A message.
    One(&'static Message),
    /// A list of messages.
    Many(&'static Message),
    /// Messages by name, in a message of their own.
    Named(&'static Message),
    /// The message that a value is decides about.
    Choice(fn(&Value) -> Chosen),
    Choices(fn(&Value) -> Chosen),
    NamedChoices(fn(&Value) -> Chosen),
    /// The same with room for names that begin with `x-`.
    Open {
        entries: u32,
        extensions: u32,
        choose: fn(&Value) -> Chosen,
    },
    /// A text, or a list of texts, in a message of its own.
    Types,
    /// One schema, in a message of its own.
    Items,
    /// Lists of texts by name, in messages of their own.
    Requirements,
}

/// A field: its name in JSON, its number, how it is written.
pub(super) type Field = (&'static str, u32, Kind);

pub(super) struct Message {
    pub(super) fields: &'static [Field],
    /// The number of the field that takes names beginning with `x-`.
    pub(super) extensions: Option<u32>,
}

/// What a value is.
#[derive(Clone, Copy)]
pub(super) enum Chosen {
    /// A message, in these members of unions, from the outside in.
    Message(&'static [u32], &'static Message),
    /// A flag, in this member.
    Flag(u32, bool),
}

pub(super) static DOCUMENT: Message = Message {
    fields: &[
        ("swagger", 1, Kind::Text),
        ("info", 2, Kind::One(&INFO)),
        ("host", 3, Kind::Text),
        ("basePath", 4, Kind::Text),
        ("schemes", 5, Kind::Texts),
        ("consumes", 6, Kind::Texts),
        ("produces", 7, Kind::Texts),
        ("paths", 8, Kind::Open { entries: 2, extensions: 1, choose: path }),
        ("definitions", 9, Kind::Named(&SCHEMA)),
        ("parameters", 10, Kind::NamedChoices(parameter)),
        ("responses", 11, Kind::Named(&RESPONSE)),
        ("security", 12, Kind::Requirements),
        ("securityDefinitions", 13, Kind::NamedChoices(security)),
        ("tags", 14, Kind::Many(&TAG)),
        ("externalDocs", 15, Kind::One(&EXTERNAL)),
    ],
    extensions: Some(16),
};

static INFO: Message = Message {
    fields: &[
        ("title", 1, Kind::Text),
        ("version", 2, Kind::Text),
        ("description", 3, Kind::Text),
        ("termsOfService", 4, Kind::Text),
        ("contact", 5, Kind::One(&CONTACT)),
        ("license", 6, Kind::One(&LICENSE)),
    ],
    extensions: Some(7),
};

static CONTACT: Message = Message {
    fields: &[("name", 1, Kind::Text), ("url", 2, Kind::Text), ("email", 3, Kind::Text)],
    extensions: Some(4),
};

static LICENSE: Message =
    Message { fields: &[("name", 1, Kind::Text), ("url", 2, Kind::Text)], extensions: Some(3) };

static TAG: Message = Message {
    fields: &[
        ("name", 1, Kind::Text),
        ("description", 2, Kind::Text),
        ("externalDocs", 3, Kind::One(&EXTERNAL)),
    ],
    extensions: Some(4),
};

static EXTERNAL: Message =
    Message { fields: &[("description", 1, Kind::Text), ("url", 2, Kind::Text)], extensions: Some(3) };

static PATH_ITEM: Message = Message {
    fields: &[
        ("$ref", 1, Kind::Text),
        ("get", 2, Kind::One(&OPERATION)),
        ("put", 3, Kind::One(&OPERATION)),
        ("post", 4, Kind::One(&OPERATION)),
        ("delete", 5, Kind::One(&OPERATION)),
        ("options", 6, Kind::One(&OPERATION)),
        ("head", 7, Kind::One(&OPERATION)),
        ("patch", 8, Kind::One(&OPERATION)),
        ("parameters", 9, Kind::Choices(parameters_item)),
    ],
    extensions: Some(10),
};

static OPERATION: Message = Message {
    fields: &[
        ("tags", 1, Kind::Texts),
        ("summary", 2, Kind::Text),
        ("description", 3, Kind::Text),
        ("externalDocs", 4, Kind::One(&EXTERNAL)),
        ("operationId", 5, Kind::Text),
        ("produces", 6, Kind::Texts),
        ("consumes", 7, Kind::Texts),
        ("parameters", 8, Kind::Choices(parameters_item)),
        ("responses", 9, Kind::Open { entries: 1, extensions: 2, choose: response }),
        ("schemes", 10, Kind::Texts),
        ("deprecated", 11, Kind::Flag),
        ("security", 12, Kind::Requirements),
    ],
    extensions: Some(13),
};

static REFERENCE: Message =
    Message { fields: &[("$ref", 1, Kind::Text), ("description", 2, Kind::Text)], extensions: None };

static BODY: Message = Message {
    fields: &[
        ("description", 1, Kind::Text),
        ("name", 2, Kind::Text),
        ("in", 3, Kind::Text),
        ("required", 4, Kind::Flag),
        ("schema", 5, Kind::One(&SCHEMA)),
    ],
    extensions: Some(6),
};

/// Parameters in headers and paths.
static PLAIN_PARAMETER: Message = Message {
    fields: &[
        ("required", 1, Kind::Flag),
        ("in", 2, Kind::Text),
        ("description", 3, Kind::Text),
        ("name", 4, Kind::Text),
        ("type", 5, Kind::Text),
        ("format", 6, Kind::Text),
        ("items", 7, Kind::One(&PRIMITIVE)),
        ("collectionFormat", 8, Kind::Text),
        ("default", 9, Kind::Any),
        ("maximum", 10, Kind::Number),
        ("exclusiveMaximum", 11, Kind::Flag),
        ("minimum", 12, Kind::Number),
        ("exclusiveMinimum", 13, Kind::Flag),
        ("maxLength", 14, Kind::Integer),
        ("minLength", 15, Kind::Integer),
        ("pattern", 16, Kind::Text),
        ("maxItems", 17, Kind::Integer),
        ("minItems", 18, Kind::Integer),
        ("uniqueItems", 19, Kind::Flag),
        ("enum", 20, Kind::Anys),
        ("multipleOf", 21, Kind::Number),
    ],
    extensions: Some(22),
};

/// Parameters that may be empty: in queries and forms.
static EMPTY_PARAMETER: Message = Message {
    fields: &[
        ("required", 1, Kind::Flag),
        ("in", 2, Kind::Text),
        ("description", 3, Kind::Text),
        ("name", 4, Kind::Text),
        ("allowEmptyValue", 5, Kind::Flag),
        ("type", 6, Kind::Text),
        ("format", 7, Kind::Text),
        ("items", 8, Kind::One(&PRIMITIVE)),
        ("collectionFormat", 9, Kind::Text),
        ("default", 10, Kind::Any),
        ("maximum", 11, Kind::Number),
        ("exclusiveMaximum", 12, Kind::Flag),
        ("minimum", 13, Kind::Number),
        ("exclusiveMinimum", 14, Kind::Flag),
        ("maxLength", 15, Kind::Integer),
        ("minLength", 16, Kind::Integer),
        ("pattern", 17, Kind::Text),
        ("maxItems", 18, Kind::Integer),
        ("minItems", 19, Kind::Integer),
        ("uniqueItems", 20, Kind::Flag),
        ("enum", 21, Kind::Anys),
        ("multipleOf", 22, Kind::Number),
    ],
    extensions: Some(23),
};

static PRIMITIVE: Message = Message {
    fields: &[
        ("type", 1, Kind::Text),
        ("format", 2, Kind::Text),
        ("items", 3, Kind::One(&PRIMITIVE)),
        ("collectionFormat", 4, Kind::Text),
        ("default", 5, Kind::Any),
        ("pattern", 12, Kind::Text),
        ("uniqueItems", 15, Kind::Flag),
        ("enum", 16, Kind::Anys),
    ],
    extensions: Some(18),
};

static RESPONSE: Message = Message {
    fields: &[("description", 1, Kind::Text), ("schema", 2, Kind::Choice(response_schema))],
    extensions: Some(5),
};

pub(super) static SCHEMA: Message = Message {
    fields: &[
        ("$ref", 1, Kind::Text),
        ("format", 2, Kind::Text),
        ("title", 3, Kind::Text),
        ("description", 4, Kind::Text),
        ("default", 5, Kind::Any),
        ("multipleOf", 6, Kind::Number),
        ("maximum", 7, Kind::Number),
        ("exclusiveMaximum", 8, Kind::Flag),
        ("minimum", 9, Kind::Number),
        ("exclusiveMinimum", 10, Kind::Flag),
        ("maxLength", 11, Kind::Integer),
        ("minLength", 12, Kind::Integer),
        ("pattern", 13, Kind::Text),
        ("maxItems", 14, Kind::Integer),
        ("minItems", 15, Kind::Integer),
        ("uniqueItems", 16, Kind::Flag),
        ("maxProperties", 17, Kind::Integer),
        ("minProperties", 18, Kind::Integer),
        ("required", 19, Kind::Texts),
        ("enum", 20, Kind::Anys),
        ("additionalProperties", 21, Kind::Choice(additional)),
        ("type", 22, Kind::Types),
        ("items", 23, Kind::Items),
        ("allOf", 24, Kind::Many(&SCHEMA)),
        ("properties", 25, Kind::Named(&SCHEMA)),
        ("discriminator", 26, Kind::Text),
        ("readOnly", 27, Kind::Flag),
        ("externalDocs", 29, Kind::One(&EXTERNAL)),
        ("example", 30, Kind::Any),
    ],
    extensions: Some(31),
};

static BASIC: Message =
    Message { fields: &[("type", 1, Kind::Text), ("description", 2, Kind::Text)], extensions: Some(3) };

static API_KEY: Message = Message {
    fields: &[
        ("type", 1, Kind::Text),
        ("name", 2, Kind::Text),
        ("in", 3, Kind::Text),
        ("description", 4, Kind::Text),
    ],
    extensions: Some(5),
};

pub(super) fn parameters_item(value: &Value) -> Chosen {
    if value.get("$ref").is_some() {
        return Chosen::Message(&[2], &REFERENCE);
    }
    match location(value) {
        "body" => Chosen::Message(&[1, 1], &BODY),
        "header" => Chosen::Message(&[1, 2, 1], &PLAIN_PARAMETER),
        "formData" => Chosen::Message(&[1, 2, 2], &EMPTY_PARAMETER),
        "path" => Chosen::Message(&[1, 2, 4], &PLAIN_PARAMETER),
        _ => Chosen::Message(&[1, 2, 3], &EMPTY_PARAMETER),
    }
}

fn parameter(value: &Value) -> Chosen {
    match location(value) {
        "body" => Chosen::Message(&[1], &BODY),
        "header" => Chosen::Message(&[2, 1], &PLAIN_PARAMETER),
        "formData" => Chosen::Message(&[2, 2], &EMPTY_PARAMETER),
        "path" => Chosen::Message(&[2, 4], &PLAIN_PARAMETER),
        _ => Chosen::Message(&[2, 3], &EMPTY_PARAMETER),
    }
}

fn location(parameter: &Value) -> &str {
    parameter.get("in").and_then(Value::as_str).unwrap_or_default()
}

fn path(_: &Value) -> Chosen {
    Chosen::Message(&[], &PATH_ITEM)
}

fn response(value: &Value) -> Chosen {
    match value.get("$ref") {
        Some(_) => Chosen::Message(&[2], &REFERENCE),
        None => Chosen::Message(&[1], &RESPONSE),
    }
}

fn response_schema(_: &Value) -> Chosen {
    Chosen::Message(&[1], &SCHEMA)
}

fn additional(value: &Value) -> Chosen {
    value.as_bool().map_or(Chosen::Message(&[1], &SCHEMA), |flag| Chosen::Flag(2, flag))
}

fn security(value: &Value) -> Chosen {
    match value.get("type").and_then(Value::as_str) {
        Some("basic") => Chosen::Message(&[1], &BASIC),
        _ => Chosen::Message(&[2], &API_KEY),
    }
}
