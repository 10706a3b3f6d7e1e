//! [`Set`]: a set of field paths, as a tree.
//!
//! A field in the set does not bring its parents or children along. Every node is a member or has children, and nodes
//! are sorted by the text of their element, so that two sets are joined in one pass and equal sets are equal values.

use super::element::Element;
use super::types::Type;
use crate::schema::Schema;

/// A set of field paths.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Set {
    pub(super) nodes: Vec<Node>,
}

/// An element below some path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) element: Element,
    /// Whether the path that ends here is in the set.
    pub(super) member: bool,
    /// The paths that go on.
    pub(super) children: Set,
}

impl Set {
    /// A set of paths of names: `Set::of(&[&["metadata", "name"]])`.
    pub fn of(paths: &[&[&str]]) -> Self {
        let mut set = Self::default();
        for path in paths {
            let path: Vec<Element> = path.iter().map(|name| Element::field(name)).collect();
            set.insert(&path);
        }
        set
    }

    /// Whether there is no path in the set.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Number of paths.
    pub fn len(&self) -> usize {
        self.nodes.iter().map(|node| usize::from(node.member) + node.children.len()).sum()
    }

    fn position(&self, element: &Element) -> Result<usize, usize> {
        self.nodes.binary_search_by(|node| node.element.cmp(element))
    }

    pub(super) fn get(&self, element: &Element) -> Option<&Node> {
        self.position(element).ok().map(|at| &self.nodes[at])
    }

    /// Adds a path; the empty one is the whole object, which nobody owns.
    pub fn insert(&mut self, path: &[Element]) {
        let Some((first, rest)) = path.split_first() else { return };
        let at = self.position(first).unwrap_or_else(|at| {
            self.nodes.insert(at, Node { element: first.clone(), member: false, children: Self::default() });
            at
        });
        if rest.is_empty() {
            self.nodes[at].member = true;
        } else {
            self.nodes[at].children.insert(rest);
        }
    }

    /// Appends a node, unless it says nothing; it must sort behind all others.
    pub(super) fn push(&mut self, element: impl FnOnce() -> Element, member: bool, children: Self) {
        if member || !children.is_empty() {
            self.nodes.push(Node { element: element(), member, children });
        }
    }

    /// Whether the path is in the set.
    pub fn contains(&self, path: &[Element]) -> bool {
        let Some((first, rest)) = path.split_first() else { return false };
        self.get(first).is_some_and(|n| if rest.is_empty() { n.member } else { n.children.contains(rest) })
    }

    /// Adds every path of the other set.
    pub fn union(&mut self, other: Self) {
        if self.is_empty() {
            *self = other;
            return;
        }
        for node in other.nodes {
            match self.position(&node.element) {
                Ok(at) => {
                    self.nodes[at].member |= node.member;
                    self.nodes[at].children.union(node.children);
                }
                Err(at) => self.nodes.insert(at, node),
            }
        }
    }

    /// Keeps the paths that are in the other set too.
    pub fn intersect(&mut self, other: &Self) {
        self.nodes.retain_mut(|node| {
            let Some(same) = other.get(&node.element) else { return false };
            node.member &= same.member;
            node.children.intersect(&same.children);
            node.member || !node.children.is_empty()
        });
    }

    /// Removes the paths of the other set, but not what lies below them.
    pub fn subtract(&mut self, other: &Self) {
        if other.is_empty() {
            return;
        }
        self.nodes.retain_mut(|node| {
            let Some(same) = other.get(&node.element) else { return true };
            node.member &= !same.member;
            node.children.subtract(&same.children);
            node.member || !node.children.is_empty()
        });
    }

    /// Removes the paths of the other set and everything below them.
    pub fn cut(&mut self, other: &Self) {
        if other.is_empty() {
            return;
        }
        self.nodes.retain_mut(|node| {
            let Some(same) = other.get(&node.element) else { return true };
            if same.member {
                return false;
            }
            node.children.cut(&same.children);
            node.member || !node.children.is_empty()
        });
    }

    /// Adds the fields of types that lead to a path in the set; entries of maps and items of lists are not added.
    pub(super) fn with_named_fields(mut self, schema: &Schema) -> Self {
        self.add_named_fields(Type::root(schema));
        self
    }

    fn add_named_fields(&mut self, of: Type<'_>) {
        for child in &mut self.nodes {
            let (below, named) = of.below(&child.element);
            child.member |= named;
            if let Some(below) = below {
                child.children.add_named_fields(below);
            }
        }
    }

    /// Every path, a level's own before those below it, in the order in which messages list them.
    pub fn paths(&self) -> Vec<Vec<Element>> {
        let mut out = Vec::new();
        self.collect(&mut Vec::new(), &mut out);
        out
    }

    fn collect(&self, prefix: &mut Vec<Element>, out: &mut Vec<Vec<Element>>) {
        let mut nodes: Vec<&Node> = self.nodes.iter().collect();
        nodes.sort_by(|a, b| a.element.meaning(&b.element));
        for node in nodes.iter().filter(|node| node.member) {
            out.push(prefix.iter().chain([&node.element]).cloned().collect());
        }
        for node in nodes {
            prefix.push(node.element.clone());
            node.children.collect(prefix, out);
            prefix.pop();
        }
    }
}
