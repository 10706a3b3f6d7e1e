//! Commands as the messages of one transaction.

use crate::Error;
use crate::expressions::{ANONYMOUS_MAP, ANONYMOUS_SET, DATA_VALUE, Expressions};
use crate::intervals::edges;
use crate::message::{Attributes, Batch};
use crate::syntax::{
    Action, Command, Data, Datum, Element, Hook, Map, Set, Statement, Table, Target, Test, Type, Value,
};
use crate::values::{joined_length, joined_number};

const CREATE: u16 = 0x400;
const APPEND: u16 = 0x800;
const NEW_TABLE: (u16, u16) = (0, CREATE);
const DELETE_TABLE: (u16, u16) = (2, 0);
const NEW_CHAIN: (u16, u16) = (3, CREATE);
const DELETE_CHAIN: (u16, u16) = (5, 0);
const NEW_RULE: (u16, u16) = (6, CREATE | APPEND);
const DELETE_RULES: (u16, u16) = (8, 0);
const NEW_SET: (u16, u16) = (9, CREATE);
const DELETE_SET: (u16, u16) = (11, 0);
const NEW_ELEMENTS: (u16, u16) = (12, CREATE);
const DELETE_ELEMENTS: (u16, u16) = (14, 0);

const ANONYMOUS: u32 = 0x1;
const CONSTANT: u32 = 0x2;
const INTERVAL: u32 = 0x4;
const MAP: u32 = 0x8;
const TIMEOUT: u32 = 0x10;
const DYNAMIC: u32 = 0x20;
const VERDICTS: u32 = 0xffff_ff00;
const INTERVAL_END: u32 = 0x1;

/// A list of elements is an attribute, whose length is written in two bytes.
const LONGEST_LIST: usize = 60_000;

/// All commands as one transaction.
pub(crate) fn encode(commands: Vec<Command>) -> Result<Batch, Error> {
    let mut encoder = Encoder { batch: Batch::new(), sets: 0 };
    for command in commands {
        encoder.command(&command)?;
    }
    encoder.batch.finish();
    Ok(encoder.batch)
}

struct Encoder {
    batch: Batch,
    /// The sets there are in the transaction: each has a number.
    sets: u32,
}

/// Where a change belongs.
#[derive(Clone, Copy)]
struct Place<'a> {
    line: usize,
    table: &'a Table,
}

/// A set that a statement has for itself.
struct Own {
    set: Set,
    flags: u32,
    elements: Vec<Entry>,
}

/// An element as the kernel has it.
struct Entry {
    element: Element,
    flags: u32,
}

impl Encoder {
    fn command(&mut self, Command { line, table, action }: &Command) -> Result<(), Error> {
        let place = Place { line: *line, table };
        let mut message = |kind, write: &dyn Fn(&mut Attributes<'_>)| {
            self.batch.message(kind, *line, table.family, |attributes| {
                attributes.text(1, &table.name);
                write(attributes);
            });
        };
        match action {
            Action::AddTable => message(NEW_TABLE, &|attributes| attributes.number(2, 0)),
            Action::DeleteTable => message(DELETE_TABLE, &|_| {}),
            Action::AddChain { name, hook } => message(NEW_CHAIN, &|attributes| {
                attributes.text(3, name);
                if let Some(hook) = hook {
                    attributes.hook(hook);
                }
            }),
            Action::FlushChain(name) => message(DELETE_RULES, &|attributes| attributes.text(2, name)),
            Action::DeleteChain(name) => message(DELETE_CHAIN, &|attributes| attributes.text(3, name)),
            Action::DeleteSet(name) => message(DELETE_SET, &|attributes| attributes.text(2, name)),
            Action::AddSet(set) => {
                let timeout = if set.has_timeouts { TIMEOUT } else { 0 };
                self.set(place, set, timeout | if set.is_dynamic { DYNAMIC } else { 0 }, None);
            }
            Action::AddElements { set, elements } => {
                self.elements(place, NEW_ELEMENTS, (set, None), &entries(elements));
            }
            Action::DeleteElements { set, elements } => {
                self.elements(place, DELETE_ELEMENTS, (set, None), &entries(elements));
            }
            Action::AddRule { chain, rule } => self.rule(place, chain, rule)?,
        }
        Ok(())
    }

    fn rule(&mut self, place: Place<'_>, chain: &str, rule: &[Statement]) -> Result<(), Error> {
        let Place { line, table } = place;
        let mut owned = Vec::new();
        for statement in rule {
            let own = Own::of(statement).map_err(|message| Error::Syntax { line, message })?;
            owned.push(own.map(|own| {
                let id = self.set(place, &own.set, own.flags, Some(own.elements.len()));
                self.elements(place, NEW_ELEMENTS, (&own.set.name, Some(id)), &own.elements);
                id
            }));
        }
        self.batch.message(NEW_RULE, line, table.family, |attributes| {
            attributes.text(1, &table.name);
            attributes.text(2, chain);
            attributes.nested(4, |list| {
                let mut expressions = Expressions::new(list, table.family);
                for (statement, own) in rule.iter().zip(owned) {
                    expressions.statement(statement, own);
                }
            });
        });
        Ok(())
    }

