//! Scripts: commands about tables, chains, sets and elements.

use crate::Error;
use crate::lexer::{Kind, tokens};
use crate::syntax::{Action, Command, Data, Datum, Element, Family, Hook, Set, Table, Type};
use crate::values::{guess, joined};
use crate::words::Words;

/// What a script says, in its order; of the blocks of tables, chains and sets come before the first rule.
pub(crate) fn parse(script: &str) -> Result<Vec<Command>, Error> {
    let tokens = tokens(script);
    let mut words = Words::of(&tokens);
    let mut commands = Vec::new();
    loop {
        words.skip_ends();
        let Some(word) = words.next_if_word() else {
            return if words.is_over() { Ok(commands) } else { Err(words.unexpected("a command")) };
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
