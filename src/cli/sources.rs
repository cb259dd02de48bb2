//! How sources are fetched and kept, as flags.

use std::path::PathBuf;

use bytesize::ByteSize;
use clap::Args;
use outbound::FetchLimits;
use worker::AssetsConfig;

/// What sources may take.
#[derive(Debug, Clone, Args)]
pub(crate) struct SourceOptions {
    /// Disk for fetched sources, so that they need not be fetched again: what was not used for longest goes first, what
    /// is in use stays
    #[arg(long, env = "FRAMELANE_CACHE_LIMIT", default_value = "20GiB", value_name = "SIZE")]
    cache_limit: ByteSize,

    /// The largest source; a job with a larger one fails with source_too_large
    #[arg(long, env = "FRAMELANE_SOURCE_LIMIT", default_value = "5GiB", value_name = "SIZE")]
    source_limit: ByteSize,
}

impl SourceOptions {
    pub(crate) fn config(&self, folder: PathBuf) -> AssetsConfig {
        AssetsConfig {
            folder,
            kept_bytes_max: self.cache_limit.as_u64(),
            limits: FetchLimits { bytes_max: self.source_limit.as_u64(), ..FetchLimits::default() },
            local_files: false,
        }
    }
}
