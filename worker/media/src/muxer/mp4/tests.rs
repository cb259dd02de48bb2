//! Films as other programs read them: FFmpeg's ffprobe, and the `mp4` crate.

use std::collections::BTreeMap;
use std::process::Command;

use composition::FrameRate;
use tempfile::TempDir;

use super::*;
use crate::encoder::aac::AacEncoder;
use crate::encoder::h264::{H264PartEncoder, ParameterSets, VideoSettings};
use crate::mixer::CHANNELS;
use crate::packet::Packet;
use crate::part::PartWriter;
use crate::picture::{I420, Plane};
use crate::rate::Qp;

const WIDTH: u32 = 64;
const HEIGHT: u32 = 48;

fn write(path: &Path, packets: &[Packet], description: &Description) {
    let mut writer = PartWriter::new(File::create(path).expect("a file"));
    for packet in packets {
        writer.push(packet).expect("a sample");
    }
    writer.finish(description).expect("a part");
}

fn grey(frame: u64) -> u8 {
    16 + (frame * 7 % 200) as u8
}

/// A part of `frames` pictures each of another grey than its neighbours.
fn video_part(path: &Path, rate: FrameRate, qp: u8, first: u64, frames: u64, max_bitrate: u32) -> VideoPart {
    let settings = VideoSettings { width: WIDTH, height: HEIGHT, frame_rate: rate, max_bitrate };
    let mut encoder = H264PartEncoder::new(settings, Qp::new(qp)).expect("an encoder");
    let chroma = [128; (WIDTH * HEIGHT / 4) as usize];
    let mut packets = Vec::new();
    for frame in first..first + frames {
        let luma = vec![grey(frame); (WIDTH * HEIGHT) as usize];
        let chroma = Plane { bytes: &chroma, stride: WIDTH as usize / 2 };
        let luma = Plane { bytes: &luma, stride: WIDTH as usize };
        let picture = I420::new(WIDTH, HEIGHT, [luma, chroma, chroma]).expect("a picture");
        packets.push(encoder.encode(&picture, frame == first + 10).expect("a packet"));
    }
    let ParameterSets { sps, pps } = encoder.parameters().clone();
    let description = H264Description { width: WIDTH, height: HEIGHT, frame_rate: rate, qp, sps, pps };
    write(path, &packets, &Description::H264(description));
    VideoPart { path: path.to_owned(), frames }
}

/// Silence but for one click at `click`.
fn audio_part(path: &Path, frames: usize, click: usize) {
    let mut encoder = AacEncoder::new(160_000).expect("an encoder");
    let mut samples = vec![0.0; frames * CHANNELS];
    samples[click * CHANNELS..(click + 1) * CHANNELS].fill(0.9);
    let mut packets = encoder.encode(&samples).expect("packets");
    let (last, parameters) = encoder.finish().expect("the end");
    packets.extend(last);
    write(path, &packets, &Description::Aac(parameters.into()));
}

struct Studio {
    directory: TempDir,
    parts: FilmParts,
}

impl Studio {
    /// Parts of 45, 45 and 30 frames, and sound of the same length with a click after one second.
    fn new(rate: FrameRate) -> Studio {
        let directory = TempDir::new().expect("a directory");
        let path = |name: &str| directory.path().join(name);
        let sizes = [(0, 45), (45, 45), (90, 30)];
        let part =
            |(first, frames)| video_part(&path(&format!("{first}")), rate, 26, first, frames, 1_000_000);
        let video = sizes.map(part).to_vec();
        let length = rate.instant(composition::FrameIndex(120)).in_units_of(48_000);
        audio_part(&path("sound"), length as usize, 48_000);
        let parts = FilmParts { video, audio: Some(path("sound")) };
        Studio { directory, parts }
    }

    fn mux(&self) -> PathBuf {
        let film = self.directory.path().join("film.mp4");
        let facts = mux(&self.parts, &mut File::create(&film).expect("a file")).expect("a film");
        assert_eq!(facts.size, film.metadata().expect("a size").len(), "the facts name the file's size");
        assert_eq!((facts.frames, facts.width, facts.height), (120, WIDTH, HEIGHT), "and what is in it");
        film
    }

    /// The film's path, and the studio that keeps it from being deleted.
    fn mux_and_keep(self) -> (Studio, PathBuf) {
        let film = self.mux();
        (self, film)
    }
}

