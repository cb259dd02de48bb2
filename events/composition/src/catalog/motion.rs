//! The 43 motions and what each serves.

/// Which ends of an element's life a motion may animate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Uses {
    /// As it enters.
    pub entrance: bool,
    /// As it leaves.
    pub exit: bool,
    /// Over and over while it is there.
    pub repeat: bool,
}

impl Uses {
    /// Not at all.
    pub const NONE: Uses = Uses { entrance: false, exit: false, repeat: false };
    /// Entrances only.
    pub const IN: Uses = Uses { entrance: true, ..Uses::NONE };
    /// Exits only.
    pub const OUT: Uses = Uses { exit: true, ..Uses::NONE };
    /// Entrances and exits.
    pub const BOTH: Uses = Uses { entrance: true, exit: true, repeat: false };
    /// Repetition only.
    pub const LOOP: Uses = Uses { repeat: true, ..Uses::NONE };

    /// The wire's words: `in`, `out`, `loop`.
    #[must_use]
    pub fn words(self) -> Vec<&'static str> {
        let flagged = [(self.entrance, "in"), (self.exit, "out"), (self.repeat, "loop")];
        flagged.into_iter().filter_map(|(flag, word)| flag.then_some(word)).collect()
    }
}

/// A motion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Motion {
    /// The wire's word.
    pub name: &'static str,
    /// What it may do to a whole element.
    pub element: Uses,
    /// What it may do to text character by character.
    pub character: Uses,
}

const fn motion(name: &'static str, element: Uses, character: Uses) -> Motion {
    Motion { name, element, character }
}

/// Every motion: name, use on elements, use on characters.
pub static MOTIONS: [Motion; 43] = [
    motion("fade", Uses::BOTH, Uses::BOTH),
    motion("slide_up", Uses::BOTH, Uses::BOTH),
    motion("slide_down", Uses::BOTH, Uses::BOTH),
    motion("slide_left", Uses::BOTH, Uses::BOTH),
    motion("slide_right", Uses::BOTH, Uses::BOTH),
    motion("rotate_cw", Uses::BOTH, Uses::NONE),
    motion("rotate_ccw", Uses::BOTH, Uses::NONE),
    motion("bounce", Uses::BOTH, Uses::IN),
    motion("wipe_left", Uses::BOTH, Uses::NONE),
    motion("wipe_right", Uses::BOTH, Uses::NONE),
    motion("wipe_up", Uses::BOTH, Uses::NONE),
    motion("wipe_down", Uses::BOTH, Uses::NONE),
    motion("zoom_in", Uses::IN, Uses::BOTH),
    motion("ken_burns_in", Uses::IN, Uses::NONE),
    motion("ken_burns_out", Uses::IN, Uses::NONE),
    motion("ken_burns_in_out", Uses::IN, Uses::NONE),
    motion("blur", Uses::IN, Uses::IN),
    motion("bounce_motion", Uses::IN, Uses::IN),
    motion("explode", Uses::IN, Uses::IN),
    motion("overlay", Uses::IN, Uses::NONE),
    motion("difference", Uses::IN, Uses::NONE),
    motion("rubber_in", Uses::IN, Uses::IN),
    motion("whip_up", Uses::IN, Uses::IN),
    motion("glitch_pop", Uses::IN, Uses::IN),
    motion("drift_in", Uses::IN, Uses::IN),
    motion("swing_in", Uses::IN, Uses::NONE),
    motion("elastic_rise", Uses::IN, Uses::NONE),
    motion("tilt_zoom", Uses::IN, Uses::NONE),
    motion("smooth_pop", Uses::IN, Uses::NONE),
    motion("zoom_out", Uses::OUT, Uses::NONE),
    motion("evaporate", Uses::OUT, Uses::OUT),
    motion("whip_down", Uses::OUT, Uses::OUT),
    motion("drift_out", Uses::OUT, Uses::OUT),
    motion("swing_out", Uses::OUT, Uses::NONE),
    motion("elastic_drop", Uses::OUT, Uses::NONE),
    motion("loop_wiggle", Uses::LOOP, Uses::NONE),
    motion("loop_rotate", Uses::LOOP, Uses::NONE),
    motion("loop_rotate_smooth", Uses::LOOP, Uses::NONE),
    motion("loop_3d_spin", Uses::LOOP, Uses::NONE),
    motion("loop_3d_sway", Uses::LOOP, Uses::NONE),
    motion("loop_breathe", Uses::LOOP, Uses::LOOP),
    motion("loop_shimmer", Uses::LOOP, Uses::LOOP),
    motion("loop_orbit", Uses::LOOP, Uses::NONE),
];

/// The names alone, in the same order.
pub(super) static MOTION_NAMES: [&str; MOTIONS.len()] = {
    let mut names = [""; MOTIONS.len()];
    let mut at = 0;
    while at < MOTIONS.len() {
        names[at] = MOTIONS[at].name;
        at += 1;
    }
    names
};
