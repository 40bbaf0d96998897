//! Looks at every value of a text file once: its columns, what their values have shown, and where reading may begin.

use super::text_file::TextFile;
use super::{Evidence, Identity, Records};
use crate::files::Packing;
use serde::{Deserialize, Serialize};

/// Text between two places where reading may begin, at least: so that a large file is read in parts at the same time.
const STRETCH: u64 = if cfg!(test) { 64 } else { 16 << 20 };

/// What was found in a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scan {
    pub identity: Identity,
    pub columns: Vec<(String, Evidence)>,
    pub rows: u64,
    /// The first is right after the header. Of a packed file it is the only one.
    pub starts: Vec<Start>,
}

/// A place where a record begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    pub offset: u64,
    pub row: u64,
    pub line: u64,
}

impl Scan {
    /// What is found in the file now.
    pub fn of(file: &TextFile) -> Result<Scan, String> {
        let (identity, bytes) = file.open().map_err(|error| format!("{error}: check its permissions"))?;
        let mut records = Records::of(bytes, file.separator)?;
        let mut evidence = vec![Evidence::default(); records.header().len()];
        let mut starts = vec![start(&records)];
        let mut rows = 0;
        loop {
            let here = start(&records);
            let is_far = starts.last().is_some_and(|last| here.offset - last.offset >= STRETCH);
            if is_far && file.packing == Packing::None {
                starts.push(here);
            }
            let Some(block) = records.next_block()? else { break };
            for (index, evidence) in evidence.iter_mut().enumerate() {
                evidence.take(block.column(index), |row| block.place(row).0);
            }
            rows += block.rows() as u64;
        }
        let after = file.identity().map_err(|error| error.to_string())?;
        if after != identity {
            return Err("it was changed while it was read: run again once it is complete".to_owned());
        }
        let columns = records.header().iter().cloned().zip(evidence).collect();
        Ok(Scan { identity, columns, rows, starts })
    }
}

fn start(records: &Records) -> Start {
    let (offset, row, line) = records.position();
    Start { offset, row, line }
}
