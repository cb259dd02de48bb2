//! The one mix of a film: all elements' sound, summed to the sample and limited, 48 kHz stereo.
//!
//! Promises: sample `n` of the mix is the sum of what every track has at `n`, in the order of the tracks, whatever the
//! size of the blocks it is pulled in; it never exceeds −1 dBTP, and is untouched where it would not anyway. Memory does
//! not grow with the film: sources are read forward, block by block, and dropped at their end. Must not know: files,
//! codecs, elements.

mod limiter;

use thiserror::Error;

use crate::stretch::Stretch;
use limiter::Limiter;

/// Samples a second of every source and of the mix.
pub const SAMPLE_RATE: u32 = 48_000;

/// Left and right, in turn.
pub const CHANNELS: usize = 2;

/// Samples per channel in one pull: 43 ms.
pub const BLOCK_FRAMES: usize = 2048;

/// Where sound comes from. Positions count samples per channel at 48 kHz from source time 0.
pub trait AudioSource: Send {
    /// Fills `out` (left and right in turn) with what the source has from `start_frame` on; silence before its start and
    /// behind its end. Calls go forward: each begins where the one before it ended, the first anywhere at or above 0.
    ///
    /// # Errors
    /// Where the source cannot be read; the mix is then given up.
    fn read(&mut self, start_frame: i64, out: &mut [f32]) -> Result<(), SourceError>;
}

/// Why a source could not be read.
pub type SourceError = Box<dyn std::error::Error + Send + Sync>;

/// One element's sound. Positions and lengths count samples per channel.
pub struct MixTrack {
    /// Where in the film it starts.
    pub start: u64,
    /// How long it lasts in the film, wherever the film ends. A fade-out ends there, and there is silence after it.
    pub length: u64,
    /// How long it is heard, which may be longer or shorter. While it crosses out, what its source has beyond `length`
    /// goes on.
    pub lasts: u64,
    /// Where in the source it begins.
    pub in_point: u64,
    /// Source seconds in a second of film, 0.25–4; pitch is kept.
    pub speed: f64,
    /// Linear amplitude; 1 leaves the source as it is.
    pub volume: f32,
    /// Rises linearly in amplitude over this long from the start.
    pub fade_in: u64,
    /// Falls linearly in amplitude over this long to the end. Where fades meet they multiply.
    pub fade_out: u64,
    /// Rises as the sine of a quarter turn over this long from the start.
    pub cross_in: u64,
    /// Falls as the cosine of a quarter turn over this long to `lasts`: two tracks that cross so sum to equal power.
    pub cross_out: u64,
    /// Read from `in_point` on, when the mix gets there.
    pub source: Box<dyn AudioSource>,
}

impl std::fmt::Debug for MixTrack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let MixTrack { start, length, .. } = self;
        f.debug_struct("MixTrack").field("start", start).field("length", length).finish_non_exhaustive()
    }
}

/// Why there is no mix.
#[derive(Debug, Error)]
#[error("mix track {track} at {frame} samples")]
pub struct MixError {
    /// Its index in the list that the mixer was made of.
    pub track: usize,
    /// Where in the film, samples per channel.
    pub frame: u64,
    /// What its source said.
    #[source]
    pub source: SourceError,
}

/// Mixes a film from its first sample to its last.
#[derive(Debug)]
pub struct Mixer {
    /// Emptied when a track has been heard to its end, which frees its source.
    tracks: Vec<Option<Track>>,
    length: u64,
    /// How far the sum has come; the limiter lags behind.
    position: u64,
    limiter: Option<Limiter>,
    block: Vec<f32>,
    scratch: Vec<f32>,
}

impl Mixer {
    /// A mix of `length` samples per channel. Tracks that reach beyond it are cut there.
    #[must_use]
    pub fn new(tracks: Vec<MixTrack>, length: u64) -> Mixer {
        let tracks = tracks.into_iter().map(|track| Some(Track::new(track))).collect();
        let limiter = Some(Limiter::new());
        Mixer { tracks, length, position: 0, limiter, block: Vec::new(), scratch: Vec::new() }
    }

