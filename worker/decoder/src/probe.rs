//! What a container holds: its streams' parameters, and from one pass over all packets the table of frames.
#![expect(unsafe_code, reason = "details of streams and packets that the safe bindings leave out")]

use std::ffi::c_int;
use std::os::fd::BorrowedFd;

use ffmpeg_next as ffmpeg;
use ffmpeg_next::ffi;
use ffmpeg_next::media::Type;

use crate::extent::Extent;
use crate::fault::Faulted;
use crate::input::Input;
use crate::picture;
use crate::protocol::{
    Anchor, Fault, PackedIndex, PictureLimits, ProbedAudio, ProbedVideo, Reply, TICKS_PER_SECOND,
};
use crate::timestamp::ticks;
use crate::worker::read_at;

/// Formats whose headers state the length of what follows.
const TRUTHFUL: [&str; 2] = ["matroska", "flac"];
/// A file whose header promises a longer programme than its packets hold is cut; headers are off by less than this.
const MISSING: i64 = TICKS_PER_SECOND;
/// And by less than this part of the promise.
const MISSING_PART: i64 = 10;

/// Reads the whole file once.
pub(crate) fn probe(file: BorrowedFd<'static>, limits: &PictureLimits) -> Result<Reply, Faulted> {
    let mut input = Input::open(file)?;
    input.find_parameters()?;
    let video = best(&input, Type::Video)?;
    let audio = best(&input, Type::Audio)?;
    if video.is_none() && audio.is_none() {
        return Err(Faulted::unsupported("it has neither sound nor pictures that can be decoded"));
    }
    if let Some(stream) = video {
        check_size(&input, stream, limits)?;
    }
    let streams: Vec<usize> = [video, audio].into_iter().flatten().collect();
    input.keep_only(&streams);
    let mut tables = Tables {
        video: video.map(|stream| VideoTable { stream, ..VideoTable::default() }),
        audio: audio.map(|stream| Extent::new(&input, stream)).transpose()?,
    };
    tables.read_all(&mut input, limits)?;
    if streams.iter().any(|stream| input.is_cut(*stream)) || is_cut_riff(file)? {
        return Err(Faulted::corrupt("its header names data beyond its end: it is cut"));
    }
    let video = tables.video.map(|table| table.describe(&input)).transpose()?;
    let audio = tables.audio.map(|extent| extent.describe(&input)).transpose()?;
    check_promise(&input, video.as_ref(), audio.as_ref())?;
    Ok(Reply::Probed { video, audio })
}

/// The stream of this kind that a player would choose, among those that can be decoded; cover pictures are none.
fn best(input: &Input, kind: Type) -> Result<Option<usize>, Faulted> {
    let mut decoder = std::ptr::null();
    // SAFETY: the context is open and not changed; where to put the decoder makes FFmpeg pass over streams that it
    // cannot decode.
    let code = unsafe {
        let context = input.context().as_ptr().cast_mut();
        ffi::av_find_best_stream(context, kind.into(), -1, -1, &raw mut decoder, 0)
    };
    let Ok(index) = usize::try_from(code) else {
        // A film whose sound nobody can decode is still a film; one without pictures is not what was meant.
        let is_fatal = kind == Type::Video && code == ffi::AVERROR_DECODER_NOT_FOUND;
        return if is_fatal {
            Err(Faulted::unsupported("there is no decoder for its codec"))
        } else {
            Ok(None)
        };
    };
    let is_cover = input.context().stream(index).is_some_and(|stream| {
        stream.disposition().contains(ffmpeg::format::stream::Disposition::ATTACHED_PIC)
    });
    Ok((!is_cover).then_some(index))
}

fn check_size(input: &Input, stream: usize, limits: &PictureLimits) -> Result<(), Faulted> {
    let (width, height) = size(input, stream);
    if width == 0 || height == 0 {
        return Err(Faulted::corrupt("its pictures cannot be decoded"));
    }
    let pixels = u64::from(width) * u64::from(height);
    if pixels > limits.video_pixels || width.max(height) > limits.side {
        return Err(Faulted::new(Fault::TooLarge, format!("its pictures have {width} x {height} pixels")));
    }
    Ok(())
}

fn size(input: &Input, stream: usize) -> (u32, u32) {
    input.context().stream(stream).map_or((0, 0), |stream| {
        // SAFETY: the parameters live as long as the context, which is borrowed.
        let (width, height) = unsafe {
            let parameters = stream.parameters();
            ((*parameters.as_ptr()).width, (*parameters.as_ptr()).height)
        };
        (u32::try_from(width).unwrap_or(0), u32::try_from(height).unwrap_or(0))
    })
}

