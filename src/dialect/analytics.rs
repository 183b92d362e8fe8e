//! The evaluation of a call: a summary, and metrics in either of the sender's two forms.

use std::borrow::Cow;

use super::fit::{Fitted, metric_type, number, text};
use super::reader::Reader;
use crate::event::json::{Kind, Value};
use crate::event::{Analytics, Metric, Raw};

/// Reads what there is; `None` when there is nothing.
pub(super) fn read<'d>(reader: &mut Reader<'d>) -> Option<Analytics<'d>> {
    let entered = reader.enter("analytics");
    let summary = reader.take(&["summary"], text);
    let mut metrics = None;
    for category in [&DISPOSITION, &SUCCESS] {
        if let Some(list) = categorized(reader, category) {
            metrics.get_or_insert_with(Vec::new).extend(list);
        }
    }
    if let Some(list) = plain(reader) {
        metrics.get_or_insert_with(Vec::new).extend(list);
    }
    if entered {
        reader.leave();
    }
    (entered || summary.is_some() || metrics.is_some()).then_some(Analytics { summary, metrics })
}

/// A list of metrics that describe themselves.
struct Category {
    list: &'static str,
    name: &'static str,
}

const DISPOSITION: Category = Category {
    list: "dispositionMetrics",
    name: "disposition",
};
const SUCCESS: Category = Category {
    list: "successMetrics",
    name: "success",
};
const TYPES: [&str; 3] = ["dispositionMetricType", "successMetricType", "type"];
const PROMPTS: [&str; 3] = ["dispositionMetricPrompt", "successMetricPrompt", "prompt"];

fn categorized<'d>(reader: &mut Reader<'d>, category: &Category) -> Option<Vec<Metric<'d>>> {
    let (pointer, list) = reader.take_array(category.list)?;
    let metrics = list
        .elements()
        .enumerate()
        .filter_map(|(position, element)| {
            let mut members = reader.members(&pointer, position, element)?;
            let value = members.take("value", scalar);
            let metric = Metric {
                identifier: members.take("identifier", text),
                category: Some(category.name),
                metric_type: members.take_any(&TYPES, metric_type),
                value_text: value.as_ref().map(|scalar| scalar.text.clone()),
                value: value.map(|scalar| scalar.json),
                confidence: members.take("confidence", number).map(Raw::of),
                reasoning: members.take("reasoning", text),
                prompt: members.take_any(&PROMPTS, text),
            };
            members.finish(reader);
            Some(metric)
        });
    Some(metrics.collect())
}

/// An object of name and value; its metrics are sorted, since members of an object have no order.
fn plain<'d>(reader: &mut Reader<'d>) -> Option<Vec<Metric<'d>>> {
    let mut members = reader.take_members("metrics")?;
    let mut metrics: Vec<_> = members
        .take_all(scalar)
        .map(|(identifier, value)| Metric {
            identifier: Some(identifier),
            metric_type: Some(Cow::Borrowed(value.type_name)),
            value: Some(value.json),
            value_text: Some(value.text),
            ..Metric::default()
        })
        .collect();
    members.finish(reader);
    metrics.sort_by(|a, b| a.identifier.cmp(&b.identifier));
    Some(metrics)
}

/// A string, a number or a boolean.
#[derive(PartialEq)]
pub(super) struct ScalarValue<'d> {
    json: Raw<'d>,
    text: Cow<'d, str>,
    type_name: &'static str,
}

fn scalar(value: Value<'_>) -> Option<Fitted<ScalarValue<'_>>> {
    let (type_name, text) = match value.kind() {
        Kind::PlainString | Kind::EscapedString | Kind::BrokenString => ("string", value.text()?),
        Kind::Number if value.raw().contains(['.', 'e', 'E']) => {
            ("number", Cow::Borrowed(value.raw()))
        }
        Kind::Number => ("integer", Cow::Borrowed(value.raw())),
        Kind::Boolean => ("boolean", Cow::Borrowed(value.raw())),
        Kind::Null | Kind::Array | Kind::Object => return None,
    };
    let json = if value.kind() == Kind::BrokenString {
        Raw::of(serde_json::to_string(&text).ok()?)
    } else {
        Raw::of(value.raw())
    };
    Some(Fitted {
        value: ScalarValue {
            json,
            text,
            type_name,
        },
        whole: true,
    })
}
