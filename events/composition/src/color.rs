//! Colours as the wire writes them: `#RRGGBB` or `#RRGGBBAA`, sRGB, alpha not multiplied in.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An sRGB colour with unassociated alpha, 8 bits each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Color {
    /// Red.
    pub r: u8,
    /// Green.
    pub g: u8,
    /// Blue.
    pub b: u8,
    /// Opacity: 255 is opaque.
    pub a: u8,
}

impl Color {
    /// Opaque black.
    pub const BLACK: Color = Color { r: 0, g: 0, b: 0, a: 255 };
    /// Opaque white.
    pub const WHITE: Color = Color { r: 255, g: 255, b: 255, a: 255 };
    /// Nothing.
    pub const TRANSPARENT: Color = Color { r: 0, g: 0, b: 0, a: 0 };

    /// The colour with `share` (0–1) of its opacity.
    #[must_use]
    pub fn faded(self, share: f64) -> Color {
        Color { a: (f64::from(self.a) * share).round() as u8, ..self }
    }

    /// Reads `#RRGGBB` or `#RRGGBBAA`; anything else is `None`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Color> {
        let digits = text.strip_prefix('#')?;
        if !matches!(digits.len(), 6 | 8) || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        let byte = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).ok();
        let a = if digits.len() == 8 { byte(6)? } else { 255 };
        Some(Color { r: byte(0)?, g: byte(2)?, b: byte(4)?, a })
    }
}

impl fmt::Display for Color {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{:02x}{:02x}{:02x}{:02x}", self.r, self.g, self.b, self.a)
    }
}

impl From<Color> for String {
    fn from(color: Color) -> String {
        color.to_string()
    }
}

impl TryFrom<String> for Color {
    type Error = String;
    fn try_from(text: String) -> Result<Color, String> {
        Color::parse(&text).ok_or_else(|| format!("{text:?} is no colour: expected #RRGGBB or #RRGGBBAA"))
    }
}
