//! The warehouse worker as a program of its own: what the server's subcommand `worker` does, without the server.

fn main() -> std::process::ExitCode {
    bellwether_warehouse::worker::serve(std::io::stdin(), std::io::stdout())
}
