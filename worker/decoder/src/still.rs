//! Stills: JPEG, PNG and WebP, by decoders in Rust, brought upright and to RGBA.

use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::fd::BorrowedFd;

use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits};

use crate::fault::Faulted;
use crate::protocol::{Fault, PictureLimits, ProbedStill, StillFormat};
use crate::ring::Ring;
use crate::worker::read_at;

/// Bytes by which these formats are recognised.
const SIGNATURE: usize = 16;
/// Bytes per sample at most that a decoder may hold for the picture at once: 16-bit RGBA and a copy.
const WORKING_BYTES_PER_PIXEL: u64 = 16;

/// What the still is; `None` when the file is no still.
pub(crate) fn probe(file: BorrowedFd<'_>, limits: &PictureLimits) -> Result<Option<ProbedStill>, Faulted> {
    let Some((format, image_format)) = recognise(file)? else { return Ok(None) };
    let mut decoder = open(file, image_format, limits)?;
    let (width, height) = decoder.dimensions();
    let is_turned = swaps_sides(decoder.orientation().map_err(fault)?);
    let (width, height) = if is_turned { (height, width) } else { (width, height) };
    Ok(Some(ProbedStill { width, height, has_alpha: decoder.color_type().has_alpha(), format }))
}

/// Decodes into the ring as RGBA and returns the size.
pub(crate) fn decode(
    file: BorrowedFd<'_>,
    limits: &PictureLimits,
    ring: &mut Ring,
) -> Result<(u32, u32), Faulted> {
    let Some((format, image_format)) = recognise(file)? else {
        return Err(Faulted::unsupported("it is not a JPEG, PNG or WebP"));
    };
    let mut decoder = open(file, image_format, limits)?;
    let orientation = decoder.orientation().map_err(fault)?;
    let mut picture = DynamicImage::from_decoder(decoder).map_err(fault)?;
    if format == StillFormat::Jpeg && !ends_properly(file)? {
        // The decoder fills what is missing with grey.
        return Err(Faulted::corrupt("it ends before its end marker: it is cut"));
    }
    picture.apply_orientation(orientation);
    let picture = picture.into_rgba8();
    let bytes = picture.as_raw();
    let slot =
        ring.slot(0, bytes.len()).ok_or_else(|| Faulted::internal("the ring is too small for the still"))?;
    slot.copy_from_slice(bytes);
    Ok(picture.dimensions())
}

fn recognise(file: BorrowedFd<'_>) -> Result<Option<(StillFormat, ImageFormat)>, Faulted> {
    let mut start = [0; SIGNATURE];
    let length = read_at(file, &mut start, 0).map_err(unreadable)?;
    Ok(match &start[..length] {
        [0xFF, 0xD8, 0xFF, ..] => Some((StillFormat::Jpeg, ImageFormat::Jpeg)),
        [0x89, b'P', b'N', b'G', 0x0D, 0x0A, 0x1A, 0x0A, ..] => Some((StillFormat::Png, ImageFormat::Png)),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => {
            Some((StillFormat::Webp, ImageFormat::WebP))
        }
        _ => None,
    })
}

/// A decoder that has read the header, its picture within the limits.
fn open<'a>(
    file: BorrowedFd<'a>,
    format: ImageFormat,
    limits: &PictureLimits,
) -> Result<impl ImageDecoder + 'a, Faulted> {
    let mut reader = ImageReader::with_format(BufReader::new(At { file, position: 0 }), format);
    let mut most = Limits::default();
    most.max_image_width = Some(limits.side);
    most.max_image_height = Some(limits.side);
    most.max_alloc = Some(limits.still_pixels.saturating_mul(WORKING_BYTES_PER_PIXEL));
    reader.limits(most);
    let decoder = reader.into_decoder().map_err(fault)?;
    let (width, height) = decoder.dimensions();
    if u64::from(width) * u64::from(height) > limits.still_pixels {
        return Err(Faulted::new(Fault::TooLarge, format!("it has {width} x {height} pixels")));
    }
    Ok(decoder)
}

fn swaps_sides(orientation: image::metadata::Orientation) -> bool {
    use image::metadata::Orientation::{Rotate90, Rotate90FlipH, Rotate270, Rotate270FlipH};
    matches!(orientation, Rotate90 | Rotate270 | Rotate90FlipH | Rotate270FlipH)
}

/// Whether the picture's end marker is there (ISO/IEC 10918-1 B.1.1.3): walks from marker to marker, so that
/// pictures inside its metadata and whatever cameras append to it do not count.
fn ends_properly(file: BorrowedFd<'_>) -> Result<bool, Faulted> {
    let found = find_end(&mut BufReader::new(At { file, position: 0 }));
    match found {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        found => found.map(|()| true).map_err(unreadable),
    }
}

fn find_end<R: Read + Seek>(bytes: &mut BufReader<R>) -> io::Result<()> {
    let mut code = [0xFF];
    loop {
        // Between markers lies coded data, in which FF is only ever followed by 00 or a restart marker.
        bytes.skip_until(0xFF)?;
        code[0] = 0xFF;
        while code[0] == 0xFF {
            bytes.read_exact(&mut code)?;
        }
        match code[0] {
            0xD9 => return Ok(()),
            0x00 | 0x01 | 0xD0..=0xD8 => {}
            _ => {
                let mut length = [0; 2];
                bytes.read_exact(&mut length)?;
                bytes.seek_relative(i64::from(u16::from_be_bytes(length)) - 2)?;
            }
        }
    }
}

fn fault(error: ImageError) -> Faulted {
    let fault = match &error {
        ImageError::Limits(_) => Fault::TooLarge,
        ImageError::Unsupported(_) => Fault::Unsupported,
        ImageError::Decoding(_)
        | ImageError::IoError(_)
        | ImageError::Encoding(_)
        | ImageError::Parameter(_) => Fault::Corrupt,
    };
    Faulted::new(fault, error.to_string())
}

fn unreadable(error: io::Error) -> Faulted {
    Faulted::internal(format!("reading it: {error}"))
}

/// A descriptor as a stream with a position of its own.
struct At<'a> {
    file: BorrowedFd<'a>,
    position: u64,
}

impl Read for At<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = read_at(self.file, into, self.position)?;
        self.position += count as u64;
        Ok(count)
    }
}

impl Seek for At<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
            SeekFrom::End(offset) => {
                let size = u64::try_from(rustix::fs::fstat(self.file)?.st_size).unwrap_or(0);
                size.checked_add_signed(offset)
            }
        };
        self.position = position.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(self.position)
    }
}
