//! Tells which bytes of a string mean nothing but themselves, sixteen at a time.

use wide::u8x16;

/// Where the next byte is that means something within a string: a quote, a backslash, a control character.
#[inline]
pub(super) fn plain_until(bytes: &[u8], at: usize) -> usize {
    // Most strings are short.
    match bytes.get(at..).and_then(<[u8]>::first_chunk).map(special) {
        Some(0) => plain_beyond(bytes, at + CHUNK),
        Some(found) => at + found.trailing_zeros() as usize,
        None => plain_beyond(bytes, at),
    }
}

#[inline(never)]
fn plain_beyond(bytes: &[u8], mut at: usize) -> usize {
    let (chunks, rest) = bytes.get(at..).unwrap_or_default().as_chunks();
    for chunk in chunks {
        let found = special(chunk);
        if found != 0 {
            return at + found.trailing_zeros() as usize;
        }
        at += CHUNK;
    }
    at + plain_run(rest)
}

/// How many of less bytes than a chunk has come before such a one.
fn plain_run(bytes: &[u8]) -> usize {
    let mut chunk = [b' '; CHUNK];
    if let Some(chunk) = chunk.get_mut(..bytes.len()) {
        chunk.copy_from_slice(bytes);
    }
    (special(&chunk) | 1 << bytes.len()).trailing_zeros() as usize
}

/// Whether a text stands in JSON as it is, between quotes.
#[inline]
pub(in crate::event) fn is_plain(text: &str) -> bool {
    let plain = |chunk: &[u8; CHUNK]| special(chunk) == 0;
    let bytes = text.as_bytes();
    match bytes.last_chunk() {
        // The last chunk may look at some bytes again.
        Some(last) => plain(last) && bytes.as_chunks().0.iter().all(plain),
        None => !bytes.iter().any(|byte| is_special(*byte)),
    }
}

/// As many bytes as every processor of these days looks at at once.
const CHUNK: usize = 16;

/// A bit for each byte that is special, the first one's the lowest.
#[inline]
fn special(chunk: &[u8; CHUNK]) -> u32 {
    let chunk = u8x16::new(*chunk);
    let is = |byte: u8| chunk.simd_eq(u8x16::splat(byte));
    let control = chunk.min(u8x16::splat(0x1f)).simd_eq(chunk);
    (is(b'"') | is(b'\\') | control).to_bitmask()
}

fn is_special(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}
