//! Undoes a `Content-Encoding`, within a limit, so that a small body cannot become an endless one.

use std::borrow::Cow;
use std::io::Read;

use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};

use super::Unreadable;

/// The body without its encodings; several may lie around each other, the last named outermost.
///
/// # Errors
///
/// When an encoding is unknown, cannot be undone, or gives more than `limit_bytes`.
pub fn decode<'b>(
    body: &'b [u8],
    encodings: Option<&str>,
    limit_bytes: usize,
) -> Result<Cow<'b, [u8]>, Unreadable> {
    let mut body = Cow::Borrowed(body);
    let encodings: Vec<_> = layers(encodings.unwrap_or_default()).collect();
    if encodings.len() > MOST_LAYERS {
        return Err(Unreadable::UnknownEncoding);
    }
    for encoding in encodings.into_iter().rev() {
        match encoding.to_ascii_lowercase().as_str() {
            "gzip" | "x-gzip" => body = Cow::Owned(read(MultiGzDecoder::new(&*body), limit_bytes)?),
            "deflate" => body = Cow::Owned(inflate(&body, limit_bytes)?),
            _ => return Err(Unreadable::UnknownEncoding),
        }
    }
    Ok(body)
}

/// Whether there is anything to undo.
pub fn is_encoded(encodings: &str) -> bool {
    layers(encodings).next().is_some()
}

/// The encodings that are some.
fn layers(encodings: &str) -> impl Iterator<Item = &str> {
    let named = encodings.split(',').map(str::trim);
    named.filter(|name| !name.is_empty() && !name.eq_ignore_ascii_case("identity"))
}

/// More layers than anybody means.
const MOST_LAYERS: usize = 4;

/// `deflate` means zlib, but some senders leave the zlib header away.
fn inflate(body: &[u8], limit_bytes: usize) -> Result<Vec<u8>, Unreadable> {
    match read(ZlibDecoder::new(body), limit_bytes) {
        Err(Unreadable::DamagedEncoding) => read(DeflateDecoder::new(body), limit_bytes),
        other => other,
    }
}

fn read(decoder: impl Read, limit_bytes: usize) -> Result<Vec<u8>, Unreadable> {
    let mut body = Vec::new();
    let most = u64::try_from(limit_bytes)
        .unwrap_or(u64::MAX)
        .saturating_add(1);
    decoder
        .take(most)
        .read_to_end(&mut body)
        .map_err(|_| Unreadable::DamagedEncoding)?;
    if body.len() > limit_bytes {
        Err(Unreadable::TooLargeDecoded { limit_bytes })
    } else {
        Ok(body)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

    use super::*;

    fn gzip(body: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(body).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn known_encodings_are_undone() {
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::default());
        zlib.write_all(b"{}").unwrap();
        let mut bare = DeflateEncoder::new(Vec::new(), Compression::default());
        bare.write_all(b"{}").unwrap();
        for (body, encodings) in [
            (b"{}".to_vec(), None),
            (b"{}".to_vec(), Some("identity")),
            (b"{}".to_vec(), Some(", Identity,,,,")),
            (gzip(b"{}"), Some("GZIP")),
            (gzip(&gzip(b"{}")), Some("gzip, gzip")),
            (zlib.finish().unwrap(), Some("deflate")),
            (bare.finish().unwrap(), Some("deflate")),
        ] {
            assert_eq!(
                decode(&body, encodings, 100).as_deref(),
                Ok(&b"{}"[..]),
                "{encodings:?}"
            );
        }
    }

    #[test]
    fn what_cannot_be_undone_is_told_apart() {
        let bomb = gzip(&vec![b' '; 1_000_000]);
        let large = Unreadable::TooLargeDecoded { limit_bytes: 1000 };
        assert_eq!(decode(&bomb, Some("gzip"), 1000), Err(large));
        assert_eq!(
            decode(b"{}", Some("gzip"), 1000),
            Err(Unreadable::DamagedEncoding)
        );
        assert_eq!(
            decode(b"{}", Some("br"), 1000),
            Err(Unreadable::UnknownEncoding)
        );
    }
}
