//! Scripts: commands about tables, chains, sets and elements.

use crate::Error;
use crate::lexer::{Kind, Token, tokens};
use crate::syntax::{Action, Command, Data, Datum, Element, Family, Hook, Set, Table, Type, Verdict};
use crate::values::{guess, joined};

/// Longer names the kernel has not.
const LONGEST_NAME: usize = 255;

/// What a script says, in its order; of the blocks of tables, chains and sets come before the first rule.
pub(crate) fn parse(script: &str) -> Result<Vec<Command>, Error> {
    let tokens = tokens(script);
    let mut words = Words { tokens: &tokens, line: 1 };
    let mut commands = Vec::new();
    loop {
        words.skip_ends();
        let Some(word) = words.next_if_word() else {
            return if words.tokens.is_empty() { Ok(commands) } else { Err(words.unexpected("a command")) };
        };
        let line = words.line;
        match word {
            "table" => block(&mut words, &mut commands)?,
            "add" | "delete" | "flush" => {
                let (table, action) = command(&mut words, word)?;
                words.end()?;
                commands.push(Command { line, table, action });
            }
            _ => return Err(words.error(format!("the command {word} is not known"))),
        }
    }
}

fn command(words: &mut Words<'_, '_>, verb: &str) -> Result<(Table, Action), Error> {
    let what = words.word("what it is about")?;
    let table = table(words)?;
    if what == "table" {
        return match verb {
            "add" => Ok((table, Action::AddTable)),
            "delete" => Ok((table, Action::DeleteTable)),
            _ => Err(words.error(format!("{verb} {what} is not known"))),
        };
    }
    let name = words.name()?;
    let action = match (verb, what) {
        ("add", "chain") => Action::AddChain { name, hook: None },
        ("flush", "chain") => Action::FlushChain(name),
        ("delete", "chain") => Action::DeleteChain(name),
        ("add", "rule") => Action::AddRule { chain: name, rule: words.rule(table.family)? },
        ("add", "set" | "map") => Action::AddSet(set(words, name, what == "map")?),
        ("delete", "set" | "map") => Action::DeleteSet(name),
        ("add", "element") => Action::AddElements { set: name, elements: elements(words)? },
        ("delete", "element") => Action::DeleteElements { set: name, elements: elements(words)? },
        _ => return Err(words.error(format!("{verb} {what} is not known"))),
    };
    Ok((table, action))
}

fn table(words: &mut Words<'_, '_>) -> Result<Table, Error> {
    let family = match words.word("the family of a table")? {
        "ip" => Family::Ip,
        "ip6" => Family::Ip6,
        "inet" => Family::Inet,
        other => return Err(words.error(format!("{other} is no family; ip, ip6 and inet are"))),
    };
    Ok(Table { family, name: words.name()? })
}

/// `table … { … }`: what there is of it stays.
fn block(words: &mut Words<'_, '_>, commands: &mut Vec<Command>) -> Result<(), Error> {
    let line = words.line;
    let table = table(words)?;
    words.open()?;
    let mut rules = Vec::new();
    commands.push(Command { line, table: table.clone(), action: Action::AddTable });
    loop {
        words.skip_ends();
        if words.close_if() {
            commands.append(&mut rules);
            return words.end();
        }
        let what = words.word("a chain, set or map")?;
        let line = words.line;
        let name = words.name()?;
        let action = match what {
            "chain" => Action::AddChain { hook: chain(words, &table, &name, &mut rules)?, name },
            "set" | "map" => Action::AddSet(set(words, name, what == "map")?),
            _ => return Err(words.error(format!("{what} is not known in a table"))),
        };
        commands.push(Command { line, table: table.clone(), action });
    }
}

fn chain(
    words: &mut Words<'_, '_>,
    table: &Table,
    name: &str,
    rules: &mut Vec<Command>,
) -> Result<Option<Hook>, Error> {
    words.open()?;
    let mut hook = None;
    loop {
        words.skip_ends();
        if words.close_if() {
            return Ok(hook);
        }
        let line = words.line;
        match words.peek() {
            Some(Kind::Word("type")) if hook.is_none() => hook = Some(self::hook(words)?),
            Some(Kind::Word("policy")) => {
                words.next();
                let drops = match words.word("a policy")? {
                    "accept" => false,
                    "drop" => true,
                    other => return Err(words.error(format!("{other} is no policy"))),
                };
                let base = hook.as_mut().ok_or_else(|| words.error("only base chains have a policy"))?;
                base.drops = drops;
            }
            _ => {
                let action = Action::AddRule { chain: name.to_owned(), rule: words.rule(table.family)? };
                rules.push(Command { line, table: table.clone(), action });
            }
        }
        if words.peek() != Some(Kind::Close) {
            words.end()?;
        }
    }
}

