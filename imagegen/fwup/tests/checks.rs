// SPDX-License-Identifier: MIT OR Apache-2.0

//! Errors of a task are found before anything is written, and every archive that can be made can be
//! applied.

#![expect(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use fwup::apply::{Applied, Observer, apply_to};
use fwup::archive::write::{Level, Writer};
use fwup::create::write_archive;
use fwup::hex;
use fwup::language::{Definitions, configuration};

use proptest::prelude::*;

/// Collects a task's messages.
#[derive(Default)]
struct Heard(Vec<String>);

impl Observer for Heard {
    fn progress(&mut self, _: u64, _: u64) {}

    fn info(&mut self, message: &str) {
        self.0.push(message.to_owned());
    }
}

/// Returns an archive with a `meta.conf` and entries.
fn archive(meta_conf: &str, entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new(), Level::default());
    for (name, data) in [("meta.conf", meta_conf.as_bytes())].iter().chain(entries) {
        writer
            .entry::<std::io::Error>(name, None, data.len() as u64, |take| take(data))
            .unwrap();
    }
    writer.finish().unwrap()
}

/// A resource of five bytes, and a task that writes an environment and the resource.
const META_CONF: &str = r#"
file-resource "x" { length=5 blake2b-256="HASH" }
mbr "mbr" { partition "0" { block-offset=64 block-count=8 type=131 } }
uboot-environment "env" { block-offset=16 block-count=16 }
task "complete" {
on-init { funlist={2,info,started,2,uboot_clearenv,env} }
on-finish { funlist={4,uboot_setenv,env,done,1,2,mbr_write,mbr} }
on-error { funlist={4,raw_memset,99,1,0x77} }
on-resource "x" { funlist={2,raw_write,128} }
}
"#;

/// Returns [`META_CONF`] with one change.
fn meta_conf(from: &str, to: &str) -> String {
    assert!(META_CONF.contains(from), "{from}");
    let hash = hex::encode(&<blake2::Blake2b256 as blake2::Digest>::digest("hello"));
    META_CONF.replacen(from, to, 1).replace("HASH", &hash)
}

fn apply(bytes: &[u8], image: &Path) -> (Result<Applied, String>, Vec<String>) {
    let mut heard = Heard::default();
    let result = apply_to(
        bytes,
        image,
        "complete",
        &mut Definitions::empty(),
        &mut heard,
    );
    (result.map_err(|error| error.to_string()), heard.0)
}

