//! Whatever a list is asked for, its pages together are what one finds by looking at everything.

use bellwether::domain::configuration::Configuration;
use bellwether::domain::experiment::Experiment;
use bellwether::domain::id::{EntityId, ExperimentId, MetricId};
use bellwether::domain::search::Search;
use bellwether::domain::sort::{Place, Sort, SortBy};
use bellwether::domain::status::Status;
use bellwether::store::experiment_list::{self, Filter};
use bellwether::store::{Db, Tx, definitions, experiments};
use bellwether_testkit::databases::Database;
use bellwether_testkit::on_both;
use serde_json::json;

use super::definitions::metric;
use super::{at, read, with_definitions, write};

/// More than are sorted for a page, so that the lists are gone through in their order too.
const ALL: i64 = 1300;

/// Of every 7th there is something that few others have.
fn configuration(number: i64) -> Configuration {
    let owner = ["Ada", "ada lovelace", "Bob", "!!"][usize::try_from(number % 4).unwrap()];
    let is_rare = number % 7 == 3;
    let tags = if number % 5 == 0 { json!(["web", "q1-2026"]) } else { json!(["app"]) };
    serde_json::from_value(json!({
        "key": format!("k-{number}"), "name": format!("Test {} of Größe", (number * 37) % 100), "owner": owner,
        "hypothesis": if is_rare { "a rare thing" } else { "what all say" }, "tags": tags,
        "entity_id": (number % 3 == 0).then(|| EntityId::of(1)), "is_archived": number % 11 == 0,
    }))
    .unwrap()
}

async fn fill(db: &Db) -> Vec<ExperimentId> {
    with_definitions(db).await;
    write(db, move |tx| {
        definitions::insert(tx, &metric(20, 10))?;
        let mut ids = Vec::new();
        for number in 0..ALL {
            let id = experiments::insert(tx, &configuration(number), at(1000 + number * 10))?;
            let mut stored = experiments::lock(tx, id)?.unwrap();
            stored.updated_at = at(100_000 + (number * 7919) % ALL);
            stored.status = if number % 400 == 17 { Status::WrapUp } else { Status::Draft };
            experiments::update(tx, &stored)?;
            if number % 6 == 1 {
                experiments::attach(tx, id, MetricId::of(20), None, false, &Default::default())?;
            }
            if number % 13 == 0 {
                experiments::mark_deleted(tx, id, at(9))?;
            }
            ids.push(id);
        }
        Ok(ids)
    })
    .await
    .unwrap()
}

/// All pages, one after the other.
async fn paged(db: &Db, filter: &Filter, sort: Sort, limit: u32) -> Vec<ExperimentId> {
    let (mut found, mut after) = (Vec::new(), None::<Place>);
    loop {
        let (wanted, from) = (filter.clone(), after.clone());
        let list = move |tx: &mut dyn Tx| experiment_list::list(tx, &wanted, sort, from.clone(), limit);
        let page = read(db, list).await.unwrap();
        assert!(page.items.len() <= limit as usize);
        found.extend(page.items.iter().map(|experiment| experiment.id));
        match page.next {
            None => return found,
            next => assert_ne!(std::mem::replace(&mut after, next), after, "it goes on"),
        }
    }
}

async fn everything(db: &Db) -> Vec<Experiment> {
    let all = Filter { with_archived: true, ..Filter::default() };
    let ids = paged(db, &all, Sort::by(SortBy::Id), 250).await;
    read(db, move |tx| ids.iter().map(|id| Ok(experiments::get(tx, *id)?.unwrap())).collect()).await.unwrap()
}

