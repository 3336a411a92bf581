// SPDX-License-Identifier: MIT OR Apache-2.0

//! The names of entries: a resource is in the folder `data`, or at the top level if its name starts
//! with `/`.

/// The maximum length of a resource's name in bytes: fwup does not read longer ones.
const LONGEST: usize = 506;

/// Returns the name of the entry with a resource's data.
///
/// # Errors
///
/// A description of the error, for a name that readers would not find.
pub(crate) fn entry_of(resource: &str) -> Result<String, &'static str> {
    if resource.is_empty() {
        return Err("a resource must have a name");
    }
    if resource.len() > LONGEST {
        return Err("the name of a resource must have at most 506 bytes");
    }
    if resource.contains('\0') {
        return Err("the name of a resource must not contain a NUL byte");
    }
    if resource.contains("${") {
        return Err(
            "the name of a resource must not contain '${': the archive's entry has no variables",
        );
    }
    let name = match resource.strip_prefix('/') {
        Some("meta.conf" | "meta.conf.ed25519") => {
            return Err("the archive uses this name for its own file");
        }
        Some(name) if name == "data" || name.starts_with("data/") => {
            return Err("leave out '/data/': that is where resources are");
        }
        Some(name) => name.to_owned(),
        None => format!("data/{resource}"),
    };
    if name.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err("the parts of a resource's name must not be empty, '.' or '..'");
    }
    Ok(name)
}

/// Returns the name of the resource whose data is in an entry.
pub(crate) fn resource_of(entry: &str) -> String {
    entry
        .strip_prefix("data/")
        .map_or_else(|| format!("/{entry}"), str::to_owned)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_in_a_folder_or_at_the_top() {
        for (resource, entry) in [
            ("a", "data/a"),
            ("a/b.c", "data/a/b.c"),
            ("data/a", "data/data/a"),
            ("meta.conf", "data/meta.conf"),
            ("/a", "a"),
            ("/datax", "datax"),
            ("/x/data/y", "x/data/y"),
            ("...", "data/..."),
        ] {
            assert_eq!(entry_of(resource).as_deref(), Ok(entry));
            assert_eq!(resource_of(entry), resource);
        }
    }

    #[test]
    fn names_that_are_not_found_again_are_refused() {
        let long = "x".repeat(LONGEST + 1);
        for resource in [
            "",
            "/",
            "//a",
            "a/",
            "a//b",
            ".",
            "a/../b",
            "..",
            "/../a",
            "/data",
            "/data/a",
            "/meta.conf",
            "/meta.conf.ed25519",
            "a\0",
            "${A}",
            &long,
        ] {
            assert!(entry_of(resource).is_err(), "{resource}");
        }
        assert!(entry_of(&long[1..]).is_ok());
    }

    proptest! {
        #[test]
        fn every_name_leads_back(resource in "[a-d/.${}]{0,12}|/?(data)?/?(meta.conf)?.{0,9}") {
            if let Ok(entry) = entry_of(&resource) {
                prop_assert_eq!(resource_of(&entry), resource);
            }
        }
    }
}
