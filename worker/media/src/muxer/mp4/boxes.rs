//! The boxes before the samples: `ftyp`, `moov`, and the head of `mdat`.

use mp4_atom::{
    AnySampleGroupEntry, Audio, Avc1, Avcc, AvccExt, Co64, Codec, Colr, Dinf, Dref, Edts, Elst, ElstEntry,
    Encode, FourCC, Ftyp, Hdlr, Mdhd, Mdia, Minf, Moov, Mp4a, Mvhd, Pasp, Sbgp, SbgpEntry, Sgpd, SgpdEntry,
    Smhd, Stbl, Stco, Stsc, StscEntry, Stsd, Stss, Stsz, StszSamples, Stts, SttsEntry, Tkhd, Trak, Url,
    Visual, Vmhd, esds,
};

use super::layout::Chunk;
use crate::encoder::aac::PACKET_FRAMES;
use crate::mixer::{CHANNELS, SAMPLE_RATE};
use crate::part::{AacDescription, H264Description, Sample};

/// Everything the header is made of.
pub(super) struct Film<'a> {
    pub(super) video: VideoTrack<'a>,
    pub(super) audio: Option<AudioTrack<'a>>,
    pub(super) chunks: &'a [Chunk],
}

/// The pictures.
pub(super) struct VideoTrack<'a> {
    pub(super) description: &'a H264Description,
    pub(super) samples: &'a [Sample],
}

/// The sound.
pub(super) struct AudioTrack<'a> {
    pub(super) description: &'a AacDescription,
    pub(super) samples: &'a [Sample],
}

const VIDEO_TRACK: u32 = 1;
const AUDIO_TRACK: u32 = 2;

/// Players round to the track's clock: one below this would show in seek bars.
const MIN_TIMESCALE: u32 = 10_000;

/// All bytes before the first sample.
pub(super) fn header(film: &Film<'_>) -> Result<Vec<u8>, mp4_atom::Error> {
    let payload: u64 = film.chunks.iter().map(|chunk| chunk.bytes).sum();
    let mdat = mdat_head(payload);
    // Offsets have fixed widths, so a first run with offsets from 0 already has the final length.
    let mut length = encoded(film, 0)?.len() as u64 + mdat.len() as u64;
    let mut header = encoded(film, length)?;
    if header.len() as u64 + mdat.len() as u64 != length {
        // The offsets outgrew 32 bits by the header's own length; now they are 64 bits wide in any case.
        length = header.len() as u64 + mdat.len() as u64;
        header = encoded(film, length)?;
    }
    header.extend_from_slice(&mdat);
    Ok(header)
}

/// Size and type of `mdat`, with a 64-bit size where needed (ISO/IEC 14496-12 4.2).
fn mdat_head(payload: u64) -> Vec<u8> {
    match u32::try_from(payload + 8) {
        Ok(size) => [&size.to_be_bytes()[..], b"mdat"].concat(),
        Err(_) => [&1_u32.to_be_bytes()[..], b"mdat", &(payload + 16).to_be_bytes()].concat(),
    }
}

/// `ftyp` and `moov` of a film whose first sample lies at `start`.
fn encoded(film: &Film<'_>, start: u64) -> Result<Vec<u8>, mp4_atom::Error> {
    let mut bytes = Vec::new();
    let brands = [b"isom", b"iso2", b"avc1", b"mp41"].map(FourCC::new).to_vec();
    Ftyp { major_brand: FourCC::new(b"isom"), minor_version: 0x200, compatible_brands: brands }
        .encode(&mut bytes)?;
    moov(film, start)?.encode(&mut bytes)?;
    Ok(bytes)
}

/// ISO/IEC 14496-12 8.2.
fn moov(film: &Film<'_>, start: u64) -> Result<Moov, mp4_atom::Error> {
    let clock = MovieClock::of(film);
    let mut tracks = vec![video_trak(film, start, clock)?];
    if let Some(audio) = &film.audio {
        tracks.push(audio_trak(film, audio, start, clock)?);
    }
    let mvhd = Mvhd {
        creation_time: 0,
        modification_time: 0,
        timescale: clock.timescale,
        duration: tracks.iter().map(|track| track.tkhd.duration).max().unwrap_or(0),
        rate: 1.into(),
        volume: 1.into(),
        matrix: Default::default(),
        next_track_id: AUDIO_TRACK + 1,
    };
    Ok(Moov { mvhd, trak: tracks, ..Default::default() })
}

