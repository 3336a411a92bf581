// SPDX-License-Identifier: MIT OR Apache-2.0

//! Hazards hidden by emulation: the loader's machine code is searched for them, and one of them, an
//! unaligned access, is tried on the QEMU in use.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use disarm64::InsnOpcode;
use disarm64::decoder::{self, Opcode};
use disarm64_defn::{InsnClass, InsnFeatureSet, InsnOperandClass};
use goblin::elf::Elf;
use goblin::elf::section_header::SHF_EXECINSTR;

use qemu_tests::build::OPT_LEVELS;
use qemu_tests::harness::emulator::{self, Version};
use qemu_tests::paths;
use qemu_tests::toolchain::Toolchain;

use crate::context::{Context, report};
use crate::{Scenario, Test, named};

pub(crate) fn tests() -> Vec<Test> {
    let tests: [(&str, Scenario); 5] = [
        ("loaders_have_no_simd_fp_exclusives_or_atomics", loaders),
        ("forbidden_instructions_are_recognised", |_| forbidden()),
        ("allowed_instructions_are_let_through", |_| allowed()),
        ("clippy_refuses_volatile_pointers", volatile_pointers),
        ("alignment_with_the_mmu_off", alignment),
    ];
    named("static_checks", tests)
}

/// Returns why an instruction is forbidden, or `None` if it is allowed.
///
/// SIMD and floating-point registers trap until the kernel enables them, and a hypervisor cannot
/// emulate their loads and stores on a device. Exclusives and atomic read-modify-writes need
/// cacheable memory, and no memory is cacheable while the MMU is off (Arm ARM, B2.9 and B2.2.1).
fn problem(word: u32) -> Option<String> {
    let Some(opcode) = decoder::decode(word) else {
        return Some(format!("{word:#010x} is not an instruction"));
    };
    let definition = opcode.definition();
    let uses_vectors = definition.operands.iter().any(|operand| {
        !matches!(
            operand.class,
            InsnOperandClass::INT_REG
                | InsnOperandClass::MODIFIED_REG
                | InsnOperandClass::ADDRESS
                | InsnOperandClass::IMMEDIATE
                | InsnOperandClass::COND
                | InsnOperandClass::SYSTEM
        )
    });
    let what = if uses_vectors {
        "uses SIMD or floating-point registers".to_owned()
    } else if definition.class == InsnClass::LDSTEXCL && !is_ordered(&opcode) {
        "is exclusive".to_owned()
    } else if !matches!(
        definition.feature_set,
        InsnFeatureSet::V8 | InsnFeatureSet::CRC
    ) {
        // Includes LSE's atomics.
        format!("is beyond Armv8.0 and CRC-32: {:?}", definition.feature_set)
    } else {
        return None;
    };
    Some(format!("`{opcode}` {what}").replace('\t', " "))
}

/// True for load-acquire and store-release, which share an encoding group with exclusives but are
/// not exclusive.
fn is_ordered(opcode: &Opcode) -> bool {
    ["ldar", "stlr", "ldlar", "stllr"].iter().any(|ordered| {
        let rest = opcode.definition().mnemonic.strip_prefix(ordered);
        rest.is_some_and(|size| matches!(size, "" | "b" | "h"))
    })
}

/// Returns the code of an ELF, as addresses and words, without the data in between. Mapping symbols
/// separate the two (ELF for the Arm 64-bit Architecture, section 5.5.4).
fn code(bytes: &[u8]) -> Result<Vec<(u64, u32)>> {
    let elf = Elf::parse(bytes)?;
    let sections = elf.section_headers.iter().enumerate();
    let executable =
        sections.filter(|(_, section)| section.sh_flags & u64::from(SHF_EXECINSTR) != 0);
    let mut words = Vec::new();
    for (index, section) in executable {
        let mut is_code = BTreeMap::new();
        for symbol in elf.syms.iter().filter(|symbol| symbol.st_shndx == index) {
            match elf.strtab.get_at(symbol.st_name).unwrap_or_default() {
                "$x" => is_code.insert(symbol.st_value, true),
                "$d" => is_code.insert(symbol.st_value, false),
                _ => None,
            };
        }
        let range = section.file_range().context("a section without content")?;
        let content = bytes.get(range).context("a section beyond the file")?;
        for (number, word) in content.chunks_exact(4).enumerate() {
            let address = section.sh_addr + 4 * number as u64;
            let (_, is_code) = is_code
                .range(..=address)
                .next_back()
                .with_context(|| format!("no mapping symbol at or before {address:#x}"))?;
            if *is_code {
                words.push((address, u32::from_le_bytes(word.try_into()?)));
            }
        }
    }
    Ok(words)
}

