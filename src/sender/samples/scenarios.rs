//! What the sample calls are about: who calls whom, in which language, and how it ends.
//!
//! Invented people and numbers. Neighbours differ, so that a handful of calls shows several languages and outcomes.

use serde_json::{Value, json};

/// What one call is about.
pub(super) struct Scenario {
    pub(super) agent_id: &'static str,
    pub(super) agent_name: &'static str,
    pub(super) way: Way,
    pub(super) user_number: &'static str,
    pub(super) agent_number: &'static str,
    pub(super) language: &'static str,
    pub(super) languages: &'static str,
    pub(super) timezone: &'static str,
    pub(super) outcome: Outcome,
    /// The agent speaks first, then both take turns.
    pub(super) turns: &'static [&'static str],
    /// Variables of this agent, beside the platform's.
    pub(super) variables: &'static [(&'static str, &'static str)],
    pub(super) summary: &'static str,
}

/// The agents of all scenarios, each once.
pub(super) fn agents() -> impl Iterator<Item = (&'static str, &'static str)> {
    let agents: std::collections::BTreeMap<_, _> = ALL
        .iter()
        .map(|scenario| (scenario.agent_id, scenario.agent_name))
        .collect();
    agents.into_iter()
}

/// Which way a call goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Inbound,
    Outbound,
    Web,
}

/// How a call ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Completed,
    NoAnswer,
    Failed,
    Busy,
    Canceled,
}

impl Way {
    /// As `conversationType` spells it.
    pub(super) fn conversation_type(self) -> &'static str {
        match self {
            Self::Inbound => "telephonyInbound",
            Self::Outbound => "telephonyOutbound",
            Self::Web => "webcall",
        }
    }

    /// As `callDirection` spells it.
    pub(super) fn call_direction(self) -> &'static str {
        match self {
            Self::Inbound => "telephony_inbound",
            Self::Outbound => "telephony_outbound",
            Self::Web => "webcall",
        }
    }

    /// As the flat dialect spells it.
    pub(super) fn flat(self) -> &'static str {
        match self {
            Self::Inbound => "inbound",
            Self::Outbound => "outbound",
            Self::Web => "webcall",
        }
    }
}

impl Outcome {
    /// As the sender's guide spells it.
    pub(super) fn of_guide(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::NoAnswer => "no-answer",
            Self::Failed => "failed",
            Self::Busy => "busy",
            Self::Canceled => "canceled",
        }
    }

    /// As the sender's API specification spells it.
    pub(super) fn of_api(self) -> &'static str {
        match self {
            Self::NoAnswer => "no_answer",
            Self::Canceled => "cancelled",
            Self::Completed | Self::Failed | Self::Busy => self.of_guide(),
        }
    }
}

impl Scenario {
    /// The scenario of a call's number.
    pub(super) fn of(number: u64) -> &'static Self {
        let count = u64::try_from(ALL.len()).unwrap_or(1);
        let at = usize::try_from(number % count).unwrap_or_default();
        ALL.get(at).unwrap_or(&LOAN)
    }

    /// Whether somebody answered.
    pub(super) fn answered(&self) -> bool {
        self.outcome == Outcome::Completed
    }

    /// Disposition metrics of all four types, with what was asked.
    pub(super) fn disposition_metrics(&self) -> Value {
        let reached = self.answered();
        json!([
            metric(
                "disposition",
                "right_party_contact",
                &json!(reached),
                "BOOLEAN",
                "Did the agent speak with the person it wanted to reach?"
            ),
            metric(
                "disposition",
                "turn_count",
                &json!(self.turns.len()),
                "INTEGER",
                "How many turns did the conversation have?"
            ),
            metric(
                "disposition",
                "outcome",
                &json!(if reached { "resolved" } else { "not_reached" }),
                "ENUM",
                "How did the call end for the person?"
            ),
            metric(
                "disposition",
                "spoken_language",
                &json!(self.language),
                "STRING",
                "Which language did the person speak?"
            ),
        ])
    }

    /// Success metrics; none for a call that nobody answered.
    pub(super) fn success_metrics(&self) -> Value {
        if self.answered() {
            json!([metric(
                "success",
                "goal_reached",
                &json!(true),
                "BOOLEAN",
                "Was the goal of the call reached?"
            )])
        } else {
            json!([])
        }
    }

    /// Metrics as the flat dialect has them: name and value.
    pub(super) fn flat_metrics(&self) -> Value {
        json!({
            "goal_reached": self.answered(),
            "turn_count": self.turns.len(),
            "sentiment_score": if self.answered() { 0.82 } else { 0.5 },
            "spoken_language": self.language,
        })
    }
}

fn metric(category: &str, identifier: &str, value: &Value, kind: &str, prompt: &str) -> Value {
    json!({
        "identifier": identifier,
        "value": value,
        "confidence": 0.93,
        "reasoning": format!("Read from the transcript: {value}."),
        format!("{category}MetricPrompt"): prompt,
        format!("{category}MetricType"): kind,
    })
}

