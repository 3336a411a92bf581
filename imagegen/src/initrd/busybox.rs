// SPDX-License-Identifier: MIT OR Apache-2.0

use goblin::elf::Elf;
use goblin::elf::header::{EM_AARCH64, machine_to_str};

/// Why a file cannot be the busybox of an initrd.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BusyboxError {
    /// The file is not an ELF file.
    #[error(
        "not an ELF program: give a static busybox for arm64, as in Debian's package busybox-static"
    )]
    NotAProgram,
    /// The program is for another architecture.
    #[error(
        "a program for {0}, not for arm64: give a static busybox for arm64, as in Debian's package busybox-static:arm64"
    )]
    OtherMachine(&'static str),
    /// The program needs shared libraries.
    #[error(
        "a program that needs {0}, which the initrd does not have: give a static busybox, as in Debian's package busybox-static"
    )]
    Dynamic(String),
}

/// A static busybox for arm64.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Busybox(Vec<u8>);

impl Busybox {
    /// Checks that `bytes` are a static program for arm64.
    ///
    /// # Errors
    ///
    /// When they are not.
    pub fn new(bytes: Vec<u8>) -> Result<Self, BusyboxError> {
        let elf = Elf::parse(&bytes).map_err(|_| BusyboxError::NotAProgram)?;
        if elf.header.e_machine != EM_AARCH64 {
            return Err(BusyboxError::OtherMachine(machine_to_str(
                elf.header.e_machine,
            )));
        }
        if let Some(interpreter) = elf.interpreter {
            return Err(BusyboxError::Dynamic(interpreter.to_owned()));
        }
        Ok(Self(bytes))
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}
