// SPDX-License-Identifier: MIT OR Apache-2.0

//! Archives made by the program: their `meta.conf` is byte for byte that of fwup.

#![expect(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

use std::fs;
use std::path::Path;
use std::process::Command;

use fwup::archive::firmware_archive::FirmwareArchive;
use fwup::archive::read::Archive;
use fwup::archive::write::{Level, Writer};
use fwup::language::Definitions;

/// Runs the program in a folder, without a date of its own.
fn fwup(folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> (bool, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fwup"));
    command.current_dir(folder).args(arguments);
    command.env_remove("SOURCE_DATE_EPOCH").env_remove("NOW");
    command.envs(variables.iter().copied());
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.success(),
        text(output.stdout),
        text(output.stderr),
    )
}

/// Packs a configuration and returns the `meta.conf` of the archive, or what the program prints.
fn pack(folder: &Path, configuration: &str) -> Result<String, String> {
    fs::write(folder.join("fwup.conf"), configuration).unwrap();
    let (is_made, out, err) = fwup(folder, &["-c", "-f", "fwup.conf", "-o", "out.fw"], &[]);
    if !is_made {
        return Err(out + &err);
    }
    let bytes = fs::read(folder.join("out.fw")).unwrap();
    let mut archive = Archive::new(&bytes[..]);
    assert_eq!(archive.next_entry().unwrap().unwrap().name, "meta.conf");
    Ok(String::from_utf8(archive.read_all(1 << 20).unwrap()).unwrap())
}

#[test]
fn meta_conf_is_that_of_fwup() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::write(folder.join("one.bin"), "one").unwrap();
    fs::create_dir(folder.join("sub")).unwrap();
    fs::write(
        folder.join("sub/host.conf"),
        "host-path = \"two.bin;../one.bin\"",
    )
    .unwrap();
    fs::write(folder.join("sub/two.bin"), "two").unwrap();
    for (configuration, expected) in [
        ("", "# Empty file\n"),
        (
            "meta-product = p meta-uuid = x meta-nickname = y meta-creation-date = 2018 meta-fwup-version = 9",
            "meta-product=p\nmeta-fwup-version=9\n",
        ),
        (
            "require-fwup-version = \"0\" block-cache-size-mb = 0x8 meta-misc = m",
            "meta-misc=m\n",
        ),
        (
            "file-resource none { host-path = \"/dev/null\" }",
            "file-resource \"none\" {\nblake2b-256=0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8\n}\n",
        ),
        (
            // A section that is open at the end, and included paths.
            "file-resource two { include(\"sub/host.conf\")",
            "file-resource \"two\" {\nlength=6\nblake2b-256=HASH\n}\n",
        ),
        (
            "uboot-environment e { block-offset = 0x100000000 block-count = 0x10 block-offset-redund = 0x100000010 }",
            "uboot-environment \"e\" {\nblock-offset=0x100000000\nblock-count=16\nblock-offset-redund=0x100000010\n}\n",
        ),
        (
            "file-resource a { contents = \"\" } task t { on-init { } on-resource a { } }",
            "file-resource \"a\" {\nblake2b-256=0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8\n}\ntask \"t\" {\n}\n",
        ),
        (
            "file-resource a { contents = x } task t { on-resource a { delta-source-raw-count = 2147483647 raw_write(0x10) } }",
            "file-resource \"a\" {\nlength=1\nblake2b-256=HASH\n}\ntask \"t\" {\non-resource \"a\" {\nfunlist={2,raw_write,0x10}\n}\n}\n",
        ),
    ] {
        let mut written = pack(folder, configuration).unwrap();
        if let Some((before, hash)) = written.split_once("blake2b-256=")
            && expected.contains("HASH")
        {
            written = format!("{before}blake2b-256=HASH{}", &hash[64..]);
        }
        assert_eq!(written, expected, "{configuration}");
    }
}

