//! The database itself: whether it can be reached, its schema, whether its file is whole, what PostgreSQL allows, and whether
//! clocks agree.

use std::time::Duration;

use super::Subject;
use crate::domain::check::Check;
use crate::domain::clock::Timestamp;
use crate::store::condition::{self, Server};
use crate::store::{CONNECTIONS_OF_A_NODE, Location, StoreError, lived, newest_schema};

/// PostgreSQL 15.
const OLDEST_SERVER: i64 = 150_000;
/// Clocks that differ by less agree.
const SMALL_SKEW: Duration = Duration::from_secs(2);
/// What was seen last is noted every minute.
const NOTED_EVERY: Duration = Duration::from_secs(120);
const SET_CLOCK: &str = "set the machines' clocks by NTP: changes by date go by them";

/// The checks, and whether what is stored can be read by this program.
pub fn examine(subject: &Subject) -> (Vec<Check>, bool) {
    if let Location::Sqlite(path) = &subject.location
        && !path.exists()
    {
        let finding = format!("{} is not there", path.display());
        let advice = "start the server, which makes it; or restore a backup; or give another folder with --data";
        return (vec![Check::warning("database", finding, advice)], false);
    }
    let looked = subject.look(|tx| Ok((condition::engine_version(tx)?, condition::schema_version(tx)?)));
    let (engine, version) = match looked {
        Ok(found) => found,
        Err(error) => return (vec![unreachable(&subject.location, &error)], false),
    };
    let mut checks = vec![Check::ok("database", format!("{engine}, {}", place(&subject.location)))];
    let (schema, is_readable) = schema(version, newest_schema());
    checks.push(schema);
    match subject.location {
        Location::Sqlite(_) => {
            checks.push(integrity(&subject.look(condition::damage)));
            if is_readable {
                checks.push(own_clock(&subject.look(lived::last_seen), subject.clock.now()));
            }
        }
        Location::Postgres(_) => checks.extend(of_server(subject)),
    }
    (checks, is_readable)
}

/// Where it lies, without a password.
fn place(location: &Location) -> String {
    match location {
        Location::Sqlite(path) => path.display().to_string(),
        Location::Postgres(_) => "as database_url says".to_owned(),
    }
}

fn unreachable(location: &Location, error: &StoreError) -> Check {
    let advice = match (location, error) {
        (_, StoreError::Damaged(_)) => "keep a copy of the file, then restore the last backup",
        (Location::Sqlite(_), _) => "run doctor as the user that runs the server",
        (Location::Postgres(_), _) => "check database_url, that PostgreSQL runs, and that it lets this machine in",
    };
    Check::failure("database", error.to_string(), advice)
}

fn schema(found: Option<i64>, newest: i64) -> (Check, bool) {
    let name = "schema";
    match found {
        None => (Check::warning(name, "there is no schema yet", "start the server, which makes it"), false),
        Some(version) if version == newest => (Check::ok(name, format!("version {version}")), true),
        Some(version) if version > newest => {
            let finding = format!("version {version}; this program knows up to {newest}");
            (Check::failure(name, finding, "take the program that made it, or a newer one"), false)
        }
        Some(version) => {
            let finding =
                format!("version {version}; this program's is {newest}, and what is stored cannot be looked at");
            (Check::warning(name, finding, "make a backup; the next start brings it up to date"), false)
        }
    }
}

fn integrity(damage: &Result<Option<String>, StoreError>) -> Check {
    let name = "integrity";
    let advice =
        "stop the server, keep a copy of the file, then restore the last backup, or what `sqlite3 FILE .recover` saves";
    match damage {
        Ok(None) => Check::ok(name, "the file was read through and is whole"),
        Ok(Some(damage)) => Check::failure(name, format!("the file is damaged: {damage}"), advice),
        Err(error) => Check::failure(name, error.to_string(), advice),
    }
}

fn own_clock(last_seen: &Result<Option<Timestamp>, StoreError>, now: Timestamp) -> Check {
    let name = "clock";
    match last_seen {
        Ok(Some(seen)) if *seen > now.plus(NOTED_EVERY) => {
            let behind = seen.since(now).as_secs();
            let finding = format!("it shows {now}, {behind} s before what it showed when the server was last seen");
            Check::warning(name, finding, SET_CLOCK)
        }
        Ok(_) => Check::ok(name, format!("it shows {now}, which is after all that was stored")),
        Err(error) => Check::skipped(name, error.to_string()),
    }
}

