//! [`List`]: a list of the caller's, one that was made, or two behind one another.

use std::rc::Rc;

use super::{ListKind, Value, View, equal};
use crate::error::Error;

/// A list.
#[derive(Clone, Debug)]
pub enum List<'a> {
    /// Of the caller's data.
    View(View<'a>),
    /// Made by the evaluation.
    Items(Rc<Vec<Value<'a>>>),
    /// Two lists behind one another, so that adding a long one copies nothing.
    Joined(Rc<Joined<'a>>),
}

/// Two lists behind one another.
#[derive(Clone, Debug)]
pub struct Joined<'a> {
    left: List<'a>,
    right: List<'a>,
    len: usize,
    depth: usize,
}

/// Lists shorter than this are copied when they are added.
const SHORT: usize = 32;
/// Lists joined deeper than this are copied, so that reading them recurses little.
const MAX_DEPTH: usize = 64;

/// Lists that were made are no longer than this.
const MAX_ITEMS: usize = 1_000_000;

/// Refuses a list of more items than an expression may make.
pub(crate) fn check_len(len: usize) -> Result<(), Error> {
    if len <= MAX_ITEMS { Ok(()) } else { Err(Error::other("resulting list is too large")) }
}

impl<'a> List<'a> {
    /// How many items there are.
    pub fn len(&self) -> usize {
        match self {
            Self::View(view) => view.len(),
            Self::Items(items) => items.len(),
            Self::Joined(joined) => joined.len,
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// An item.
    pub fn get(&self, at: usize) -> Option<Result<Value<'a>, Error>> {
        match self {
            Self::View(view) => view.item(at),
            Self::Items(items) => items.get(at).cloned().map(Ok),
            Self::Joined(joined) => match at.checked_sub(joined.left.len()) {
                None => joined.left.get(at),
                Some(behind) => joined.right.get(behind),
            },
        }
    }

    /// The first item, if there is one that can be read.
    pub(crate) fn first(&self) -> Option<Value<'a>> {
        self.get(0).and_then(Result::ok)
    }

    /// The items in order.
    pub fn iter(&self) -> impl Iterator<Item = Result<Value<'a>, Error>> + '_ {
        (0..self.len()).map_while(|at| self.get(at))
    }

    /// The items, all read.
    pub fn to_vec(&self) -> Result<Vec<Value<'a>>, Error> {
        match self {
            Self::Items(items) => Ok(items.to_vec()),
            _ => self.iter().collect(),
        }
    }

    /// Whether an item equals the value.
    pub fn contains(&self, wanted: &Value<'_>) -> Result<bool, Error> {
        for item in self.iter() {
            if equal(&item?, wanted)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    pub(crate) fn kind(&self) -> ListKind<'a> {
        if let Self::View(view) = self { view.list_kind() } else { ListKind::Atomic }
    }

    fn depth(&self) -> usize {
        if let Self::Joined(joined) = self { joined.depth } else { 0 }
    }

    /// This list with another behind it; sets and keyed lists merge instead.
    pub(crate) fn join(mut self, right: List<'a>) -> Result<Self, Error> {
        match self.kind() {
            ListKind::Set => return self.merge(&right, equal),
            ListKind::Map(keys) => return self.merge(&right, |a, b| same_keys(keys, a, b)),
            ListKind::Atomic => {}
        }
        if right.is_empty() {
            return Ok(self);
        }
        let len = self.len().saturating_add(right.len());
        check_len(len)?;
        if let Self::Items(items) = &mut self
            && let Some(items) = Rc::get_mut(items)
        {
            items.extend(right.to_vec()?);
            return Ok(self);
        }
        let depth = self.depth().max(right.depth()) + 1;
        if len <= SHORT || depth > MAX_DEPTH {
            let mut items = self.to_vec()?;
            items.extend(right.to_vec()?);
            return Ok(Self::Items(Rc::new(items)));
        }
        Ok(Self::Joined(Rc::new(Joined { left: self, right, len, depth })))
    }

    /// Items of `right` replace those they are the same as; the others come behind.
    fn merge(
        self,
        right: &List<'a>,
        same: impl Fn(&Value<'a>, &Value<'a>) -> Result<bool, Error>,
    ) -> Result<Self, Error> {
        let mut items = self.to_vec()?;
        for new in right.iter() {
            let new = new?;
            let mut place = None;
            for (at, old) in items.iter().enumerate() {
                if same(old, &new)? {
                    place = Some(at);
                    break;
                }
            }
            match place {
                Some(at) => items[at] = new,
                None => items.push(new),
            }
        }
        Ok(Self::Items(Rc::new(items)))
    }
}

/// Whether two objects agree in all keys of a keyed list.
pub(super) fn same_keys(keys: &[String], a: &Value<'_>, b: &Value<'_>) -> Result<bool, Error> {
    let (Value::Map(a), Value::Map(b)) = (a, b) else { return Ok(false) };
    for key in keys {
        let same = match (a.field(key), b.field(key)) {
            (None, None) => true,
            (Some(a), Some(b)) => equal(&a?, &b?)?,
            _ => false,
        };
        if !same {
            return Ok(false);
        }
    }
    Ok(true)
}