/// Whether the first chunk of a RIFF file (WAV, AVI) is longer than the file. Writers that cannot go back leave a
/// size of 0 or about the largest there is; some are off by a chunk header.
fn is_cut_riff(file: BorrowedFd<'_>) -> Result<bool, Faulted> {
    const PLAUSIBLE: std::ops::Range<u64> = 1..0x7FFF_0000;
    const OFF_BY: u64 = 16;
    let unreadable = |error| Faulted::internal(format!("reading it: {error}"));
    let mut start = [0; 8];
    read_at(file, &mut start, 0).map_err(unreadable)?;
    let [b'R', b'I', b'F', b'F', size @ ..] = start else { return Ok(false) };
    let stated = u64::from(u32::from_le_bytes(size));
    let length = rustix::fs::fstat(file).map_err(|errno| unreadable(errno.into()))?.st_size;
    Ok(PLAUSIBLE.contains(&stated) && u64::try_from(length).is_ok_and(|length| stated > length + OFF_BY))
}

struct Tables {
    video: Option<VideoTable>,
    audio: Option<Extent>,
}

impl Tables {
    fn read_all(&mut self, input: &mut Input, limits: &PictureLimits) -> Result<(), Faulted> {
        let mut packet = ffmpeg::Packet::empty();
        loop {
            match input.read(&mut packet) {
                Ok(Some(())) => {}
                Ok(None) => return Ok(()),
                Err(error) => return Err(Faulted::ffmpeg(error, "reading its packets")),
            }
            if let Some(video) = self.video.as_mut().filter(|video| video.stream == packet.stream()) {
                video.add(&packet);
                if video.frames.len() > limits.frames as usize {
                    return Err(Faulted::new(Fault::TooLarge, "it has too many frames"));
                }
            } else if let Some(audio) = self.audio.as_mut().filter(|audio| audio.stream == packet.stream()) {
                audio.add(&packet)?;
            }
        }
    }
}

/// Timestamps of one video stream.
#[derive(Default)]
struct VideoTable {
    stream: usize,
    /// Presentation time and duration of every frame that is shown.
    frames: Vec<(i64, i64)>,
    anchors: Vec<Anchor>,
    /// Whether a frame's presentation time was missing.
    is_counted: bool,
}

impl VideoTable {
    fn add(&mut self, packet: &ffmpeg::Packet) {
        // Containers that only know decoding order (AVI) leave presentation times out.
        let Some(pts) = packet.pts().or(packet.dts()) else { return };
        // SAFETY: a packet that was just read.
        let flags = unsafe { (*ffmpeg::packet::Ref::as_ptr(packet)).flags };
        // An edit list hides packets from which later ones are still decoded: no frames, but places to start.
        if flags & ffi::AV_PKT_FLAG_DISCARD == 0 {
            self.is_counted |= packet.pts().is_none();
            self.frames.push((pts, packet.duration().max(0)));
        }
        if packet.is_key() {
            self.anchors.push(Anchor { pts, dts: packet.dts().unwrap_or(pts) });
        }
    }

    fn describe(mut self, input: &Input) -> Result<ProbedVideo, Faulted> {
        self.frames.sort_unstable();
        self.frames.dedup_by_key(|frame| frame.0);
        self.anchors.sort_unstable_by_key(|anchor| anchor.pts);
        self.anchors.dedup_by_key(|anchor| anchor.pts);
        // Recordings that begin in the middle, and open GOPs at the start, have pictures whose references are not
        // there: no player shows them.
        if let Some(first) = self.anchors.first() {
            self.frames.retain(|frame| frame.0 >= first.pts);
        }
        if self.is_counted {
            self.anchors.clear();
        }
        let missing = || Faulted::corrupt("it promises pictures and has none");
        let stream = input.context().stream(self.stream).ok_or_else(missing)?;
        let (last, duration) = *self.frames.last().ok_or_else(missing)?;
        let before = self.frames.len().checked_sub(2).map(|at| self.frames[at].0);
        let parameters = stream.parameters();
        // SAFETY: the parameters live as long as the context. Enumerations are read as the numbers that they are,
        // because a newer library may know values that the bindings do not.
        let (matrix, transfer, range, format, aspect) = unsafe {
            let parameters = parameters.as_ptr();
            (
                (&raw const (*parameters).color_space).cast::<c_int>().read(),
                (&raw const (*parameters).color_trc).cast::<c_int>().read(),
                (&raw const (*parameters).color_range).cast::<c_int>().read(),
                (*parameters).format,
                ffi::av_guess_sample_aspect_ratio(
                    input.context().as_ptr().cast_mut(),
                    stream.as_ptr().cast_mut(),
                    std::ptr::null_mut(),
                ),
            )
        };
        let kind = picture::kind_of(format);
        let (width, height) = size(input, self.stream);
        Ok(ProbedVideo {
            stream: u32::try_from(self.stream).unwrap_or(u32::MAX),
            codec: parameters.id().name().to_owned(),
            width,
            height,
            display_matrix: display_matrix(&stream),
            sample_aspect: ratio(aspect.num, aspect.den).unwrap_or((1, 1)),
            frame_rate: ratio(stream.avg_frame_rate().numerator(), stream.avg_frame_rate().denominator())
                .unwrap_or((0, 1)),
            matrix,
            transfer,
            // AVCOL_RANGE_MPEG is 1, AVCOL_RANGE_JPEG is 2.
            full_range: match range {
                1 => Some(false),
                2 => Some(true),
                _ => kind.implies_full_range.then_some(true),
            },
            is_rgb: kind.is_rgb,
            index: PackedIndex {
                time_base: input.time_base(self.stream)?,
                frames: pack_frames(self.frames.iter().map(|frame| frame.0)),
                anchors: pack_anchors(&self.anchors),
                // A container without durations: the last frame lasts as long as the one before it.
                last_duration: match duration {
                    0 => before.map_or(0, |before| last - before),
                    duration => duration,
                },
                is_counted: self.is_counted,
            },
        })
    }
}

