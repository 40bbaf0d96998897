//! What is stored: whether secrets can be opened, warehouses read, and whether what is owed goes out.

use std::path::PathBuf;
use std::time::Duration;

use bellwether_warehouse::WarehouseConfig;

use super::Subject;
use crate::domain::check::Check;
use crate::domain::clock::Timestamp;
use crate::domain::endpoint::{Endpoint, EndpointState};
use crate::domain::warehouse::Warehouse;
use crate::registry::warehouse_config;
use crate::store::definitions::{self, Definition};
use crate::store::endpoints::{self, Listed};
use crate::store::overview::{self, Backlog};
use crate::store::{Location, StoreError, Tx, settings};

const PAGE: u32 = 250;
/// Of a list in a finding, the rest is counted.
const MOST_NAMED: usize = 5;
/// What is pending for longer is worth a look: see docs/operating.md, on alerts.
const LONG_PENDING: Duration = Duration::from_secs(600);

/// What was read, or why it could not be.
pub struct Contents {
    key_name: Result<Option<String>, StoreError>,
    /// Nothing where there is no key to open them with.
    pub endpoints: Result<Vec<Listed>, StoreError>,
    warehouses: Result<Vec<Definition<Warehouse>>, StoreError>,
    nodes: Result<u64, StoreError>,
    backlogs: Result<Vec<Backlog>, StoreError>,
}

impl Contents {
    pub fn of(subject: &Subject) -> Self {
        let endpoints = match subject.vault() {
            Ok(Some(vault)) => subject
                .look(|tx| pages(tx, |tx, after| endpoints::list(tx, &vault, after, PAGE), |one| one.id().to_string())),
            Ok(None) => Ok(Vec::new()),
            Err(error) => Err(StoreError::Failed(error.to_string())),
        };
        Self {
            key_name: subject.look(|tx| settings::get(tx, settings::SECRET_KEY_NAME)),
            endpoints,
            warehouses: subject.look(definitions::all::<Warehouse>),
            nodes: subject.look(overview::count_nodes),
            backlogs: subject.look(overview::backlogs),
        }
    }

    /// Those that webhooks are sent to, if they can be read.
    pub fn enabled(&self) -> impl Iterator<Item = &Endpoint> {
        self.endpoints.iter().flatten().filter_map(|listed| match listed {
            Listed::Read(endpoint) if endpoint.state == EndpointState::Enabled => Some(&**endpoint),
            _ => None,
        })
    }
}

/// A list, page by page.
fn pages<T>(
    tx: &mut dyn Tx,
    page: impl Fn(&mut dyn Tx, &str) -> Result<Vec<T>, StoreError>,
    id: impl Fn(&T) -> String,
) -> Result<Vec<T>, StoreError> {
    let (mut all, mut after) = (Vec::new(), String::new());
    loop {
        let next = page(tx, &after)?;
        let Some(last) = next.last() else { return Ok(all) };
        after = id(last);
        all.extend(next);
    }
}

/// The first few of a list, and how many more there are.
pub fn named(all: &[String]) -> String {
    let shown = all.iter().take(MOST_NAMED).cloned().collect::<Vec<_>>().join("; ");
    if all.len() > MOST_NAMED { format!("{shown}; and {} more", all.len() - MOST_NAMED) } else { shown }
}

pub fn examine(subject: &Subject, contents: Option<&Contents>) -> Vec<Check> {
    let Some(contents) = contents else {
        let names = ["secrets", "warehouses", "nodes", "deliveries"];
        return names.map(|name| Check::skipped(name, "what is stored cannot be looked at")).into();
    };
    vec![
        secrets(subject, contents),
        warehouses(&contents.warehouses, &subject.files_roots),
        nodes(&subject.location, &contents.nodes),
        deliveries(&contents.backlogs, subject.clock.now()),
    ]
}

fn unread(name: &'static str, error: &StoreError) -> Check {
    Check::failure(name, error.to_string(), "mend the row, or restore the last backup")
}