fn rate(numerator: u32, denominator: u32) -> FrameRate {
    FrameRate::new(numerator, denominator).expect("a valid rate")
}

/// ffprobe's `key=value` lines of one stream, or of the file; warnings are failures.
fn probe(film: &Path, arguments: &[&str]) -> BTreeMap<String, String> {
    let common = ["-v", "warning", "-count_frames", "-of", "default=noprint_wrappers=1"];
    let output = Command::new("ffprobe").args(common).args(arguments).arg(film).output();
    let output = output.expect("ffprobe, which the tests need, runs");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "ffprobe has nothing to say");
    let text = String::from_utf8(output.stdout).expect("text");
    text.lines().filter_map(|line| line.split_once('=')).map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
}

fn assert_probed(probed: &BTreeMap<String, String>, expected: &[(&str, &str)]) {
    for (key, value) in expected {
        assert_eq!(probed.get(*key).map(String::as_str), Some(*value), "{key}");
    }
}

#[test]
fn ffprobe_reads_what_was_promised() {
    let film = Studio::new(rate(30, 1)).mux_and_keep();
    let video = probe(&film.1, &["-select_streams", "v", "-show_streams"]);
    assert_probed(
        &video,
        &[
            ("codec_name", "h264"),
            ("profile", "High"),
            ("codec_tag_string", "avc1"),
            ("pix_fmt", "yuv420p"),
            ("width", "64"),
            ("height", "48"),
            ("color_range", "tv"),
            ("color_space", "bt709"),
            ("color_transfer", "bt709"),
            ("color_primaries", "bt709"),
            ("sample_aspect_ratio", "1:1"),
            ("r_frame_rate", "30/1"),
            ("avg_frame_rate", "30/1"),
            ("start_time", "0.000000"),
            ("duration", "4.000000"),
            ("nb_frames", "120"),
            ("nb_read_frames", "120"),
        ],
    );
    let audio = probe(&film.1, &["-select_streams", "a", "-show_streams"]);
    assert_probed(
        &audio,
        &[
            ("codec_name", "aac"),
            ("profile", "LC"),
            ("sample_rate", "48000"),
            ("channels", "2"),
            ("start_time", "0.000000"),
            ("duration", "4.000000"),
        ],
    );
    let format = probe(&film.1, &["-show_format"]);
    assert_probed(&format, &[("start_time", "0.000000"), ("duration", "4.000000")]);
    assert!(format.keys().all(|key| !key.contains("creation")), "no dates: {format:?}");
}

#[test]
fn ntsc_rates_are_exact() {
    let film = Studio::new(rate(30_000, 1001)).mux_and_keep();
    let video = probe(&film.1, &["-select_streams", "v", "-show_streams"]);
    assert_probed(
        &video,
        &[
            ("r_frame_rate", "30000/1001"),
            ("duration", "4.004000"),
            ("nb_read_frames", "120"),
            ("start_time", "0.000000"),
        ],
    );
}

#[test]
fn the_sound_is_in_time_to_the_sample() {
    let film = Studio::new(rate(30, 1)).mux_and_keep();
    let arguments = ["-v", "warning", "-i"];
    let output =
        Command::new("ffmpeg").args(arguments).arg(&film.1).args(["-f", "s16le", "-ac", "2", "-"]).output();
    let output = output.expect("ffmpeg, which the tests need, runs");
    let samples: Vec<i16> =
        output.stdout.as_chunks::<4>().0.iter().map(|s| i16::from_le_bytes([s[0], s[1]])).collect();
    let loudest = (0..samples.len()).max_by_key(|&n| samples[n].unsigned_abs());
    assert_eq!(loudest, Some(48_000), "the click is where it was put");
}

#[test]
fn every_picture_is_in_its_place() {
    let film = Studio::new(rate(30, 1)).mux_and_keep();
    let arguments = ["-v", "warning", "-xerror", "-i"];
    let output =
        Command::new("ffmpeg").args(arguments).arg(&film.1).args(["-an", "-f", "rawvideo", "-"]).output();
    let output = output.expect("ffmpeg, which the tests need, runs");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "FFmpeg has nothing to say");
    let pictures = output.stdout.chunks((WIDTH * HEIGHT * 3 / 2) as usize);
    let off = pictures.enumerate().find(|(number, picture)| picture[100].abs_diff(grey(*number as u64)) > 3);
    assert!(off.is_none(), "picture {:?} shows another", off.map(|(number, _)| number));
}

