//! `bellwether backup` and `bellwether restore`: the embedded database as one file, and back. The key that encrypts secrets
//! is not in it.

use std::fs::File;
use std::path::{Path, PathBuf};

use crate::app::folder;
use crate::config::{Config, Given};
use crate::platform::secret::{Vault, sync_folder_of};
use crate::store::copy::{self, Copy};
use crate::store::settings::SECRET_KEY_NAME;

/// Copy the embedded database into one file, whether a server uses it or not
#[derive(clap::Args)]
pub struct Backup {
    /// The folder that holds the database [default: bellwether-data]
    #[arg(long)]
    data: Option<PathBuf>,
    /// A file with settings (TOML)
    #[arg(long)]
    config: Option<PathBuf>,
    /// The file to write; it must not be there
    #[arg(long)]
    to: PathBuf,
}

/// Put a backup into a data folder that has no database
#[derive(clap::Args)]
pub struct Restore {
    /// The folder that the database is to lie in [default: bellwether-data]
    #[arg(long)]
    data: Option<PathBuf>,
    /// A file with settings (TOML)
    #[arg(long)]
    config: Option<PathBuf>,
    /// The backup
    #[arg(long)]
    from: PathBuf,
}

impl Backup {
    pub fn run(self) -> Result<(), String> {
        let config = load(self.data, self.config.as_deref())?;
        let database = config.data.join(folder::DATABASE[0]);
        if !database.is_file() {
            return Err(format!("there is no database in {}; give its folder with --data", config.data.display()));
        }
        let partial = beside(&self.to)?;
        let made = copy::make(&database, &partial, SECRET_KEY_NAME).map_err(|error| error.to_string());
        let placed = made.and_then(|made| place(&partial, &self.to).map(|()| made));
        let made = placed.inspect_err(|_| drop(std::fs::remove_file(&partial)))?;
        println!("{} holds the database (schema {}), whole and read through.", self.to.display(), made.schema_version);
        if made.secret_key_name.is_some() {
            println!(
                "{}/secret.key is not in it, and without it secrets are lost: keep it apart.",
                config.data.display()
            );
        }
        Ok(())
    }
}

impl Restore {
    pub fn run(self) -> Result<(), String> {
        let config = load(self.data, self.config.as_deref())?;
        let found = copy::look(&self.from, SECRET_KEY_NAME).map_err(|error| error.to_string())?;
        let _claim = folder::claim(&config.data).map_err(|error| error.to_string())?;
        let database = config.data.join(folder::DATABASE[0]);
        if let Some(there) = folder::DATABASE.iter().map(|name| config.data.join(name)).find(|path| path.exists()) {
            return Err(format!("{} is there; move it away, or give another folder with --data", there.display()));
        }
        let partial = beside(&database)?;
        // What lies in a log beside it belongs to it.
        let copied = copy::make(&self.from, &partial, SECRET_KEY_NAME).map_err(|error| error.to_string());
        copied.and_then(|_| place(&partial, &database)).inspect_err(|_| drop(std::fs::remove_file(&partial)))?;
        println!("{} was put into {}.", self.from.display(), config.data.display());
        tell_of_key(&config, &found)
    }
}

/// A database whose key is missing is refused at the start: better said now.
fn tell_of_key(config: &Config, found: &Copy) -> Result<(), String> {
    let Some(name) = &found.secret_key_name else { return Ok(()) };
    let path = config.data.join("secret.key");
    let vault = match &config.secret_key {
        Some(text) => Vault::with_key_text(text).map(Some),
        None => Vault::read(&path),
    };
    match vault.map_err(|error| error.to_string())? {
        Some(vault) if vault.has_key(name) => {}
        Some(_) => println!(
            "Its secrets were encrypted with another key than {}: put the one back that belongs to it.",
            path.display()
        ),
        None => println!(
            "Now put the secret.key that belongs to it into {}: without it the server does not start.",
            config.data.display()
        ),
    }
    Ok(())
}

fn load(data: Option<PathBuf>, file: Option<&Path>) -> Result<Config, String> {
    let given = Given { data, ..Given::default() };
    let config = Config::load(given, file, &|name| std::env::var(name).ok()).map_err(|error| error.to_string())?;
    match &config.database_url {
        Some(_) => {
            Err("the settings name a PostgreSQL database: copy it with pg_dump, and put it back with pg_restore"
                .to_owned())
        }
        None => Ok(config),
    }
}

/// Where a file is written before it has its name. A name that is taken is refused.
fn beside(path: &Path) -> Result<PathBuf, String> {
    if path.exists() {
        return Err(format!("{} is there already; give another name", path.display()));
    }
    let name = path.file_name().ok_or_else(|| format!("{} is no name of a file", path.display()))?;
    let partial = path.with_file_name(format!(".{}.partial", name.to_string_lossy()));
    match std::fs::remove_file(&partial) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(in_file(&partial, &error)),
        _ => Ok(partial),
    }
}

/// For its owner alone, on disk, and under its name.
fn place(partial: &Path, path: &Path) -> Result<(), String> {
    folder::make_private(partial);
    let synced = File::open(partial).and_then(|file| file.sync_all()).map_err(|error| in_file(partial, &error));
    synced?;
    std::fs::rename(partial, path).map_err(|error| in_file(path, &error))?;
    sync_folder_of(path).map_err(|error| in_file(path, &error))
}

fn in_file(path: &Path, error: &std::io::Error) -> String {
    format!("{}: {error}", path.display())
}
