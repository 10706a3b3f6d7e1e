//! Messages, as values and as bytes.

use crate::wire::{Malformed, Reader, Writer};

/// The longest message that is read.
const LONGEST: usize = 1 << 20;
/// Bytes that every message begins with: order, kind, flags, version, length of the body, serial, length of the fields.
pub(crate) const PREFIX: usize = 16;
const VERSION: u8 = 1;

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Somebody is to do something and to answer.
    Call,
    /// It was done.
    Return,
    /// It was not.
    Error,
    /// Something happened.
    Signal,
}

/// A part of what a message says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A small number.
    Byte(u8),
    /// Yes or no.
    Bool(bool),
    /// A number of 16 bits.
    U16(u16),
    /// A number.
    I32(i32),
    /// A number.
    U32(u32),
    /// A large number. Those with a sign, and fractions, are read as their bits.
    U64(u64),
    /// A text.
    Text(String),
    /// The path of an object.
    Path(String),
    /// Types of values.
    Signature(String),
    /// One of the message's files, by its number.
    File(u32),
    /// A value that says of which type it is.
    Variant(Box<Value>),
}

/// Who is to do what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call<'a> {
    /// Who.
    pub destination: &'a str,
    /// The object.
    pub path: &'a str,
    /// What the method belongs to.
    pub interface: &'a str,
    /// The method.
    pub member: &'a str,
}

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// What it is.
    pub kind: Kind,
    /// Its number among those of its sender.
    pub serial: u32,
    /// The number of the call that it answers.
    pub answers: Option<u32>,
    /// The object it is about.
    pub path: Option<String>,
    /// What its member belongs to.
    pub interface: Option<String>,
    /// The method or signal.
    pub member: Option<String>,
    /// What went wrong.
    pub error: Option<String>,
    /// Whom it is for.
    pub destination: Option<String>,
    /// Who sent it, as the bus says.
    pub sender: Option<String>,
    /// How many files go with it.
    pub files: u32,
    /// What it says.
    pub body: Vec<Value>,
}

/// The fields of a message's header by their numbers.
mod field {
    pub(super) const PATH: u8 = 1;
    pub(super) const INTERFACE: u8 = 2;
    pub(super) const MEMBER: u8 = 3;
    pub(super) const ERROR: u8 = 4;
    pub(super) const ANSWERS: u8 = 5;
    pub(super) const DESTINATION: u8 = 6;
    pub(super) const SENDER: u8 = 7;
    pub(super) const SIGNATURE: u8 = 8;
    pub(super) const FILES: u8 = 9;
}

impl Message {
    /// One of this kind that says nothing yet.
    fn new(kind: Kind) -> Self {
        Self {
            kind,
            serial: 0,
            answers: None,
            path: None,
            interface: None,
            member: None,
            error: None,
            destination: None,
            sender: None,
            files: 0,
            body: Vec::new(),
        }
    }

    /// A call.
    pub fn call(call: Call<'_>, body: Vec<Value>) -> Self {
        Self {
            path: Some(call.path.to_owned()),
            interface: Some(call.interface.to_owned()),
            member: Some(call.member.to_owned()),
            destination: Some(call.destination.to_owned()),
            body,
            ..Self::new(Kind::Call)
        }
    }

    /// The answer to a call.
    pub fn answer(call: &Self, body: Vec<Value>) -> Self {
        Self { answers: Some(call.serial), destination: call.sender.clone(), body, ..Self::new(Kind::Return) }
    }

    /// A signal of an object.
    pub fn signal(path: &str, interface: &str, member: &str, body: Vec<Value>) -> Self {
        let (path, interface) = (Some(path.to_owned()), Some(interface.to_owned()));
        Self { path, interface, member: Some(member.to_owned()), body, ..Self::new(Kind::Signal) }
    }

