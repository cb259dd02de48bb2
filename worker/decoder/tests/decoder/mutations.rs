//! Hundreds of files damaged by a seeded hand: whatever is done to a file, the answer is its picture or a named error, and
//! never a decoder that hangs, dies, or takes the next one with it.

use std::fs;
use std::path::PathBuf;

use media::decoder::{DecodeError, DecoderHost, Probe};

use crate::clips::{PICTURE, clip, file_of, host};

/// How often each file is damaged.
const TIMES: u64 = 40;

fn victims() -> Vec<PathBuf> {
    let moving = |name: &str, encoder: &str| {
        clip(name, &format!("-f lavfi -i {PICTURE} -f lavfi -i sine=440 -t 1 {encoder}"))
    };
    vec![
        moving("m.mp4", "-c:v libx264 -g 10 -bf 2 -pix_fmt yuv420p -c:a aac -movflags +faststart"),
        moving("m.mkv", "-c:v libx264 -g 10 -pix_fmt yuv420p -c:a libvorbis"),
        moving("m.webm", "-c:v libvpx -b:v 300k -g 10 -c:a libopus"),
        moving("m.mov", "-c:v mjpeg -q:v 6 -pix_fmt yuvj420p -c:a pcm_s16le"),
        clip("m.wav", "-f lavfi -i sine=440 -t 1"),
        clip("m.mp3", "-f lavfi -i sine=440 -t 1 -c:a libmp3lame"),
        clip("m.png", &format!("-f lavfi -i {PICTURE} -frames:v 1")),
        clip("m.jpg", &format!("-f lavfi -i {PICTURE} -frames:v 1")),
        clip("m.webp", &format!("-f lavfi -i {PICTURE} -frames:v 1 -c:v libwebp")),
    ]
}

/// A generator with the period of 2⁶⁴ (Steele, Lea, Flood 2014: SplitMix).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }
}

/// Flips bytes, cuts the end, takes a piece out, doubles one, or writes a number that no length should be.
fn damage(bytes: &mut Vec<u8>, random: &mut Random) {
    // Headers are where damage does most: half of it is done there.
    let area = if random.next().is_multiple_of(2) { bytes.len().min(600) } else { bytes.len() };
    let at = random.below(area);
    let piece = at..(at + 1 + random.below(200)).min(bytes.len());
    match random.next() % 6 {
        0 => bytes.truncate(at),
        1 => drop(bytes.drain(piece)),
        2 => {
            let doubled = bytes[piece.clone()].to_vec();
            drop(bytes.splice(at..at, doubled));
        }
        3 => bytes.iter_mut().skip(at).take(4).for_each(|byte| *byte = 0xff),
        4 => bytes.iter_mut().skip(at).take(4).for_each(|byte| *byte = 0),
        _ => (0..8).for_each(|_| {
            let at = random.below(area.min(bytes.len()));
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << (random.next() % 8);
            }
        }),
    }
}

/// Uses a file as a worker would.
fn use_it(host: &DecoderHost, bytes: &[u8]) -> Result<(), DecodeError> {
    let file = file_of(bytes);
    match host.probe(&file)? {
        Probe::Still { .. } => host.decode_still(&file).map(drop),
        Probe::Media { video, audio, .. } => {
            if let Some(track) = video {
                let mut reader = host.open_video(&file, &track)?;
                let last = track.index.len() - 1;
                [0, last / 2, last].iter().try_for_each(|n| reader.frame(*n).map(drop))?;
            }
            if let Some(track) = audio {
                let mut reader = host.open_audio(&file, &track)?;
                reader.read(0, 48_000)?;
            }
            Ok(())
        }
    }
}

#[test]
fn a_damaged_file_is_shown_or_refused_by_name() {
    let host = host();
    let (mut shown, mut refused) = (0, 0);
    for victim in victims() {
        let whole = fs::read(&victim).unwrap();
        use_it(&host, &whole).unwrap();
        for seed in 0..TIMES {
            let mut random = Random(seed);
            let mut bytes = whole.clone();
            for _ in 0..=random.below(3) {
                damage(&mut bytes, &mut random);
            }
            match use_it(&host, &bytes) {
                Ok(()) => shown += 1,
                Err(
                    DecodeError::UnsupportedMedia(_)
                    | DecodeError::CorruptMedia(_)
                    | DecodeError::TooLarge(_),
                ) => refused += 1,
                Err(other) => panic!("{} damaged by seed {seed}: {other:?}", victim.display()),
            }
        }
        use_it(&host, &whole).unwrap();
    }
    assert!(shown > 60 && refused > 60, "{shown} are shown, {refused} refused: is anything damaged?");
}
