//! Loops of macros, and changing their accumulators in place.

use std::rc::Rc;

use super::step::Fold;
use super::{Machine, Outcome, Step};
use crate::cost;
use crate::error::Error;
use crate::value::{Key, List, Map, Value};

impl<'a> Machine<'a, '_> {
    pub(super) fn fold(&mut self, fold: &'a Fold) -> Outcome<'a> {
        let range = self.run(&fold.range)?;
        let init = self.run(&fold.init);
        let place = self.locals.len();
        self.locals.push(init);
        let looped = self.iterate(fold, &range, place);
        self.locals.truncate(place + 1);
        let result = looped.and_then(|()| self.run(&fold.result));
        self.locals.truncate(place);
        result
    }

    fn iterate(&mut self, fold: &'a Fold, range: &Value<'a>, place: usize) -> Result<(), Error> {
        match range {
            Value::List(list) => {
                for at in 0..list.len() {
                    let item = list.get(at).unwrap_or(Err(Error::no_overload()));
                    let index = i64::try_from(at).unwrap_or(i64::MAX);
                    let (first, second) =
                        if fold.two { (Ok(Value::Int(index)), Some(item)) } else { (item, None) };
                    if !self.turn(fold, place, first, second)? {
                        break;
                    }
                }
                Ok(())
            }
            Value::Map(map @ (Map::View(_) | Map::Entries(_) | Map::Filled(_))) => {
                for (key, value) in map.iter() {
                    if !self.turn(fold, place, Ok(key), fold.two.then_some(value))? {
                        break;
                    }
                }
                Ok(())
            }
            _ => Err(Error::no_overload()),
        }
    }

    /// One turn of the loop; false if it was the last.
    fn turn(
        &mut self,
        fold: &'a Fold,
        place: usize,
        first: Outcome<'a>,
        second: Option<Outcome<'a>>,
    ) -> Result<bool, Error> {
        self.locals.truncate(place + 1);
        self.locals.push(first);
        self.locals.extend(second);
        if matches!(self.run(&fold.condition)?, Value::Bool(false)) {
            return Ok(false);
        }
        let outcome = self.run(&fold.step);
        if matches!(outcome, Err(Error::CostLimit)) {
            return Err(Error::CostLimit);
        }
        self.locals[place] = outcome;
        Ok(true)
    }

    pub(super) fn bind(&mut self, parts: &'a [Step; 2]) -> Outcome<'a> {
        let [value, result] = parts;
        let value = self.run(value);
        if matches!(value, Err(Error::CostLimit)) {
            return value;
        }
        let place = self.locals.len();
        self.locals.push(value);
        let result = self.run(result);
        self.locals.truncate(place);
        result
    }

    /// Takes the accumulator out, so that it is changed in place.
    fn accumulated(&mut self, place: usize) -> Outcome<'a> {
        std::mem::replace(&mut self.locals[place], Ok(Value::Null))
    }

    pub(super) fn append(&mut self, place: usize, item: &'a Step) -> Outcome<'a> {
        let item = self.run(item)?;
        self.charge(cost::LIST + 2)?;
        match self.accumulated(place)? {
            Value::List(list) => Ok(Value::List(list.join(List::Items(Rc::new(vec![item])))?)),
            _ => Err(Error::no_overload()),
        }
    }

    pub(super) fn insert(&mut self, place: usize, entry: &'a [Step]) -> Outcome<'a> {
        let parts = entry.iter().map(|part| self.run(part)).collect::<Result<Vec<_>, _>>()?;
        self.charge(2)?;
        let Value::Map(Map::Entries(mut entries)) = self.accumulated(place)? else {
            return Err(Error::no_overload());
        };
        let map = Rc::make_mut(&mut entries);
        let new = match <[Value<'a>; 2]>::try_from(parts) {
            Ok(entry) => vec![entry],
            Err(parts) => match parts.as_slice() {
                [Value::Map(new)] => {
                    new.iter().map(|(key, value)| Ok([key, value?])).collect::<Result<Vec<_>, Error>>()?
                }
                _ => return Err(Error::no_overload()),
            },
        };
        for [key, value] in new {
            let key = Key::try_from(key)?;
            if map.contains_key(&key) {
                return Err(Error::other(format!(
                    "insert failed: key {} already exists",
                    super::access::shown(&key.into())
                )));
            }
            map.insert(key, value);
        }
        Ok(Value::Map(Map::Entries(entries)))
    }
}
