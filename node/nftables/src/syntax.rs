//! What scripts say.

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Command {
    /// The line it is on.
    pub(crate) line: usize,
    pub(crate) table: Table,
    pub(crate) action: Action,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Table {
    pub(crate) family: Family,
    pub(crate) name: String,
}

/// Whose packets a table sees, and what an address is one of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    Ip,
    Ip6,
    /// Both.
    Inet,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    AddTable,
    DeleteTable,
    AddChain { name: String, hook: Option<Hook> },
    FlushChain(String),
    DeleteChain(String),
    AddRule { chain: String, rule: Vec<Statement> },
    AddSet(Set),
    DeleteSet(String),
    AddElements { set: String, elements: Vec<Element> },
    DeleteElements { set: String, elements: Vec<Element> },
}

/// Where packets come from to a base chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hook {
    /// `filter`, `nat` or `route`.
    pub(crate) kind: &'static str,
    pub(crate) number: u32,
    pub(crate) priority: i32,
    /// Whether it drops what no rule decides.
    pub(crate) drops: bool,
}

/// A set or map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Set {
    pub(crate) name: String,
    pub(crate) key: Vec<Type>,
    pub(crate) data: Option<Data>,
    /// Whether rules add elements.
    pub(crate) is_dynamic: bool,
    pub(crate) has_timeouts: bool,
    /// How long elements stay, in milliseconds.
    pub(crate) timeout: Option<u64>,
}

/// What a map leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Data {
    Verdict,
    Values(Vec<Type>),
}

/// What values are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    /// A number of the processor's byte order.
    Integer,
    Ipv4,
    Ipv6,
    Protocol,
    Port,
    Mark,
    CtState,
    CtStatus,
    NfProtocol,
    /// What the kernel's routes say of an address.
    Route,
    Interface,
    Icmpv6,
}

/// An element of a set or map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Element {
    pub(crate) key: Vec<u8>,
    pub(crate) data: Option<Datum>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Datum {
    Verdict(Verdict),
    Value(Vec<u8>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Accept,
    Drop,
    Return,
    Jump(String),
    Goto(String),
}

/// A part of a rule. A packet goes from one to the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Statement {
    /// Goes on with those of which this holds, or does not.
    Match {
        fields: Vec<Field>,
        is_negated: bool,
        test: Test,
    },
    /// Decides by a map.
    Choose {
        key: Key,
        map: Map,
    },
    Verdict(Verdict),
    Reject {
        with_reset: bool,
    },
    /// Sets these bits of the mark.
    Mark(u32),
    Dnat {
        family: Family,
        to: Target,
    },
    Masquerade,
    /// Adds to a set, or lets stay longer.
    Update {
        set: String,
        fields: Vec<Field>,
    },
}

/// What a packet is matched by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    Address {
        family: Family,
        end: End,
    },
    /// Of TCP or UDP.
    Port(End),
    L4Protocol,
    NfProtocol,
    Mark,
    InputInterface,
    OutputInterface,
    CtState,
    CtStatus,
    /// Of which type the kernel's routes say an address is.
    AddressType(End),
    Icmpv6Type,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Source,
    Destination,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Test {
    /// It is one of these.
    Values(Vec<Value>),
    /// It is in the set of this name.
    In(String),
    /// It has some of these bits.
    Bits(u32),
    /// Of the bits `mask` it has just these.
    Masked { mask: u32, bits: u32 },
}

/// Some values, as bytes in the order in which they are compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    One(Vec<u8>),
    /// All that begin with so many bits.
    Prefix(Vec<u8>, usize),
    /// From one to another, both included.
    Range(Vec<u8>, Vec<u8>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    Fields(Vec<Field>),
    /// Any number below this.
    Random(u32),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Map {
    Named(String),
    /// With what its keys and data are of.
    Anonymous {
        key: Vec<Type>,
        data: Data,
        elements: Vec<Element>,
    },
}

/// Where a packet is led.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    One { address: Vec<u8>, port: Option<u16> },
    By { key: Key, map: Map },
}