/// `type nat hook prerouting priority dstnat`
fn hook(words: &mut Words<'_, '_>) -> Result<Hook, Error> {
    words.expect("type")?;
    let kind = match words.word("the type of a base chain")? {
        "filter" => "filter",
        "nat" => "nat",
        "route" => "route",
        other => return Err(words.error(format!("{other} is no type of chains"))),
    };
    words.expect("hook")?;
    let number = match words.word("a hook")? {
        "prerouting" => 0,
        "input" => 1,
        "forward" => 2,
        "output" => 3,
        "postrouting" => 4,
        other => return Err(words.error(format!("{other} is no hook"))),
    };
    words.expect("priority")?;
    let priority = words.word("a priority")?;
    let priority = match priority {
        "raw" => -300,
        "mangle" => -150,
        "dstnat" => -100,
        "filter" => 0,
        "security" => 50,
        "srcnat" => 100,
        number => number.parse().map_err(|_| words.error(format!("{number} is no priority")))?,
    };
    Ok(Hook { kind, number, priority, drops: false })
}

/// `{ type ipv4_addr . inet_service : verdict; flags dynamic, timeout; timeout 60s; }`
fn set(words: &mut Words<'_, '_>, name: String, is_map: bool) -> Result<Set, Error> {
    words.open()?;
    let (mut key, mut data, mut timeout) = (Vec::new(), None, None);
    let (mut is_dynamic, mut has_timeouts) = (false, false);
    loop {
        words.skip_ends();
        if words.close_if() {
            break;
        }
        match words.word("what the set is")? {
            "type" => {
                key = types(words)?;
                if words.word_if(":") {
                    data = Some(if words.word_if("verdict") {
                        Data::Verdict
                    } else {
                        Data::Values(types(words)?)
                    });
                }
            }
            "flags" => loop {
                match words.word("a flag")? {
                    "dynamic" => is_dynamic = true,
                    "timeout" => has_timeouts = true,
                    other => return Err(words.error(format!("the flag {other} is not known"))),
                }
                if !words.comma_if() {
                    break;
                }
            },
            "timeout" => {
                let word = words.word("a time")?;
                let seconds = word.strip_suffix('s').and_then(|word| word.parse::<u32>().ok());
                let seconds =
                    seconds.ok_or_else(|| words.error(format!("{word} is no number of seconds")))?;
                timeout = Some(u64::from(seconds) * 1000);
            }
            other => return Err(words.error(format!("{other} is not known of sets"))),
        }
    }
    if key.is_empty() || data.is_some() != is_map {
        return Err(words.error("a set has a type, a map one and what it leads to"));
    }
    let has_timeouts = has_timeouts || timeout.is_some();
    Ok(Set { name, key, data, is_dynamic, has_timeouts, timeout })
}

fn types(words: &mut Words<'_, '_>) -> Result<Vec<Type>, Error> {
    let mut types = Vec::new();
    loop {
        let name = words.word("a type")?;
        types.push(Type::named(name).ok_or_else(|| words.error(format!("the type {name} is not known")))?);
        if !words.word_if(".") {
            return Ok(types);
        }
    }
}

/// Those of a set that was made before: what they are follows from how they are written.
fn elements(words: &mut Words<'_, '_>) -> Result<Vec<Element>, Error> {
    words.list(|words| {
        let key = joined(guessed(words)?);
        let data = if words.word_if(":") {
            Some(match words.verdict_if()? {
                Some(verdict) => Datum::Verdict(verdict),
                None => Datum::Value(joined(guessed(words)?)),
            })
        } else {
            None
        };
        Ok(Element { key, data })
    })
}

fn guessed(words: &mut Words<'_, '_>) -> Result<Vec<Vec<u8>>, Error> {
    words.parts(|words| {
        let word = words.word("a value")?;
        let (_, bytes) =
            guess(word).ok_or_else(|| words.error(format!("{word} is no address, protocol or port")))?;
        Ok(bytes)
    })
}

/// The words that are left.
pub(crate) struct Words<'a, 't> {
    tokens: &'t [Token<'a>],
    /// That of the last one that was taken.
    pub(crate) line: usize,
}

