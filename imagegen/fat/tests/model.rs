// SPDX-License-Identifier: MIT OR Apache-2.0

//! Random operations, compared with a map of paths; after each sequence a checker of its own reads
//! the whole volume.

#![expect(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

mod common;

use std::collections::BTreeMap;

use common::checker::{Node, check};
use common::{Disk, pattern};
use fat_volume::{Error, Session, Start, Timestamp};
use proptest::prelude::*;

/// Paths that are files, directories, and other spellings of each other.
const PATHS: [&str; 16] = [
    "a",
    "B.TXT",
    "b.txt",
    "a long name.txt",
    "A LONG NAME.TXT",
    "another long name.with.dots",
    "dir",
    "dir/x",
    "dir/a long name.txt",
    "Dir/sub",
    "dir/sub/y.bin",
    "DIR/SUB/a very long name that needs more than two entries.bin",
    "other directory",
    "other directory/dir",
    "other directory/a+b",
    "missing/a",
];

#[derive(Clone, Debug)]
enum Operation {
    Write(usize, usize),
    Touch(usize),
    MakeDirectory(usize),
    Remove(usize),
    Rename(usize, usize),
    Replace(usize, usize),
    Copy(usize, usize),
    Attributes(usize, u8),
    Label(u8),
    Unmount,
}

fn operation() -> impl Strategy<Value = Operation> {
    let path = 0..PATHS.len();
    let length = prop_oneof![
        Just(0_usize),
        1_usize..3000,
        Just(512),
        Just(1024),
        3000_usize..9000
    ];
    prop_oneof![
        6 => (path.clone(), length).prop_map(|(path, length)| Operation::Write(path, length)),
        2 => path.clone().prop_map(Operation::Touch),
        4 => path.clone().prop_map(Operation::MakeDirectory),
        3 => path.clone().prop_map(Operation::Remove),
        3 => (path.clone(), path.clone()).prop_map(|(from, to)| Operation::Rename(from, to)),
        2 => (path.clone(), path.clone()).prop_map(|(from, to)| Operation::Replace(from, to)),
        2 => (path.clone(), path.clone()).prop_map(|(from, to)| Operation::Copy(from, to)),
        1 => (path, 0_u8..8).prop_map(|(path, bits)| Operation::Attributes(path, bits)),
        1 => (0_u8..3).prop_map(Operation::Label),
        1 => Just(Operation::Unmount),
    ]
}

/// What a sequence does to the volume, as it should be: paths in lower case.
#[derive(Default)]
struct Model(BTreeMap<String, Node>);

impl Model {
    fn key(path: &str) -> String {
        format!("/{}", path.to_lowercase())
    }

    fn has_parent(&self, path: &str) -> bool {
        let key = Self::key(path);
        let parent = key.rsplit_once('/').unwrap().0;
        parent.is_empty() || self.0.get(parent) == Some(&Node::Directory)
    }

    fn is_writable(&self, path: &str) -> bool {
        let may_replace = match self.0.get(&Self::key(path)) {
            Some(Node::File { attributes, .. }) => attributes & 1 == 0,
            Some(Node::Directory) => false,
            None => true,
        };
        self.has_parent(path) && may_replace
    }

    fn has_children(&self, key: &str) -> bool {
        let prefix = format!("{key}/");
        self.0.keys().any(|path| path.starts_with(&prefix))
    }

    fn write(&mut self, path: &str, data: Vec<u8>, attributes: u8) -> bool {
        let is_possible = self.is_writable(path);
        if is_possible {
            self.0.insert(
                Self::key(path),
                Node::File {
                    attributes: 0x20 | attributes,
                    data,
                },
            );
        }
        is_possible
    }

    fn remove(&mut self, path: &str) -> bool {
        let key = Self::key(path);
        let is_possible = match self.0.get(&key) {
            Some(Node::File { attributes, .. }) => attributes & 1 == 0,
            Some(Node::Directory) => !self.has_children(&key),
            None => false,
        };
        is_possible && self.0.remove(&key).is_some()
    }

    fn rename(&mut self, from: &str, to: &str, replaces: bool) -> bool {
        let (old, new) = (Self::key(from), Self::key(to));
        if !self.has_parent(from) || !self.has_parent(to) || !self.0.contains_key(&old) {
            return false;
        }
        if new.starts_with(&format!("{old}/")) {
            return false;
        }
        if new != old && self.0.contains_key(&new) && !(replaces && self.remove(to)) {
            return false;
        }
        let prefix = format!("{old}/");
        let paths: Vec<_> = self.0.keys().cloned().collect();
        for path in paths
            .into_iter()
            .filter(|path| *path == old || path.starts_with(&prefix))
        {
            let mut node = self.0.remove(&path).unwrap();
            if let (Node::File { attributes, .. }, true) = (&mut node, path == old) {
                *attributes |= 0x20;
            }
            self.0.insert(format!("{new}{}", &path[old.len()..]), node);
        }
        true
    }
}

