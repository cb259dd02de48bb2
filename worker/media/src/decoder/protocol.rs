//! What the service and the decoder executable say to each other.
//!
//! This file is compiled into both (the executable includes it by path), so it depends on nothing but serde. The
//! service trusts no number in here that comes from a worker: everything is checked where it is used.

use serde::{Deserialize, Serialize};

/// Ticks in one second: the `composition` crate's time unit, repeated here because the executable does without it.
pub const TICKS_PER_SECOND: i64 = 705_600_000;

/// Output samples of sound per second; the whole service mixes at this rate.
pub const SAMPLE_RATE: u32 = 48_000;

/// Output channels of sound: left, right.
pub const CHANNELS: usize = 2;

/// Service → zygote. `Spawn` carries three descriptors: the worker's control socket, its ring, its input.
#[derive(Debug, Serialize, Deserialize)]
pub enum ToZygote {
    /// Fork a worker.
    Spawn(WorkerLimits),
    /// Wait for this worker, which has ended or was killed, and say how it ended.
    Reap {
        /// As told by `Spawned`.
        pid: i32,
    },
}

/// Zygote → service. `Spawned` carries one descriptor: the worker's pidfd.
#[derive(Debug, Serialize, Deserialize)]
pub enum FromZygote {
    /// The worker runs; it says `Ready` on its own socket once it is confined.
    Spawned {
        /// Of the worker.
        pid: i32,
    },
    /// How the worker ended.
    Reaped(Exit),
    /// It could not be done.
    Failed {
        /// For logs.
        reason: String,
    },
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Exit {
    /// By itself.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

/// What a worker may use.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct WorkerLimits {
    /// Bytes of address space (`RLIMIT_AS`).
    pub address_space: u64,
    /// Seconds of processor time (`RLIMIT_CPU`); the second net under the service's own timeouts.
    pub cpu_seconds: u64,
}

/// What a worker may produce.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct PictureLimits {
    /// Width × height of a video frame.
    pub video_pixels: u64,
    /// Width × height of a still.
    pub still_pixels: u64,
    /// Width or height of either.
    pub side: u32,
    /// Frames in a video.
    pub frames: u32,
}

/// Service → worker. Answers come in the order of the requests; `OpenVideo`, `OpenAudio` and `Seek` are answered
/// by what the next request says.
#[derive(Debug, Serialize, Deserialize)]
pub enum Request {
    /// What is this file? Answered by `Probed` or `ProbedStill`.
    Probe(PictureLimits),
    /// Prepare to give frames of this stream.
    OpenVideo {
        /// Stream number in the container.
        stream: u32,
        /// Every frame is delivered in this size.
        width: u32,
        /// Every frame is delivered in this size.
        height: u32,
        /// As the index says.
        is_counted: bool,
    },
    /// Continue from one of these random-access points, the first that works; else from the start.
    Seek {
        /// Best first.
        anchors: Vec<Anchor>,
    },
    /// Write the frame with this presentation timestamp into the slot.
    Frame {
        /// Number of the ring slot.
        slot: u32,
        /// In the stream's timebase.
        timestamp: i64,
    },
    /// Prepare to give sound of this stream as stereo at 48 kHz.
    OpenAudio {
        /// Stream number in the container.
        stream: u32,
        /// Stream time that is source time 0, in ticks.
        origin: i64,
        /// First sample wanted, counted from source time 0; may be negative.
        start: i64,
    },
    /// Write the next samples into the slot.
    Samples {
        /// Number of the ring slot.
        slot: u32,
        /// At most this many stereo samples.
        count: u32,
    },
    /// Decode the still into the ring as RGBA.
    Still(PictureLimits),
}

/// Worker → service.
#[derive(Debug, Serialize, Deserialize)]
pub enum Reply {
    /// Confined and waiting for requests.
    Ready {
        /// How well.
        sandbox: SandboxStatus,
        /// FFmpeg's release and the version of each of its libraries that was loaded: others may decode to other bits.
        libraries: String,
    },
    /// A container with sound or moving pictures.
    Probed {
        /// The best video stream.
        video: Option<ProbedVideo>,
        /// The best audio stream.
        audio: Option<ProbedAudio>,
    },
    /// A still.
    ProbedStill(ProbedStill),
    /// A frame lies in the slot.
    Frame {
        /// As requested.
        slot: u32,
        /// Of the frame that lies there; differs from the requested one where that could not be decoded.
        timestamp: i64,
    },
    /// Samples lie in the slot: `count` × 2 interleaved 32-bit floats.
    Samples {
        /// As requested.
        slot: u32,
        /// Fewer than requested only at the end of the stream.
        count: u32,
    },
    /// An RGBA picture lies at the start of the ring.
    Still {
        /// In pixels.
        width: u32,
        /// In pixels.
        height: u32,
    },
    /// The request failed; the service gives this worker up.
    Failed {
        /// Whose fault it is.
        fault: Fault,
        /// For people.
        detail: String,
    },
}

