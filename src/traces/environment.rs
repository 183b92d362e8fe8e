//! What OpenTelemetry's standard variables ask for, as far as the SDK does not read them by itself.
//!
//! The SDK passes over a value that it does not know; here it is a problem that says what to write.

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// No traces.
    Nothing,
    /// Traces to an OTLP collector.
    Otlp {
        /// How many spans may wait.
        queue: usize,
    },
}

/// Why the environment's wish cannot be met.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{variable} is {value:?}; {expected}")]
pub(super) struct Problem {
    variable: &'static str,
    value: String,
    expected: &'static str,
}

/// Reads the environment; an empty value is none.
pub(super) fn read(variable: &dyn Fn(&str) -> Option<String>) -> Result<Wanted, Problem> {
    let told = |name: &str| variable(name).filter(|value| !value.is_empty());
    let is_disabled = told("OTEL_SDK_DISABLED").is_some_and(|v| v.eq_ignore_ascii_case("true"));
    let exporter = told(EXPORTER);
    let has_endpoint = ENDPOINTS.into_iter().any(|name| told(name).is_some());
    match exporter.as_deref() {
        _ if is_disabled => return Ok(Wanted::Nothing),
        Some("none") => return Ok(Wanted::Nothing),
        None if !has_endpoint => return Ok(Wanted::Nothing),
        None | Some("otlp") => {}
        Some(other) => return Err(problem(EXPORTER, other, "write otlp or none")),
    }
    one_of(&told, PROTOCOLS, &["http/protobuf"], PROTOCOL_EXPECTED)?;
    one_of(
        &told,
        COMPRESSIONS,
        &["gzip"],
        "write gzip, or leave it out",
    )?;
    one_of(&told, [SAMPLER], &SAMPLERS, SAMPLER_EXPECTED)?;
    let by_ratio = told(SAMPLER).is_some_and(|sampler| sampler.ends_with("ratio"));
    if by_ratio && let Some(ratio) = told(SAMPLER_ARGUMENT) {
        let fits = ratio
            .parse()
            .is_ok_and(|ratio| (0.0..=1.0).contains(&ratio));
        if !fits {
            return Err(problem(
                SAMPLER_ARGUMENT,
                &ratio,
                "write a number from 0 to 1",
            ));
        }
    }
    let queue = told(QUEUE).map_or(Ok(QUEUE_DEFAULT), |size| {
        let parsed = size.parse().ok().filter(|size| *size > 0);
        parsed.ok_or_else(|| problem(QUEUE, &size, "write how many spans may wait"))
    })?;
    Ok(Wanted::Otlp { queue })
}

/// The first of these variables that is set must have one of these values.
fn one_of<const N: usize>(
    told: &impl Fn(&str) -> Option<String>,
    variables: [&'static str; N],
    known: &[&str],
    expected: &'static str,
) -> Result<(), Problem> {
    let set = |name: &'static str| Some((name, told(name)?));
    match variables.into_iter().find_map(set) {
        Some((name, value)) if !known.contains(&value.as_str()) => {
            Err(problem(name, &value, expected))
        }
        Some(_) | None => Ok(()),
    }
}

fn problem(variable: &'static str, value: &str, expected: &'static str) -> Problem {
    Problem {
        variable,
        value: value.chars().take(SHOWN_CHARS).collect(),
        expected,
    }
}

const EXPORTER: &str = "OTEL_TRACES_EXPORTER";
const ENDPOINTS: [&str; 2] = [
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
];
const PROTOCOLS: [&str; 2] = [
    "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
    "OTEL_EXPORTER_OTLP_PROTOCOL",
];
const PROTOCOL_EXPECTED: &str =
    "the bridge speaks http/protobuf: write that, with the endpoint that takes it (port 4318)";
const COMPRESSIONS: [&str; 2] = [
    "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION",
    "OTEL_EXPORTER_OTLP_COMPRESSION",
];
const SAMPLER: &str = "OTEL_TRACES_SAMPLER";
const SAMPLER_ARGUMENT: &str = "OTEL_TRACES_SAMPLER_ARG";
const SAMPLERS: [&str; 6] = [
    "always_on",
    "always_off",
    "traceidratio",
    "parentbased_always_on",
    "parentbased_always_off",
    "parentbased_traceidratio",
];
const SAMPLER_EXPECTED: &str =
    "write always_on, always_off or traceidratio, or one of them behind parentbased_";
const QUEUE: &str = "OTEL_BSP_MAX_QUEUE_SIZE";
const QUEUE_DEFAULT: usize = 2048;
const SHOWN_CHARS: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;

    fn read_pairs(pairs: &[(&str, &str)]) -> Result<Wanted, String> {
        let find = |name: &str| pairs.iter().find(|(key, _)| *key == name);
        read(&|name| find(name).map(|(_, value)| (*value).to_owned()))
            .map_err(|problem| problem.to_string())
    }

    const ENDPOINT: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318");

    #[test]
    fn traces_are_off_until_a_collector_is_named() {
        let otlp = Wanted::Otlp { queue: 2048 };
        for (pairs, wanted) in [
            (&[][..], Wanted::Nothing),
            (&[("OTEL_SERVICE_NAME", "x")], Wanted::Nothing),
            (&[("OTEL_EXPORTER_OTLP_ENDPOINT", "")], Wanted::Nothing),
            (&[ENDPOINT], otlp),
            (&[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://x")], otlp),
            (&[("OTEL_TRACES_EXPORTER", "otlp")], otlp),
            (
                &[ENDPOINT, ("OTEL_TRACES_EXPORTER", "none")],
                Wanted::Nothing,
            ),
            (&[ENDPOINT, ("OTEL_SDK_DISABLED", "TRUE")], Wanted::Nothing),
            (
                &[ENDPOINT, ("OTEL_BSP_MAX_QUEUE_SIZE", "9")],
                Wanted::Otlp { queue: 9 },
            ),
        ] {
            assert_eq!(read_pairs(pairs), Ok(wanted), "{pairs:?}");
        }
    }

    #[test]
    fn what_cannot_be_had_is_told_with_what_to_write() {
        for (name, value) in [
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
            ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json"),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "zstd"),
            ("OTEL_TRACES_EXPORTER", "zipkin"),
            ("OTEL_TRACES_SAMPLER", "jaeger_remote"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "0"),
        ] {
            let problem = read_pairs(&[ENDPOINT, (name, value)]).unwrap_err();
            assert!(
                problem.starts_with(&format!("{name} is {value:?}; ")),
                "{problem}"
            );
        }
        let ratio = |value| {
            read_pairs(&[
                ENDPOINT,
                ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"),
                ("OTEL_TRACES_SAMPLER_ARG", value),
            ])
        };
        assert!(ratio("0.25").is_ok());
        assert!(ratio("25").is_err() && ratio("1/4").is_err());
    }
}