fn secrets(subject: &Subject, contents: &Contents) -> Check {
    let name = "secrets";
    let put_key = "put the secret.key that belongs to this database into the data folder, or give it as secret_key";
    let vault = match subject.vault() {
        Ok(vault) => vault,
        Err(error) => return Check::failure(name, error.to_string(), put_key),
    };
    let bound = match &contents.key_name {
        Ok(bound) => bound.as_deref(),
        Err(error) => return unread(name, error),
    };
    let here = vault.map(|vault| match bound {
        Some(bound) if vault.has_key(bound) => bound.to_owned(),
        _ => vault.key_name(),
    });
    let own = match (here, bound) {
        (None, None) => return Check::skipped(name, "nothing is encrypted yet"),
        (None, Some(bound)) => {
            return Check::failure(
                name,
                format!("they are encrypted with the key {bound}, which is not here"),
                put_key,
            );
        }
        (Some(own), Some(bound)) if own != bound => {
            let finding = format!("they are encrypted with the key {bound}, and the one here is {own}");
            return Check::failure(name, finding, put_key);
        }
        (Some(own), _) => own,
    };
    let listed = match &contents.endpoints {
        Ok(listed) => listed,
        Err(error) => return unread(name, error),
    };
    let of_unreadable = |listed: &Listed| match listed {
        Listed::Unreadable { id, reason } => Some(format!("{id}: {reason}")),
        Listed::Read(_) => None,
    };
    let unreadable: Vec<_> = listed.iter().filter_map(of_unreadable).collect();
    let all = listed.len();
    if unreadable.is_empty() {
        return Check::ok(name, format!("the key {own} opens those of all {all} endpoints"));
    }
    let finding = format!("{} of {all} endpoints cannot be read: {}", unreadable.len(), named(&unreadable));
    Check::failure(name, finding, "give such an endpoint its URL and headers anew, or restore the last backup")
}

fn warehouses(found: &Result<Vec<Definition<Warehouse>>, StoreError>, roots: &[PathBuf]) -> Check {
    let name = "warehouses";
    let found = match found {
        Ok(found) => found,
        Err(error) => return unread(name, error),
    };
    let looked = |warehouse: &Definition<Warehouse>| {
        let config: WarehouseConfig = warehouse_config(&warehouse.body.engine, roots);
        config.look().err().map(|failure| format!("'{}': {failure}", warehouse.body.name))
    };
    let wrong: Vec<_> = found.iter().filter_map(looked).collect();
    if wrong.is_empty() {
        return Check::ok(name, format!("all {} can be read", found.len()));
    }
    let finding = format!("{} of {} cannot be read: {}", wrong.len(), found.len(), named(&wrong));
    Check::failure(name, finding, "correct the warehouse's path, its folder's permissions, or files_roots")
}

fn nodes(location: &Location, found: &Result<u64, StoreError>) -> Check {
    match (location, found) {
        (Location::Sqlite(_), _) => Check::skipped("nodes", "an embedded database has one process"),
        (_, Ok(0)) => Check::ok("nodes", "no server runs"),
        (_, Ok(count)) => Check::ok("nodes", format!("{count} share the database")),
        (_, Err(error)) => unread("nodes", error),
    }
}

fn deliveries(found: &Result<Vec<Backlog>, StoreError>, now: Timestamp) -> Check {
    let name = "deliveries";
    let backlogs = match found {
        Ok(backlogs) => backlogs,
        Err(error) => return unread(name, error),
    };
    let pending: u64 = backlogs.iter().map(|backlog| backlog.live + backlog.behind).sum();
    let ages = backlogs.iter().filter_map(|backlog| {
        let age = now.since(backlog.oldest?.made_at());
        Some((age, backlog.endpoint_id))
    });
    let Some((oldest, endpoint)) = ages.max() else {
        return Check::ok(name, format!("{pending} are pending"));
    };
    let finding = format!("{pending} are pending, the oldest live one for {} s, to {endpoint}", oldest.as_secs());
    if oldest <= LONG_PENDING {
        return Check::ok(name, finding);
    }
    let advice = format!("GET endpoints/{endpoint} says how its lane stands, and what failed; is a server running?");
    Check::warning(name, finding, advice)
}
