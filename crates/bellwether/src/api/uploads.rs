//! Files that are put into a warehouse over HTTP: streamed to disk by a thread of their own, and there whole or not at all.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::header;
use bellwether_warehouse::files::placing::{Placing, Unplaced, table_of};
use http_body_util::BodyExt;
use schemars::JsonSchema;
use serde::Serialize;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;

use super::answer::{Answer, MaybeCreated};
use super::body::BODY_TIMEOUT;
use super::params::Ids;
use super::problem::{Kind, Problem};
use super::tables::TableView;
use super::{LARGEST_BODY, Shared};
use crate::domain::error::{Conflict, Refusal};
use crate::domain::id::{TypedId, WarehouseId};
use crate::domain::warehouse::{Engine, Warehouse};
use crate::store::definitions;

const MOST_AT_ONCE: usize = 4;
/// Pieces of a body that wait for the disk.
const MOST_WAITING: usize = 8;

/// The file's name below the warehouse's folder, with one folder before it or none. What it may be is for [`table_of`] to say.
#[derive(JsonSchema)]
#[schemars(transparent)]
pub struct FileName(#[schemars(length(min = 1), example = "orders.csv")] String);

impl FromStr for FileName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(Self(text.to_owned()))
    }
}

impl TypedId for FileName {}

#[derive(Serialize, JsonSchema)]
pub struct UploadView {
    name: String,
    size: u64,
    /// The table that it belongs to; `null` where the query engine has not answered.
    table: Option<TableView>,
}

/// What the writing thread is told.
enum Piece {
    Bytes(Bytes),
    /// The body has come whole. Without it, what was written goes.
    End,
}

/// Files that may come at a time: each may last, and must leave room for other requests.
pub fn places(requests: usize) -> Semaphore {
    Semaphore::new((requests / 2).clamp(1, MOST_AT_ONCE))
}

pub async fn put(
    State(api): State<Shared>,
    Ids((id, FileName(name))): Ids<(WarehouseId, FileName)>,
    request: Request,
) -> Answer<MaybeCreated<Json<UploadView>>> {
    let table = table_of(&name).map_err(|reason| Refusal::invalid("name", reason))?.to_owned();
    let length = request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    // Nobody has to send it first.
    check_size(length.unwrap_or(0), api.max_upload_bytes)?;
    let found = api.read(move |tx| Ok(definitions::get::<Warehouse>(tx, id)?)).await?;
    let engine = found.ok_or_else(|| Refusal::not_found("warehouse", id))?.body.engine;
    let Engine::Files { path, .. } = &engine;
    let Ok(_place) = api.uploads.try_acquire() else {
        return Err(Problem::busy("as many files are being uploaded as may be; try again in a moment"));
    };
    let (pieces, incoming) = mpsc::channel(MOST_WAITING);
    let destination = Destination {
        folder: path.into(),
        roots: api.registry.files_roots().to_vec(),
        name: name.clone(),
        unique: crate::domain::id::text(api.registry.ids().next()),
        now: SystemTime::UNIX_EPOCH
            + Duration::from_micros(u64::try_from(api.registry.clock().now().as_micros()).unwrap_or(0)),
    };
    let writing = tokio::task::spawn_blocking(move || destination.write(incoming));
    let came = receive(request.into_body(), &pieces, api.max_upload_bytes).await;
    if came.is_ok() {
        // Whatever keeps the writing from being told, it says itself.
        let _ = pieces.send(Piece::End).await;
    }
    drop(pieces);
    let placed = written(writing).await;
    let size = came?;
    let is_new = placed?.ok_or_else(|| Problem::of(Kind::Body, "the body did not come whole; nothing was changed"))?;
    let tables = api.queries.tables(&engine, &api.scratch_name()).await;
    let tables = tables.inspect_err(|error| tracing::warn!(%error, "the table of an upload cannot be shown"));
    let table = tables.ok().and_then(|tables| tables.into_iter().find(|there| there.name == table));
    let view = UploadView { name, size, table: table.map(TableView::of) };
    Ok(MaybeCreated { answer: Json(view), is_created: is_new })
}