impl<'a> Words<'a, '_> {
    pub(crate) fn peek(&self) -> Option<Kind<'a>> {
        self.tokens.first().map(|token| token.kind)
    }

    pub(crate) fn next(&mut self) -> Option<Kind<'a>> {
        let (first, rest) = self.tokens.split_first()?;
        (self.tokens, self.line) = (rest, first.line);
        Some(first.kind)
    }

    fn next_if_word(&mut self) -> Option<&'a str> {
        let Some(Kind::Word(word)) = self.peek() else { return None };
        self.next();
        Some(word)
    }

    /// A word; `what` is expected.
    pub(crate) fn word(&mut self, what: &str) -> Result<&'a str, Error> {
        self.next_if_word().ok_or_else(|| self.unexpected(what))
    }

    /// A word, in quotes or not.
    pub(crate) fn quoted(&mut self, what: &str) -> Result<&'a str, Error> {
        match self.peek() {
            Some(Kind::Quoted(word)) => {
                self.next();
                Ok(word)
            }
            _ => self.word(what),
        }
    }

    /// The name of a table, chain or set.
    pub(crate) fn name(&mut self) -> Result<String, Error> {
        let name = self.word("a name")?;
        if name.len() > LONGEST_NAME || name.contains('\0') {
            return Err(self.error(format!("a name has at most {LONGEST_NAME} bytes")));
        }
        Ok(name.to_owned())
    }

    pub(crate) fn word_if(&mut self, word: &str) -> bool {
        let is_next = matches!(self.peek(), Some(Kind::Word(next)) if next == word);
        if is_next {
            self.next();
        }
        is_next
    }

    pub(crate) fn expect(&mut self, word: &str) -> Result<(), Error> {
        if self.word_if(word) { Ok(()) } else { Err(self.unexpected(word)) }
    }

    pub(crate) fn open(&mut self) -> Result<(), Error> {
        if self.sign_if(Kind::Open) { Ok(()) } else { Err(self.unexpected("{")) }
    }

    fn close_if(&mut self) -> bool {
        self.sign_if(Kind::Close)
    }

    fn comma_if(&mut self) -> bool {
        self.sign_if(Kind::Comma)
    }

    fn sign_if(&mut self, sign: Kind<'_>) -> bool {
        let is_next = self.peek() == Some(sign);
        if is_next {
            self.next();
        }
        is_next
    }

    /// Whether a statement ends here.
    pub(crate) fn is_at_end(&self) -> bool {
        matches!(self.peek(), None | Some(Kind::End | Kind::Close))
    }

    fn end(&mut self) -> Result<(), Error> {
        if self.tokens.is_empty() || self.sign_if(Kind::End) {
            Ok(())
        } else {
            Err(self.unexpected("its end"))
        }
    }

    fn skip_ends(&mut self) {
        while self.sign_if(Kind::End) {}
    }

    /// `{ …, … }`, which may go over several lines; it has something.
    pub(crate) fn list<T>(&mut self, item: impl Fn(&mut Self) -> Result<T, Error>) -> Result<Vec<T>, Error> {
        self.open()?;
        let mut items = Vec::new();
        loop {
            self.skip_ends();
            items.push(item(self)?);
            self.skip_ends();
            if self.close_if() {
                return Ok(items);
            }
            if !self.comma_if() {
                return Err(self.unexpected(", or }"));
            }
        }
    }

    /// `… . …`
    pub(crate) fn parts<T>(&mut self, part: impl Fn(&mut Self) -> Result<T, Error>) -> Result<Vec<T>, Error> {
        let mut parts = vec![part(self)?];
        while self.word_if(".") {
            parts.push(part(self)?);
        }
        Ok(parts)
    }

    pub(crate) fn verdict_if(&mut self) -> Result<Option<Verdict>, Error> {
        let Some(Kind::Word(word)) = self.peek() else { return Ok(None) };
        let verdict = match word {
            "accept" => Verdict::Accept,
            "drop" => Verdict::Drop,
            "return" => Verdict::Return,
            "jump" | "goto" => {
                self.next();
                let chain = self.name()?;
                return Ok(Some(if word == "jump" { Verdict::Jump(chain) } else { Verdict::Goto(chain) }));
            }
            _ => return Ok(None),
        };
        self.next();
        Ok(Some(verdict))
    }

    pub(crate) fn error(&self, message: impl Into<String>) -> Error {
        Error::Syntax { line: self.line, message: message.into() }
    }

    pub(crate) fn unexpected(&self, expected: &str) -> Error {
        let found = match self.peek() {
            None => "the end of the script",
            Some(Kind::Word(word) | Kind::Quoted(word)) => word,
            Some(Kind::Open) => "{",
            Some(Kind::Close) => "}",
            Some(Kind::Comma) => ",",
            Some(Kind::End) => "the end of the statement",
        };
        self.error(format!("there is {found} instead of {expected}"))
    }
}
