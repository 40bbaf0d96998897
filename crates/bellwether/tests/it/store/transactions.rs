//! What a transaction promises: whole or not at all, alone in its failure, durable when answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::Poll;

use bellwether::params;
use bellwether::store::{Db, StoreError, Tx, experiments, query_as, settings};
use bellwether_testkit::databases::{Database, close};
use bellwether_testkit::on_both;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use super::{Answered, at, column, configuration, new_experiment, read, write};

async fn get(db: &Db, name: &str) -> Option<String> {
    let name = name.to_owned();
    read(db, move |tx| settings::get(tx, &name)).await.unwrap()
}

fn refuse() -> StoreError {
    StoreError::Failed("refused".into())
}

/// Holds the writers back until all is submitted, so that as much as may share a commit does.
async fn all_at_once<T: Send + 'static>(
    db: &Db,
    count: usize,
    work: impl Fn(usize, &mut dyn Tx) -> Answered<T> + Clone + Send + Sync + 'static,
) -> Vec<Answered<T>> {
    let mut submitted = JoinSet::new();
    for i in 0..count {
        let (db, work) = (db.clone(), work.clone());
        submitted.spawn(async move { (i, write(&db, move |tx| work(i, tx)).await) });
    }
    let mut answers = submitted.join_all().await;
    answers.sort_by_key(|(i, _)| *i);
    answers.into_iter().map(|(_, answer)| answer).collect()
}

/// More than one batch; a third fails, a third panics. Only the rest stands, and only it wakes anyone.
async fn an_error_or_a_panic_rolls_back_its_own(database: Database) {
    const COUNT: usize = 900;
    let db = database.open().await;
    let woken = Arc::new(AtomicUsize::new(0));
    let waking = woken.clone();
    let answers = all_at_once(&db, COUNT, move |i, tx| {
        settings::set(tx, &format!("{i}"), "first")?;
        settings::set(tx, &format!("{i} too"), "second")?;
        let woken = waking.clone();
        tx.after_commit(Box::new(move || {
            woken.fetch_add(1, Ordering::SeqCst);
        }));
        match i % 3 {
            0 => Ok(i),
            1 => Err(refuse()),
            _ => panic!("a test's panic, on purpose"),
        }
    })
    .await;
    for (i, answer) in answers.iter().enumerate() {
        match (i % 3, answer) {
            (0, Ok(value)) => assert_eq!(*value, i),
            (1, Err(StoreError::Failed(reason))) => assert_eq!(reason, "refused"),
            (2, Err(StoreError::Failed(reason))) => assert!(reason.contains("panicked"), "{reason}"),
            (_, other) => panic!("{i} was answered {other:?}"),
        }
    }
    let names: Vec<String> = column(&db, "SELECT name FROM settings ORDER BY name", "name").await;
    let mut expected: Vec<_> = (0..COUNT).step_by(3).flat_map(|i| [format!("{i}"), format!("{i} too")]).collect();
    expected.sort();
    assert_eq!(names, expected);
    close(db).await; // And so every wake has been done.
    assert_eq!(woken.load(Ordering::SeqCst), COUNT / 3);
}

/// What is answered is what stands, also of a closure that goes on after a statement failed.
async fn a_closure_that_goes_on_after_an_error_is_answered_truly(database: Database) {
    let db = database.open().await;
    new_experiment(&db, "taken").await;
    let answer = write(&db, |tx| {
        settings::set(tx, "before", "1")?;
        let refused = experiments::insert(tx, &configuration("taken"), at(1));
        assert!(matches!(refused, Err(StoreError::Unique(_))), "{refused:?}");
        Ok(())
    })
    .await;
    assert_eq!(get(&db, "before").await.is_some(), answer.is_ok(), "{answer:?}");
    write(&db, |tx| settings::set(tx, "after", "1")).await.expect("the store works on");
}

async fn a_failed_statement_does_not_poison_others(database: Database) {
    let db = database.open().await;
    new_experiment(&db, "taken").await;
    let answers = all_at_once(&db, 30, |i, tx| {
        if i % 2 == 0 {
            return settings::set(tx, &format!("{i}"), "kept");
        }
        experiments::insert(tx, &configuration("taken"), at(1)).map(drop)
    })
    .await;
    for (i, answer) in answers.iter().enumerate() {
        match answer {
            Ok(()) => assert_eq!(i % 2, 0),
            Err(StoreError::Unique(_)) => assert_eq!(i % 2, 1),
            Err(other) => panic!("{i}: {other:?}"),
        }
        assert_eq!(get(&db, &i.to_string()).await.is_some(), i % 2 == 0);
    }
}

