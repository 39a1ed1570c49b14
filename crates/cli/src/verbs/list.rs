//! Lists of objects of a kind: all of them, or those that words mean. Each kind says what it
//! knows of one; how a list is laid out stands here alone.

use serde_json::Value as Json;
use skep::sys::{Fd, ObjectKind};

use super::words::Words;
use super::{Session, pick};
use crate::failure::{Failure, Outcome, Status};

/// What is told of an object of a kind.
pub trait Told {
    /// Which kind.
    const KIND: ObjectKind;

    /// As JSON.
    ///
    /// # Errors
    /// The kernel does not say.
    fn json(&mut self, fd: &Fd) -> Result<Json, Failure>;

    /// For people, with the end of its last line.
    ///
    /// # Errors
    /// The kernel does not say.
    fn plain(&mut self, fd: &Fd) -> Result<String, Failure>;
}

/// Shows the objects that the words mean; without words all of them.
///
/// # Errors
/// None is meant, or the kernel does not say.
pub fn show<T: Told>(session: &mut Session<'_>, words: &mut Words<'_>, mut known: T) -> Outcome {
    let kernel = session.kernel.clone();
    let is_all = words.is_empty();
    let fds: Vec<Fd> = match is_all {
        // One may have gone since it was listed.
        true => pick::ids(&kernel, T::KIND)?
            .into_iter()
            .filter_map(|id| pick::by_id(&kernel, T::KIND, id).ok())
            .collect(),
        false => {
            let fds = pick::several(&kernel, T::KIND, words)?;
            words.end()?;
            fds
        }
    };
    let alone = !is_all && fds.len() == 1;
    let mut all = Vec::new();
    for fd in &fds {
        match session.json {
            true => all.push(known.json(fd)?),
            false => {
                let text = known.plain(fd)?;
                write!(session.out, "{text}")?;
            }
        }
    }
    if session.json {
        let json = if alone { all.remove(0) } else { Json::Array(all) };
        session.print(&json)?;
    }
    Ok(Status::Done)
}
