//! `examples/mixed.pcapng`: a small capture with a bit of everything, made from nothing
//! but this code, so that it is the same bytes on every machine.
//!
//! Ten seconds on the link of a small network, 192.0.2.0/24 and 2001:db8:1::/64, whose
//! router leads to other documentation networks (RFC 5737, RFC 3849). In it: ordinary
//! traffic, floods that `syn_guard` drops, downloads that cross `per_ip`'s threshold,
//! and packets that are wrong in as many ways as a parser may get wrong.

mod conversation;
mod flood;
mod odd;
mod packet;
mod pcapng;

/// 2024-01-01 00:00:00 UTC, in nanoseconds since 1970.
const START: u64 = 1_704_067_200_000_000_000;
/// A microsecond and a millisecond, in nanoseconds.
const US: u64 = 1_000;
const MS: u64 = 1_000_000;

/// Frames with their times in nanoseconds since the start, in the order they were made.
#[derive(Default)]
struct Recording {
    frames: Vec<(u64, Vec<u8>)>,
}

impl Recording {
    /// Records a frame.
    fn at(&mut self, time: u64, frame: Vec<u8>) {
        self.frames.push((time, frame));
    }
}

/// Numbers that only look random (SplitMix64). Elsewhere they are `fastrand`'s, whose next
/// version may draw others: the committed capture has to stay what this makes.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`.
    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// The capture file.
pub fn mixed() -> Vec<u8> {
    let mut recording = Recording::default();
    conversation::record(&mut recording);
    flood::record(&mut recording);
    odd::record(&mut recording);

    // Stable: frames of the same time keep their order.
    recording.frames.sort_by_key(|(time, _)| *time);
    pcapng::file(recording.frames.iter().map(|(time, frame)| (START + time, frame.as_slice())))
}

#[cfg(test)]
mod tests {
    use super::mixed;

    #[test]
    fn the_committed_capture_is_what_this_code_makes() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/mixed.pcapng");
        let committed = std::fs::read(path).expect("examples/mixed.pcapng");
        assert!(committed == mixed(), "run `cargo xtask examples --capture`");
    }
}
