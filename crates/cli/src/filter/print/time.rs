//! Time stamps: of the day, since 1970, since the packet before, with the date.

use std::fmt::Write as _;

const SECOND: u64 = 1_000_000_000;
const DAY: u64 = 86_400;

/// Prints stamps in one of tcpdump's forms; all in UTC.
pub struct Stamps {
    form: u8,
    nanoseconds: bool,
    first: Option<u64>,
    last: Option<u64>,
}

impl Stamps {
    /// The form by the number of `-t`: 0 the time of day, 1 nothing, 2 seconds since 1970, 3
    /// since the packet before, 4 date and time, 5 since the first packet.
    pub fn new(form: u8, nanoseconds: bool) -> Stamps {
        Stamps { form, nanoseconds, first: None, last: None }
    }

    /// Adds a stamp and a blank; time is in nanoseconds since 1970.
    pub fn print(&mut self, time: u64, out: &mut String) {
        let first = *self.first.get_or_insert(time);
        let last = self.last.replace(time).unwrap_or(time);
        match self.form {
            0 => self.clock(time, out),
            1 => return,
            2 => {
                let _ = write!(out, "{}", time / SECOND);
                self.fraction(time, out);
            }
            3 => self.delta(time, last, out),
            4 => {
                let (year, month, day) = date(time / SECOND / DAY);
                let _ = write!(out, "{year:04}-{month:02}-{day:02} ");
                self.clock(time, out);
            }
            _ => self.delta(time, first, out),
        }
        out.push(' ');
    }

    fn delta(&self, time: u64, since: u64, out: &mut String) {
        out.push(if time < since { '-' } else { ' ' });
        self.clock_of(time.abs_diff(since), out);
    }

    fn clock(&self, time: u64, out: &mut String) {
        self.clock_of(time % (DAY * SECOND), out);
    }

    fn clock_of(&self, time: u64, out: &mut String) {
        let seconds = time / SECOND;
        let (hours, minutes, rest) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        let _ = write!(out, "{hours:02}:{minutes:02}:{rest:02}");
        self.fraction(time, out);
    }

    fn fraction(&self, time: u64, out: &mut String) {
        let part = time % SECOND;
        let _ = match self.nanoseconds {
            true => write!(out, ".{part:09}"),
            false => write!(out, ".{:06}", part / 1000),
        };
    }
}

/// Year, month and day of a number of days since 1970 (proleptic Gregorian calendar).
pub fn date(days: u64) -> (u64, u64, u64) {
    const ERA: u64 = 146_097;
    // Years that begin in March, so that a leap day is the last.
    let days = days + 719_468;
    let (era, day) = (days / ERA, days % ERA);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let first = (153 * month + 2) / 5;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (era * 400 + year + next, month, day - first + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_have_tcpdumps_forms() {
        let times = [951_782_399_000_001_500, 951_782_400_000_002_500];
        for (form, expected) in [
            (0, "23:59:59.000001 00:00:00.000002 "),
            (1, ""),
            (2, "951782399.000001 951782400.000002 "),
            (3, " 00:00:00.000000  00:00:01.000001 "),
            (4, "2000-02-28 23:59:59.000001 2000-02-29 00:00:00.000002 "),
            (5, " 00:00:00.000000  00:00:01.000001 "),
        ] {
            let mut stamps = Stamps::new(form, false);
            let mut out = String::new();
            times.iter().for_each(|&time| stamps.print(time, &mut out));
            assert_eq!(out, expected, "{form}");
        }
    }
}
