// SPDX-License-Identifier: MIT OR Apache-2.0

//! The console in the device tree.
//!
//! Source: Devicetree Specification 0.4, 3.6 (`stdout-path`) and 3.3 (aliases); Linux,
//! `Documentation/devicetree/bindings/serial/pl011.yaml`.

use crate::tree::error::DtbError;
use crate::tree::fdt::Fdt;
use crate::tree::format::until_nul;
use crate::tree::node::Node;
use crate::tree::reg::RegEntries;
use crate::units::Region;

/// Returns the registers of the PL011 that a `stdout-path` names, directly or by alias, or `None`
/// if it names another device.
pub(super) fn pl011(fdt: Fdt<'_>, stdout_path: &[u8]) -> Result<Option<Region>, DtbError> {
    let path = until_nul(stdout_path);
    let path = path.split(|byte| *byte == b':').next().unwrap_or_default();
    let node = if path.starts_with(b"/") {
        fdt.find(path)
    } else {
        fdt.find(b"/aliases")
            .and_then(|aliases| aliases.property(path))
            .and_then(|path| fdt.find(until_nul(path)))
    };
    match node.filter(Node::is_enabled) {
        Some(node) if node.is_compatible(b"arm,pl011") => RegEntries::of(node).next(),
        _ => Ok(None),
    }
}