const LOAN: Scenario = Scenario {
    agent_id: "69fc7dd072a0c1d28d948ace",
    agent_name: "Collections",
    way: Way::Outbound,
    user_number: "+12025550143",
    agent_number: "+12025550100",
    language: "en",
    languages: "en,es",
    timezone: "America/New_York",
    outcome: Outcome::Completed,
    turns: &[
        "Hello, this is Maya from Northwind Bank. Am I speaking with Mr. Carter?",
        "Yes, that's me.",
        "Your payment of $290.00 was due on Monday — may I help you settle it today?",
        "I'll pay it tonight from my phone. \"Promise!\" 🙂",
        "Thank you. You will get a text message with the link. Have a good day!",
    ],
    variables: &[
        ("customer_name", "John Carter"),
        ("due_amount", "290.00"),
        ("bank_name", "Northwind Bank"),
    ],
    summary: "The customer confirmed who he is and promised to pay $290.00 tonight.",
};

const ALL: [Scenario; 9] = [
    LOAN,
    Scenario {
        agent_id: "69fc7dd072a0c1d28d948acf",
        agent_name: "ईएमआई रिमाइंडर",
        way: Way::Outbound,
        user_number: "+919800000001",
        agent_number: "+918000000001",
        language: "hi",
        languages: "hi,en",
        timezone: "Asia/Kolkata",
        turns: &[
            "नमस्ते, क्या मेरी बात राहुल शर्मा जी से हो रही है?",
            "हाँ जी, बोलिए।",
            "आपकी ₹29,000 की EMI बाकी है। क्या आप आज भुगतान कर पाएँगे?",
            "आज नहीं, शुक्रवार तक कर दूँगा 🙏",
        ],
        variables: &[("customer_name", "राहुल शर्मा"), ("due_amount", "29000")],
        summary: "ग्राहक ने शुक्रवार तक ₹29,000 का भुगतान करने का वादा किया।",
        ..LOAN
    },
    Scenario {
        outcome: Outcome::NoAnswer,
        user_number: "+33199000042",
        agent_number: "+33199000001",
        language: "fr",
        languages: "fr,en",
        timezone: "Europe/Paris",
        turns: &[],
        variables: &[("customer_name", "Zoë Lefèvre"), ("due_amount", "120,50")],
        summary: "Personne n'a répondu.",
        ..LOAN
    },
    Scenario {
        agent_id: "69fc7dd072a0c1d28d948ad0",
        agent_name: "خدمة العملاء",
        way: Way::Inbound,
        user_number: "+97150000042",
        agent_number: "+97140000001",
        language: "ar",
        languages: "ar,en",
        timezone: "Asia/Dubai",
        turns: &[
            "مرحباً بك في خدمة العملاء، كيف أستطيع مساعدتك؟",
            "أريد أن أعرف أين شحنتي رقم ٤٥٦.",
            "شحنتك في الطريق وستصل غداً قبل الظهر 📦",
            "شكراً جزيلاً!",
        ],
        variables: &[("order_id", "٤٥٦"), ("notes", "")],
        summary: "سأل العميل عن شحنته، وستصل غداً.",
        ..LOAN
    },
    Scenario {
        outcome: Outcome::Failed,
        user_number: "+5511900000042",
        agent_number: "+5511900000001",
        language: "pt",
        languages: "pt",
        timezone: "America/Sao_Paulo",
        turns: &[],
        variables: &[("customer_name", "João Conceição")],
        summary: "A chamada não pôde ser completada.",
        ..LOAN
    },
    Scenario {
        agent_id: "69fc7dd072a0c1d28d948ad1",
        agent_name: "レストラン予約",
        way: Way::Web,
        user_number: "",
        agent_number: "",
        language: "ja",
        languages: "ja,en",
        timezone: "Asia/Tokyo",
        turns: &[
            "お電話ありがとうございます。ご予約でしょうか?",
            "はい、金曜日の19時に4名でお願いします。",
            "かしこまりました。お名前をお願いいたします。",
            "田中です。アレルギーは海老🦐です。",
        ],
        variables: &[("guests", "4"), ("guest_name", "田中")],
        summary: "金曜日19時、4名の予約を受け付けた。海老アレルギーあり。",
        ..LOAN
    },
    Scenario {
        outcome: Outcome::Busy,
        user_number: "+493023125042",
        agent_number: "+493023125001",
        language: "de",
        languages: "de,en",
        timezone: "Europe/Berlin",
        turns: &[],
        variables: &[("customer_name", "Jürgen Groß")],
        summary: "Die Leitung war besetzt.",
        ..LOAN
    },
    Scenario {
        agent_id: "69fc7dd072a0c1d28d948ad2",
        agent_name: "Clínica Sol",
        way: Way::Inbound,
        user_number: "+34600000042",
        agent_number: "+34910000001",
        language: "es",
        languages: "es,ca,en",
        timezone: "Europe/Madrid",
        turns: &[
            "Clínica Sol, buenos días. ¿En qué puedo ayudarle?",
            "¡Buenos días! Quisiera cambiar mi cita del jueves.",
            "Claro. ¿Le viene bien el viernes a las diez y media?",
            "Perfecto, muchísimas gracias 😊",
        ],
        variables: &[
            ("patient_name", "Íñigo Núñez"),
            ("appointment", "viernes 10:30"),
        ],
        summary: "El paciente cambió su cita del jueves al viernes a las 10:30.",
        ..LOAN
    },
    Scenario {
        outcome: Outcome::Canceled,
        user_number: "+27110000042",
        agent_number: "+27110000001",
        language: "zu",
        languages: "zu,en",
        timezone: "Africa/Johannesburg",
        turns: &[],
        variables: &[("customer_name", "Thandiwe Nkosi")],
        summary: "The call was canceled before anybody answered.",
        ..LOAN
    },
];
