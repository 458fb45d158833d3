//! What a process has used, from Linux's `/proc`. Elsewhere everything reads as zero.

use std::fs;
use std::path::Path;
use std::time::Duration;

/// Linux counts processor time for user space in hundredths of a second, whatever the kernel's own tick is.
const TICK: Duration = Duration::from_millis(10);

/// What a process has used so far.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Usage {
    /// Processor time of all its threads.
    pub(super) cpu: Duration,
    /// Of these, the thread that writes the store.
    pub(super) writer: Duration,
    /// Resident memory, in bytes.
    pub(super) rss: u64,
    /// Bytes handed to the disk.
    pub(super) written: u64,
}

impl Usage {
    /// Of a process.
    pub(super) fn of(pid: u32) -> Self {
        let process = Path::new("/proc").join(pid.to_string());
        let read = |name: &str| fs::read_to_string(process.join(name)).unwrap_or_default();
        let writer = fs::read_dir(process.join("task")).ok().into_iter().flatten().filter_map(Result::ok);
        let writer = writer
            .filter_map(|task| fs::read_to_string(task.path().join("stat")).ok())
            .filter(|stat| name(stat) == Some("store-writer"))
            .filter_map(|stat| cpu(&stat))
            .sum();
        Self {
            cpu: cpu(&read("stat")).unwrap_or_default(),
            writer,
            rss: 1024 * field(&read("status"), "VmRSS:").unwrap_or_default(),
            written: field(&read("io"), "write_bytes:").unwrap_or_default(),
        }
    }

    /// Of this process.
    pub(super) fn own() -> Self {
        Self::of(std::process::id())
    }
}

/// A thread's name, which stands in parentheses and may itself hold some.
fn name(stat: &str) -> Option<&str> {
    Some(stat.split_once('(')?.1.rsplit_once(')')?.0)
}

/// User and system time: the 14th and 15th field, counted from 1, of which the name is the 2nd.
fn cpu(stat: &str) -> Option<Duration> {
    let mut rest = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let (user, system): (u32, u32) = (rest.next()?.parse().ok()?, rest.next()?.parse().ok()?);
    Some(TICK * (user + system))
}

fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
}

/// Bytes of all files under a directory, as the disk counts them.
pub(super) fn disk_bytes(directory: &Path) -> u64 {
    let entries = fs::read_dir(directory).ok().into_iter().flatten().filter_map(Result::ok);
    entries
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => disk_bytes(&entry.path()),
            Ok(metadata) => blocks(&metadata),
            Err(_) => 0,
        })
        .sum()
}

#[cfg(unix)]
fn blocks(metadata: &fs::Metadata) -> u64 {
    512 * std::os::unix::fs::MetadataExt::blocks(metadata)
}

#[cfg(not(unix))]
fn blocks(metadata: &fs::Metadata) -> u64 {
    metadata.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_counted_behind_the_name() {
        let stat = "42 (odd) (name) S 1 2 3 4 5 6 7 8 9 10 150 25 0 0";
        assert_eq!(name(stat), Some("odd) (name"));
        assert_eq!(cpu(stat), Some(Duration::from_millis(1_750)));
        assert_eq!(cpu("42 (short) S 1"), None);
        assert_eq!(field("VmPeak:\t 9 kB\nVmRSS:\t  7 kB\n", "VmRSS:"), Some(7));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_has_used_something() {
        assert!(Usage::own().rss > 0);
        assert_eq!(Usage::of(0), Usage::default());
    }
}