#[test]
fn errors_are_found_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let (new, old) = (folder.path().join("new"), folder.path().join("old"));
    fs::write(&old, [0x55; 128 << 10]).unwrap();
    for (from, to, expected) in [
        (
            "type=131",
            "type=0x183",
            "mbr \"mbr\": partition '0': type must be 0 to 255, not '387'",
        ),
        (
            "partition \"0\"",
            "partition \"4\"",
            "mbr \"mbr\": for partitions from 4 on, partition 3 must have extended type 0x05 or 0x0f",
        ),
        (
            "mbr \"mbr\" {",
            "mbr \"mbr\" { include-osip=true ",
            "mbr \"mbr\": include-osip needs at least one osii section",
        ),
        (
            "block-count=16",
            "block-count=0",
            "uboot-environment \"env\": block-count is 0, expected a number from 1 to 65534",
        ),
        (
            "block-count=16",
            "block-count=16 block-offset-redund=20",
            "uboot-environment \"env\": the copies of the environment at blocks 16 and 20 overlap: each has 16 blocks of 512 bytes",
        ),
        (
            "done,1",
            "\"do=ne\",1",
            "'uboot_setenv': 'do=ne' is not a variable name: it must not be empty, and must not contain '=' or NUL",
        ),
        (
            "file-resource \"x\"",
            "file-resource \"y\"",
            "meta.conf does not declare the resource \"x\"",
        ),
        (
            "blake2b-256=\"HASH\"",
            "",
            "meta.conf has no blake2b-256 for the resource \"x\"",
        ),
        (
            "{2,raw_write,128}",
            "{2,raw_write,128,2,raw_write,256}",
            "resource \"x\": only one action can use its data, such as one raw_write",
        ),
        (
            "length=5",
            "length={0x7fffffffffffffff,0x7fffffffffffffff,2}",
            "resource \"x\": its lengths add up to more than any disk has",
        ),
        (
            "{2,raw_write,128}",
            "{2,raw_write,0x7fffffffffffff}",
            "512 bytes at byte 18446744073709551104 end beyond 8 EiB",
        ),
        (
            "4,raw_memset,99,1,0x77",
            "2,fat_mkfs,1",
            "'fat_mkfs' takes a block and a count of blocks, found 1 arguments",
        ),
    ] {
        let bytes = archive(&meta_conf(from, to), &[("data/x", b"hello")]);
        for image in [&new, &old] {
            let (result, said) = apply(&bytes, image);
            let error = result.unwrap_err();
            assert_eq!(error, expected, "{to}");
            assert!(said.is_empty(), "{to}: {said:?}");
        }
        assert!(!new.exists(), "{to}");
        assert!(fs::read(&old).unwrap() == [0x55; 128 << 10], "{to}");
    }
    // A negative block number means that there is no second copy.
    let bytes = archive(
        &meta_conf("block-count=16", "block-count=16 block-offset-redund=-2"),
        &[("data/x", b"hello")],
    );
    apply(&bytes, &new).0.unwrap();
    assert_eq!(&fs::read(&new).unwrap()[16 * 512 + 4..][..7], b"done=1\0");
    fs::remove_file(&new).unwrap();
    // Without an error, the archive is applied.
    let bytes = archive(&meta_conf("HASH", "HASH"), &[("data/x", b"hello")]);
    let (result, said) = apply(&bytes, &new);
    assert_eq!(
        (result.unwrap().task.as_str(), &said[..]),
        ("complete", &["started".to_owned()][..])
    );
    let image = fs::read(&new).unwrap();
    assert_eq!(&image[128 * 512..][..5], b"hello");
    assert_eq!(image[510..512], [0x55, 0xaa]);
}

/// As in fwup: an empty resource has no data to write twice.
#[test]
fn an_empty_resource_may_be_written_more_than_once() {
    let folder = tempfile::tempdir().unwrap();
    let hash = hex::encode(&<blake2::Blake2b256 as blake2::Digest>::digest(""));
    let meta_conf = format!(
        "file-resource \"x\" {{ blake2b-256=\"{hash}\" }}\ntask \"complete\" {{ on-resource \"x\" {{ funlist={{2,raw_write,1,2,raw_write,2,2,info,twice}} }} }}\n"
    );
    let (result, said) = apply(
        &archive(&meta_conf, &[("data/x", b"")]),
        &folder.path().join("image"),
    );
    assert!(result.is_ok(), "{result:?}");
    assert_eq!(said, ["twice"]);
}

/// The actions of on-error before its own error take effect, and the first error is reported.
#[test]
fn the_actions_of_on_error_before_its_error_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("image");
    let meta_conf = r#"
uboot-environment "env" { block-offset=16 block-count=16 }
task "complete" {
on-init { funlist={4,raw_memset,200,1,0x11,2,error,"first error"} }
on-error { funlist={4,raw_memset,99,1,0x77,2,uboot_clearenv,env,4,uboot_setenv,env,failed,1,2,info,"cleaning up",2,error,"second error",4,raw_memset,100,1,0x77} }
}
"#;
    let (result, said) = apply(&archive(meta_conf, &[]), &image);
    assert_eq!(result.unwrap_err(), "first error");
    assert_eq!(said, ["cleaning up"]);
    let image = fs::read(image).unwrap();
    assert_eq!(image[99 * 512..][..512], [0x77; 512]);
    assert_eq!(&image[16 * 512 + 4..][..9], b"failed=1\0");
    // Not written: the actions after the second error, and the data in the cache at the first
    // error.
    assert_eq!(image[100 * 512..][..512], [0; 512]);
    assert_eq!(image[200 * 512..][..512], [0; 512]);
}

