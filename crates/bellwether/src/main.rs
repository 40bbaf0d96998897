//! The program `bellwether`: see `cli`.

fn main() -> std::process::ExitCode {
    bellwether::cli::run()
}
