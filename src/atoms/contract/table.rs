//! The table itself, an entry a call.
//!
//! Members that the sender's documents call optional, or that only some of them show, are `maybe`; objects of which the
//! documents show only a part are `Open`.

use super::shape::{Field, Shape, always, maybe};
use super::{
    Call, LARGEST_PAGE, MOST_HEADERS, MOST_SEARCHED, Parameter, ParameterValue, Repeatable,
};

/// Every call.
pub static ALL: [&Call; 12] = [
    &WEBHOOKS,
    &CREATE_WEBHOOK,
    &UPDATE_WEBHOOK,
    &DELETE_WEBHOOK,
    &SUBSCRIPTIONS,
    &SUBSCRIBE,
    &UNSUBSCRIBE,
    &AGENTS,
    &CALLS,
    &SEARCH_CALLS,
    &CALL,
    &RETRIES,
];

/// All webhooks, or one.
pub static WEBHOOKS: Call = Call {
    method: "GET",
    path: "/webhook",
    query: &[Parameter {
        name: "webhookId",
        value: ParameterValue::Id,
    }],
    body: None,
    done: 200,
    data: Shape::Either(&[Shape::List(&WEBHOOK, usize::MAX), WEBHOOK]),
    repeatable: Repeatable::Yes,
};

/// Makes a webhook with its subscriptions; 400 when there is one for that address.
pub static CREATE_WEBHOOK: Call = Call {
    method: "POST",
    path: "/webhook",
    query: &[],
    body: Some(Shape::Object(&[
        always("endpoint", Shape::Text),
        always("description", Shape::Text),
        always(
            "events",
            Shape::List(
                &Shape::Object(&[always("agentId", Shape::Text), always("eventType", EVENT)]),
                usize::MAX,
            ),
        ),
    ])),
    done: 201,
    data: Shape::Text,
    repeatable: Repeatable::No,
};

/// Changes a webhook; its headers are replaced whole, and an empty object clears them.
pub static UPDATE_WEBHOOK: Call = Call {
    method: "PATCH",
    path: "/webhook/{webhookId}",
    query: &[],
    body: Some(Shape::Object(&[
        maybe("endpoint", Shape::Text),
        maybe("description", Shape::Text),
        maybe("headers", Shape::Named(&Shape::Text, MOST_HEADERS)),
    ])),
    done: 200,
    data: Shape::Text,
    repeatable: Repeatable::Yes,
};

/// Removes a webhook; 400 while any agent subscribes to it.
pub static DELETE_WEBHOOK: Call = Call {
    method: "DELETE",
    path: "/webhook/{webhookId}",
    query: &[],
    body: None,
    done: 200,
    data: Shape::Any,
    repeatable: Repeatable::Yes,
};

/// What an agent subscribes to, a row for each type.
pub static SUBSCRIPTIONS: Call = Call {
    method: "GET",
    path: "/agent/{agentId}/webhook-subscriptions",
    query: &[],
    body: None,
    done: 200,
    data: Shape::List(
        &Shape::Open(&[
            always("_id", Shape::Text),
            always("webhookId", Shape::Text),
            always("agentId", Shape::Text),
            always("eventType", Shape::Text),
        ]),
        usize::MAX,
    ),
    repeatable: Repeatable::Yes,
};

/// Subscribes an agent to a webhook, **and takes away its subscriptions to every other one**.
pub static SUBSCRIBE: Call = Call {
    method: "POST",
    path: "/agent/{agentId}/webhook-subscriptions",
    query: &[],
    body: Some(Shape::Object(&[
        always("webhookId", Shape::Text),
        always("eventTypes", Shape::List(&EVENT, 3)),
    ])),
    done: 201,
    data: Shape::Any,
    repeatable: Repeatable::Yes,
};