/// An entry of the declared length is data, even if it looks like a delta. One of another length is
/// a delta if the task names a source.
#[test]
fn an_unusable_delta_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let data = b"\xd6\xc3\xc4\0delta";
    let hash = hex::encode(&<blake2::Blake2b256 as blake2::Digest>::digest(data));
    for (length, option, expected) in [
        (9, "delta-source-raw-offset=8", None),
        (
            10,
            "delta-source-raw-offset=8",
            Some("resource \"x\": its delta cannot be applied: the delta"),
        ),
        (
            10,
            "verify-on-the-fly=true",
            Some("resource \"x\" has 9 bytes of data, expected 10"),
        ),
        (
            10,
            "delta-source-raw-offset=\"8k\"",
            Some("on-resource \"x\": delta-source-raw-offset needs a number"),
        ),
        (
            10,
            "delta-source-fat-offset=63 delta-source-fat-path=\"a/b\"",
            Some("resource \"x\": the source of its delta cannot be read: "),
        ),
    ] {
        let image = folder.path().join("image");
        let meta_conf = format!(
            "file-resource \"x\" {{ length={length} blake2b-256=\"{hash}\" }}\ntask \"complete\" {{ on-resource \"x\" {{ {option} funlist={{2,raw_write,1}} }} }}\n"
        );
        let (result, _) = apply(&archive(&meta_conf, &[("data/x", data)]), &image);
        match expected {
            Some(expected) => {
                let error = result.unwrap_err();
                assert!(error.starts_with(expected), "{error}");
                assert!(!image.exists());
            }
            None => {
                result.unwrap();
                assert_eq!(&fs::read(&image).unwrap()[512..][..9], data);
                fs::remove_file(&image).unwrap();
            }
        }
    }
}

/// A signature before `meta.conf` is skipped; one of the wrong size is an error.
#[test]
fn a_signed_archive_is_applied() {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("image");
    for (signature, expected) in [
        (&[7; 64][..], Ok(())),
        (&[7; 63], Err("meta.conf.ed25519 has 63 bytes, expected 64")),
    ] {
        let mut writer = Writer::new(Vec::new(), Level::default());
        let entries = [
            ("meta.conf.ed25519", signature),
            ("meta.conf", b"task \"complete\" {\n}\n"),
        ];
        for (name, data) in entries {
            writer
                .entry::<std::io::Error>(name, None, data.len() as u64, |take| take(data))
                .unwrap();
        }
        let (result, _) = apply(&writer.finish().unwrap(), &image);
        assert_eq!(result.map(|_| ()), expected.map_err(str::to_owned));
    }
}

/// Makes an archive from a configuration.
fn pack(text: &str) -> Vec<u8> {
    let definitions = &mut Definitions::empty();
    let mut firmware =
        configuration(text.into(), "fwup.conf", PathBuf::new(), definitions).unwrap();
    let mut bytes = Vec::new();
    write_archive(&mut firmware, &mut bytes, Level::default(), 0, |_, _| {}).unwrap();
    bytes
}