fn check_size(size: u64, most: u64) -> Result<(), Problem> {
    if size <= most {
        return Ok(());
    }
    let detail = format!(
        "the file has {size} bytes or more; at most {most} are allowed (max_upload_bytes); nothing was changed: divide it \
         into several in one folder, or put it there without the API"
    );
    Err(Problem::of(Kind::BodyTooLarge, detail))
}

/// Hands the body on as it comes, and tells its size. Every MiB of it may take as long as another body may in all.
async fn receive(mut body: Body, pieces: &mpsc::Sender<Piece>, most: u64) -> Result<u64, Problem> {
    let mut size = 0;
    loop {
        let timed_out = |_| {
            let detail =
                format!("1 MiB of the body did not come within {} s; nothing was changed", BODY_TIMEOUT.as_secs());
            Problem::of(Kind::BodyTimeout, detail)
        };
        let part = tokio::time::timeout(BODY_TIMEOUT, receive_part(&mut body, pieces, &mut size, most));
        if part.await.map_err(timed_out)?? {
            return Ok(size);
        }
    }
}

/// A MiB, or the rest: then `true`.
async fn receive_part(
    body: &mut Body,
    pieces: &mpsc::Sender<Piece>,
    size: &mut u64,
    most: u64,
) -> Result<bool, Problem> {
    let until = *size + LARGEST_BODY as u64;
    while *size < until {
        let Some(frame) = body.frame().await else { return Ok(true) };
        let frame = frame.map_err(|error| {
            Problem::of(Kind::Body, format!("the body did not come whole: {error}; nothing was changed"))
        })?;
        let Ok(bytes) = frame.into_data() else { continue };
        *size += bytes.len() as u64;
        check_size(*size, most)?;
        if pieces.send(Piece::Bytes(bytes)).await.is_err() {
            // The writing has failed, and says why.
            return Ok(true);
        }
    }
    Ok(false)
}

struct Destination {
    folder: PathBuf,
    roots: Vec<PathBuf>,
    name: String,
    unique: String,
    now: SystemTime,
}

impl Destination {
    /// On a thread that may wait for a disk. Tells whether the file is new; `None` if it did not come whole, and is not there.
    fn write(self, mut incoming: mpsc::Receiver<Piece>) -> Result<Option<bool>, Unplaced> {
        let mut placing = Placing::begin(&self.folder, &self.roots, &self.name, &self.unique, self.now)?;
        while let Some(piece) = incoming.blocking_recv() {
            match piece {
                Piece::Bytes(bytes) => placing.write(&bytes)?,
                Piece::End => return Ok(Some(placing.finish()?)),
            }
        }
        Ok(None)
    }
}

async fn written(writing: JoinHandle<Result<Option<bool>, Unplaced>>) -> Result<Option<bool>, Problem> {
    use std::io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    match writing.await {
        Ok(Ok(is_new)) => Ok(is_new),
        Ok(Err(Unplaced::Name(reason))) => Err(Refusal::invalid("name", reason).into()),
        Ok(Err(Unplaced::Folder(reason))) => {
            Err(Refusal::conflict(Conflict::State, format!("the warehouse's folder cannot be used: {reason}")).into())
        }
        Ok(Err(Unplaced::Disk(error))) if matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge) => {
            let detail = format!("the file has no room: {error}; nothing was changed; the operator must make some");
            Err(Problem::of(Kind::StorageFull, detail))
        }
        Ok(Err(Unplaced::Disk(error))) => {
            let detail = format!(
                "the warehouse's folder cannot be written to: {error}; nothing was changed; check its permissions and its disk"
            );
            Err(Refusal::conflict(Conflict::State, detail).into())
        }
        Err(error) => {
            tracing::error!(%error, "the writing of an upload ended badly");
            Err(Problem::of(Kind::Internal, "the server failed on this request and changed nothing; its log says why"))
        }
    }
}
