// SPDX-License-Identifier: MIT OR Apache-2.0

//! The nodes of a device tree: their properties, their children, and lookup by path.
//!
//! Source: Devicetree Specification 0.4, chapters 2.2 (names and paths) and 2.3 (standard
//! properties).

use crate::tree::fdt::{Fdt, Property, Token};
use crate::tree::format::word;

/// The number of 32-bit cells of an address and of a size in the `reg` of a node's children.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cells {
    /// `#address-cells`
    pub address: u32,
    /// `#size-cells`
    pub size: u32,
}

impl Cells {
    /// The values for a node without these properties (2.3.5).
    const DEFAULT: Self = Self {
        address: 2,
        size: 1,
    };
}

/// A node of a DTB.
#[derive(Clone, Copy, Debug)]
pub struct Node<'a> {
    fdt: Fdt<'a>,
    /// The name with the unit address.
    pub name: &'a [u8],
    /// The offset of the properties in the structure block, in bytes.
    at: usize,
    /// The cells of the node's `reg`.
    pub cells: Cells,
}

impl<'a> Fdt<'a> {
    /// Returns the root node.
    #[must_use]
    pub fn root(self) -> Node<'a> {
        Node {
            fdt: self,
            name: b"",
            at: match self.token(0) {
                Ok((Token::Begin(_), next)) => next,
                _ => usize::MAX,
            },
            cells: Cells::DEFAULT,
        }
    }

    /// Finds the node with a path such as `/soc/serial@9000000`. Unit addresses may be omitted.
    #[must_use]
    pub fn find(self, path: &[u8]) -> Option<Node<'a>> {
        let mut node = self.root();
        for part in path.strip_prefix(b"/")?.split(|byte| *byte == b'/') {
            node = node
                .children()
                .find(|child| child.name == part || child.name_without_address() == part)?;
        }
        Some(node)
    }
}

impl<'a> Node<'a> {
    /// Returns the name up to the unit address.
    #[must_use]
    pub fn name_without_address(&self) -> &'a [u8] {
        let end = self.name.iter().position(|byte| *byte == b'@');
        &self.name[..end.unwrap_or(self.name.len())]
    }

    /// Returns the offset of the properties in the DTB, in bytes.
    #[must_use]
    pub fn offset(&self) -> usize {
        self.fdt.start + self.at
    }

    /// Returns the properties in the order of the DTB.
    #[must_use]
    pub fn properties(&self) -> Properties<'a> {
        let (fdt, at) = (self.fdt, self.at);
        Properties { fdt, at }
    }

    /// Returns the value of a property, with the limits of [`values`](Self::values).
    #[must_use]
    pub fn property(&self, name: &[u8]) -> Option<&'a [u8]> {
        let [value] = self.values([name]);
        value
    }

    /// Returns the values of several properties, found in one walk. If a name occurs more than
    /// once, the first property is used, as in the kernel. Names longer than 31 bytes are not
    /// found.
    #[must_use]
    pub fn values<const N: usize>(&self, names: [&[u8]; N]) -> [Option<&'a [u8]>; N] {
        let mut values = [None; N];
        self.find_values(&names, &mut values);
        values
    }

    fn find_values(&self, names: &[&[u8]], values: &mut [Option<&'a [u8]>]) {
        for property in self.properties() {
            if let Some(name) = property.name()
                && let Some(index) = names.iter().position(|wanted| *wanted == name)
            {
                values[index].get_or_insert(property.value);
            }
        }
    }

    /// Whether `compatible` contains this name.
    #[must_use]
    pub fn is_compatible(&self, name: &[u8]) -> bool {
        let names = self.property(b"compatible").unwrap_or_default();
        names.split(|byte| *byte == 0).any(|own| own == name)
    }

    /// Whether the device can be used: `status` is missing or "okay".
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.property(b"status").is_none_or(is_okay)
    }

    /// Returns the nodes directly below this one.
    #[must_use]
    pub fn children(&self) -> Children<'a> {
        let [address, size] = self.values([b"#address-cells", b"#size-cells"]);
        let cells = |value: Option<&[u8]>, default| match value {
            Some(value) if value.len() == 4 => word(value, 0),
            _ => default,
        };
        Children {
            fdt: self.fdt,
            at: self.at,
            depth: 0,
            cells: Cells {
                address: cells(address, Cells::DEFAULT.address),
                size: cells(size, Cells::DEFAULT.size),
            },
        }
    }
}

/// Whether this value of `status` says that the device can be used (2.3.4; "ok" is the older form).
pub(super) fn is_okay(status: &[u8]) -> bool {
    status == b"okay\0" || status == b"ok\0"
}

/// The properties of a node.
#[derive(Clone, Debug)]
pub struct Properties<'a> {
    fdt: Fdt<'a>,
    at: usize,
}

impl<'a> Iterator for Properties<'a> {
    type Item = Property<'a>;

    fn next(&mut self) -> Option<Property<'a>> {
        let (Token::Property(property), next) = self.fdt.token(self.at).ok()? else {
            return None;
        };
        self.at = next;
        Some(property)
    }
}

/// The children of a node.
#[derive(Clone, Debug)]
pub struct Children<'a> {
    fdt: Fdt<'a>,
    at: usize,
    /// The depth of the walk below the node.
    depth: u32,
    cells: Cells,
}

impl<'a> Iterator for Children<'a> {
    type Item = Node<'a>;

    fn next(&mut self) -> Option<Node<'a>> {
        loop {
            let (token, next) = self.fdt.token(self.at).ok()?;
            match token {
                Token::Begin(name) => {
                    self.at = next;
                    self.depth += 1;
                    if self.depth == 1 {
                        return Some(Node {
                            fdt: self.fdt,
                            name,
                            at: next,
                            cells: self.cells,
                        });
                    }
                }
                Token::End => self.depth = self.depth.checked_sub(1)?,
                Token::Property(_) => {}
                Token::Finish => return None,
            }
            self.at = next;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_to_nodes_with_or_without_their_addresses() {
        let fdt = Fdt::new(include_bytes!("../../tests/fixtures/virt.dtb")).unwrap();
        for path in ["/pl011@9000000", "/pl011", "/cpus/cpu@0", "/cpus/cpu"] {
            assert!(fdt.find(path.as_bytes()).is_some(), "{path}");
        }
        for path in ["", "pl011", "/pl011@9000001", "/pl01", "/cpus/cpu/x"] {
            assert!(fdt.find(path.as_bytes()).is_none(), "{path}");
        }
        let cpu = fdt.find(b"/cpus/cpu").unwrap();
        let cells = Cells {
            address: 1,
            size: 0,
        };
        assert_eq!(cpu.cells, cells);
    }
}