    /// The next samples of the mix, left and right in turn: some at every call, `None` behind the last.
    ///
    /// # Errors
    /// Where a source cannot be read.
    pub fn next_block(&mut self) -> Result<Option<&[f32]>, MixError> {
        self.block.clear();
        while self.block.is_empty() {
            if self.position < self.length {
                let frames = (self.length - self.position).min(BLOCK_FRAMES as u64) as usize;
                let mut sum = vec![0.0; frames * CHANNELS];
                self.add_tracks(&mut sum)?;
                self.position += frames as u64;
                if let Some(limiter) = &mut self.limiter {
                    limiter.process(&sum, &mut self.block);
                }
            } else {
                match self.limiter.take() {
                    Some(limiter) => limiter.finish(&mut self.block),
                    None => return Ok(None),
                }
            }
        }
        Ok(Some(&self.block))
    }

    fn add_tracks(&mut self, sum: &mut [f32]) -> Result<(), MixError> {
        let here = self.position..self.position + (sum.len() / CHANNELS) as u64;
        for (index, slot) in self.tracks.iter_mut().enumerate() {
            let Some(track) = slot else { continue };
            let heard = here.start.max(track.start)..here.end.min(track.end);
            if heard.start < heard.end {
                self.scratch.resize((heard.end - heard.start) as usize * CHANNELS, 0.0);
                let read = track.read(heard.start - track.start, &mut self.scratch);
                read.map_err(|source| MixError { track: index, frame: heard.start, source })?;
                let offset = (heard.start - here.start) as usize * CHANNELS;
                for (sum, sample) in sum[offset..].iter_mut().zip(&self.scratch) {
                    *sum += sample;
                }
            }
            if track.end <= here.end {
                *slot = None;
            }
        }
        Ok(())
    }
}

/// A track while it is heard.
#[derive(Debug)]
struct Track {
    start: u64,
    end: u64,
    length: u64,
    volume: f32,
    fade_in: u64,
    fade_out: u64,
    cross_in: u64,
    cross_out: u64,
    feed: Feed,
}

impl Track {
    fn new(track: MixTrack) -> Track {
        let in_point = i64::try_from(track.in_point).unwrap_or(i64::MAX);
        let feed = if track.speed == 1.0 {
            Feed::Direct { source: track.source, in_point }
        } else {
            Feed::Stretched(Box::new(Stretch::new(track.source, in_point, track.speed)))
        };
        let MixTrack { start, length, lasts, volume, fade_in, fade_out, cross_in, cross_out, .. } = track;
        let end = start.saturating_add(lasts);
        Track { start, end, length, volume, fade_in, fade_out, cross_in, cross_out, feed }
    }

    /// What is heard of it from `from` samples behind its start on.
    fn read(&mut self, from: u64, out: &mut [f32]) -> Result<(), SourceError> {
        match &mut self.feed {
            Feed::Direct { source, in_point } => source.read(*in_point + from as i64, out)?,
            Feed::Stretched(stretch) => stretch.read(out)?,
        }
        let lasts = self.end - self.start;
        let (frames, _) = out.as_chunks_mut::<CHANNELS>();
        for (at, frame) in (from..).zip(frames) {
            let mut gain = self.volume;
            if at < self.fade_in {
                gain *= share(at, self.fade_in);
            }
            let left = self.length.saturating_sub(at);
            if left < self.fade_out {
                gain *= share(left, self.fade_out);
            }
            if left == 0 && lasts - at > self.cross_out {
                gain = 0.0;
            }
            if at < self.cross_in {
                gain *= quarter_turn(at, self.cross_in);
            }
            if lasts - at < self.cross_out {
                gain *= quarter_turn(lasts - at, self.cross_out);
            }
            *frame = frame.map(|sample| sample * gain);
        }
        Ok(())
    }
}

