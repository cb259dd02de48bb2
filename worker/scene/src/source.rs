//! What the evaluator must know of foreign media: sizes, lengths and how a picture is to be turned, never its pixels.

use std::sync::Arc;

use composition::Ticks;

use crate::scene::Affine;
use crate::text::TextInk;

/// What was found out about one element's source.
#[derive(Debug, Clone, PartialEq)]
pub enum SourceFacts {
    /// A file with moving pictures.
    Video {
        /// Its pictures.
        picture: Picture,
        /// Its end on the source's own time line: the later of the last picture's and the sound's end.
        end: Ticks,
        /// Whether it has a sound track.
        has_sound: bool,
    },
    /// A still.
    Image(Picture),
    /// A file of which only sound is used.
    Sound {
        /// Its end on the source's own time line.
        end: Ticks,
    },
    /// Text that has been laid out.
    Text {
        /// What of its box is covered: [`crate::TextLayout::ink`].
        ink: Arc<TextInk>,
    },
}

impl SourceFacts {
    /// Where a source with its own time line ends.
    pub(crate) fn end(&self) -> Option<Ticks> {
        match self {
            SourceFacts::Video { end, .. } | SourceFacts::Sound { end } => Some(*end),
            SourceFacts::Image(_) | SourceFacts::Text { .. } => None,
        }
    }
}

/// The shape of a stored picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Picture {
    /// Stored pixels across, before orientation.
    pub width: u32,
    /// Stored pixels down, before orientation.
    pub height: u32,
    /// How it is turned to be shown.
    pub orientation: Orientation,
    /// Width to height of one stored pixel; a 0 in it counts as 1:1.
    pub sample_aspect: (u32, u32),
    /// Whether no pixel lets anything shine through.
    pub opaque: bool,
}

impl Picture {
    /// An upright picture with square, opaque pixels.
    #[must_use]
    pub fn upright(width: u32, height: u32) -> Picture {
        Picture { width, height, orientation: Orientation::UPRIGHT, sample_aspect: (1, 1), opaque: true }
    }

    /// Takes stored pixels to shown ones.
    pub(crate) fn turned(&self) -> Affine {
        self.orientation.turning(f64::from(self.width), f64::from(self.height))
    }

    /// Pixels across and down as shown, still of the stored pixels' shape.
    pub(crate) fn shown_size(&self) -> (f64, f64) {
        self.orientation.shown_size(f64::from(self.width), f64::from(self.height))
    }

    /// How long a pixel is across and down as shown; heights of stored pixels are 1.
    pub(crate) fn shown_pixel(&self) -> (f64, f64) {
        let aspect = match self.sample_aspect {
            (0, _) | (_, 0) => 1.0,
            (across, down) => f64::from(across) / f64::from(down),
        };
        if self.orientation.turn.swaps_sides() { (1.0, aspect) } else { (aspect, 1.0) }
    }
}

/// How a stored picture becomes the one that is shown: mirrored left to right first, then turned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Orientation {
    /// Clockwise.
    pub turn: Turn,
    /// Left to right, before the turn.
    pub mirrored: bool,
}

impl Orientation {
    /// As stored.
    pub const UPRIGHT: Orientation = Orientation { turn: Turn::None, mirrored: false };

    /// The orientation that an EXIF `Orientation` value names (CIPA DC-008, 4.6.4 A); unknown values are upright.
    #[must_use]
    pub fn from_exif(value: u16) -> Orientation {
        let (turn, mirrored) = match value {
            2 => (Turn::None, true),
            3 => (Turn::Half, false),
            4 => (Turn::Half, true),
            5 => (Turn::ThreeQuarters, true),
            6 => (Turn::Quarter, false),
            7 => (Turn::Quarter, true),
            8 => (Turn::ThreeQuarters, false),
            _ => (Turn::None, false),
        };
        Orientation { turn, mirrored }
    }

    /// Takes a rectangle of this size at (0, 0) to its shown place, which is at (0, 0) too. It swaps, mirrors and shifts by
    /// whole sizes only, so whole pixels stay whole.
    pub(crate) fn turning(self, width: f64, height: f64) -> Affine {
        let (across, down) = self.shown_size(width, height);
        Affine::translation(-width / 2.0, -height / 2.0)
            .then(Affine::scaling(if self.mirrored { -1.0 } else { 1.0 }, 1.0))
            .then(Affine::rotation(self.turn.degrees()))
            .then(Affine::translation(across / 2.0, down / 2.0))
    }

    fn shown_size(self, width: f64, height: f64) -> (f64, f64) {
        if self.turn.swaps_sides() { (height, width) } else { (width, height) }
    }
}

/// Quarter turns, clockwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Turn {
    /// 0°.
    #[default]
    None,
    /// 90°.
    Quarter,
    /// 180°.
    Half,
    /// 270°.
    ThreeQuarters,
}

impl Turn {
    /// The quarter turn nearest to an angle; films can only be turned so.
    #[must_use]
    pub fn nearest(degrees: f64) -> Turn {
        let quarters = libm::round(degrees / 90.0).rem_euclid(4.0);
        match quarters {
            1.0 => Turn::Quarter,
            2.0 => Turn::Half,
            3.0 => Turn::ThreeQuarters,
            _ => Turn::None,
        }
    }

    fn degrees(self) -> f64 {
        match self {
            Turn::None => 0.0,
            Turn::Quarter => 90.0,
            Turn::Half => 180.0,
            Turn::ThreeQuarters => 270.0,
        }
    }

    fn swaps_sides(self) -> bool {
        matches!(self, Turn::Quarter | Turn::ThreeQuarters)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where the stored top left and top right pixel corners of a 30 × 20 picture are shown.
    fn corners(exif: u16) -> ((f64, f64), (f64, f64)) {
        let picture = Picture { orientation: Orientation::from_exif(exif), ..Picture::upright(30, 20) };
        (picture.turned().apply(0.0, 0.0), picture.turned().apply(30.0, 0.0))
    }

    #[test]
    fn exif_orientations_put_the_first_row_where_the_standard_says() {
        // CIPA DC-008: which shown side the stored 0th row and 0th column are.
        let table = [
            (1, (0.0, 0.0), (30.0, 0.0), "row at the top, column at the left"),
            (2, (30.0, 0.0), (0.0, 0.0), "top, right"),
            (3, (30.0, 20.0), (0.0, 20.0), "bottom, right"),
            (4, (0.0, 20.0), (30.0, 20.0), "bottom, left"),
            (5, (0.0, 0.0), (0.0, 30.0), "left, top"),
            (6, (20.0, 0.0), (20.0, 30.0), "right, top"),
            (7, (20.0, 30.0), (20.0, 0.0), "right, bottom"),
            (8, (0.0, 30.0), (0.0, 0.0), "left, bottom"),
        ];
        for (exif, first, last, what) in table {
            assert_eq!(corners(exif), (first, last), "orientation {exif}: {what}");
        }
    }

    #[test]
    fn any_angle_becomes_a_quarter_turn() {
        let table =
            [(-90.0, Turn::ThreeQuarters), (89.0, Turn::Quarter), (540.0, Turn::Half), (359.0, Turn::None)];
        for (degrees, turn) in table {
            assert_eq!(Turn::nearest(degrees), turn, "{degrees} degrees");
        }
    }
}
