//! The audit trail: who changed what of anything, the latest first.

use std::collections::{HashMap, HashSet};

use askama::Template;
use axum::extract::Query;
use axum::response::Response;
use serde::Deserialize;

use super::TABS;
use crate::console::choices::Named;
use crate::console::experiment::history::Entry;
use crate::console::failure::Failure;
use crate::console::page::{Frame, List, escaped, filters, html};
use crate::console::visit::Visit;
use crate::console::webhooks::views::endpoints;

#[derive(Template)]
#[template(path = "console/administration/audit.html")]
struct Page<'a> {
    frame: &'a Frame,
    tabs: [&'static str; 4],
    tab: &'static str,
    entries: Vec<Trace>,
    /// What people call endpoints and each other, by ids.
    names: HashMap<String, String>,
    /// What the entries that are shown tell the end of.
    gone: HashSet<String>,
    next: Option<String>,
}

#[derive(Deserialize)]
struct Trace {
    subject: String,
    #[serde(flatten)]
    entry: Entry,
}

/// What each kind of id begins with, and where the page of such a thing is.
const PLACES: [(&str, &str); 12] = [
    ("per_", "administration/people#"),
    ("ep_", "endpoints/"),
    ("met_", "definitions/metrics/"),
    ("col_", "definitions/collections/"),
    ("fs_", "definitions/fact_sources/"),
    ("as_", "definitions/assignment_sources/"),
    ("wh_", "definitions/warehouses/"),
    ("ent_", "definitions/entities/"),
    ("sch_", "definitions/schedules/"),
    ("team_", "definitions/teams/"),
    ("evt_", "events/"),
    ("dlv_", "deliveries/"),
];

impl Trace {
    /// Where the thing can be looked at, unless it is gone.
    fn place(&self, gone: &HashSet<String>) -> Option<String> {
        if gone.contains(&self.subject) {
            return None;
        }
        if self.subject.parse::<u64>().is_ok() {
            return Some(format!("experiments/{}", self.subject));
        }
        let (_, place) = PLACES.iter().find(|(start, _)| self.subject.starts_with(start))?;
        Some(format!("{place}{}", self.subject))
    }

    fn name(&self, names: &HashMap<String, String>) -> String {
        match names.get(&self.subject) {
            Some(name) => name.clone(),
            None if self.subject.parse::<u64>().is_ok() => format!("experiment {}", self.subject),
            None => self.subject.clone(),
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub struct From {
    after: String,
}

pub async fn list(visit: Visit, Query(from): Query<From>) -> Result<Response, Failure> {
    let found: List<Trace> = visit.get(&format!("/audit?limit=100&after={}", escaped(&from.after))).await?;
    let people: Vec<Named> = visit.all("/people?").await?;
    let people = people.into_iter().map(|person| (person.id, person.name));
    let names = endpoints(&visit).await?.into_iter().chain(people).collect();
    let gone = found.items.iter().filter(|trace| trace.entry.action == "deleted").map(|trace| trace.subject.clone());
    let page = Page {
        frame: &visit.frame,
        tabs: TABS,
        tab: "audit",
        gone: gone.collect(),
        entries: found.items,
        names,
        next: found.next,
    };
    Ok(html(&visit.frame, page.render()))
}
