//! Small clips made by ffmpeg, and what ffmpeg and ffprobe say about them.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use media::decoder::{AudioTrack, DecodeError, DecoderConfig, DecoderHost, DecoderLimits, Probe, VideoTrack};

/// A moving picture that differs in every frame.
pub(crate) const PICTURE: &str = "testsrc2=s=160x90:r=30";

/// The host of the decoder that was built with these tests.
pub(crate) fn host() -> DecoderHost {
    host_with(DecoderLimits::default())
}

pub(crate) fn host_with(limits: DecoderLimits) -> DecoderHost {
    let executable = PathBuf::from(env!("CARGO_BIN_EXE_framelane-decoder"));
    DecoderHost::start(DecoderConfig { executable, limits }).unwrap()
}

/// The clip that these ffmpeg arguments make, made once and kept between runs of the tests. Arguments are separated
/// by spaces; `name` ends in the container's extension.
pub(crate) fn clip(name: &str, arguments: &str) -> PathBuf {
    let arguments: Vec<&str> = arguments.split_whitespace().collect();
    clip_of(name, &arguments)
}

pub(crate) fn clip_of(name: &str, arguments: &[&str]) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("decoder-clips");
    fs::create_dir_all(&folder).unwrap();
    let recipe = arguments.join(" ");
    let digest = recipe.bytes().fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3) // FNV-1a: a new recipe makes a new clip.
    });
    let path = folder.join(format!("{digest:016x}-{name}"));
    if !path.exists() {
        // Tests run at once, in several processes: whoever is last replaces the same bytes by the same bytes.
        let unfinished =
            folder.join(format!("{}-{:?}-{name}", std::process::id(), std::thread::current().id()));
        ffmpeg().args(arguments).arg("-y").arg(&unfinished).run();
        fs::rename(&unfinished, &path).unwrap();
    }
    path
}

pub(crate) fn open(path: &Path) -> File {
    File::open(path).unwrap()
}

/// A file of these bytes, for as long as the handle lives.
pub(crate) fn file_of(bytes: &[u8]) -> File {
    use std::io::Write;
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file
}

/// Both tracks of a media file.
pub(crate) fn tracks(host: &DecoderHost, file: &File) -> (Option<VideoTrack>, Option<AudioTrack>) {
    match host.probe(file).unwrap() {
        Probe::Media { video, audio, .. } => (video, audio),
        still @ Probe::Still { .. } => panic!("expected media, found {still:?}"),
    }
}

pub(crate) fn video(host: &DecoderHost, file: &File) -> VideoTrack {
    tracks(host, file).0.unwrap()
}

pub(crate) fn audio(host: &DecoderHost, file: &File) -> AudioTrack {
    tracks(host, file).1.unwrap()
}

/// All frames as ffmpeg decodes them from start to end, in this pixel format.
pub(crate) fn frames_by_ffmpeg(path: &Path, pixel_format: &str, frame_bytes: usize) -> Vec<Vec<u8>> {
    decoded_by_ffmpeg(path, pixel_format, frame_bytes, &[])
}

/// The same, R′G′B′ brought to BT.709 instead of ffmpeg's usual BT.601.
pub(crate) fn rgb_frames_by_ffmpeg(path: &Path, frame_bytes: usize) -> Vec<Vec<u8>> {
    let filter = ["-vf", "scale=out_color_matrix=bt709:flags=bicubic+accurate_rnd"];
    decoded_by_ffmpeg(path, "yuv420p", frame_bytes, &filter)
}

fn decoded_by_ffmpeg(path: &Path, pixel_format: &str, frame_bytes: usize, filter: &[&str]) -> Vec<Vec<u8>> {
    let mut command = ffmpeg();
    command.arg("-noautorotate").arg("-i").arg(path);
    command.args(filter);
    command.args([
        "-map",
        "0:v:0",
        "-fps_mode",
        "passthrough",
        "-f",
        "rawvideo",
        "-pix_fmt",
        pixel_format,
        "-",
    ]);
    command.read().chunks_exact(frame_bytes).map(<[u8]>::to_vec).collect()
}

/// All frames as ffmpeg shows them, turned by the display matrix, as I420.
pub(crate) fn turned_by_ffmpeg(path: &Path) -> Vec<Vec<u8>> {
    let mut command = ffmpeg();
    command.arg("-i").arg(path).args(["-f", "rawvideo", "-pix_fmt", "yuv420p", "-"]);
    command.read().chunks_exact(160 * 90 * 3 / 2).map(<[u8]>::to_vec).collect()
}

/// The presentation times of all frames by ffprobe, in seconds; AVI has none.
pub(crate) fn times_by_ffprobe(path: &Path) -> Vec<Option<f64>> {
    let mut command = Command::new("ffprobe");
    command.args([
        "-v",
        "error",
        "-select_streams",
        "v:0",
        "-show_entries",
        "frame=best_effort_timestamp_time",
    ]);
    let text = String::from_utf8(command.args(["-of", "csv=p=0"]).arg(path).read()).unwrap();
    // Frames with side data are followed by an empty line.
    let times = text.lines().map(|line| line.trim_matches(',')).filter(|line| !line.is_empty());
    times.map(|time| time.parse().ok()).collect()
}

/// Where the packets of the pictures lie in the file, by ffprobe: position and size in bytes.
pub(crate) fn packets_by_ffprobe(path: &Path) -> Vec<(usize, usize)> {
    let mut command = Command::new("ffprobe");
    command.args([
        "-v",
        "error",
        "-select_streams",
        "v:0",
        "-show_entries",
        "packet=size,pos",
        "-of",
        "csv=p=0",
    ]);
    let text = String::from_utf8(command.arg(path).read()).unwrap();
    let packets = text.lines().filter_map(|line| line.split_once(','));
    packets.map(|(size, position)| (position.parse().unwrap(), size.parse().unwrap())).collect()
}

/// The sound as ffmpeg decodes it: stereo floats at 48 kHz.
pub(crate) fn sound_by_ffmpeg(path: &Path) -> Vec<f32> {
    let mut command = ffmpeg();
    command.arg("-i").arg(path).args(["-map", "0:a:0", "-ac", "2", "-ar", "48000", "-f", "f32le", "-"]);
    let bytes = command.read();
    bytes.chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect()
}

/// The error that probing these bytes gives.
pub(crate) fn probe_error(host: &DecoderHost, bytes: &[u8]) -> DecodeError {
    host.probe(&file_of(bytes)).unwrap_err()
}

fn ffmpeg() -> Command {
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-nostdin"]);
    command
}

trait Run {
    fn run(&mut self);
    fn read(&mut self) -> Vec<u8>;
}

impl Run for Command {
    fn run(&mut self) {
        let status = self.status().unwrap();
        assert!(status.success(), "{self:?} ended with {status}");
    }

    fn read(&mut self) -> Vec<u8> {
        let output = self.stderr(Stdio::inherit()).output().unwrap();
        assert!(output.status.success(), "{self:?} ended with {}", output.status);
        output.stdout
    }
}
