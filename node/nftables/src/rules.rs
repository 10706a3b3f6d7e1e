//! The statements of rules.

use crate::Error;
use crate::lexer::Kind;
use crate::syntax::{
    Data, Datum, Element, End, Family, Field, Key, Map, Statement, Target, Test, Type, Value,
};
use crate::values::{bit, endpoint, joined, number};
use crate::words::Words;

impl Words<'_, '_> {
    /// The statements up to where the rule ends.
    pub(crate) fn rule(&mut self, family: Family) -> Result<Vec<Statement>, Error> {
        let mut rule = Vec::new();
        while !self.is_at_end() {
            rule.push(self.statement(family)?);
        }
        if rule.is_empty() { Err(self.unexpected("a rule")) } else { Ok(rule) }
    }

    fn statement(&mut self, family: Family) -> Result<Statement, Error> {
        if let Some(verdict) = self.verdict_if()? {
            return Ok(Statement::Verdict(verdict));
        }
        match self.peek() {
            Some(Kind::Word("masquerade")) => {
                self.next();
                Ok(Statement::Masquerade)
            }
            Some(Kind::Word("reject")) => {
                self.next();
                let with_reset = self.word_if("with");
                if with_reset {
                    self.expect("tcp")?;
                    self.expect("reset")?;
                }
                Ok(Statement::Reject { with_reset })
            }
            Some(Kind::Word("dnat")) => {
                self.next();
                self.dnat(family)
            }
            Some(Kind::Word("update")) => {
                self.next();
                let set = self.set_name()?;
                let mut keys = self.list(|words| words.parts(Self::field))?;
                match (keys.pop(), keys.is_empty()) {
                    (Some(fields), true) => Ok(Statement::Update { set, fields }),
                    _ => Err(self.error("one element is added at a time")),
                }
            }
            Some(Kind::Word("numgen")) => {
                let key = self.random()?;
                let map = self.choices(&key)?;
                Ok(Statement::Choose { key, map })
            }
            _ => self.test(),
        }
    }

    /// What begins with fields.
    fn test(&mut self) -> Result<Statement, Error> {
        let fields = self.parts(Self::field)?;
        if let Some(Kind::Word("vmap")) = self.peek() {
            let key = Key::Fields(fields);
            let map = self.choices(&key)?;
            return Ok(Statement::Choose { key, map });
        }
        if fields == [Field::Mark] && self.word_if("set") {
            for word in ["meta", "mark", "|"] {
                self.expect(word)?;
            }
            return Ok(Statement::Mark(self.number()?));
        }
        if fields == [Field::Mark] && self.word_if("&") {
            let mask = self.number()?;
            self.expect("==")?;
            let test = Test::Masked { mask, bits: self.number()? };
            return Ok(Statement::Match { fields, is_negated: false, test });
        }
        let is_negated = self.word_if("!=");
        if matches!(self.peek(), Some(Kind::Word(word)) if word.starts_with('@')) {
            return Ok(Statement::Match { fields, is_negated, test: Test::In(self.set_name()?) });
        }
        let test = match fields[..] {
            [field @ (Field::CtState | Field::CtStatus)] if !is_negated => self.bits(field.kind())?,
            [field] => Test::Values(self.values(field.kind())?),
            _ => return Err(self.unexpected("the name of a set")),
        };
        Ok(Statement::Match { fields, is_negated, test })
    }

    fn field(&mut self) -> Result<Field, Error> {
        let word = self.word("what is matched")?;
        Ok(match word {
            "ip" | "ip6" => {
                let family = if word == "ip" { Family::Ip } else { Family::Ip6 };
                let end = match self.word("saddr or daddr")? {
                    "saddr" => End::Source,
                    "daddr" => End::Destination,
                    other => return Err(self.error(format!("{word} {other} is not known"))),
                };
                Field::Address { family, end }
            }
            "th" => match self.word("sport or dport")? {
                "sport" => Field::Port(End::Source),
                "dport" => Field::Port(End::Destination),
                other => return Err(self.error(format!("{word} {other} is not known"))),
            },
            "meta" => match self.word("l4proto, nfproto or mark")? {
                "l4proto" => Field::L4Protocol,
                "nfproto" => Field::NfProtocol,
                "mark" => Field::Mark,
                other => return Err(self.error(format!("{word} {other} is not known"))),
            },
            "ct" => match self.word("state or status")? {
                "state" => Field::CtState,
                "status" => Field::CtStatus,
                other => return Err(self.error(format!("{word} {other} is not known"))),
            },
            "fib" => {
                let end = match self.word("saddr or daddr")? {
                    "saddr" => End::Source,
                    "daddr" => End::Destination,
                    other => return Err(self.error(format!("{word} {other} is not known"))),
                };
                self.expect("type")?;
                Field::AddressType(end)
            }
            "icmpv6" => {
                self.expect("type")?;
                Field::Icmpv6Type
            }
            "iifname" => Field::InputInterface,
            "oifname" => Field::OutputInterface,
            other => return Err(self.error(format!("{other} is not known in a rule"))),
        })
    }