/// What is asked for, and how one tells whether an experiment is it.
type Case = (&'static str, Filter, fn(&Experiment) -> bool);

fn filters() -> Vec<Case> {
    let search = |typed: &str| Filter { search: Some(Search::parse("search", typed).unwrap()), ..Filter::default() };
    vec![
        ("all", Filter { with_archived: true, ..Filter::default() }, |_| true),
        ("none that is archived", Filter::default(), |found| !found.configuration.is_archived),
        ("a word that all have", search("größ"), |found| !found.configuration.is_archived),
        ("a word of few", search("rare"), |found| !found.configuration.is_archived && (found.id - 1) % 7 == 3),
        ("of few and of many", search("TEST ra 2"), |found| {
            let configuration = &found.configuration;
            let has_2 = configuration.words().as_text().contains(" 2");
            !configuration.is_archived && (found.id - 1) % 7 == 3 && has_2
        }),
        ("nobody's word", search("nobody"), |_| false),
        ("an owner", Filter { owner: Some("Ada".into()), ..Filter::default() }, |found| {
            !found.configuration.is_archived && found.configuration.owner == "Ada"
        }),
        ("an owner without words", Filter { owner: Some("!!".into()), ..Filter::default() }, |found| {
            !found.configuration.is_archived && found.configuration.owner == "!!"
        }),
        ("a tag", Filter { tag: Some("q1-2026".into()), with_archived: true, ..Filter::default() }, |found| {
            found.configuration.tags.contains(&"q1-2026".to_owned())
        }),
        ("few by status", Filter { statuses: vec![Status::WrapUp, Status::Concluded], ..Filter::default() }, |found| {
            !found.configuration.is_archived && found.status == Status::WrapUp
        }),
        ("many by status", Filter { statuses: vec![Status::Draft], ..Filter::default() }, |found| {
            !found.configuration.is_archived && found.status == Status::Draft
        }),
        ("an entity", Filter { entity_id: Some(EntityId::of(1)), ..Filter::default() }, |found| {
            !found.configuration.is_archived && found.configuration.entity_id.is_some()
        }),
        ("a metric", Filter { metric_id: Some(MetricId::of(20)), ..Filter::default() }, |found| {
            !found.configuration.is_archived && (found.id - 1) % 6 == 1
        }),
        (
            "since",
            Filter { created_since: Some(at(8000)), updated_since: Some(at(100_900)), ..Filter::default() },
            |found| !found.configuration.is_archived && found.created_at >= at(8000) && found.updated_at >= at(100_900),
        ),
    ]
}

async fn the_pages_of_a_list_are_all_that_is_wanted_in_its_order(database: Database) {
    let db = database.open().await;
    let ids = fill(&db).await;
    assert_eq!(ids[0], 1, "the filters reckon with numbers from 1 on");
    let all = everything(&db).await;
    assert_eq!(all.len(), usize::try_from(ALL - 100).unwrap());
    for (name, filter, is_wanted) in filters() {
        for sort in ["id", "-id", "name", "-name", "created_at", "-created_at", "updated_at", "-updated_at"] {
            let sort: Sort = sort.parse().unwrap();
            let mut expected: Vec<&Experiment> = all.iter().filter(|experiment| is_wanted(experiment)).collect();
            expected.sort_by_cached_key(|found| {
                let by = match sort.by {
                    SortBy::Id => String::new(),
                    SortBy::Name => found.configuration.name.to_lowercase(),
                    SortBy::CreatedAt => format!("{:020}", found.created_at.as_micros()),
                    SortBy::UpdatedAt => format!("{:020}", found.updated_at.as_micros()),
                };
                (by, found.id)
            });
            if sort.is_descending {
                expected.reverse();
            }
            let expected: Vec<_> = expected.into_iter().map(|experiment| experiment.id).collect();
            for limit in [7, 250] {
                assert_eq!(paged(&db, &filter, sort, limit).await, expected, "{name}, {sort}, {limit} a page");
            }
        }
    }
}

async fn what_is_edited_is_found_by_what_it_says_now(database: Database) {
    let db = database.open().await;
    with_definitions(&db).await;
    let first = configuration(3);
    let id = write(&db, move |tx| experiments::insert(tx, &first, at(1))).await.unwrap();
    let finds = async |typed: &str| {
        let filter = Filter { search: Some(Search::parse("search", typed).unwrap()), ..Filter::default() };
        !paged(&db, &filter, Sort::by(SortBy::Id), 5).await.is_empty()
    };
    assert!(finds("rare").await && !finds("common").await);
    write(&db, move |tx| {
        let mut stored = experiments::lock(tx, id)?.unwrap();
        let before = stored.configuration.words();
        stored.configuration.hypothesis = "a common thing".into();
        experiments::update(tx, &stored)?;
        experiments::index_words(tx, id, &before, &stored.configuration.words())
    })
    .await
    .unwrap();
    assert!(!finds("rare").await && finds("common").await && finds("thing").await);
    write(&db, move |tx| experiments::mark_deleted(tx, id, at(2))).await.unwrap();
    assert!(!finds("thing").await);
    assert_eq!(super::column::<String>(&db, "SELECT word FROM experiment_words", "word").await, [""; 0]);
}

async fn what_was_stored_without_words_is_found_once_it_is_indexed(database: Database) {
    let db = database.open().await;
    fill(&db).await;
    let sort: Sort = "-name".parse().unwrap();
    let filter = Filter { search: Some(Search::parse("search", "rare").unwrap()), ..Filter::default() };
    let before = paged(&db, &filter, sort, 250).await;
    assert!(before.len() > 100);
    write(&db, |tx| {
        tx.execute("DELETE FROM experiment_words", &[])?;
        tx.execute("UPDATE experiments SET words = '', sort_name = ''", &[])
    })
    .await
    .unwrap();
    assert_eq!(paged(&db, &filter, sort, 250).await, [0; 0]);
    write(&db, |tx| {
        let mut after = Some(0);
        while let Some(last) = after {
            after = experiment_list::index(tx, last, 100)?;
        }
        Ok(())
    })
    .await
    .unwrap();
    assert_eq!(paged(&db, &filter, sort, 250).await, before);
}

on_both!(
    the_pages_of_a_list_are_all_that_is_wanted_in_its_order,
    what_is_edited_is_found_by_what_it_says_now,
    what_was_stored_without_words_is_found_once_it_is_indexed,
);
