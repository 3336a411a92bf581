// SPDX-License-Identifier: MIT OR Apache-2.0

//! The instructions that access memory or maintain caches, and their operands.
//!
//! The disassembler tells the class of a load or store; the operands are fields at fixed places in
//! each class (Arm ARM, C4.1.94 "Loads and Stores" and C4.1.93 "Branches, Exception Generating and
//! System instructions").

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
mod tests {
    use super::*;

    fn access(word: u32) -> Access {
        match decode(word) {
            Some(Instruction::Access(access)) => access,
            other => panic!("{word:#x}: {other:?}"),
        }
    }

    // Encodings in this module as printed by `llvm-mc -triple=aarch64 -show-encoding`.
    #[test]
    fn loads_and_stores_have_their_operands() {
        let bytes = Offset::Bytes;
        let index = |index, option, shift| Offset::Register {
            index,
            option,
            shift,
        };
        // The word, whether it is a load, the size, the registers, the base and the offset.
        let expected = [
            (
                "ldr x0, [x1, #8]",
                0xf940_0420,
                true,
                3,
                (0, None),
                1,
                bytes(8),
            ),
            (
                "strb w2, [x3, #5]",
                0x3900_1462,
                false,
                0,
                (2, None),
                3,
                bytes(5),
            ),
            (
                "ldrsw x4, [sp, #12]",
                0xb980_0fe4,
                true,
                2,
                (4, None),
                31,
                bytes(12),
            ),
            (
                "str w9, [x0], #4",
                0xb800_4409,
                false,
                2,
                (9, None),
                0,
                bytes(0),
            ),
            (
                "ldr x5, [x6, #-16]!",
                0xf85f_0cc5,
                true,
                3,
                (5, None),
                6,
                bytes(-16),
            ),
            (
                "ldur w7, [x8, #-3]",
                0xb85f_d107,
                true,
                2,
                (7, None),
                8,
                bytes(-3),
            ),
            (
                "str x1, [x2, w3, uxtw #3]",
                0xf823_5841,
                false,
                3,
                (1, None),
                2,
                index(3, 2, 3),
            ),
            (
                "ldrb w4, [x5, x6]",
                0x3866_68a4,
                true,
                0,
                (4, None),
                5,
                index(6, 3, 0),
            ),
            (
                "ldrh w7, [x8, w9, sxtw #1]",
                0x7869_d907,
                true,
                1,
                (7, None),
                8,
                index(9, 6, 1),
            ),
            (
                "stp x29, x30, [sp, #-32]!",
                0xa9be_7bfd,
                false,
                3,
                (29, Some(30)),
                31,
                bytes(-32),
            ),
            (
                "ldp w0, w1, [x2, #8]",
                0x2941_0440,
                true,
                2,
                (0, Some(1)),
                2,
                bytes(8),
            ),
            (
                "ldpsw x3, x4, [x5], #16",
                0x68c2_10a3,
                true,
                2,
                (3, Some(4)),
                5,
                bytes(0),
            ),
            (
                "stnp xzr, xzr, [x1, #-64]",
                0xa83c_7c3f,
                false,
                3,
                (31, Some(31)),
                1,
                bytes(-64),
            ),
        ];
        for (text, word, is_load, size, (first, second), base, offset) in expected {
            let expected = Access {
                is_load,
                is_ordered: false,
                size,
                first,
                second,
                base: Base::Register(base),
                offset,
            };
            assert_eq!(access(word), expected, "{text}");
        }
        // ldr x3, #32; ldrsw x3, #-8
        for (word, size, offset) in [(0x5800_0103, 3, 32), (0x98ff_ffc3, 2, -8)] {
            let literal = access(word);
            assert!(literal.is_load);
            assert_eq!(
                (literal.base, literal.offset, literal.size),
                (Base::Here, bytes(offset), size)
            );
        }
        // ldarh w8, [x9]; stlr x10, [x11]
        let (acquire, release) = (access(0x48df_fd28), access(0xc89f_fd6a));
        assert!(acquire.is_ordered && acquire.is_load && acquire.size == 1);
        assert!(release.is_ordered && !release.is_load && release.size == 3);
    }