/// Runs an independent program that reads the archive or the image, and returns its output.
fn judge(program: &str, arguments: &[&str], folder: &Path) -> String {
    let output = Command::new(program)
        .args(arguments)
        .env("LC_ALL", "C")
        .current_dir(folder)
        .output()
        .unwrap_or_else(|error| {
            panic!("{program}: {error}; this test needs it: apt-get install unzip fdisk gdisk")
        });
    assert!(output.status.success(), "{program}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Tests all bytes except NUL, which no text can contain.
#[test]
fn contents_can_be_any_bytes_but_nul() {
    let folder = tempfile::tempdir().unwrap();
    let bytes: Vec<u8> = (1..=255).collect();
    let escaped: String = bytes.iter().map(|byte| format!("\\x{byte:02x}")).collect();
    let text = format!(
        "file-resource a {{ contents = \"{escaped}\" }} task complete {{ on-resource a {{ raw_write(0) }} }}"
    );
    let image = folder.path().join("image");
    apply(&pack(&text), &image).0.unwrap();
    assert_eq!(fs::read(image).unwrap()[..255], bytes);
}

#[test]
fn unzip_finds_resources_in_the_folder_and_at_the_top_level() {
    let folder = tempfile::tempdir().unwrap();
    let text =
        "file-resource /top/a { contents = one } file-resource 'b \"c\\d' { contents = two }";
    fs::write(folder.path().join("out.fw"), pack(text)).unwrap();
    let names = judge("unzip", &["-Z1", "out.fw"], folder.path());
    assert_eq!(names, "meta.conf\ntop/a\ndata/b \"c\\d\n");
    assert_eq!(
        judge("unzip", &["-p", "out.fw", "top/a"], folder.path()),
        "one"
    );
}

/// Both types of extended partitions, without a length.
#[test]
fn sfdisk_reads_extended_partitions_of_both_types() {
    for kind in ["5", "f"] {
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("image");
        fs::write(&image, vec![0; 8 << 20]).unwrap();
        let bytes = pack(&format!(
            "mbr m {{
                partition 0 {{ block-offset = 64 block-count = 64 type = 0x0c boot = true }}
                partition 3 {{ block-offset = 1024 type = 0x{kind} }}
                partition 4 {{ block-offset = 1032 block-count = 100 type = 0x83 }}
                partition 5 {{ block-offset = 1200 block-count = 100 type = 0x83 }}
                partition 6 {{ block-offset = 2048 block-count = 100 type = 0x82 expand = true }}
            }}
            task complete {{ on-init {{ mbr_write(m) }} }}"
        ));
        apply(&bytes, &image).0.unwrap();
        let table = judge("sfdisk", &["-d", "image"], folder.path());
        let found: Vec<_> = table
            .lines()
            .filter_map(|line| Some(line.split_once(" : ")?.1.replace(' ', "")))
            .collect();
        assert_eq!(
            found,
            [
                "start=64,size=64,type=c,bootable",
                &format!("start=1024,size=15360,type={kind}"),
                "start=1032,size=100,type=83",
                "start=1200,size=100,type=83",
                "start=2048,size=14336,type=82",
            ],
            "{table}"
        );
    }
}

/// Returns the configuration of a table with a partition that expands, and one with attributes.
fn gpt_configuration() -> String {
    "gpt g {
        guid = 11111111-2222-3333-4444-555555555555
        partition 0 {
            block-offset = 64 block-count = 0x40 boot = true name = größe
            type = c12a7328-f81f-11d2-ba4b-00a0c93ec93b guid = 11111111-2222-3333-4444-000000000000
        }
        partition 5 {
            block-offset = 2048 block-count = 64 expand = true flags = 0x8000000000000001
            type = 0fc63daf-8483-4772-8e79-3d69d8477de4 guid = 11111111-2222-3333-4444-000000000005
        }
    }
    task complete { on-init { gpt_write(g) } }"
        .to_owned()
}

#[test]
fn sgdisk_and_sfdisk_read_a_guid_partition_table() {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("image");
    fs::write(&image, vec![0; 8 << 20]).unwrap();
    apply(&pack(&gpt_configuration()), &image).0.unwrap();
    let verdict = judge("sgdisk", &["-v", "image"], folder.path());
    assert!(verdict.contains("No problems found"), "{verdict}");
    let table = judge("sfdisk", &["-d", "image"], folder.path());
    let found: Vec<_> = table
        .lines()
        .filter_map(|line| Some(line.split_once(" : ")?.1.replace(' ', "")))
        .collect();
    assert_eq!(
        found,
        [
            "start=64,size=64,type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B,uuid=11111111-2222-3333-4444-000000000000,name=\"gr\\xc3\\xb6\\xc3\\x9fe\",attrs=\"LegacyBIOSBootable\"",
            "start=2048,size=14302,type=0FC63DAF-8483-4772-8E79-3D69D8477DE4,uuid=11111111-2222-3333-4444-000000000005,attrs=\"RequiredPartitionGUID:63\"",
        ],
        "{table}"
    );
}

