//! The list of experiments: what stands where, found by words, status, owner, tag.

use askama::Template;
use axum::extract::Query;
use axum::response::Response;
use serde::{Deserialize, Serialize};

use super::experiment::Experiment;
use super::failure::Failure;
use super::page::{Frame, List, filters, html};
use super::visit::Visit;
use crate::domain::status::Status;

/// What was asked for; the API says what is allowed.
#[derive(Debug, Default, Clone, Deserialize, Serialize)]
#[serde(default)]
pub struct Filter {
    search: String,
    status: String,
    owner: String,
    tag: String,
    sort: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    with_archived: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    after: String,
}

/// Orders that people look through a list in, and what these are called.
const SORTS: [(&str, &str); 5] = [
    ("-updated_at", "changed last"),
    ("-created_at", "made last"),
    ("created_at", "made first"),
    ("name", "name"),
    ("-name", "name, from the end"),
];

impl Filter {
    fn query(&self) -> String {
        let is_set = |(_, value): &(&str, &String)| !value.is_empty();
        let sort = if self.sort.is_empty() { SORTS[0].0.to_owned() } else { self.sort.clone() };
        let pairs = [
            ("search", &self.search),
            ("status", &self.status),
            ("owner", &self.owner),
            ("tag", &self.tag),
            ("with_archived", &self.with_archived),
            ("after", &self.after),
            ("sort", &sort),
        ];
        serde_urlencoded::to_string(pairs.into_iter().filter(is_set).collect::<Vec<_>>()).unwrap_or_default()
    }

    fn is_empty(&self) -> bool {
        [&self.search, &self.status, &self.owner, &self.tag, &self.after].iter().all(|value| value.is_empty())
    }

    /// The same list from there on.
    fn from(&self, after: &str) -> String {
        Self { after: after.to_owned(), ..self.clone() }.query()
    }
}

#[derive(Template)]
#[template(path = "console/experiments.html")]
struct Page<'a> {
    frame: &'a Frame,
    filter: &'a Filter,
    statuses: [Status; 5],
    sorts: [(&'static str, &'static str); 5],
    experiments: Vec<Experiment>,
    /// Whether all that there is was put away.
    has_archived: bool,
    next: Option<String>,
    /// What is wrong with the filter.
    refused: Option<String>,
}

impl Page<'_> {
    /// What an address asks for that the form does not offer: it stands in the form all the same.
    fn other_status(&self) -> Option<&str> {
        let status = self.filter.status.as_str();
        let is_offered = status.is_empty() || self.statuses.iter().any(|offered| offered.as_str() == status);
        (!is_offered).then_some(status)
    }

    fn other_sort(&self) -> Option<&str> {
        let sort = self.filter.sort.as_str();
        let is_offered = sort.is_empty() || self.sorts.iter().any(|(offered, _)| *offered == sort);
        (!is_offered).then_some(sort)
    }
}

pub async fn list(visit: Visit, Query(filter): Query<Filter>) -> Result<Response, Failure> {
    let found = visit.filtered(&format!("/experiments?limit=50&{}", filter.query())).await?;
    let (found, refused): (List<Experiment>, _) =
        found.map_or_else(|text| (List::default(), Some(text)), |it| (it, None));
    let next = found.next.map(|after| filter.from(&after));
    let has_archived = found.items.is_empty() && filter.is_empty() && {
        let any: List<Experiment> = visit.get("/experiments?limit=1&with_archived=true").await?;
        !any.items.is_empty()
    };
    let page = Page {
        frame: &visit.frame,
        filter: &filter,
        statuses: Status::ALL,
        sorts: SORTS,
        experiments: found.items,
        has_archived,
        refused,
        next,
    };
    Ok(html(&visit.frame, page.render()))
}