#[test]
fn the_bytes_do_not_depend_on_how_the_host_stores_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let configuration = "file-resource r { host-path = \"r.img\" }";
    let path = folder.join("r.img");
    let file = fs::File::create(&path).unwrap();
    file.set_len(1 << 20).unwrap();
    let sparse = pack(folder, configuration).unwrap();
    fs::write(&path, vec![0; 1 << 20]).unwrap();
    assert_eq!(pack(folder, configuration).unwrap(), sparse);
    assert!(sparse.contains("length=1048576\n"), "{sparse}");
}

#[test]
fn a_date_can_be_set() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::write(folder.join("fwup.conf"), "meta-product = x").unwrap();
    for (variables, expected) in [
        (
            &[("NOW", "2020-01-02T03:04:05Z")][..],
            "2020-01-02T03:04:05Z",
        ),
        (
            &[("SOURCE_DATE_EPOCH", "0x10000000")],
            "1978-07-04T21:24:16Z",
        ),
        (
            &[
                ("NOW", "2020-01-02T03:04:05Z"),
                ("SOURCE_DATE_EPOCH", "1700000000"),
            ],
            "2023-11-14T22:13:20Z",
        ),
    ] {
        let made = fwup(
            folder,
            &["-c", "-f", "fwup.conf", "-o", "out.fw"],
            variables,
        );
        assert_eq!(made, (true, String::new(), String::new()));
        let (_, out, _) = fwup(folder, &["-m", "-i", "out.fw"], &[]);
        let date = format!("meta-creation-date=\"{expected}\"");
        assert!(out.contains(&date), "{out}");
    }
}

#[test]
fn a_meta_conf_cannot_forge_its_identity() {
    let opened = |meta_conf: &str| {
        let mut writer = Writer::new(Vec::new(), Level::default());
        writer
            .entry::<std::io::Error>("meta.conf", None, meta_conf.len() as u64, |take| {
                take(meta_conf.as_bytes())
            })
            .unwrap();
        let bytes = writer.finish().unwrap();
        FirmwareArchive::read(&bytes[..], &mut Definitions::empty()).map(|_| ())
    };
    for forged in [
        "meta-uuid=\"12345678-1234-5678-1234-567812345678\"",
        "meta-nickname=\"able-cake\"",
        "define!(FWUP_META_UUID, other)",
        "define!(FWUP_META_NICKNAME, other)",
        "define-eval!(FWUP_META_UUID, \"1 + 1\")",
    ] {
        assert_eq!(
            opened(&format!("meta-product=x\n{forged}\n"))
                .unwrap_err()
                .to_string(),
            "meta.conf isn't allowed to change 'meta-uuid', 'meta-nickname', '$FWUP_META_UUID' or '$FWUP_META_NICKNAME'",
            "{forged}"
        );
    }
    // `define` keeps what is set. Old archives have a date.
    opened("meta-creation-date=2015\ndefine(FWUP_META_UUID, other)\n").unwrap();
}

/// Such an archive is too large for fwup, which the program says.
#[test]
fn a_thousand_resources_can_be_packed_and_read() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let configuration: String = (0..1000)
        .map(|number| format!("file-resource r{number} {{ contents = {number} }}\n"))
        .collect();
    let meta_conf = pack(folder, &configuration).unwrap();
    assert_eq!(meta_conf.matches("file-resource").count(), 1000);
    let (is_valid, _, err) = fwup(folder, &["-V", "-i", "out.fw"], &[]);
    assert!(is_valid, "{err}");
    let (_, _, err) = fwup(folder, &["-c", "-f", "fwup.conf", "-o", "out.fw"], &[]);
    assert!(err.contains("fwup up to 1.16 reads at most 49999"), "{err}");
}

#[test]
fn a_missing_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let error = pack(
        folder.path(),
        "file-resource r { host-path = \"none.bin\" }",
    )
    .unwrap_err();
    assert_eq!(
        error,
        "fwup: can't open path 'none.bin' in file-resource 'r'\n"
    );
    assert!(!folder.path().join("out.fw").exists());
}
