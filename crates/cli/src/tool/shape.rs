//! What output looks like, as data: columns and how their fields are written.

/// What a tool's output looks like.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    /// What the script prints, as it is.
    Lines {
        /// A line in front.
        banner: &'static str,
    },
    /// A row for each event.
    Rows {
        /// Its columns.
        columns: &'static [Column],
        /// A line in front.
        banner: &'static str,
    },
    /// Histograms of powers of two.
    Histogram {
        /// The script's map.
        map: &'static str,
        /// A line in front.
        banner: &'static str,
    },
    /// Percentiles of a fine histogram.
    Percentiles {
        /// The script's map.
        map: &'static str,
    },
    /// Names and how often they were hit.
    Counts(Counted),
    /// Stacks and how often they were hit.
    Stacks {
        /// Samples, as profile shows them; else as stackcount does.
        samples: bool,
    },
    /// The page cache's.
    Cache,
}

/// What is counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Counted {
    /// Probes, the most at the end.
    Probes,
    /// System calls, the most first.
    Calls,
}

/// A column.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Its title.
    pub title: &'static str,
    /// So wide at least.
    pub width: usize,
    /// The field of the event.
    pub field: &'static str,
    /// How it is written.
    pub how: How,
    /// Numbers stand to the right.
    pub right: bool,
    /// A space stands behind it.
    pub gap: bool,
    /// What is longer is cut.
    pub cut: bool,
    /// It is there with this flag alone.
    pub when: Option<&'static str>,
}

/// A column, to the left, with a space behind it.
pub const fn column(title: &'static str, width: usize, field: &'static str, how: How) -> Column {
    Column { title, width, field, how, right: false, gap: true, cut: false, when: None }
}

impl Column {
    /// To the right.
    pub const fn right(mut self) -> Column {
        self.right = true;
        self
    }

    /// Without a space behind it.
    pub const fn tight(mut self) -> Column {
        self.gap = false;
        self
    }

    /// Cut to its width.
    pub const fn cut(mut self) -> Column {
        self.cut = true;
        self
    }

    /// With a flag alone.
    pub const fn when(mut self, flag: &'static str) -> Column {
        self.when = Some(flag);
        self
    }
}

/// How a field is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum How {
    /// As it is.
    Plain,
    /// The time of day.
    Clock,
    /// Date and time.
    Date,
    /// Seconds since the first event, with so many digits.
    Since(usize),
    /// Nanoseconds as milliseconds.
    Milliseconds,
    /// Bytes as 1,024 of them.
    Kilobytes,
    /// A result that is a descriptor, or -1.
    Descriptor,
    /// A result that is an error, or 0.
    Errno,
    /// So many octal digits.
    Octal(usize),
    /// Permissions of a file that is made.
    OpenMode,
    /// The arguments of a program.
    Arguments,
    /// What a disk does, by a request's flags.
    Operation,
    /// A capability's name.
    Capability,
    /// An address and the port in another field.
    Endpoint(&'static str),
    /// An arrow behind a letter.
    Arrow,
    /// A state of TCP.
    TcpState,
    /// A file's name, or its inode.
    File,
    /// An alert about a source of packets.
    Alert,
}
