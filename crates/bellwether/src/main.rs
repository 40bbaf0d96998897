//! Bellwether's command line: see `cli`.

fn main() {}
