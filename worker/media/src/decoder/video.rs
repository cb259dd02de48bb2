//! Frames of one video, by number.
//!
//! Requests run ahead of the caller, so that the worker decodes while the caller composites: by the caller's own
//! [`VideoReader::schedule`], which wastes nothing, or, without one, one frame after another once the caller reads
//! that way.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::protocol::{Reply, Request};
use super::session::Session;
use super::{DecodeError, PacketIndex, VideoTrack};
use crate::frame::{ColorInfo, FramePool, PlanarFrame};

/// Slots of the ring: those in flight, and one being read.
const SLOTS: usize = AHEAD + 1;
/// Requests in flight at most, the one waited for included.
const AHEAD: usize = 3;
/// A key frame that lies this many frames or more ahead of the decoder is worth a seek; a nearer one is reached as
/// fast by decoding on, which keeps the decoder's pipeline full.
const SEEK_AHEAD: usize = 8;
/// Random-access points to try for one frame before starting from the file's beginning.
const ANCHORS: usize = 3;
/// So many frames in a row may fail to decode and be bridged by the one before them; more, and samples that the
/// file promises are missing.
const BRIDGED: usize = 12;

/// Reads frames of one video in a worker of its own. Dropping it ends the worker.
#[derive(Debug)]
pub struct VideoReader {
    session: Session,
    index: PacketIndex,
    size: (u32, u32),
    color: ColorInfo,
    pool: FramePool,
    answer_within: Duration,
    /// Delivered last, for being asked again.
    current: Option<(usize, Arc<PlanarFrame>)>,
    /// Requested and not yet received, in order, with their slots.
    in_flight: VecDeque<(usize, u32)>,
    /// The frame requested last: where the worker will stand.
    position: Option<usize>,
    next_slot: u32,
    upcoming: Upcoming,
}

/// What the caller will want next.
#[derive(Debug)]
enum Upcoming {
    /// It has said so.
    Scheduled(VecDeque<usize>),
    /// It has not.
    Unknown,
}

/// Slots and bytes per slot for frames of this video, slots beginning on pages of their own.
pub(super) fn ring_shape(track: &VideoTrack) -> (usize, usize) {
    (SLOTS, PlanarFrame::byte_len(track.width, track.height).next_multiple_of(4096))
}

impl VideoReader {
    pub(super) fn new(
        mut session: Session,
        track: &VideoTrack,
        answer_within: Duration,
    ) -> Result<VideoReader, DecodeError> {
        let (width, height) = (track.width, track.height);
        let is_counted = track.index.is_counted();
        session.send(&Request::OpenVideo { stream: track.stream, width, height, is_counted })?;
        Ok(VideoReader {
            session,
            index: track.index.clone(),
            size: (width, height),
            color: track.color,
            pool: FramePool::default(),
            answer_within,
            current: None,
            in_flight: VecDeque::new(),
            position: None,
            next_slot: 0,
            upcoming: Upcoming::Unknown,
        })
    }

    /// The frames that will be asked for from now on, in order; repeats may be left in. The reader decodes ahead
    /// along this list and never past its end.
    pub fn schedule(&mut self, frames: impl IntoIterator<Item = usize>) {
        let mut list: VecDeque<usize> = VecDeque::new();
        for frame in frames {
            if list.back() != Some(&frame) {
                list.push_back(frame);
            }
        }
        self.upcoming = Upcoming::Scheduled(list);
    }

    /// Frame number `n`; past the end the last one. A frame that cannot be decoded is bridged by the one before it,
    /// as players do, for a few frames.
    ///
    /// # Errors
    /// All of [`DecodeError`]'s; afterwards this reader is of no use, and a new one starts afresh.
    pub fn frame(&mut self, n: usize) -> Result<Arc<PlanarFrame>, DecodeError> {
        let n = n.min(self.index.len() - 1);
        self.forget_up_to(n);
        if let Some((_, frame)) = self.current.as_ref().filter(|(number, _)| *number == n) {
            return Ok(Arc::clone(frame));
        }
        if !self.in_flight.iter().any(|(number, _)| *number == n) {
            self.drain_one_if_full()?;
            self.request(n)?;
        }
        self.run_ahead(n)?;
        while let Some((number, slot)) = self.in_flight.pop_front() {
            self.receive(slot, number)?;
            if number == n {
                let frame = self.copy_out(slot)?;
                self.current = Some((n, Arc::clone(&frame)));
                return Ok(frame);
            }
        }
        Err(DecodeError::HostFailure(format!("frame {n} was never requested").into()))
    }

