//! The statements of a rule as the kernel's expressions: small steps that load values into registers, compare them and decide.

use crate::intervals::mask;
use crate::message::Attributes;
use crate::syntax::{End, Family, Field, Key, Statement, Target, Test, Value, Verdict};

/// An attribute that holds a value, and one that holds a verdict.
pub(crate) const DATA_VALUE: u16 = 1;
pub(crate) const DATA_VERDICT: u16 = 2;

const LIST_ELEMENT: u16 = 1;
const EXPRESSION_NAME: u16 = 1;
const EXPRESSION_DATA: u16 = 2;

const NETWORK_HEADER: u32 = 1;
const TRANSPORT_HEADER: u32 = 2;

const EQUAL: u32 = 0;
const NOT_EQUAL: u32 = 1;
const AT_MOST: u32 = 3;
const AT_LEAST: u32 = 5;

const MARK: u32 = 3;
const INPUT_INTERFACE: u32 = 6;
const OUTPUT_INTERFACE: u32 = 7;
const NF_PROTOCOL: u32 = 15;
const L4_PROTOCOL: u32 = 16;
const CT_STATE: u32 = 0;
const CT_STATUS: u32 = 2;
const ICMPV6: u8 = 58;

/// The register of verdicts.
const VERDICT: u32 = 0;
/// The registers for values: sixteen of four bytes, or four of sixteen.
const FIRST_OF_16: u32 = 1;
const FIRST_OF_4: u32 = 8;

/// How the sets that a rule has for itself are referred to.
pub(crate) struct SetReference<'a> {
    pub(crate) name: &'a str,
    /// The number in the transaction, of those without a name of their own.
    pub(crate) id: Option<u32>,
}

/// Writes the expressions of rules.
pub(crate) struct Expressions<'a, 'b> {
    list: &'a mut Attributes<'b>,
    table: Family,
    /// The family that packets are known to be of.
    known: Option<Family>,
}

/// The register at this place, counted in fours of bytes.
fn register(place: usize) -> u32 {
    let place = u32::try_from(place).unwrap_or(u32::MAX);
    if place.is_multiple_of(4) { FIRST_OF_16 + place / 4 } else { FIRST_OF_4 + place }
}

/// The places that so many bytes take.
fn places(bytes: usize) -> usize {
    bytes.div_ceil(4)
}

impl<'a, 'b> Expressions<'a, 'b> {
    pub(crate) fn new(list: &'a mut Attributes<'b>, table: Family) -> Self {
        Self { list, table, known: Some(table).filter(|table| *table != Family::Inet) }
    }

    /// Writes a statement; `set` is what a set or map that the statement has for itself is called.
    pub(crate) fn statement(&mut self, statement: &Statement, set: Option<u32>) {
        match statement {
            Statement::Match { fields, is_negated, test } => self.matched(fields, *is_negated, test, set),
            Statement::Choose { key, map } => {
                self.key(key);
                self.lookup(&map.reference(set), false, Some(VERDICT));
            }
            Statement::Verdict(verdict) => self.expression("immediate", |data| {
                data.number(1, VERDICT);
                data.nested(2, |data| data.verdict(verdict));
            }),
            Statement::Reject { with_reset } => self.reject(*with_reset),
            Statement::Mark(bits) => {
                self.load(Field::Mark, 0);
                self.masked(&(!bits).to_ne_bytes(), &bits.to_ne_bytes());
                self.expression("meta", |data| {
                    data.number(2, MARK);
                    data.number(3, register(0));
                });
            }
            Statement::Dnat { family, to } => self.dnat(*family, to, set),
            Statement::Masquerade => self.expression("masq", |_| {}),
            Statement::Update { set, fields } => {
                self.fields(fields);
                self.expression("dynset", |data| {
                    data.text(1, set);
                    data.number(3, 1);
                    data.number(4, register(0));
                });
            }
        }
    }

