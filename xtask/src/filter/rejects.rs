//! Expressions that libpcap refuses, and its words for it.

use std::path::Path;

use anyhow::Result;
use skep_lang::pcap::compile;

use super::{Offline, Options, lines, link, settings};

pub(super) fn execute(folder: &Path, options: &Options) -> Result<bool> {
    let (mut refused, mut same, mut all) = (0, 0, 0);
    for case in &lines(folder, "pcap-cases.jsonl")? {
        let expr = case["expr"].as_str().unwrap_or_default();
        let Some(link) = link(case).filter(|_| case["kind"] == "reject") else { continue };
        let wanted = case["errstr"].as_str().unwrap_or_default();
        all += 1;
        match compile(expr, &settings(case, link, &Offline)) {
            Ok(_) => println!("{} {expr:?} is taken; {wanted}", link.name),
            Err(error) => {
                refused += 1;
                if error.text.contains(wanted) {
                    same += 1;
                } else if options.verbose {
                    println!("{} {expr:?}: {:?} for {wanted:?}", link.name, error.text);
                }
            }
        }
    }
    println!("parity filter-rejects: agree {refused} of {all}, with the same text {same}");
    Ok(refused == all && same * 10 >= all * 9)
}
