// SPDX-License-Identifier: MIT OR Apache-2.0

//! The variables in a `meta.conf`, whose values the device has.

use std::collections::BTreeMap;

/// Returns the names of the variables, with the default of those that have one. A variable that is
/// used without a default anywhere has none.
pub(super) fn variables(meta_conf: &str) -> BTreeMap<String, Option<String>> {
    let mut found = BTreeMap::<_, Option<String>>::new();
    let mut rest = meta_conf;
    while let Some((before, after)) = rest.split_once("${") {
        // A backslash keeps the text that follows it.
        let backslashes = before.len() - before.trim_end_matches('\\').len();
        let Some((inner, next)) = after.split_once('}') else {
            break;
        };
        rest = next;
        if !backslashes.is_multiple_of(2) {
            continue;
        }
        let (name, default) = match inner.split_once(":-") {
            Some((name, default)) => (name, Some(default.to_owned())),
            None => (inner, None),
        };
        let known = found.entry(name.to_owned()).or_insert(default.clone());
        if default.is_none() {
            *known = None;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_found_with_their_defaults() {
        let text = r#"a="${A} and ${B:-1}" b="\${C} \\${D:-}" c="${B:-2}" d="${A:-x}" e="${E"#;
        let found = variables(text);
        let expected = [("A", None), ("B", Some("1")), ("D", Some(""))];
        let expected =
            expected.map(|(name, default)| (name.to_owned(), default.map(str::to_owned)));
        assert_eq!(found, BTreeMap::from(expected));
    }
}
