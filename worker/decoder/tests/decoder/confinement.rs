//! What a worker cannot do.

use std::fs;
use std::process::Command;

use media::decoder::Landlock;

use crate::clips::{PICTURE, clip, host, open, video};

#[test]
fn a_confined_process_can_open_reach_and_start_nothing() {
    let output = Command::new(env!("CARGO_BIN_EXE_framelane-decoder")).arg("self-check").output().unwrap();
    let report = String::from_utf8(output.stdout).unwrap();
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    let expected = serde_json::json!({
        "open": "refused", "socket": "refused", "fork": "refused", "signal": "refused",
        "executable_memory": "refused", "execute": "killed", "trace": "killed",
    });
    assert_eq!(report, expected, "every attempt fails, and the hostile ones end the process");
    assert!(output.status.success(), "and the check says so");
}

#[test]
fn a_worker_has_its_three_descriptors_no_environment_and_no_privileges() {
    let host = host();
    let file = open(&clip("plain.mp4", &format!("-f lavfi -i {PICTURE} -t 1 -c:v libx264 -pix_fmt yuv420p")));
    let mut reader = host.open_video(&file, &video(&host, &file)).unwrap();
    reader.frame(0).unwrap();
    let status = fs::read_to_string(format!("/proc/{}/status", reader.pid())).unwrap();
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        line.trim_start_matches(':').trim().to_owned()
    };
    assert_eq!(field("NoNewPrivs"), "1", "no new privileges");
    assert_eq!(field("Seccomp"), "2", "system calls are filtered");
    assert_eq!(field("Threads"), "1", "one thread");
    // The rest of /proc is only open to root, because workers cannot be dumped.
    if let Ok(descriptors) = fs::read_dir(format!("/proc/{}/fd", reader.pid())) {
        let mut numbers: Vec<String> =
            descriptors.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, ["0", "1", "2", "3", "4", "5"], "null device, control socket, ring and input");
        let environment = fs::read(format!("/proc/{}/environ", reader.pid())).unwrap();
        assert!(environment.is_empty(), "no variable of the service's environment");
    }
}

#[test]
fn the_service_learns_how_well_its_workers_are_confined() {
    let sandbox = host().sandbox().clone();
    assert!(sandbox.seccomp, "every kernel that runs these tests filters system calls");
    let is_whole = sandbox.landlock == Landlock::Full;
    assert_eq!(sandbox.reason.is_none(), is_whole, "what is missing is explained: {sandbox:?}");
}

#[test]
fn the_service_learns_which_libraries_decode() {
    let output = Command::new("ffmpeg").arg("-version").output().unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    let release = told.split_whitespace().nth(2).unwrap();
    let libraries = host().libraries().to_owned();
    assert!(libraries.starts_with(&format!("{release}: ")), "{libraries} is not of release {release}");
    for library in ["avutil", "avcodec", "avformat", "swscale", "swresample"] {
        // As in "libavcodec     59. 37.100 / 59. 37.100": built with, then loaded.
        let line = told.lines().find(|line| line.starts_with(&format!("lib{library} "))).unwrap();
        let version = line.rsplit('/').next().unwrap().replace(' ', "");
        assert!(
            libraries.contains(&format!("{library} {version}")),
            "{library} {version} is not in {libraries}"
        );
    }
}