    /// As bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut body = Writer::default();
        for value in &self.body {
            write(&mut body, value);
        }
        let mut out = Writer(vec![b'l', number(self.kind), 0, VERSION]);
        out.length(body.0.len());
        out.u32(self.serial);
        let fields = self.fields();
        out.length(fields.len());
        out.0.extend(fields);
        out.align(8);
        out.0.extend(body.0);
        out.0
    }

    fn fields(&self) -> Vec<u8> {
        let text = |code, text: &Option<String>| text.clone().map(|text| (code, Value::Text(text)));
        let signature: String = self.body.iter().map(letter).collect();
        let fields = [
            self.path.clone().map(|path| (field::PATH, Value::Path(path))),
            text(field::INTERFACE, &self.interface),
            text(field::MEMBER, &self.member),
            text(field::ERROR, &self.error),
            self.answers.map(|serial| (field::ANSWERS, Value::U32(serial))),
            text(field::DESTINATION, &self.destination),
            text(field::SENDER, &self.sender),
            Some((field::SIGNATURE, Value::Signature(signature))).filter(|_| !self.body.is_empty()),
            Some((field::FILES, Value::U32(self.files))).filter(|_| self.files > 0),
        ];
        let mut out = Writer::default();
        for (code, value) in fields.into_iter().flatten() {
            // They begin where a multiple of eight bytes was written, as the message does.
            out.align(8);
            out.0.push(code);
            write(&mut out, &Value::Variant(Box::new(value)));
        }
        out.0
    }

    /// How long the message is that begins with these bytes.
    pub(crate) fn length(prefix: &[u8; PREFIX]) -> Result<usize, Malformed> {
        let mut reader = Reader::new(prefix, is_big(prefix[0])?);
        reader.take(4)?;
        let (body, _) = (reader.length()?, reader.u32()?);
        let fields = reader.length()?;
        let all = fields
            .checked_next_multiple_of(8)
            .and_then(|fields| fields.checked_add(body)?.checked_add(PREFIX));
        all.filter(|all| *all <= LONGEST).ok_or(Malformed("it is too long"))
    }

    /// From bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes, is_big(*bytes.first().ok_or(Malformed("it is empty"))?)?);
        reader.byte()?;
        let kind = kind(reader.byte()?)?;
        reader.byte()?;
        if reader.byte()? != VERSION {
            return Err(Malformed("it is of another version"));
        }
        let (body, serial) = (reader.length()?, reader.u32()?);
        let mut message = Self { serial, ..Self::new(kind) };
        let fields = reader.length()?;
        let end = reader.at().checked_add(fields).ok_or(Malformed("a length is too large"))?;
        let mut signature = String::new();
        while reader.at() < end {
            reader.align(8)?;
            let code = reader.byte()?;
            message.take(code, variant(&mut reader)?, &mut signature);
        }
        if reader.at() != end {
            return Err(Malformed("a field ends too late"));
        }
        reader.align(8)?;
        let body = reader.take(body)?;
        let mut body = Reader::new(body, is_big(bytes[0])?);
        for letter in signature.bytes() {
            let Some(value) = read(&mut body, letter)? else { break };
            message.body.push(value);
        }
        Ok(message)
    }

    fn take(&mut self, code: u8, value: Value, signature: &mut String) {
        match (code, value) {
            (field::PATH, Value::Path(path)) => self.path = Some(path),
            (field::INTERFACE, Value::Text(text)) => self.interface = Some(text),
            (field::MEMBER, Value::Text(text)) => self.member = Some(text),
            (field::ERROR, Value::Text(text)) => self.error = Some(text),
            (field::ANSWERS, Value::U32(serial)) => self.answers = Some(serial),
            (field::DESTINATION, Value::Text(text)) => self.destination = Some(text),
            (field::SENDER, Value::Text(text)) => self.sender = Some(text),
            (field::SIGNATURE, Value::Signature(types)) => *signature = types,
            (field::FILES, Value::U32(count)) => self.files = count,
            // Others may be added to the protocol, and are to be overlooked.
            _ => {}
        }
    }
}

fn is_big(order: u8) -> Result<bool, Malformed> {
    match order {
        b'l' => Ok(false),
        b'B' => Ok(true),
        _ => Err(Malformed("its order of bytes is unknown")),
    }
}

fn number(kind: Kind) -> u8 {
    match kind {
        Kind::Call => 1,
        Kind::Return => 2,
        Kind::Error => 3,
        Kind::Signal => 4,
    }
}

fn kind(number: u8) -> Result<Kind, Malformed> {
    Ok(match number {
        1 => Kind::Call,
        2 => Kind::Return,
        3 => Kind::Error,
        4 => Kind::Signal,
        _ => return Err(Malformed("its kind is unknown")),
    })
}

fn letter(value: &Value) -> char {
    match value {
        Value::Byte(_) => 'y',
        Value::Bool(_) => 'b',
        Value::U16(_) => 'q',
        Value::I32(_) => 'i',
        Value::U32(_) => 'u',
        Value::U64(_) => 't',
        Value::Text(_) => 's',
        Value::Path(_) => 'o',
        Value::Signature(_) => 'g',
        Value::File(_) => 'h',
        Value::Variant(_) => 'v',
    }
}

fn write(out: &mut Writer, value: &Value) {
    match value {
        Value::Byte(byte) => out.0.push(*byte),
        Value::Bool(is) => out.u32((*is).into()),
        Value::U16(number) => {
            out.align(2);
            out.0.extend(number.to_le_bytes());
        }
        Value::I32(number) => out.u32(number.cast_unsigned()),
        Value::U32(number) | Value::File(number) => out.u32(*number),
        Value::U64(number) => out.u64(*number),
        Value::Text(text) | Value::Path(text) => out.text(text),
        Value::Signature(types) => out.signature(types),
        Value::Variant(inner) => {
            out.signature(letter(inner).encode_utf8(&mut [0; 4]));
            write(out, inner);
        }
    }
}

