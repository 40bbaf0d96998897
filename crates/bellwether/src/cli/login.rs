//! `bellwether login-link` and `bellwether invite`: links that let people in. They are made in the database itself, so that
//! whoever has lost every key still gets in where they can read the data folder.

use std::path::PathBuf;
use std::sync::Arc;

use crate::app;
use crate::config::{Config, Given};
use crate::domain::actor::Actor;
use crate::domain::error::Refusal;
use crate::domain::id::PersonId;
use crate::domain::key::Role;
use crate::domain::person::Person;
use crate::domain::session::{LINK_MINUTES, check_minutes};
use crate::platform::clock::SystemClock;
use crate::registry::Registry;
use crate::store::definitions;

/// For an invitation to be read: three days.
const INVITATION_MINUTES: u32 = 3 * 24 * 60;

/// Where the installation is.
#[derive(clap::Args)]
struct Installation {
    /// The folder that holds the database and the keys [default: bellwether-data]
    #[arg(long)]
    data: Option<PathBuf>,
    /// A postgres:// URL, instead of the embedded database
    #[arg(long)]
    database_url: Option<String>,
    /// A file with settings (TOML)
    #[arg(long)]
    config: Option<PathBuf>,
    /// For how many minutes the link is in force
    #[arg(long)]
    minutes: Option<u32>,
}

/// Make a link that lets somebody into the console, once
#[derive(clap::Args)]
pub struct LoginLink {
    /// Who is let in
    #[arg(default_value = "admin")]
    name: String,
    #[command(flatten)]
    installation: Installation,
}

/// Let another person in: with a role, and by a link to send them
#[derive(clap::Args)]
pub struct Invite {
    /// As the history is to call them
    name: String,
    /// read, write or admin
    #[arg(long, value_parser = role)]
    role: Role,
    #[command(flatten)]
    installation: Installation,
}

fn role(text: &str) -> Result<Role, String> {
    Role::parse(text).ok_or_else(|| "read, write and admin are allowed".to_owned())
}

impl LoginLink {
    pub async fn run(self) -> Result<(), String> {
        let (config, registry) = self.installation.open().await?;
        let people = registry.db().read(definitions::all::<Person>).await.map_err(|error| error.to_string())?;
        let person = people.iter().find(|person| person.body.name == self.name).ok_or_else(|| {
            let names: Vec<_> = people.iter().map(|person| person.body.name.as_str()).collect();
            format!(
                "there is no '{}'; there are: {}; let others in with bellwether invite",
                self.name,
                names.join(", ")
            )
        })?;
        let minutes = self.installation.minutes.unwrap_or(LINK_MINUTES);
        print_link(&config, &registry, person.id, &self.name, minutes).await
    }
}

impl Invite {
    pub async fn run(self) -> Result<(), String> {
        let minutes = self.installation.minutes.unwrap_or(INVITATION_MINUTES);
        // Before anything is made.
        check_minutes("--minutes", minutes).map_err(|error| error.to_string())?;
        let (config, registry) = self.installation.open().await?;
        let person = Person { name: self.name.clone(), role: self.role };
        let made = registry.define(Actor::System, person).await.map_err(|error| error.to_string())?;
        print_link(&config, &registry, made.id, &self.name, minutes).await
    }
}

impl Installation {
    async fn open(&self) -> Result<(Config, Registry), String> {
        let flags = Given { data: self.data.clone(), database_url: self.database_url.clone(), ..Given::default() };
        let environment = |name: &str| std::env::var(name).ok();
        let config = Config::load(flags, self.config.as_deref(), &environment).map_err(|error| error.to_string())?;
        let registry = app::open_beside(&config, Arc::new(SystemClock::start())).await;
        Ok((config, registry.map_err(|error| error.to_string())?))
    }
}

async fn print_link(
    config: &Config,
    registry: &Registry,
    person: PersonId,
    name: &str,
    minutes: u32,
) -> Result<(), String> {
    let (link, text) = registry.make_login_link(Actor::System, person, minutes).await.map_err(|error| match error {
        crate::registry::Error::Refused(Refusal::Invalid(errors)) => {
            errors.iter().map(|error| format!("--{}: {}", error.field, error.message)).collect::<Vec<_>>().join("; ")
        }
        other => other.to_string(),
    })?;
    println!("{}/login?token={text}", app::public_url(config, config.listen));
    eprintln!("It lets {name} in, once, until {}.", link.expires_at);
    Ok(())
}