fn of_server(subject: &Subject) -> Vec<Check> {
    let (before, began) = (subject.clock.now(), subject.clock.monotonic());
    let server = match subject.look(|tx| {
        let asked = subject.clock.monotonic();
        Ok((condition::server(tx)?, asked, subject.clock.monotonic()))
    }) {
        Ok((Some(server), asked, answered)) => {
            // It answered some time between.
            let middle = asked + answered.saturating_sub(asked) / 2;
            (server, before.plus(middle.saturating_sub(began)))
        }
        Ok((None, ..)) => return vec![Check::skipped("postgresql", "it says nothing of itself")],
        Err(error) => return vec![Check::failure("postgresql", error.to_string(), "check the role's grants")],
    };
    let (server, now) = server;
    vec![version(&server), role(&server), connections(&server), clock(server.clock, now)]
}

fn version(server: &Server) -> Check {
    let finding = format!("PostgreSQL {}.{}", server.version / 10_000, server.version % 10_000);
    if server.version >= OLDEST_SERVER {
        return Check::ok("postgresql", finding);
    }
    Check::failure("postgresql", format!("{finding}; 15 or later is needed"), "upgrade PostgreSQL")
}

fn role(server: &Server) -> Check {
    let role = &server.role;
    if !server.is_superuser {
        return Check::ok("role", format!("the role {role} is no superuser"));
    }
    let advice = "make a role that owns this database and nothing else, and name it in database_url";
    Check::warning("role", format!("the role {role} is a superuser, and may do anything to the whole server"), advice)
}

fn connections(server: &Server) -> Check {
    let Server { connections, most_connections, .. } = server;
    let free = most_connections.saturating_sub(*connections);
    let finding = format!("{connections} of {most_connections} are in use; a node takes {CONNECTIONS_OF_A_NODE}");
    if free >= CONNECTIONS_OF_A_NODE as u64 {
        return Check::ok("connections", finding);
    }
    let advice = "raise max_connections of PostgreSQL before another node is started";
    Check::warning("connections", finding, advice)
}

fn clock(theirs: Timestamp, ours: Timestamp) -> Check {
    let skew = ours.since(theirs).max(theirs.since(ours));
    let word = if ours > theirs { "ahead of" } else { "behind" };
    let finding = format!("this machine's is {:.3} s {word} the database's", skew.as_secs_f64());
    if skew <= SMALL_SKEW { Check::ok("clock", finding) } else { Check::warning("clock", finding, SET_CLOCK) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::check::Verdict;

    const NOW: Timestamp = Timestamp::from_micros(1_795_420_800_000_000);

    fn server() -> Server {
        Server {
            version: 150_004,
            role: "bellwether".to_owned(),
            is_superuser: false,
            connections: 20,
            most_connections: 97,
            clock: NOW,
        }
    }

    #[test]
    fn what_postgresql_is_to_us_is_judged() {
        assert_eq!(version(&server()), Check::ok("postgresql", "PostgreSQL 15.4"));
        assert_eq!(version(&Server { version: 140_011, ..server() }).verdict, Verdict::Failure);
        assert_eq!(role(&server()).verdict, Verdict::Ok);
        assert_eq!(role(&Server { is_superuser: true, ..server() }).verdict, Verdict::Warning);
        assert_eq!(connections(&Server { connections: 82, ..server() }).verdict, Verdict::Ok);
        assert_eq!(connections(&Server { connections: 83, ..server() }).verdict, Verdict::Warning);
    }

    #[test]
    fn clocks_that_differ_are_told_by_how_much_and_which_way() {
        assert_eq!(clock(NOW, NOW.plus(Duration::from_millis(1500))).verdict, Verdict::Ok);
        let ahead = clock(NOW, NOW.plus(Duration::from_secs(90)));
        assert!(ahead.verdict == Verdict::Warning && ahead.finding.contains("90.000 s ahead of"), "{ahead:?}");
        let behind = clock(NOW.plus(Duration::from_secs(5)), NOW);
        assert!(behind.verdict == Verdict::Warning && behind.finding.contains("5.000 s behind"), "{behind:?}");
        assert_eq!(own_clock(&Ok(Some(NOW)), NOW).verdict, Verdict::Ok);
        assert_eq!(own_clock(&Ok(None), NOW).verdict, Verdict::Ok);
        let back = own_clock(&Ok(Some(NOW.plus(Duration::from_hours(1)))), NOW);
        assert!(back.verdict == Verdict::Warning && back.finding.contains("3600 s before"), "{back:?}");
    }

    #[test]
    fn a_schema_of_another_version_is_not_read() {
        for (found, verdict, is_readable) in [
            (Some(11), Verdict::Ok, true),
            (Some(10), Verdict::Warning, false),
            (Some(12), Verdict::Failure, false),
            (None, Verdict::Warning, false),
        ] {
            let (check, readable) = schema(found, 11);
            assert_eq!((check.verdict, readable), (verdict, is_readable));
        }
    }
}
