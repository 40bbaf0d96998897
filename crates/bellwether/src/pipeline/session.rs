//! Opens a warehouse: a worker that holds its engine. The one place of the pipeline that starts any.

use std::path::Path;

use bellwether_warehouse::{Dialect, Session, Setup, WarehouseError};

use super::Limits;
use crate::domain::warehouse::Engine;
use crate::registry::warehouse_config;

/// A worker, and how it is spoken to. `scratch` is a folder of its own.
pub async fn open(limits: &Limits, engine: &Engine, scratch: &Path) -> Result<(Session, Dialect), WarehouseError> {
    let warehouse = warehouse_config(engine, &limits.files_roots);
    let dialect = warehouse.dialect();
    // Beside the scratch folder, as that is emptied at every start.
    let memory = limits.scratch.parent().map(|data| data.join("scans"));
    let setup = Setup { warehouse, scratch: scratch.to_owned(), memory, memory_limit_bytes: limits.memory_bytes };
    Ok((Session::start(&limits.program, ["worker"], &setup).await?, dialect))
}
