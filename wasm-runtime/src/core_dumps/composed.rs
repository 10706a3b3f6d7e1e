//! Core dumps of components that are made of others, which wasmtime does not write: the adapters between their instances import globals that are
//! no instance's.
//!
//! Memories, globals, modules and frames are as wasmtime writes them. Which memories an instance has is told of those that its module defines, and of no
//! others; which globals it has cannot be learnt.

use std::collections::HashMap;

use wasm_encoder::{
    AbstractHeapType, ConstExpr, CoreDumpInstancesSection, CoreDumpModulesSection, CoreDumpSection,
    CoreDumpStackSection, DataSection, GlobalSection, GlobalType, HeapType, MemorySection, MemoryType,
    RefType, ValType,
};
use wasmtime::{ExternType, Module, Mutability, Store, Val, WasmCoreDump};

/// How much of a memory is looked at for what is not zero: few enough segments, and few zeros in them.
const CHUNK: usize = 4096;

/// Whether an instance of it is an adapter between components.
pub(super) fn is_adapter(module: &Module) -> bool {
    module.imports().any(|import| import.module() == "flags" && matches!(import.ty(), ExternType::Global(_)))
}

/// The file, as of a component of this name.
pub(super) fn serialize<T: 'static>(dump: &WasmCoreDump, store: &mut Store<T>, name: &str) -> Vec<u8> {
    let mut file = wasm_encoder::Module::new();
    let (memories, data) = memories(dump, store);
    file.section(&CoreDumpSection::new(name)).section(&memories);
    file.section(&globals(dump, store)).section(&data);

    let mut modules = CoreDumpModulesSection::new();
    for (index, module) in dump.modules().iter().enumerate() {
        let name = module.name().map_or_else(|| format!("<anonymous-module-{index}>"), str::to_owned);
        modules.module(&name);
    }
    file.section(&modules);

    let (instances, of_module) = instances(dump, store);
    file.section(&instances);

    let mut stack = CoreDumpStackSection::new("main");
    for frame in dump.frames() {
        // The last instance of a module stands for all.
        let instance = index_of(dump, frame.module()).and_then(|module| of_module.get(&module));
        let offset = frame.func_offset().and_then(|offset| u32::try_from(offset).ok());
        stack.frame(*instance.unwrap_or(&u32::MAX), frame.func_index(), offset.unwrap_or(0), [], []);
    }
    file.section(&stack);
    file.finish()
}

fn memories<T: 'static>(dump: &WasmCoreDump, store: &Store<T>) -> (MemorySection, DataSection) {
    let (mut memories, mut data) = (MemorySection::new(), DataSection::new());
    for (index, memory) in (0..).zip(dump.memories()) {
        let ty = memory.ty(store);
        memories.memory(MemoryType {
            minimum: memory.size(store),
            maximum: ty.maximum(),
            memory64: ty.is_64(),
            shared: ty.is_shared(),
            page_size_log2: Some(ty.page_size().ilog2()).filter(|log2| *log2 != 16),
        });
        for (chunk, begin) in memory.data(store).chunks(CHUNK).zip((0_u64..).step_by(CHUNK)) {
            let Some(first) = chunk.iter().position(|byte| *byte != 0) else { continue };
            let end = chunk.iter().rposition(|byte| *byte != 0).map_or(first, |last| last + 1);
            let at = begin + first as u64;
            let offset = if ty.is_64() {
                ConstExpr::i64_const(at.cast_signed())
            } else {
                // A memory of 32 bits has no more.
                ConstExpr::i32_const(u32::try_from(at).unwrap_or(u32::MAX).cast_signed())
            };
            data.active(index, &offset, chunk[first..end].iter().copied());
        }
    }
    (memories, data)
}

fn globals<T: 'static>(dump: &WasmCoreDump, store: &mut Store<T>) -> GlobalSection {
    let mut globals = GlobalSection::new();
    for global in dump.globals() {
        let mutable = global.ty(&*store).mutability() == Mutability::Var;
        let (val_type, value) = constant(&global.get(&mut *store));
        globals.global(GlobalType { val_type, mutable, shared: false }, &value);
    }
    globals
}

/// A value with its type. What is referred to is not in the file, so references are null.
fn constant(value: &Val) -> (ValType, ConstExpr) {
    let null =
        |heap_type| (ValType::Ref(RefType { nullable: true, heap_type }), ConstExpr::ref_null(heap_type));
    match value {
        Val::I32(value) => (ValType::I32, ConstExpr::i32_const(*value)),
        Val::I64(value) => (ValType::I64, ConstExpr::i64_const(*value)),
        Val::F32(bits) => (ValType::F32, ConstExpr::f32_const(f32::from_bits(*bits).into())),
        Val::F64(bits) => (ValType::F64, ConstExpr::f64_const(f64::from_bits(*bits).into())),
        Val::V128(value) => (ValType::V128, ConstExpr::v128_const(value.as_u128().cast_signed())),
        Val::FuncRef(_) => null(HeapType::FUNC),
        Val::ExternRef(_) => null(HeapType::EXTERN),
        Val::AnyRef(_) => null(HeapType::ANY),
        Val::ExnRef(_) => null(HeapType::Abstract { shared: false, ty: AbstractHeapType::Exn }),
        Val::ContRef(_) => null(HeapType::Abstract { shared: false, ty: AbstractHeapType::Cont }),
    }
}

/// The instances, and the last one of each module, by its place. Memories are listed in the order of the instances that define them.
fn instances<T: 'static>(
    dump: &WasmCoreDump,
    store: &Store<T>,
) -> (CoreDumpInstancesSection, HashMap<usize, u32>) {
    let (mut instances, mut of_module) = (CoreDumpInstancesSection::new(), HashMap::new());
    let defines = |module: &Module| module.resources_required().num_memories;
    let all: u32 = dump.instances().iter().map(|instance| defines(instance.module(store))).sum();
    let known = all as usize == dump.memories().len();
    let mut next = 0;
    for instance in dump.instances() {
        let module = instance.module(store);
        let own = if known { next..next + defines(module) } else { 0..0 };
        next = own.end;
        let Some(place) = index_of(dump, module) else { continue };
        of_module.insert(place, instances.len());
        let imported = module.imports().filter(|import| matches!(import.ty(), ExternType::Memory(_)));
        // As wasmtime says of those that it does not find.
        let memories = imported.map(|_| u32::MAX).chain(own);
        instances.instance(u32::try_from(place).unwrap_or(u32::MAX), memories.collect::<Vec<_>>(), []);
    }
    (instances, of_module)
}

fn index_of(dump: &WasmCoreDump, module: &Module) -> Option<usize> {
    dump.modules().iter().position(|other| Module::same(other, module))
}
