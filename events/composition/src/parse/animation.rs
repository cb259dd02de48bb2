//! Effects and motions: each entry by its schema, and what each motion serves.

use super::reader::Reader;
use crate::catalog;
use crate::problem::ProblemCode;
use crate::schema::animation::{EFFECT, MOTION};

/// Checks the element's `effects`.
pub(super) fn effects(element: &mut Reader<'_, '_, '_>) {
    for (path, value) in element.entries("effects") {
        let Some(mut effect) = Reader::open(&EFFECT, value, path, element.report) else { continue };
        if effect.known_word("type").is_some_and(|name| !catalog::EFFECTS.is_available(name)) {
            effect.mute();
        }
        effect.finish();
    }
}

/// Checks the element's `motion`.
pub(super) fn motions(element: &mut Reader<'_, '_, '_>, on_text: bool) {
    for (path, value) in element.entries("motion") {
        let Some(mut motion) = Reader::open(&MOTION, value, path, element.report) else { continue };
        let name = motion.known_word("type");
        if name.is_some_and(|name| !catalog::MOTION_TYPES.is_available(name)) {
            motion.mute();
        }
        if let Some(known) = name.and_then(catalog::motion) {
            use_of(known, &mut motion, on_text);
        }
        motion.finish();
    }
}

/// Refuses a use that the motion does not serve. A name with only an exit use is an exit whatever `reversed` says.
fn use_of(known: &catalog::motion::Motion, motion: &mut Reader<'_, '_, '_>, on_text: bool) {
    let by_character = motion.known_word("scope") == Some("character");
    let uses = if by_character { known.character } else { known.element };
    let (field, fault) = if by_character && !on_text {
        ("scope", "moves characters only in text elements")
    } else if uses == catalog::motion::Uses::NONE {
        ("scope", "does not move single characters")
    } else if motion.optional("loop") == Some(true) && !uses.repeat {
        ("loop", "does not repeat")
    } else if motion.defaulted("reversed") && !uses.exit && !uses.repeat {
        ("reversed", "is no exit")
    } else {
        return;
    };
    let (name, element, character) = (known.name, list(known.element), list(known.character));
    let message = format!("{name} {fault}; it serves elements as {element}, characters as {character}");
    motion.problem(field, ProblemCode::ConflictingFields, message);
}

fn list(uses: catalog::motion::Uses) -> String {
    let words = uses.words();
    if words.is_empty() { "nothing".to_owned() } else { words.join(" and ") }
}
