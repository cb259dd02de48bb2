//! Part files: encoded samples at rest between the worker that made them and the one that joins them.
//!
//! ```text
//! samples, one behind the other          as the film will hold them
//! index, 4 bytes a sample                little endian: size, and bit 31 for key frames
//! description                            JSON: what the samples are
//! trailer, 24 bytes                      sample count u64, description length u64, "FLPART01"
//! ```
//!
//! All that is known only afterwards stands at the end, so a writer needs no seeking and no memory for the samples, and
//! a reader of a file finds everything from its last bytes. The last two digits of the trailer are the version.
//!
//! Promises: equal samples give equal bytes; what a reader opened is consistent, however the file was damaged. Must not
//! know: codecs beyond their names, or what becomes of the samples.

use std::io::{self, Read, Seek, SeekFrom, Write};

use composition::FrameRate;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::encoder::aac::AacParameters;
use crate::encoder::h264::ParameterSets;
use crate::packet::Packet;

const MAGIC: [u8; 8] = *b"FLPART01";
const TRAILER_BYTES: u64 = 24;
const KEY_BIT: u32 = 1 << 31;
/// Far above any real one: parameter sets are some dozen bytes.
const MAX_DESCRIPTION_BYTES: u64 = 1 << 20;

/// What the samples of a part are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "codec", rename_all = "snake_case")]
pub enum Description {
    /// A run of pictures.
    H264(H264Description),
    /// A film's whole sound.
    Aac(AacDescription),
}

/// A run of pictures, each a sample of NAL units behind 4-byte lengths.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct H264Description {
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Pictures a second.
    pub frame_rate: FrameRate,
    /// The quantiser that the part came to be encoded at.
    pub qp: u8,
    /// Sequence parameter set, a NAL unit.
    pub sps: Vec<u8>,
    /// Picture parameter set, a NAL unit.
    pub pps: Vec<u8>,
}

impl H264Description {
    /// The parameter sets as the encoder gave them.
    #[must_use]
    pub fn parameter_sets(&self) -> ParameterSets {
        ParameterSets { sps: self.sps.clone(), pps: self.pps.clone() }
    }
}

/// A film's sound at 48 kHz in stereo, each sample 1024 samples of either channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AacDescription {
    /// AudioSpecificConfig.
    pub config: Vec<u8>,
    /// Samples per channel before the programme's first.
    pub delay: u32,
    /// The programme's length, samples per channel.
    pub frames: u64,
    /// Bits a second.
    pub bitrate: u32,
}

impl From<AacParameters> for AacDescription {
    fn from(AacParameters { config, delay, frames, bitrate }: AacParameters) -> AacDescription {
        AacDescription { config, delay, frames, bitrate }
    }
}

/// One line of a part's index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// Bytes; never 0.
    pub size: u32,
    /// Whether decoding may start here.
    pub is_keyframe: bool,
}