/// The backup copy alone is enough.
#[test]
fn sgdisk_reads_the_backup_of_a_guid_partition_table() {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("image");
    fs::write(&image, vec![0; 8 << 20]).unwrap();
    apply(&pack(&gpt_configuration()), &image).0.unwrap();
    let mut bytes = fs::read(&image).unwrap();
    bytes[512..34 * 512].fill(0);
    fs::write(&image, &bytes).unwrap();
    let table = judge("sgdisk", &["-p", "image"], folder.path());
    assert!(
        table.contains("11111111-2222-3333-4444-555555555555"),
        "{table}"
    );
    assert!(table.contains("16349"), "{table}");
}

/// Only the device knows where the partitions are.
#[test]
fn overlapping_partitions_of_a_device_are_refused_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("image");
    let text = gpt_configuration().replace("block-offset = 2048", r#"block-offset = "\${AT}""#);
    let archive = pack(&text);
    let apply_at = |at: &str| {
        fs::write(&image, vec![0; 8 << 20]).unwrap();
        let mut definitions = Definitions::empty();
        definitions.set("AT", at);
        let heard = &mut Heard::default();
        let applied = apply_to(&archive[..], &image, "complete", &mut definitions, heard);
        let is_empty = fs::read(&image).unwrap().iter().all(|byte| *byte == 0);
        (applied.map_err(|error| error.to_string()), is_empty)
    };
    let (applied, is_empty) = apply_at("128");
    assert!(applied.is_ok() && !is_empty, "{applied:?}");
    let (applied, is_empty) = apply_at("127");
    assert_eq!(
        applied.unwrap_err(),
        "gpt \"g\": partitions 0 (blocks 64 to 128) and 5 (blocks 127 to 191) overlap"
    );
    assert!(is_empty);
}

/// Quotes a text for a configuration.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

proptest! {
    /// Any name of a resource, a task or an environment is either refused when the archive is made,
    /// or found when it is applied.
    #[test]
    fn every_title_that_is_packed_is_applied(
        title in "[a-c/.${}\"'\\\\ -]{0,12}|/?(data)?/?(meta.conf)?[^\0]{0,9}",
        other in "[a-c${}\"'\\\\ ]{0,6}",
    ) {
        let (title, other) = (quoted(&title), quoted(&other));
        let text = format!(
            "file-resource {title} {{ contents = hello }}\nfile-resource last {{ contents = x }}\n\
             uboot-environment {other} {{ block-offset = 16 block-count = 4 }}\n\
             task complete {{ on-init {{ uboot_clearenv({other}) uboot_setenv({other}, done, {other}) }}\n\
             on-resource {title} {{ raw_write(64) }} }}\n"
        );
        let definitions = &mut Definitions::empty();
        let Ok(mut firmware) = configuration(text.into_bytes(), "fwup.conf", PathBuf::new(), definitions) else {
            return Ok(());
        };
        let mut bytes = Vec::new();
        write_archive(&mut firmware, &mut bytes, Level::default(), 0, |_, _| {}).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("image");
        let (result, _) = apply(&bytes, &image);
        prop_assert!(result.is_ok(), "{:?}", result);
        prop_assert_eq!(&fs::read(image).unwrap()[64 * 512..][..5], b"hello");
    }
}

