//! Where the sound of a stream begins and ends, as the decoder will give it: found while the packets are read.
#![expect(unsafe_code, reason = "details of packets that the safe bindings leave out")]

use ffmpeg_next as ffmpeg;
use ffmpeg_next::codec::decoder::Opened;
use ffmpeg_next::ffi;

use crate::audio::{Received, next_frame, send, send_end};
use crate::codec;
use crate::fault::Faulted;
use crate::input::Input;
use crate::protocol::ProbedAudio;
use crate::timestamp::ticks;

/// Collects what is known about one audio stream.
pub(crate) struct Extent {
    pub(crate) stream: usize,
    decoder: Opened,
    time_base: (u32, u32),
    /// Of the first decoded frame, which is the first after priming, in the stream's timebase.
    first: Option<First>,
    end: i64,
}

struct First {
    pts: i64,
    rate: u32,
    channels: u32,
}

impl Extent {
    pub(crate) fn new(input: &Input, stream: usize) -> Result<Extent, Faulted> {
        let decoder = codec::open(input, stream, i64::MAX)?;
        Ok(Extent { stream, decoder, time_base: input.time_base(stream)?, first: None, end: i64::MIN })
    }

    /// Looks at one packet of the stream; decodes until the first sound has come out.
    pub(crate) fn add(&mut self, packet: &ffmpeg::Packet) -> Result<(), Faulted> {
        if let Some(pts) = packet.pts().or(packet.dts()) {
            let rate = self.first.as_ref().map_or(0, |first| first.rate);
            let trimmed = trimmed_at_end(packet, rate, self.time_base);
            self.end = self.end.max(pts.saturating_add(packet.duration().max(0)).saturating_sub(trimmed));
        }
        if self.first.is_none() {
            send(&mut self.decoder, packet)?;
            self.listen()?;
        }
        Ok(())
    }

    /// Takes a frame if one is ready.
    fn listen(&mut self) -> Result<(), Faulted> {
        let mut frame = ffmpeg::frame::Audio::empty();
        if let Received::Frame = next_frame(&mut self.decoder, &mut frame)? {
            // SAFETY: a decoded frame.
            let channels = unsafe { (*frame.as_ptr()).ch_layout.nb_channels };
            self.first = Some(First {
                pts: frame.timestamp().unwrap_or(0),
                rate: frame.rate(),
                channels: u32::try_from(channels).unwrap_or(0),
            });
        }
        Ok(())
    }

    pub(crate) fn describe(mut self, input: &Input) -> Result<ProbedAudio, Faulted> {
        if self.first.is_none() {
            send_end(&mut self.decoder)?;
            self.listen()?;
        }
        let first = self.first.ok_or_else(|| Faulted::corrupt("none of its sound can be decoded"))?;
        let codec =
            input.context().stream(self.stream).map(|stream| stream.parameters().id().name().to_owned());
        Ok(ProbedAudio {
            stream: u32::try_from(self.stream).unwrap_or(u32::MAX),
            codec: codec.unwrap_or_default(),
            sample_rate: first.rate,
            channels: first.channels,
            start: ticks(first.pts, self.time_base),
            end: ticks(self.end.max(first.pts), self.time_base),
        })
    }
}

/// How much of the packet's end is padding, in the stream's timebase.
fn trimmed_at_end(packet: &ffmpeg::Packet, rate: u32, (numerator, denominator): (u32, u32)) -> i64 {
    let mut size = 0usize;
    // SAFETY: side data of a packet that was just read. AV_PKT_DATA_SKIP_SAMPLES holds two little-endian 32-bit
    // numbers of samples, to skip at the start and to discard at the end, and two bytes of reasons.
    let discarded = unsafe {
        let packet = ffmpeg::packet::Ref::as_ptr(packet);
        let kind = ffi::AVPacketSideDataType::AV_PKT_DATA_SKIP_SAMPLES;
        let data = ffi::av_packet_get_side_data(packet, kind, &raw mut size);
        if data.is_null() || size < 8 { 0 } else { u32::from_le_bytes(data.add(4).cast::<[u8; 4]>().read()) }
    };
    if rate == 0 {
        return 0;
    }
    let units =
        i128::from(discarded) * i128::from(denominator) / (i128::from(rate) * i128::from(numerator.max(1)));
    i64::try_from(units).unwrap_or(0)
}
