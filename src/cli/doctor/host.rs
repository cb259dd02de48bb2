//! The machine itself: the data folder and its disk, the database library, the port, the clock, names.

use std::fs;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use bytesize::ByteSize;
use command::{DiskSpace, Space as _};
use event_store::{SqliteStore, library_version};
use events::Timestamp;
use outbound::Outbound;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::{DoctorOptions, Finding};
use crate::telemetry::chain;

/// A name server that takes longer is of no use.
const PATIENCE: Duration = Duration::from_secs(5);

/// Nobody's clock is right that shows an earlier time: 2026-01-01.
const EARLIEST_S: i64 = 1_767_225_600;

/// A disk on which one small write takes longer to become lasting is slow for a log.
const SLOW_SYNC: Duration = Duration::from_millis(100);

/// All checks of this kind. `scratch` is theirs.
pub(super) async fn check(options: &DoctorOptions, scratch: &Path) -> Vec<Finding> {
    let data = &options.data.data_dir;
    vec![
        folder(data),
        master_key(&options.data.master_key()),
        space(data, options.limits.service_limits().min_free_disk_bytes),
        sqlite(scratch).await,
        port(options.listen).await,
        clock(),
        outgoing(options).await,
    ]
}

/// The data folder takes files, lastingly.
fn folder(data: &Path) -> Finding {
    let name = "data folder";
    let shown = data.display();
    let Some(existing) = existing(data) else {
        return Finding::fault(name, format!("{shown} can't be made"), "choose another one with --data-dir");
    };
    let probe = existing.join(format!(".framelane-doctor-{}", std::process::id()));
    let begun = Instant::now();
    let written = write_lastingly(&probe);
    let took = begun.elapsed();
    drop(fs::remove_file(&probe));
    match written {
        Err(error) => Finding::fault(
            name,
            format!("{} can't be written: {error}", existing.display()),
            format!("give this user the folder: chown \"$(id -un)\" {}", existing.display()),
        ),
        Ok(()) if took > SLOW_SYNC => Finding::warning(
            name,
            format!("{shown}: a write takes {} ms to become lasting", took.as_millis()),
            "put the data folder on a faster local disk: every event waits for it",
        ),
        Ok(()) if existing == data => Finding::good(name, format!("{shown}, a lasting write in {took:.1?}")),
        Ok(()) => Finding::good(name, format!("{shown} will be made")),
    }
}

/// The folder, or the nearest one above it that is there.
fn existing(folder: &Path) -> Option<PathBuf> {
    let absolute = std::path::absolute(folder).ok()?;
    let found = absolute.ancestors().find(|folder| folder.is_dir())?.to_owned();
    Some(if found == absolute { folder.to_owned() } else { found })
}

fn write_lastingly(path: &Path) -> io::Result<()> {
    let mut file = fs::File::create(path)?;
    file.write_all(b"framelane doctor")?;
    file.sync_all()
}

/// The key that opens what callers wrote is its owner's alone.
fn master_key(path: &Path) -> Finding {
    let name = "master key";
    match fs::metadata(path).map(|facts| facts.permissions().mode() & 0o777) {
        Ok(mode) if mode & 0o077 == 0 => Finding::good(name, format!("{} is private", path.display())),
        Ok(mode) => Finding::fault(
            name,
            format!("{} can be read by others (mode {mode:o})", path.display()),
            format!("chmod 600 {}", path.display()),
        ),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Finding::good(name, format!("{} will be made at the first start", path.display()))
        }
        Err(error) => Finding::fault(
            name,
            format!("{} can't be looked at: {error}", path.display()),
            "run as the user that the service runs as",
        ),
    }
}

fn space(data: &Path, floor: u64) -> Finding {
    let name = "disk space";
    let free = existing(data)
        .ok_or_else(|| io::ErrorKind::NotFound.into())
        .and_then(|folder| DiskSpace(folder).free_bytes());
    match free {
        Ok(free) if free >= floor => {
            Finding::good(name, format!("{} free, {} needed", ByteSize(free), ByteSize(floor)))
        }
        Ok(free) => Finding::fault(
            name,
            format!("{} free, {} needed: nothing new would be accepted", ByteSize(free), ByteSize(floor)),
            "make room, choose another disk with --data-dir, or a smaller --min-free-disk",
        ),
        Err(error) => Finding::warning(name, format!("the disk does not say: {error}"), "use a local disk"),
    }
}

