//! The sound of one stream as stereo at 48 kHz, every sample at its place in source time.

use std::collections::VecDeque;
use std::os::fd::BorrowedFd;

use ffmpeg_next as ffmpeg;
use ffmpeg_next::codec::decoder::Opened;

use crate::fault::Faulted;
use crate::input::Input;
use crate::protocol::{CHANNELS, SAMPLE_RATE};
use crate::resampler::{Kind, Resampler};
use crate::{codec, timestamp};

/// Decoding starts this many samples early after a jump: longer than any codec's memory of earlier packets (MP3's
/// bit reservoir, Opus' 80 ms).
const PREROLL: i64 = SAMPLE_RATE as i64 / 2;
/// Sound that is off its timestamp by no more than this many samples (15 ms) belongs to the same stretch: coarse
/// timebases jitter by half as much. A lost AAC frame (21 ms) is more, and leaves a gap.
const JITTER: i64 = SAMPLE_RATE as i64 * 15 / 1000;

/// Bytes per stereo sample in the ring.
pub(crate) const BYTES_PER_SAMPLE: usize = CHANNELS * size_of::<f32>();

/// Reads one audio stream from a given sample on.
pub(crate) struct AudioStream {
    input: Input,
    decoder: Opened,
    stream: usize,
    time_base: (u32, u32),
    /// Stream time that is source time 0, in ticks.
    origin: i64,
    /// Source sample that is given next.
    cursor: i64,
    /// Packets that end before this stream time are not decoded.
    skip_before: Option<i64>,
    pieces: VecDeque<Piece>,
    stretch: Option<Stretch>,
    packet: ffmpeg::Packet,
    frame: ffmpeg::frame::Audio,
    has_decoded: bool,
    has_ended: bool,
}

/// Decoded sound, `start` being the source sample of its first.
struct Piece {
    start: i64,
    samples: Vec<f32>,
}

/// What came in without a gap since `start`, through one resampler.
struct Stretch {
    resampler: Resampler,
    start: i64,
    taken: i64,
}

impl AudioStream {
    pub(crate) fn open(
        file: BorrowedFd<'static>,
        stream: usize,
        origin: i64,
        start: i64,
    ) -> Result<AudioStream, Faulted> {
        let mut input = Input::open(file)?;
        input.find_parameters_of(stream)?;
        input.keep_only(&[stream]);
        let decoder = codec::open(&input, stream, i64::MAX)?;
        let time_base = input.time_base(stream)?;
        let mut skip_before = None;
        if start > PREROLL {
            let from = timestamp::of_sample(start - PREROLL).saturating_add(origin);
            let from = timestamp::in_time_base(from, time_base);
            // Other demuxers guess by bit rate; reading up to the place is exact, and cheap without decoding.
            if !input.is_well_indexed() || !input.seek(stream, from) {
                skip_before = Some(from);
            }
        }
        Ok(AudioStream {
            input,
            decoder,
            stream,
            time_base,
            origin,
            cursor: start,
            skip_before,
            pieces: VecDeque::new(),
            stretch: None,
            packet: ffmpeg::Packet::empty(),
            frame: ffmpeg::frame::Audio::empty(),
            has_decoded: false,
            has_ended: false,
        })
    }

    /// Fills `bytes` with the next stereo samples and tells how many there are: fewer than fit only at the end.
    pub(crate) fn write_samples(&mut self, bytes: &mut [u8]) -> Result<u32, Faulted> {
        let total = bytes.len() / BYTES_PER_SAMPLE;
        let mut written = 0;
        while written < total {
            let Some(piece) = self.pieces.front() else {
                if self.has_ended {
                    break;
                }
                self.decode_more()?;
                continue;
            };
            // Positive while the gap before the piece lasts, negative inside the piece.
            let lead = piece.start.saturating_sub(self.cursor);
            let held = (piece.samples.len() / CHANNELS) as i64;
            if lead <= -held {
                self.next_piece()?;
                continue;
            }
            let room = (total - written) as i64;
            let count = if lead > 0 { lead.min(room) } else { (held + lead).min(room) };
            let into = &mut bytes[written * BYTES_PER_SAMPLE..][..count as usize * BYTES_PER_SAMPLE];
            if lead > 0 {
                into.fill(0);
            } else {
                let from = &piece.samples[lead.unsigned_abs() as usize * CHANNELS..];
                for (slot, sample) in into.chunks_exact_mut(size_of::<f32>()).zip(from) {
                    slot.copy_from_slice(&sample.to_ne_bytes());
                }
            }
            self.cursor += count;
            written += count as usize;
        }
        Ok(written as u32)
    }

