//! What scripts print, as values of JSON; and the time.

use std::collections::BTreeMap;

use serde_json::Value;
use skep::lang::trace::output::series::strftime;

/// The maps that a script printed since the last output, by name.
pub type Maps = BTreeMap<String, Value>;

/// Now, by the clock on the wall.
pub fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(0))
}

/// The time of day.
pub fn clock() -> String {
    strftime("%H:%M:%S", now())
}

/// A number, which JSON may hold as text.
pub fn number(value: Option<&Value>) -> i64 {
    match value {
        Some(Value::Number(number)) => {
            number.as_i64().or_else(|| number.as_u64().map(u64::cast_signed)).unwrap_or(0)
        }
        Some(Value::String(text)) => {
            text.parse::<i64>().or_else(|_| text.parse::<u64>().map(u64::cast_signed)).unwrap_or(0)
        }
        Some(Value::Bool(truth)) => i64::from(*truth),
        _ => 0,
    }
}
