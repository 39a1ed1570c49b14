//! Elements by the types that the object itself has for them, through serde: no Rust
//! structure has to repeat a C structure's layout, and renamed or moved members are
//! found by their names.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value as Json, json};
use skep_btf::value::{self, Value};

use super::element::{Element, Place};
use crate::error::AccessError;

/// A key or value that is read and written by the map's BTF, in any form that serde can
/// give it: a structure with `#[derive(Serialize, Deserialize)]` whose fields have the
/// names of the C members, a map of names, or `serde_json::Value`.
///
/// Numbers are numbers (those of more than 64 bits are strings), enumerators their names,
/// addresses and pointers text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct ByBtf<T>(pub T);

impl<T: Serialize + DeserializeOwned> Element for ByBtf<T> {
    fn fits(place: &Place<'_>) -> Result<(), AccessError> {
        match (place.cpus, place.btf) {
            (Some(_), _) => Err(place.wrong("is one for each CPU: take PerCpu<ByBtf<T>>")),
            (None, Some(_)) => Ok(()),
            (None, None) => Err(place.wrong("has no type: compile with -g")),
        }
    }

    fn encode(&self, place: &Place<'_>) -> Result<Vec<u8>, AccessError> {
        let Some((btf, id)) = place.btf else { return Err(place.wrong("has no type")) };
        let text = match serde_json::to_value(&self.0).map_err(|error| failed(place, error))? {
            Json::String(text) => text,
            other => other.to_string(),
        };
        value::encode(btf, id, &text).map_err(|error| failed(place, error))
    }

    fn decode(bytes: &[u8], place: &Place<'_>) -> Result<ByBtf<T>, AccessError> {
        let Some((btf, id)) = place.btf else { return Err(place.wrong("has no type")) };
        let value = value::decode(btf, id, bytes).map_err(|error| failed(place, error))?;
        serde_json::from_value(to_json(&value)).map(ByBtf).map_err(|error| failed(place, error))
    }
}

fn failed(place: &Place<'_>, error: impl std::error::Error + Send + Sync + 'static) -> AccessError {
    let reason = error.to_string();
    let (name, part) = (place.map.into(), place.part);
    AccessError::Element { name, part, reason, source: Some(std::sync::Arc::new(error)) }
}

/// A decoded value as JSON: numbers as numbers, up to 64 bits, beyond as strings; what has
/// a text of its own (addresses, enumerators, bytes) as that.
pub fn to_json(of: &Value) -> Json {
    match of {
        Value::Bool(value) => json!(value),
        Value::Unsigned(number) => match u64::try_from(*number) {
            Ok(number) => json!(number),
            Err(_) => json!(number.to_string()),
        },
        Value::Signed(number) | Value::Enum { name: None, value: number } => {
            match i64::try_from(*number) {
                Ok(number) => json!(number),
                Err(_) => json!(number.to_string()),
            }
        }
        Value::Float(number) => json!(number),
        Value::Pointer(address) => json!(format!("{address:#x}")),
        Value::Enum { name: Some(name), .. } => json!(name),
        Value::Text(text) => json!(text),
        Value::Array(elements) => elements.iter().map(to_json).collect(),
        Value::Struct(members) => {
            Json::Object(members.iter().map(|(name, of)| (name.clone(), to_json(of))).collect())
        }
        Value::Address(_) | Value::Mac(_) | Value::Bytes(_) => json!(of.to_string()),
    }
}