    /// `established,related`
    fn bits(&mut self, of: Type) -> Result<Test, Error> {
        let mut bits = 0;
        loop {
            let word = self.word("a state")?;
            bits |= bit(of, word).ok_or_else(|| self.error(format!("{word} is not known here")))?;
            if self.peek() != Some(Kind::Comma) {
                return Ok(Test::Bits(bits));
            }
            self.next();
        }
    }

    /// One value, or several in braces.
    fn values(&mut self, of: Type) -> Result<Vec<Value>, Error> {
        let value = |words: &mut Self| {
            let word = words.quoted("a value")?;
            of.values(word).ok_or_else(|| words.error(format!("{word} is no value of what is compared")))
        };
        if self.peek() == Some(Kind::Open) { self.list(value) } else { Ok(vec![value(self)?]) }
    }

    fn set_name(&mut self) -> Result<String, Error> {
        let name = self.name()?;
        let name = name.strip_prefix('@').filter(|name| !name.is_empty());
        name.map(str::to_owned).ok_or_else(|| self.error("the name of a set begins with @"))
    }

    fn number(&mut self) -> Result<u32, Error> {
        let word = self.word("a number")?;
        number(word).ok_or_else(|| self.error(format!("{word} is no number")))
    }

    /// `numgen random mod 3`
    fn random(&mut self) -> Result<Key, Error> {
        for word in ["numgen", "random", "mod"] {
            self.expect(word)?;
        }
        match self.number()? {
            0 => Err(self.error("there is no number below 0")),
            modulus => Ok(Key::Random(modulus)),
        }
    }

    /// `vmap @…` or `vmap { … : goto … }`
    fn choices(&mut self, key: &Key) -> Result<Map, Error> {
        self.expect("vmap")?;
        self.map(key, Data::Verdict)
    }

    fn map(&mut self, key: &Key, data: Data) -> Result<Map, Error> {
        if self.peek() != Some(Kind::Open) {
            return self.set_name().map(Map::Named);
        }
        let key = match key {
            Key::Fields(fields) => fields.iter().map(|field| field.kind()).collect(),
            Key::Random(_) => vec![Type::Integer],
        };
        let elements = self.list(|words| {
            let element_key = words.joined(&key)?;
            words.expect(":")?;
            let datum = match &data {
                Data::Verdict => {
                    Datum::Verdict(words.verdict_if()?.ok_or_else(|| words.unexpected("a verdict"))?)
                }
                Data::Values(types) => Datum::Value(words.joined(types)?),
            };
            Ok(Element { key: element_key, data: Some(datum) })
        })?;
        Ok(Map::Anonymous { key, data, elements })
    }

    /// Values of these types, with points between them.
    fn joined(&mut self, types: &[Type]) -> Result<Vec<u8>, Error> {
        let mut parts = Vec::new();
        for (index, kind) in types.iter().enumerate() {
            if index > 0 {
                self.expect(".")?;
            }
            let word = self.quoted("a value")?;
            parts.push(kind.literal(word).ok_or_else(|| self.error(format!("{word} is no such value")))?);
        }
        Ok(joined(parts))
    }

    /// `dnat ip to 10.0.0.1:80`, or to what a map says.
    fn dnat(&mut self, table: Family) -> Result<Statement, Error> {
        let family = if self.word_if("ip") {
            Some(Family::Ip)
        } else if self.word_if("ip6") {
            Some(Family::Ip6)
        } else {
            Some(table).filter(|table| *table != Family::Inet)
        };
        self.expect("to")?;
        if let Some(Kind::Word(word)) = self.peek()
            && let Some((of, address, port)) = endpoint(word)
        {
            self.next();
            if family.is_some_and(|family| family != of) {
                return Err(self.error(format!("{word} is no address of that family")));
            }
            return Ok(Statement::Dnat { family: of, to: Target::One { address, port } });
        }
        let family = family.ok_or_else(|| self.error("a table of inet says dnat ip to, or dnat ip6 to"))?;
        let is_random = matches!(self.peek(), Some(Kind::Word("numgen")));
        let key = if is_random { self.random()? } else { Key::Fields(self.parts(Self::field)?) };
        self.expect("map")?;
        let address = if family == Family::Ip6 { Type::Ipv6 } else { Type::Ipv4 };
        let map = self.map(&key, Data::Values(vec![address, Type::Port]))?;
        Ok(Statement::Dnat { family, to: Target::By { key, map } })
    }
}