async fn concurrent_changes_of_one_experiment_number_without_a_gap(database: Database) {
    const COUNT: usize = 300;
    let db = database.open().await;
    let id = new_experiment(&db, "k").await;
    let answers = all_at_once(&db, COUNT, move |_, tx| {
        let mut experiment = experiments::lock(tx, id)?.expect("it is there");
        experiment.revision += 1;
        experiments::update(tx, &experiment)?;
        Ok(experiment.revision)
    })
    .await;
    let mut revisions: Vec<i64> = answers.into_iter().map(Result::unwrap).collect();
    revisions.sort_unstable();
    let last = i64::try_from(COUNT).unwrap() + 1;
    assert_eq!(revisions, (2..=last).collect::<Vec<_>>());
    assert_eq!(read(&db, move |tx| experiments::get(tx, id)).await.unwrap().unwrap().revision, last);
}

/// A writer comes between two statements of a reader; the reader does not see it.
async fn a_read_sees_one_state(database: Database) {
    let db = database.open().await;
    write(&db, |tx| settings::set(tx, "a", "before")).await.unwrap();
    let (reached, written) = (Arc::new(std::sync::Barrier::new(2)), Arc::new(std::sync::Barrier::new(2)));
    let (at_first, at_second) = (reached.clone(), written.clone());
    let reading = tokio::spawn({
        let db = db.clone();
        async move {
            read(&db, move |tx| {
                let first = settings::get(tx, "a")?;
                at_first.wait();
                at_second.wait();
                Ok((first, settings::get(tx, "a")?, settings::get(tx, "b")?))
            })
            .await
        }
    });
    tokio::task::spawn_blocking(move || reached.wait()).await.unwrap();
    write(&db, |tx| settings::set(tx, "a", "after").and_then(|()| settings::set(tx, "b", "new"))).await.unwrap();
    tokio::task::spawn_blocking(move || written.wait()).await.unwrap();
    let before = Some("before".to_owned());
    assert_eq!(reading.await.unwrap().unwrap(), (before.clone(), before, None));
    assert_eq!(get(&db, "a").await.as_deref(), Some("after"));
}

async fn a_read_cannot_write(database: Database) {
    let db = database.open().await;
    let refused = read(&db, |tx| settings::set(tx, "a", "1")).await.unwrap_err();
    assert!(matches!(refused, StoreError::Failed(_)), "{refused:?}");
    assert_eq!(get(&db, "a").await, None);
    write(&db, |tx| settings::set(tx, "a", "2")).await.expect("the store works on");
}

/// A read that failed leaves its connection usable, and its wakes undone.
async fn nothing_is_left_open_behind_an_error(database: Database) {
    let db = database.open().await;
    for _ in 0..20 {
        let error = read(&db, |tx| tx.query("SELECT nothing FROM nowhere", &[], &mut |_| Ok(()))).await.unwrap_err();
        assert!(matches!(error, StoreError::Failed(_)), "{error:?}");
        let error = write(&db, |tx| tx.execute("SELECT nothing FROM nowhere", &[]).map(drop)).await.unwrap_err();
        assert!(matches!(error, StoreError::Failed(_)), "{error:?}");
        write(&db, |tx| settings::set(tx, "a", "1")).await.unwrap();
        assert_eq!(get(&db, "a").await.as_deref(), Some("1"));
    }
}

/// A lane that stops, or a client that goes, leaves nothing behind that the next must wait for.
async fn a_read_that_nobody_waits_for_is_left_undone(database: Database) {
    let db = database.open().await;
    let (gate, is_run) = (Arc::new(tokio::sync::Mutex::new(0)), Arc::new(AtomicBool::new(false)));
    let closed = gate.clone().lock_owned().await;
    let mut busy = JoinSet::new();
    // More than there are readers: the last of them, and what comes behind it, wait in the queue.
    for _ in 0..8 {
        let (db, gate) = (db.clone(), gate.clone());
        let mut blocked = Box::pin(async move { read(&db, move |_| Ok(*gate.blocking_lock())).await });
        assert!(std::future::poll_fn(|cx| Poll::Ready(blocked.as_mut().poll(cx))).await.is_pending());
        busy.spawn(blocked);
    }
    let done = is_run.clone();
    let mut abandoned = Box::pin(read(&db, move |_| Ok(done.fetch_or(true, Ordering::SeqCst))));
    assert!(std::future::poll_fn(|cx| Poll::Ready(abandoned.as_mut().poll(cx))).await.is_pending());
    drop(abandoned);
    drop(closed);
    assert!(busy.join_all().await.iter().all(Result::is_ok));
    close(db).await; // The queue is empty.
    assert!(!is_run.load(Ordering::SeqCst));
}

