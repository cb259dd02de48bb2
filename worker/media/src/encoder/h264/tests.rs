//! What comes out of the encoder, read by an independent decoder where pixels count.

use std::io::Write as _;
use std::process::{Command, Stdio};

use super::*;
use crate::picture::Plane;

const WIDTH: u32 = 320;
const HEIGHT: u32 = 180;

fn settings() -> VideoSettings {
    let frame_rate = FrameRate::new(30, 1).expect("a valid rate");
    VideoSettings { width: WIDTH, height: HEIGHT, frame_rate, max_bitrate: 4_000_000 }
}

/// A picture with a moving pattern and fixed grain, rows padded by 12 bytes.
struct Canvas {
    luma: Vec<u8>,
    chroma: Vec<u8>,
}

const LUMA_STRIDE: usize = WIDTH as usize + 12;
const CHROMA_STRIDE: usize = WIDTH as usize / 2 + 12;

impl Canvas {
    fn new(number: usize) -> Canvas {
        let luma = |at: usize| {
            let (x, y) = ((at % LUMA_STRIDE + 2 * number) as f64, (at / LUMA_STRIDE) as f64);
            let shape = 60.0 * libm::sin(x / 9.0) * libm::cos(y / 13.0) + 40.0 * libm::sin(x * y / 900.0);
            let grain = ((at * 7919 + number * 104_729) % 11) as f64 - 5.0;
            (125.0 + shape + grain) as u8
        };
        let chroma = |at: usize| (110 + (at % CHROMA_STRIDE + number) / 5 % 30) as u8;
        Canvas {
            luma: (0..LUMA_STRIDE * HEIGHT as usize).map(luma).collect(),
            chroma: (0..CHROMA_STRIDE * HEIGHT as usize / 2).map(chroma).collect(),
        }
    }

    fn picture(&self) -> I420<'_> {
        let chroma = Plane { bytes: &self.chroma, stride: CHROMA_STRIDE };
        I420::new(WIDTH, HEIGHT, [Plane { bytes: &self.luma, stride: LUMA_STRIDE }, chroma, chroma])
            .expect("a picture")
    }

    fn luma_rows(&self) -> impl Iterator<Item = &u8> {
        self.luma.chunks(LUMA_STRIDE).flat_map(|row| &row[..WIDTH as usize])
    }
}

fn encode(qp: u8, frames: usize, keys: &[usize]) -> (ParameterSets, Vec<Packet>) {
    let mut encoder = H264PartEncoder::new(settings(), Qp::new(qp)).expect("an encoder");
    let encoded = (0..frames).map(|n| encoder.encode(&Canvas::new(n).picture(), keys.contains(&n)));
    let packets = encoded.collect::<Result<_, _>>().expect("packets");
    (encoder.parameters().clone(), packets)
}

/// The peak signal-to-noise ratio of every picture's luma, decoded by FFmpeg.
fn luma_psnr((parameters, packets): &(ParameterSets, Vec<Packet>)) -> Vec<f64> {
    let mut stream = Vec::new();
    for unit in [&parameters.sps, &parameters.pps] {
        stream.extend_from_slice(&[0, 0, 0, 1]);
        stream.extend_from_slice(unit);
    }
    for packet in packets {
        let mut rest = &packet.data[..];
        while let Some((length, units)) = rest.split_first_chunk::<4>() {
            let (unit, later) = units.split_at(u32::from_be_bytes(*length) as usize);
            stream.extend_from_slice(&[0, 0, 0, 1]);
            stream.extend_from_slice(unit);
            rest = later;
        }
    }
    let arguments =
        ["-v", "error", "-xerror", "-f", "h264", "-i", "-", "-f", "rawvideo", "-pix_fmt", "yuv420p", "-"];
    let mut ffmpeg = Command::new("ffmpeg")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("ffmpeg, which the tests need, runs");
    let mut input = ffmpeg.stdin.take().expect("a pipe");
    let feeder = std::thread::Builder::new().name("feed ffmpeg".into());
    let feeder = feeder.spawn(move || input.write_all(&stream)).expect("a thread");
    let decoded = ffmpeg.wait_with_output().expect("an answer");
    feeder.join().expect("no panic").expect("ffmpeg reads everything");
    assert!(decoded.status.success(), "FFmpeg decodes without an error");
    let picture_bytes = (WIDTH * HEIGHT * 3 / 2) as usize;
    assert_eq!(decoded.stdout.len(), packets.len() * picture_bytes, "a picture for every packet");
    let psnr = |(number, picture): (usize, &[u8])| {
        let source = Canvas::new(number);
        let square = |(a, b): (&u8, &u8)| f64::from(a.abs_diff(*b)) * f64::from(a.abs_diff(*b));
        let error: f64 = source.luma_rows().zip(picture).map(square).sum();
        10.0 * libm::log10(255.0 * 255.0 * f64::from(WIDTH * HEIGHT) / error)
    };
    decoded.stdout.chunks(picture_bytes).enumerate().map(psnr).collect()
}

#[test]
fn equal_pictures_give_equal_packets_on_every_thread() {
    let here = encode(26, 12, &[6]);
    let threads = [0, 1].map(|n| {
        let builder = std::thread::Builder::new().name(format!("encode {n}"));
        builder.spawn(|| encode(26, 12, &[6])).expect("a thread")
    });
    for thread in threads {
        assert!(thread.join().expect("packets") == here, "encoders side by side do not touch each other");
    }
}

