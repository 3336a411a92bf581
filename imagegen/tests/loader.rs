// SPDX-License-Identifier: MIT OR Apache-2.0

//! `imagegen loader` on an ELF with the layout of the loader's.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output};

use imagegen::loader_elf::{LOADER_BASE, LoaderElf, SectionSizes};
use little_loader_core::env::place::EnvPlace;
use little_loader_core::settings::{ENCODED_SIZE, SYMBOL, Settings};
use little_loader_core::units::{Bytes, Lba};

const CODE: &[u8] = b"sixteen of code.";
const DATA: &[u8] = b"data";
/// The offset of the settings in memory: they follow the code.
const SETTINGS_AT: usize = CODE.len();
/// The offset of the second segment from the base: there is a gap between the two.
const DATA_AT: usize = 0x100;
/// The number of bytes that follow the second segment in memory and are not part of it.
const BSS: u64 = 0x1000;

const BUILT: Settings = Settings {
    env: EnvPlace {
        lba: Lba(16),
        size: Bytes(131_072),
        redundant_lba: None,
    },
    buffer_size: Bytes(131_072),
};

/// Returns an ELF64 for AArch64: a segment of code and settings, one of data, a section for each
/// and for the BSS, and the symbol of the settings.
fn elf() -> Vec<u8> {
    fn header(words: &[u32], addresses: [u64; 4], rest: &[u64]) -> Vec<u8> {
        let words = words.iter().flat_map(|word| word.to_le_bytes());
        let addresses = addresses.iter().flat_map(|value| value.to_le_bytes());
        let rest = rest.iter().flat_map(|value| value.to_le_bytes());
        words.chain(addresses).chain(rest).collect()
    }
    let text: Vec<u8> = [CODE, &BUILT.encode()].concat();
    let strings = [b"\0", SYMBOL.as_bytes(), b"\0"].concat();
    let mut symbols = vec![0; 24];
    symbols.extend(1_u32.to_le_bytes());
    // A global object in section 1.
    symbols.extend([0x11, 0, 1, 0]);
    symbols.extend((LOADER_BASE + SETTINGS_AT as u64).to_le_bytes());
    symbols.extend((ENCODED_SIZE as u64).to_le_bytes());

    let contents: [&[u8]; 4] = [&text, DATA, &symbols, &strings];
    let mut offsets = [0; 4];
    let mut next = 64 + 2 * 56;
    for (offset, content) in offsets.iter_mut().zip(contents) {
        *offset = next;
        next += content.len() as u64;
    }
    let [text_at, data_at, symbols_at, strings_at] = offsets;
    let lengths = contents.map(|content| content.len() as u64);
    let data_address = LOADER_BASE + DATA_AT as u64;

    let mut bytes = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\xb7\0\x01\0\0\0".to_vec();
    bytes.extend(
        [LOADER_BASE, 64, next]
            .iter()
            .flat_map(|at| at.to_le_bytes()),
    );
    bytes.extend([0; 4]);
    // A file header of 64 bytes, 2 program headers of 56, 6 section headers of 64; the section
    // names, all empty, are in section 5.
    let counts = [64_u16, 56, 2, 64, 6, 5];
    bytes.extend(counts.iter().flat_map(|count| count.to_le_bytes()));
    let segment = |flags, offset, address, length, memory| {
        header(
            &[1, flags],
            [offset, address, address, length],
            &[memory, 4],
        )
    };
    bytes.extend(segment(5, text_at, LOADER_BASE, lengths[0], lengths[0]));
    bytes.extend(segment(6, data_at, data_address, lengths[1], lengths[1]));
    for content in contents {
        bytes.extend(content);
    }
    let section = |kind, flags, address, offset, length, link: u64, entry| {
        let links = link | 1 << 32;
        header(
            &[0, kind],
            [flags, address, offset, length],
            &[links, 1, entry],
        )
    };
    bytes.extend([0; 64]);
    bytes.extend(section(1, 6, LOADER_BASE, text_at, lengths[0], 0, 0));
    bytes.extend(section(1, 3, data_address, data_at, lengths[1], 0, 0));
    bytes.extend(section(8, 3, data_address + 4, data_at + 4, BSS, 0, 0));
    bytes.extend(section(2, 0, 0, symbols_at, lengths[2], 5, 24));
    bytes.extend(section(3, 0, 0, strings_at, lengths[3], 0, 0));
    bytes
}

