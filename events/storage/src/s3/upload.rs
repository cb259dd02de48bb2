//! Uploads: whole where they are small, in parts where they are large, never replacing what is there.
//!
//! A part is read when its turn comes, so a film of any size takes a few parts' memory. An upload in parts that fails is
//! aborted; the store shows nothing of it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use events::Sha256;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use object_store::aws::AmazonS3;
use object_store::multipart::{MultipartStore as _, PartId};
use object_store::path::Path as Location;
use object_store::{
    Attributes, Error, MultipartId, ObjectStore as _, ObjectStoreExt as _, PutMode, PutMultipartOptions,
    PutOptions,
};
use tokio::sync::Semaphore;

use crate::port::Moved;
use crate::s3::DIGEST;
use crate::s3::trouble::Trouble;

/// The size of a part, and the largest file that is sent whole. Stores want at least 5 MiB, all alike but the last.
const PART_BYTES: u64 = 8 << 20;

/// The most parts that stores take; a larger file is sent in larger ones.
const PARTS_MAX: u64 = 10_000;

/// Parts of all uploads that are in memory at once.
const IN_FLIGHT_MAX: usize = 4;

/// How often a put is tried that another one of the same key gets in the way of, and how long to wait before.
const CONFLICTS_MAX: u32 = 5;
const CONFLICT_PAUSE: Duration = Duration::from_millis(200);

/// What is to be stored.
#[derive(Debug)]
pub(crate) enum Source {
    /// A file that nobody changes, and its length.
    File(Arc<File>, u64),
    /// Bytes in memory.
    Bytes(Bytes),
}

impl Source {
    pub(crate) async fn open(path: &Path) -> io::Result<Source> {
        let file = tokio::fs::File::open(path).await?;
        let length = file.metadata().await?.len();
        Ok(Source::File(Arc::new(file.into_std().await), length))
    }

    fn length(&self) -> u64 {
        match self {
            Source::File(_, length) => *length,
            Source::Bytes(bytes) => bytes.len() as u64,
        }
    }

    async fn read(&self, offset: u64, length: u64) -> io::Result<Bytes> {
        let length = usize::try_from(length).map_err(io::Error::other)?;
        match self {
            Source::Bytes(bytes) => {
                let offset = usize::try_from(offset).map_err(io::Error::other)?;
                Ok(bytes.slice(offset..offset + length))
            }
            Source::File(file, _) => {
                let file = Arc::clone(file);
                let read = tokio::task::spawn_blocking(move || {
                    let mut bytes = vec![0; length];
                    file.read_exact_at(&mut bytes, offset).map(|()| bytes)
                });
                Ok(read.await.map_err(io::Error::other)??.into())
            }
        }
    }
}

/// The uploads of a process.
#[derive(Debug)]
pub(crate) struct Uploads {
    in_flight: Semaphore,
}

impl Default for Uploads {
    fn default() -> Uploads {
        Uploads { in_flight: Semaphore::new(IN_FLIGHT_MAX) }
    }
}

impl Uploads {
    /// Stores the source under the key unless there is something: that stays.
    pub(crate) async fn send(
        &self,
        store: &AmazonS3,
        location: &Location,
        source: Source,
        sha256: Sha256,
        moved: Moved<'_>,
    ) -> Result<(), Trouble> {
        let mut conflicts = 0;
        loop {
            let sent = if source.length() <= PART_BYTES {
                self.send_whole(store, location, &source, sha256, moved).await
            } else {
                self.send_in_parts(store, location, &source, sha256, moved).await
            };
            // Somebody was first, perhaps we ourselves with an answer that got lost; or is about to be.
            let Err(Trouble::Store(
                error @ (Error::AlreadyExists { .. } | Error::Precondition { .. } | Error::NotFound { .. }),
            )) = sent
            else {
                return sent;
            };
            match store.head(location).await {
                Ok(_found) => return Ok(()),
                Err(Error::NotFound { .. }) if conflicts < CONFLICTS_MAX => conflicts += 1,
                Err(_not_there) => return Err(error.into()),
            }
            tokio::time::sleep(CONFLICT_PAUSE * conflicts).await;
        }
    }

    async fn send_whole(
        &self,
        store: &AmazonS3,
        location: &Location,
        source: &Source,
        sha256: Sha256,
        moved: Moved<'_>,
    ) -> Result<(), Trouble> {
        let _turn = self.in_flight.acquire().await;
        let bytes = source.read(0, source.length()).await?;
        let options =
            PutOptions { mode: PutMode::Create, attributes: kept_with(sha256), ..PutOptions::default() };
        store.put_opts(location, bytes.into(), options).await?;
        // The last byte has gone: too late to give up.
        moved(source.length());
        Ok(())
    }

    async fn send_in_parts(
        &self,
        store: &AmazonS3,
        location: &Location,
        source: &Source,
        sha256: Sha256,
        moved: Moved<'_>,
    ) -> Result<(), Trouble> {
        // The condition at the end is not honoured by all who honour it at a put, and would cost the whole upload.
        if store.head(location).await.is_ok() {
            return Ok(());
        }
        let options = PutMultipartOptions { attributes: kept_with(sha256), ..PutMultipartOptions::default() };
        let upload = store.create_multipart_opts(location, options).await?;
        let sent = match self.send_parts(store, location, &upload, source, moved).await {
            Ok(parts) => {
                store.complete_multipart(location, &upload, parts).await.map(drop).map_err(Trouble::from)
            }
            Err(trouble) => Err(trouble),
        };
        if sent.is_err() && store.abort_multipart(location, &upload).await.is_err() {
            tracing::warn!(key = %location, "parts of an upload were left in the store; a lifecycle rule of the bucket removes them");
        }
        sent
    }

    async fn send_parts(
        &self,
        store: &AmazonS3,
        location: &Location,
        upload: &MultipartId,
        source: &Source,
        moved: Moved<'_>,
    ) -> Result<Vec<PartId>, Trouble> {
        let parts =
            stream::iter(parts(source.length()).enumerate()).map(async |(index, (offset, length))| {
                let _turn = self.in_flight.acquire().await;
                let bytes = source.read(offset, length).await?;
                let part = store.put_part(location, upload, index, bytes.into()).await?;
                if moved(length) { Ok(part) } else { Err(Trouble::GivenUp) }
            });
        parts.buffered(IN_FLIGHT_MAX).try_collect().await
    }
}

fn kept_with(sha256: Sha256) -> Attributes {
    Attributes::from_iter([(DIGEST, sha256.to_string())])
}

/// Offset and length of the parts of a file of this length.
fn parts(length: u64) -> impl Iterator<Item = (u64, u64)> {
    let size = PART_BYTES.max(length.div_ceil(PARTS_MAX));
    (0..length.div_ceil(size)).map(move |index| (index * size, size.min(length - index * size)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_cover_a_file_of_any_size_and_are_never_too_many() {
        for length in [PART_BYTES + 1, 3 * PART_BYTES, PARTS_MAX * PART_BYTES + 1, 5 << 40] {
            let cut: Vec<(u64, u64)> = parts(length).collect();
            assert!(cut.len() <= usize::try_from(PARTS_MAX).expect("fits"), "{length}: {} parts", cut.len());
            let mut end = 0;
            for &(offset, size) in &cut {
                assert_eq!(offset, end, "{length}: without a gap");
                end += size;
            }
            assert_eq!(end, length);
            assert!(
                cut[..cut.len() - 1].iter().all(|&(_, size)| size == cut[0].1),
                "{length}: all alike but the last"
            );
        }
    }
}
