//! Where parts and films lie, as flags: a folder, or a bucket of an S3 store.

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;

use bytesize::ByteSize;
use clap::{Args, ValueEnum};
use storage::{LocalStorage, S3Credentials, S3Options, S3Place, S3Storage, Storage};

use super::DataDir;

/// Where objects lie and how to get there.
#[derive(Debug, Clone, Args)]
pub(crate) struct ObjectOptions {
    /// The place of parts and films: a folder, or s3://BUCKET/PREFIX; one that all processes of the service share, where
    /// there are several. A folder inside the data folder unless given. Keys for S3 come from AWS_ACCESS_KEY_ID and
    /// AWS_SECRET_ACCESS_KEY, a web identity, or the machine's role
    #[arg(long, env = "FRAMELANE_OBJECTS", value_name = "FOLDER|s3://BUCKET/PREFIX")]
    objects: Option<String>,

    /// The S3 server, where it is not Amazon's
    #[arg(long, env = "FRAMELANE_S3_ENDPOINT", value_name = "URL")]
    s3_endpoint: Option<String>,

    /// The same server as clients reach it; links to films lead there. --s3-endpoint unless given
    #[arg(long, env = "FRAMELANE_S3_PUBLIC_ENDPOINT", value_name = "URL")]
    s3_public_endpoint: Option<String>,

    /// The region of the bucket; AWS_REGION, AWS_DEFAULT_REGION or us-east-1 unless given
    #[arg(long, env = "FRAMELANE_S3_REGION", value_name = "REGION")]
    s3_region: Option<String>,

    /// The bucket's name goes into the path of addresses, not into the host's name: MinIO and Ceph mostly want that
    #[arg(long, env = "FRAMELANE_S3_PATH_STYLE")]
    s3_path_style: bool,

    /// Hosts of S3 endpoints that may be spoken to without TLS
    #[arg(long, env = "FRAMELANE_S3_ALLOW_HTTP", value_delimiter = ',', value_name = "HOST,…")]
    s3_allow_http: Vec<String>,

    /// Whether links to films lead clients to the S3 store itself, or its bytes come through the service
    #[arg(long, env = "FRAMELANE_S3_REDIRECT", value_enum, default_value_t = Redirect::On, value_name = "WHETHER")]
    s3_redirect: Redirect,

    /// Disk for local copies of objects in S3
    #[arg(long, env = "FRAMELANE_S3_CACHE_LIMIT", default_value = "10GiB", value_name = "SIZE")]
    s3_cache_limit: ByteSize,
}

/// Where clients get their bytes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Redirect {
    /// The store
    On,
    /// The service
    Off,
}

impl ObjectOptions {
    /// Opens the storage; one that can't keep its promises is refused here.
    pub(crate) async fn open(&self, data: &DataDir) -> Result<Arc<dyn Storage>, Box<dyn Error>> {
        let place = given(self.objects.as_ref());
        let in_s3 = place.as_ref().filter(|place| place.contains("://"));
        match in_s3 {
            Some(place) => Ok(Arc::new(S3Storage::open(self.s3(place.parse()?, data)).await?)),
            None => {
                Ok(Arc::new(LocalStorage::open(place.map_or_else(|| data.objects(), PathBuf::from)).await?))
            }
        }
    }

    fn s3(&self, place: S3Place, data: &DataDir) -> S3Options {
        let variable = |name: &str| std::env::var(name).ok();
        let region =
            ["AWS_REGION", "AWS_DEFAULT_REGION"].into_iter().find_map(|name| given(variable(name).as_ref()));
        S3Options {
            place,
            endpoint: given(self.s3_endpoint.as_ref()),
            public_endpoint: given(self.s3_public_endpoint.as_ref()),
            region: given(self.s3_region.as_ref()).or(region),
            path_style: self.s3_path_style,
            allow_http: self.s3_allow_http.clone(),
            redirect: self.s3_redirect == Redirect::On,
            credentials: S3Credentials::from_environment(variable),
            cache: data.cache().join("objects"),
            cache_bytes_max: self.s3_cache_limit.as_u64(),
        }
    }
}

/// An empty variable of the environment is none.
fn given(text: Option<&String>) -> Option<String> {
    text.filter(|text| !text.is_empty()).cloned()
}
