//! Sound of one source as stereo at 48 kHz, placed on source time to the sample.

use std::collections::VecDeque;
use std::time::Duration;

use super::protocol::{CHANNELS, Reply, Request, SAMPLE_RATE};
use super::session::Session;
use super::{AudioTrack, DecodeError};

/// Stereo samples per slot: a third of a second, so that a film of two hours takes a few ten thousand messages.
const SLOT_SAMPLES: u32 = 16_384;
/// Requests in flight at most.
const AHEAD: usize = 2;
const SLOTS: usize = AHEAD + 1;
const BYTES_PER_SAMPLE: usize = CHANNELS * size_of::<f32>();
/// Slots and bytes per slot.
pub(super) const RING_SHAPE: (usize, usize) = (SLOTS, SLOT_SAMPLES as usize * BYTES_PER_SAMPLE);
/// A jump forward of up to this many samples is read through rather than sought: two seconds.
const READ_THROUGH: i64 = 2 * SAMPLE_RATE as i64;

/// Reads the sound of one source in a worker of its own. Dropping it ends the worker.
///
/// Sample number s is the one at source time s / 48 000 s. Where the source has no sound before its end, there is
/// silence.
#[derive(Debug)]
pub struct AudioReader {
    session: Session,
    stream: u32,
    origin: i64,
    answer_within: Duration,
    /// Decoded and not yet read, interleaved; the first is sample `position`.
    ready: VecDeque<f32>,
    position: i64,
    in_flight: VecDeque<u32>,
    next_slot: u32,
    is_open: bool,
    has_ended: bool,
    bytes: Vec<u8>,
}

impl AudioReader {
    pub(super) fn new(session: Session, track: &AudioTrack, answer_within: Duration) -> AudioReader {
        AudioReader {
            session,
            stream: track.stream,
            origin: track.origin.0,
            answer_within,
            ready: VecDeque::new(),
            position: 0,
            in_flight: VecDeque::new(),
            next_slot: 0,
            is_open: false,
            has_ended: false,
            bytes: Vec::new(),
        }
    }

    /// `count` stereo samples from sample `start` on, interleaved left, right; fewer only where the source ends.
    /// Reading on from where the last read ended is what is fast; other starts seek.
    ///
    /// # Errors
    /// All of [`DecodeError`]'s; afterwards this reader is of no use, and a new one starts afresh.
    pub fn read(&mut self, start: i64, count: usize) -> Result<Vec<f32>, DecodeError> {
        let ahead = start.saturating_sub(self.position);
        if !self.is_open || !(0..=READ_THROUGH).contains(&ahead) {
            self.restart(start)?;
        }
        let skip = usize::try_from(start - self.position).unwrap_or(0);
        let wanted = (skip + count).saturating_mul(CHANNELS);
        while self.ready.len() < wanted && !self.has_ended {
            self.run_ahead()?;
            self.receive()?;
        }
        // The worker goes on decoding while the caller mixes.
        self.run_ahead()?;
        let skipped = self.ready.len().min(skip * CHANNELS);
        self.ready.drain(..skipped);
        let taken = self.ready.len().min(count.saturating_mul(CHANNELS));
        self.position = self.position.saturating_add(((skipped + taken) / CHANNELS) as i64);
        Ok(self.ready.drain(..taken).collect())
    }

    /// Process id of the worker.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.session.pid()
    }

    fn restart(&mut self, start: i64) -> Result<(), DecodeError> {
        while !self.in_flight.is_empty() {
            self.receive()?;
        }
        self.ready.clear();
        self.has_ended = false;
        self.position = start;
        self.is_open = true;
        self.session.send(&Request::OpenAudio { stream: self.stream, origin: self.origin, start })
    }

    fn run_ahead(&mut self) -> Result<(), DecodeError> {
        while self.in_flight.len() < AHEAD && !self.has_ended {
            let slot = self.next_slot;
            self.next_slot = (slot + 1) % SLOTS as u32;
            self.session.send(&Request::Samples { slot, count: SLOT_SAMPLES })?;
            self.in_flight.push_back(slot);
        }
        Ok(())
    }

    fn receive(&mut self) -> Result<(), DecodeError> {
        let expected = self.in_flight.pop_front();
        let reply = self.session.receive(self.answer_within)?;
        let Reply::Samples { slot, count } = reply else { return Err(self.session.unexpected(&reply)) };
        if Some(slot) != expected || count > SLOT_SAMPLES {
            return Err(self.session.unexpected(&reply));
        }
        self.has_ended |= count < SLOT_SAMPLES;
        self.bytes.resize(count as usize * BYTES_PER_SAMPLE, 0);
        self.session.ring().read(slot as usize, &mut self.bytes);
        let samples = self.bytes.chunks_exact(size_of::<f32>()).map(|bytes| {
            let sample = f32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
            // One sample that is no number would silence everything it is mixed with.
            if sample.is_finite() { sample } else { 0.0 }
        });
        self.ready.extend(samples);
        Ok(())
    }
}