fn check(elf: &Path) -> Result<()> {
    let code = code(&fs::read(elf)?)?;
    // Even the smallest loader has more; fewer would mean that most of it was not decoded.
    ensure!(code.len() > 10_000, "only {} instructions", code.len());
    let problems: Vec<String> = code
        .iter()
        .filter_map(|(address, word)| Some(format!("{address:#x}: {}", problem(*word)?)))
        .collect();
    let shown = problems.iter().take(10).map(String::as_str);
    ensure!(
        problems.is_empty(),
        "{} forbidden instructions:\n{}",
        problems.len(),
        shown.collect::<Vec<_>>().join("\n")
    );
    Ok(())
}

/// Checks all code of every loader, so that no path can reach a forbidden instruction while the MMU
/// is off.
fn loaders(context: &Context) -> Result<()> {
    let artifacts = &context.artifacts;
    let mut elfs = vec![
        artifacts.loader(),
        artifacts.dev_loader(),
        artifacts.trace_loader(),
    ];
    elfs.extend(OPT_LEVELS.iter().map(|level| artifacts.loader_at(level)));
    for elf in elfs {
        check(&elf).with_context(|| elf.display().to_string())?;
    }
    Ok(())
}

/// Encodings as printed by `llvm-mc -triple=aarch64 -show-encoding`.
const FORBIDDEN: [(&str, u32); 32] = [
    ("fmov d0, x1", 0x9e67_0020),
    ("ldr q0, [x0]", 0x3dc0_0000),
    ("ldr s1, [x2, #4]!", 0xbc40_4c41),
    ("ldr d1, #32", 0x5c00_0101),
    ("stp d8, d9, [sp, #-16]!", 0x6dbf_27e8),
    ("movi v0.2d, #0", 0x6f00_e400),
    ("add v0.4s, v1.4s, v2.4s", 0x4ea2_8420),
    ("scvtf d0, w1", 0x1e62_0020),
    ("fadd s0, s1, s2", 0x1e22_2820),
    ("fcvtzs x0, d0", 0x9e78_0000),
    ("ld1 {v0.16b}, [x0]", 0x4c40_7000),
    ("dup v1.16b, w0", 0x4e01_0c01),
    ("aese v0.16b, v1.16b", 0x4e28_4820),
    ("ldnp q0, q1, [x0]", 0xac40_0400),
    ("stur h3, [x1, #1]", 0x7c00_1023),
    ("ldxr x0, [x1]", 0xc85f_7c20),
    ("ldaxrb w0, [x1]", 0x085f_fc20),
    ("stxr w2, x0, [x1]", 0xc802_7c20),
    ("stlxp w2, x0, x3, [x1]", 0xc822_8c20),
    ("ldxp x0, x3, [x1]", 0xc87f_0c20),
    ("ldadd x0, x1, [x2]", 0xf820_0041),
    ("ldaddal w0, w1, [x2]", 0xb8e0_0041),
    ("stset x0, [x1]", 0xf820_303f),
    ("swp x0, x1, [x2]", 0xf820_8041),
    ("swpalb w0, w1, [x2]", 0x38e0_8041),
    ("cas x0, x1, [x2]", 0xc8a0_7c41),
    ("casalh w0, w1, [x2]", 0x48e0_fc41),
    ("casp x0, x1, x2, x3, [x4]", 0x4820_7c82),
    ("whilelo p0.b, x0, x1", 0x2521_1c00),
    ("ldr z0, [x0]", 0x8580_4000),
    ("smstart", 0xd503_477f),
    ("not allocated", 0xffff_ffff),
];

