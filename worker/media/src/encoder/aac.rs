//! AAC-LC, 48 kHz stereo, through fdk-aac.
//!
//! The film's sound is encoded once, as a whole: MDCT blocks overlap and the bit reservoir runs through, so parts of it
//! could not be joined.
//!
//! Promises: exactly the packets that hold the programme and the encoder's delay; equal sound gives equal packets. Must
//! not know: pictures, or where the delay is taken away again (the muxer's edit list does it).

use std::fmt;

use fdk_aac::enc::{AudioObjectType, BitRate, ChannelMode, Encoder, EncoderError, EncoderParams, Transport};
use thiserror::Error;

use crate::mixer::{CHANNELS, SAMPLE_RATE};
use crate::packet::Packet;

/// Samples per channel in a packet (ISO/IEC 14496-3 4.5.2.1).
pub const PACKET_FRAMES: u32 = 1024;

/// What a file must say about the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AacParameters {
    /// AudioSpecificConfig (ISO/IEC 14496-3 1.6.2.1).
    pub config: Vec<u8>,
    /// Samples per channel that come out before the programme's first.
    pub delay: u32,
    /// The programme's length, samples per channel.
    pub frames: u64,
    /// Bits a second.
    pub bitrate: u32,
}

/// Why the sound was not encoded.
#[derive(Debug, Error)]
pub enum AacError {
    /// The library takes no such bit rate, or failed to start.
    #[error("open the AAC encoder for {bitrate} bits a second")]
    Open {
        /// Bits a second.
        bitrate: u32,
        /// What it said.
        #[source]
        source: LibraryError,
    },
    /// The library failed.
    #[error("encode sound at packet {packet}")]
    Encode {
        /// Counted from 0.
        packet: u64,
        /// What it said.
        #[source]
        source: LibraryError,
    },
    /// The library did not take a whole block, or kept packets back.
    #[error("encode sound: the encoder stopped after {packets} packets")]
    Stalled {
        /// How many came.
        packets: u64,
    },
}

/// A failed call into fdk-aac.
#[derive(Debug)]
pub struct LibraryError(EncoderError);

impl fmt::Display for LibraryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "fdk-aac said: {}", self.0)
    }
}

impl std::error::Error for LibraryError {}

/// Room for any packet: ISO/IEC 14496-3 4.5.3.1 allows 6144 bits a channel.
const MAX_PACKET_BYTES: usize = 6144 / 8 * CHANNELS;

const BLOCK: usize = PACKET_FRAMES as usize * CHANNELS;

/// Encodes a programme from its first sample to its last.
pub struct AacEncoder {
    encoder: Encoder,
    parameters: AacParameters,
    /// Samples that do not fill a block yet.
    pending: Vec<i16>,
    packets: u64,
}

impl fmt::Debug for AacEncoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AacEncoder").field("parameters", &self.parameters).finish_non_exhaustive()
    }
}

impl AacEncoder {
    /// An encoder at a constant `bitrate` in bits a second.
    ///
    /// # Errors
    /// Where the library refuses the bit rate.
    pub fn new(bitrate: u32) -> Result<AacEncoder, AacError> {
        let open = |source| AacError::Open { bitrate, source: LibraryError(source) };
        let encoder = Encoder::new(EncoderParams {
            bit_rate: BitRate::Cbr(bitrate),
            sample_rate: SAMPLE_RATE,
            transport: Transport::Raw,
            channels: ChannelMode::Stereo,
            audio_object_type: AudioObjectType::Mpeg4LowComplexity,
        })
        .map_err(open)?;
        let info = encoder.info().map_err(open)?;
        let config = info.confBuf[..(info.confSize as usize).min(info.confBuf.len())].to_vec();
        let parameters = AacParameters { config, delay: info.nDelay, frames: 0, bitrate };
        Ok(AacEncoder { encoder, parameters, pending: Vec::with_capacity(BLOCK), packets: 0 })
    }

