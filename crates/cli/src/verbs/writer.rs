//! JSON as bpftool lays it out: on one line, or with members on lines of their own, four
//! columns deeper each, and elements side by side.

use serde_json::Value as Json;

/// The text of a value.
pub fn text(json: &Json, pretty: bool) -> String {
    if !pretty {
        return json.to_string();
    }
    let mut out = String::new();
    write(json, 0, &mut out);
    out
}

fn line(depth: usize, out: &mut String) {
    out.push('\n');
    out.extend(std::iter::repeat_n("    ", depth));
}

/// Writes a value that stands `depth` deep.
pub fn write(json: &Json, depth: usize, out: &mut String) {
    match json {
        Json::Object(members) => {
            out.push('{');
            for (index, (name, value)) in members.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                line(depth + 1, out);
                out.push_str(&Json::from(name.as_str()).to_string());
                out.push_str(": ");
                write(value, depth + 1, out);
            }
            if !members.is_empty() {
                line(depth, out);
            }
            out.push('}');
        }
        Json::Array(elements) => {
            out.push('[');
            for (index, element) in elements.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write(element, depth + 1, out);
            }
            if !elements.is_empty() {
                line(depth, out);
            }
            out.push(']');
        }
        other => out.push_str(&other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::text;

    #[test]
    fn members_have_lines_and_elements_stand_side_by_side() {
        let value = json!([{"id": 1, "list": [1, 2], "none": []}, {}]);
        let pretty = "[{\n        \"id\": 1,\n        \"list\": [1,2\n        ],\n        \
                      \"none\": []\n    },{}\n]";
        assert_eq!(text(&value, true), pretty);
        assert_eq!(text(&value, false), r#"[{"id":1,"list":[1,2],"none":[]},{}]"#);
    }
}
