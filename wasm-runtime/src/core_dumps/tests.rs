//! Dumps of modules and components that trap, read back.

use jiff::Timestamp;
use wasmtime::{Config, Engine, Instance, Module};

use super::*;

/// Traps with three pages of memory, of which the second holds something.
const TRAPS: &str = r#"(module $trapping (memory 3) (data (i32.const 65536) "held") (global (mut i32) (i32.const 7))
    (func (export "run") unreachable))"#;

fn dumps(place: Place, limits: Limits) -> Arc<CoreDumps> {
    let (turn, clock) = (Arc::new(Semaphore::new(1)), Arc::new(Timestamp::now));
    Arc::new(CoreDumps { place, of: "pod.container".to_owned(), limits, turn, clock })
}

fn trap() -> (Store<()>, Error) {
    let engine = Engine::new(Config::new().coredump_on_trap(true)).unwrap();
    let module = Module::new(&engine, TRAPS).unwrap();
    let mut store = Store::new(&engine, ());
    let instance = Instance::new(&mut store, &module, &[]).unwrap();
    let run = instance.get_typed_func::<(), ()>(&mut store, "run").unwrap();
    let error = run.call(&mut store, ()).unwrap_err();
    (store, error)
}

async fn after_trap(dumps: &Arc<CoreDumps>) -> String {
    let (store, error) = trap();
    told(&end(Some(dumps), store, (), error).await).unwrap()
}

fn in_directory(path: &Path) -> Place {
    Place::Directory { path: path.to_owned(), named: "/data".to_owned() }
}

#[tokio::test]
async fn a_dump_has_memory_globals_and_the_place_of_the_trap() {
    let dir = tempfile::tempdir().unwrap();
    let dumps = dumps(in_directory(dir.path()), Limits::default());
    let name = after_trap(&dumps).await.strip_prefix("core dump: /data/").unwrap().to_owned();
    assert!(name.starts_with("core.pod.container."), "{name}");
    assert_eq!(Path::new(&name).extension().unwrap(), "wasm");
    let file = dir.path().join(name);
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
    let bytes = fs::read(file).unwrap();
    let mut sections = Vec::new();
    for payload in wasmparser::Parser::new(0).parse_all(&bytes) {
        match payload.unwrap() {
            wasmparser::Payload::CustomSection(section) => sections.push(section.name().to_owned()),
            wasmparser::Payload::DataSection(data) => {
                let data: Vec<_> = data.into_iter().map(|data| data.unwrap().data.to_vec()).collect();
                assert_eq!(data, [b"held"]);
            }
            wasmparser::Payload::GlobalSection(globals) => assert_eq!(globals.count(), 1),
            _ => {}
        }
    }
    assert_eq!(sections, ["core", "coremodules", "coreinstances", "corestack"]);
}

#[tokio::test]
async fn no_more_are_made_than_may_lie_in_a_directory() {
    let dir = tempfile::tempdir().unwrap();
    let dumps = dumps(in_directory(dir.path()), Limits { core_dumps: 2, ..Limits::default() });
    fs::write(dir.path().join("core.left.part"), "").unwrap();
    assert!(after_trap(&dumps).await.starts_with("core dump: "));
    assert_eq!(after_trap(&dumps).await, "no core dump was written: there are 2 already; remove some");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
}

#[tokio::test]
async fn a_guest_of_too_much_memory_has_none() {
    let dir = tempfile::tempdir().unwrap();
    let dumps = dumps(in_directory(dir.path()), Limits { core_dump_bytes: 3 << 16, ..Limits::default() });
    assert!(after_trap(&dumps).await.starts_with("core dump: "), "as much as is allowed");
    let dumps =
        self::dumps(in_directory(dir.path()), Limits { core_dump_bytes: 1 << 17, ..Limits::default() });
    let refused =
        "no core dump was written: the guest has 196608 bytes of memory, and 131072 are written at most";
    assert_eq!(after_trap(&dumps).await, refused);
}

#[tokio::test]
async fn a_file_that_is_named_is_replaced_and_a_link_is_not_followed() {
    let dir = tempfile::tempdir().unwrap();
    let (file, other) = (dir.path().join("dump"), dir.path().join("other"));
    fs::write(&other, "untouched").unwrap();
    std::os::unix::fs::symlink(&other, &file).unwrap();
    let dumps = dumps(Place::File(file.clone()), Limits::default());
    for _ in 0..2 {
        assert_eq!(after_trap(&dumps).await, format!("core dump: {}", file.display()));
    }
    assert_eq!(fs::read_to_string(other).unwrap(), "untouched");
    assert!(fs::read(file).unwrap().starts_with(b"\0asm"));
}