/// A value of the type; `None` for one that is not known here.
fn read(reader: &mut Reader<'_>, letter: u8) -> Result<Option<Value>, Malformed> {
    Ok(Some(match letter {
        b'y' => Value::Byte(reader.byte()?),
        b'b' => Value::Bool(reader.u32()? != 0),
        b'n' | b'q' => Value::U16(reader.u16()?),
        b'i' => Value::I32(reader.u32()?.cast_signed()),
        b'u' => Value::U32(reader.u32()?),
        b'x' | b't' | b'd' => Value::U64(reader.u64()?),
        b's' => Value::Text(reader.text()?),
        b'o' => Value::Path(reader.text()?),
        b'g' => Value::Signature(reader.signature()?),
        b'h' => Value::File(reader.u32()?),
        b'v' => Value::Variant(Box::new(variant(reader)?)),
        _ => return Ok(None),
    }))
}

/// Variants in variants would take the reader ever deeper, and nobody says such.
fn variant(reader: &mut Reader<'_>) -> Result<Value, Malformed> {
    let types = reader.signature()?;
    let [letter] = types.as_bytes() else { return Err(Malformed("a variant is of no simple type")) };
    if *letter == b'v' {
        return Err(Malformed("a variant is in another"));
    }
    read(reader, *letter)?.ok_or(Malformed("a variant is of no simple type"))
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::option::of;
    use proptest::prelude::*;

    use super::*;

    fn simple() -> impl Strategy<Value = Value> {
        prop_oneof![
            any::<u8>().prop_map(Value::Byte),
            any::<bool>().prop_map(Value::Bool),
            any::<u16>().prop_map(Value::U16),
            any::<i32>().prop_map(Value::I32),
            any::<u32>().prop_map(Value::U32),
            any::<u64>().prop_map(Value::U64),
            ".{0,20}".prop_map(Value::Text),
            "/[a-z/]{0,9}".prop_map(Value::Path),
            "[a-z]{0,9}".prop_map(Value::Signature),
            any::<u32>().prop_map(Value::File),
        ]
    }

    fn value() -> impl Strategy<Value = Value> {
        prop_oneof![4 => simple(), 1 => simple().prop_map(|inner| Value::Variant(Box::new(inner)))]
    }

    prop_compose! {
        fn message()(
            kind in prop_oneof![Just(Kind::Call), Just(Kind::Return), Just(Kind::Error), Just(Kind::Signal)],
            (serial, answers, files) in any::<(u32, Option<u32>, u32)>(),
            (path, interface, member) in (of(".{0,9}"), of(".{0,9}"), of(".{0,9}")),
            (error, destination, sender) in (of(".{0,9}"), of(".{0,9}"), of(".{0,9}")),
            body in vec(value(), 0..6),
        ) -> Message {
            Message { kind, serial, answers, path, interface, member, error, destination, sender, files, body }
        }
    }

    proptest! {
        #[test]
        fn a_message_is_read_as_it_was_written(message in message()) {
            let bytes = message.to_bytes();
            let prefix = bytes.first_chunk().expect("it has a prefix");
            prop_assert_eq!(Message::length(prefix), Ok(bytes.len()));
            prop_assert_eq!(Message::from_bytes(&bytes), Ok(message));
        }

        #[test]
        fn damaged_bytes_are_read_or_refused(message in message(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
            let mut bytes = message.to_bytes();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            let _ = Message::from_bytes(&bytes);
            prop_assert!(Message::from_bytes(&bytes[..at]).is_err());
        }

        #[test]
        fn any_bytes_are_read_or_refused(mut bytes in vec(any::<u8>(), 0..200), order in prop_oneof![Just(b'l'), Just(b'B')]) {
            if let Some(first) = bytes.first_mut() {
                *first = order;
            }
            let _ = Message::from_bytes(&bytes);
        }
    }

    /// Written down from what dbus-daemon sends to who says Hello, with the order of bytes changed by hand.
    #[test]
    fn the_other_order_of_bytes_is_read() {
        let mut bytes = vec![b'B', 2, 1, 1, 0, 0, 0, 9, 0, 0, 0, 1, 0, 0, 0, 15];
        bytes.extend([5, 1, b'u', 0, 0, 0, 0, 7, 8, 1, b'g', 0, 1, b's', 0, 0]);
        bytes.extend([0, 0, 0, 4]);
        bytes.extend(b":1.2\0");
        let message = Message::from_bytes(&bytes).unwrap();
        assert_eq!((message.kind, message.answers), (Kind::Return, Some(7)));
        assert_eq!(message.body, [Value::Text(":1.2".to_owned())]);
    }

    #[test]
    fn what_comes_after_a_value_of_another_type_is_left_out() {
        let mut message = Message::signal("/a", "b.c", "D", vec![Value::Bool(true), Value::U32(0)]);
        message.serial = 1;
        let mut bytes = message.to_bytes();
        let at = bytes.windows(2).position(|two| two == b"bu").unwrap();
        bytes[at + 1] = b'(';
        assert_eq!(Message::from_bytes(&bytes).unwrap().body, [Value::Bool(true)]);
    }
}