    fn matched(&mut self, fields: &[Field], is_negated: bool, test: &Test, set: Option<u32>) {
        let operation = if is_negated { NOT_EQUAL } else { EQUAL };
        match (test, fields) {
            (Test::In(name), _) => {
                self.fields(fields);
                self.lookup(&SetReference { name, id: None }, is_negated, None);
            }
            (Test::Values(values), &[field]) => match &values[..] {
                [Value::One(value)] => {
                    self.load(field, 0);
                    self.compare(operation, value);
                }
                [Value::Prefix(value, length)] => self.prefix(field, operation, value, *length),
                [Value::Range(first, last)] if !is_negated => {
                    self.load(field, 0);
                    self.compare(AT_LEAST, first);
                    self.compare(AT_MOST, last);
                }
                _ => {
                    self.load(field, 0);
                    self.lookup(&SetReference { name: ANONYMOUS_SET, id: set }, is_negated, None);
                }
            },
            (Test::Values(_), _) => {}
            (Test::Bits(bits), _) => {
                self.fields(fields);
                self.masked(&bits.to_ne_bytes(), &[0; 4]);
                self.compare(NOT_EQUAL, &[0; 4]);
            }
            (Test::Masked { mask, bits }, _) => {
                self.fields(fields);
                self.masked(&mask.to_ne_bytes(), &[0; 4]);
                self.compare(operation, &bits.to_ne_bytes());
            }
        }
    }

    /// Compares the first bits; if they are whole bytes, no others are loaded.
    fn prefix(&mut self, field: Field, operation: u32, value: &[u8], length: usize) {
        let mask = mask(value.len(), length);
        let first: Vec<u8> = value.iter().zip(&mask).map(|(byte, mask)| byte & mask).collect();
        if let (Field::Address { family, end }, true) = (field, length > 0 && length.is_multiple_of(8)) {
            self.is_of(family);
            self.address(family, end, 0, length / 8);
            self.compare(operation, &first[..length / 8]);
        } else {
            self.load(field, 0);
            self.masked(&mask, &vec![0; value.len()]);
            self.compare(operation, &first);
        }
    }

    fn reject(&mut self, with_reset: bool) {
        // Port unreachable, as each family has it.
        let (kind, code) = match self.table {
            _ if with_reset => (1, 0_u8),
            Family::Ip => (0, 3),
            Family::Ip6 => (0, 4),
            Family::Inet => (2, 1),
        };
        self.expression("reject", |data| {
            data.number(1, kind);
            data.bytes(2, &[code]);
        });
    }

    fn dnat(&mut self, family: Family, to: &Target, set: Option<u32>) {
        let length = if family == Family::Ip6 { 16 } else { 4 };
        let port = match to {
            Target::One { address, port } => {
                // As `nft` has it: each value in a register of sixteen bytes.
                self.immediate(0, address);
                port.map(|port| {
                    self.immediate(4, &port.to_be_bytes());
                    4
                })
            }
            Target::By { key, map } => {
                self.key(key);
                self.lookup(&map.reference(set), false, Some(register(0)));
                Some(places(length))
            }
        };
        self.expression("nat", |data| {
            data.number(1, 1);
            data.number(2, u32::from(family.number()));
            data.number(3, register(0));
            if let Some(port) = port {
                data.number(5, register(port));
            }
        });
    }

    fn key(&mut self, key: &Key) {
        match key {
            Key::Fields(fields) => self.fields(fields),
            Key::Random(modulus) => self.expression("numgen", |data| {
                data.number(1, register(0));
                data.number(2, *modulus);
                data.number(3, 1);
                data.number(4, 0);
            }),
        }
    }

    /// Loads fields, one after the other.
    fn fields(&mut self, fields: &[Field]) {
        // What is asked of packets before takes the first register.
        for field in fields {
            if let Field::Address { family, .. } = field {
                self.is_of(*family);
            }
        }
        let mut place = 0;
        for field in fields {
            self.load(*field, place);
            place += places(field.kind().length());
        }
    }

    fn load(&mut self, field: Field, place: usize) {
        match field {
            Field::Address { family, end } => {
                self.is_of(family);
                self.address(family, end, place, field.kind().length());
            }
            Field::Port(end) => {
                let offset = if end == End::Source { 0 } else { 2 };
                self.payload(TRANSPORT_HEADER, offset, 2, place);
            }
            Field::Icmpv6Type => {
                self.meta(L4_PROTOCOL, place);
                self.compare_at(place, EQUAL, &[ICMPV6]);
                self.payload(TRANSPORT_HEADER, 0, 1, place);
            }
            Field::L4Protocol => self.meta(L4_PROTOCOL, place),
            Field::NfProtocol => self.meta(NF_PROTOCOL, place),
            Field::Mark => self.meta(MARK, place),
            Field::InputInterface => self.meta(INPUT_INTERFACE, place),
            Field::OutputInterface => self.meta(OUTPUT_INTERFACE, place),
            Field::CtState | Field::CtStatus => self.expression("ct", |data| {
                data.number(1, register(place));
                data.number(2, if field == Field::CtState { CT_STATE } else { CT_STATUS });
            }),
            Field::AddressType(end) => self.expression("fib", |data| {
                data.number(1, register(place));
                data.number(2, 3);
                data.number(3, if end == End::Source { 1 } else { 2 });
            }),
        }
    }