/// One component that has another one's function called by a fused adapter.
const COMPOSED: &str = r#"(component
    (component $a
        (core module $callee (memory 1) (data (i32.const 9) "callee") (global (mut i32) (i32.const 7))
            (func (export "f") unreachable))
        (core instance $i (instantiate $callee))
        (func (export "f") (canon lift (core func $i "f"))))
    (instance $a (instantiate $a))
    (component $b
        (import "f" (func $f))
        (core func $lowered (canon lower (func $f)))
        (core module $caller (import "" "f" (func $f)) (memory 2) (data (i32.const 65536) "caller")
            (func (export "run") (call $f)))
        (core instance $i (instantiate $caller (with "" (instance (export "f" (func $lowered))))))
        (func (export "run") (canon lift (core func $i "run"))))
    (instance $b (instantiate $b (with "f" (func $a "f"))))
    (export "run" (func $b "run")))"#;

/// What a dump says: the data of each memory, the modules' names, each instance's module and memories, the instance of each frame.
#[derive(Debug, Default, PartialEq, Eq)]
struct Said {
    data: Vec<(u32, Vec<u8>)>,
    globals: u32,
    modules: Vec<String>,
    instances: Vec<(u32, Vec<u32>)>,
    frames: Vec<u32>,
}

fn said(bytes: &[u8]) -> Said {
    let mut said = Said::default();
    for payload in wasmparser::Parser::new(0).parse_all(bytes) {
        match payload.unwrap() {
            wasmparser::Payload::DataSection(data) => {
                for data in data {
                    let data = data.unwrap();
                    let wasmparser::DataKind::Active { memory_index, .. } = data.kind else { panic!() };
                    said.data.push((memory_index, data.data.to_vec()));
                }
            }
            wasmparser::Payload::GlobalSection(globals) => said.globals = globals.count(),
            wasmparser::Payload::CustomSection(section) => match section.as_known() {
                wasmparser::KnownCustom::CoreDumpModules(found) => {
                    said.modules = found.modules.iter().map(|&name| name.to_owned()).collect();
                }
                wasmparser::KnownCustom::CoreDumpInstances(found) => {
                    let instance = |found: wasmparser::CoreDumpInstance| (found.module_index, found.memories);
                    said.instances = found.instances.into_iter().map(instance).collect();
                }
                wasmparser::KnownCustom::CoreDumpStack(found) => {
                    said.frames = found.frames.iter().map(|frame| frame.instanceidx).collect();
                }
                _ => {}
            },
            _ => {}
        }
    }
    said
}

#[tokio::test]
async fn a_component_that_is_made_of_others_has_all_their_memories() {
    let engine = Engine::new(Config::new().coredump_on_trap(true)).unwrap();
    let component = wasmtime::component::Component::new(&engine, COMPOSED).unwrap();
    let mut store = Store::new(&engine, ());
    let linker = wasmtime::component::Linker::new(&engine);
    let instance = linker.instantiate(&mut store, &component).unwrap();
    let run = instance.get_typed_func::<(), ()>(&mut store, "run").unwrap();
    let error = run.call(&mut store, ()).unwrap_err();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("dump");
    let told = told(&end(Some(&dumps(Place::File(file.clone()), Limits::default())), store, (), error).await);
    assert_eq!(told.unwrap(), format!("core dump: {}", file.display()));
    let said = said(&fs::read(file).unwrap());
    let module = |name| said.modules.iter().position(|module| module == name).unwrap();
    let instance = |name| {
        let of = |(index, _): &(u32, _)| *index as usize == module(name);
        said.instances.iter().position(of).unwrap()
    };
    assert_eq!(said.globals, 1);
    assert_eq!(said.data.len(), 2, "{said:?}");
    for (name, data) in [("callee", "callee"), ("caller", "caller")] {
        let memories = &said.instances[instance(name)].1;
        assert_eq!(said.data.iter().find(|(memory, _)| [*memory] == **memories).unwrap().1, data.as_bytes());
    }
    let frames: Vec<_> = said.frames.iter().map(|frame| *frame as usize).collect();
    assert_eq!((frames[0], *frames.last().unwrap()), (instance("callee"), instance("caller")), "{said:?}");
}

#[tokio::test]
async fn only_traps_are_dumped_and_only_where_it_is_wanted() {
    let (store, error) = trap();
    assert_eq!(told(&end(None, store, (), error).await), None);
    let dir = tempfile::tempdir().unwrap();
    let dumps = dumps(in_directory(dir.path()), Limits::default());
    for ended in [Error::from(I32Exit(1)), LimitExceeded { whose: "", limit: 1, wanted: 2 }.into()] {
        let (store, trap) = trap();
        drop(trap);
        assert_eq!(told(&end(Some(&dumps), store, (), ended).await), None);
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}
