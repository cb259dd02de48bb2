//! The trial at every start: an object is written, written again, read and deleted, so that a store that can't keep our
//! promises is refused before it holds anything.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::TryStreamExt as _;
use object_store::path::Path as Location;
use object_store::{Error, ObjectStore as _, ObjectStoreExt as _, PutMode};

use crate::s3::trouble::said;
use crate::s3::{OpenS3Error, S3Storage};

/// Below this trial objects lie.
const FOLDER: &str = "probe";

/// How long the trial may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A trial object this old was left by a process that died.
const ABANDONED_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

const FIRST: &[u8] = b"framelane: a trial; this object may be deleted";
const SECOND: &[u8] = b"framelane: this must never be stored";

/// Tries the store out.
pub(crate) async fn try_out(storage: &S3Storage, endpoint: &str) -> Result<(), OpenS3Error> {
    let unusable = |doing: &'static str, said: String| OpenS3Error::Unusable {
        place: storage.place.clone(),
        endpoint: endpoint.to_owned(),
        doing,
        said,
    };
    let trial = tokio::time::timeout(PATIENCE, trial(storage));
    match trial.await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(Refusal::Replaces)) => {
            Err(OpenS3Error::Replaces { place: storage.place.clone(), endpoint: endpoint.to_owned() })
        }
        Ok(Err(Refusal::Altered)) => {
            Err(unusable("read", "other bytes came back than were written".to_owned()))
        }
        Ok(Err(Refusal::Failed(doing, error))) => Err(unusable(doing, said(&error, &storage.credentials))),
        Err(_late) => Err(unusable("finish with", format!("it took longer than {} s", PATIENCE.as_secs()))),
    }
}

/// What went wrong with the trial.
#[derive(Debug)]
enum Refusal {
    Replaces,
    Altered,
    Failed(&'static str, Error),
}

async fn trial(storage: &S3Storage) -> Result<(), Refusal> {
    let failed = |doing: &'static str| move |error: Error| Refusal::Failed(doing, error);
    let key = format!("{FOLDER}/{:032x}", rand::random::<u128>());
    let location = Location::from(storage.place.key(&key));
    let put = |bytes: &'static [u8]| storage.store.put_opts(&location, bytes.into(), PutMode::Create.into());
    put(FIRST).await.map_err(failed("write"))?;
    let again = put(SECOND).await;
    let read = async { storage.store.get(&location).await?.bytes().await };
    let read = read.await;
    // Whatever was seen, nothing of it stays.
    let deleted = storage.store.delete(&location).await;
    match again {
        Err(Error::AlreadyExists { .. }) => {}
        Ok(_replaced) => return Err(Refusal::Replaces),
        Err(error) => return Err(Refusal::Failed("write twice", error)),
    }
    if read.map_err(failed("read"))? != FIRST {
        return Err(Refusal::Altered);
    }
    deleted.map_err(failed("delete"))?;
    sweep(storage).await.map_err(failed("list"))
}

/// Removes what was left of older trials.
async fn sweep(storage: &S3Storage) -> Result<(), Error> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let abandoned = i64::try_from(now.saturating_sub(ABANDONED_AFTER).as_secs()).unwrap_or(i64::MAX);
    let folder = Location::from(storage.place.key(FOLDER));
    let mut left = storage.store.list(Some(&folder));
    while let Some(object) = left.try_next().await? {
        if object.last_modified.timestamp() < abandoned {
            storage.store.delete(&object.location).await?;
        }
    }
    Ok(())
}
