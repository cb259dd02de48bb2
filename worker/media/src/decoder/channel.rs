//! Messages over a `SOCK_SEQPACKET` socket pair, with or without descriptors.
//!
//! This file is compiled into the service and into the decoder executable. A message is JSON, cut into datagrams
//! of at most 32 KiB that begin with a mark: more to come, or last.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, IoSlice, IoSliceMut};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recv, recvmsg, send, sendmsg,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Bytes of a datagram without its mark; far below the kernel's default send buffer.
const PIECE: usize = 32 * 1024;
/// Longest message accepted: a frame table of millions of irregular frames stays below it.
const LONGEST: usize = 64 * 1024 * 1024;
/// First byte of a datagram that others follow.
const MORE: u8 = b'+';
/// First byte of a message's last datagram.
const LAST: u8 = b'.';
/// Descriptors one message can carry.
const MAX_DESCRIPTORS: usize = 4;

/// One end of a conversation.
#[derive(Debug)]
pub struct Channel {
    socket: OwnedFd,
    buffer: Vec<u8>,
}

/// Why no message came or went.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    /// The other end is gone.
    #[error("hear from the other process: it has closed its end")]
    Closed,
    /// Nothing came in time.
    #[error("hear from the other process in time")]
    TimedOut,
    /// It came, but it was no message of ours.
    #[error("understand the other process")]
    Malformed(#[source] serde_json::Error),
    /// It was longer than any message may be.
    #[error("accept a message of more than {LONGEST} bytes")]
    TooLong,
    /// The socket failed.
    #[error("use the socket")]
    Socket(#[source] io::Error),
}

impl Channel {
    /// Speaks over this socket.
    #[must_use]
    pub fn new(socket: OwnedFd) -> Channel {
        Channel { socket, buffer: vec![0; PIECE + 1] }
    }

    /// Sends one message.
    ///
    /// # Errors
    /// [`ChannelError::Closed`] when nobody listens any more.
    pub fn send<T: Serialize>(&mut self, message: &T) -> Result<(), ChannelError> {
        let json = serde_json::to_vec(message).map_err(ChannelError::Malformed)?;
        let mut pieces = json.chunks(PIECE).peekable();
        while let Some(piece) = pieces.next() {
            let datagram = &mut self.buffer[..=piece.len()];
            datagram[0] = if pieces.peek().is_some() { MORE } else { LAST };
            datagram[1..].copy_from_slice(piece);
            retry(|| send(&self.socket, datagram, SendFlags::NOSIGNAL))?;
        }
        Ok(())
    }

    /// Waits for the next message; without a timeout for as long as it takes.
    ///
    /// # Errors
    /// All of [`ChannelError`]'s.
    pub fn receive<T: DeserializeOwned>(&mut self, timeout: Option<Duration>) -> Result<T, ChannelError> {
        let mut earlier: Vec<u8> = Vec::new();
        loop {
            wait(self.socket.as_fd(), timeout)?;
            let length = retry(|| recv(&self.socket, &mut self.buffer[..], RecvFlags::empty()))?.0;
            let Some((mark, piece)) = self.buffer[..length].split_first() else {
                return Err(ChannelError::Closed);
            };
            if *mark == LAST && earlier.is_empty() {
                return serde_json::from_slice(piece).map_err(ChannelError::Malformed);
            }
            if earlier.len() + piece.len() > LONGEST {
                return Err(ChannelError::TooLong);
            }
            earlier.extend_from_slice(piece);
            if *mark == LAST {
                return serde_json::from_slice(&earlier).map_err(ChannelError::Malformed);
            }
        }
    }

    /// Sends one short message together with descriptors.
    ///
    /// # Errors
    /// As [`Channel::send`]; [`ChannelError::TooLong`] for a message of more than one datagram.
    pub fn send_with<T: Serialize>(
        &mut self,
        message: &T,
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<(), ChannelError> {
        let json = serde_json::to_vec(message).map_err(ChannelError::Malformed)?;
        if json.len() > PIECE || descriptors.len() > MAX_DESCRIPTORS {
            return Err(ChannelError::TooLong);
        }
        let parts = [IoSlice::new(&[LAST]), IoSlice::new(&json)];
        retry(|| {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
            let mut ancillary = SendAncillaryBuffer::new(&mut space);
            if !descriptors.is_empty() {
                ancillary.push(SendAncillaryMessage::ScmRights(descriptors));
            }
            sendmsg(&self.socket, &parts, &mut ancillary, SendFlags::NOSIGNAL)
        })?;
        Ok(())
    }

    /// Waits for a short message and the descriptors that come with it.
    ///
    /// # Errors
    /// As [`Channel::receive`].
    pub fn receive_with<T: DeserializeOwned>(
        &mut self,
        timeout: Option<Duration>,
    ) -> Result<(T, Vec<OwnedFd>), ChannelError> {
        wait(self.socket.as_fd(), timeout)?;
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut parts = [IoSliceMut::new(&mut self.buffer)];
        let received = retry(|| recvmsg(&self.socket, &mut parts, &mut ancillary, RecvFlags::CMSG_CLOEXEC))?;
        let descriptors = ancillary
            .drain()
            .filter_map(|message| match message {
                RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
                _ => None,
            })
            .flatten()
            .collect();
        let Some((_, json)) = self.buffer[..received.bytes].split_first() else {
            return Err(ChannelError::Closed);
        };
        Ok((serde_json::from_slice(json).map_err(ChannelError::Malformed)?, descriptors))
    }
}

/// Waits until the descriptor is readable or its other end is gone.
fn wait(descriptor: BorrowedFd<'_>, timeout: Option<Duration>) -> Result<(), ChannelError> {
    // Without a limit the receiving call itself waits: one system call less for the worker.
    let Some(timeout) = timeout else { return Ok(()) };
    let timeout = Timespec::try_from(timeout).unwrap_or(Timespec { tv_sec: i64::MAX, tv_nsec: 0 });
    let ready = retry(|| poll(&mut [PollFd::from_borrowed_fd(descriptor, PollFlags::IN)], Some(&timeout)))?;
    if ready == 0 { Err(ChannelError::TimedOut) } else { Ok(()) }
}

/// Repeats a call that a signal interrupted.
fn retry<T>(mut call: impl FnMut() -> rustix::io::Result<T>) -> Result<T, ChannelError> {
    loop {
        match call() {
            Ok(value) => return Ok(value),
            Err(Errno::INTR) => {}
            Err(Errno::PIPE | Errno::CONNRESET) => return Err(ChannelError::Closed),
            Err(errno) => return Err(ChannelError::Socket(errno.into())),
        }
    }
}