/// A folder with the ELF.
struct Workshop(tempfile::TempDir);

impl Workshop {
    fn new() -> Self {
        let workshop = Self(tempfile::tempdir().expect("a temporary folder"));
        fs::write(workshop.path("loader.elf"), elf()).expect("writing the ELF");
        fs::set_permissions(workshop.path("loader.elf"), Permissions::from_mode(0o755))
            .expect("setting the mode");
        workshop
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn loader(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_imagegen"))
            .current_dir(self.0.path())
            .args(["loader", "loader.elf"])
            .args(arguments)
            .output()
            .expect("running imagegen")
    }

    fn ok(&self, arguments: &[&str]) -> String {
        let output = self.loader(arguments);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {errors}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Expects a refusal that leaves the ELF unchanged and no other file; returns the error.
    fn refused(&self, arguments: &[&str]) -> String {
        let before = fs::read(self.path("loader.elf")).expect("reading the ELF");
        let output = self.loader(arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        let after = fs::read(self.path("loader.elf")).expect("reading the ELF");
        assert_eq!(before, after, "{arguments:?}");
        let files = fs::read_dir(self.0.path()).expect("listing the folder");
        assert_eq!(files.count(), 1, "{arguments:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    fn settings(&self) -> Settings {
        let bytes = fs::read(self.path("loader.elf")).expect("reading the ELF");
        LoaderElf::parse(bytes)
            .and_then(|elf| elf.settings())
            .expect("settings")
    }
}

#[test]
fn what_is_built_in_is_shown() {
    let elf = LoaderElf::parse(elf()).expect("an ELF");
    elf.check_place().expect("the addresses that QEMU needs");
    let (text, data) = ((CODE.len() + ENCODED_SIZE) as u64, DATA.len() as u64);
    let sizes = SectionSizes {
        text,
        data,
        bss: BSS,
    };
    assert_eq!(elf.sizes, sizes);
    assert_eq!(elf.loaded(), text + data);
    assert_eq!(elf.end(), LOADER_BASE + DATA_AT as u64 + data + BSS);
    assert_eq!(elf.settings().expect("settings"), BUILT);

    let workshop = Workshop::new();
    let shown = workshop.ok(&[]);
    for line in [
        "entry             0x40100000",
        "segment           0x40100000, 48 bytes from the file, 48 in memory, r-x",
        "segment           0x40100100, 4 bytes from the file, 4 in memory, rw-",
        "size              text 48, data 4, bss 4096",
        "env-lba           16",
        "env-size          131072",
        "env-redundant-lba none",
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{line}: {shown}");
    }
    let json: serde_json::Value = serde_json::from_str(&workshop.ok(&["--json"])).expect("JSON");
    assert_eq!(json["entry"], LOADER_BASE);
    assert_eq!(json["settings"]["env_lba"], 16);
    assert_eq!(
        json["settings"]["env_redundant_lba"],
        serde_json::Value::Null
    );
    assert_eq!(json["segments"][1]["memory_size"], 4);
}

#[test]
fn settings_are_changed_in_place_and_nothing_else() {
    let workshop = Workshop::new();
    let before = elf();
    workshop.ok(&[
        "--set",
        "env-lba=8064",
        "--set",
        "env-size=64K",
        "--set",
        "env-redundant-lba=9000",
    ]);
    let changed = Settings {
        env: EnvPlace {
            lba: Lba(8064),
            size: Bytes(65_536),
            redundant_lba: Some(Lba(9000)),
        },
        ..BUILT
    };
    assert_eq!(workshop.settings(), changed);
    let after = fs::read(workshop.path("loader.elf")).expect("reading the ELF");
    let at = 64 + 2 * 56 + SETTINGS_AT;
    assert_eq!(before[..at], after[..at]);
    assert_eq!(before[at + ENCODED_SIZE..], after[at + ENCODED_SIZE..]);
    let metadata = fs::metadata(workshop.path("loader.elf")).expect("the ELF's mode");
    assert_eq!(metadata.permissions().mode() & 0o777, 0o755);
    workshop.ok(&[
        "--set",
        "env-redundant-lba=none",
        "--set",
        "env-size=131072",
    ]);
    let changed = Settings {
        env: EnvPlace {
            lba: Lba(8064),
            ..BUILT.env
        },
        ..BUILT
    };
    assert_eq!(workshop.settings(), changed);
}

#[test]
fn links_are_followed_and_stay() {
    let workshop = Workshop::new();
    for (link, target) in [
        ("flat", "loader.bin"),
        ("elf", "loader.elf"),
        ("loop", "loop"),
    ] {
        std::os::unix::fs::symlink(target, workshop.path(link)).expect("a link");
    }
    let text = |name: &str| {
        let path = workshop.path(name);
        path.to_str().expect("a temporary path in UTF-8").to_owned()
    };
    workshop.ok(&["--flat", &text("flat")]);
    assert!(
        fs::metadata(workshop.path("loader.bin"))
            .expect("the flat binary")
            .len()
            > 0
    );
    let imagegen = |arguments: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_imagegen"))
            .args(arguments)
            .output()
            .expect("running imagegen")
    };
    let changed = imagegen(&["loader", &text("elf"), "--set", "env-lba=8064"]);
    assert!(changed.status.success(), "{changed:?}");
    assert_eq!(workshop.settings().env.lba, Lba(8064));
    let refused = workshop.loader(&["--flat", &text("loop")]);
    let error = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        error.contains("Too many levels of symbolic links"),
        "{error}"
    );
    for (link, target) in [
        ("flat", "loader.bin"),
        ("elf", "loader.elf"),
        ("loop", "loop"),
    ] {
        let found = fs::read_link(workshop.path(link)).expect("still a link");
        assert_eq!(found, std::path::Path::new(target));
    }
}

#[test]
fn the_flat_binary_has_the_settings_and_no_bss() {
    let workshop = Workshop::new();
    workshop.ok(&["--set", "env-lba=64", "--flat", "loader.bin"]);
    let flat = fs::read(workshop.path("loader.bin")).expect("reading the flat binary");
    let settings = Settings {
        env: EnvPlace {
            lba: Lba(64),
            ..BUILT.env
        },
        ..BUILT
    };
    let mut expected = vec![0; DATA_AT + DATA.len()];
    expected[..CODE.len()].copy_from_slice(CODE);
    expected[SETTINGS_AT..][..ENCODED_SIZE].copy_from_slice(&settings.encode());
    expected[DATA_AT..].copy_from_slice(DATA);
    assert_eq!(flat, expected);
}

#[test]
fn what_cannot_work_is_refused_with_the_reason() {
    let workshop = Workshop::new();
    for (setting, reason) in [
        (
            "env-size=256K",
            "needs a buffer of 262144 bytes for all its copies; the limit is 131072",
        ),
        (
            "env-redundant-lba=272",
            "needs a buffer of 262144 bytes for all its copies; the limit is 131072",
        ),
        ("env-redundant-lba=20", "at blocks 16 and 20 overlap"),
        ("env-size=1000", "1000 bytes; it must be a multiple of 512"),
        (
            "env-size=8G",
            "--set env-size=8G: larger than the buffer of any loader",
        ),
        ("env-lba=0x10", "\"0x10\" is not a block number"),
        ("env-lba", "--set env-lba: write NAME=VALUE"),
        (
            "trace=1",
            "the settings are env-lba, env-size and env-redundant-lba",
        ),
    ] {
        // The flat binary is not created either.
        let error = workshop.refused(&["--set", setting, "--flat", "loader.bin"]);
        assert!(error.contains(reason), "{setting}: {error}");
    }
    let error = workshop.refused(&["--set", "env-lba=64", "--flat", "./loader.elf"]);
    assert!(
        error.contains("--flat ./loader.elf: that is the ELF itself"),
        "{error}"
    );
}
