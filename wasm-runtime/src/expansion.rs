//! How many instances a component is made of. The compiler works through each of them, and a component that has another one twice,
//! which has another one twice, and so on, is of hundreds of bytes and of more instances than anybody could count.

use wasmparser::{
    ComponentAlias, ComponentExternalKind, ComponentInstance, ComponentOuterAliasKind, ComponentTypeRef,
    Encoding, Instance, Parser, Payload,
};

/// The most instances of a component that is compiled.
pub(crate) const MOST: u64 = 10_000;
/// What is given in from elsewhere may be anything.
const UNKNOWN: u64 = u64::MAX;

/// A module or component that is being read.
struct Scope {
    encoding: Encoding,
    /// The components that it can make instances of, by the instances that each is made of.
    components: Vec<u64>,
    /// What it is made of so far, beside itself.
    instances: u64,
}

impl Scope {
    fn component(&self, index: u32) -> u64 {
        self.components.get(index as usize).copied().unwrap_or(UNKNOWN)
    }

    fn add(&mut self, instances: u64) {
        self.instances = self.instances.saturating_add(instances);
    }
}

/// The instances that one of the component is made of, those of core modules too; an instance of a component that is imported, or comes out of another instance,
/// counts as more than there can be.
pub(crate) fn instances(bytes: &[u8]) -> wasmparser::Result<u64> {
    let mut scopes: Vec<Scope> = Vec::new();
    let mut all = 0;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload? {
            Payload::Version { encoding, .. } => {
                scopes.push(Scope { encoding, components: Vec::new(), instances: 0 });
            }
            Payload::End(_) => {
                let Some(ended) = scopes.pop() else { break };
                all = ended.instances.saturating_add(1);
                if let (Some(around), Encoding::Component) = (scopes.last_mut(), ended.encoding) {
                    around.components.push(all);
                }
            }
            payload => read(&mut scopes, payload)?,
        }
    }
    Ok(all)
}

fn read(scopes: &mut [Scope], payload: Payload<'_>) -> wasmparser::Result<()> {
    let Some((scope, around)) = scopes.split_last_mut() else { return Ok(()) };
    match payload {
        Payload::InstanceSection(section) => {
            for instance in section {
                if let Instance::Instantiate { .. } = instance? {
                    scope.add(1);
                }
            }
        }
        Payload::ComponentInstanceSection(section) => {
            for instance in section {
                if let ComponentInstance::Instantiate { component_index, .. } = instance? {
                    scope.add(scope.component(component_index));
                }
            }
        }
        Payload::ComponentImportSection(section) => {
            for import in section {
                if let ComponentTypeRef::Component(_) = import?.ty {
                    scope.components.push(UNKNOWN);
                }
            }
        }
        Payload::ComponentAliasSection(section) => {
            for alias in section {
                let component = match alias? {
                    ComponentAlias::InstanceExport { kind: ComponentExternalKind::Component, .. } => UNKNOWN,
                    ComponentAlias::Outer { kind: ComponentOuterAliasKind::Component, count, index } => {
                        let outer = match count.checked_sub(1) {
                            None => Some(&*scope),
                            Some(count) => around.iter().rev().nth(count as usize),
                        };
                        outer.map_or(UNKNOWN, |outer| outer.component(index))
                    }
                    _ => continue,
                };
                scope.components.push(component);
            }
        }
        Payload::ComponentExportSection(section) => {
            for export in section {
                let export = export?;
                if export.kind == ComponentExternalKind::Component {
                    scope.components.push(scope.component(export.index));
                }
            }
        }
        _ => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";
    /// `(instance (instantiate 0)) (instance (instantiate 0))`
    const TWICE: &[u8] = b"\x05\x07\x02\0\0\0\0\0\0";

    fn component(sections: &[&[u8]]) -> Vec<u8> {
        [&[COMPONENT], sections].concat().concat()
    }

    fn nested(component: &[u8]) -> Vec<u8> {
        let length = u8::try_from(component.len()).unwrap();
        [&[4, length], component].concat()
    }

    #[test]
    fn instances_of_instances_count() {
        assert_eq!(instances(COMPONENT).unwrap(), 1);
        let two = component(&[&nested(COMPONENT), TWICE]);
        assert_eq!(instances(&two).unwrap(), 3);
        assert_eq!(instances(&component(&[&nested(&two), TWICE])).unwrap(), 7);
        // What is exported, or named by what is inside, is the same component under another number.
        let export = b"\x0b\x07\x01\0\x01c\x04\0\0";
        let exported = component(&[&nested(&two), export, b"\x05\x04\x01\0\x01\0"]);
        assert_eq!(instances(&exported).unwrap(), 4);
        let outer = component(&[b"\x06\x05\x01\x04\x02\x01\0", TWICE]);
        let around = component(&[&nested(&two), &nested(&outer), b"\x05\x04\x01\0\x01\0"]);
        assert_eq!(instances(&around).unwrap(), 8);
    }

    #[test]
    fn modules_are_counted_where_there_are_instances_of_them() {
        let module = b"\x01\x08\0asm\x01\0\0\0";
        let instances_of_it = b"\x02\x07\x02\0\0\0\0\0\0";
        assert_eq!(instances(&component(&[module])).unwrap(), 1);
        assert_eq!(instances(&component(&[module, instances_of_it])).unwrap(), 3);
    }

    #[test]
    fn what_is_given_in_may_be_anything() {
        // A type `(component)`, an import of one, an instance of that.
        let given = component(&[b"\x07\x03\x01\x41\0", b"\x0a\x06\x01\0\x01c\x04\0", b"\x05\x04\x01\0\0\0"]);
        assert_eq!(instances(&given).unwrap(), u64::MAX);
    }
}
