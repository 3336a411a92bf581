// SPDX-License-Identifier: MIT OR Apache-2.0

//! The sections of a configuration while it is parsed, before they become the model.

use std::collections::{BTreeMap, BTreeSet};

use super::schema::{self, Entry};
use crate::firmware::model::{Call, Value};

/// The value of an option, in one of its forms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum TreeValue {
    One(Value),
    List(Vec<Value>),
    /// Any bytes except NUL.
    Bytes(Vec<u8>),
}

/// A section: its options and sections by their index in the schema.
#[derive(Clone, Debug, Default)]
pub(super) struct Tree {
    pub(super) values: BTreeMap<usize, TreeValue>,
    pub(super) sections: Vec<(usize, String, Tree)>,
    /// The titles of the sections, to find duplicates.
    pub(super) titles: BTreeSet<(usize, String)>,
    pub(super) calls: Vec<Call>,
}

impl Tree {
    pub(super) fn value(&self, schema: &'static [Entry], name: &str) -> Option<&TreeValue> {
        let (at, _) = schema::find(schema, name)?;
        self.values.get(&at)
    }

    /// Returns the values of a list; empty if the list is not set.
    pub(super) fn list(&self, schema: &'static [Entry], name: &str) -> &[Value] {
        match self.value(schema, name) {
            Some(TreeValue::List(values)) => values,
            _ => &[],
        }
    }
}
