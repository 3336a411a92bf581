// SPDX-License-Identifier: MIT OR Apache-2.0

//! The instructions that access memory or maintain caches, and their operands.
//!
//! The disassembler tells the class of a load or store; the operands are fields at fixed places in
//! each class (Arm ARM, C4.1, "A64 instruction set encoding").

use disarm64::InsnOpcode;
use disarm64::decoder;
use disarm64_defn::InsnClass;

use super::event::{Barrier, DataCache, Orders, Register};

/// An instruction that the model knows; operands are numbers of registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Instruction {
    Access(Access),
    DataCache(DataCache, u8),
    InvalidateInstructions,
    InvalidateTranslations,
    Barrier(Barrier),
    Synchronize,
    ChangeLevel,
    WriteRegister(Register, u8),
    /// It may access memory or caches in a way that the model does not know.
    Unknown,
}

/// A load or store of one or two general registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Access {
    pub(super) is_load: bool,
    /// True for load-acquire and store-release.
    pub(super) is_ordered: bool,
    /// The length of one register's bytes, as a binary logarithm.
    pub(super) size: u32,
    pub(super) first: u8,
    /// Of a pair.
    pub(super) second: Option<u8>,
    pub(super) base: Base,
    pub(super) offset: Offset,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Base {
    /// A register; 31 is the stack pointer.
    Register(u8),
    /// The instruction's own address.
    Here,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Offset {
    Bytes(i64),
    /// A register, extended as `option` says and shifted left.
    Register {
        index: u8,
        option: u8,
        shift: u32,
    },
}

/// Returns bits `low` to `high` of `word`.
fn field(word: u32, high: u32, low: u32) -> u32 {
    (word >> low) & (u32::MAX >> (31 - (high - low)))
}

fn signed(word: u32, high: u32, low: u32) -> i64 {
    let unused = 63 - u64::from(high - low);
    (i64::from(field(word, high, low)) << unused) >> unused
}

/// Decodes `word`; `None` for an instruction that does nothing to memory, caches or system
/// registers.
pub(super) fn decode(word: u32) -> Option<Instruction> {
    // Loads and stores have 1x0x in bits 28 to 25.
    if word & 0x0a00_0000 == 0x0800_0000 {
        return memory(word);
    }
    let register = field(word, 4, 0) as u8;
    // ERET; SVC, HVC and SMC.
    if word == 0xd69f_03e0 || word & 0xffe0_001c == 0xd400_0000 && word & 3 != 0 {
        return Some(Instruction::ChangeLevel);
    }
    if word & 0xffff_f01f == 0xd503_301f {
        return barrier(word);
    }
    match word & 0xfff8_0000 {
        // SYS
        0xd508_0000 => Some(system(word, register)),
        // MSR (register)
        0xd510_0000 | 0xd518_0000 => Some(Instruction::WriteRegister(named(word), register)),
        _ => None,
    }
}

fn barrier(word: u32) -> Option<Instruction> {
    let orders = match field(word, 9, 8) {
        1 => Orders::Loads,
        2 => Orders::Stores,
        3 => Orders::All,
        // SSBB and PSSBB.
        _ => return Some(Instruction::Unknown),
    };
    let barrier = |waits| Barrier {
        waits,
        orders,
        is_outer: matches!(field(word, 11, 10), 0 | 3),
    };
    match field(word, 7, 5) {
        4 => Some(Instruction::Barrier(barrier(true))),
        5 => Some(Instruction::Barrier(barrier(false))),
        6 => Some(Instruction::Synchronize),
        // CLREX and SB.
        _ => None,
    }
}

/// op1, CRn, CRm and op2 of a system instruction or register.
fn names(word: u32) -> (u32, u32, u32, u32) {
    (
        field(word, 18, 16),
        field(word, 15, 12),
        field(word, 11, 8),
        field(word, 7, 5),
    )
}

fn system(word: u32, register: u8) -> Instruction {
    match names(word) {
        (0, 7, 6, 1) => Instruction::DataCache(DataCache::Invalidate, register),
        (3, 7, 10, 1) => Instruction::DataCache(DataCache::Clean, register),
        (3, 7, 14, 1) => Instruction::DataCache(DataCache::CleanAndInvalidate, register),
        // IC IALLU and IALLUIS.
        (0, 7, 5 | 1, 0) => Instruction::InvalidateInstructions,
        // Those that invalidate all of EL1: VMALLE1, VMALLE1IS, ALLE1, ALLE1IS.
        (0, 8, 7 | 3, 0) | (4, 8, 7 | 3, 4) => Instruction::InvalidateTranslations,
        _ => Instruction::Unknown,
    }
}

fn named(word: u32) -> Register {
    if word & 0x8_0000 == 0 {
        return Register::Other;
    }
    match names(word) {
        (0 | 5, 1, 0, 0) => Register::SctlrEl1,
        (4 | 6, 1, 0, 0) => Register::SctlrAbove,
        (0, 2, 0, 0) => Register::Ttbr0El1,
        (0, 2, 0, 2) => Register::TcrEl1,
        (0, 10, 2, 0) => Register::MairEl1,
        _ => Register::Other,
    }
}

fn memory(word: u32) -> Option<Instruction> {
    let Some(opcode) = decoder::decode(word) else {
        return Some(Instruction::Unknown);
    };
    let definition = opcode.definition();
    if matches!(definition.mnemonic, "prfm" | "prfum") {
        return None;
    }
    // Bit 26: SIMD and floating-point registers.
    if field(word, 26, 26) == 1 {
        return Some(Instruction::Unknown);
    }
    let size = field(word, 31, 30);
    let single = Access {
        is_load: field(word, 23, 22) != 0,
        is_ordered: false,
        size,
        first: field(word, 4, 0) as u8,
        second: None,
        base: Base::Register(field(word, 9, 5) as u8),
        offset: Offset::Bytes(0),
    };
    let pair_size = if field(word, 31, 31) == 1 { 3 } else { 2 };
    let is_post_indexed = |high, low| field(word, high, low) == 1;
    let access = match definition.class {
        InsnClass::LDST_POS => Access {
            offset: Offset::Bytes(i64::from(field(word, 21, 10)) << size),
            ..single
        },
        InsnClass::LDST_IMM9 if is_post_indexed(11, 10) => single,
        InsnClass::LDST_IMM9 | InsnClass::LDST_UNSCALED => Access {
            offset: Offset::Bytes(signed(word, 20, 12)),
            ..single
        },
        InsnClass::LDST_REGOFF => Access {
            offset: Offset::Register {
                index: field(word, 20, 16) as u8,
                option: field(word, 15, 13) as u8,
                shift: field(word, 12, 12) * size,
            },
            ..single
        },
        InsnClass::LDSTPAIR_OFF | InsnClass::LDSTPAIR_INDEXED | InsnClass::LDSTNAPAIR_OFFS => {
            let offset = if is_post_indexed(25, 23) {
                0
            } else {
                signed(word, 21, 15) << pair_size
            };
            Access {
                is_load: field(word, 22, 22) == 1,
                size: pair_size,
                second: Some(field(word, 14, 10) as u8),
                offset: Offset::Bytes(offset),
                ..single
            }
        }
        InsnClass::LOADLIT => Access {
            is_load: true,
            size: if size == 1 { 3 } else { 2 },
            base: Base::Here,
            offset: Offset::Bytes(signed(word, 23, 5) * 4),
            ..single
        },
        // LDAR and STLR: o2 and o0 are 1.
        InsnClass::LDSTEXCL if word & 0x00a0_8000 == 0x0080_8000 => Access {
            is_load: field(word, 22, 22) == 1,
            is_ordered: true,
            ..single
        },
        _ => return Some(Instruction::Unknown),
    };
    Some(Instruction::Access(access))
}

#[cfg(test)]
mod tests;
