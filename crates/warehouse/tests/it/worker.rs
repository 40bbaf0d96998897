//! The worker as a process: its limits, its end, and what its parent learns of it.

use crate::folder::{Folder, MEBIBYTE, WORKER, rows, start};
use bellwether_warehouse::{Cell, ErrorKind, Session, WarehouseError};
use std::future::Future;
use std::io::Write;
use std::process::{Command, Stdio};
use std::task::{Context, Waker};
use std::time::Duration;

/// Never ends within a test: 10^15 pairs.
const ENDLESS: &str = "SELECT count(*) FROM generate_series(1, 30000000) a, generate_series(1, 30000000) b \
                       WHERE a.value + b.value = 0";

#[tokio::test]
async fn a_killed_worker_is_told_with_its_signal() {
    let folder = Folder::with(&[]);
    let mut session = folder.session().await;
    let worker = session.worker_id().unwrap();
    let killer = async { Command::new("kill").args(["-KILL", &worker.to_string()]).status().unwrap() };
    let (answer, _) = tokio::join!(session.query(ENDLESS, 1), killer);
    let Err(WarehouseError::WorkerDied { status, .. }) = answer else { panic!("{answer:?}") };
    assert!(status.contains("signal: 9"), "{status}");
    // And stays dead.
    assert!(matches!(session.query("SELECT 1", 1).await, Err(WarehouseError::WorkerDied { .. })));
}

#[tokio::test]
async fn a_dropped_request_kills_the_worker() {
    let folder = Folder::with(&[]);
    let mut session = folder.session().await;
    {
        let mut query = Box::pin(session.query(ENDLESS, 1));
        assert!(query.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }
    let error = session.query("SELECT 1", 1).await.unwrap_err();
    assert!(matches!(error, WarehouseError::WorkerDied { .. }), "{error}");
}

#[tokio::test]
async fn a_time_limit_around_a_query_is_kept() {
    let folder = Folder::with(&[]);
    let mut session = folder.session().await;
    tokio::time::timeout(Duration::from_millis(200), session.query(ENDLESS, 1)).await.unwrap_err();
    session.kill().await;
}

#[test]
fn the_worker_ends_with_its_input_even_amid_a_query() {
    let folder = Folder::with(&[]);
    let mut worker = Command::new(WORKER).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let mut requests = worker.stdin.take().unwrap();
    let setup = bellwether_warehouse::protocol::Request::Query { sql: ENDLESS.into(), row_limit: 1, truncate: false };
    for line in [serde_json::to_string(&folder.setup()).unwrap(), serde_json::to_string(&setup).unwrap()] {
        writeln!(requests, "{line}").unwrap();
    }
    drop(requests);
    // Hangs if it does not.
    assert!(worker.wait().unwrap().success());
}

#[tokio::test]
async fn a_program_that_is_no_worker() {
    let folder = Folder::with(&[]);
    let missing = Session::start("/nonexistent/worker", [] as [&str; 0], &folder.setup()).await.unwrap_err();
    assert!(matches!(&missing, WarehouseError::NotStarted { program, .. } if program.contains("nonexistent")));
    let complains = ["-c", "read line; echo 'out of cheese' >&2; exit 3"];
    let dead = Session::start("/bin/sh", complains, &folder.setup()).await.unwrap_err();
    let WarehouseError::WorkerDied { status, last_words } = &dead else { panic!("{dead:?}") };
    assert_eq!((status.as_str(), last_words.as_str()), ("exit status: 3", "out of cheese"));
    let babbles = Session::start("/bin/sh", ["-c", "read line; echo hello"], &folder.setup()).await.unwrap_err();
    assert!(matches!(babbles, WarehouseError::BadAnswer(_)), "{babbles:?}");
}

#[tokio::test]
async fn running_out_of_memory_is_an_answer() {
    let mut folder = Folder::with(&[]);
    folder.memory_limit_bytes = 8 * MEBIBYTE;
    let mut session = folder.session().await;
    // Collected values cannot spill.
    let sql = "SELECT count(DISTINCT value) + median(value * 1.5) FROM generate_series(1, 20000000)";
    let error = session.query(sql, 1).await.unwrap_err();
    assert_eq!(error.kind(), Some(ErrorKind::Resources), "{error}");
    assert!(error.to_string().contains("8388608 bytes"), "{error}");
    assert_eq!(rows(&mut session, "SELECT 1").await, [[Cell::Int(1)]]);
}

#[tokio::test]
async fn a_join_too_large_to_hash_is_sorted() {
    let mut folder = Folder::with(&[]);
    // Measured: sorting needs about 112 MiB here, hashing more than 128; the engine has half of the limit.
    folder.memory_limit_bytes = 256 * MEBIBYTE;
    let mut session = folder.session().await;
    let side = "SELECT value AS k, repeat('x', 40) || value AS pad FROM generate_series(1, 900000)";
    session.materialize("left_side", side).await.unwrap();
    session.materialize("right_side", side).await.unwrap();
    let joined = "SELECT count(*), max(l.pad || r.pad) IS NULL FROM bellwether.left_side l \
                  JOIN bellwether.right_side r ON l.k = r.k";
    assert_eq!(rows(&mut session, joined).await, [[Cell::Int(900_000), Cell::Bool(false)]]);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_worker_limits_itself() {
    let folder = Folder::with(&[]);
    let session = start(&folder.setup()).await.unwrap();
    let of_process =
        |file: &str| std::fs::read_to_string(format!("/proc/{}/{file}", session.worker_id().unwrap())).unwrap();
    let bound = (folder.memory_limit_bytes + 512 * MEBIBYTE).to_string();
    let limits = of_process("limits");
    let data = limits.lines().find(|line| line.starts_with("Max data size")).unwrap();
    assert!(data.contains(&bound), "{data}");
    // The fields after the parenthesised name: the 17th is the nice value.
    let stat = of_process("stat");
    let niceness = stat.rsplit(')').next().unwrap().split_whitespace().nth(16).unwrap().to_owned();
    assert!(niceness.parse::<i32>().unwrap() >= 10, "{stat}");
    // Nothing of ours; it tells its allocator to reserve nothing that counts against the limit, and to keep nothing.
    assert_eq!(of_process("environ"), "MIMALLOC_ARENA_EAGER_COMMIT=0\0MIMALLOC_PURGE_DELAY=1\0");
}
