//! aya judged by running it: what `--loader aya` says that aya takes, and which programs it
//! finds, is what its own reader does with the same bytes.

use std::path::PathBuf;

use skep_load::{Loader, Object};

/// The objects of this folder, whatever they were made for.
fn objects() -> Vec<PathBuf> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/objects");
    let entries = std::fs::read_dir(folder).expect("the folder of objects");
    let mut all: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    all.retain(|path| path.extension().is_some_and(|end| end == "o"));
    all.sort();
    all
}

/// The names of the programs, sorted, or why there are none.
type Read = Result<Vec<String>, String>;

fn by_aya(bytes: &[u8]) -> Read {
    let object = aya_obj::Object::parse(bytes).map_err(|error| error.to_string())?;
    let mut names: Vec<String> = object.programs.into_keys().collect();
    names.sort_unstable();
    Ok(names)
}

fn by_us(path: &PathBuf) -> Read {
    let object = Object::open_as(path, Loader::Aya).map_err(|error| error.to_string())?;
    let mut names: Vec<String> = object.programs.into_iter().map(|of| of.name).collect();
    names.sort_unstable();
    Ok(names)
}

#[test]
fn aya_finds_the_programs_that_we_say_it_does() {
    let (mut taken, mut refused, mut unread) = (0, 0, 0);
    for path in objects() {
        // A pinning of 2 it puts into an enumeration that ends at 1, without a look.
        if path.ends_with("legacy36.bpf.o") {
            continue;
        }
        let (theirs, ours) = (by_aya(&std::fs::read(&path).unwrap()), by_us(&path));
        match (&theirs, &ours) {
            (Ok(theirs), Ok(ours)) => {
                assert_eq!(theirs, ours, "{}", path.display());
                taken += 1;
            }
            (Err(_), Err(_)) => refused += 1,
            // Its reader of types is of another time; that says nothing of programs.
            (Err(theirs), Ok(_)) if theirs == "BTF error" => unread += 1,
            _ => panic!("{}: aya: {theirs:?}, we: {ours:?}", path.display()),
        }
    }
    println!("{taken} taken, {refused} refused, {unread} whose types aya does not read");
    assert!(taken > unread && refused > 0, "{taken} taken, {refused} refused, {unread} unread");
}
