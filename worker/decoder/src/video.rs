//! The frames of one stream, each found by its presentation timestamp.
//!
//! The service owns the table of frames and says where to start and what to deliver; this module decodes on until
//! that frame comes out. It checks what the demuxer's seek really found, and starts earlier when it overshot.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::os::fd::BorrowedFd;

use ffmpeg_next as ffmpeg;
use ffmpeg_next::codec::decoder::Opened;

use crate::audio::{Received, next_frame, send, send_end};
use crate::codec;
use crate::fault::Faulted;
use crate::input::Input;
use crate::picture::Converter;
use crate::protocol::Anchor;

/// Reads one video stream.
pub(crate) struct VideoStream {
    pub(crate) width: u32,
    pub(crate) height: u32,
    file: BorrowedFd<'static>,
    stream: usize,
    input: Input,
    decoder: Opened,
    converter: Converter,
    packet: ffmpeg::Packet,
    /// For streams whose packets have decoding times only: those of the packets that went in and are not out yet.
    /// Sorted they are the presentation times, so the smallest belongs to the frame that comes out next.
    counted: Option<BinaryHeap<Reverse<i64>>>,
    /// Where decoding may start, the best last; used up until one works.
    anchors: Vec<Anchor>,
    /// Whether decoding began after a seek, so that there is an earlier place to start from.
    is_sought: bool,
    /// The last frame that came out, and its timestamp.
    current: Option<i64>,
    frame: ffmpeg::frame::Video,
    /// The frame after it, where that had to be decoded to know that the wanted one is missing.
    ahead: Option<i64>,
    ahead_frame: ffmpeg::frame::Video,
}

impl VideoStream {
    pub(crate) fn open(
        file: BorrowedFd<'static>,
        stream: usize,
        (width, height): (u32, u32),
        is_counted: bool,
    ) -> Result<VideoStream, Faulted> {
        let (input, decoder) = open(file, stream, width, height)?;
        Ok(VideoStream {
            width,
            height,
            file,
            stream,
            input,
            decoder,
            converter: Converter::default(),
            packet: ffmpeg::Packet::empty(),
            counted: is_counted.then(BinaryHeap::new),
            anchors: Vec::new(),
            is_sought: false,
            current: None,
            frame: ffmpeg::frame::Video::empty(),
            ahead: None,
            ahead_frame: ffmpeg::frame::Video::empty(),
        })
    }

    /// Continue from the first of these that works, else from the start.
    pub(crate) fn seek(&mut self, mut anchors: Vec<Anchor>) -> Result<(), Faulted> {
        anchors.reverse();
        self.anchors = anchors;
        self.start_earlier()
    }

    /// Writes the frame with this timestamp as I420 and returns its timestamp. Where that frame cannot be decoded it
    /// is the one before it, or, at the very start, the one after.
    pub(crate) fn write_frame(&mut self, timestamp: i64, into: &mut [u8]) -> Result<i64, Faulted> {
        loop {
            // Before a file's first picture that can be decoded there is only that one to show.
            let is_first = !self.is_sought && self.current.is_some_and(|current| current > timestamp);
            if self.current == Some(timestamp) || is_first {
                break;
            }
            if self.ahead.is_some_and(|ahead| ahead <= timestamp) {
                self.advance();
                continue;
            }
            if self.ahead.is_some() {
                // The wanted one is missing between `current` and `ahead`.
                if self.current.is_some_and(|current| current < timestamp) {
                    break;
                }
                // Nothing before it came out since the last seek: the key was none, or was after it.
                if self.is_sought {
                    self.start_earlier()?;
                    continue;
                }
                self.advance();
                break;
            }
            if !self.decode()? {
                break;
            }
        }
        let Some(delivered) = self.current else {
            if self.is_sought {
                self.start_earlier()?;
                return self.write_frame(timestamp, into);
            }
            return Err(Faulted::corrupt("none of its pictures can be decoded"));
        };
        self.converter.write_i420(&self.frame, (self.width, self.height), into)?;
        Ok(delivered)
    }

    fn advance(&mut self) {
        std::mem::swap(&mut self.frame, &mut self.ahead_frame);
        self.current = self.ahead.take();
    }

    /// Decodes the next frame into `ahead`; false at the end.
    fn decode(&mut self) -> Result<bool, Faulted> {
        loop {
            match next_frame(&mut self.decoder, &mut self.ahead_frame)? {
                Received::Frame => {
                    let timestamp = match &mut self.counted {
                        Some(times) => times.pop().map(|Reverse(time)| time),
                        None => self.ahead_frame.timestamp(),
                    };
                    if timestamp.is_some() {
                        self.ahead = timestamp;
                        return Ok(true);
                    }
                }
                Received::Hungry => self.feed()?,
                Received::End => return Ok(false),
            }
        }
    }

    fn feed(&mut self) -> Result<(), Faulted> {
        match self.input.read(&mut self.packet) {
            Ok(Some(())) if self.packet.stream() != self.stream => Ok(()),
            Ok(Some(())) => {
                if let Some(times) = &mut self.counted {
                    times.extend(self.packet.pts().or(self.packet.dts()).map(Reverse));
                }
                send(&mut self.decoder, &self.packet)
            }
            Ok(None) => send_end(&mut self.decoder),
            Err(error) => Err(Faulted::ffmpeg(error, "reading its pictures")),
        }
    }

    /// Starts from the next anchor that the demuxer really finds, else from the start.
    fn start_earlier(&mut self) -> Result<(), Faulted> {
        while let Some(anchor) = self.anchors.pop() {
            for timestamp in [anchor.pts, anchor.dts] {
                if self.input.seek(self.stream, timestamp) && self.first_packet_is_key(anchor.pts)? {
                    self.forget();
                    self.is_sought = true;
                    return send(&mut self.decoder, &self.packet);
                }
            }
        }
        (self.input, self.decoder) = open(self.file, self.stream, self.width, self.height)?;
        self.forget();
        self.is_sought = false;
        Ok(())
    }

    /// Whether the demuxer stands at a packet from which everything from `pts` on can be decoded; reads it.
    fn first_packet_is_key(&mut self, pts: i64) -> Result<bool, Faulted> {
        loop {
            match self.input.read(&mut self.packet) {
                Ok(Some(())) if self.packet.stream() != self.stream => {}
                Ok(Some(())) => {
                    let at = self.packet.pts().or(self.packet.dts());
                    return Ok(self.packet.is_key() && at.is_some_and(|at| at <= pts));
                }
                Ok(None) => return Ok(false),
                Err(error) => return Err(Faulted::ffmpeg(error, "reading its pictures")),
            }
        }
    }

    fn forget(&mut self) {
        self.decoder.flush();
        self.current = None;
        self.ahead = None;
        if let Some(times) = &mut self.counted {
            times.clear();
        }
    }
}

fn open(
    file: BorrowedFd<'static>,
    stream: usize,
    width: u32,
    height: u32,
) -> Result<(Input, Opened), Faulted> {
    let mut input = Input::open(file)?;
    input.find_parameters_of(stream)?;
    input.keep_only(&[stream]);
    // A stream may change its size on the way; it is then scaled, but not to be abused for larger pictures. Coded
    // sizes are multiples of up to 128.
    let (width, height) = (i64::from(width).max(1920), i64::from(height).max(1088));
    let decoder = codec::open(&input, stream, (width + 128) * (height + 128))?;
    Ok((input, decoder))
}