const ALLOWED: [(&str, u32); 11] = [
    ("ldar x0, [x1]", 0xc8df_fc20),
    ("ldar w1, [x2]", 0x88df_fc41),
    ("stlr w1, [x2]", 0x889f_fc41),
    ("stlrb w0, [x1]", 0x089f_fc20),
    ("ldp x0, x1, [sp], #16", 0xa8c1_07e0),
    ("ldr x0, [x1, #8]", 0xf940_0420),
    ("crc32x w0, w1, x2", 0x9ac2_4c20),
    ("mrs x0, icc_sre_el2", 0xd53c_c9a0),
    ("hvc #0x4c4c", 0xd409_8982),
    ("dc civac, x0", 0xd50b_7e20),
    ("msr vbar_el1, x0", 0xd518_c000),
];

fn forbidden() -> Result<()> {
    for (text, word) in FORBIDDEN {
        ensure!(problem(word).is_some(), "{text} was let through");
    }
    Ok(())
}

fn allowed() -> Result<()> {
    for (text, word) in ALLOWED {
        let problem = problem(word);
        ensure!(problem.is_none(), "{text}: {problem:?}");
    }
    Ok(())
}

/// One line for each way to make a volatile access without safe-mmio.
const VOLATILE: &str = "\
#![allow(missing_docs)]
pub unsafe fn a(p: *const u32) -> u32 { unsafe { core::ptr::read_volatile(p) } }
pub unsafe fn b(p: *mut u32) { unsafe { core::ptr::write_volatile(p, 1) } }
pub unsafe fn c(p: *const u32) -> u32 { unsafe { p.read_volatile() } }
pub unsafe fn d(p: *mut u32) -> u32 { unsafe { p.read_volatile() } }
pub unsafe fn e(p: *mut u32) { unsafe { p.write_volatile(1) } }
pub unsafe fn f(p: core::ptr::NonNull<u32>) -> u32 { unsafe { p.read_volatile() } }
pub unsafe fn g(p: core::ptr::NonNull<u32>) { unsafe { p.write_volatile(1) } }
";

/// Clippy, with the workspace's clippy.toml, refuses each of these lines.
fn volatile_pointers(context: &Context) -> Result<()> {
    let source = context.path("volatile.rs");
    fs::write(&source, VOLATILE)?;
    let driver = Toolchain::query()?.sysroot.join("bin/clippy-driver");
    let output = Command::new(&driver)
        .env("CLIPPY_CONF_DIR", paths::workspace())
        .args(["--edition=2024", "--crate-type=lib", "--emit=metadata"])
        .args(["-D", "clippy::disallowed_methods", "--out-dir"])
        .args([context.path(""), source])
        .output()
        .with_context(|| {
            format!(
                "cannot start {}; `rustup component add clippy` installs it",
                driver.display()
            )
        })?;
    let said = String::from_utf8_lossy(&output.stderr);
    for (number, line) in VOLATILE.lines().enumerate().skip(1) {
        let place = format!("volatile.rs:{}:", number + 1);
        ensure!(said.contains(&place), "clippy accepts {line:?}:\n{said}");
    }
    ensure!(said.contains("use of a disallowed method"), "{said}");
    Ok(())
}

/// From 9.0 on QEMU checks alignment while the MMU is off, as hardware does, so that every test on
/// it tests the loader's alignment too.
fn alignment(context: &Context) -> Result<()> {
    let version = emulator::version()?;
    let arguments = "test.slot=a payload.unaligned=1";
    let disk = context.disk(&context.bootable()?.set("a.kernel_args", arguments))?;
    let report = report(&context.machine().disk(disk))?;
    let faults = report.get("unaligned_load_faults")? == "true";
    let checks = version >= Version::CHECKS_ALIGNMENT;
    ensure!(
        faults == checks,
        "QEMU {version}: unaligned loads fault: {faults}, expected: {checks}"
    );
    eprintln!(
        "static_checks: QEMU {version} {} unaligned accesses with the MMU off",
        if checks { "refuses" } else { "lets through" }
    );
    Ok(())
}
