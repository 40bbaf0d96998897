//! The child process that holds the engine: reads requests, answers them, and ends with its parent.
//!
//! It owns the process it runs in: it lowers its priority, limits its memory, and exits the moment standard input closes,
//! even in the midst of a query. Nothing else belongs on its standard output.

mod limits;

use crate::engine::Engine;
use crate::protocol::{Answer, Answered, Request, Setup};
use crate::{ErrorKind, Failure};
use serde::de::DeserializeOwned;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::ExitCode;
use std::sync::mpsc;
use std::time::Duration;

/// Deeply nested SQL is planned recursively, so that threads need more than the usual stack.
const STACK_BYTES: usize = 8 * 1024 * 1024;
/// Threads that read files. Few, as each one's stack counts against the limit on memory.
const READING_THREADS: usize = 8;

/// Serves requests until `requests` ends, which ends the process.
pub fn serve(requests: impl Read + Send + 'static, answers: impl Write + Send + 'static) -> ExitCode {
    let Some(lines) = read_lines(requests) else {
        return ExitCode::FAILURE;
    };
    let Ok(first) = lines.recv() else {
        return ExitCode::SUCCESS;
    };
    // Before there are other threads, as priority belongs to a thread and is inherited.
    let setup = limited(&first);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(crate::engine::PARTITIONS)
        .max_blocking_threads(READING_THREADS)
        .thread_stack_size(STACK_BYTES)
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("the worker cannot start its threads: {error}");
            return ExitCode::FAILURE;
        }
    };
    // The engine runs on the runtime's own threads, as those have the large stack.
    match runtime.block_on(runtime.spawn(answer_all(setup, lines, answers))) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(error)) => {
            eprintln!("the worker cannot answer: {error}");
            ExitCode::FAILURE
        }
        Err(panic) => {
            eprintln!("the worker stops after a fault: {panic}");
            ExitCode::FAILURE
        }
    }
}

/// One answer for the setup, and if that went well one for each further line.
async fn answer_all(
    setup: Result<Setup, Failure>,
    lines: mpsc::Receiver<String>,
    mut answers: impl Write,
) -> std::io::Result<()> {
    let mut engine = match setup.and_then(|setup| Engine::start(&setup)) {
        Ok(engine) => engine,
        Err(failure) => return write_line(&mut answers, &Answer::Error(failure)),
    };
    write_line(&mut answers, &Answer::Ok(Answered::default()))?;
    // Waiting for a line blocks this thread, but with no request at hand there is nothing else to run on it.
    for line in lines {
        let started = now();
        let outcome = match parse(&line) {
            Ok(request) => perform(&mut engine, request).await,
            Err(failure) => Err(failure),
        };
        let answer = match outcome {
            Ok(answered) => Answer::Ok(Answered { duration_us: micros(started.elapsed()), ..answered }),
            Err(failure) => Answer::Error(failure),
        };
        write_line(&mut answers, &answer)?;
    }
    Ok(())
}

/// The setup, once its limits are in force.
fn limited(line: &str) -> Result<Setup, Failure> {
    let setup: Setup = parse(line)?;
    limits::apply(setup.memory_limit_bytes)
        .map_err(|error| Failure::of(ErrorKind::Internal, format!("the worker cannot limit itself: {error}")))?;
    Ok(setup)
}

async fn perform(engine: &mut Engine, request: Request) -> Result<Answered, Failure> {
    let nothing = Answered::default();
    Ok(match request {
        Request::Materialize { name, sql } => Answered { rows: engine.materialize(&name, &sql).await?, ..nothing },
        Request::Query { sql, row_limit, truncate } => {
            let table = engine.query(&sql, row_limit, truncate).await?;
            Answered { rows: table.rows.len() as u64, table: Some(table), ..nothing }
        }
        Request::Describe { sql } => Answered { columns: Some(engine.describe(&sql).await?), ..nothing },
        Request::Check { sql } => Answered { columns: Some(engine.check(&sql).await?), ..nothing },
        Request::Tables {} => Answered { tables: Some(engine.tables().await), ..nothing },
    })
}

/// Lines as they come. The end of input ends the process from here, since a query may hold every other thread.
fn read_lines(input: impl Read + Send + 'static) -> Option<mpsc::Receiver<String>> {
    let (sender, receiver) = mpsc::channel();
    let read = move || {
        for line in BufReader::new(input).lines() {
            let Ok(line) = line else { break };
            if sender.send(line).is_err() {
                break;
            }
        }
        std::process::exit(0);
    };
    match std::thread::Builder::new().name("requests".to_owned()).spawn(read) {
        Ok(_) => Some(receiver),
        Err(error) => {
            eprintln!("the worker cannot read its requests: {error}");
            None
        }
    }
}

fn parse<T: DeserializeOwned>(line: &str) -> Result<T, Failure> {
    serde_json::from_str(line)
        .map_err(|error| Failure::of(ErrorKind::Internal, format!("a request that the worker does not know: {error}")))
}

fn write_line(answers: &mut impl Write, answer: &Answer) -> std::io::Result<()> {
    let mut line = serde_json::to_vec(answer)?;
    line.push(b'\n');
    answers.write_all(&line)?;
    answers.flush()
}

#[allow(
    clippy::disallowed_methods,
    reason = "the duration of a step is measured where it is run; nothing decides by it"
)]
fn now() -> std::time::Instant {
    std::time::Instant::now()
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
