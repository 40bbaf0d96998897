//! The program `bellwether`: see `cli`.

/// A change and a delivery are made of many small pieces of memory, of which the system's allocator takes longer to dispose.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    bellwether::cli::run()
}