/// Applies an operation to both; says whether the model allows it.
fn apply(
    operation: &Operation,
    session: &mut Session,
    disk: &mut Disk,
    model: &mut Model,
    last: &mut Option<usize>,
    at: Start,
) -> (bool, Result<(), Error>) {
    let keeps_last = matches!(operation, Operation::Attributes(..) | Operation::Write(..));
    if !keeps_last {
        *last = None;
    }
    match *operation {
        Operation::Write(path, length) => {
            let name = PATHS[path];
            let data = pattern(length);
            let mut allowed = model.is_writable(name);
            if *last == Some(path) {
                // The file is still open: its attributes do not matter and are kept.
                let old = match model.0.get(&Model::key(name)) {
                    Some(Node::File { attributes, .. }) => *attributes,
                    _ => 0,
                };
                let node = Node::File {
                    attributes: old,
                    data: data.clone(),
                };
                model.0.insert(Model::key(name), node);
                allowed = true;
            } else if allowed {
                model.write(name, data.clone(), 0);
            }
            *last = allowed.then_some(path);
            let result = session.write(disk, at, name).and_then(|mut writer| {
                writer.write_at(0, &data)?;
                writer.finish()
            });
            (allowed, result)
        }
        Operation::Touch(path) => {
            let path = PATHS[path];
            let exists = model.0.contains_key(&Model::key(path));
            let allowed = model.is_writable(path);
            if allowed && !exists {
                model.write(path, Vec::new(), 0);
            }
            (allowed, session.touch(disk, at, path))
        }
        Operation::MakeDirectory(path) => {
            let path = PATHS[path];
            let old = model.0.get(&Model::key(path));
            let allowed = model.has_parent(path) && matches!(old, None | Some(Node::Directory));
            if allowed {
                model.0.insert(Model::key(path), Node::Directory);
            }
            (allowed, session.make_directory(disk, at, path))
        }
        Operation::Remove(path) => {
            let allowed = model.has_parent(PATHS[path]) && model.remove(PATHS[path]);
            (allowed, session.remove(disk, at, PATHS[path]))
        }
        Operation::Rename(from, to) => {
            let allowed = model.rename(PATHS[from], PATHS[to], false);
            (allowed, session.rename(disk, at, PATHS[from], PATHS[to]))
        }
        Operation::Replace(from, to) => {
            let allowed = model.rename(PATHS[from], PATHS[to], true);
            (allowed, session.replace(disk, at, PATHS[from], PATHS[to]))
        }
        Operation::Copy(from, to) => {
            let (from, to) = (PATHS[from], PATHS[to]);
            let source = model.0.get(&Model::key(from)).cloned();
            let allowed = match source {
                Some(Node::File { data, .. }) => {
                    Model::key(from) == Model::key(to) || model.write(to, data, 0)
                }
                _ => false,
            };
            (allowed, session.copy(disk, (at, from), (at, to)))
        }
        Operation::Attributes(path, bits) => {
            let path = PATHS[path];
            let letters = ["R", "H", "S"].iter().enumerate();
            let letters: String = letters
                .filter_map(|(bit, letter)| (bits >> bit & 1 == 1).then_some(*letter))
                .collect();
            let allowed = match model.0.get_mut(&Model::key(path)) {
                Some(Node::File { attributes, .. }) => {
                    *attributes = *attributes & !7 | bits;
                    true
                }
                // Directories get the attributes too; R would protect them from being removed.
                Some(Node::Directory) => return (true, Ok(())),
                None => false,
            };
            (allowed, session.set_attributes(disk, at, path, &letters))
        }
        Operation::Label(number) => {
            let label = ["", "one", "LABEL two"][usize::from(number)];
            (true, session.set_label(disk, at, label))
        }
        Operation::Unmount => {
            session.unmount();
            (true, Ok(()))
        }
    }
}

fn run(operations: &[Operation], blocks: u64, fills: bool) {
    let at = Start::from_blocks(7).unwrap();
    let mut disk = Disk::new(7 + blocks);
    let mut session = Session::new(Timestamp::FWUP);
    session.make_file_system(&mut disk, at, blocks).unwrap();
    let mut model = Model::default();
    let mut last = None;
    for operation in operations {
        let (allowed, result) = apply(
            operation,
            &mut session,
            &mut disk,
            &mut model,
            &mut last,
            at,
        );
        if fills {
            check(&disk, 7, false);
        } else {
            assert_eq!(allowed, result.is_ok(), "{operation:?}: {result:?}");
        }
    }
    let found = check(&disk, 7, false);
    let found = found
        .into_iter()
        .map(|(path, node)| (path.to_lowercase(), node));
    let found: BTreeMap<_, _> = found.collect();
    if !fills {
        assert!(found == model.0, "{:?}\n{:?}", found.keys(), model.0.keys());
    }
}

fn operations() -> impl Strategy<Value = Vec<Operation>> {
    prop::collection::vec(operation(), 1..40)
}

proptest! {
    #[test]
    fn a_volume_is_what_the_operations_say(
        operations in operations(),
        blocks in prop_oneof![4 => Just(4085_u64), 1 => Just(5000_u64)],
    ) {
        run(&operations, blocks, false);
    }

    #[test]
    fn a_full_volume_stays_consistent(operations in operations()) {
        run(&operations, 128, true);
    }
}

#[test]
fn a_fat32_volume_is_what_the_operations_say() {
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 8,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let result = runner.run(&operations(), |operations| {
        run(&operations, 66_600, false);
        Ok(())
    });
    result.unwrap();
}