#[test]
fn an_independent_reader_agrees() {
    let film = Studio::new(rate(30, 1)).mux_and_keep();
    let bytes = std::fs::read(&film.1).expect("the film");
    let moov = bytes.windows(4).position(|kind| kind == b"moov").expect("an index");
    let mdat = bytes.windows(4).position(|kind| kind == b"mdat").expect("samples");
    assert!(moov < mdat, "the index comes before the samples");

    let mut reader =
        mp4::Mp4Reader::read_header(io::Cursor::new(&bytes), bytes.len() as u64).expect("a film");
    assert_eq!(reader.duration().as_millis(), 4000, "4 s");
    assert_eq!(reader.tracks()[&1].media_type().expect("a codec"), mp4::MediaType::H264, "pictures first");
    assert_eq!(reader.tracks()[&2].media_type().expect("a codec"), mp4::MediaType::AAC, "then sound");
    let mut stored = Vec::new();
    for part in [&film.0.parts.video[0], &film.0.parts.video[1], &film.0.parts.video[2]] {
        let reader = open(&part.path, PartName::Video(0)).expect("a part");
        let samples = reader.samples().to_vec();
        let mut payload = reader.into_payload();
        for sample in samples {
            let mut bytes = vec![0; sample.size as usize];
            payload.read_exact(&mut bytes).expect("a sample");
            stored.push((sample.is_keyframe, bytes));
        }
    }
    for (number, (is_keyframe, bytes)) in (1..).zip(&stored) {
        let sample = reader.read_sample(1, number).expect("readable").expect("there");
        assert_eq!(sample.is_sync, *is_keyframe, "key frame flag of sample {number}");
        assert!(*sample.bytes == **bytes, "bytes of sample {number}");
    }
}

#[test]
fn equal_parts_give_equal_files() {
    let (one, other) = (Studio::new(rate(25, 1)).mux_and_keep(), Studio::new(rate(25, 1)).mux_and_keep());
    let read = |path: &Path| std::fs::read(path).expect("the film");
    assert!(read(&one.1) == read(&other.1), "no dates, no names, no paths");
}

#[test]
fn a_film_may_be_silent_and_short() {
    let directory = TempDir::new().expect("a directory");
    let part = video_part(&directory.path().join("0"), rate(30, 1), 26, 0, 1, 1_000_000);
    let film = directory.path().join("film.mp4");
    let parts = FilmParts { video: vec![part], audio: None };
    mux(&parts, &mut File::create(&film).expect("a file")).expect("a film");
    let video = probe(&film, &["-show_streams"]);
    assert_probed(&video, &[("codec_type", "video"), ("nb_read_frames", "1"), ("index", "0")]);
}

#[test]
fn parts_of_another_film_are_refused() {
    let studio = Studio::new(rate(30, 1));
    let path = |name: &str| studio.directory.path().join(name);
    let refused = |parts: FilmParts| mux(&parts, &mut io::sink()).expect_err("refused").to_string();
    let with = |second: VideoPart| {
        let mut parts = studio.parts.clone();
        parts.video[1] = second;
        parts
    };
    let higher = video_part(&path("higher"), rate(30, 1), 26, 45, 45, 10_000_000);
    assert!(refused(with(higher)).contains("another film"), "a higher level is another SPS");
    let faster = video_part(&path("faster"), rate(25, 1), 26, 45, 45, 1_000_000);
    assert!(refused(with(faster)).contains("another film"), "another rate");
    let coarser = video_part(&path("coarser"), rate(30, 1), 30, 45, 45, 1_000_000);
    assert!(mux(&with(coarser), &mut io::sink()).is_ok(), "another quantiser is none");
    let short = VideoPart { frames: 44, ..studio.parts.video[1].clone() };
    assert_eq!(refused(with(short)), "join part 1: it has 45 samples where 44 belong", "frames are counted");
    let sound = VideoPart { path: path("sound"), frames: 45 };
    assert!(refused(with(sound)).contains("no pictures"), "sound is no picture");
    let lost = VideoPart { path: path("lost"), frames: 45 };
    assert_eq!(refused(with(lost)), "open part 1", "a part that is not there");
    let lone = video_part(&path("lone"), rate(30, 1), 26, 45, 1, 1_000_000);
    assert!(refused(with(lone)).contains("key frame"), "two key frames may not meet");
    assert!(refused(FilmParts { video: Vec::new(), audio: None }).contains("without pictures"), "nothing");
}
