//! What can be said of the code without running it.

use crate::{
    folders, layout,
    step::{Step, cargo},
};

/// In order of how soon each is known.
pub fn run() -> Result<(), String> {
    Step::begin("layout").end(layout::check(&folders::workspace()))?;
    Step::begin("formatting").command(&mut cargo(["fmt", "--all", "--check"]))?;
    let mut deny = cargo(["deny", "--log-level", "error", "--locked", "check", "bans", "licenses", "sources"]);
    Step::begin("dependencies").command(&mut deny)?;
    let mut clippy = cargo(["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"]);
    Step::begin("lints").command(&mut clippy)?;
    // The tests build it with every feature; most people have fewer.
    let mut bare = cargo(["check", "--quiet", "--package", "bellwether", "--no-default-features"]);
    Step::begin("the server without its features").command(&mut bare)
}