/// Closing carries out all that was submitted, whoever still holds the door, and says so to who comes later.
async fn closing_waits_for_what_was_submitted(database: Database) {
    let db = database.open().await;
    let mut submitted = JoinSet::new();
    let all_sent = Arc::new(Barrier::new(101));
    for i in 0..100 {
        let (db, sent) = (db.clone(), all_sent.clone());
        submitted.spawn(async move {
            let mut work = Box::pin(async {
                let set = move |tx: &mut dyn Tx| settings::set(tx, &i.to_string(), "x");
                let answer: Answered<()> = if i % 2 == 0 { db.write(set).await } else { db.write_outcomes(set).await };
                answer
            });
            // The first poll submits it; whoever asked may then go.
            let answered = std::future::poll_fn(|cx| std::task::Poll::Ready(work.as_mut().poll(cx))).await;
            assert!(!matches!(answered, std::task::Poll::Ready(Err(_))), "{answered:?}");
            sent.wait().await;
        });
    }
    all_sent.wait().await;
    close(db.clone()).await;
    submitted.join_all().await;
    for refused in [write(&db, |_| Ok(())).await, read(&db, |_| Ok(())).await] {
        assert!(matches!(refused, Err(StoreError::Closed)), "{refused:?}");
    }
    assert!(!database.folder().join("bellwether.db-wal").exists(), "what was in the log is in the database");
    let db = database.open().await;
    assert_eq!(column::<i64>(&db, "SELECT COUNT(*) AS count FROM settings", "count").await, [100]);
}

/// A hint that panics is a hint that is lost: what was written is answered, and the store works on.
async fn a_wake_that_panics_stops_nothing(database: Database) {
    let db = database.open().await;
    let woken = Arc::new(AtomicBool::new(false));
    let is_woken = woken.clone();
    let answer = write(&db, move |tx| {
        tx.after_commit(Box::new(|| panic!("a test's panic, on purpose")));
        let woken = is_woken.clone();
        tx.after_commit(Box::new(move || woken.store(true, Ordering::SeqCst)));
        settings::set(tx, "a", "1")
    });
    answer.await.expect("it is on disk");
    assert!(woken.load(Ordering::SeqCst), "the other one is woken");
    for _ in 0..20 {
        write(&db, |tx| settings::set(tx, "a", "2")).await.expect("the store works on");
    }
    assert_eq!(get(&db, "a").await.as_deref(), Some("2"));
}

/// Those who would wait behind thousands are told so at once, with nothing done.
async fn no_more_waits_than_can_be_answered(database: Database) {
    const MANY: usize = 5000;
    let db = database.open().await;
    let (gate, mut submitted) = (Arc::new(tokio::sync::Mutex::new(())), Vec::new());
    let closed = gate.clone().lock_owned().await;
    let (mut waiting, mut busy) = (0, 0);
    for i in 0..MANY {
        let (db, gate) = (db.clone(), gate.clone());
        let mut write = Box::pin(async move {
            write(&db, move |tx| {
                drop(gate.blocking_lock());
                settings::set(tx, &i.to_string(), "x")
            })
            .await
        });
        match std::future::poll_fn(|cx| Poll::Ready(write.as_mut().poll(cx))).await {
            Poll::Pending => waiting += 1,
            Poll::Ready(Err(StoreError::Busy)) => busy += 1,
            Poll::Ready(other) => panic!("{other:?}"),
        }
        submitted.push(write);
    }
    assert!(waiting >= 4096 && busy > 0, "{waiting} wait, {busy} were turned away");
    assert!(read(&db, |_| Ok(())).await.is_ok(), "reads have a queue of their own");
    drop(closed);
    close(db.clone()).await;
    let db = database.open().await;
    let count = column::<i64>(&db, "SELECT COUNT(*) AS count FROM settings", "count").await;
    assert_eq!(count, [i64::from(waiting)]);
}

/// Every value comes back as it was given.
async fn values_come_back_as_they_were(database: Database) {
    let db = database.open().await;
    let given = "\0\u{1}\u{7f}\u{2028}💡'\"\\%_$1?";
    // But for what PostgreSQL has no place for.
    let text = given.replace('\0', "\u{fffd}");
    write(&db, move |tx| {
        let sql = "INSERT INTO keys (id, name, role, hash, created_at, expires_at) VALUES ($1, $2, 'read', $3, $4, $5)";
        tx.execute(sql, params!["id", given, (0..=255_u8).collect::<Vec<u8>>(), i64::MIN, None::<i64>]).map(drop)
    })
    .await
    .unwrap();
    let found = read(&db, |tx| {
        query_as(tx, "keys", "SELECT * FROM keys", &[], |row| {
            assert!(matches!(row.get::<i64>("nowhere"), Err(StoreError::Corrupt { column: "nowhere", .. })));
            assert_eq!(row.get::<Option<i64>>("expires_at")?, None);
            Ok((row.get::<String>("name")?, row.get::<Vec<u8>>("hash")?, row.get::<i64>("created_at")?))
        })
    });
    assert_eq!(found.await.unwrap(), [(text, (0..=255).collect::<Vec<u8>>(), i64::MIN)]);
}

