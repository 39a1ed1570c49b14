//! JSON of a document beside what a command printed: the same members, whatever their values.
//!
//! A member `"..."` says that there are others. What stands below a key, a value or a record
//! comes from a program's own types, and is not looked at.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, bail};
use serde_json::Value;

/// Members whose values are a program's own.
const OWN: [&str; 6] = ["key", "value", "sum", "cpus", "records", "elements"];
/// Says that there are others.
const OTHERS: &str = "...";

/// The members of each object, by the path to it.
type Members = BTreeMap<String, BTreeSet<String>>;

/// The JSON in an output: whole, or a value a line.
pub fn values(output: &str) -> Vec<Value> {
    serde_json::Deserializer::from_str(output).into_iter().map_while(Result::ok).collect()
}

/// Compares the members.
///
/// # Errors
/// Those that only one of them has, or nothing to compare with.
pub fn compare(documented: &Value, printed: &[Value]) -> Result<()> {
    if printed.is_empty() {
        bail!("no step with --json comes before this JSON");
    }
    let (mut wanted, mut found) = (Members::new(), Members::new());
    collect(documented, "", &mut wanted);
    printed.iter().for_each(|value| collect(value, "", &mut found));
    let mut wrong = Vec::new();
    let nothing = BTreeSet::new();
    for (path, names) in &wanted {
        let has = found.get(path).unwrap_or(&nothing);
        let missing = names.iter().filter(|name| *name != OTHERS && !has.contains(*name));
        wrong.extend(missing.map(|name| format!("{path}.{name} is not printed")));
        if !names.contains(OTHERS) {
            let more = has.iter().filter(|name| !names.contains(*name));
            wrong.extend(more.map(|name| format!("{path}.{name} is not documented")));
        }
    }
    match wrong.is_empty() {
        true => Ok(()),
        false => bail!("{}", wrong.join("; ")),
    }
}

/// Compares the names of a table with the members of each line.
///
/// # Errors
/// Those that only one of them has, or nothing to compare with.
pub fn members(names: &[String], printed: &[Value]) -> Result<()> {
    let mut documented = serde_json::Map::new();
    documented.extend(names.iter().map(|name| (name.clone(), Value::Null)));
    compare(&Value::Object(documented), printed)
}

fn collect(value: &Value, path: &str, members: &mut Members) {
    match value {
        Value::Object(object) => {
            let names = members.entry(path.to_owned()).or_default();
            names.extend(object.keys().cloned());
            for (name, value) in object.iter().filter(|(name, _)| !OWN.contains(&name.as_str())) {
                collect(value, &format!("{path}.{name}"), members);
            }
        }
        Value::Array(all) => {
            all.iter().for_each(|value| collect(value, &format!("{path}[]"), members));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn members_are_compared_and_values_are_not() {
        let documented = json!({ "a": 1, "list": [{ "x": 1, "y": { "z": 0 } }] });
        let printed = [json!({ "a": null, "list": [{ "x": "u" }, { "x": 2, "y": { "z": [] } }] })];
        assert!(compare(&documented, &printed).is_ok());
        let text = |printed: Value| compare(&documented, &[printed]).unwrap_err().to_string();
        assert!(text(json!({ "a": 1, "list": [] })).contains(".list[].x is not printed"));
        assert!(text(json!({ "a": 1, "b": 1 })).contains(".b is not documented"));
        assert!(compare(&json!({ "...": 0 }), &printed).is_ok());
        assert!(compare(&documented, &[]).is_err());
    }
}