/// A task that fails after `trim` keeps what the disk still has, also for `on-error`.
#[test]
fn what_a_failed_task_trimmed_is_still_there_for_on_error() {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("image");
    let meta_conf = "uboot-environment \"e\" { block-offset=300 block-count=16 }\n\
        task \"make\" { on-init { funlist={2,uboot_clearenv,e,4,uboot_setenv,e,kept,1} } }\n\
        task \"err\" { on-init { funlist={3,trim,0,1024,2,error,no} } on-error { funlist={4,uboot_setenv,e,failed,1} } }\n";
    let bytes = archive(meta_conf, &[]);
    let apply_task = |task: &str| {
        let definitions = &mut Definitions::empty();
        apply_to(
            &bytes[..],
            &image,
            task,
            definitions,
            &mut Heard(Vec::new()),
        )
    };
    apply_task("make").unwrap();
    apply_task("err").unwrap_err();
    let disk = fs::read(&image).unwrap();
    assert!(disk[300 * 512 + 4..].starts_with(b"failed=1\0kept=1\0"));
}

/// A delta is refused if it would be written over the file that is its source, before anything is written.
#[test]
fn a_delta_is_not_written_over_its_source() {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("image");
    let hash = "0".repeat(64);
    for (source, target) in [("A/b", "/a/B"), ("a/b", "a/b")] {
        let meta_conf = format!(
            "file-resource \"x\" {{ length=600 blake2b-256=\"{hash}\" }}\ntask \"complete\" {{ on-resource \"x\" {{ delta-source-fat-offset=63 delta-source-fat-path=\"{source}\" funlist={{3,fat_write,63,\"{target}\"}} }} }}\n"
        );
        let bytes = archive(&meta_conf, &[("data/x", b"\xd6\xc3\xc4\0\0")]);
        let (result, _) = apply(&bytes, &image);
        assert_eq!(
            result.unwrap_err(),
            "resource \"x\": its delta would be written over its own source; write it to another file"
        );
        assert!(!image.exists());
    }
}

/// A file system that replaces another one, written as an image, is read anew.
#[test]
fn a_file_system_written_over_another_one_is_read_anew() {
    let folder = tempfile::tempdir().unwrap();
    let (image, other) = (folder.path().join("image"), folder.path().join("other"));
    let hash = |data: &[u8]| hex::encode(&<blake2::Blake2b256 as blake2::Digest>::digest(data));
    let small = format!(
        "file-resource \"a\" {{ length=5 blake2b-256=\"{}\" }}\ntask \"complete\" {{ on-init {{ funlist={{3,fat_mkfs,0,300}} }} on-resource \"a\" {{ funlist={{3,fat_write,0,first}} }} }}\n",
        hash(b"hello")
    );
    apply(&archive(&small, &[("data/a", b"hello")]), &other)
        .0
        .unwrap();
    let volume = fs::read(&other).unwrap();
    let meta_conf = format!(
        "file-resource \"a\" {{ length=5 blake2b-256=\"{}\" }}\nfile-resource \"v\" {{ length={} blake2b-256=\"{}\" }}\nfile-resource \"b\" {{ length=5 blake2b-256=\"{}\" }}\n\
         task \"complete\" {{ on-init {{ funlist={{3,fat_mkfs,0,70000}} }} on-resource \"a\" {{ funlist={{3,fat_write,0,gone}} }} on-resource \"v\" {{ funlist={{2,raw_write,0}} }} on-resource \"b\" {{ funlist={{3,fat_write,0,second}} }} }}\n\
         task \"check\" {{ reqlist={{4,require-fat-file-match,0,first,hello,4,require-fat-file-match,0,second,world}} on-init {{ funlist={{2,info,both}} }} }}\n",
        hash(b"hello"),
        volume.len(),
        hash(&volume),
        hash(b"world"),
    );
    let entries = [
        ("data/a", &b"hello"[..]),
        ("data/v", &volume),
        ("data/b", b"world"),
    ];
    let bytes = archive(&meta_conf, &entries);
    apply(&bytes, &image).0.unwrap();
    let definitions = &mut Definitions::empty();
    apply_to(
        &bytes[..],
        &image,
        "check",
        definitions,
        &mut Heard(Vec::new()),
    )
    .unwrap();
}