/// Why a part was not written.
#[derive(Debug, Error)]
pub enum WritePartError {
    /// The file could not be written.
    #[error("write a part")]
    Io(#[from] io::Error),
    /// A sample without bytes, or of 2 GiB and more.
    #[error("write a part: sample {index} has {size} bytes")]
    SampleSize {
        /// Counted from 0.
        index: usize,
        /// Bytes.
        size: usize,
    },
}

/// Why a file is no part.
#[derive(Debug, Error)]
pub enum OpenPartError {
    /// The file could not be read.
    #[error("read a part")]
    Io(#[from] io::Error),
    /// Another kind of file, another version, or a damaged one.
    #[error("read a part: {0}")]
    Malformed(&'static str),
    /// Its description makes no sense.
    #[error("read a part's description")]
    Description(#[from] serde_json::Error),
}

/// Writes a part, sample by sample.
#[derive(Debug)]
pub struct PartWriter<W> {
    file: W,
    index: Vec<u8>,
}

impl<W: Write> PartWriter<W> {
    /// A part with no samples yet, at the beginning of `file`.
    pub fn new(file: W) -> PartWriter<W> {
        PartWriter { file, index: Vec::new() }
    }

    /// Appends a sample.
    ///
    /// # Errors
    /// Where the file cannot be written, or the sample has no bytes.
    pub fn push(&mut self, packet: &Packet) -> Result<(), WritePartError> {
        let size = u32::try_from(packet.data.len()).ok().filter(|size| (1..KEY_BIT).contains(size));
        let bad = WritePartError::SampleSize { index: self.index.len() / 4, size: packet.data.len() };
        let size = size.ok_or(bad)?;
        self.file.write_all(&packet.data)?;
        let key = if packet.is_keyframe { KEY_BIT } else { 0 };
        self.index.extend_from_slice(&(size | key).to_le_bytes());
        Ok(())
    }

    /// Closes the part and hands the file back, flushed.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn finish(mut self, description: &Description) -> Result<W, WritePartError> {
        let count = (self.index.len() / 4) as u64;
        let description = serde_json::to_vec(description).map_err(io::Error::from)?;
        self.file.write_all(&self.index)?;
        self.file.write_all(&description)?;
        self.file.write_all(&count.to_le_bytes())?;
        self.file.write_all(&(description.len() as u64).to_le_bytes())?;
        self.file.write_all(&MAGIC)?;
        self.file.flush()?;
        Ok(self.file)
    }
}

/// Reads a part: what it is and its index at once, its samples as a stream.
#[derive(Debug)]
pub struct PartReader<R> {
    file: R,
    description: Description,
    samples: Vec<Sample>,
}

impl<R: Read + Seek> PartReader<R> {
    /// Reads everything but the samples and goes to the first of them.
    ///
    /// # Errors
    /// Where the file cannot be read or is no part.
    pub fn open(mut file: R) -> Result<PartReader<R>, OpenPartError> {
        let length = file.seek(SeekFrom::End(0))?;
        let body = length.checked_sub(TRAILER_BYTES).ok_or(OpenPartError::Malformed("it is too short"))?;
        file.seek(SeekFrom::Start(body))?;
        let [count, description_length, magic] = [eight(&mut file)?, eight(&mut file)?, eight(&mut file)?];
        if magic != MAGIC {
            return Err(OpenPartError::Malformed("it does not end as one"));
        }
        let (count, description_length) = (u64::from_le_bytes(count), u64::from_le_bytes(description_length));
        if description_length > MAX_DESCRIPTION_BYTES {
            return Err(OpenPartError::Malformed("its description is too long"));
        }
        let index_bytes = count.checked_mul(4).ok_or(OpenPartError::Malformed("its index is too long"))?;
        let before_description = body.checked_sub(description_length);
        let payload = before_description.and_then(|end| end.checked_sub(index_bytes));
        let payload = payload.ok_or(OpenPartError::Malformed("its index is too long"))?;

        file.seek(SeekFrom::Start(payload))?;
        let mut index = vec![0; index_bytes as usize];
        file.read_exact(&mut index)?;
        let mut description = vec![0; description_length as usize];
        file.read_exact(&mut description)?;
        let samples: Vec<Sample> = index.as_chunks::<4>().0.iter().copied().map(sample).collect();
        if samples.iter().map(|sample| u64::from(sample.size)).sum::<u64>() != payload {
            return Err(OpenPartError::Malformed("its index does not fit its samples"));
        }
        if samples.iter().any(|sample| sample.size == 0) {
            return Err(OpenPartError::Malformed("a sample is empty"));
        }
        file.seek(SeekFrom::Start(0))?;
        Ok(PartReader { file, description: serde_json::from_slice(&description)?, samples })
    }

    /// What the samples are.
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// The index.
    pub fn samples(&self) -> &[Sample] {
        &self.samples
    }

    /// The samples' bytes, one behind the other, from the first; reading ends behind the last.
    pub fn into_payload(self) -> io::Take<R> {
        let total = self.samples.iter().map(|sample| u64::from(sample.size)).sum();
        self.file.take(total)
    }
}

fn eight(file: &mut impl Read) -> io::Result<[u8; 8]> {
    let mut bytes = [0; 8];
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn sample(entry: [u8; 4]) -> Sample {
    let entry = u32::from_le_bytes(entry);
    Sample { size: entry & !KEY_BIT, is_keyframe: entry & KEY_BIT != 0 }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn part() -> Vec<u8> {
        let frame_rate = FrameRate::new(30, 1).expect("a valid rate");
        let (sps, pps) = (vec![0x67, 100, 0, 31], vec![0x68, 238]);
        let description =
            Description::H264(H264Description { width: 64, height: 32, frame_rate, qp: 26, sps, pps });
        let mut writer = PartWriter::new(Vec::new());
        for (data, is_keyframe) in [(&b"first"[..], true), (b"second", false), (b"3", true)] {
            writer.push(&Packet { data: data.into(), is_keyframe }).expect("a sample");
        }
        writer.finish(&description).expect("a part")
    }

    #[test]
    fn what_was_written_is_read() {
        let reader = PartReader::open(Cursor::new(part())).expect("a part");
        let sizes: Vec<(u32, bool)> = reader.samples().iter().map(|s| (s.size, s.is_keyframe)).collect();
        assert_eq!(sizes, [(5, true), (6, false), (1, true)], "the index");
        assert!(matches!(reader.description(), Description::H264(h264) if h264.qp == 26), "the description");
        let mut payload = Vec::new();
        reader.into_payload().read_to_end(&mut payload).expect("samples");
        assert_eq!(payload, b"firstsecond3", "the samples and nothing behind them");
    }

    #[test]
    fn the_format_is_what_its_description_says() {
        let part = part();
        assert_eq!(part[..12], *b"firstsecond3", "samples");
        assert_eq!(part[12..24], [5, 0, 0, 0x80, 6, 0, 0, 0, 1, 0, 0, 0x80], "index");
        let json = br#"{"codec":"h264","width":64,"height":32,"frame_rate":{"numerator":30,"denominator":1},"qp":26,"#;
        assert_eq!(part[24..24 + json.len()], *json, "description");
        assert_eq!(part[part.len() - 24..][..8], [3, 0, 0, 0, 0, 0, 0, 0], "count");
        assert_eq!(part[part.len() - 8..], *b"FLPART01", "trailer");
    }

    #[test]
    fn no_damage_goes_unnoticed_or_makes_a_reader_panic() {
        let whole = part();
        for length in 0..whole.len() {
            assert!(PartReader::open(Cursor::new(&whole[..length])).is_err(), "cut to {length} bytes");
        }
        // Bytes of the index and the trailer; a change in samples or names is the digest's business.
        for at in (12..24).chain(whole.len() - 24..whole.len()) {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x40;
            assert!(PartReader::open(Cursor::new(damaged)).is_err(), "byte {at} changed");
        }
    }

    #[test]
    fn an_empty_sample_is_refused() {
        let mut writer = PartWriter::new(Vec::new());
        assert!(
            writer.push(&Packet { data: [].into(), is_keyframe: true }).is_err(),
            "a picture would be missing"
        );
    }
}
