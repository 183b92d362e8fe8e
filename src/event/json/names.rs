//! Tells at a glance that an object does not have a name: most names that are looked up are not there.

/// Some names, as bits that each of them shares with others.
#[derive(Debug, Clone, Copy, Default)]
pub struct Names(u64);

impl Names {
    /// With this name too. Whether it may have been there before.
    #[inline]
    pub fn add(&mut self, name: &str) -> bool {
        let known = self.may_hold(name);
        self.0 |= bit(name);
        known
    }

    /// Whether this name may be there; if not, it is not.
    #[inline]
    pub fn may_hold(self, name: &str) -> bool {
        self.0 & bit(name) != 0
    }
}

#[inline]
fn bit(name: &str) -> u64 {
    let byte = |byte: Option<&u8>| byte.copied().map_or(0, usize::from);
    let (first, last) = (name.as_bytes().first(), name.as_bytes().last());
    1 << ((name.len() * 5 + byte(first) * 3 + byte(last)) % 64)
}
