//! Where key frames lie in a part.

/// Whether frame `index` of a part of `frames` frames is a key frame, where key frames are at most `interval` frames
/// apart.
///
/// The part is divided evenly rather than filled from the left: a short last group would cost a whole key frame for a
/// handful of pictures. Intervals below 2 count as 2, because two parts both begin with `idr_pic_id` 0 and adjacent
/// key frames must differ in it (H.264 7.4.3): a part of two frames or more therefore never ends on a key frame.
#[must_use]
pub fn is_key(index: u32, frames: u32, interval: u32) -> bool {
    let (index, frames) = (u64::from(index), u64::from(frames));
    let groups = frames.div_ceil(u64::from(interval.max(2))).max(1);
    // Group g begins at ⌊g·frames/groups⌋; the group whose beginning is the first at or after `index`:
    let group = (index * groups).div_ceil(frames.max(1));
    group < groups && group * frames / groups == index
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(frames: u32, interval: u32) -> Vec<u32> {
        (0..frames).filter(|&index| is_key(index, frames, interval)).collect()
    }

    #[test]
    fn key_frames_divide_a_part_evenly() {
        assert_eq!(keys(120, 60), [0, 60], "two groups of two seconds");
        assert_eq!(keys(150, 60), [0, 50, 100], "three equal groups, none longer than asked for");
        assert_eq!(keys(120, 500), [0], "a part always begins with a key frame");
        assert_eq!(keys(1, 60), [0], "also a part of one frame");
    }

    #[test]
    fn no_part_ends_on_a_key_frame_and_no_group_is_too_long() {
        for frames in 2..200 {
            for interval in 1..70 {
                let keys = keys(frames, interval);
                assert_eq!(keys.first(), Some(&0), "{frames} frames by {interval} begin with a key frame");
                assert_ne!(
                    keys.last(),
                    Some(&(frames - 1)),
                    "{frames} frames by {interval} end on a key frame"
                );
                let ends = keys.iter().copied().skip(1).chain([frames]);
                let longest = keys.iter().zip(ends).map(|(start, end)| end - start).max();
                assert!(
                    longest <= Some(interval.max(2)),
                    "{frames} frames by {interval} have a group too long"
                );
            }
        }
    }
}
