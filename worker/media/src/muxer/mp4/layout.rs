//! The order of samples in the file: pictures and sound in turn, half a second each.
//!
//! A player reads both from one place in the file then, and a chunk is still large enough to be one read.

use composition::FrameRate;

use crate::encoder::aac::PACKET_FRAMES;
use crate::mixer::SAMPLE_RATE;
use crate::part::Sample;

/// Chunks in a second.
const CHUNKS_PER_SECOND: u64 = 2;

/// When the samples of a track are due.
#[derive(Debug, Clone, Copy)]
pub(super) struct Track<'a> {
    samples: &'a [Sample],
    /// A sample lasts `duration / timescale` seconds.
    duration: u64,
    timescale: u64,
    /// What the edit list takes away at the start, in 1/`timescale` s.
    skipped: u64,
}

impl<'a> Track<'a> {
    pub(super) fn video(samples: &'a [Sample], rate: FrameRate) -> Track<'a> {
        let (duration, timescale) = (rate.denominator.get().into(), rate.numerator.get().into());
        Track { samples, duration, timescale, skipped: 0 }
    }

    pub(super) fn audio(samples: &'a [Sample], delay: u32) -> Track<'a> {
        let (duration, timescale) = (PACKET_FRAMES.into(), SAMPLE_RATE.into());
        Track { samples, duration, timescale, skipped: delay.into() }
    }

    /// The first sample that is due at or after `number` chunks' time.
    fn first_of_chunk(&self, number: u64) -> usize {
        let time = (number * self.timescale).div_ceil(CHUNKS_PER_SECOND) + self.skipped;
        // All that comes before 0 belongs to the first chunk.
        let first = if number == 0 { 0 } else { time.div_ceil(self.duration) };
        usize::try_from(first).unwrap_or(usize::MAX).min(self.samples.len())
    }
}

/// Samples of one track that lie together in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Chunk {
    /// Sound or pictures.
    pub(super) is_audio: bool,
    /// How many samples; at least one.
    pub(super) samples: u32,
    /// All their bytes.
    pub(super) bytes: u64,
}

/// All chunks in the file's order; what is due first comes first, pictures before sound.
pub(super) fn chunks(video: &Track<'_>, audio: Option<&Track<'_>>) -> Vec<Chunk> {
    let mut chunks = Vec::new();
    let tracks = [(false, Some(video)), (true, audio)];
    let unfinished =
        |number| tracks.iter().filter_map(|t| t.1).any(|t| t.first_of_chunk(number) < t.samples.len());
    let mut number = 0;
    while unfinished(number) {
        for (is_audio, track) in tracks {
            let Some(track) = track else { continue };
            let samples = &track.samples[track.first_of_chunk(number)..track.first_of_chunk(number + 1)];
            if let Ok(count @ 1..) = u32::try_from(samples.len()) {
                let bytes = samples.iter().map(|sample| u64::from(sample.size)).sum();
                chunks.push(Chunk { is_audio, samples: count, bytes });
            }
        }
        number += 1;
    }
    chunks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(count: usize) -> Vec<Sample> {
        vec![Sample { size: 10, is_keyframe: true }; count]
    }

    fn counts(chunks: &[Chunk], is_audio: bool) -> Vec<u32> {
        chunks.iter().filter(|chunk| chunk.is_audio == is_audio).map(|chunk| chunk.samples).collect()
    }

    #[test]
    fn half_seconds_alternate() {
        let (pictures, sound) = (samples(40), samples(65));
        let rate = FrameRate::new(30, 1).expect("a valid rate");
        let chunks = chunks(&Track::video(&pictures, rate), Some(&Track::audio(&sound, 2048)));
        assert_eq!(counts(&chunks, false), [15, 15, 10], "15 pictures are half a second");
        // Packet p is due at (1024·p − 2048)/48000 s: 26 packets before 0.5 s, 49 before 1 s.
        assert_eq!(counts(&chunks, true), [26, 23, 16], "sound goes with the pictures of its time");
        let order: Vec<bool> = chunks.iter().map(|chunk| chunk.is_audio).collect();
        assert_eq!(order, [false, true, false, true, false, true], "pictures first");
        assert_eq!(chunks.iter().map(|chunk| chunk.bytes).sum::<u64>(), 1050, "nothing is lost");
    }

    #[test]
    fn slow_films_have_empty_half_seconds() {
        let pictures = samples(3);
        let rate = FrameRate::new(1, 1).expect("a valid rate");
        assert_eq!(
            counts(&chunks(&Track::video(&pictures, rate), None), false),
            [1, 1, 1],
            "one picture a second"
        );
    }
}