    /// Goes on with packets of this family.
    fn is_of(&mut self, family: Family) {
        if self.known != Some(family) && self.table == Family::Inet {
            self.meta(NF_PROTOCOL, 0);
            self.compare(EQUAL, &[family.number()]);
            self.known = Some(family);
        }
    }

    fn address(&mut self, family: Family, end: End, place: usize, length: usize) {
        let offset = match (family, end) {
            (Family::Ip6, End::Source) => 8,
            (Family::Ip6, End::Destination) => 24,
            (_, End::Source) => 12,
            (_, End::Destination) => 16,
        };
        self.payload(NETWORK_HEADER, offset, length, place);
    }

    fn payload(&mut self, base: u32, offset: u32, length: usize, place: usize) {
        self.expression("payload", |data| {
            data.number(1, register(place));
            data.number(2, base);
            data.number(3, offset);
            data.number(4, u32::try_from(length).unwrap_or(u32::MAX));
        });
    }

    fn meta(&mut self, what: u32, place: usize) {
        self.expression("meta", |data| {
            data.number(2, what);
            data.number(1, register(place));
        });
    }

    fn immediate(&mut self, place: usize, value: &[u8]) {
        self.expression("immediate", |data| {
            data.number(1, register(place));
            data.nested(2, |data| data.bytes(DATA_VALUE, value));
        });
    }

    fn compare(&mut self, operation: u32, value: &[u8]) {
        self.compare_at(0, operation, value);
    }

    fn compare_at(&mut self, place: usize, operation: u32, value: &[u8]) {
        self.expression("cmp", |data| {
            data.number(1, register(place));
            data.number(2, operation);
            data.nested(3, |data| data.bytes(DATA_VALUE, value));
        });
    }

    /// Keeps the bits of `mask`, then turns those of `flipped`.
    fn masked(&mut self, mask: &[u8], flipped: &[u8]) {
        self.expression("bitwise", |data| {
            data.number(1, register(0));
            data.number(2, register(0));
            data.number(3, u32::try_from(mask.len()).unwrap_or(u32::MAX));
            data.number(6, 0);
            data.nested(4, |data| data.bytes(DATA_VALUE, mask));
            data.nested(5, |data| data.bytes(DATA_VALUE, flipped));
        });
    }

    /// Looks for what is in the first registers; a map's answer goes to the register `to`.
    fn lookup(&mut self, set: &SetReference<'_>, is_negated: bool, to: Option<u32>) {
        self.expression("lookup", |data| {
            data.text(1, set.name);
            if let Some(id) = set.id {
                data.number(4, id);
            }
            data.number(2, register(0));
            if let Some(to) = to {
                data.number(3, to);
            }
            if is_negated {
                data.number(5, 1);
            }
        });
    }

    fn expression(&mut self, name: &str, write: impl FnOnce(&mut Attributes<'_>)) {
        self.list.nested(LIST_ELEMENT, |expression| {
            expression.text(EXPRESSION_NAME, name);
            expression.nested(EXPRESSION_DATA, write);
        });
    }
}

/// The kernel gives each of these a number for a name.
pub(crate) const ANONYMOUS_SET: &str = "__set%d";
pub(crate) const ANONYMOUS_MAP: &str = "__map%d";

impl crate::syntax::Map {
    fn reference(&self, id: Option<u32>) -> SetReference<'_> {
        match self {
            Self::Named(name) => SetReference { name, id: None },
            Self::Anonymous { .. } => SetReference { name: ANONYMOUS_MAP, id },
        }
    }
}

impl Attributes<'_> {
    pub(crate) fn verdict(&mut self, verdict: &Verdict) {
        let (code, chain): (i32, Option<&str>) = match verdict {
            Verdict::Drop => (0, None),
            Verdict::Accept => (1, None),
            Verdict::Jump(chain) => (-3, Some(chain)),
            Verdict::Goto(chain) => (-4, Some(chain)),
            Verdict::Return => (-5, None),
        };
        self.nested(DATA_VERDICT, |verdict| {
            verdict.number(1, code.cast_unsigned());
            if let Some(chain) = chain {
                verdict.text(2, chain);
            }
        });
    }
}
