//! The last step of a frame of RGBA: from alpha multiplied in to what files store.

use crate::canvas::{CanvasFrame, CanvasKind};

/// Unassociates alpha, or drops it where the frame is opaque: colour with alpha multiplied in is the colour on black.
pub(super) fn finish(frame: &mut CanvasFrame) {
    match frame.layout.kind {
        CanvasKind::I420 => {}
        CanvasKind::Rgba { opaque: true } => frame.bytes.chunks_exact_mut(4).for_each(|pixel| pixel[3] = 255),
        CanvasKind::Rgba { opaque: false } => frame.bytes.chunks_exact_mut(4).for_each(unassociate),
    }
}

fn unassociate(pixel: &mut [u8]) {
    let alpha = u32::from(pixel[3]);
    if alpha == 255 {
        return;
    }
    for value in &mut pixel[..3] {
        // Blending rounds colour and alpha each by itself, so a colour may exceed its alpha by one.
        let straight = (u32::from(*value) * 255 + alpha / 2).checked_div(alpha).unwrap_or(0);
        *value = straight.min(255) as u8;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pixel_gets_its_own_colour_back() {
        let unassociated = |mut pixel: [u8; 4]| {
            unassociate(&mut pixel);
            pixel
        };
        assert_eq!(unassociated([51, 0, 26, 51]), [255, 0, 130, 51], "a fifth of its colour");
        assert_eq!(unassociated([0, 0, 0, 0]), [0, 0, 0, 0], "nothing has no colour");
        assert_eq!(unassociated([2, 1, 0, 1]), [255, 255, 0, 1], "never above white");
    }
}
