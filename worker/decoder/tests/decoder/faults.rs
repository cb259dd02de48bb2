//! Files that are none, files that are damaged, decoders that die or hang: each has its own error, and the next call
//! works.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use media::decoder::{DecodeError, DecoderConfig, DecoderHost, DecoderLimits, Stopper};

use crate::clips::{
    PICTURE, clip, file_of, frames_by_ffmpeg, host, host_with, open, packets_by_ffprobe, probe_error, tracks,
    video,
};

fn film() -> PathBuf {
    let encoders = "-c:v libx264 -g 30 -pix_fmt yuv420p -c:a aac";
    clip(
        "film.mp4",
        &format!("-f lavfi -i {PICTURE} -f lavfi -i sine=440 -t 4 {encoders} -movflags +faststart"),
    )
}

fn signal(name: &str, pid: i32) {
    let status = Command::new("kill").args([format!("-{name}"), pid.to_string()]).status().unwrap();
    assert!(status.success(), "kill -{name} {pid}");
}

#[test]
fn what_is_no_media_is_unsupported() {
    let host = host();
    let noise: Vec<u8> = (0..100_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let page = "<!doctype html><html><body>Not found</body></html>\n".repeat(20);
    let playlist = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\n/etc/passwd\n";
    let inputs: [(&str, &[u8]); 6] = [
        ("nothing", b""),
        ("text", b"hello, this is a text file and no film at all\n"),
        ("a page", page.as_bytes()),
        ("noise", &noise),
        ("a playlist", playlist.as_bytes()),
        ("a script", b"ffconcat version 1.0\nfile '/etc/passwd'\n"),
    ];
    for (what, bytes) in inputs {
        let error = probe_error(&host, bytes);
        assert!(matches!(error, DecodeError::UnsupportedMedia(_)), "{what} gave {error:?}");
    }
}

#[test]
fn a_film_that_was_cut_is_corrupt_wherever_it_was_cut() {
    let host = host();
    for name in ["film.mp4", "film.mkv", "film.webm", "song.wav"] {
        let path = match name {
            "film.mp4" => film(),
            "film.mkv" => {
                clip(name, &format!("-f lavfi -i {PICTURE} -t 4 -c:v libx264 -g 30 -pix_fmt yuv420p"))
            }
            "film.webm" => clip(name, &format!("-f lavfi -i {PICTURE} -t 4 -c:v libvpx -b:v 300k -g 30")),
            _ => clip(name, "-f lavfi -i sine=440 -t 4"),
        };
        let whole = fs::read(path).unwrap();
        for part in [8, 30, 50, 70] {
            let error = probe_error(&host, &whole[..whole.len() * part / 100]);
            assert!(matches!(error, DecodeError::CorruptMedia(_)), "{part} % of {name} gave {error:?}");
        }
        // The length alone is not what is looked at: the whole file is fine.
        host.probe(&file_of(&whole)).unwrap();
    }
}

#[test]
fn a_film_whose_index_is_missing_is_corrupt() {
    let encoders = "-c:v libx264 -g 30 -pix_fmt yuv420p -movflags -faststart";
    let whole = fs::read(clip("index_last.mp4", &format!("-f lavfi -i {PICTURE} -t 2 {encoders}"))).unwrap();
    let error = probe_error(&host(), &whole[..whole.len() / 2]);
    assert!(matches!(error, DecodeError::CorruptMedia(_)), "got {error:?}");
}

#[test]
fn a_film_of_which_nothing_can_be_decoded_is_corrupt() {
    let mut bytes = fs::read(film()).unwrap();
    let data = bytes.windows(4).position(|window| window == b"mdat").unwrap() + 4;
    bytes[data..].fill(0x55);
    let (host, file) = (host(), file_of(&bytes));
    // Either the probe finds out, or the first frame does.
    let error = match host.probe(&file) {
        Err(error) => error,
        Ok(_) => host.open_video(&file, &video(&host, &file)).unwrap().frame(0).unwrap_err(),
    };
    assert!(matches!(error, DecodeError::CorruptMedia(_)), "got {error:?}");
}

#[test]
fn pictures_that_cannot_be_decoded_are_bridged_by_their_neighbours_for_a_while() {
    let path = clip("intra.mov", &format!("-f lavfi -i {PICTURE} -t 2 -c:v mjpeg -q:v 4 -pix_fmt yuvj420p"));
    let packets = packets_by_ffprobe(&path);
    let mut bytes = fs::read(&path).unwrap();
    // The first two, one in the middle, and twenty on end.
    for (position, size) in [0, 1, 10].into_iter().chain(30..50).map(|n: usize| packets[n]) {
        bytes[position..position + size].fill(0);
    }
    let expected = frames_by_ffmpeg(&path, "yuvj420p", 160 * 90 * 3 / 2);
    let (host, file) = (host(), file_of(&bytes));
    let track = video(&host, &file);
    assert_eq!(track.index.len(), 60, "the table still has them");
    for order in [vec![0, 1, 2, 3, 9, 10, 11, 31], vec![10, 11, 1, 0, 2, 31, 29]] {
        let mut reader = host.open_video(&file, &track).unwrap();
        for n in order {
            let shown = match n {
                0 | 1 => 2,
                10 => 9,
                31 => 29,
                n => n,
            };
            assert!(
                reader.frame(n).unwrap().data() == expected[shown],
                "in place of {n} there is not {shown}"
            );
        }
    }
    let error = host.open_video(&file, &track).unwrap().frame(45).unwrap_err();
    assert!(matches!(error, DecodeError::CorruptMedia(_)), "too many are missing: {error:?}");
}

#[test]
fn scattered_damage_neither_crashes_nor_differs_between_runs() {
    let whole = fs::read(film()).unwrap();
    let host = host();
    for seed in 1..=12u32 {
        let mut bytes = whole.clone();
        let mut random = seed;
        for _ in 0..20 {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let at = (random >> 8) as usize % bytes.len();
            bytes[at] ^= (random & 0xff) as u8;
        }
        let read = || -> Result<Vec<u8>, String> {
            let file = file_of(&bytes);
            let track = match host.probe(&file).map_err(|error| format!("{error:?}"))? {
                media::decoder::Probe::Media { video: Some(track), .. } => track,
                other => return Err(format!("{other:?}")),
            };
            let mut reader = host.open_video(&file, &track).map_err(|error| format!("{error:?}"))?;
            let mut sums = Vec::new();
            for n in (0..track.index.len()).step_by(5) {
                let frame = reader.frame(n).map_err(|error| format!("{error:?}"))?;
                sums.push(
                    frame.data().iter().fold(0u8, |sum, byte| sum.wrapping_mul(31).wrapping_add(*byte)),
                );
            }
            Ok(sums)
        };
        let first = read();
        assert!(!format!("{first:?}").contains("Crashed"), "seed {seed}: {first:?}");
        assert_eq!(first, read(), "seed {seed}: the same bytes give the same pictures or the same error");
    }
}

#[test]
fn a_killed_decoder_is_an_error_and_the_next_one_works() {
    let (host, file) = (host(), open(&film()));
    let track = video(&host, &file);
    let mut reader = host.open_video(&file, &track).unwrap();
    reader.frame(0).unwrap();
    signal("KILL", reader.pid());
    let error = (1..60).find_map(|n| reader.frame(n).err()).unwrap();
    assert!(matches!(error, DecodeError::Crashed { signal: Some(9) }), "got {error:?}");
    drop(reader);
    let mut reader = host.open_video(&file, &track).unwrap();
    reader.frame(20).unwrap();
}

#[test]
fn a_decoder_that_crashes_says_by_which_signal() {
    let (host, file) = (host(), open(&film()));
    let mut reader = host.open_video(&file, &video(&host, &file)).unwrap();
    signal("SEGV", reader.pid());
    let error = reader.frame(0).unwrap_err();
    assert!(matches!(error, DecodeError::Crashed { signal: Some(11) }), "got {error:?}");
}

#[test]
fn a_decoder_that_hangs_is_killed_in_time() {
    let host =
        host_with(DecoderLimits { answer_within: Duration::from_millis(300), ..DecoderLimits::default() });
    let file = open(&film());
    let track = video(&host, &file);
    let mut reader = host.open_video(&file, &track).unwrap();
    signal("STOP", reader.pid());
    let error = reader.frame(0).unwrap_err();
    assert!(matches!(error, DecodeError::TimedOut), "got {error:?}");
    assert!(!is_alive(reader.pid()), "the hung process is gone");
    host.open_video(&file, &track).unwrap().frame(0).unwrap();
}

#[test]
fn an_order_to_stop_ends_whoever_waits_and_lets_nobody_begin() {
    let (host, file, stopper) = (host(), open(&film()), Stopper::default());
    let stoppable = host.stopped_by(&stopper);
    let track = video(&host, &file);
    let mut waiting = stoppable.open_video(&file, &track).unwrap();
    let mut idle = stoppable.open_video(&file, &track).unwrap();
    let mut other = host.open_video(&file, &track).unwrap();
    idle.frame(0).unwrap();
    signal("STOP", waiting.pid());
    let order = move || {
        std::thread::sleep(Duration::from_millis(100));
        stopper.stop();
        Instant::now()
    };
    let orders = std::thread::Builder::new().name("orders".into()).spawn(order).unwrap();
    let error = waiting.frame(0).unwrap_err();
    let took = orders.join().unwrap().elapsed();
    assert!(matches!(error, DecodeError::Stopped), "got {error:?}");
    assert!(took < Duration::from_millis(100), "at once, not after {took:?}");
    let error = (1..100).find_map(|n| idle.frame(n).err()).unwrap();
    assert!(matches!(error, DecodeError::Stopped), "got {error:?}");
    assert!(matches!(stoppable.open_video(&file, &track), Err(DecodeError::Stopped)), "nobody begins");
    assert!(matches!(stoppable.probe(&file), Err(DecodeError::Stopped)), "with nothing");
    other.frame(20).expect("other work goes on");
}

#[test]
fn a_dead_zygote_is_replaced() {
    let (host, file) = (host(), open(&film()));
    let track = video(&host, &file);
    let mut reader = host.open_video(&file, &track).unwrap();
    reader.frame(0).unwrap();
    signal("KILL", parent_of(reader.pid()));
    // The kernel takes a moment to end them.
    let error = (1..100_000).find_map(|n| reader.frame(n % 100).err()).unwrap();
    assert!(matches!(error, DecodeError::Crashed { .. }), "workers die with the zygote: {error:?}");
    drop(reader);
    host.open_video(&file, &track).unwrap().frame(5).unwrap();
}

#[test]
fn a_picture_that_needs_more_memory_than_allowed_is_told_apart() {
    let limits = DecoderLimits {
        address_space: 240 << 20,
        large_address_space: 240 << 20,
        ..DecoderLimits::default()
    };
    let path = clip("large.mp4", "-f lavfi -i testsrc2=s=3840x2160:r=5 -t 1 -c:v libx264 -preset ultrafast");
    let file = open(&path);
    let track = video(&host(), &file);
    let error = host_with(limits).open_video(&file, &track).unwrap().frame(3).unwrap_err();
    assert!(matches!(error, DecodeError::OutOfMemory), "got {error:?}");
}

#[test]
fn a_picture_over_the_limit_is_too_large() {
    let host = host_with(DecoderLimits { video_pixels: 160 * 90 - 1, ..DecoderLimits::default() });
    let error = host.probe(&open(&film())).unwrap_err();
    assert!(matches!(error, DecodeError::TooLarge(_)), "got {error:?}");
}

#[test]
fn a_missing_executable_is_named() {
    let config =
        DecoderConfig { executable: "/nowhere/framelane-decoder".into(), limits: DecoderLimits::default() };
    let error = DecoderHost::start(config).unwrap_err();
    assert_eq!(
        error.to_string(),
        "start the decoder /nowhere/framelane-decoder",
        "the path helps to mend it"
    );
}

/// Names the film when this executable is started as the service of the test below.
const SERVE: &str = "FRAMELANE_TEST_SERVE";

#[test]
fn decoders_die_with_their_service_even_if_it_is_killed() {
    let mut service = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "faults::a_service_that_waits", "--nocapture"])
        .env(SERVE, film())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(service.stdout.take().unwrap()).lines();
    let worker =
        lines.map_while(Result::ok).find_map(|line| line.strip_prefix("worker ")?.parse().ok()).unwrap();
    let zygote = parent_of(worker);
    assert!(is_alive(worker) && is_alive(zygote), "both run");
    service.kill().unwrap();
    service.wait().unwrap();
    let began = Instant::now();
    while is_alive(worker) || is_alive(zygote) {
        assert!(
            began.elapsed() < Duration::from_secs(20),
            "worker {worker} or zygote {zygote} outlived the service"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// No test by itself: the service of the test above.
#[test]
fn a_service_that_waits() {
    let Some(film) = std::env::var_os(SERVE) else { return };
    let (host, file) = (host(), open(&PathBuf::from(film)));
    let (Some(track), _) = tracks(&host, &file) else { return };
    let mut reader = host.open_video(&file, &track).unwrap();
    reader.frame(0).unwrap();
    std::io::Write::write_fmt(&mut std::io::stdout(), format_args!("\nworker {}\n", reader.pid())).unwrap();
    std::thread::park();
}

fn parent_of(pid: i32) -> i32 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit_once(')').unwrap().1.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn is_alive(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"));
    // A zombie is gone; its new parent only has not looked yet.
    stat.is_ok_and(|stat| !stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z')))
}
