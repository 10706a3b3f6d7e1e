//! The shim program of the tests: what `wherry shim` does, and nothing else.

use std::process::ExitCode;

fn main() -> ExitCode {
    wherry_oci_runtime::shim_main(std::env::args_os().skip(2))
}
