//! The syntax tree. Macros are already expanded in it; every node has an id, by which positions, types and resolved
//! functions are kept beside the tree.

/// The number of a node.
pub(crate) type Id = usize;

/// A constant.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Literal {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    String(Box<str>),
    Bytes(Box<[u8]>),
}

/// A node.
#[derive(Clone, Debug)]
pub(crate) struct Expr {
    pub(crate) id: Id,
    pub(crate) kind: Kind,
}

/// What a node is.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Literal(Literal),
    Ident(String),
    /// `operand.field`, or `has(operand.field)`.
    Select {
        operand: Box<Expr>,
        field: String,
        test: bool,
    },
    /// A function or an operator (`_+_`).
    Call {
        target: Option<Box<Expr>>,
        function: String,
        args: Vec<Expr>,
    },
    List(Vec<Element>),
    Map(Vec<Entry>),
    /// A message: `Name{field: value}`.
    Message {
        name: String,
        fields: Vec<Field>,
    },
    Fold(Box<Fold>),
}

/// An item of a list literal, left out if it is an empty optional.
#[derive(Clone, Debug)]
pub(crate) struct Element {
    pub(crate) value: Expr,
    pub(crate) optional: bool,
}

/// An entry of a map literal.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: Expr,
    pub(crate) value: Expr,
    pub(crate) optional: bool,
}

/// A field of a message literal.
#[derive(Clone, Debug)]
pub(crate) struct Field {
    pub(crate) id: Id,
    pub(crate) name: String,
    pub(crate) value: Expr,
    pub(crate) optional: bool,
}

/// What the macros over lists and maps expand to: a loop with an accumulator.
#[derive(Clone, Debug)]
pub(crate) struct Fold {
    pub(crate) range: Expr,
    pub(crate) variable: String,
    /// With a second variable the first is the index or the key and the second the item or the value.
    pub(crate) second: Option<String>,
    pub(crate) accumulator: String,
    pub(crate) init: Expr,
    pub(crate) condition: Expr,
    pub(crate) step: Expr,
    pub(crate) result: Expr,
}

impl Fold {
    /// Whether this only gives a name to a value: `cel.bind` and the macros of optionals.
    pub(crate) fn is_binding(&self) -> bool {
        matches!(&self.range.kind, Kind::List(items) if items.is_empty())
            && matches!(self.condition.kind, Kind::Literal(Literal::Bool(false)))
            && self.accumulator != ACCUMULATOR
    }
}

/// The accumulator's name, which no text can say.
pub(crate) const ACCUMULATOR: &str = "@result";

impl Expr {
    /// The name `a.b.c`, if this is one.
    pub(crate) fn qualified_name(&self) -> Option<String> {
        match &self.kind {
            Kind::Ident(name) => Some(name.clone()),
            Kind::Select { operand, field, test: false } => {
                Some(format!("{}.{field}", operand.qualified_name()?))
            }
            _ => None,
        }
    }

    /// Calls `visit` with each node right below this one.
    pub(crate) fn children<'e>(&'e self, visit: &mut dyn FnMut(&'e Expr)) {
        match &self.kind {
            Kind::Literal(_) | Kind::Ident(_) => {}
            Kind::Select { operand, .. } => visit(operand),
            Kind::Call { target, args, .. } => target.as_deref().into_iter().chain(args).for_each(visit),
            Kind::List(items) => items.iter().for_each(|item| visit(&item.value)),
            Kind::Map(entries) => entries.iter().flat_map(|entry| [&entry.key, &entry.value]).for_each(visit),
            Kind::Message { fields, .. } => fields.iter().for_each(|field| visit(&field.value)),
            Kind::Fold(fold) => {
                let Fold { range, init, condition, step, result, .. } = &**fold;
                [range, init, condition, step, result].into_iter().for_each(visit);
            }
        }
    }

    /// Whether a field of a variable is read by its name in here.
    pub(crate) fn selects(&self, variable: &str, field: &str) -> bool {
        let is_variable = |of: &Expr| matches!(&of.kind, Kind::Ident(name) if name == variable);
        let here = match &self.kind {
            Kind::Select { operand, field: name, .. } => name == field && is_variable(operand),
            Kind::Call { target: None, function, args } if function == "_?._" => {
                matches!(&**args, [operand, name] if is_variable(operand) && name.as_str() == Some(field))
            }
            _ => false,
        };
        let mut found = here;
        self.children(&mut |child| found = found || child.selects(variable, field));
        found
    }

    /// How many nodes this is.
    pub(crate) fn size(&self) -> usize {
        let mut size = 1;
        self.children(&mut |child| size += child.size());
        size
    }

    /// The string, if this is one.
    pub(crate) fn as_str(&self) -> Option<&str> {
        if let Kind::Literal(Literal::String(text)) = &self.kind { Some(text) } else { None }
    }
}

/// A parsed expression.
#[derive(Clone, Debug)]
pub(crate) struct Ast {
    pub(crate) root: Expr,
    /// Where each node stands in the text, by its id.
    pub(crate) positions: Vec<usize>,
}
