// SPDX-License-Identifier: MIT OR Apache-2.0

//! The archives that the system's apt uses, so that downloads come from the same mirrors.

use std::fs;
use std::path::{Path, PathBuf};

/// One archive, suite and set of components, like a line of a sources.list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The value of `signed-by`, if given.
    pub signed_by: Option<String>,
    /// For example `http://mirror.example/debian`.
    pub uri: String,
    /// For example `bookworm-updates`.
    pub suite: String,
    /// For example `main`.
    pub components: Vec<String>,
}

impl Source {
    /// Returns the same archive and key with another suite and only the component `main`.
    #[must_use]
    pub fn with_suite(&self, suite: &str) -> Self {
        Self {
            suite: suite.to_owned(),
            components: vec!["main".to_owned()],
            ..self.clone()
        }
    }

    /// Returns a line of a sources.list that requests only the list of packages.
    #[must_use]
    pub fn line(&self) -> String {
        let key = self
            .signed_by
            .as_ref()
            .map_or_else(String::new, |key| format!(" signed-by={key}"));
        format!(
            "deb [target=Packages{key}] {} {} {}",
            self.uri,
            self.suite,
            self.components.join(" ")
        )
    }

    /// Whether it looks like Debian's own archive or its security archive, which have arm64
    /// packages.
    #[must_use]
    pub fn is_debian(&self) -> bool {
        let path = self.uri.trim_end_matches('/');
        (path.ends_with("/debian") || path.ends_with("/debian-security"))
            && self.components.iter().any(|component| component == "main")
    }

    /// Whether it looks like the security archive, which has only security suites.
    #[must_use]
    pub fn is_security(&self) -> bool {
        self.uri.trim_end_matches('/').ends_with("-security")
    }
}

/// Returns every enabled source of binary packages under `apt`, which is `/etc/apt` outside of
/// tests.
#[must_use]
pub fn read(apt: &Path) -> Vec<Source> {
    let mut files = vec![apt.join("sources.list")];
    let mut parts: Vec<PathBuf> = fs::read_dir(apt.join("sources.list.d"))
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .collect();
    parts.sort();
    files.extend(parts);
    let mut sources = Vec::new();
    for file in files {
        let Ok(text) = fs::read_to_string(&file) else {
            continue;
        };
        match file.extension().and_then(|extension| extension.to_str()) {
            Some("list") => sources.extend(text.lines().filter_map(one_line)),
            Some("sources") => sources.extend(deb822(&text)),
            _ => {}
        }
    }
    sources
}

/// Parses `deb [options] uri suite component…`.
fn one_line(line: &str) -> Option<Source> {
    let line = line.split('#').next()?.trim().strip_prefix("deb")?;
    let mut rest = line.strip_prefix([' ', '\t'])?.trim_start();
    let mut signed_by = None;
    if let Some(inner) = rest.strip_prefix('[') {
        let (options, after) = inner.split_once(']')?;
        signed_by = options
            .split_whitespace()
            .find_map(|option| option.strip_prefix("signed-by="));
        rest = after;
    }
    let mut words = rest.split_whitespace().map(str::to_owned);
    Some(Source {
        signed_by: signed_by.map(str::to_owned),
        uri: words.next()?,
        suite: words.next()?,
        components: words.collect(),
    })
}

/// Parses stanzas of `Types:`, `URIs:`, `Suites:`, `Components:`.
fn deb822(text: &str) -> Vec<Source> {
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    lines
        .split(|line| line.trim().is_empty())
        .flat_map(stanza)
        .collect()
}

fn stanza(lines: &[&str]) -> Vec<Source> {
    let field = |name: &str| -> Option<String> {
        let begins = |line: &&str| {
            let (key, _) = line.split_once(':').unwrap_or((line, ""));
            key.eq_ignore_ascii_case(name)
        };
        let at = lines.iter().position(begins)?;
        let more = lines[at + 1..]
            .iter()
            .take_while(|line| line.starts_with([' ', '\t']));
        let first = lines[at].split_once(':')?.1;
        Some(
            std::iter::once(first)
                .chain(more.copied())
                .collect::<Vec<_>>()
                .join("\n"),
        )
    };
    let words = |name: &str| -> Vec<String> {
        field(name)
            .unwrap_or_default()
            .split_whitespace()
            .map(str::to_owned)
            .collect()
    };
    if !words("Types").iter().any(|kind| kind == "deb") || words("Enabled") == ["no"] {
        return Vec::new();
    }
    // A key that is embedded in the stanza cannot be expressed in a one-line source.
    let signed_by = field("Signed-By")
        .map(|key| key.trim().to_owned())
        .filter(|key| key.starts_with('/'));
    let mut sources = Vec::new();
    for uri in words("URIs") {
        for suite in words("Suites") {
            let (uri, components) = (uri.clone(), words("Components"));
            sources.push(Source {
                signed_by: signed_by.clone(),
                uri,
                suite,
                components,
            });
        }
    }
    sources
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_of_files_are_read_and_disabled_entries_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let parts = folder.path().join("sources.list.d");
        fs::create_dir(&parts).unwrap();
        fs::write(
            folder.path().join("sources.list"),
            "# deb http://no.example/debian x main\n\
             deb [arch=amd64 signed-by=/k.gpg] http://one.example/debian/ bookworm main contrib # why\n\
             deb-src http://one.example/debian bookworm main\n",
        )
        .unwrap();
        fs::write(
            parts.join("debian.sources"),
            "# a comment\nTypes: deb deb-src\nURIs: http://two.example/debian\nSuites: trixie\n\
             # between\n trixie-updates\nComponents: main\nSigned-By: /d.gpg\n\n\
             Types: deb\nEnabled: no\nURIs: http://off.example/debian\nSuites: x\nComponents: main\n\n\
             Types: deb\nURIs: http://two.example/debian-security\nSuites: trixie-security\nComponents: main\n",
        )
        .unwrap();
        fs::write(
            parts.join("old.list.disabled"),
            "deb http://no.example/debian x main\n",
        )
        .unwrap();

        let sources = read(folder.path());
        let lines: Vec<String> = sources.iter().map(Source::line).collect();
        assert_eq!(
            lines,
            [
                "deb [target=Packages signed-by=/k.gpg] http://one.example/debian/ bookworm main contrib",
                "deb [target=Packages signed-by=/d.gpg] http://two.example/debian trixie main",
                "deb [target=Packages signed-by=/d.gpg] http://two.example/debian trixie-updates main",
                "deb [target=Packages] http://two.example/debian-security trixie-security main",
            ]
        );
        assert!(sources.iter().all(Source::is_debian));
        assert_eq!(
            sources.iter().filter(|source| source.is_security()).count(),
            1
        );
        assert_eq!(
            sources[0].with_suite("sid").line(),
            "deb [target=Packages signed-by=/k.gpg] http://one.example/debian/ sid main"
        );
    }

    #[test]
    fn other_archives_are_not_taken_for_debian() {
        let other = one_line("deb http://pkgs.example/apt/ubuntu noble main").unwrap();
        assert!(!other.is_debian());
    }
}