/// Two transactions lock two experiments in opposite order. PostgreSQL kills one of them; it is run again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadlock_is_repeated_until_both_are_through() {
    let database = Database::postgres();
    let db = database.open().await;
    let pair = [new_experiment(&db, "a").await, new_experiment(&db, "b").await];
    let tries = Arc::new(AtomicUsize::new(0));
    let meeting = Arc::new(std::sync::Barrier::new(2));
    let mut both = JoinSet::new();
    for order in [pair, [pair[1], pair[0]]] {
        let (db, tries, meeting) = (db.clone(), tries.clone(), meeting.clone());
        both.spawn(async move {
            write(&db, move |tx| {
                let first = experiments::lock(tx, order[0])?.expect("it is there");
                // Both hold one lock before either asks for its second; who is run again meets nobody.
                if tries.fetch_add(1, Ordering::SeqCst) < 2 {
                    meeting.wait();
                }
                for id in order {
                    let mut experiment = experiments::lock(tx, id)?.expect("it is there");
                    experiment.revision += 1;
                    experiments::update(tx, &experiment)?;
                }
                Ok(first.id)
            })
            .await
        });
    }
    for answer in both.join_all().await {
        answer.expect("a deadlock is nothing the caller hears of");
    }
    assert!(tries.load(Ordering::SeqCst) >= 3, "one of the two was run again");
    for id in pair {
        assert_eq!(read(&db, move |tx| experiments::get(tx, id)).await.unwrap().unwrap().revision, 3);
    }
}

/// The connection breaks inside the transaction: it is repeated on another, or refused with nothing done.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_connection_is_replaced() {
    let database = Database::postgres();
    let db = database.open().await;
    let mut repeated = 0;
    for i in 0..30 {
        // A connection that breaks at its first transaction is not tried again; these have most of them connected.
        all_at_once(&db, 32, |_, tx| settings::set(tx, "warm", "x")).await.into_iter().for_each(|set| set.unwrap());
        let tries = Arc::new(AtomicUsize::new(0));
        let counted = tries.clone();
        let answer = write(&db, move |tx| {
            settings::set(tx, &i.to_string(), "x")?;
            if counted.fetch_add(1, Ordering::SeqCst) == 0 {
                tx.query("SELECT pg_terminate_backend(pg_backend_pid())", &[], &mut |_| Ok(()))?;
            }
            Ok(())
        })
        .await;
        match &answer {
            Ok(()) => repeated += 1,
            Err(StoreError::Unavailable(_)) => {}
            Err(other) => panic!("{other:?}"),
        }
        assert_eq!(get(&db, &i.to_string()).await.is_some(), answer.is_ok(), "{answer:?}");
        assert_eq!(tries.load(Ordering::SeqCst), if answer.is_ok() { 2 } else { 1 });
    }
    assert!(repeated > 0, "a connection that had worked before is replaced without the caller's knowing");
}

/// What was read is what it is, whatever becomes of the connection afterwards.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_whose_connection_breaks_at_its_end_is_answered() {
    let database = Database::postgres();
    let db = database.open().await;
    let location = database.url().unwrap().to_owned();
    let read = read(&db, move |tx| {
        let pid = query_as(tx, "t", "SELECT pg_backend_pid() AS pid", &[], |row| row.get::<i64>("pid"))?[0];
        let location = location.clone();
        let ended = std::thread::spawn(move || {
            let mut other = postgres::Client::connect(&location, postgres::NoTls).unwrap();
            let end = format!("SELECT pg_terminate_backend({pid}, 10000)");
            other.query_one(&end, &[]).unwrap().get::<_, bool>(0)
        });
        assert!(ended.join().unwrap(), "the connection is ended");
        Ok(pid)
    });
    assert!(read.await.unwrap() > 0);
    write(&db, |tx| settings::set(tx, "a", "1")).await.expect("the store works on");
}

on_both!(
    a_wake_that_panics_stops_nothing,
    no_more_waits_than_can_be_answered,
    an_error_or_a_panic_rolls_back_its_own,
    a_closure_that_goes_on_after_an_error_is_answered_truly,
    a_failed_statement_does_not_poison_others,
    concurrent_changes_of_one_experiment_number_without_a_gap,
    a_read_sees_one_state,
    a_read_cannot_write,
    nothing_is_left_open_behind_an_error,
    a_read_that_nobody_waits_for_is_left_undone,
    closing_waits_for_what_was_submitted,
    values_come_back_as_they_were,
);
