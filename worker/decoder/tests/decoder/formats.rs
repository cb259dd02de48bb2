//! What the probe tells about pictures: orientation, sample shape, colour, streams.

use composition::time::Ticks;
use media::decoder::{Orientation, Probe};
use media::frame::{Matrix, Range, Transfer};

use crate::clips::{
    PICTURE, clip, clip_of, file_of, frames_by_ffmpeg, host, open, rgb_frames_by_ffmpeg, tracks,
    turned_by_ffmpeg, video,
};

/// The film with this matrix written into its track header: a b 0, c d 0, x y 1 (ISO/IEC 14496-12 8.3.2).
fn with_matrix(film: &[u8], [a, b, c, d]: [i32; 4]) -> Vec<u8> {
    let mut film = film.to_vec();
    let header = film.windows(4).position(|window| window == b"tkhd").unwrap();
    // Version 0: flags, two times, id, reserved, duration, two words reserved, layer, group, volume, reserved.
    let matrix = header + 4 + 4 + 16 + 4 + 8 + 8;
    for (at, value) in [(0, a), (1, b), (3, c), (4, d)] {
        film[matrix + 4 * at..][..4].copy_from_slice(&(value * 65_536).to_be_bytes());
    }
    film
}

/// Luma as shown: mirrored, then turned clockwise.
fn oriented(plane: media::frame::Plane<'_>, orientation: Orientation) -> Vec<u8> {
    let (mut width, mut rows) = (plane.width as usize, plane.data.to_vec());
    if orientation.mirrored {
        rows.chunks_exact_mut(width).for_each(<[u8]>::reverse);
    }
    for _ in 0..orientation.quarter_turns {
        let height = rows.len() / width;
        rows = (0..width)
            .flat_map(|x| (0..height).rev().map(move |y| (x, y)))
            .map(|(x, y)| rows[y * width + x])
            .collect();
        width = height;
    }
    rows
}

#[test]
fn a_phone_film_is_turned_as_ffmpeg_turns_it() {
    let host = host();
    let film = clip("upright.mp4", &format!("-f lavfi -i {PICTURE} -t 1 -c:v libx264 -pix_fmt yuv420p"));
    let film = std::fs::read(film).unwrap();
    for (matrix, quarter_turns, mirrored) in [
        ([1, 0, 0, 1], 0, false),
        ([0, 1, -1, 0], 1, false),
        ([-1, 0, 0, -1], 2, false),
        ([0, -1, 1, 0], 3, false),
        ([-1, 0, 0, 1], 0, true),
        ([1, 0, 0, -1], 2, true),
    ] {
        let turned = with_matrix(&film, matrix);
        let file = file_of(&turned);
        let track = video(&host, &file);
        assert_eq!(track.orientation, Orientation { quarter_turns, mirrored }, "for {matrix:?}");
        let shown = if quarter_turns % 2 == 1 { (90, 160) } else { (160, 90) };
        assert_eq!(track.display_size(), shown, "the size at which {matrix:?} is shown");
        let mut path = tempfile::NamedTempFile::new().unwrap();
        std::io::Write::write_all(&mut path, &turned).unwrap();
        let frame = host.open_video(&file, &track).unwrap().frame(7).unwrap();
        let theirs = &turned_by_ffmpeg(path.path())[7];
        assert!(
            oriented(frame.y(), track.orientation) == theirs[..160 * 90],
            "{matrix:?} is turned otherwise"
        );
    }
}

#[test]
fn anamorphic_video_is_shown_in_square_pixels() {
    let arguments = format!("-f lavfi -i {PICTURE} -t 1 -vf setsar=4/3 -c:v libx264 -pix_fmt yuv420p");
    let track = video(&host(), &open(&clip("anamorphic.mp4", &arguments)));
    assert_eq!(track.sample_aspect, (4, 3), "as stored");
    assert_eq!(track.display_size(), (213, 90), "160 × 4/3");
}

#[test]
fn colour_tags_are_reported() {
    let tags = "-colorspace bt2020nc -color_primaries bt2020 -color_trc smpte2084 -color_range tv";
    let encoder = "-c:v libx265 -x265-params log-level=error -pix_fmt yuv420p10le";
    let color =
        video(&host(), &open(&clip("hdr.mp4", &format!("-f lavfi -i {PICTURE} -t 0.5 {encoder} {tags}"))))
            .color;
    assert_eq!(
        (color.matrix, color.range, color.transfer),
        (Matrix::Bt2020, Range::Limited, Transfer::Pq),
        "HDR10"
    );
    let full = "-c:v mjpeg -q:v 3 -pix_fmt yuvj420p";
    let color =
        video(&host(), &open(&clip("mjpeg.mov", &format!("-f lavfi -i {PICTURE} -t 0.5 {full}")))).color;
    assert_eq!((color.matrix, color.range), (Matrix::Bt601, Range::Full), "motion JPEG");
}

