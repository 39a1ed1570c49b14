//! Objects by the names of their files: the door before `parse`.

use std::path::Path;

use skep_abi::Loader;

use crate::error::{ObjectError, ObjectErrorKind};
use crate::object::Object;
use crate::parse;

/// The largest file that is read.
const MAX_FILE: u64 = 64 << 20;

impl Object {
    /// Reads and parses a file.
    ///
    /// # Errors
    /// Why it is no object that we can use.
    pub fn open(path: impl AsRef<Path>) -> Result<Object, ObjectError> {
        Object::open_as(path, Loader::default())
    }

    /// Reads and parses a file by the rules of a loader.
    ///
    /// # Errors
    /// Why it is no object that this loader takes.
    pub fn open_as(path: impl AsRef<Path>, loader: Loader) -> Result<Object, ObjectError> {
        let path = path.as_ref();
        let file = path.to_string_lossy();
        let read = || {
            let failed = |error: std::io::Error| ObjectErrorKind::Read(error.into());
            let metadata = std::fs::metadata(path).map_err(failed)?;
            if !metadata.is_file() {
                return Err(failed(std::io::Error::other("it is no regular file")));
            }
            if metadata.len() > MAX_FILE {
                return Err(ObjectErrorKind::TooLarge(metadata.len()));
            }
            std::fs::read(path).map_err(failed)
        };
        let bytes = read().map_err(|kind| ObjectError::from(kind).of_file(&file))?;
        Object::parse_as(&file, &bytes, loader)
    }

    /// Parses the bytes of a file called `file`.
    ///
    /// # Errors
    /// Why it is no object that we can use.
    pub fn parse(file: &str, bytes: &[u8]) -> Result<Object, ObjectError> {
        Object::parse_as(file, bytes, Loader::default())
    }

    /// Parses the bytes of a file called `file` by the rules of a loader.
    ///
    /// # Errors
    /// Why it is no object that this loader takes.
    pub fn parse_as(file: &str, bytes: &[u8], loader: Loader) -> Result<Object, ObjectError> {
        parse::object(file, bytes, loader).map_err(|error| error.of_file(file))
    }
}
