//! NAL units: cutting the encoder's byte stream (H.264 annex B) into what a file stores (ISO/IEC 14496-15 5.3).

/// Sequence and picture parameter set, as NAL units without start codes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParameterSets {
    /// NAL unit type 7.
    pub sps: Vec<u8>,
    /// NAL unit type 8.
    pub pps: Vec<u8>,
}

impl ParameterSets {
    /// The first SPS and PPS of a byte stream.
    pub(super) fn find(stream: &[u8]) -> Option<ParameterSets> {
        let find = |wanted| units(stream).find(|unit| unit_type(unit) == Some(wanted)).map(<[u8]>::to_vec);
        Some(ParameterSets { sps: find(SPS)?, pps: find(PPS)? })
    }
}

/// What a file stores for one picture.
pub(super) struct Sample {
    /// Each NAL unit behind its length in four bytes.
    pub(super) data: Box<[u8]>,
    /// Whether the picture is an IDR picture.
    pub(super) is_idr: bool,
}

// H.264 table 7-1.
const SLICE: u8 = 1;
const IDR_SLICE: u8 = 5;
const SPS: u8 = 7;
const PPS: u8 = 8;

/// The sample of one access unit. Parameter sets are left out: the file's header holds them.
///
/// `None` where there is no slice, or something that this encoder has no reason to write.
pub(super) fn length_prefixed_sample(stream: &[u8]) -> Option<Sample> {
    let mut data = Vec::with_capacity(stream.len());
    let mut is_idr = None;
    for unit in units(stream) {
        match unit_type(unit)? {
            SPS | PPS => continue,
            kind @ (SLICE | IDR_SLICE) => is_idr = Some(kind == IDR_SLICE),
            _ => return None,
        }
        data.extend_from_slice(&u32::try_from(unit.len()).ok()?.to_be_bytes());
        data.extend_from_slice(unit);
    }
    Some(Sample { data: data.into_boxed_slice(), is_idr: is_idr? })
}

fn unit_type(unit: &[u8]) -> Option<u8> {
    unit.first().map(|header| header & 0x1f)
}

/// The NAL units of a byte stream, without start codes and trailing zeros (H.264 B.1).
fn units(stream: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = after_start_code(stream);
    std::iter::from_fn(move || {
        let unit = rest?;
        let end = start_code(unit).unwrap_or(unit.len());
        rest = after_start_code(&unit[end..]);
        let trailing = unit[..end].iter().rev().take_while(|&&byte| byte == 0).count();
        Some(&unit[..end - trailing])
    })
}

fn after_start_code(bytes: &[u8]) -> Option<&[u8]> {
    start_code(bytes).map(|at| &bytes[at + 3..])
}

/// Where 00 00 01 is. Emulation prevention (H.264 7.4.1) keeps it out of NAL units.
fn start_code(bytes: &[u8]) -> Option<usize> {
    bytes.windows(3).position(|window| window == [0, 0, 1])
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: [u8; 24] =
        [0, 0, 0, 1, 0x67, 0x64, 9, 0, 0, 0, 1, 0x68, 0xee, 0, 0, 1, 0x65, 1, 0, 0, 3, 1, 7, 0];

    #[test]
    fn a_key_frame_becomes_a_sample_without_its_parameter_sets() {
        let sample = length_prefixed_sample(&STREAM).expect("an access unit");
        assert!(sample.is_idr, "NAL unit type 5");
        assert_eq!(
            *sample.data,
            [0, 0, 0, 7, 0x65, 1, 0, 0, 3, 1, 7],
            "length, then the unit to its last bit"
        );
    }

    #[test]
    fn parameter_sets_are_found() {
        let found = ParameterSets::find(&STREAM).expect("both are there");
        assert_eq!(found, ParameterSets { sps: vec![0x67, 0x64, 9], pps: vec![0x68, 0xee] }, "bare units");
        assert_eq!(ParameterSets::find(&STREAM[13..]), None, "a slice is none");
    }

    #[test]
    fn a_stream_without_a_slice_is_no_sample() {
        assert!(length_prefixed_sample(&STREAM[..13]).is_none(), "parameter sets alone show nothing");
        assert!(length_prefixed_sample(&[]).is_none(), "nor does nothing");
    }
}
