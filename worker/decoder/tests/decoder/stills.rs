//! Stills: right way up, right colours, and no bombs.

use std::fs;

use media::decoder::{DecodeError, DecoderLimits, Probe, StillFormat};

use crate::clips::{clip, file_of, host, host_with, open, probe_error};

/// Four flat quarters: red, green over blue, white; 32 × 16.
const QUARTERS: &str = "color=red:s=16x8[a];color=lime:s=16x8[b];color=blue:s=16x8[c];color=white:s=16x8[d];\
                        [a][b]hstack[e];[c][d]hstack[f];[e][f]vstack";

fn quarters(name: &str, encoder: &[&str]) -> Vec<u8> {
    let mut arguments = vec!["-filter_complex", QUARTERS, "-frames:v", "1"];
    arguments.extend(encoder);
    fs::read(crate::clips::clip_of(name, &arguments)).unwrap()
}

/// A JPEG with this EXIF orientation: an APP1 segment behind the start marker (TIFF 6.0, tag 0x0112).
fn jpeg_oriented(orientation: u8) -> Vec<u8> {
    let jpeg = quarters("quarters.jpg", &["-q:v", "2", "-pix_fmt", "yuvj444p"]);
    let tiff = [
        b"Exif\0\0MM\0\x2a\0\0\0\x08".as_slice(),
        &[0, 1, 0x01, 0x12, 0, 3, 0, 0, 0, 1, 0, orientation, 0, 0, 0, 0, 0, 0],
    ]
    .concat();
    let length = u16::try_from(tiff.len() + 2).unwrap().to_be_bytes();
    [&jpeg[..2], &[0xFF, 0xE1], &length, &tiff, &jpeg[2..]].concat()
}

/// Which of r, g, b, w lies at this pixel.
fn color_at(image: &media::frame::RgbaImage, x: u32, y: u32) -> char {
    let at = ((y * image.width + x) * 4) as usize;
    match image.data[at..at + 3].iter().map(|sample| *sample > 128).collect::<Vec<_>>()[..] {
        [true, false, false] => 'r',
        [false, true, false] => 'g',
        [false, false, true] => 'b',
        [true, true, true] => 'w',
        _ => '?',
    }
}

/// The colours of its quarters, row by row.
fn corners(image: &media::frame::RgbaImage) -> String {
    let (right, bottom) = (image.width - 3, image.height - 3);
    [(2, 2), (right, 2), (2, bottom), (right, bottom)].iter().map(|(x, y)| color_at(image, *x, *y)).collect()
}

#[test]
fn png_and_webp_are_decoded_as_they_are() {
    let host = host();
    for (name, format, encoder) in [
        ("quarters.png", StillFormat::Png, ["-pix_fmt", "rgba"]),
        ("quarters.webp", StillFormat::Webp, ["-lossless", "1"]),
    ] {
        let file = file_of(&quarters(name, &encoder));
        let probe = host.probe(&file).unwrap();
        let Probe::Still { width: 32, height: 16, format: found, .. } = probe else {
            panic!("{name}: {probe:?}")
        };
        assert_eq!(found, format, "by content");
        let image = host.decode_still(&file).unwrap();
        assert_eq!((image.width, image.height, corners(&image).as_str()), (32, 16, "rgbw"), "{name}");
        assert!(image.data.chunks_exact(4).all(|pixel| pixel[3] == 255), "{name} is opaque");
    }
}

#[test]
fn transparent_pixels_keep_their_colour() {
    let path = clip("transparent.png", "-f lavfi -i color=0xff8000@0.25:s=8x8,format=rgba -frames:v 1");
    let (host, file) = (host(), open(&path));
    assert!(matches!(host.probe(&file).unwrap(), Probe::Still { has_alpha: true, .. }), "it has alpha");
    let image = host.decode_still(&file).unwrap();
    assert_eq!(image.data[..4], [255, 128, 0, 63], "unassociated: not darkened by alpha");
}

