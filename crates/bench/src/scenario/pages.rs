//! What pages of long lists of experiments cost: filtered, searched and sorted, the first and a late one; of many experiments
//! against few; and the same lists as pages of the console.

use std::time::Duration;

use bellwether_bench::Problem;
use bellwether_bench::api::Api;
use bellwether_bench::load::{self, now, request};
use clap::Args;
use serde_json::{Value, json};

use crate::database;
use crate::report::{Figure, Goal, Measured};
use crate::stage::{Place, Stage};
use crate::visitor::Visitor;

const CONNECTIONS: usize = 32;
/// Words that names are made of, the first of them far more often than the last.
const WORDS: usize = 2000;
/// Each page is asked for so many times.
const TIMES: usize = 40;
const LATE_PAGE: usize = 400;
const LISTS: [&str; 12] = [
    "limit=250",
    "sort=-updated_at",
    "sort=name",
    "with_archived=true&sort=-id",
    "status=draft",
    "status=running",
    "search=w0",
    "search=w1900",
    "search=w0+w3+every",
    "search=w19&sort=-name",
    "owner=user7",
    "tag=tag3&sort=-updated_at",
];

/// As somebody looks at them, 50 on a page.
const CONSOLE_LISTS: [&str; 6] =
    ["", "status=draft", "search=w0+w3+every", "owner=user7", "tag=tag3", "search=w19&sort=-name&with_archived=true"];

#[derive(Args)]
pub struct Pages {
    #[arg(long, default_value_t = 100_000)]
    many: usize,
    #[arg(long, default_value_t = 1000)]
    few: usize,
}

/// What was measured of one list: how many things a first page had, and the time that first and late pages took.
struct List {
    items: usize,
    first: Vec<Duration>,
    late: Vec<Duration>,
}

/// What was measured of so many experiments.
struct Found {
    lists: Vec<List>,
    one: Vec<Duration>,
    console: Vec<Duration>,
}

impl Pages {
    pub async fn run(&self, place: &Place) -> Result<Vec<Figure>, Problem> {
        let few = measure(place, self.few).await?.lists;
        let Found { lists: many, one, console } = measure(place, self.many).await?;
        let all = many.iter().flat_map(|list| [&list.first[..], &list.late[..]].concat()).collect();
        let mut worst: f64 = 0.0;
        for ((query, few), many) in LISTS.iter().zip(few).zip(many) {
            // Pages of different lengths are not compared.
            if few.items == many.items {
                let ratio = Measured::of(many.first).at(0.5) / Measured::of(few.first).at(0.5);
                println!("{query}: {} of {} took {ratio:.2} × as long as of {}", many.items, self.many, self.few);
                worst = worst.max(ratio);
            }
        }
        let of = format!("of {} experiments", self.many);
        Ok(vec![
            Figure::of(
                format!("pages {of}, p99, first and {LATE_PAGE}th"),
                Measured::of(all).at(0.99),
                " ms",
                Goal::AtMost(50.0),
            ),
            Figure::of(
                format!("the console's list {of}, p99"),
                Measured::of(console).at(0.99),
                " ms",
                Goal::AtMost(50.0),
            ),
            Figure::of(format!("one {of}, p99"), Measured::of(one).at(0.99), " ms", Goal::AtMost(5.0)),
            Figure::of(
                format!("a first page {of} against {}, p50, the worst list", self.few),
                worst,
                " ×",
                Goal::AtMost(2.0),
            ),
        ])
    }
}

/// Every list, and single experiments, of so many.
async fn measure(place: &Place, count: usize) -> Result<Found, Problem> {
    let stage = Stage::set(place, 0).await?;
    let requests = (0..count).map(|n| request("POST", "/experiments", &experiment(n).to_string())).collect();
    load::send_all(stage.server.address(), CONNECTIONS, requests).await?;
    place.database_url.as_deref().map(database::vacuum).transpose()?;
    let api = stage.server.api();
    let mut lists = Vec::new();
    for query in LISTS {
        let path = format!("/experiments?{query}");
        let page = api.get(&path).await?;
        let items = page["items"].as_array().map_or(0, Vec::len);
        let first = repeated(&api, &path).await?;
        let late = match late_page(&api, &path, page).await? {
            Some(late) => repeated(&api, &late).await?,
            None => Vec::new(),
        };
        Measured::of(first.clone()).print(&format!("{count}: {query}, first page"));
        Measured::of(late.clone()).print(&format!("{count}: {query}, late page"));
        lists.push(List { items, first, late });
    }
    let mut one = Vec::new();
    for n in 0..TIMES * 10 {
        one.push(timed(&api, &format!("/experiments/{}", 1 + n * 7919 % count)).await?);
    }
    let visitor = Visitor::enter(api, stage.server.address()).await?;
    let mut console = Vec::new();
    for query in CONSOLE_LISTS {
        let path = format!("/experiments?{query}");
        let mut times = Vec::new();
        for _ in 0..TIMES {
            let start = now();
            visitor.page(&path).await?;
            times.push(start.elapsed());
        }
        Measured::of(times.clone()).print(&format!("{count}: the console, {query}"));
        console.extend(times);
    }
    Ok(Found { lists, one, console })
}

/// By a plain sequence, so that every run has the same words.
fn experiment(n: usize) -> Value {
    let word = |place: usize| {
        let at = (n * 31 + place * 17) * 2_654_435_761 % 1_000_003;
        let share = at as f64 / 1_000_003.0;
        format!("w{}", (WORDS as f64).powf(share) as usize - 1)
    };
    let text = |places: std::ops::Range<usize>| places.map(word).collect::<Vec<_>>().join(" ");
    json!({
        "key": format!("exp-{n}"), "name": text(0..4), "owner": format!("user{}", n % 200), "tags": [format!("tag{}", n % 50)],
        "hypothesis": format!("{} and some words that are everywhere", text(4..12)),
    })
}

/// The page so far behind the first, or the last before it; `None`: there is but one.
async fn late_page(api: &Api, path: &str, mut page: Value) -> Result<Option<String>, Problem> {
    let mut late = None;
    for _ in 1..LATE_PAGE {
        let Some(next) = page["next"].as_str() else { break };
        let there = format!("{path}&after={next}");
        page = api.get(&there).await?;
        late = Some(there);
    }
    Ok(late)
}

async fn repeated(api: &Api, path: &str) -> Result<Vec<Duration>, Problem> {
    let mut times = Vec::new();
    for _ in 0..TIMES {
        times.push(timed(api, path).await?);
    }
    Ok(times)
}

async fn timed(api: &Api, path: &str) -> Result<Duration, Problem> {
    let start = now();
    api.exchange(http::Method::GET, path, None).await?;
    Ok(start.elapsed())
}
