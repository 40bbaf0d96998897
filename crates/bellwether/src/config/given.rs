//! The settings as somebody gives them, by flag, in the environment or in a file. Each stands once in the table below: its
//! name, its type, how the environment says it, and which field of [`Config`] it sets.

use std::cell::Cell;
use std::fmt::Display;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::Deserialize;

use super::{Config, ConfigError, PublicUrl};
use crate::domain::address::Network;
use crate::domain::definition::Schedule;
use crate::domain::id::WarehouseId;
use crate::domain::input;

/// Reads an environment variable; handed in, so that tests decide what is set.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

macro_rules! settings {
    ($($name:ident: $type:ty, $read:path $(=> $($field:ident).+)?;)*) => {
        /// What is not given is `None`.
        #[derive(Debug, Default, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct Given {
            $(pub $name: Option<$type>,)*
        }

        impl Given {
            pub(super) fn from_environment(environment: Environment<'_>) -> Result<Self, ConfigError> {
                Ok(Self { $($name: $read(&Variable { name: stringify!($name), environment })?,)* })
            }

            /// What `lower` says of what is not said here.
            pub(super) fn over(self, lower: Self) -> Self {
                Self { $($name: self.$name.over(lower.$name),)* }
            }

            /// Sets what has a field of its own; takes nothing else.
            pub(super) fn apply(&mut self, config: &mut Config) {
                $($(if let Some(value) = self.$name.take() {
                    config.$($field).+ = value.into();
                })?)*
            }
        }
    };
}

settings! {
    listen: SocketAddr, parsed => listen;
    tls_cert: Absolute, parsed;
    tls_key: Absolute, parsed;
    listen_without_tls: bool, parsed => listen_without_tls;
    trusted_proxies: Vec<Network>, list => trusted_proxies;
    public_url: PublicUrl, parsed => public_url;
    data: PathBuf, path;
    database_url: String, secret => database_url;
    database_ca_file: Absolute, parsed => database_ca_file;
    admin_key: String, secret => admin_key;
    secret_key: String, secret => secret_key;
    allow_networks: Vec<Network>, list => addresses.allow_networks;
    allow_http: bool, parsed => addresses.allow_http;
    outbound_proxy: String, secret;
    proxy_resolves: bool, parsed;
    outbound_ca_file: Absolute, parsed;
    outbound_client_cert_file: Absolute, parsed;
    outbound_client_key_file: Absolute, parsed;
    files_roots: Roots, parsed => files_roots;
    default_schedule: DefaultSchedule, schedule => default_schedule;
    default_warehouse_id: WarehouseId, parsed => default_warehouse_id;
    run_timeout_seconds: u64, parsed => run_timeout_seconds;
    run_memory_mib: u64, parsed => run_memory_mib;
    max_runs: usize, parsed => max_runs;
    retention_days: u64, parsed => retention_days;
    max_upload_bytes: u64, parsed => max_upload_bytes;
    max_connections: usize, parsed => max_connections;
}

impl Given {
    pub(super) fn from_file(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| ConfigError(format!("cannot read {}: {error}", path.display())))?;
        // What the library says by itself shows the line, in which a secret may stand.
        let table: toml::Table = toml::from_str(&text).map_err(|error| {
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            let line = before.matches('\n').count() + 1;
            ConfigError(format!("{}, line {line}: {}", path.display(), error.message()))
        })?;
        let wrong = |error: &dyn Display| ConfigError(format!("{}: {error}", path.display()));
        match serde_json::to_value(table) {
            Ok(serde_json::Value::Object(fields)) => input::read(fields).map_err(|refusal| wrong(&refusal)),
            Ok(_) => Ok(Self::default()),
            Err(error) => Err(wrong(&error)),
        }
    }
}

/// Variables beside the settings: those of other commands.
const OTHER_VARIABLES: [&str; 4] = ["BELLWETHER_KEY", "BELLWETHER_LOG", "BELLWETHER_SECRET", "BELLWETHER_URL"];

/// Whether a variable called like ours means nothing, and so is a mistake: nobody asks for it.
pub fn is_unknown(variable: &str) -> bool {
    let is_asked_for = Cell::new(OTHER_VARIABLES.contains(&variable));
    let environment = |asked: &str| {
        is_asked_for.set(is_asked_for.get() || asked == variable);
        None
    };
    // With nothing set, nothing is wrong.
    let _ = Given::from_environment(&environment);
    variable.starts_with("BELLWETHER_") && !is_asked_for.get()
}

/// A value that is given in several places: what stands above goes before what stands below.
trait Layered: Sized {
    /// Whole, unless it has parts that are given one by one.
    fn over(self, _lower: Self) -> Self {
        self
    }
}

