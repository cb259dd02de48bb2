//! Frame n is the same picture however it is reached, and the one ffmpeg gives as its n-th.

use std::path::Path;

use composition::time::Ticks;

use crate::clips::{PICTURE, clip, clip_of, file_of, frames_by_ffmpeg, host, open, times_by_ffprobe, video};

/// Bytes of a 160 × 90 picture in I420.
const FRAME: usize = 160 * 90 * 3 / 2;

/// Reads the clip in every way and compares with `expected`; frames' times are compared with ffprobe's.
fn check(path: &Path, expected: &[Vec<u8>]) {
    let host = host();
    let file = open(path);
    let track = video(&host, &file);
    let times = times_by_ffprobe(path);
    assert_eq!(track.index.len(), expected.len(), "as many frames as ffmpeg decodes");
    for (n, time) in times.iter().enumerate() {
        let ours = track.index.time_of(n).seconds() - track.index.time_of(0).seconds();
        if let (Some(time), Some(first)) = (time, times[0]) {
            assert!(
                (ours - (time - first)).abs() < 2e-6,
                "frame {n} at {ours} s, by ffprobe {}",
                time - first
            );
        }
        assert_eq!(
            track.index.frame_at(track.index.time_of(n)),
            n,
            "frame {n} is shown from its own time on"
        );
    }
    let last = expected.len() - 1;
    let in_order: Vec<usize> = (0..=last).collect();
    let mut jumps: Vec<usize> = (0..=last).rev().step_by(7).collect();
    jumps.extend((0..24).map(|n| (n * 37 + 11) % expected.len()));
    let skipping: Vec<usize> = (0..=last).step_by(3).flat_map(|n| [n, n]).collect();
    for (order, is_scheduled) in [(&in_order, false), (&in_order, true), (&jumps, false), (&skipping, true)] {
        let mut reader = host.open_video(&file, &track).unwrap();
        if is_scheduled {
            reader.schedule(order.iter().copied());
        }
        for n in order {
            let frame = reader.frame(*n).unwrap();
            assert!(
                frame.data() == expected[*n],
                "frame {n} differs (scheduled: {is_scheduled}, order {order:?})"
            );
        }
    }
    // A fresh reader that starts anywhere must give the same, with what follows.
    for start in (0..=last).step_by(expected.len() / 5) {
        let mut reader = host.open_video(&file, &track).unwrap();
        for (n, expected) in expected.iter().enumerate().skip(start).take(5) {
            assert!(
                reader.frame(n).unwrap().data() == *expected,
                "frame {n} differs after starting at {start}"
            );
        }
    }
}

fn check_against_ffmpeg(path: &Path) {
    check(path, &frames_by_ffmpeg(path, "yuv420p", FRAME));
}

#[test]
fn h264_with_b_frames_is_exact() {
    let encoder = "-t 3 -c:v libx264 -preset fast -bf 3 -g 30 -pix_fmt yuv420p";
    check_against_ffmpeg(&clip("h264_b.mp4", &format!("-f lavfi -i {PICTURE} {encoder}")));
}

#[test]
fn variable_frame_rate_is_exact() {
    let drop = "select='not(eq(mod(n\\,5)\\,2))+gt(n\\,60)',setpts='PTS+0.004*sin(N)/TB'";
    check_against_ffmpeg(&clip_of(
        "vfr.mp4",
        &[
            "-f",
            "lavfi",
            "-i",
            PICTURE,
            "-t",
            "3",
            "-vf",
            drop,
            "-fps_mode",
            "vfr",
            "-video_track_timescale",
            "90000",
            "-c:v",
            "libx264",
            "-bf",
            "2",
            "-g",
            "24",
            "-pix_fmt",
            "yuv420p",
        ],
    ));
}

#[test]
fn an_edit_list_that_starts_inside_a_gop_is_exact() {
    let encoder = "-t 4 -c:v libx264 -bf 2 -g 40 -pix_fmt yuv420p";
    let whole = clip("uncut.mp4", &format!("-f lavfi -i {PICTURE} {encoder}"));
    let cut = clip_of("edit_list.mp4", &["-ss", "1.03", "-i", whole.to_str().unwrap(), "-c", "copy"]);
    check_against_ffmpeg(&cut);
}