fn ratio(numerator: i32, denominator: i32) -> Option<(u32, u32)> {
    let both = (u32::try_from(numerator).ok()?, u32::try_from(denominator).ok()?);
    (both.0 > 0 && both.1 > 0).then_some(both)
}

fn display_matrix(stream: &ffmpeg::format::stream::Stream<'_>) -> Option<[i32; 9]> {
    let data =
        stream.side_data().find(|data| data.kind() == ffmpeg::packet::side_data::Type::DisplayMatrix)?;
    let numbers =
        data.data().chunks_exact(4).map(|bytes| i32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]));
    numbers.collect::<Vec<i32>>().try_into().ok()
}

fn pack_frames(frames: impl Iterator<Item = i64>) -> Vec<(i64, u32)> {
    let mut runs: Vec<(i64, u32)> = Vec::new();
    let mut earlier = 0i64;
    for pts in frames {
        let step = pts.wrapping_sub(earlier);
        earlier = pts;
        match runs.last_mut() {
            Some((same, count)) if *same == step => *count += 1,
            _ => runs.push((step, 1)),
        }
    }
    runs
}

fn pack_anchors(anchors: &[Anchor]) -> Vec<(i64, i64, u32)> {
    let mut runs: Vec<(i64, i64, u32)> = Vec::new();
    let mut earlier = 0i64;
    for anchor in anchors {
        let step = anchor.pts.wrapping_sub(earlier);
        let lead = anchor.pts.wrapping_sub(anchor.dts);
        earlier = anchor.pts;
        match runs.last_mut() {
            Some((same_step, same_lead, count)) if (*same_step, *same_lead) == (step, lead) => *count += 1,
            _ => runs.push((step, lead, 1)),
        }
    }
    runs
}

/// A file may be cut between two packets, where nothing but the promised length tells.
fn check_promise(
    input: &Input,
    video: Option<&ProbedVideo>,
    audio: Option<&ProbedAudio>,
) -> Result<(), Faulted> {
    // SAFETY: the context is open.
    let (promised, start, method) = unsafe {
        let context = input.context().as_ptr();
        ((*context).duration, (*context).start_time, (*context).duration_estimation_method)
    };
    let is_stated = method == ffi::AVDurationEstimationMethod::AVFMT_DURATION_FROM_STREAM;
    if !is_stated || promised <= 0 || !input.is_one_of(&TRUTHFUL) {
        return Ok(());
    }
    let video_end = video.map(|video| {
        let last: i64 =
            video.index.frames.iter().map(|(step, count)| step.saturating_mul(i64::from(*count))).sum();
        ticks(last.saturating_add(video.index.last_duration), video.index.time_base)
    });
    let end = [video_end, audio.map(|audio| audio.end)].into_iter().flatten().max().unwrap_or(0);
    let start = if start == ffi::AV_NOPTS_VALUE { 0 } else { start };
    let promised_end = ticks(promised.saturating_add(start), (1, 1_000_000));
    let missing = promised_end.saturating_sub(end);
    if missing > MISSING && missing > ticks(promised, (1, 1_000_000)) / MISSING_PART {
        let seconds = missing / TICKS_PER_SECOND;
        return Err(Faulted::corrupt(format!("its last {seconds} s are missing: it is cut")));
    }
    Ok(())
}