    /// Process id of the worker.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.session.pid()
    }

    /// Takes `n` off the schedule. A caller that asks for something else has changed its mind.
    fn forget_up_to(&mut self, n: usize) {
        let is_known = self.in_flight.iter().any(|(number, _)| *number == n)
            || self.current.as_ref().is_some_and(|(number, _)| *number == n);
        if let Upcoming::Scheduled(list) = &mut self.upcoming {
            if list.front() == Some(&n) {
                list.pop_front();
            } else if !is_known {
                self.upcoming = Upcoming::Unknown;
            }
        }
    }

    /// Requests what comes after `n`, as far as there is room.
    fn run_ahead(&mut self, n: usize) -> Result<(), DecodeError> {
        let reads_in_order = self.current.as_ref().is_some_and(|(number, _)| number + 1 == n);
        while self.in_flight.len() < AHEAD {
            let next = match &mut self.upcoming {
                Upcoming::Scheduled(list) => list.pop_front(),
                Upcoming::Unknown if reads_in_order => self.position.map(|position| position + 1),
                Upcoming::Unknown => None,
            };
            match next.map(|next| next.min(self.index.len() - 1)) {
                Some(next) if self.position != Some(next) => self.request(next)?,
                Some(_) if matches!(self.upcoming, Upcoming::Scheduled(_)) => {}
                _ => break,
            }
        }
        Ok(())
    }

    /// Makes room for a request that nobody foresaw: what is in flight comes first in any case.
    fn drain_one_if_full(&mut self) -> Result<(), DecodeError> {
        while self.in_flight.len() >= AHEAD
            && let Some((number, slot)) = self.in_flight.pop_front()
        {
            self.receive(slot, number)?;
        }
        Ok(())
    }

    fn request(&mut self, n: usize) -> Result<(), DecodeError> {
        if self.must_seek(n) {
            self.session.send(&Request::Seek { anchors: self.index.anchors(n, ANCHORS) })?;
        }
        let slot = self.next_slot;
        self.next_slot = (slot + 1) % SLOTS as u32;
        self.session.send(&Request::Frame { slot, timestamp: self.index.timestamp(n) })?;
        self.in_flight.push_back((n, slot));
        self.position = Some(n);
        Ok(())
    }

    fn must_seek(&self, n: usize) -> bool {
        match self.position {
            // A fresh worker stands at the first packet already.
            None => !self.index.starts_at_the_beginning(n),
            Some(position) if n < position => true,
            Some(position) => self
                .index
                .anchors(n, 1)
                .first()
                .is_some_and(|anchor| self.index.number_of(anchor.pts) >= position + SEEK_AHEAD),
        }
    }

    fn receive(&mut self, slot: u32, number: usize) -> Result<(), DecodeError> {
        let reply = self.session.receive(self.answer_within)?;
        let Reply::Frame { slot: filled, timestamp } = reply else {
            return Err(self.session.unexpected(&reply));
        };
        if filled != slot {
            return Err(self.session.unexpected(&reply));
        }
        let got = self.index.number_of(timestamp);
        if got.abs_diff(number) > BRIDGED {
            let missing = got.abs_diff(number);
            let detail = format!("frame {number} and {missing} frames around it cannot be decoded");
            return Err(DecodeError::CorruptMedia(detail));
        }
        Ok(())
    }

    fn copy_out(&self, slot: u32) -> Result<Arc<PlanarFrame>, DecodeError> {
        let ring = self.session.ring();
        let frame = self.pool.frame(self.size, self.color, |bytes| {
            ring.read(slot as usize, bytes);
            Ok::<(), DecodeError>(())
        })?;
        Ok(Arc::new(frame))
    }
}