/// Takes all of an agent's subscriptions away.
pub static UNSUBSCRIBE: Call = Call {
    method: "DELETE",
    path: "/agent/{agentId}/webhook-subscriptions",
    query: &[],
    body: None,
    done: 200,
    data: Shape::Any,
    repeatable: Repeatable::Yes,
};

/// The agents, page by page; `offset` is how many a page holds.
pub static AGENTS: Call = Call {
    method: "GET",
    path: "/agent",
    query: &[
        Parameter {
            name: "page",
            value: ParameterValue::UpTo(u32::MAX),
        },
        Parameter {
            name: "offset",
            value: ParameterValue::UpTo(u32::MAX),
        },
        Parameter {
            name: "archived",
            value: ParameterValue::Word(&["true", "false"]),
        },
    ],
    body: None,
    done: 200,
    data: Shape::Open(&[
        always(
            "agents",
            Shape::List(
                &Shape::Open(&[always("_id", Shape::Text), maybe("name", TEXT_OR_NULL)]),
                usize::MAX,
            ),
        ),
        always("total", Shape::Number),
    ]),
    repeatable: Repeatable::Yes,
};

/// The calls, the one that changed last first. Rows do not say when they changed, and pages shift while they are read.
/// Other orders and ranges can time out.
pub static CALLS: Call = Call {
    method: "GET",
    path: "/conversation",
    query: &[
        Parameter {
            name: "page",
            value: ParameterValue::UpTo(u32::MAX),
        },
        Parameter {
            name: "limit",
            value: ParameterValue::UpTo(LARGEST_PAGE),
        },
        Parameter {
            name: "callAttemptFilter",
            value: ParameterValue::Word(&["all"]),
        },
    ],
    body: None,
    done: 200,
    data: Shape::Open(&[
        always("logs", Shape::List(&ROW, LARGEST_PAGE as usize)),
        always(
            "pagination",
            Shape::Open(&[always("hasMore", Shape::Boolean)]),
        ),
    ]),
    repeatable: Repeatable::Yes,
};

/// Up to 100 calls by their ids.
pub static SEARCH_CALLS: Call = Call {
    method: "POST",
    path: "/conversation/search",
    query: &[],
    body: Some(Shape::Object(&[always(
        "callIds",
        Shape::List(&Shape::Text, MOST_SEARCHED),
    )])),
    done: 200,
    data: Shape::Open(&[always("logs", Shape::List(&ROW, MOST_SEARCHED))]),
    repeatable: Repeatable::Yes,
};

/// All that is known of one call; it fills in for some time after the call has ended.
pub static CALL: Call = Call {
    method: "GET",
    path: "/conversation/{callId}",
    query: &[],
    body: None,
    done: 200,
    data: Shape::Open(&DETAIL),
    repeatable: Repeatable::Yes,
};

/// The further tries of a call, which the list may leave out.
pub static RETRIES: Call = Call {
    method: "GET",
    path: "/conversation/{callId}/retries",
    query: &[],
    body: None,
    done: 200,
    data: Shape::Open(&[always("retries", Shape::List(&ROW, usize::MAX))]),
    repeatable: Repeatable::Yes,
};

/// An answer that it was done.
pub(super) const DONE: Shape =
    Shape::Object(&[always("status", Shape::Boolean), always("data", Shape::Any)]);

/// An answer that it was not.
pub(super) const FAILED: Shape = Shape::Open(&[
    always("status", Shape::Boolean),
    maybe("errors", Shape::List(&Shape::Any, usize::MAX)),
    maybe("retry_after", Shape::Number),
]);

const EVENT: Shape = Shape::Word(&[
    "pre-conversation",
    "post-conversation",
    "analytics-completed",
]);
const TEXT_OR_NULL: Shape = Shape::Either(&[Shape::Text, Shape::Null]);

const WEBHOOK: Shape = Shape::Open(&[
    always("_id", Shape::Text),
    always("url", Shape::Text),
    maybe("description", TEXT_OR_NULL),
    always("status", Shape::Word(&["enabled", "disabled"])),
    always("subscriptions", Shape::List(&SUBSCRIPTION, usize::MAX)),
    maybe("decryptedSecretKey", Shape::Text),
]);

