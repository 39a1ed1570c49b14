//! What the machine knows of objects beside `bpf(2)`: lines of fdinfo, the processes that hold
//! them, the wall clock.

use std::collections::BTreeMap;

use skep::sys::{Fd, ObjectKind};

/// A line of what `/proc` says of an fd: `memlock`, `frozen`.
pub fn fdinfo(fd: &Fd, name: &str) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", fd.raw())).ok()?;
    line(&text, name)
}

fn line(text: &str, name: &str) -> Option<u64> {
    let rest = |line: &str| line.strip_prefix(name)?.strip_prefix(':')?.trim().parse().ok();
    text.lines().find_map(rest)
}

/// A process that holds an object.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Holder {
    pub pid: u32,
    pub comm: String,
}

/// The processes that hold objects of a kind, by the objects' ids, as far as the caller may
/// see them.
pub fn holders(kind: ObjectKind) -> BTreeMap<u32, Vec<Holder>> {
    let (links, field): (&[&str], &str) = match kind {
        ObjectKind::Prog => (&["bpf-prog"], "prog_id"),
        ObjectKind::Map => (&["bpf-map"], "map_id"),
        ObjectKind::Link => (&["bpf-link", "bpf_link"], "link_id"),
        ObjectKind::Btf => (&["btf"], "btf_id"),
    };
    let own = std::process::id();
    let mut found = BTreeMap::<u32, Vec<Holder>>::new();
    for process in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let name = process.file_name();
        let pid = name.to_str().and_then(|name| name.parse::<u32>().ok());
        let Some(pid) = pid.filter(|&pid| pid != own) else { continue };
        let fds = std::fs::read_dir(process.path().join("fd"));
        for fd in fds.into_iter().flatten().flatten() {
            let link = std::fs::read_link(fd.path()).unwrap_or_default();
            let link = link.to_str().and_then(|link| link.strip_prefix("anon_inode:"));
            if !link.is_some_and(|link| links.contains(&link.trim_matches(['[', ']']))) {
                continue;
            }
            let info = process.path().join("fdinfo").join(fd.file_name());
            let text = std::fs::read_to_string(info).unwrap_or_default();
            let Some(id) = line(&text, field).and_then(|id| u32::try_from(id).ok()) else {
                continue;
            };
            let of = found.entry(id).or_default();
            if of.iter().all(|holder| holder.pid != pid) {
                let comm = std::fs::read_to_string(process.path().join("comm"));
                let comm = comm.unwrap_or_default().trim_end().to_owned();
                of.push(Holder { pid, comm });
            }
        }
    }
    found.values_mut().for_each(|of| of.sort());
    found
}

/// Seconds since 1970 for nanoseconds since the machine was started.
pub fn wall_clock(since_boot: u64) -> i64 {
    #[cfg(target_os = "linux")]
    {
        use rustix::time::{ClockId, clock_gettime};
        let (real, boot) = (clock_gettime(ClockId::Realtime), clock_gettime(ClockId::Boottime));
        let nanoseconds = real.tv_nsec - boot.tv_nsec + since_boot as i64;
        real.tv_sec - boot.tv_sec + nanoseconds / 1_000_000_000
    }
    #[cfg(not(target_os = "linux"))]
    {
        since_boot as i64 / 1_000_000_000
    }
}

/// `2026-11-30T11:45:12+0000`.
pub fn date(seconds: i64) -> String {
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // The civil calendar by the days of 400 years, beginning in March.
    let shifted = days + 719_468;
    let (era, day) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let of_month = of_year - (153 * month + 2) / 5 + 1;
    let (month, carry) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let year = year + era * 400 + carry;
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{of_month:02}T{hour:02}:{minute:02}:{second:02}+0000")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(date(0), "1970-01-01T00:00:00+0000");
        assert_eq!(date(951_782_400), "2000-02-29T00:00:00+0000");
        assert_eq!(date(1_796_039_112), "2026-11-30T11:45:12+0000");
    }

    #[test]
    fn a_line_is_found_by_its_whole_name() {
        let text = "flags:\t02000002\nmemlock:\t4096\nmemlock2:\t1\n";
        assert_eq!((line(text, "memlock"), line(text, "mem")), (Some(4096), None));
    }
}
