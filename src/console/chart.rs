//! The last hour as an inline SVG: what came of each minute's requests, and how many deliveries waited for Kafka.
//!
//! Shapes have classes and no style of their own, so that the style sheet colours them and the content policy holds.

use maud::{Markup, html};

use super::page::number;
use crate::journal::search::Minute;

/// How many minutes it shows.
pub(super) const MINUTES: i64 = 60;

/// The chart of the minutes up to and with `last`.
pub(super) fn hour(minutes: &[Minute], last: i64) -> Markup {
    let first = last - MINUTES + 1;
    let shown: Vec<&Minute> = minutes
        .iter()
        .filter(|minute| (first..=last).contains(&minute.at))
        .collect();
    let sum = |count: fn(&Minute) -> u64| shown.iter().map(|minute| count(minute)).sum::<u64>();
    let most =
        |count: fn(&Minute) -> u64| shown.iter().map(|minute| count(minute)).max().unwrap_or(0);
    let (stored, duplicates, refused) =
        (sum(|m| m.stored), sum(|m| m.duplicates), sum(|m| m.refused));
    let (published, letters) = (sum(|m| m.published), sum(|m| m.dead_letters));
    let (top, waited) = (most(all), most(|m| m.pending));
    let told = format!(
        "{stored} deliveries stored, {duplicates} duplicates, {refused} refused; {published} events published, \
         {letters} dead letters; at most {waited} waited"
    );
    html! {
        figure.hour {
            ul.legend {
                li.stored { b { (number(stored)) } " stored" }
                li.duplicate { b { (number(duplicates)) } " duplicates" }
                li.refused { b { (number(refused)) } " refused" }
                li { b { (number(published)) } " published" }
                li { b { (number(letters)) } " dead letters" }
                li.pending { b { (number(waited)) } " waited at most" }
            }
            div.plot {
                svg role="img" aria-label=(told) viewBox="0 0 600 120" preserveAspectRatio="none" {
                    line.grid x1="0" x2="600" y1="60" y2="60" {}
                    line.grid x1="0" x2="600" y1="119.5" y2="119.5" {}
                    @for minute in &shown { (bar(minute, minute.at - first, top)) }
                    @if waited > 0 { polyline.pending points=(line(&shown, first, waited)) {} }
                }
                span.top { @if top > 0 { (number(top)) " a minute" } }
                span.left { "60 min ago" }
                span.right { "now" }
            }
            figcaption.muted { "Requests a minute, by what became of them; the line is what waited for Kafka, to a scale of its own." }
        }
    }
}

fn all(minute: &Minute) -> u64 {
    minute.stored + minute.duplicates + minute.refused
}

/// A minute's bar: stored at the bottom, refused at the top.
fn bar(minute: &Minute, at: i64, top: u64) -> Markup {
    let x = at * 10 + 1;
    let mut from = 0;
    let parts = [
        ("stored", minute.stored),
        ("duplicate", minute.duplicates),
        ("refused", minute.refused),
    ];
    let parts = parts.map(|(class, count)| {
        let below = from;
        from += count;
        (class, height(below, top), height(from, top))
    });
    let (time, told) = (clock(minute.at), minute);
    html! {
        g {
            title {
                (time) ": " (told.stored) " stored, " (told.duplicates) " duplicates, " (told.refused) " refused, "
                (told.published) " published, " (told.pending) " waited"
            }
            @for (class, below, above) in parts {
                @if above > below {
                    rect class=(class) x=(x) width="8" y=(tenths(HEIGHT - above)) height=(tenths(above - below)) {}
                }
            }
        }
    }
}

fn line(minutes: &[&Minute], first: i64, top: u64) -> String {
    let points: Vec<String> = minutes
        .iter()
        .map(|minute| {
            let y = HEIGHT - height(minute.pending, top);
            format!("{},{}", (minute.at - first) * 10 + 5, tenths(y))
        })
        .collect();
    points.join(" ")
}

/// In tenths of a unit; whatever is there can be seen.
fn height(count: u64, top: u64) -> u64 {
    let height = u128::from(count) * u128::from(HEIGHT) / u128::from(top.max(1));
    let least = if count > 0 { LEAST } else { 0 };
    u64::try_from(height).unwrap_or(HEIGHT).clamp(least, HEIGHT)
}

fn tenths(height: u64) -> String {
    format!("{}.{}", height / 10, height % 10)
}

fn clock(minute: i64) -> String {
    let of_day = minute.rem_euclid(24 * 60);
    format!("{:02}:{:02}", of_day / 60, of_day % 60)
}

const HEIGHT: u64 = 1200;
const LEAST: u64 = 15;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_fill_the_height_and_small_counts_can_be_seen() {
        assert_eq!(height(10, 10), HEIGHT);
        assert_eq!(height(0, 10), 0);
        assert_eq!(height(1, 1_000_000), LEAST);
        assert_eq!(clock(24 * 60 + 61), "01:01");
    }

    #[test]
    fn an_hour_is_added_up_and_what_is_older_is_left_out() {
        let minute = |at, stored| Minute {
            at,
            stored,
            ..Minute::default()
        };
        let html = hour(&[minute(40, 5), minute(41, 7), minute(100, 1)], 100).0;
        assert!(html.contains("8 deliveries stored"), "{html}");
        assert_eq!(html.matches("<rect").count(), 2);
        assert!(
            !html.contains("style="),
            "the content policy would refuse it"
        );
    }
}