    /// Makes a set; answers its number.
    fn set(&mut self, place: Place<'_>, set: &Set, flags: u32, size: Option<usize>) -> u32 {
        let Place { line, table } = place;
        self.sets += 1;
        let id = self.sets;
        let flags = flags | if set.data.is_some() { MAP } else { 0 };
        self.batch.message(NEW_SET, line, table.family, |attributes| {
            attributes.text(1, &table.name);
            attributes.text(2, &set.name);
            attributes.number(3, flags);
            attributes.number(4, joined_number(&set.key));
            attributes.number(5, length_of(&set.key));
            match &set.data {
                None => {}
                Some(Data::Verdict) => {
                    attributes.number(6, VERDICTS);
                    attributes.number(7, 0);
                }
                Some(Data::Values(types)) => {
                    attributes.number(6, joined_number(types));
                    attributes.number(7, length_of(types));
                }
            }
            if let Some(size) = size {
                let size = u32::try_from(size).unwrap_or(u32::MAX);
                attributes.nested(9, |description| description.number(1, size));
            }
            attributes.number(10, id);
            if let Some(timeout) = set.timeout {
                attributes.long(11, timeout);
            }
            attributes.bytes(13, &orders(set));
        });
        id
    }

    fn elements(
        &mut self,
        Place { line, table }: Place<'_>,
        kind: (u16, u16),
        (set, id): (&str, Option<u32>),
        mut elements: &[Entry],
    ) {
        while !elements.is_empty() {
            self.batch.message(kind, line, table.family, |attributes| {
                attributes.text(1, &table.name);
                attributes.text(2, set);
                if let Some(id) = id {
                    attributes.number(4, id);
                }
                attributes.nested(3, |list| {
                    let begun = list.written();
                    while let Some((entry, rest)) = elements.split_first()
                        && list.written() - begun < LONGEST_LIST
                    {
                        list.nested(1, |attributes| attributes.entry(entry));
                        elements = rest;
                    }
                });
            });
        }
    }
}

fn entries(elements: &[Element]) -> Vec<Entry> {
    elements.iter().map(|element| Entry { element: element.clone(), flags: 0 }).collect()
}

fn length_of(types: &[Type]) -> u32 {
    u32::try_from(joined_length(types)).unwrap_or(u32::MAX)
}

/// In which order the bytes of keys and data are, for whoever lists the set with `nft`: 1 is the processor's, 2 the network's.
fn orders(set: &Set) -> Vec<u8> {
    let order = |types: &[Type]| match types {
        [one] if one.is_of_host() => 1,
        [_] => 2,
        _ => 0_u32,
    };
    let mut orders = vec![0, 4];
    orders.extend(order(&set.key).to_ne_bytes());
    if let Some(data) = &set.data {
        orders.extend([1, 4]);
        let order = if let Data::Values(types) = data { order(types) } else { 0 };
        orders.extend(order.to_ne_bytes());
    }
    orders
}

impl Own {
    fn of(statement: &Statement) -> Result<Option<Self>, String> {
        match statement {
            Statement::Match { fields, test: Test::Values(values), is_negated } => {
                match (&fields[..], &values[..]) {
                    (_, [Value::One(_) | Value::Prefix(..)]) => Ok(None),
                    (_, [Value::Range(..)]) if !is_negated => Ok(None),
                    ([field], _) => Self::of_values(field.kind(), values).map(Some),
                    _ => Ok(None),
                }
            }
            Statement::Choose { map, .. } | Statement::Dnat { to: Target::By { map, .. }, .. } => {
                Ok(Self::of_map(map))
            }
            _ => Ok(None),
        }
    }

    fn of_values(kind: Type, values: &[Value]) -> Result<Self, String> {
        let set = anonymous(ANONYMOUS_SET, &[kind], None);
        let element = |key| Element { key, data: None };
        if values.iter().all(|value| matches!(value, Value::One(_))) {
            let mut keys: Vec<&Vec<u8>> = values.iter().filter_map(Value::one).collect();
            keys.sort_unstable();
            keys.dedup();
            let elements = keys.into_iter().map(|key| Entry { element: element(key.clone()), flags: 0 });
            return Ok(Self { set, flags: ANONYMOUS | CONSTANT, elements: elements.collect() });
        }
        if kind.is_of_host() {
            return Err("there are no ranges of these".to_owned());
        }
        let edges = edges(values, kind.length()).into_iter();
        let elements = edges.map(|edge| Entry {
            element: element(edge.key),
            flags: if edge.is_end { INTERVAL_END } else { 0 },
        });
        Ok(Self { set, flags: ANONYMOUS | CONSTANT | INTERVAL, elements: elements.collect() })
    }

    fn of_map(map: &Map) -> Option<Self> {
        let Map::Anonymous { key, data, elements } = map else { return None };
        let set = anonymous(ANONYMOUS_MAP, key, Some(data.clone()));
        Some(Self { set, flags: ANONYMOUS | CONSTANT, elements: entries(elements) })
    }
}

impl Value {
    fn one(&self) -> Option<&Vec<u8>> {
        if let Self::One(value) = self { Some(value) } else { None }
    }
}

fn anonymous(name: &str, key: &[Type], data: Option<Data>) -> Set {
    let (name, key) = (name.to_owned(), key.to_vec());
    Set { name, key, data, is_dynamic: false, has_timeouts: false, timeout: None }
}

impl Attributes<'_> {
    fn hook(&mut self, hook: &Hook) {
        self.text(7, hook.kind);
        self.number(5, u32::from(!hook.drops));
        self.nested(4, |attributes| {
            attributes.number(1, hook.number);
            attributes.number(2, hook.priority.cast_unsigned());
        });
    }

    fn entry(&mut self, Entry { element, flags }: &Entry) {
        if *flags != 0 {
            self.number(3, *flags);
        }
        self.nested(1, |key| key.bytes(DATA_VALUE, &element.key));
        match &element.data {
            None => {}
            Some(Datum::Verdict(verdict)) => self.nested(2, |data| data.verdict(verdict)),
            Some(Datum::Value(value)) => self.nested(2, |data| data.bytes(DATA_VALUE, value)),
        }
    }
}