fn share(part: u64, whole: u64) -> f32 {
    (part as f64 / whole as f64) as f32
}

/// The sine of a part of a quarter turn.
fn quarter_turn(part: u64, whole: u64) -> f32 {
    libm::sin(part as f64 / whole as f64 * std::f64::consts::FRAC_PI_2) as f32
}

/// How a track gets at its source.
enum Feed {
    Direct { source: Box<dyn AudioSource>, in_point: i64 },
    Stretched(Box<Stretch>),
}

impl std::fmt::Debug for Feed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Feed::Direct { .. } => "Direct",
            Feed::Stretched(_) => "Stretched",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Source sample n is (n + 1)/8192 on the left and its negative on the right; silence from `end` on.
    struct Ramp {
        end: i64,
        next: Option<i64>,
    }

    impl AudioSource for Ramp {
        fn read(&mut self, start_frame: i64, out: &mut [f32]) -> Result<(), SourceError> {
            assert!(
                self.next.is_none_or(|next| next == start_frame),
                "sources are read forward without gaps"
            );
            self.next = Some(start_frame + (out.len() / CHANNELS) as i64);
            for (n, frame) in (start_frame..).zip(out.as_chunks_mut::<CHANNELS>().0) {
                let sample = if n < self.end { (n + 1) as f32 / 8192.0 } else { 0.0 };
                *frame = [sample, -sample];
            }
            Ok(())
        }
    }

    fn track(start: u64, length: u64) -> MixTrack {
        let source = Box::new(Ramp { end: i64::MAX, next: None });
        let (fade_in, fade_out, cross_in, cross_out) = (0, 0, 0, 0);
        let lasts = length;
        let (in_point, speed, volume) = (0, 1.0, 1.0);
        MixTrack {
            start,
            length,
            lasts,
            in_point,
            speed,
            volume,
            fade_in,
            fade_out,
            cross_in,
            cross_out,
            source,
        }
    }

    fn left(tracks: Vec<MixTrack>, length: u64) -> Vec<f32> {
        let mut mixer = Mixer::new(tracks, length);
        let mut mix = Vec::new();
        while let Some(block) = mixer.next_block().expect("a block") {
            mix.extend_from_slice(block);
        }
        mix.as_chunks::<CHANNELS>().0.iter().map(|frame| frame[0]).collect()
    }

    #[test]
    fn tracks_are_summed_at_their_samples() {
        let mut second = track(2, 4);
        second.in_point = 10;
        second.volume = 0.5;
        let mix: Vec<f32> = left(vec![track(0, 4), second], 8).iter().map(|sample| sample * 8192.0).collect();
        assert_eq!(
            mix,
            [1.0, 2.0, 3.0 + 5.5, 4.0 + 6.0, 6.5, 7.0, 0.0, 0.0],
            "start, length, in point and volume"
        );
    }

    #[test]
    fn fades_are_linear_in_amplitude_and_end_with_the_element() {
        struct Ones;
        impl AudioSource for Ones {
            fn read(&mut self, _: i64, out: &mut [f32]) -> Result<(), SourceError> {
                out.fill(0.5);
                Ok(())
            }
        }
        let faded = |length, fade_in, fade_out| {
            let source = Box::new(Ones);
            let track = MixTrack { fade_in, fade_out, source, ..track(1, length) };
            left(vec![track], 9).iter().map(|sample| sample * 2.0).collect::<Vec<f32>>()
        };
        assert_eq!(
            faded(8, 4, 0),
            [0.0, 0.0, 0.25, 0.5, 0.75, 1.0, 1.0, 1.0, 1.0],
            "from silence at the start"
        );
        assert_eq!(faded(8, 0, 4), [0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.75, 0.5, 0.25], "to silence at the end");
        assert_eq!(faded(12, 0, 8)[7..], [0.75, 0.625], "also an end that lies behind the film's");
        assert_eq!(faded(4, 4, 4)[1..5], [0.0, 0.1875, 0.25, 0.1875], "fades that meet multiply");
    }

    #[test]
    fn two_tracks_cross_at_equal_power() {
        struct Level(f32);
        impl AudioSource for Level {
            fn read(&mut self, _: i64, out: &mut [f32]) -> Result<(), SourceError> {
                out.fill(self.0);
                Ok(())
            }
        }
        let (start, length) = (1000, 4800);
        let crossing = |level: f32, entering: bool| {
            let (cross_in, cross_out) = if entering { (length, 0) } else { (0, length) };
            // The one that is left has ended before: what its source has beyond goes on.
            let track = if entering {
                track(start, 10_000)
            } else {
                MixTrack { lasts: start + length, ..track(0, 900) }
            };
            left(vec![MixTrack { cross_in, cross_out, source: Box::new(Level(level)), ..track }], 8000)
        };
        let (leaving, entering) = (crossing(0.5, false), crossing(0.5, true));
        for at in start..start + length {
            let [out, into] = [&leaving, &entering].map(|track| f64::from(track[at as usize]));
            let power = out * out + into * into;
            assert!((power - 0.25).abs() < 1e-6, "the power at sample {at} is {power}");
        }
        assert_eq!((leaving[899], entering[899]), (0.5, 0.0), "before, only the one");
        assert_eq!(leaving[900..1000], [0.0; 100], "and between its end and the crossing neither");
        assert_eq!((leaving[5800], entering[5800]), (0.0, 0.5), "after, only the other");
        let middle = leaving[1000 + 2400];
        assert!(
            (middle - 0.5 * std::f32::consts::FRAC_1_SQRT_2).abs() < 1e-6,
            "3 dB less in the middle: {middle}"
        );
    }

    #[test]
    fn what_has_faded_out_stays_silent_however_long_it_lasts() {
        let source = Box::new(Ramp { end: i64::MAX, next: None });
        let mix = left(vec![MixTrack { lasts: 8, fade_out: 2, source, ..track(0, 4) }], 8);
        assert_eq!(mix[3] * 8192.0, 2.0, "half of the fourth sample");
        assert_eq!(mix[4..], [0.0; 4], "and nothing after the end");
    }

    #[test]
    fn a_long_mix_is_whole_over_all_blocks() {
        let source = Box::new(Ramp { end: 6000, next: None });
        let mix = left(vec![MixTrack { source, ..track(100, 20_000) }], 10_001);
        assert_eq!(mix.len(), 10_001, "exactly the film's length");
        let wrong = mix.iter().enumerate().find(|&(n, &sample)| {
            sample != if (100..6100).contains(&n) { (n - 99) as f32 / 8192.0 } else { 0.0 }
        });
        assert_eq!(wrong, None, "every sample is in its place");
    }

    #[test]
    fn a_failing_source_is_named() {
        struct Broken;
        impl AudioSource for Broken {
            fn read(&mut self, _: i64, _: &mut [f32]) -> Result<(), SourceError> {
                Err("gone".into())
            }
        }
        let mut mixer =
            Mixer::new(vec![track(0, 9), MixTrack { source: Box::new(Broken), ..track(3000, 9) }], 9000);
        let error = loop {
            match mixer.next_block() {
                Ok(block) => assert!(block.is_some(), "the mix ended although a source failed"),
                Err(error) => break error,
            }
        };
        assert_eq!((error.track, error.frame), (1, 3000), "which, and where in the film");
    }

    #[test]
    fn a_source_is_dropped_when_it_was_heard() {
        let mut mixer = Mixer::new(vec![track(0, 100)], 100_000);
        mixer.next_block().expect("a block");
        assert!(mixer.tracks[0].is_none(), "a long film may have many sources, but few at a time");
    }
}