    /// Takes the next samples, left and right in turn, full scale at ±1; any even number of them.
    ///
    /// # Errors
    /// Where the library fails.
    pub fn encode(&mut self, samples: &[f32]) -> Result<Vec<Packet>, AacError> {
        self.parameters.frames += (samples.len() / CHANNELS) as u64;
        let mut packets = Vec::new();
        let mut rest = samples;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(BLOCK - self.pending.len()));
            self.pending.extend(now.iter().copied().map(to_16_bit));
            rest = later;
            if self.pending.len() == BLOCK {
                packets.extend(self.encode_pending()?);
            }
        }
        Ok(packets)
    }

    /// Appends the silence that pushes the programme's last sample out, and hands over the last packets.
    ///
    /// # Errors
    /// Where the library fails.
    pub fn finish(mut self) -> Result<(Vec<Packet>, AacParameters), AacError> {
        // The wrapper cannot ask the library to flush; silence has the same effect and an exact end.
        let wanted = packet_count(&self.parameters);
        let mut packets = Vec::new();
        // The library owes one packet a block, and may owe a few blocks for its start.
        for _block in 0..wanted + 8 {
            if self.packets >= wanted {
                break;
            }
            self.pending.resize(BLOCK, 0);
            packets.extend(self.encode_pending()?);
        }
        if self.packets == wanted {
            Ok((packets, self.parameters))
        } else {
            Err(AacError::Stalled { packets: self.packets })
        }
    }

    fn encode_pending(&mut self) -> Result<Option<Packet>, AacError> {
        let mut buffer = [0; MAX_PACKET_BYTES];
        let encoded = self.encoder.encode(&self.pending, &mut buffer);
        let encoded =
            encoded.map_err(|e| AacError::Encode { packet: self.packets, source: LibraryError(e) })?;
        if encoded.input_consumed != self.pending.len() {
            return Err(AacError::Stalled { packets: self.packets });
        }
        self.pending.clear();
        if encoded.output_size == 0 {
            return Ok(None);
        }
        self.packets += 1;
        Ok(Some(Packet { data: buffer[..encoded.output_size].into(), is_keyframe: true }))
    }
}

/// How many packets hold the programme behind the encoder's delay.
#[must_use]
pub fn packet_count(parameters: &AacParameters) -> u64 {
    (parameters.frames + u64::from(parameters.delay)).div_ceil(PACKET_FRAMES.into())
}

/// To the nearest of 65 536 levels; what is beyond full scale is cut (and the mixer's limiter leaves nothing there).
fn to_16_bit(sample: f32) -> i16 {
    // The cast saturates, and turns NaN into silence.
    libm::rintf(sample * 32_768.0) as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encode(frames: usize, block: usize) -> (Vec<Packet>, AacParameters) {
        let samples: Vec<f32> =
            (0..frames * 2).map(|i| ((i * i % 1999) as f32 / 1999.0 - 0.5) * 0.5).collect();
        let mut encoder = AacEncoder::new(160_000).expect("an encoder");
        let mut packets = Vec::new();
        for samples in samples.chunks(block * 2) {
            packets.extend(encoder.encode(samples).expect("packets"));
        }
        let (last, parameters) = encoder.finish().expect("the end");
        packets.extend(last);
        (packets, parameters)
    }

    #[test]
    fn the_packets_hold_programme_and_delay_exactly() {
        for frames in [0, 1, 1024, 48_000, 100_001] {
            let (packets, parameters) = encode(frames, 4096);
            assert_eq!(parameters.frames, frames as u64, "all samples are counted");
            let wanted = (frames + parameters.delay as usize).div_ceil(1024);
            assert_eq!(packets.len(), wanted, "{frames} samples and the delay of {}", parameters.delay);
        }
    }

    #[test]
    fn the_blocks_it_comes_in_do_not_matter() {
        assert_eq!(encode(20_000, 4096), encode(20_000, 999), "equal sound, equal packets");
    }

    #[test]
    fn the_stream_says_that_it_is_stereo_at_48_khz() {
        // ISO/IEC 14496-3 1.6.2.1: object type 2 in 5 bits, frequency index 3 in 4, 2 channels in 4, three flags of 0.
        let (_, parameters) = encode(1024, 1024);
        assert_eq!(parameters.config, [0b0001_0001, 0b1001_0000], "AAC-LC, 48 kHz, stereo");
    }

    #[test]
    fn samples_are_rounded_and_cut() {
        let levels = [0.0, 1.0, -1.0, 2.0, -2.0, 0.6 / 32_768.0, f32::NAN].map(to_16_bit);
        assert_eq!(levels, [0, 32_767, -32_768, 32_767, -32_768, 1, 0], "full scale is 32 768 levels");
    }
}