/// What a worker can find wrong with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fault {
    /// No format or codec that we know.
    Unsupported,
    /// A known format, damaged or cut.
    Corrupt,
    /// Over a limit.
    TooLarge,
    /// The worker's address space did not suffice.
    OutOfMemory,
    /// The worker or the service made a mistake.
    Internal,
}

/// How well a worker is confined.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SandboxStatus {
    /// How much of the Landlock ruleset (no files, no network, no signals) this kernel enforces.
    pub landlock: Landlock,
    /// Whether system calls are filtered.
    pub seccomp: bool,
    /// What is missing and why; `None` when nothing is.
    pub reason: Option<String>,
}

/// How much of a Landlock ruleset is enforced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Landlock {
    /// All of it.
    Full,
    /// What this kernel's version knows.
    Partial,
    /// Nothing.
    None,
}

/// A packet from which decoding can start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anchor {
    /// Presentation timestamp in the stream's timebase.
    pub pts: i64,
    /// Decoding timestamp in the stream's timebase.
    pub dts: i64,
}

/// A table of frames in presentation order and of the packets where decoding can start, run-length coded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackedIndex {
    /// Seconds per timestamp unit, as a ratio.
    pub time_base: (u32, u32),
    /// Timestamps: `(step, count)` means: add `step` for the next frame, `count` times; the sum starts at 0.
    pub frames: Vec<(i64, u32)>,
    /// Random-access points: `(step, lead, count)` means: the next one's pts is `step` later and its dts is `lead`
    /// before its pts, `count` times; the sum starts at 0.
    pub anchors: Vec<(i64, i64, u32)>,
    /// Duration of the last frame.
    pub last_duration: i64,
    /// The container tells decoding times only (AVI): frames are told apart by counting from the file's start, and
    /// decoding can start nowhere else.
    pub is_counted: bool,
}

/// A video stream as found.
#[derive(Debug, Serialize, Deserialize)]
pub struct ProbedVideo {
    /// Stream number in the container.
    pub stream: u32,
    /// FFmpeg's name of the codec.
    pub codec: String,
    /// Of the decoded picture.
    pub width: u32,
    /// Of the decoded picture.
    pub height: u32,
    /// The 3 × 3 display matrix (ISO/IEC 14496-12 8.3.2), where there is one.
    pub display_matrix: Option<[i32; 9]>,
    /// Width : height of a sample; (1, 1) where nothing is said.
    pub sample_aspect: (u32, u32),
    /// Average frame rate as the container states or implies it; (0, 1) where it is unknown.
    pub frame_rate: (u32, u32),
    /// H.273 MatrixCoefficients; 2 is unspecified.
    pub matrix: i32,
    /// H.273 TransferCharacteristics; 2 is unspecified.
    pub transfer: i32,
    /// Full range, limited range, or not said.
    pub full_range: Option<bool>,
    /// The codec gives R′G′B′; frames are delivered as BT.709 limited.
    pub is_rgb: bool,
    /// Its frames.
    pub index: PackedIndex,
}

/// An audio stream as found.
#[derive(Debug, Serialize, Deserialize)]
pub struct ProbedAudio {
    /// Stream number in the container.
    pub stream: u32,
    /// FFmpeg's name of the codec.
    pub codec: String,
    /// As coded.
    pub sample_rate: u32,
    /// As coded.
    pub channels: u32,
    /// Stream time of the first sample after priming, in ticks.
    pub start: i64,
    /// Stream time of the end of the last sample, in ticks.
    pub end: i64,
}

/// A still as found.
#[derive(Debug, Serialize, Deserialize)]
pub struct ProbedStill {
    /// In pixels, after its orientation is applied.
    pub width: u32,
    /// In pixels, after its orientation is applied.
    pub height: u32,
    /// Whether it has an alpha channel.
    pub has_alpha: bool,
    /// Its file format.
    pub format: StillFormat,
}

/// File formats of stills.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StillFormat {
    /// ISO/IEC 10918-1.
    Jpeg,
    /// ISO/IEC 15948.
    Png,
    /// RFC 9649.
    Webp,
}