impl<T: Layered> Layered for Option<T> {
    fn over(self, lower: Self) -> Self {
        match (self, lower) {
            (Some(given), Some(lower)) => Some(given.over(lower)),
            (given, lower) => given.or(lower),
        }
    }
}

impl Layered for bool {}
impl Layered for u64 {}
impl Layered for usize {}
impl Layered for String {}
impl Layered for SocketAddr {}
impl Layered for PathBuf {}
impl Layered for Absolute {}
impl Layered for Roots {}
impl Layered for Vec<Network> {}
impl Layered for PublicUrl {}
impl Layered for WarehouseId {}

impl Layered for DefaultSchedule {
    fn over(self, lower: Self) -> Self {
        Self { cron: self.cron.over(lower.cron), time_zone: self.time_zone.over(lower.time_zone) }
    }
}

/// A path that means the same wherever a process is started.
#[derive(Debug, Clone, Deserialize)]
#[serde(from = "PathBuf")]
pub struct Absolute(PathBuf);

impl From<PathBuf> for Absolute {
    fn from(path: PathBuf) -> Self {
        Self(std::path::absolute(&path).unwrap_or(path))
    }
}

impl FromStr for Absolute {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(PathBuf::from(text).into())
    }
}

impl From<Absolute> for PathBuf {
    fn from(path: Absolute) -> Self {
        path.0
    }
}

impl From<Absolute> for Option<PathBuf> {
    fn from(path: Absolute) -> Self {
        Some(path.0)
    }
}

/// Folders; in the environment with commas between.
#[derive(Debug, Deserialize)]
pub struct Roots(Vec<Absolute>);

impl FromStr for Roots {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(items(text).map(|item| PathBuf::from(item).into()).collect()))
    }
}

impl From<Roots> for Vec<PathBuf> {
    fn from(roots: Roots) -> Self {
        roots.0.into_iter().map(PathBuf::from).collect()
    }
}

/// When experiments run that have no schedule of their own; what is left out is as usual.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DefaultSchedule {
    cron: Option<String>,
    time_zone: Option<String>,
}

impl From<DefaultSchedule> for Schedule {
    fn from(given: DefaultSchedule) -> Self {
        Self {
            name: "default".to_owned(),
            cron: given.cron.unwrap_or_else(|| "0 6 * * *".to_owned()),
            time_zone: given.time_zone.unwrap_or_else(|| "UTC".to_owned()),
        }
    }
}

impl DefaultSchedule {
    pub const DEFAULT: Self = Self { cron: None, time_zone: None };
}

/// What the environment says of a setting.
struct Variable<'a> {
    name: &'static str,
    environment: Environment<'a>,
}

impl Variable<'_> {
    fn name(&self) -> String {
        format!("BELLWETHER_{}", self.name.to_ascii_uppercase())
    }

    fn text(&self) -> Option<String> {
        (self.environment)(&self.name())
    }
}

fn path(variable: &Variable<'_>) -> Result<Option<PathBuf>, ConfigError> {
    Ok(variable.text().map(PathBuf::from))
}

fn parsed<T: FromStr<Err: Display>>(variable: &Variable<'_>) -> Result<Option<T>, ConfigError> {
    let Some(text) = variable.text() else { return Ok(None) };
    text.parse()
        .map(Some)
        .map_err(|error| ConfigError(format!("{}: '{text}' cannot be used: {error}", variable.name())))
}

/// Several values in one variable stand with commas between.
fn list<T: FromStr<Err: Display>>(variable: &Variable<'_>) -> Result<Option<Vec<T>>, ConfigError> {
    let Some(text) = variable.text() else { return Ok(None) };
    let wrong = |error: T::Err| ConfigError(format!("{}: {error}", variable.name()));
    items(&text).map(|item| item.parse().map_err(wrong)).collect::<Result<_, _>>().map(Some)
}

fn items(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty())
}

/// A secret stands in the variable itself, or in the file that the variable with `_FILE` names.
fn secret(variable: &Variable<'_>) -> Result<Option<String>, ConfigError> {
    if let Some(text) = variable.text() {
        return Ok(Some(text));
    }
    let name = format!("{}_FILE", variable.name());
    let Some(path) = (variable.environment)(&name) else { return Ok(None) };
    let text =
        std::fs::read_to_string(&path).map_err(|error| ConfigError(format!("{name}: cannot read {path}: {error}")))?;
    Ok(Some(text.trim().to_owned()))
}

/// The cron expression stands in the variable itself, its time zone in one of its own.
fn schedule(variable: &Variable<'_>) -> Result<Option<DefaultSchedule>, ConfigError> {
    let given =
        DefaultSchedule { cron: variable.text(), time_zone: (variable.environment)("BELLWETHER_DEFAULT_TIME_ZONE") };
    Ok((given.cron.is_some() || given.time_zone.is_some()).then_some(given))
}
