//! Any text as a baseline: the line that is wrong, or rows that come back when they are
//! written again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use skep::baseline::{Baseline, COUNTED};

fn cell(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(baseline) = Baseline::parse(text) else { return };
    for counted in 0..1 << COUNTED.len() {
        let has = |at: usize| counted >> at & 1 == 1;
        if !baseline
            .programs()
            .all(|(.., of)| (0..COUNTED.len()).all(|at| of.counts[at].is_some() == has(at)))
        {
            continue;
        }
        let titles = (0..COUNTED.len()).filter(|&at| has(at)).map(|at| COUNTED[at]);
        let mut csv = ["file_name", "prog_name", "verdict"]
            .into_iter()
            .chain(titles)
            .collect::<Vec<_>>()
            .join(",");
        for (file, program, of) in baseline.programs() {
            let verdict = if of.accepted { "success" } else { "failure" };
            csv += &format!("\n{},{},{verdict}", cell(file), cell(program));
            of.counts.iter().flatten().for_each(|count| csv += &format!(",{count}"));
        }
        assert_eq!(Baseline::parse(&csv).as_ref(), Ok(&baseline), "{csv:?}");
    }
});