#[test]
fn every_sampling_comes_out_as_i420_close_to_ffmpegs() {
    let host = host();
    for (name, encoder) in [
        ("422.mov", "-c:v prores_ks -profile:v 2 -pix_fmt yuv422p10le"),
        ("444.mp4", "-c:v libx264 -pix_fmt yuv444p"),
        ("rgb.mov", "-c:v qtrle -pix_fmt rgb24"),
        ("animation.gif", "-r 10"),
        ("odd.mp4", "-vf crop=159:89:0:0 -c:v libx264 -pix_fmt yuv444p"),
    ] {
        let path = clip(name, &format!("-f lavfi -i {PICTURE} -t 0.5 {encoder}"));
        let file = open(&path);
        let track = video(&host, &file);
        let frame = host.open_video(&file, &track).unwrap().frame(3).unwrap();
        let bytes = frame.data().len();
        // ffmpeg filters chroma differently, so only luma can be the same; and it has to be told BT.709 for RGB.
        let is_rgb = matches!(name, "rgb.mov" | "animation.gif");
        let theirs = if is_rgb {
            rgb_frames_by_ffmpeg(&path, bytes)
        } else {
            frames_by_ffmpeg(&path, "yuv420p", bytes)
        };
        let reference = &theirs[3];
        let luma = frame.y().data;
        let off: u64 = luma.iter().zip(reference).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
        let mean = off as f64 / luma.len() as f64;
        assert!(mean < 0.6, "{name}: luma is off by {mean} on average");
    }
}

#[test]
fn a_size_that_changes_on_the_way_is_scaled_to_the_first() {
    let encoder = "-t 1 -c:v libx264 -bsf:v h264_mp4toannexb -pix_fmt yuv420p -f mpegts";
    let small = clip("small.ts", &format!("-f lavfi -i {PICTURE} {encoder}"));
    let large =
        clip("larger.ts", &format!("-f lavfi -i testsrc2=s=320x180:r=30 {encoder} -output_ts_offset 1"));
    let joined = [std::fs::read(small).unwrap(), std::fs::read(large).unwrap()].concat();
    let file = file_of(&joined);
    let host = host();
    let track = video(&host, &file);
    let mut reader = host.open_video(&file, &track).unwrap();
    let last = reader.frame(track.index.len() - 1).unwrap();
    assert_eq!((last.width(), last.height()), (160, 90), "the size that the track has");
    assert!(last.y().data.iter().any(|sample| *sample > 100), "with a picture in it");
}

#[test]
fn sound_that_starts_later_than_the_pictures_keeps_its_distance() {
    let inputs = format!("-f lavfi -i {PICTURE} -itsoffset 0.5 -f lavfi -i sine=440:r=48000");
    let file =
        open(&clip("late_sound.mov", &format!("{inputs} -t 2 -c:v libx264 -pix_fmt yuv420p -c:a pcm_s16le")));
    let host = host();
    let (pictures, sound) = tracks(&host, &file);
    assert_eq!(pictures.unwrap().index.time_of(0), Ticks::ZERO, "the pictures come first");
    let start = sound.unwrap().start.seconds();
    assert!((start - 0.5).abs() < 0.001, "the sound starts at {start} s");
}

#[test]
fn a_film_ends_where_its_longest_stream_does() {
    let inputs = format!("-f lavfi -t 1 -i {PICTURE} -f lavfi -t 2 -i sine=440:r=48000");
    let file = open(&clip("long_sound.mp4", &format!("{inputs} -c:v libx264 -pix_fmt yuv420p -c:a aac")));
    let Probe::Media { video: Some(video), audio: Some(audio), end } = host().probe(&file).unwrap() else {
        panic!("both streams are there")
    };
    assert_eq!(video.index.end(), Ticks::from_seconds(1.0), "the pictures");
    assert_eq!(end, audio.end, "the film");
    assert!((end.seconds() - 2.0).abs() < 0.022, "two seconds and at most a packet: {end}");
}

#[test]
fn a_cover_picture_is_no_film() {
    let cover = clip("cover.png", "-f lavfi -i testsrc2=s=64x64 -frames:v 1");
    let song = clip_of(
        "song.mp3",
        &[
            "-f",
            "lavfi",
            "-i",
            "sine=440:r=44100",
            "-i",
            cover.to_str().unwrap(),
            "-map",
            "0",
            "-map",
            "1",
            "-t",
            "1",
            "-c:v",
            "png",
            "-disposition:v",
            "attached_pic",
        ],
    );
    let (pictures, sound) = tracks(&host(), &open(&song));
    assert!(pictures.is_none(), "only sound");
    assert_eq!(sound.unwrap().sample_rate, 44_100, "as coded");
}
