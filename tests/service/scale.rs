//! How much the tests of endurance do: a little in `make test`, everything in `make soak`, which also prints figures beside
//! the disk's own fsync. Counts and orders are asserted; how long something takes is printed, with what it should take.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

/// How often the disk is asked for its pace.
const SYNCS: usize = 200;

/// Whether everything is to be done.
pub(crate) fn is_soak() -> bool {
    std::env::var("FRAMELANE_SOAK").is_ok_and(|asked| asked != "0")
}

/// How often something is done: `usually`, `when_soaking`, or as the variable says.
pub(crate) fn times(variable: &str, usually: u64, when_soaking: u64) -> u64 {
    match std::env::var(variable) {
        Ok(count) => count.parse().unwrap(),
        Err(_unset) if is_soak() => when_soaking,
        Err(_unset) => usually,
    }
}

/// Tells a figure beside what it should be.
pub(crate) fn figure(what: &str, found: impl std::fmt::Display, target: &str) {
    eprintln!("figure: {what}: {found} (target: {target})");
}

/// The median of a write and fsync of 4 KiB below the folder.
pub(crate) fn fsync_p50(folder: &Path) -> Duration {
    let path = folder.join("fsync.probe");
    let mut probe = OpenOptions::new().append(true).create(true).open(&path).unwrap();
    let mut took: Vec<Duration> = (0..SYNCS)
        .map(|_| {
            let begun = Instant::now();
            probe.write_all(&[7; 4096]).unwrap();
            probe.sync_data().unwrap();
            begun.elapsed()
        })
        .collect();
    std::fs::remove_file(path).unwrap();
    quantile(&mut took, 50)
}

/// The value below which so many percent lie.
pub(crate) fn quantile(values: &mut [Duration], percent: usize) -> Duration {
    values.sort_unstable();
    values
        .get((values.len() * percent / 100).min(values.len().saturating_sub(1)))
        .copied()
        .unwrap_or_default()
}
