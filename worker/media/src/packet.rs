//! One encoded picture or one encoded block of sound.

/// What an encoder hands out for one unit of input.
///
/// Time is not stored: pictures are in display order at a constant rate and sound blocks all have one length, so a
/// packet's place in its stream says when it is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// The sample as a file stores it: H.264 as NAL units behind 4-byte lengths, AAC as one raw data block.
    pub data: Box<[u8]>,
    /// Whether decoding may start here. Always true of sound.
    pub is_keyframe: bool,
}