const SUBSCRIPTION: Shape = Shape::Open(&[
    always("_id", Shape::Text),
    always("webhookId", Shape::Text),
    always(
        "agentId",
        Shape::Either(&[
            Shape::Null,
            Shape::Open(&[always("_id", Shape::Text), maybe("name", TEXT_OR_NULL)]),
        ]),
    ),
    always("eventType", Shape::Text),
]);

const ROW: Shape = Shape::Open(&[
    always("callId", Shape::Text),
    always("status", STATUS),
    maybe("agentId", Shape::Any),
    maybe("createdAt", Shape::Text),
    maybe("disconnectionReason", TEXT_OR_NULL),
    maybe("isTest", Shape::Boolean),
    maybe("versionId", TEXT_OR_NULL),
    maybe(
        "versionNumber",
        Shape::Either(&[Shape::Number, Shape::Null]),
    ),
    maybe("retryCount", Shape::Number),
    maybe("retryAttemptNumber", Shape::Number),
    maybe(
        "agentDispositionConfig",
        Shape::List(
            &Shape::Open(&[
                always("identifier", Shape::Text),
                always("type", Shape::Text),
            ]),
            usize::MAX,
        ),
    ),
    maybe("type", TYPE),
    maybe("duration", Shape::Number),
    maybe("from", TEXT_OR_NULL),
    maybe("to", TEXT_OR_NULL),
    maybe("recordingUrl", TEXT_OR_NULL),
]);

const DETAIL: [Field; 15] = [
    maybe("callId", Shape::Text),
    always("status", STATUS),
    maybe("duration", Shape::Number),
    maybe("from", TEXT_OR_NULL),
    maybe("to", TEXT_OR_NULL),
    always("type", TYPE),
    maybe("recordingUrl", TEXT_OR_NULL),
    maybe("recordingDualUrl", TEXT_OR_NULL),
    maybe("transcript", Shape::List(&TURN, usize::MAX)),
    maybe("variables", Shape::Named(&Shape::Any, usize::MAX)),
    maybe(
        "postCallAnalytics",
        Shape::Either(&[ANALYTICS, Shape::Null]),
    ),
    maybe(
        "agent",
        Shape::Open(&[always("_id", Shape::Text), maybe("name", TEXT_OR_NULL)]),
    ),
    maybe("events", Shape::List(&Shape::Any, usize::MAX)),
    maybe("voiceConfigUsed", Shape::Any),
    maybe("slmModelUsed", Shape::Any),
];

const TURN: Shape = Shape::Open(&[
    always("role", Shape::Text),
    always("content", Shape::Text),
    maybe("timestamp", TEXT_OR_NULL),
]);

/// Values are strings whatever their type, and may be empty.
const ANALYTICS: Shape = Shape::Open(&[
    maybe("summary", TEXT_OR_NULL),
    maybe(
        "dispositionMetrics",
        Shape::List(
            &Shape::Open(&[
                always("identifier", Shape::Text),
                always("value", TEXT_OR_NULL),
                maybe("confidence", Shape::Number),
            ]),
            usize::MAX,
        ),
    ),
]);

const TYPE: Shape = Shape::Word(&["telephony_inbound", "telephony_outbound", "webcall", "chat"]);
const STATUS: Shape = Shape::Word(&STATUSES);

/// What a call's `status` may say; `busy` stands in other guides only.
const STATUSES: [&str; 10] = [
    "pending",
    "in_progress",
    "in_queue",
    "processing",
    "active",
    "completed",
    "failed",
    "no_answer",
    "cancelled",
    "busy",
];

/// Those of a call that has not ended. Any other word is taken for an end.
pub(super) const GOING_ON: [&str; 5] =
    ["pending", "in_progress", "in_queue", "processing", "active"];