/// The movie's clock: one in which pictures and sound both have whole lengths.
#[derive(Debug, Clone, Copy)]
struct MovieClock {
    timescale: u32,
}

impl MovieClock {
    fn of(film: &Film<'_>) -> MovieClock {
        let rate = film.video.description.frame_rate;
        let frame_clock = rate.numerator.get() / gcd(rate.numerator.get(), rate.denominator.get());
        let common = u64::from(frame_clock / gcd(frame_clock, SAMPLE_RATE)) * u64::from(SAMPLE_RATE);
        // A rate too odd for a common clock is rounded to the sample.
        MovieClock { timescale: u32::try_from(common).unwrap_or(SAMPLE_RATE) }
    }

    /// `numerator/denominator` seconds, to the nearest unit.
    fn length(self, numerator: u64, denominator: u32) -> u64 {
        let scaled = u128::from(numerator) * u128::from(self.timescale);
        let denominator = u128::from(denominator);
        u64::try_from((scaled + denominator / 2) / denominator).unwrap_or(u64::MAX)
    }
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

fn video_trak(film: &Film<'_>, start: u64, clock: MovieClock) -> Result<Trak, mp4_atom::Error> {
    let VideoTrack { description, samples } = film.video;
    // The muxer has checked that both fit.
    let (width, height) = (description.width as u16, description.height as u16);
    let rate = description.frame_rate;
    let (mut timescale, mut delta) = (rate.numerator.get(), rate.denominator.get());
    while timescale < MIN_TIMESCALE && delta <= u32::MAX / 2 {
        (timescale, delta) = (timescale * 2, delta * 2);
    }
    let frames = samples.len() as u64;
    let keys =
        (1..).zip(samples).filter(|(_, sample)| sample.is_keyframe).map(|(number, _)| number).collect();
    let stbl = Stbl {
        stsd: Stsd { codecs: vec![Codec::Avc1(avc1(description, width, height)?)] },
        stss: Some(Stss { entries: keys }),
        ..sample_table(film.chunks, false, samples, delta, start)
    };
    let tkhd = Tkhd {
        track_id: VIDEO_TRACK,
        duration: clock.length(frames * u64::from(rate.denominator.get()), rate.numerator.get()),
        enabled: true,
        in_movie: true,
        width: width.into(),
        height: height.into(),
        ..Default::default()
    };
    let mdhd =
        Mdhd { timescale, duration: frames * u64::from(delta), language: "und".into(), ..Default::default() };
    let minf = Minf { vmhd: Some(Vmhd::default()), dinf: same_file(), stbl, ..Default::default() };
    let hdlr = Hdlr { handler: FourCC::new(b"vide"), name: "VideoHandler".into() };
    Ok(Trak { tkhd, mdia: Mdia { mdhd, hdlr, minf }, ..Default::default() })
}

/// ISO/IEC 14496-15 5.4.2.
fn avc1(description: &H264Description, width: u16, height: u16) -> Result<Avc1, mp4_atom::Error> {
    // High profile says its chroma format and bit depths: by default 4:2:0 and 8 (ISO/IEC 14496-15 5.3.3.1.2).
    let avcc = Avcc { ext: Some(AvccExt::default()), ..Avcc::new(&description.sps, &description.pps)? };
    Ok(Avc1 {
        visual: Visual { data_reference_index: 1, width, height, ..Default::default() },
        avcc,
        // BT.709 three times, limited range (ITU-T H.273 8.1 to 8.3).
        colr: Some(Colr::new(1, 1, 1, false)?),
        pasp: Some(Pasp::new(1, 1)?),
        ..Default::default()
    })
}

fn audio_trak(
    film: &Film<'_>,
    audio: &AudioTrack<'_>,
    start: u64,
    clock: MovieClock,
) -> Result<Trak, mp4_atom::Error> {
    let AudioTrack { description, samples } = audio;
    let count = u32::try_from(samples.len()).map_err(|_too_long| mp4_atom::Error::InvalidSize)?;
    let stbl = Stbl {
        stsd: Stsd { codecs: vec![Codec::Mp4a(mp4a(description, samples)?)] },
        sgpd: vec![roll()],
        sbgp: vec![Sbgp {
            grouping_type: FourCC::new(b"roll"),
            grouping_type_parameter: None,
            entries: vec![SbgpEntry { sample_count: count, group_description_index: 1 }],
        }],
        ..sample_table(film.chunks, true, samples, PACKET_FRAMES, start)
    };
    let length = clock.length(description.frames, SAMPLE_RATE);
    let tkhd = Tkhd {
        track_id: AUDIO_TRACK,
        duration: length,
        enabled: true,
        in_movie: true,
        volume: 1.into(),
        ..Default::default()
    };
    // Takes the encoder's delay away, so that the programme begins at 0 (ISO/IEC 14496-12 8.6.6).
    let media_time = Some(description.delay.into());
    let edit = ElstEntry { segment_duration: length, media_time, media_rate: 1.into() };
    let duration = u64::from(count) * u64::from(PACKET_FRAMES);
    let mdhd = Mdhd { timescale: SAMPLE_RATE, duration, language: "und".into(), ..Default::default() };
    let minf = Minf { smhd: Some(Smhd::default()), dinf: same_file(), stbl, ..Default::default() };
    let hdlr = Hdlr { handler: FourCC::new(b"soun"), name: "SoundHandler".into() };
    let edts = Some(Edts { elst: Some(Elst { entries: vec![edit] }) });
    Ok(Trak { tkhd, edts, mdia: Mdia { mdhd, hdlr, minf }, ..Default::default() })
}

/// ISO/IEC 14496-14 5.6 and ISO/IEC 14496-1 7.2.6.
fn mp4a(description: &AacDescription, samples: &[Sample]) -> Result<Mp4a, mp4_atom::Error> {
    let bytes: u64 = samples.iter().map(|sample| u64::from(sample.size)).sum();
    let frames = samples.len() as u64 * u64::from(PACKET_FRAMES);
    let average = (bytes * 8 * u64::from(SAMPLE_RATE)).checked_div(frames).unwrap_or(0);
    let decoder = esds::DecoderConfig {
        object_type_indication: 0x40, // MPEG-4 audio (ISO/IEC 14496-1 table 5)
        stream_type: 0x05,            // audio (table 6)
        up_stream: 0,
        // The most that a packet may be: 6144 bits a channel (ISO/IEC 14496-3 4.5.3.1).
        buffer_size_db: u32::try_from(6144 / 8 * CHANNELS).unwrap_or(0).try_into().unwrap_or_default(),
        max_bitrate: description.bitrate,
        avg_bitrate: u32::try_from(average).unwrap_or(u32::MAX),
        dec_specific: Some(esds::DecoderSpecific { raw: description.config.clone(), ..Default::default() }),
    };
    let es_desc = esds::EsDescriptor { dec_config: decoder, ..Default::default() };
    let audio = Audio {
        data_reference_index: 1,
        channel_count: CHANNELS as u16,
        sample_size: 16,
        // 16.16: 48 000 fits.
        sample_rate: (SAMPLE_RATE as u16).into(),
    };
    Ok(Mp4a { audio, esds: mp4_atom::Esds { es_desc }, btrt: None, taic: None })
}

/// A packet is whole only after the one before it was decoded: roll distance −1 (ISO/IEC 14496-12 10.1).
fn roll() -> Sgpd {
    let grouping_type = FourCC::new(b"roll");
    let entry = AnySampleGroupEntry::UnknownGroupingType(grouping_type, (-1_i16).to_be_bytes().to_vec());
    Sgpd {
        grouping_type,
        default_length: Some(2),
        default_group_description_index: None,
        static_group_description: false,
        static_mapping: false,
        essential: false,
        entries: vec![SgpdEntry { description_length: None, entry }],
    }
}

/// ISO/IEC 14496-12 8.7.2: the samples are in this file.
fn same_file() -> Dinf {
    Dinf { dref: Dref { entries: vec![Url::default().into()] } }
}

/// `stts`, `stsz`, `stsc` and `stco` or `co64` of one track (ISO/IEC 14496-12 8.6 and 8.7).
fn sample_table(chunks: &[Chunk], is_audio: bool, samples: &[Sample], delta: u32, start: u64) -> Stbl {
    let mut runs: Vec<StscEntry> = Vec::new();
    let mut offsets = Vec::new();
    let mut offset = start;
    for chunk in chunks {
        if chunk.is_audio == is_audio {
            if runs.last().is_none_or(|run| run.samples_per_chunk != chunk.samples) {
                runs.push(StscEntry {
                    first_chunk: offsets.len() as u32 + 1,
                    samples_per_chunk: chunk.samples,
                    sample_description_index: 1,
                });
            }
            offsets.push(offset);
        }
        offset += chunk.bytes;
    }
    let short: Option<Vec<u32>> = offsets.iter().map(|&offset| u32::try_from(offset).ok()).collect();
    let count = samples.len() as u32;
    Stbl {
        stts: Stts { entries: vec![SttsEntry { sample_count: count, sample_delta: delta }] },
        stsc: Stsc { entries: runs },
        stsz: Stsz {
            samples: StszSamples::Different { sizes: samples.iter().map(|sample| sample.size).collect() },
        },
        co64: short.is_none().then_some(Co64 { entries: offsets }),
        stco: short.map(|entries| Stco { entries }),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use composition::FrameRate;

    use super::*;

    fn timescale(numerator: u32, denominator: u32) -> u32 {
        let frame_rate = FrameRate::new(numerator, denominator).expect("a valid rate");
        let description =
            &H264Description { width: 16, height: 16, frame_rate, qp: 26, sps: Vec::new(), pps: Vec::new() };
        let film = Film { video: VideoTrack { description, samples: &[] }, audio: None, chunks: &[] };
        MovieClock::of(&film).timescale
    }

    #[test]
    fn the_movies_clock_counts_frames_and_sound_samples_in_whole_units() {
        assert_eq!(timescale(30, 1), 48_000, "every whole rate that divides 48 000");
        assert_eq!(timescale(30_000, 1001), 240_000, "a frame is 8008 units, a sound sample 5");
        assert_eq!(timescale(24_000, 1001), 48_000, "a frame is 2002 units");
        assert_eq!(timescale(60, 2), 48_000, "rates need not be reduced");
        assert_eq!(timescale(4_294_967_291, 1), 48_000, "a rate that has no common clock is rounded");
    }

    #[test]
    fn offsets_grow_to_64_bits_where_they_must() {
        let samples = [Sample { size: 1 << 30, is_keyframe: true }; 5];
        let chunks = [Chunk { is_audio: false, samples: 1, bytes: 1 << 30 }; 5];
        let table = |start| sample_table(&chunks, false, &samples, 1, start);
        let long = table(1000);
        assert_eq!(long.stco, None, "4 GiB and 1000 bytes is more than 32 bits say");
        assert_eq!(long.co64.map(|co64| co64.entries[4]), Some((4 << 30) + 1000), "64 bits say it");
        let short = sample_table(&chunks[..4], false, &samples[..4], 1, 1000);
        assert_eq!(short.stco.map(|stco| stco.entries[3]), Some((3 << 30) + 1000), "below, 32 bits do");
        assert_eq!(short.stsc.entries.len(), 1, "equal chunks are one run");
    }

    #[test]
    fn mdat_says_its_size_in_64_bits_where_it_must() {
        assert_eq!(mdat_head(100), [0, 0, 0, 108, b'm', b'd', b'a', b't'], "eight bytes of head count too");
        let long = mdat_head(u64::from(u32::MAX));
        assert_eq!(long[..8], [0, 0, 0, 1, b'm', b'd', b'a', b't'], "size 1: the real one follows");
        assert_eq!(long[8..], (u64::from(u32::MAX) + 16).to_be_bytes(), "with its own length in it");
    }
}
