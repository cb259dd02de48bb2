//! Transitions: each entry by its schema, and the two elements it joins, named or found.

mod pairing;

use std::collections::BTreeMap;

use serde::Deserialize as _;
use serde::de::{IntoDeserializer as _, value::Error as WordError};
use serde_json::Value;

use super::reader::Reader;
use super::report::{Report, quoted};
use crate::catalog;
use crate::element::Element;
use crate::problem::ProblemCode;
use crate::schema::animation::TRANSITION;
use crate::time::Ticks;
use crate::transition::{Transition, TransitionKind};
use pairing::{Pairing, Wish};

/// The elements of one list with each id, by their index in the document.
type Ids = BTreeMap<String, Vec<usize>>;

/// Reads the `transitions` beside a list of elements.
pub(super) fn read(owner: &mut Reader<'_, '_, '_>, elements: &[Element]) -> Vec<Transition> {
    let entries = owner.entries("transitions");
    if entries.is_empty() {
        return Vec::new();
    }
    let listed = owner.given("elements").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let ids = ids_of(listed);
    let before = owner.report.count();
    let wishes: Vec<Wish> =
        entries.into_iter().filter_map(|(path, value)| wish(path, value, &ids, owner.report)).collect();
    let all_is_well = before == owner.report.count();
    let faulty = owner.report.faulty_entries(&owner.path_of("elements"));
    let all_is_well = all_is_well && faulty.is_empty() && listed.len() == elements.len();
    let mut pairing = Pairing::new(listed, elements, &faulty);
    let mut made = pairing.named(&wishes, owner.report);
    // Who follows whom is known only where nothing is wrong with anyone.
    if all_is_well {
        made.extend(pairing.found(&wishes, owner.report));
    }
    made
}

/// What one entry asks for; `None`: it is refused already, or it is no transition of this version.
fn wish(path: String, value: &Value, ids: &Ids, report: &mut Report<'_>) -> Option<Wish> {
    let mut transition = Reader::open(&TRANSITION, value, path.clone(), report)?;
    let name = transition.known_word("type");
    if name.is_some_and(|name| !catalog::TRANSITIONS.is_available(name)) {
        transition.mute();
    }
    let (from, to): (Option<String>, Option<String>) =
        (transition.optional("from_id"), transition.optional("to_id"));
    let ends = if from.is_some() && from == to {
        let given = quoted(&to.unwrap_or_default());
        let message = format!("from_id and to_id are both {given}; name two elements");
        transition.problem("to_id", ProblemCode::TransitionSelf, message);
        None
    } else {
        let from = end(&mut transition, "from_id", from, ids);
        let to = end(&mut transition, "to_id", to, ids);
        from.zip(to)
    };
    let duration: Option<Ticks> = transition.optional("duration");
    let z_index = transition.optional("z_index");
    transition.finish();
    let (from, to) = ends?;
    Some(Wish { path, kind: kind_of(name?)?, from, to, duration: duration?, z_index })
}

/// The element at one end: `None` where its name is no good, `Some(None)` where it has none.
fn end(
    transition: &mut Reader<'_, '_, '_>,
    field: &'static str,
    id: Option<String>,
    ids: &Ids,
) -> Option<Option<usize>> {
    let Some(id) = id else { return Some(None) };
    let given = quoted(&id);
    match ids.get(&id).map_or(&[][..], Vec::as_slice) {
        [only] => Some(Some(*only)),
        [] => {
            let near = transition.report.hint(&id, ids.keys().map(String::as_str));
            let message = format!("{field} is {given}, which is no element's id{near}");
            transition.problem(field, ProblemCode::DanglingTransition, message);
            None
        }
        several => {
            let count = several.len();
            let message = format!("{field} is {given}, the id of {count} elements; give each its own");
            transition.problem(field, ProblemCode::DuplicateElementId, message);
            None
        }
    }
}

fn kind_of(name: &str) -> Option<TransitionKind> {
    let alias = catalog::TRANSITION_ALIASES.iter().find(|(alias, _)| *alias == name);
    let word = alias.map_or(name, |(_, word)| word);
    let kind: Result<TransitionKind, WordError> = TransitionKind::deserialize(word.into_deserializer());
    kind.ok()
}

/// Found in the document itself, so that an element's own faults do not make its id unknown.
fn ids_of(listed: &[Value]) -> Ids {
    let mut ids = Ids::new();
    for (index, element) in listed.iter().enumerate() {
        if let Some(id) = element.get("id").and_then(Value::as_str) {
            ids.entry(id.to_owned()).or_default().push(index);
        }
    }
    ids
}
