// SPDX-License-Identifier: MIT OR Apache-2.0

//! Encodings as printed by `llvm-mc -triple=aarch64 -show-encoding`.

use super::*;

fn access(word: u32) -> Access {
    match decode(word) {
        Some(Instruction::Access(access)) => access,
        other => panic!("{word:#x}: {other:?}"),
    }
}

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
