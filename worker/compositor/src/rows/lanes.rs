//! The loops over pixels. Values are 8.8 fixed point in sixteen bits: 65280 is a byte's 255, and whole opacity. What
//! follows a column of the picture through these loops lies side by side in a set of lanes (two rows, both chroma
//! planes), so that one step treats them together. Plain loops over slices given as arguments, which do not overlap:
//! compilers make vectors of those.

use super::taps::ColumnTap;

/// A weighted sum of rows of samples, all of the same length.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mix<'a, const ROWS: usize> {
    pub(super) rows: [&'a [u8]; ROWS],
    /// In 256ths; at most that many together.
    pub(super) weights: [u16; ROWS],
}

/// Mixes two rows.
pub(super) fn down_2(mixed: &mut [u16], mix: Mix<'_, 2>) {
    let Mix { rows: [a, b], weights: [wa, wb] } = mix;
    for ((mixed, a), b) in mixed.iter_mut().zip(a).zip(b) {
        *mixed = weighed(*a, wa).wrapping_add(weighed(*b, wb));
    }
}

/// Mixes four rows.
pub(super) fn down_4(mixed: &mut [u16], mix: Mix<'_, 4>) {
    let Mix { rows: [a, b, c, d], weights: [wa, wb, wc, wd] } = mix;
    for ((((mixed, a), b), c), d) in mixed.iter_mut().zip(a).zip(b).zip(c).zip(d) {
        let (first, second) = (weighed(*a, wa).wrapping_add(weighed(*b, wb)), weighed(*c, wc));
        *mixed = first.wrapping_add(second).wrapping_add(weighed(*d, wd));
    }
}

/// A byte by its weight: never wraps, for a weight is 256 at most.
#[inline]
fn weighed(value: u8, weight: u16) -> u16 {
    u16::from(value).wrapping_mul(weight)
}

/// Rows as lanes. The last set stands for the one behind it, too.
pub(super) fn interleave<const N: usize>(lanes: &mut [[u16; N]], rows: [&[u16]; N]) {
    let length = lanes.len() - 1;
    let rows = rows.map(|row| &row[..length]);
    for (x, set) in lanes[..length].iter_mut().enumerate() {
        for lane in 0..N {
            set[lane] = rows[lane][x];
        }
    }
    lanes[length] = lanes[length.saturating_sub(1)];
}

/// The output columns of `taps`, from lanes that begin at sample `first`.
pub(super) fn across<const N: usize>(
    columns: &mut [[u16; N]],
    taps: &[ColumnTap],
    lanes: &[[u16; N]],
    first: u32,
) {
    for (column, tap) in columns.iter_mut().zip(taps) {
        let pair = &lanes[tap.at.wrapping_sub(first) as usize..][..2];
        for lane in 0..N {
            // The shares are 65535ths together: the sum of two parts never exceeds a whole.
            column[lane] =
                share(pair[0][lane], tap.shares[0]).wrapping_add(share(pair[1][lane], tap.shares[1]));
        }
    }
}

/// Columns of chroma sites, each 1-2-1 of the columns of pixels around its own, which is the second of `columns`.
pub(super) fn sites<const N: usize>(sites: &mut [[u16; N]], columns: &[[u16; N]]) {
    let mean = |a: u16, b: u16| ((u32::from(a) + u32::from(b) + 1) >> 1) as u16;
    for (site, around) in sites.iter_mut().zip(columns.windows(3).step_by(2)) {
        for lane in 0..N {
            site[lane] = mean(mean(around[0][lane], around[2][lane]), around[1][lane]);
        }
    }
}

/// Blends a lane, alpha multiplied in, over bytes of which `clear` 65536ths show.
pub(super) fn blend<const N: usize>(canvas: &mut [u8], over: &[[u16; N]], lane: usize, clear: &[u16]) {
    for ((under, over), clear) in canvas.iter_mut().zip(over).zip(clear) {
        let shown = share(u16::from(*under) << 8, *clear);
        *under = (over[lane].saturating_add(shown).saturating_add(128) >> 8) as u8;
    }
}

/// `value` · `share` / 65536.
#[inline]
fn share(value: u16, share: u16) -> u16 {
    ((u32::from(value) * u32::from(share)) >> 16) as u16
}

/// What shows behind columns of which `cover` 65535ths show, in a row of which `strength` do, in 65536ths.
pub(super) fn clear_beside(clear: &mut [u16], cover: &[u16], strength: u16) {
    for (clear, cover) in clear.iter_mut().zip(cover) {
        *clear = !share(*cover, strength);
    }
}

/// What shows behind a lane of alpha, in 65536ths.
pub(super) fn clear_behind<const N: usize>(clear: &mut [u16], alphas: &[[u16; N]], lane: usize) {
    for (clear, alpha) in clear.iter_mut().zip(alphas) {
        *clear = !alpha[lane].saturating_add(alpha[lane] >> 8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A column of two samples, mixed half and half.
    const HALF: ColumnTap = ColumnTap { at: 0, shares: [32_768, 32_767] };

    /// A byte through all steps over another byte.
    fn through(value: u8, opacity: u16, under: u8) -> u8 {
        let samples = [value; 2];
        let mut mixed = [0; 2];
        down_4(&mut mixed, Mix { rows: [&samples; 4], weights: [100, 28, 101, 27] });
        let mut lanes = [[0; 2]; 3];
        interleave(&mut lanes, [&mixed, &mixed]);
        let part = |share: u16| (u32::from(share) * u32::from(opacity) / 65_535) as u16;
        let tap = ColumnTap { shares: HALF.shares.map(part), ..HALF };
        let mut columns = [[0; 2]; 3];
        across(&mut columns, &[tap; 3], &lanes, 0);
        let mut site = [[0; 2]];
        sites(&mut site, &columns);
        let mut clear = [0];
        clear_beside(&mut clear, &[tap.shares[0] + tap.shares[1]], 65_535);
        let mut canvas = [under];
        blend(&mut canvas, &site, 1, &clear);
        canvas[0]
    }

    #[test]
    fn a_flat_colour_stays_what_it_is_over_anything() {
        for value in 0..=255 {
            assert_eq!(through(value, 65_535, 255 - value), value, "opaque");
            assert_eq!(through(255 - value, 0, value), value, "invisible");
            assert_eq!(through(value, 20_000, value), value, "over itself");
        }
    }

    #[test]
    fn half_of_white_over_black_is_grey() {
        assert_eq!(through(255, 32_768, 0), 127, "127.5, every step rounding down");
        assert_eq!(through(0, 32_768, 255), 128, "the other half");
    }
}
