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
            "role" => fit_once(&mut turn.role, value, text)?,
            "content" => fit_once(&mut turn.content, value, text)?,
            "timestamp" => fit_once(&mut turn.timestamp, value, time)?,
            _ => return None,
        }
    }
    (element.kind() == Kind::Object).then_some(turn)
}

fn fit_once<'d, T>(
    field: &mut Option<T>,
    value: Value<'d>,
    fit: impl Fn(Value<'d>) -> Option<Fitted<T>>,
) -> Option<()> {
    let fitted = fit(value).filter(|fitted| fitted.whole)?;
    let is_first = field.replace(fitted.value).is_none();
    (is_first && value.kind() != Kind::BrokenString).then_some(())
}