#[test]
fn photos_are_turned_upright_by_their_exif_orientation() {
    let host = host();
    // Values of the TIFF 6.0 orientation tag and where the quarters of "rgbw" end up.
    for (orientation, size, expected) in [
        (1, (32, 16), "rgbw"),
        (2, (32, 16), "grwb"),
        (3, (32, 16), "wbgr"),
        (4, (32, 16), "bwrg"),
        (5, (16, 32), "rbgw"),
        (6, (16, 32), "brwg"),
        (7, (16, 32), "wgbr"),
        (8, (16, 32), "gwrb"),
    ] {
        let file = file_of(&jpeg_oriented(orientation));
        let Probe::Still { width, height, .. } = host.probe(&file).unwrap() else { panic!("a still") };
        assert_eq!((width, height), size, "orientation {orientation}: the size as shown");
        let image = host.decode_still(&file).unwrap();
        assert_eq!((image.width, image.height), size, "orientation {orientation}: as announced");
        assert_eq!(corners(&image), expected, "orientation {orientation}");
    }
}

#[test]
fn a_picture_that_claims_a_huge_size_is_refused_before_memory_is_taken() {
    // A PNG header (ISO/IEC 15948 11.2.2) of 60 000 × 60 000 pixels and nothing else.
    let mut header = b"IHDR".to_vec();
    header.extend(60_000u32.to_be_bytes());
    header.extend(60_000u32.to_be_bytes());
    header.extend([8, 6, 0, 0, 0]);
    let mut bomb = b"\x89PNG\r\n\x1a\n".to_vec();
    bomb.extend(13u32.to_be_bytes());
    bomb.extend(&header);
    bomb.extend(crc(&header).to_be_bytes());
    bomb.extend(*b"\0\0\0\0IDAT");
    bomb.extend(crc(b"IDAT").to_be_bytes());
    let error = probe_error(&host(), &bomb);
    assert!(matches!(error, DecodeError::TooLarge(_)), "got {error:?}");
    let error = host().decode_still(&file_of(&bomb)).unwrap_err();
    assert!(matches!(error, DecodeError::TooLarge(_)), "got {error:?}");
    let small = host_with(DecoderLimits { still_pixels: 32 * 16 - 1, ..DecoderLimits::default() });
    let error = small.decode_still(&file_of(&jpeg_oriented(1))).unwrap_err();
    assert!(matches!(error, DecodeError::TooLarge(_)), "one pixel over the limit: {error:?}");
}

/// CRC-32 of a PNG chunk (ISO/IEC 15948 annex D).
fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, byte| {
        (0..8).fold(
            crc ^ u32::from(*byte),
            |crc, _| if crc & 1 == 1 { 0xEDB8_8320 ^ (crc >> 1) } else { crc >> 1 },
        )
    })
}

#[test]
fn what_a_camera_appends_to_a_photo_does_not_matter() {
    let photo = jpeg_oriented(1);
    let start_of_scan = b"\xff\xda and more that is not of the picture";
    host().decode_still(&file_of(&[&photo[..], start_of_scan].concat())).unwrap();
    // And a thumbnail's end is not the picture's: an application segment that holds an end marker.
    let cut = &photo[..photo.len() - 60];
    let with_thumbnail = [&cut[..2], b"\xff\xe2\0\x06\xff\xd9\0\0", &cut[2..]].concat();
    let error = host().decode_still(&file_of(&with_thumbnail)).unwrap_err();
    assert!(matches!(error, DecodeError::CorruptMedia(_)), "got {error:?}");
}

#[test]
fn a_still_that_was_cut_is_corrupt() {
    let host = host();
    let photo = ["-f", "lavfi", "-i", "testsrc2=s=320x180", "-frames:v", "1"];
    for name in ["photo.jpg", "photo.png", "photo.webp"] {
        let whole = fs::read(crate::clips::clip_of(name, &photo)).unwrap();
        host.decode_still(&file_of(&whole)).unwrap();
        for part in [40, 80, 98] {
            let error = host.decode_still(&file_of(&whole[..whole.len() * part / 100])).unwrap_err();
            assert!(matches!(error, DecodeError::CorruptMedia(_)), "{part} % of {name} gave {error:?}");
        }
    }
}
