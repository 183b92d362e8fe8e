//! What was said in a call, turn by turn.

use super::fit::{Fitted, text, time};
use super::reader::Reader;
use crate::event::Turn;
use crate::event::json::{Kind, Value};

/// Reads what there is; `None` when there is no list.
pub(super) fn read<'d>(reader: &mut Reader<'d>) -> Option<Vec<Turn<'d>>> {
    let (pointer, list) = reader.take_array("transcript")?;
    let mut turns = Vec::with_capacity(list.elements().count());
    for (position, element) in list.elements().enumerate() {
        if let Some(turn) = usual_turn(element) {
            turns.push(turn);
            continue;
        }
        let Some(mut members) = reader.members(&pointer, position, element) else {
            continue;
        };
        turns.push(Turn {
            role: members.take("role", text),
            content: members.take("content", text),
            timestamp: members.take("timestamp", time),
        });
        members.finish(reader);
    }
    Some(turns)
}

/// Reads the turn that nearly every one is, whose fields say all that was sent; `None` for any other, of which there is
/// something to keep.
fn usual_turn<'d>(element: Value<'d>) -> Option<Turn<'d>> {
    let mut turn = Turn::default();
    for (key, value) in element.members() {
        match key.inner() {
            "role" => fit_whole(&mut turn.role, value, text)?,
            "content" => fit_whole(&mut turn.content, value, text)?,
            "timestamp" => fit_whole(&mut turn.timestamp, value, time)?,
            _ => return None,
        }
    }
    (element.kind() == Kind::Object).then_some(turn)
}

fn fit_whole<'d, T>(
    field: &mut Option<T>,
    value: Value<'d>,
    fit: impl Fn(Value<'d>) -> Option<Fitted<T>>,
) -> Option<()> {
    let fitted = fit(value).filter(|fitted| fitted.whole)?;
    // Of repeated names the last one wins.
    *field = Some(fitted.value);
    (value.kind() != Kind::BrokenString).then_some(())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::dialect::{Arrival, parse};
    use crate::event::Origin;
    use crate::event::json::Document;
    use crate::time::Timestamp;

    fn event(turn: &str) -> Value {
        let body = format!(r#"{{"callId":"c","transcript":[{turn}]}}"#);
        let document = Document::parse(body.as_bytes()).unwrap();
        let arrival = Arrival {
            webhook: "default",
            id: "69fd96578d7c3809f58ce555",
            received_at: Timestamp::from_unix_ms(1_778_226_775_412),
            origin: Origin::Webhook,
        };
        serde_json::to_value(parse(&document, &arrival).unwrap()).unwrap()
    }

    /// A member that no field carries makes any turn an unusual one.
    #[test]
    fn a_usual_turn_is_read_as_an_unusual_one() {
        for members in [
            r#""role":"agent","content":"Hello\n","timestamp":"2026-05-08T07:52:05.123Z""#,
            r#""timestamp":"2026-05-08T07:52:05.123456Z","role":"agent""#,
            r#""timestamp":"yesterday","content":"""#,
            r#""content":"\ud800","role":"user""#,
            r#""content":"first","content":"last""#,
            r#""content":"first","content":1"#,
            r#""role":1,"content":null"#,
            r#""rol\u0065":"agent","\ud800":1"#,
        ] {
            let mut unusual = event(&format!(r#"{{"new":0,{members}}}"#));
            let unmapped = unusual["unmapped"].as_object_mut().unwrap();
            assert_eq!(unmapped.remove("/transcript/0/new"), Some(json!(0)));
            let nothing_else = unmapped.is_empty();
            if nothing_else {
                unusual.as_object_mut().unwrap().remove("unmapped");
            }
            assert_eq!(event(&format!("{{{members}}}")), unusual, "{members}");
        }
    }

    #[test]
    fn an_element_that_is_no_object_is_no_turn() {
        let event = event("[],{}");
        assert_eq!(event["transcript"], json!([{}]));
        assert_eq!(event["unmapped"], json!({"/transcript/0": []}));
    }
}