#[test]
fn parameter_sets_do_not_depend_on_the_quantiser() {
    let (coarse, _) = encode(40, 1, &[]);
    let (fine, _) = encode(14, 1, &[]);
    assert_eq!(coarse, fine, "parts that were encoded again still belong to the film");
    // H.264 7.3.2.1.1: profile, constraint flags, level.
    assert_eq!(
        fine.sps[..4],
        [0x67, 100, 0b0000_1100, 21],
        "High profile without fields and B, level 2.1 for 4 Mbit/s"
    );
    // H.264 7.3.2.2: pic_parameter_set_id and seq_parameter_set_id 0 are one bit each, then entropy_coding_mode_flag.
    assert_eq!(fine.pps[1] & 0b1110_0000, 0b1110_0000, "CABAC");
}

#[test]
fn key_frames_are_where_they_are_asked_for() {
    let (_, packets) = encode(26, 10, &[4, 7]);
    let keys: Vec<usize> = (0..10).filter(|&n| packets[n].is_keyframe).collect();
    assert_eq!(keys, [0, 4, 7], "the first and the two forced");
    assert!(packets.iter().all(|packet| !packet.data.is_empty()), "no picture is skipped");
}

#[test]
fn key_frames_and_only_they_are_two_steps_coarser() {
    let (_, packets) = encode(26, 4, &[2]);
    let level = level_for(WIDTH, HEIGHT, settings().frame_rate, settings().max_bitrate).expect("a level");
    let mut constant = Library::open(settings(), level, Qp::new(28)).expect("an encoder");
    for (n, packet) in packets.iter().enumerate() {
        if n == 2 {
            constant.force_key_frame().expect("obeyed");
        }
        let stream = constant.encode(&Canvas::new(n).picture(), 0).expect("a stream");
        let sample = nal::length_prefixed_sample(&stream).expect("a sample");
        if sample.is_idr {
            assert!(sample.data == packet.data, "key frame {n} is what QP 28 makes of the picture");
        } else {
            assert!(packet.data.len() > sample.data.len() * 11 / 10, "frame {n} is finer than at QP 28");
        }
    }
}

#[test]
fn quality_is_steady_over_key_frames() {
    let psnr = luma_psnr(&encode(26, 60, &[30]));
    let mean = psnr[5..25].iter().sum::<f64>() / 20.0;
    assert!((36.0..40.0).contains(&mean), "QP 26 with this grain comes to about 38 dB, here {mean:.2}");
    let worst = psnr[25..40].iter().map(|value| (value - mean).abs()).fold(0.0, f64::max);
    assert!(worst < 0.5, "a key frame does not stand out: {worst:.2} dB in {:.2?}", &psnr[25..40]);
}

#[test]
fn a_finer_quantiser_is_closer_and_larger() {
    let (fine, coarse) = (encode(20, 10, &[]), encode(32, 10, &[]));
    let mean = |psnr: Vec<f64>| psnr.iter().sum::<f64>() / psnr.len() as f64;
    let bytes = |packets: &[Packet]| packets.iter().map(|packet| packet.data.len()).sum::<usize>();
    assert!(
        mean(luma_psnr(&fine)) > mean(luma_psnr(&coarse)) + 5.0,
        "twelve steps are a fourth of the precision"
    );
    assert!(bytes(&fine.1) > 2 * bytes(&coarse.1), "which takes more bytes");
}

#[test]
fn noise_at_the_finest_quantiser_fits_the_librarys_buffers() {
    let frame_rate = FrameRate::new(30, 1).expect("a valid rate");
    let settings = VideoSettings { width: 64, height: 48, frame_rate, max_bitrate: 4_000_000 };
    let mut encoder = H264PartEncoder::new(settings, Qp::new(12)).expect("an encoder");
    let mut state = 1_u32;
    for n in 0..5 {
        let mut noise = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        let luma: Vec<u8> = (0..64 * 48).map(|_| noise()).collect();
        let chroma: Vec<u8> = (0..32 * 24).map(|_| noise()).collect();
        let chroma = Plane { bytes: &chroma, stride: 32 };
        let picture =
            I420::new(64, 48, [Plane { bytes: &luma, stride: 64 }, chroma, chroma]).expect("a picture");
        assert!(encoder.encode(&picture, false).is_ok(), "frame {n} is encoded");
    }
}

#[test]
fn what_cannot_be_encoded_is_refused() {
    let open = |width, height| {
        H264PartEncoder::new(VideoSettings { width, height, ..settings() }, Qp::new(26)).err()
    };
    assert_eq!(open(321, 180), Some(OpenError::Sides { width: 321, height: 180 }), "odd");
    assert_eq!(open(320, 8), Some(OpenError::Sides { width: 320, height: 8 }), "tiny");
    assert!(matches!(open(7680, 4320), Some(OpenError::Level(_))), "beyond every level");
    let mut encoder =
        H264PartEncoder::new(VideoSettings { width: 64, ..settings() }, Qp::new(26)).expect("an encoder");
    let wrong = encoder.encode(&Canvas::new(0).picture(), false);
    let expected = EncodeError::WrongSize { picture: (320, 180), film: (64, 180) };
    assert_eq!(wrong, Err(expected), "a picture of another film");
}