/// The library is good, and a log can be kept in the way we keep it.
async fn sqlite(scratch: &Path) -> Finding {
    let name = "SQLite";
    let rebuild = "build with the bundled library: cargo build --bins";
    let version = match library_version().await {
        Ok(version) => version,
        Err(error) => return Finding::fault(name, chain(&error), rebuild),
    };
    match SqliteStore::open(&scratch.join("log.db")).await {
        Ok(_store) => Finding::good(name, format!("version {version}")),
        Err(error) => Finding::fault(name, chain(&error), "put the data folder on a local disk"),
    }
}

/// The address is free, or a service of ours answers there.
async fn port(listen: SocketAddr) -> Finding {
    let name = "port";
    let other = "choose another address with --listen";
    match TcpListener::bind(listen).await {
        Ok(_free) => Finding::good(name, format!("{listen} is free")),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => match is_ours(listen).await {
            true => Finding::good(name, format!("{listen} is served by framelane")),
            false => Finding::fault(name, format!("another program has {listen}"), other),
        },
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Finding::fault(
            name,
            format!("this user may not listen on {listen}"),
            "choose a port from 1024 on with --listen",
        ),
        Err(error) => Finding::fault(name, format!("{listen} can't be listened on: {error}"), other),
    }
}

async fn is_ours(listen: SocketAddr) -> bool {
    // An address that stands for all of them is reached through the loopback one.
    let mut address = listen;
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    let asked = async {
        let mut connection = TcpStream::connect(address).await?;
        connection.write_all(b"GET /healthz HTTP/1.1\r\nhost: doctor\r\nconnection: close\r\n\r\n").await?;
        let mut answer = String::new();
        connection.take(4096).read_to_string(&mut answer).await?;
        Ok::<_, io::Error>(answer)
    };
    let answer = tokio::time::timeout(PATIENCE, asked).await;
    // Every answer of ours carries this header.
    answer.is_ok_and(|answer| answer.is_ok_and(|text| text.contains(api::conventions::REQUEST_ID.as_str())))
}

fn clock() -> Finding {
    let name = "clock";
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let now = Timestamp(i64::try_from(since.as_micros()).unwrap_or(i64::MAX));
    if now.unix_seconds() < EARLIEST_S {
        return Finding::fault(
            name,
            format!("it shows {now}: links and webhooks would be signed for the past"),
            "set it, and keep it right: apt-get install systemd-timesyncd",
        );
    }
    Finding::good(name, now.to_string())
}

/// The client can be made and names are resolved. Without names nothing can be fetched, but everything else works.
async fn outgoing(options: &DoctorOptions) -> Finding {
    let name = "outgoing HTTP";
    let allowed = match options.network.allowed() {
        Ok(allowed) => allowed,
        Err(error) => {
            return Finding::fault(name, error.to_string(), "write networks as 10.0.0.0/8,fd00::/8");
        }
    };
    if let Err(error) = Outbound::new(allowed) {
        return Finding::fault(name, chain(&error), "apt-get install ca-certificates");
    }
    let host = &options.resolve;
    let looked_up = tokio::time::timeout(PATIENCE, tokio::net::lookup_host((host.as_str(), 443))).await;
    let found = looked_up.map(|found| found.map(|mut addresses| addresses.next()));
    let unresolved = match found {
        Ok(Ok(Some(address))) => return Finding::good(name, format!("{host} is {}", address.ip())),
        Ok(Ok(None)) => format!("{host} has no address"),
        Ok(Err(error)) => format!("{host} can't be resolved: {error}"),
        Err(_elapsed) => format!("{host} was not resolved within {} s", PATIENCE.as_secs()),
    };
    Finding::warning(
        name,
        unresolved,
        "name servers stand in /etc/resolv.conf; without one, sources and webhooks only work by address",
    )
}
