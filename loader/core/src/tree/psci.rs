// SPDX-License-Identifier: MIT OR Apache-2.0

//! The PSCI firmware in the device tree.

/// The instruction that calls the firmware (Linux,
/// `Documentation/devicetree/bindings/arm/psci.yaml`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conduit {
    /// The HVC instruction.
    Hvc,
    /// The SMC instruction.
    Smc,
}

impl Conduit {
    /// Parses a value of the property `method`.
    pub(super) fn of_method(method: &[u8]) -> Option<Self> {
        match method {
            b"hvc\0" => Some(Self::Hvc),
            b"smc\0" => Some(Self::Smc),
            _ => None,
        }
    }
}