    /// The front piece holds nothing more that is wanted: on to the next, or decode on if it is still growing.
    fn next_piece(&mut self) -> Result<(), Faulted> {
        if self.pieces.len() == 1
            && self.stretch.is_some()
            && let Some(piece) = self.pieces.front_mut()
        {
            piece.start += (piece.samples.len() / CHANNELS) as i64;
            piece.samples.clear();
            return self.decode_more();
        }
        self.pieces.pop_front();
        Ok(())
    }

    /// Decodes one frame onto the last piece, or ends the stream.
    fn decode_more(&mut self) -> Result<(), Faulted> {
        match next_frame(&mut self.decoder, &mut self.frame)? {
            Received::Frame => self.take_frame(),
            Received::Hungry => self.feed(),
            Received::End => {
                self.finish_stretch()?;
                self.has_ended = true;
                if self.has_decoded {
                    Ok(())
                } else {
                    Err(Faulted::corrupt("none of its sound can be decoded"))
                }
            }
        }
    }

    fn feed(&mut self) -> Result<(), Faulted> {
        match self.input.read(&mut self.packet) {
            Ok(Some(())) if self.packet.stream() != self.stream => Ok(()),
            Ok(Some(())) if self.is_before_the_place() => {
                // Its sound is not wanted, but its being there shows that the stream is sound.
                self.has_decoded = true;
                Ok(())
            }
            Ok(Some(())) => send(&mut self.decoder, &self.packet),
            Ok(None) => send_end(&mut self.decoder),
            Err(error) => Err(Faulted::ffmpeg(error, "reading its sound")),
        }
    }

    fn is_before_the_place(&self) -> bool {
        let end = self.packet.pts().map(|pts| pts.saturating_add(self.packet.duration().max(0)));
        end.zip(self.skip_before).is_some_and(|(end, place)| end < place)
    }

    fn take_frame(&mut self) -> Result<(), Faulted> {
        self.has_decoded = true;
        let count = self.frame.samples() as i64;
        let place = self.frame.timestamp().map(|pts| {
            timestamp::in_samples(timestamp::ticks(pts, self.time_base).saturating_sub(self.origin))
        });
        let kind = Kind::of(&self.frame);
        let continues = self.stretch.as_ref().is_some_and(|stretch| {
            let expected = stretch.start + timestamp::at_output_rate(stretch.taken, kind.rate);
            let is_near = place.is_none_or(|place| place.saturating_sub(expected).abs() <= JITTER);
            stretch.resampler.kind() == kind && is_near
        });
        if !continues {
            let after = self.stretch.as_ref().map(|stretch| {
                stretch.start + timestamp::at_output_rate(stretch.taken, stretch.resampler.kind().rate)
            });
            self.finish_stretch()?;
            let start = place.or(after).unwrap_or(self.cursor);
            self.stretch = Some(Stretch { resampler: Resampler::new(&self.frame)?, start, taken: 0 });
            self.pieces.push_back(Piece { start, samples: Vec::new() });
        }
        if let (Some(stretch), Some(piece)) = (&mut self.stretch, self.pieces.back_mut()) {
            stretch.taken += count;
            stretch.resampler.convert(&self.frame, &mut piece.samples)?;
        }
        Ok(())
    }

    fn finish_stretch(&mut self) -> Result<(), Faulted> {
        if let (Some(mut stretch), Some(piece)) = (self.stretch.take(), self.pieces.back_mut()) {
            stretch.resampler.finish(&mut piece.samples)?;
        }
        Ok(())
    }
}

/// What a decoder answered when asked for a frame.
pub(crate) enum Received {
    Frame,
    /// It wants another packet first.
    Hungry,
    End,
}

pub(crate) fn next_frame(decoder: &mut Opened, frame: &mut ffmpeg::Frame) -> Result<Received, Faulted> {
    let received = decoder.receive_frame(frame);
    codec::check_memory()?;
    match received {
        Ok(()) => Ok(Received::Frame),
        Err(ffmpeg::Error::Eof) => Ok(Received::End),
        Err(error) => tolerate(error).map(|()| Received::Hungry),
    }
}

pub(crate) fn send(decoder: &mut Opened, packet: &ffmpeg::Packet) -> Result<(), Faulted> {
    decoder.send_packet(packet).or_else(tolerate)
}

pub(crate) fn send_end(decoder: &mut Opened) -> Result<(), Faulted> {
    decoder.send_eof().or_else(|error| if error == ffmpeg::Error::Eof { Ok(()) } else { tolerate(error) })
}

/// One bad packet is no reason to stop: players go on with the next. Only running out of memory is.
fn tolerate(error: ffmpeg::Error) -> Result<(), Faulted> {
    match error {
        ffmpeg::Error::Other { errno: libc::ENOMEM } => Err(Faulted::ffmpeg(error, "decoding")),
        _ => Ok(()),
    }
}
