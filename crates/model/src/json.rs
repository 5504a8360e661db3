//! JSON from untrusted files: what serde_json lets pass and a checkpoint must not hold.

use std::collections::HashSet;
use std::fmt;

use serde::de::{Error as _, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// Refuses an object that names a key twice at its top level: readers would silently take one of the two.
pub(crate) fn refuse_twice(bytes: &[u8]) -> serde_json::Result<()> {
    serde_json::from_slice::<Unique>(bytes).map(|_| ())
}

struct Unique;

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Keys)
    }
}

struct Keys;

impl<'de> Visitor<'de> for Keys {
    type Value = Unique;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Unique, A::Error> {
        let mut seen = HashSet::new();
        while let Some((key, _)) = map.next_entry::<String, IgnoredAny>()? {
            if let Some(twice) = seen.replace(key) {
                return Err(A::Error::custom(format!("{twice:?} stands twice")));
            }
        }
        Ok(Unique)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_stands_twice_is_refused() {
        assert!(refuse_twice(br#"{"a":1,"b":{"a":2}}"#).is_ok());
        let error = refuse_twice(br#"{"a":1,"b":2,"a":3}"#).unwrap_err();
        assert!(error.to_string().contains("\"a\" stands twice"));
        assert!(refuse_twice(b"[1]").is_err());
    }
}
