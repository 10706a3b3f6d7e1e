//! Texts as numbers: labels of nodes are compared without looking at their letters.

use std::collections::HashMap;
use std::sync::Arc;

use wherry_api::selector::{LabelSelector, Operator};

/// An interned text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Symbol(u32);

/// All texts seen. They stay: the keys and values of nodes' labels, and what selectors of nodes ask for, are few.
#[derive(Debug, Default)]
pub(crate) struct Symbols {
    numbers: HashMap<Arc<str>, Symbol>,
    texts: Vec<Arc<str>>,
}

impl Symbols {
    /// The symbol of a text.
    pub(crate) fn intern(&mut self, text: &str) -> Symbol {
        if let Some(symbol) = self.numbers.get(text) {
            return *symbol;
        }
        let symbol = Symbol(u32::try_from(self.texts.len()).unwrap_or(u32::MAX));
        let text: Arc<str> = text.into();
        self.texts.push(text.clone());
        self.numbers.insert(text, symbol);
        symbol
    }

    /// The symbol of a text that was seen.
    pub(crate) fn get(&self, text: &str) -> Option<Symbol> {
        self.numbers.get(text).copied()
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.texts.len()
    }

    /// The text of a symbol.
    pub(crate) fn text(&self, symbol: Symbol) -> &str {
        self.texts.get(symbol.0 as usize).map(AsRef::as_ref).unwrap_or_default()
    }
}

/// The labels of a node, sorted by key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LabelSet(Box<[(Symbol, Symbol)]>);

impl LabelSet {
    pub(super) fn new(mut labels: Vec<(Symbol, Symbol)>) -> Self {
        labels.sort_unstable();
        Self(labels.into())
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Symbol, Symbol)> {
        self.0.iter().copied()
    }

    /// The value of a label.
    pub(crate) fn get(&self, key: Symbol) -> Option<Symbol> {
        self.0.binary_search_by_key(&key, |(key, _)| *key).ok().map(|at| self.0[at].1)
    }
}

/// What one clause demands, in symbols.
#[derive(Clone, Debug)]
enum Demand {
    In(Vec<Symbol>),
    NotIn(Vec<Symbol>),
    Exists,
    DoesNotExist,
    Above(i64),
    Below(i64),
}

/// A label selector in symbols. What no node has is left out, so it holds until there are new symbols.
#[derive(Clone, Debug)]
pub(crate) struct SymbolSelector(Vec<(Option<Symbol>, Demand)>);

impl SymbolSelector {
    /// Translates a selector.
    pub(crate) fn new(selector: &LabelSelector, symbols: &Symbols) -> Self {
        let all = |values: &[String]| values.iter().filter_map(|value| symbols.get(value)).collect();
        let clauses = selector.requirements().iter().map(|clause| {
            let demand = match &clause.operator {
                Operator::In(values) => Demand::In(all(values)),
                Operator::NotIn(values) => Demand::NotIn(all(values)),
                Operator::Exists => Demand::Exists,
                Operator::DoesNotExist => Demand::DoesNotExist,
                Operator::GreaterThan(than) => Demand::Above(*than),
                Operator::LessThan(than) => Demand::Below(*than),
            };
            (symbols.get(&clause.key), demand)
        });
        Self(clauses.collect())
    }

    /// Whether labels satisfy every clause.
    pub(crate) fn matches(&self, labels: &LabelSet, symbols: &Symbols) -> bool {
        self.0.iter().all(|(key, demand)| {
            let value = key.and_then(|key| labels.get(key));
            let number = || value.and_then(|value| symbols.text(value).parse::<i64>().ok());
            match demand {
                Demand::In(values) => value.is_some_and(|value| values.contains(&value)),
                Demand::NotIn(values) => value.is_none_or(|value| !values.contains(&value)),
                Demand::Exists => value.is_some(),
                Demand::DoesNotExist => value.is_none(),
                Demand::Above(than) => number().is_some_and(|number| number > *than),
                Demand::Below(than) => number().is_some_and(|number| number < *than),
            }
        })
    }
}
