//! Arguments, logging, exit code: all of it in [`atoms_kafka_bridge::cli`].

use std::process::ExitCode;

/// Resident memory stays flat while bodies come and go, which the system's allocator does not promise.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    atoms_kafka_bridge::cli::main()
}
