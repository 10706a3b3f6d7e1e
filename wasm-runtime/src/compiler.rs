//! Compiling beside what is served: on threads that are made for it and give way to all others.

use rayon::{ThreadPool, ThreadPoolBuilder};
use rustix::process::setpriority_process;
use wasmtime::Engine;

use crate::executor::processors;
use crate::program::{self, ProgramError};

/// How nice its threads are: whoever serves gets nine tenths of a processor that both want.
const NICE: i32 = 10;

/// Compiles bytes, which come from an image, on as many threads as there are processors.
pub(crate) fn compile(engine: &Engine, bytes: &[u8]) -> Result<Vec<u8>, ProgramError> {
    let pool = threads().map_err(|error| ProgramError::Threads(error.to_string()))?;
    pool.install(|| program::compile(engine, bytes))
}

/// Threads that end with the pool.
fn threads() -> Result<ThreadPool, rayon::ThreadPoolBuildError> {
    ThreadPoolBuilder::new()
        .num_threads(processors())
        .thread_name(|number| format!("wasm-compile-{number}"))
        .start_handler(|_| {
            // Of this thread alone. It compiles as well, if not as politely, where that is forbidden.
            if let Err(error) = setpriority_process(None, NICE) {
                tracing::debug!(%error, "cannot be nice while compiling");
            }
        })
        .build()
}

#[cfg(test)]
mod tests {
    use rustix::process::getpriority_process;

    use super::*;

    #[test]
    fn only_threads_that_compile_are_nice() {
        let own = getpriority_process(None).unwrap();
        let nice = threads().unwrap().broadcast(|_| getpriority_process(None).unwrap());
        assert_eq!(nice, vec![own.max(NICE); processors()]);
        assert_eq!(getpriority_process(None).unwrap(), own);
    }
}