#[test]
fn hevc_with_open_gops_is_exact() {
    let encoder =
        "-t 3 -c:v libx265 -x265-params log-level=error:keyint=24:open-gop=1:bframes=4 -pix_fmt yuv420p";
    check_against_ffmpeg(&clip("hevc_open_gop.mp4", &format!("-f lavfi -i {PICTURE} {encoder}")));
}

#[test]
fn mpeg_ts_is_exact() {
    let encoder = "-t 3 -c:v libx264 -bf 3 -g 30 -pix_fmt yuv420p";
    check_against_ffmpeg(&clip("h264.ts", &format!("-f lavfi -i {PICTURE} {encoder}")));
}

#[test]
fn a_recording_that_begins_inside_a_gop_begins_with_its_first_key_frame() {
    let encoder = "-t 3 -c:v libx264 -bf 3 -g 30 -x264-params scenecut=0 -pix_fmt yuv420p";
    let path = clip("h264_closed.ts", &format!("-f lavfi -i {PICTURE} {encoder}"));
    let whole = std::fs::read(&path).unwrap();
    // Packets of 188 bytes (ISO/IEC 13818-1 2.4.3.2); the tables are repeated now and then.
    let file = file_of(&whole[whole.len() / 5 / 188 * 188..]);
    let host = host();
    let track = video(&host, &file);
    assert_eq!(track.index.len(), 60, "two of three GOPs are whole");
    let expected = frames_by_ffmpeg(&path, "yuv420p", FRAME);
    let mut reader = host.open_video(&file, &track).unwrap();
    for n in [0, 1, 2, 40, 3] {
        assert!(
            reader.frame(n).unwrap().data() == expected[n + 30],
            "frame {n} is number {} of the whole",
            n + 30
        );
    }
}

#[test]
fn vp9_in_webm_is_exact() {
    let encoder = "-t 2 -c:v libvpx-vp9 -deadline realtime -cpu-used 8 -g 20 -b:v 200k -pix_fmt yuv420p";
    check_against_ffmpeg(&clip("vp9.webm", &format!("-f lavfi -i {PICTURE} {encoder}")));
}

#[test]
fn matroska_and_avi_are_exact() {
    let encoder = "-t 2 -c:v libx264 -bf 3 -g 20 -pix_fmt yuv420p";
    check_against_ffmpeg(&clip("h264.mkv", &format!("-f lavfi -i {PICTURE} {encoder}")));
    check_against_ffmpeg(&clip(
        "mpeg4.avi",
        &format!("-f lavfi -i {PICTURE} -t 2 -c:v mpeg4 -bf 2 -g 20 -q:v 4"),
    ));
    check_against_ffmpeg(&clip("h264.avi", &format!("-f lavfi -i {PICTURE} {encoder}")));
}

#[test]
fn ten_bit_video_is_brought_to_eight_with_rounding() {
    let encoder = "-t 1 -c:v libx265 -x265-params log-level=error:keyint=20 -pix_fmt yuv420p10le";
    let path = clip("hevc10.mp4", &format!("-f lavfi -i {PICTURE} {encoder}"));
    let expected: Vec<Vec<u8>> = frames_by_ffmpeg(&path, "yuv420p10le", FRAME * 2)
        .iter()
        .map(|frame| {
            let samples = frame.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
            samples.map(|sample| u8::try_from((sample + 2) >> 2).unwrap_or(255)).collect()
        })
        .collect();
    check(&path, &expected);
}

#[test]
fn instants_outside_the_video_show_its_first_and_last_frame() {
    let host = host();
    let file =
        open(&clip("h264_short.mp4", &format!("-f lavfi -i {PICTURE} -t 1 -c:v libx264 -pix_fmt yuv420p")));
    let track = video(&host, &file);
    assert_eq!(track.index.frame_at(Ticks::from_seconds(-1.0)), 0, "before");
    assert_eq!(track.index.frame_at(Ticks::from_seconds(99.0)), 29, "after");
    assert_eq!(track.index.end(), Ticks::from_seconds(1.0), "30 frames at 30 a second");
    let mut reader = host.open_video(&file, &track).unwrap();
    let last = reader.frame(29).unwrap();
    assert!(reader.frame(400).unwrap().data() == last.data(), "a number past the end is the last frame");
}
