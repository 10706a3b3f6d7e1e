//! Unpacks the arena that the build script wrote; `build/arena.rs` documents the text.

use std::io::Read;

use flate2::read::GzDecoder;

use super::{Entry, Field, Name, Node, Schemas, Strategy, Struct, Topology};

static ARENA: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/arena.gz"));

/// The built-in schemas. Names are leaked, which is why this is called once.
pub(super) fn builtin() -> Schemas {
    let mut text = String::new();
    GzDecoder::new(ARENA).read_to_string(&mut text).expect("the build script wrote it");
    let text: &'static str = Box::leak(text.into_boxed_str());
    let names: Vec<&'static str> =
        text.lines().filter_map(|line| line.strip_prefix("F\t")).map(first).collect();
    let mut loader = Loader { names: Box::leak(names.into_boxed_slice()).iter(), schemas: EMPTY };
    for line in text.lines() {
        loader.line(line);
    }
    loader.schemas
}

const EMPTY: Schemas = Schemas { structs: Vec::new(), nodes: Vec::new(), kinds: Vec::new() };

fn first(columns: &'static str) -> &'static str {
    columns.split('\t').next().unwrap_or_default()
}

struct Loader {
    /// Names of the fields in the order of their lines.
    names: std::slice::Iter<'static, &'static str>,
    schemas: Schemas,
}

impl Loader {
    fn line(&mut self, line: &'static str) {
        let mut columns = line.split('\t');
        let mut next = || columns.next().unwrap_or_default();
        match next() {
            "T" => {
                let [name, map_type] = [next(), next()];
                let atomic = map_type == "atomic";
                self.schemas.structs.push(Struct { name, atomic, fields: Vec::new() });
            }
            "F" => {
                let columns = [next(), next(), next(), next(), next(), next(), next()];
                let name: Name = self.names.next().expect("one name for each line");
                let field = field(name, self.node(columns[1]), &columns);
                self.schemas.structs.last_mut().expect("a type comes first").fields.push(field);
            }
            _ => {
                let [group, version, kind, schema] = [next(), next(), next(), next()];
                self.schemas.kinds.push(Entry { group, version, kind, schema: index(schema) });
            }
        }
    }

    fn node(&mut self, text: &str) -> Node {
        match text.split_at(1) {
            ("s", _) => Node::String,
            ("i", _) => Node::Int32,
            ("l", _) => Node::Int64,
            ("d", _) => Node::Float,
            ("b", _) => Node::Bool,
            ("I", _) => Node::IntOrString,
            ("Q", _) => Node::Quantity,
            ("t", _) => Node::Time,
            ("u", _) => Node::MicroTime,
            ("B", _) => Node::Bytes,
            ("#", number) => Node::Struct(index(number)),
            ("{", of) => Node::Map(self.element(of)),
            ("[", of) => Node::List(self.element(of)),
            _ => Node::Any,
        }
    }

    /// The index of a node that maps and lists share.
    fn element(&mut self, text: &str) -> u16 {
        let node = self.node(text);
        let nodes = &mut self.schemas.nodes;
        let at = nodes.iter().position(|known| *known == node).unwrap_or_else(|| {
            nodes.push(node);
            nodes.len() - 1
        });
        u16::try_from(at).expect("there are a few hundred types")
    }
}

fn field(name: Name, node: Node, columns: &[&'static str; 7]) -> Field {
    let [_, _, flags, strategy, merge_key, topology, key_default] = columns;
    Field {
        name,
        element: element_name(name),
        node,
        omit_zero: flags.contains('z'),
        always: flags.contains('w'),
        strategy: match strategy.split(',').find(|part| *part != "retainKeys") {
            Some("merge") => Strategy::Merge,
            Some("replace") => Strategy::Replace,
            _ => Strategy::Default,
        },
        merge_key: (!merge_key.is_empty()).then_some(merge_key),
        topology: match *topology {
            "" => Topology::Default,
            "atomic" => Topology::Atomic,
            "granular" => Topology::Granular,
            "set" => Topology::Set,
            keys => Topology::Keys(Box::leak(keys.split(',').collect::<Vec<_>>().into_boxed_slice())),
        },
        key_default: match (node, *key_default) {
            (_, text) if !text.is_empty() => Some(text.into()),
            (Node::String, _) if flags.contains('r') => Some("".into()),
            (Node::Int32 | Node::Int64, _) if flags.contains('r') => Some(0.into()),
            _ => None,
        },
    }
}

/// The field as an element of a path in field sets.
fn element_name(name: &str) -> Name {
    let text: &'static str = Box::leak(format!("f:{name}").into_boxed_str());
    Box::leak(Box::new(text))
}

fn index(number: &str) -> u16 {
    number.parse().expect("the build script wrote an index")
}
