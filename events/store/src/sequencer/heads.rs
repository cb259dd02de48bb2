//! A bounded memory of stream versions, so that an append to a stream in use reads nothing.

use std::collections::HashMap;

use events::{StreamId, StreamVersion};

/// Versions of the streams written to lately.
///
/// Two generations: when the young one is full it becomes the old one, and the old one is forgotten. A stream
/// is thus remembered for at least `capacity` other streams, and at most twice that many are held.
#[derive(Debug)]
pub(crate) struct StreamHeads {
    capacity: usize,
    young: HashMap<StreamId, StreamVersion>,
    old: HashMap<StreamId, StreamVersion>,
}

impl StreamHeads {
    /// Remembers nothing yet.
    pub(crate) fn new(capacity: usize) -> StreamHeads {
        StreamHeads { capacity, young: HashMap::new(), old: HashMap::new() }
    }

    /// The stream's version, where it is remembered.
    pub(crate) fn get(&self, stream: &StreamId) -> Option<StreamVersion> {
        self.young.get(stream).or_else(|| self.old.get(stream)).copied()
    }

    /// Remembers a version.
    pub(crate) fn put(&mut self, stream: StreamId, version: StreamVersion) {
        if self.young.len() >= self.capacity && !self.young.contains_key(&stream) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(stream, version);
    }

    /// Forgets everything: someone else may have written.
    pub(crate) fn clear(&mut self) {
        self.young.clear();
        self.old.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(name: u32) -> StreamId {
        StreamId::from_stored(name.to_string())
    }

    #[test]
    fn the_latest_version_is_remembered_and_memory_is_bounded() {
        let mut heads = StreamHeads::new(10);
        heads.put(stream(0), StreamVersion(1));
        for other in 1..10 {
            heads.put(stream(other), StreamVersion(1));
        }
        heads.put(stream(10), StreamVersion(1));
        heads.put(stream(0), StreamVersion(2));
        assert_eq!(heads.get(&stream(0)), Some(StreamVersion(2)), "the young generation wins");
        for other in 100..200 {
            heads.put(stream(other), StreamVersion(1));
        }
        assert_eq!(heads.get(&stream(0)), None, "long unused");
        assert!(heads.young.len() + heads.old.len() <= 20, "two generations at most");
    }
}