    #[test]
    fn system_instructions_are_told_apart() {
        use Instruction::{
            ChangeLevel, DataCache as Line, InvalidateInstructions, InvalidateTranslations,
            Synchronize, WriteRegister,
        };
        let barrier = |waits, orders, is_outer| {
            Instruction::Barrier(Barrier {
                waits,
                orders,
                is_outer,
            })
        };
        let expected = [
            (
                "dc civac, x1",
                0xd50b_7e21,
                Line(DataCache::CleanAndInvalidate, 1),
            ),
            ("dc ivac, x2", 0xd508_7622, Line(DataCache::Invalidate, 2)),
            ("dc cvac, x3", 0xd50b_7a23, Line(DataCache::Clean, 3)),
            ("ic iallu", 0xd508_751f, InvalidateInstructions),
            ("tlbi vmalle1", 0xd508_871f, InvalidateTranslations),
            ("tlbi alle1", 0xd50c_879f, InvalidateTranslations),
            ("dsb sy", 0xd503_3f9f, barrier(true, Orders::All, true)),
            (
                "dsb ishst",
                0xd503_3a9f,
                barrier(true, Orders::Stores, false),
            ),
            ("dmb ish", 0xd503_3bbf, barrier(false, Orders::All, false)),
            (
                "dmb oshld",
                0xd503_31bf,
                barrier(false, Orders::Loads, true),
            ),
            ("isb", 0xd503_3fdf, Synchronize),
            ("eret", 0xd69f_03e0, ChangeLevel),
            ("hvc #0x4c4c", 0xd409_8982, ChangeLevel),
            ("smc #1", 0xd400_0023, ChangeLevel),
            (
                "msr sctlr_el1, x1",
                0xd518_1001,
                WriteRegister(Register::SctlrEl1, 1),
            ),
            (
                "msr sctlr_el12, x2",
                0xd51d_1002,
                WriteRegister(Register::SctlrEl1, 2),
            ),
            (
                "msr ttbr0_el1, x3",
                0xd518_2003,
                WriteRegister(Register::Ttbr0El1, 3),
            ),
            (
                "msr tcr_el1, x4",
                0xd518_2044,
                WriteRegister(Register::TcrEl1, 4),
            ),
            (
                "msr mair_el1, x5",
                0xd518_a205,
                WriteRegister(Register::MairEl1, 5),
            ),
            (
                "msr sctlr_el3, x6",
                0xd51e_1006,
                WriteRegister(Register::SctlrAbove, 6),
            ),
            (
                "msr vbar_el1, x7",
                0xd518_c007,
                WriteRegister(Register::Other, 7),
            ),
        ];
        for (text, word, instruction) in expected {
            assert_eq!(decode(word), Some(instruction), "{text}");
        }
    }

    #[test]
    fn what_the_model_does_not_know_is_not_ignored() {
        for (text, word) in [
            ("ldxr x0, [x1]", 0xc85f_7c20),
            ("ldadd x0, x1, [x2]", 0xf820_0041),
            ("ldr q0, [x0]", 0x3dc0_0000),
            ("dc zva, x0", 0xd50b_7420),
            ("dc csw, x1", 0xd508_7a41),
            ("at s1e1r, x0", 0xd508_7800),
            ("tlbi vae1, x0", 0xd508_8720),
            ("ic ivau, x1", 0xd50b_7521),
        ] {
            assert_eq!(decode(word), Some(Instruction::Unknown), "{text}");
        }
        for (text, word) in [
            ("nop", 0xd503_201f),
            ("add x0, x1, x2", 0x8b02_0020),
            ("mrs x0, ctr_el0", 0xd53b_0020),
            ("msr daifset, #15", 0xd503_4fdf),
            ("b #8", 0x1400_0002),
            ("ret", 0xd65f_03c0),
            ("prfm pldl1keep, [x0]", 0xf980_0000),
            ("clrex", 0xd503_3f5f),
        ] {
            assert_eq!(decode(word), None, "{text}");
        }
    }
}
