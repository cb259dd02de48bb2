//! The catalog: every word the contract knows, and which of them this version carries out.
//!
//! Making a feature available is one word moved here (and the code behind it): the parser, its messages and
//! `GET /v1/capabilities` follow.

pub mod format;
pub mod motion;

use motion::{MOTION_NAMES, MOTIONS};

/// A closed list of words.
#[derive(Debug, PartialEq)]
pub struct Choices {
    /// What one of them is: `blend_mode`.
    pub name: &'static str,
    /// All of them.
    pub words: &'static [&'static str],
    /// Those that this version carries out.
    pub available: Available,
}

/// How many of a list's words this version carries out.
#[derive(Debug, PartialEq)]
pub enum Available {
    /// All.
    All,
    /// These.
    Only(&'static [&'static str]),
    /// None.
    Nothing,
}

impl Choices {
    /// The list's own spelling of `word`.
    #[must_use]
    pub fn find(&self, word: &str) -> Option<&'static str> {
        self.words.iter().copied().find(|known| *known == word)
    }

    /// Whether this version carries `word` out.
    #[must_use]
    pub fn is_available(&self, word: &str) -> bool {
        match &self.available {
            Available::All => self.words.contains(&word),
            Available::Only(words) => words.contains(&word),
            Available::Nothing => false,
        }
    }

    /// The words that this version carries out.
    pub fn available_words(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.words.iter().copied().filter(|word| self.is_available(word))
    }
}

const fn all(name: &'static str, words: &'static [&'static str]) -> Choices {
    Choices { name, words, available: Available::All }
}

const fn only(
    name: &'static str,
    words: &'static [&'static str],
    available: &'static [&'static str],
) -> Choices {
    Choices { name, words, available: Available::Only(available) }
}

const fn nothing(name: &'static str, words: &'static [&'static str]) -> Choices {
    Choices { name, words, available: Available::Nothing }
}

/// Kinds of element; `shape` is an extension.
pub static ELEMENT_TYPES: Choices = only(
    "element_type",
    &["video", "audio", "text", "image", "composition", "shape"],
    &["video", "audio", "text", "image"],
);

/// How an element mixes with what lies behind it.
pub static BLEND_MODES: Choices = only(
    "blend_mode",
    &[
        "none",
        "multiply",
        "screen",
        "overlay",
        "darken",
        "lighten",
        "color_dodge",
        "color_burn",
        "hard_light",
        "soft_light",
    ],
    &["none"],
);

/// How a source fills its box (an extension).
pub static FITS: Choices = all("fit", &["cover", "contain", "fill"]);

/// How progress runs over time, of motions and between keyframes.
pub static EASINGS: Choices = all("easing", &["linear", "ease_in", "ease_out", "ease_in_out"]);

/// How a value moves between keyframes (an extension): the easings by name, and those with arguments in brackets.
pub static KEYFRAME_EASINGS: Choices = only(
    "keyframe_easing",
    &["linear", "ease_in", "ease_out", "ease_in_out", "hold", "cubic-bezier", "spring"],
    &["linear", "ease_in", "ease_out", "ease_in_out", "hold", "cubic-bezier"],
);

/// What a motion moves.
pub static MOTION_SCOPES: Choices = nothing("motion_scope", &["element", "character"]);

/// Slant and weight by name.
pub static FONT_STYLES: Choices = all("font_style", &["normal", "italic", "bold", "bolditalic"]);

/// Alignment along the line.
pub static TEXT_ALIGNS: Choices = all("text_align", &["left", "center", "right"]);

/// Alignment of the lines in their box (an extension).
pub static VERTICAL_ALIGNS: Choices = only("vertical_align", &["top", "middle", "bottom"], &["middle"]);

/// Lines under or through text.
pub static TEXT_DECORATIONS: Choices =
    only("text_decoration", &["none", "underline", "strikethrough"], &["none"]);

/// Whether lines break at the box's width.
pub static TEXT_WRAPS: Choices = all("text_wrap", &["wrap", "nowrap"]);

/// How the spoken word is set off.
pub static WORD_ANIMATION_STYLES: Choices =
    all("word_animation_style", &["glow", "box", "scale_pop", "slide_up", "fly_in", "color"]);

/// Motions; their uses are in [`MOTIONS`].
pub static MOTION_TYPES: Choices = nothing("motion", &MOTION_NAMES);

/// Speech recognisers.
pub static SPEECH_MODELS: Choices = nothing("speech_model", &["universal-2", "universal-3-pro", "nano"]);

/// The forms in which a cut-out leaves `remove-background`.
pub static CUTOUT_FORMATS: Choices = nothing("cutout_format", &["webm", "mov", "png"]);

/// Media tasks, as their paths are written.
pub static TASKS: Choices =
    nothing("task", &["remove-background", "gaze-redirect", "super-resolution", "transcribe"]);

/// Effects on one element's pixels.
#[rustfmt::skip]
pub static EFFECTS: Choices = nothing("effect", &[
    "vintage", "polaroid", "portra", "super8", "filmic", "add_grain", "rgb_split", "ghosting",
    "displacement_map", "posterize", "mosaic", "mosaic_blur", "mosaic_posterize", "cc_halftone",
    "cc_halftone_blue", "cc_halftone_green", "cc_halftone_red", "invert", "optics_compensation",
    "viewfinder", "night_vision", "thermal", "camera_lens_blur", "camera_lens_blur_bg", "box_blur",
    "lens_flare", "strobe_light", "snow", "glow", "sepia", "echo", "chromatic_aberration", "vhs",
    "vhs_overlay", "crt", "television", "glitch", "compression_glitch", "scanlines", "prism",
    "light_leaks", "film_burn", "duotone", "cross_process", "bleach_bypass", "chroma_key",
]);

/// Transitions; `fade` is another name of `cross_dissolve`.
#[rustfmt::skip]
pub static TRANSITIONS: Choices = only("transition", &[
    "cross_dissolve", "dip_to_black", "dip_to_white", "wipe_left", "wipe_right", "wipe_up", "wipe_down",
    "diagonal_wipe", "barn_doors_horizontal", "barn_doors_vertical", "iris", "page_turn", "cross_zoom",
    "gradient_wipe", "band_wipe", "box_wipe", "swirl", "glitch_memories", "window_slice", "cube",
    "doorway", "pinwheel", "water_drop", "crosshatch", "dreamy", "angular", "burn", "heart", "circle_open",
    "color_phase", "squares_wire", "fade",
], &["cross_dissolve", "dip_to_black", "dip_to_white", "fade"]);

/// Words that mean the same as another: (alias, word).
pub const TRANSITION_ALIASES: &[(&str, &str)] = &[("fade", "cross_dissolve")];

/// What a motion serves, by name.
#[must_use]
pub fn motion(name: &str) -> Option<&'static motion::Motion> {
    MOTIONS.iter().find(|motion| motion.name == name)
}
