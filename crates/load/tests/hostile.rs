//! Damaged objects: every answer is fine but a panic, a hang, or memory without end.

use skep_load::{Object, Target, relocate};

/// Numbers of a fixed seed, so that a failure can be repeated.
struct Random(fastrand::Rng);

impl Random {
    fn next(&mut self) -> u64 {
        self.0.u64(..)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }
}

fn objects() -> Vec<Vec<u8>> {
    let folder = format!("{}/tests/objects", env!("CARGO_MANIFEST_DIR"));
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .expect("the objects are there")
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "o"))
        .collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).expect("it can be read")).collect()
}

/// Opens and, as far as that works, links.
fn survive(bytes: &[u8], target: &Target) -> bool {
    let Ok(mut object) = Object::parse("hostile.o", bytes) else { return false };
    object.select(|_| true);
    if let Err(error) = relocate(&object, target) {
        assert_eq!(error.to_string().lines().count(), 1, "{error}");
        return false;
    }
    true
}

#[test]
fn every_truncation_is_survived() {
    let target = Target::default();
    for bytes in objects() {
        for len in (0..bytes.len()).step_by(7) {
            let error = Object::parse("cut.o", &bytes[..len]).err();
            assert!(error.is_none_or(|error| error.to_string().lines().count() == 1));
        }
        assert!(!survive(&bytes[..bytes.len() - 1], &target), "the section table comes last");
    }
}

#[test]
fn damaged_bytes_are_survived() {
    let target = Target::default();
    let mut random = Random(fastrand::Rng::with_seed(0x5eed));
    let interesting: [u64; 8] =
        [0, 1, 0x7f, 0xff, 0xffff, 0x7fff_ffff, 0xffff_ffff, 0x8000_0000_0000_0000];
    let (mut linked, mut all) = (0, 0);
    for bytes in objects() {
        for _ in 0..300 {
            let mut damaged = bytes.clone();
            for _ in 0..1 + random.below(4) {
                let at = random.below(damaged.len());
                match random.below(4) {
                    0 => damaged[at] ^= 1 << random.below(8),
                    1 => damaged[at] = random.next() as u8,
                    2 => {
                        let value = interesting[random.below(interesting.len())].to_le_bytes();
                        let len = (1 << random.below(4)).min(damaged.len() - at);
                        damaged[at..at + len].copy_from_slice(&value[..len]);
                    }
                    _ => {
                        let from = random.below(damaged.len());
                        let len = random.below(64).min(damaged.len() - at.max(from));
                        damaged.copy_within(from..from + len, at);
                    }
                }
            }
            all += 1;
            linked += usize::from(survive(&damaged, &target));
        }
    }
    // Were all refused, or none, the damage would not reach what we want to test.
    assert!(linked > all / 20 && linked < all, "{linked} of {all} still link");
}

#[test]
fn damaged_headers_are_survived() {
    let target = Target::default();
    let mut random = Random(fastrand::Rng::with_seed(0xe1f));
    for bytes in objects() {
        let table = u64::from_le_bytes(*bytes[40..].first_chunk().expect("a header"));
        let (start, end) = (table as usize, bytes.len());
        for _ in 0..300 {
            let mut damaged = bytes.clone();
            // A field of a section's header, or of the file's.
            let at = match random.below(4) {
                0 => 16 + 2 * random.below(24),
                _ => start + 4 * random.below((end - start) / 4),
            };
            let value = match random.below(3) {
                0 => random.next() as u32,
                1 => random.below(bytes.len()) as u32,
                _ => random.below(32) as u32,
            };
            let place = at.min(end - 4);
            damaged[place..place + 4].copy_from_slice(&value.to_le_bytes());
            survive(&damaged, &target);
        }
    }
}
