//! Fields as JSON: what `GET /v1/capabilities` shows and `contract.json` is held against.

use serde_json::{Map, Value, json};

use super::kind::{Kind, Range};
use super::{Field, Preset, Support};

impl Preset {
    /// The default as the wire writes it; `None` where the field is required.
    #[must_use]
    pub fn to_json(self) -> Option<Value> {
        match self {
            Preset::Required => None,
            Preset::Null => Some(Value::Null),
            Preset::Number(number) => Some(number_json(number)),
            Preset::Flag(flag) => Some(json!(flag)),
            Preset::Text(text) => Some(json!(text)),
            Preset::EmptyList => Some(json!([])),
            Preset::EmptyMap => Some(json!({})),
        }
    }
}

impl Field {
    /// Type, default and range in the contract's words: `{"type": "number", "default": 0, "min": 0}`.
    #[must_use]
    pub fn contract(&self) -> Map<String, Value> {
        let mut shown = Map::new();
        let nullable = if self.default == Preset::Null { "|null" } else { "" };
        shown.insert("type".to_owned(), json!(format!("{}{nullable}", self.kind.wire_type())));
        shown.insert("required".to_owned(), json!(self.default == Preset::Required));
        if let Some(default) = self.default.to_json() {
            shown.insert("default".to_owned(), default);
        }
        let Range { min, max, above_min } = self.kind.range();
        let min_key = if above_min { "exclusive_min" } else { "min" };
        for (key, bound) in [(min_key, min), ("max", max)] {
            if let Some(bound) = bound {
                shown.insert(key.to_owned(), number_json(bound));
            }
        }
        match self.kind {
            Kind::Text(min) if min > 0 => shown.insert("min_length".to_owned(), json!(min)),
            Kind::Strings(max) => shown.insert("max_items".to_owned(), json!(max)),
            _ => None,
        };
        for (key, flag) in [("keyframes", self.keyframes.is_some()), ("extension", self.extension)] {
            if flag {
                shown.insert(key.to_owned(), json!(true));
            }
        }
        shown
    }

    /// The same with whether this version carries the field out, and its keyframes, and which words of a list.
    #[must_use]
    pub fn capability(&self) -> Value {
        let mut shown = self.contract();
        shown.insert("supported".to_owned(), json!(self.support == Support::Full));
        if let Some(support) = self.keyframes {
            shown.insert("keyframes".to_owned(), json!(support == Support::Full));
        }
        if let Kind::Choice(choices) = self.kind {
            let supported: Vec<_> = choices.available_words().collect();
            shown.insert("supported_values".to_owned(), json!(supported));
        }
        Value::Object(shown)
    }
}

/// Whole numbers without a fraction, as people write them.
pub(super) fn number_json(number: f64) -> Value {
    // 2^53: the integers a JSON number can be relied on to hold (RFC 8259, 6).
    if number.fract() == 0.0 && number.abs() <= 9_007_199_254_740_992.0 {
        json!(number as i64)
    } else {
        json!(number)
    }
}
