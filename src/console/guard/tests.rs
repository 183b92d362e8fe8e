//! Hosts, origins and sessions, as a table each.

use super::*;
use crate::verify::secret::Secret;

const TOKEN: &str = "a token for the tests";

fn guard(address: &str, token: Option<&str>, hosts: &[&str]) -> Guard {
    Guard::new(&config::Console {
        address: address.parse().unwrap(),
        token: token.map(|token| Secret::new(token.as_bytes()).unwrap()),
        hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
    })
}

#[test]
fn a_strangers_name_for_this_address_is_refused() {
    let named = ["console.example.com"];
    for (address, host, passes) in [
        ("127.0.0.1:8082", "127.0.0.1:8082", true),
        ("127.0.0.1:8082", "127.9.9.9", true),
        ("127.0.0.1:8082", "localhost:9000", true),
        ("127.0.0.1:8082", "LOCALHOST", true),
        ("[::1]:8082", "[::1]:8082", true),
        ("127.0.0.1:8082", "Console.example.com", true),
        ("127.0.0.1:8082", "evil.example.com", false),
        ("127.0.0.1:8082", "127.0.0.1.evil.example.com", false),
        ("127.0.0.1:8082", "localhost.evil.example.com", false),
        ("127.0.0.1:8082", "10.0.0.7", false),
        ("0.0.0.0:8082", "10.0.0.7:8082", true),
        ("0.0.0.0:8082", "evil.example.com", false),
    ] {
        let host: Authority = host.parse().unwrap();
        assert_eq!(
            guard(address, None, &named).goes_by(&host),
            passes,
            "{host}"
        );
    }
}

#[test]
fn a_change_is_asked_for_by_this_origin_or_by_a_program() {
    let guard = guard("127.0.0.1:8082", Some(TOKEN), &[]);
    let host: Authority = "127.0.0.1:8082".parse().unwrap();
    let bearer = format!("Bearer {TOKEN}");
    let (origin, site, bears) = ("origin", "sec-fetch-site", "authorization");
    let cases: [(&[(&'static str, &str)], bool); 11] = [
        (&[(origin, "http://127.0.0.1:8082")], true),
        (&[(origin, "https://127.0.0.1:8082")], true),
        (
            &[(origin, "http://127.0.0.1:8082"), (site, "same-origin")],
            true,
        ),
        (&[(site, "same-origin")], true),
        (&[(bears, &bearer)], true),
        (&[], false),
        (&[(origin, "null")], false),
        (&[(origin, "http://127.0.0.1:9000")], false),
        (&[(origin, "http://evil.example.com")], false),
        (
            &[(origin, "http://127.0.0.1:8082"), (site, "cross-site")],
            false,
        ),
        (&[(bears, "Bearer wrong")], false),
    ];
    for (headers, passes) in cases {
        let map = headers
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_str(value).unwrap(),
                )
            })
            .collect();
        assert_eq!(guard.is_own(&map, &host), passes, "{headers:?}");
    }
}

#[tokio::test]
async fn a_session_is_for_whoever_knows_the_token_and_ends() {
    let one = guard("0.0.0.0:8082", Some(TOKEN), &[]);
    let now = Timestamp::from_unix_ms(1_700_000_000_000);
    assert_eq!(one.open_session(b"another token entirely", now).await, None);
    assert_eq!(one.open_session(b"", now).await, None);
    let cookie = one.open_session(TOKEN.as_bytes(), now).await.unwrap();
    assert!(cookie.contains("HttpOnly; SameSite=Strict"), "{cookie}");
    let (value, _) = cookie.split_once(';').unwrap();
    let headers =
        |value: &str| HeaderMap::from_iter([(COOKIE, HeaderValue::from_str(value).unwrap())]);
    let with_others = format!("theme=dark; {value}; x=y");
    assert!(one.lets_in(&headers(&with_others), now));
    assert!(!one.lets_in(&HeaderMap::new(), now));
    assert!(
        !one.lets_in(&headers(&value.replace("=1", "=2")), now),
        "another end"
    );
    assert!(!one.lets_in(&headers(&format!("{value}0")), now));
    let later = Timestamp::from_unix_ms(now.unix_ms() + SESSION_SECONDS * 1000);
    assert!(!one.lets_in(&headers(value), later));
    let another = guard("0.0.0.0:8082", Some(TOKEN), &[]);
    assert!(!another.lets_in(&headers(value), now), "another process");
}
