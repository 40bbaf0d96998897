//! A text file to read: where it lies, how it is packed, and its bytes.

use super::Identity;
use crate::files::Packing;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::PathBuf;

#[derive(Clone, Debug)]
pub struct TextFile {
    pub path: PathBuf,
    /// For messages.
    pub name: String,
    pub separator: u8,
    pub packing: Packing,
}

/// The bytes of an opened file, unpacked.
pub type Bytes = Box<dyn Read + Send>;

impl TextFile {
    /// Opens it, and says which file it is.
    pub fn open(&self) -> io::Result<(Identity, Bytes)> {
        let file = File::open(&self.path)?;
        let identity = Identity::of(&file.metadata()?);
        let bytes: Bytes = match self.packing {
            Packing::None => Box::new(file),
            // Several archives may stand in one file, one after the other, as when parts were joined.
            Packing::Gzip => Box::new(flate2::read::MultiGzDecoder::new(io::BufReader::with_capacity(1 << 16, file))),
            Packing::Zstd => Box::new(zstd::stream::read::Decoder::new(file)?),
        };
        Ok((identity, bytes))
    }

    /// The bytes from `start` to `end`, or to the end of the file; of a file that is not packed.
    pub fn open_between(&self, start: u64, end: Option<u64>) -> io::Result<Bytes> {
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(start))?;
        Ok(match end {
            Some(end) => Box::new(file.take(end.saturating_sub(start))),
            None => Box::new(file),
        })
    }

    /// Which file lies there now.
    pub fn identity(&self) -> io::Result<Identity> {
        std::fs::metadata(&self.path).map(|metadata| Identity::of(&metadata))
    }
}
