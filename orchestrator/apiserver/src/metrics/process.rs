//! What the operating system says of this process.

use std::fs;

/// Clock ticks in a second, which Linux fixes for user space.
const TICKS: f64 = 100.0;
/// Bytes in a page of memory, which the processors served here share.
const PAGE: u64 = 4096;

/// The process by its figures; none where the system does not tell them.
pub(super) struct Process {
    pub(super) cpu_seconds: f64,
    pub(super) resident_bytes: u64,
    pub(super) virtual_bytes: u64,
    pub(super) open_files: u64,
    pub(super) max_files: Option<u64>,
}

impl Process {
    pub(super) fn read() -> Option<Self> {
        let stat = fs::read_to_string("/proc/self/stat").ok()?;
        let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
        let open_files = fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count() as u64);
        Self::parse(&stat, &limits, open_files)
    }

    fn parse(stat: &str, limits: &str, open_files: u64) -> Option<Self> {
        // The name, in parentheses, may hold anything; what follows it starts with the third field.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        let max_files = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
        let ticks = u32::try_from(field(14)? + field(15)?).unwrap_or(u32::MAX);
        Some(Self {
            cpu_seconds: f64::from(ticks) / TICKS,
            virtual_bytes: field(23)?,
            resident_bytes: field(24)? * PAGE,
            open_files,
            max_files: max_files.and_then(|rest| rest.split_whitespace().next()?.parse().ok()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Process;

    #[test]
    fn fields_are_counted_after_the_name_whatever_it_is() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 9 0 1000 4096000 300 1844";
        let limits =
            "Limit  Soft  Hard  Units\nMax open files            1024                 524288      files\n";
        let process = Process::parse(stat, limits, 12).unwrap();
        assert!((process.cpu_seconds - 3.0).abs() < 1e-9);
        assert_eq!((process.virtual_bytes, process.resident_bytes), (4_096_000, 300 * 4096));
        assert_eq!((process.open_files, process.max_files), (12, Some(1024)));
        assert!(Process::parse("garbage", "", 0).is_none());
    }
}
