// SPDX-License-Identifier: MIT OR Apache-2.0

use std::fs;
use std::path::PathBuf;

use proptest::prelude::*;

use super::*;
use crate::firmware::call::CallError;
use crate::firmware::model::{Call, Firmware, SectionOptions, Task, Value};
use crate::hex;

fn read(text: &str) -> Result<Firmware, LanguageError> {
    configuration(
        text.into(),
        "fwup.conf",
        PathBuf::new(),
        &mut Definitions::empty(),
    )
}

/// Returns the error as text.
fn error(text: &str) -> String {
    read(text).expect_err(text).to_string()
}

fn metadata<'a>(firmware: &'a Firmware, name: &str) -> Option<&'a str> {
    firmware.metadata.text(name)
}

#[test]
fn definitions_apply_to_what_follows_them() {
    let text = r#"
        meta-product = "${A}"
        define(A, 1) define(A, 2)
        meta-version = ${A}
        define!(A, 3)
        define-eval(B, "${A} * 2") define-eval!(A, "${B} + 1")
        meta-author = "${A} ${B}"
    "#;
    let firmware = read(text).unwrap();
    assert_eq!(metadata(&firmware, "meta-product"), Some(""));
    assert_eq!(metadata(&firmware, "meta-version"), Some("1"));
    assert_eq!(metadata(&firmware, "meta-author"), Some("7 6"));
}

#[test]
fn a_section_without_title_is_continued_and_one_with_title_is_not() {
    let firmware = read("task a { on-init { info(1) } on-init { info(2) } }").unwrap();
    let said: Vec<_> = firmware.tasks[0]
        .on_init
        .iter()
        .map(|call| &call.arguments[0])
        .collect();
    assert_eq!(said, ["1", "2"]);
    assert_eq!(
        error("task a { }\ntask a { }"),
        "fwup.conf:2: task 'a' is already defined"
    );
}

#[test]
fn errors_name_file_and_line() {
    for (text, expected) in [
        (
            "meta-product = x\nnonsense = 3",
            "fwup.conf:2: no such option 'nonsense'",
        ),
        (
            "task a {\n on-init { raw_write( }",
            "fwup.conf:2: syntax error in call of function 'raw_write'",
        ),
        (
            "task a {\n on-init { info }",
            "fwup.conf:2: expected '(' after 'info'",
        ),
        (
            "meta-product x",
            "fwup.conf:1: expected '=' after option 'meta-product', found 'x'",
        ),
        (
            "meta-product += x",
            "fwup.conf:1: option 'meta-product' is not a list, so '+=' cannot append to it; write '='",
        ),
        (
            "meta-product = {x}",
            "fwup.conf:1: expected a value for option 'meta-product', found '{'",
        ),
        (
            "block-cache-size-mb = x",
            "fwup.conf:1: option 'block-cache-size-mb' needs a whole number, found 'x'",
        ),
        (
            "file-resource a { skip-holes = 2 }",
            "fwup.conf:1: option 'skip-holes' needs true or false, found '2'",
        ),
        ("task {", "fwup.conf:1: section 'task' needs a title"),
        ("task a", "fwup.conf:1: expected '{' to open section 'task'"),
        ("= x", "fwup.conf:1: unexpected '='"),
        ("}", "fwup.conf:1: unexpected '}': no section is open"),
        (
            "include(${UNSET})",
            "fwup.conf:1: Cannot include the contents of an undefined variable",
        ),
        (
            "\ninclude(\"/nothing/here\")",
            "fwup.conf:2: Cannot include '/nothing/here': File not found",
        ),
        (
            "include(\"/\")",
            "fwup.conf:1: Cannot include '/': Not a regular file",
        ),
        (
            "task a { on-init { raw_memset(1, 0, 0xff) } }",
            "fwup.conf:1: 'raw_memset' needs a count of at least 1 block as its second argument, found '0'",
        ),
        (
            "task a { on-init { trim(1, 0x0) } }",
            "fwup.conf:1: 'trim' needs a count of at least 1 block as its second argument, found '0x0'",
        ),
        (
            "uboot-environment e { block-offset = 8k block-count = 8 }",
            "fwup.conf:1: uboot-environment 'e': block-offset is '8k', expected a number from 0 to 18014398509481983",
        ),
        (
            "meta-product = \"a\n",
            "fwup.conf:2: a quoted text is not closed",
        ),
        (
            "define(A)",
            "fwup.conf:1: 'define' takes a name and a value, found 1 arguments",
        ),
        (
            "define-eval(A, \"1 / 0\")",
            "fwup.conf:1: cannot evaluate '1 / 0': division by zero",
        ),
        (
            "include(\"${NOWHERE}\")",
            "fwup.conf:1: Cannot include the contents of an undefined variable",
        ),
        (
            "include()",
            "fwup.conf:1: 'include' takes one path, found 0 arguments",
        ),
        (
            "require-fwup-version = 99.0",
            "fwup.conf:1: this needs fwup version '99.0'; the latest version supported here is 1.16.0",
        ),
        (
            "require-fwup-version = one",
            "fwup.conf:1: require-fwup-version needs a version such as 1.2.3, found 'one'",
        ),
        (
            "task a { on-resource b { raw_write(0) } }",
            "fwup.conf:1: there is no file-resource 'b'; it must be defined before it is used",
        ),
        (
            "task a { on-init { raw_write(0) } }",
            "fwup.conf:1: 'raw_write' cannot be used in on-init",
        ),
        (
            "task a { on-init { mbr_write(b) } }",
            "fwup.conf:1: there is no mbr 'b'; it must be defined before it is used",
        ),
        (
            "task a { on-init { trim(0, x) } }",
            "fwup.conf:1: 'trim' needs a number from 0 to 36028797018963967 as its second argument, found 'x'",
        ),
        (
            "task a { on-init { trim(0x80000000000000, 1) } }",
            "fwup.conf:1: 'trim' needs a number from 0 to 36028797018963967 as its first argument, found '0x80000000000000'",
        ),
        (
            "task a { on-init { raw_memset(0, 1, 256) } }",
            "fwup.conf:1: 'raw_memset' needs a number from 0 to 255 as its third argument, found '256'",
        ),
        (
            "task a { require-partition-offset(4, 1) }",
            "fwup.conf:1: 'require-partition-offset' needs a number from 0 to 3 as its first argument, found '4'",
        ),
        (
            "task a { require-path-at-offset(a, -1) }",
            "fwup.conf:1: 'require-path-at-offset' needs a number from 0 to 36028797018963967 as its second argument, found '-1'",
        ),
        (
            "task a { on-init { trim(0) } }",
            "fwup.conf:1: 'trim' takes a block and a count of blocks, found 1 arguments",
        ),
        (
            "file-resource a { }",
            "fwup.conf:1: file-resource 'a': host-path or contents must be set",
        ),
        (
            "file-resource a { host-path = b contents = c }",
            "fwup.conf:1: file-resource 'a': only one of host-path and contents can be set",
        ),
        (
            "mbr a { partition 12 { } }",
            "fwup.conf:1: partition '12': a partition's title must be its number, 0 to 11",
        ),
        (
            "mbr a { partition 0 { block-offset = 1 type = 1 } }",
            "fwup.conf:1: partition '0': block-count must be set",
        ),
        (
            "mbr a { partition 4 { block-offset = 1 block-count = 1 type = 1 } }",
            "fwup.conf:1: mbr 'a': for partitions from 4 on, partition 3 must have extended type 0x05 or 0x0f",
        ),
        (
            "mbr a { partition 3 { block-offset = 1 type = 5 } partition 5 { block-offset = 9 block-count = 1 type = 1 } }",
            "fwup.conf:1: mbr 'a': partition 4 is missing before partition 5; number the partitions from 4 on without gaps",
        ),
        (
            "mbr a { partition 0 { block-offset = 1 block-count = 1 type = 5 } }",
            "fwup.conf:1: mbr 'a': partition 0 has the type of an extended partition, which only partition 3 may have",
        ),
        (
            "mbr a { partition 0 { block-offset = 1 block-count = 9 type = 1 } partition 1 { block-offset = 9 block-count = 1 type = 1 } }",
            "fwup.conf:1: mbr 'a': partitions 0 (blocks 1 to 10) and 1 (blocks 9 to 10) overlap",
        ),
        (
            "mbr a { partition 0 { block-offset = 1 block-count = 1 type = 1 expand = true } partition 1 { block-offset = 9 block-count = 1 type = 1 } }",
            "fwup.conf:1: mbr 'a': partition 1 follows partition 0, which expands; only the last one may",
        ),
        (
            "mbr a { partition 0 { block-offset = 1 block-count = 0x7fffffff type = 1 } }",
            "fwup.conf:1: partition '0': block-count must be 0 to 2147483646, not '2147483647'",
        ),
        (
            "mbr a { partition 0 { block-offset = 0xffffffff block-count = 1 type = 1 } }",
            "fwup.conf:1: partition '0': block-offset must be 0 to 4294967294, not '0xffffffff'",
        ),
        (
            "mbr a { partition 1 { block-offset = 1 block-count = 1 type = 1 } partition 01 { block-offset = 9 block-count = 1 type = 1 } }",
            "fwup.conf:1: mbr 'a': partition 1 is defined twice",
        ),
        (
            "gpt a { guid = 0fc63daf-8483-4772-8e79-3d69d8477de4  }",
            "fwup.conf:1: gpt 'a': it must have at least one partition",
        ),
        (
            "gpt a { partition 0 { block-offset = 34 block-count = 1 guid = 0fc63daf-8483-4772-8e79-3d69d8477de4 type = 0fc63daf-8483-4772-8e79-3d69d8477de4 } }",
            "fwup.conf:1: gpt 'a': guid must be set to a GUID",
        ),
        (
            "gpt a { guid = x partition 0 { block-offset = 34 block-count = 1 guid = 0fc63daf-8483-4772-8e79-3d69d8477de4 type = 0fc63daf-8483-4772-8e79-3d69d8477de4 } }",
            "fwup.conf:1: gpt 'a': guid must be a GUID such as 0fc63daf-8483-4772-8e79-3d69d8477de4, not 'x'",
        ),
        (
            "gpt a { guid = 0fc63daf-8483-4772-8e79-3d69d8477de4 partition 0 { block-offset = 34 block-count = 1 } }",
            "fwup.conf:1: partition '0': type must be set to a GUID",
        ),
        (
            "gpt a { guid = 0fc63daf-8483-4772-8e79-3d69d8477de4 partition 16 { block-offset = 34 block-count = 1 guid = 0fc63daf-8483-4772-8e79-3d69d8477de4 type = 0fc63daf-8483-4772-8e79-3d69d8477de4 } }",
            "fwup.conf:1: partition '16': a partition's title must be its number, 0 to 15",
        ),
        (
            "gpt a { guid = 0fc63daf-8483-4772-8e79-3d69d8477de4 partition 0 { block-offset = 34 block-count = 1 guid = 0fc63daf-8483-4772-8e79-3d69d8477de4 type = 0fc63daf-8483-4772-8e79-3d69d8477de4 } partition 0x0 { block-offset = 35 block-count = 1 guid = 0fc63daf-8483-4772-8e79-3d69d8477de4 type = 0fc63daf-8483-4772-8e79-3d69d8477de4 } }",
            "fwup.conf:1: gpt 'a': partition 0 is defined twice",
        ),
        (
            "gpt a { guid = 0fc63daf-8483-4772-8e79-3d69d8477de4 partition 0 { block-offset = 33 block-count = 1 guid = 0fc63daf-8483-4772-8e79-3d69d8477de4 type = 0fc63daf-8483-4772-8e79-3d69d8477de4 } }",
            "fwup.conf:1: gpt 'a': partition 0 starts at block 33, inside the partition table; the first free block is 34",
        ),
        (
            "gpt a { guid = 0fc63daf-8483-4772-8e79-3d69d8477de4 partition 0 { block-offset = 34 block-count = 0 guid = 0fc63daf-8483-4772-8e79-3d69d8477de4 type = 0fc63daf-8483-4772-8e79-3d69d8477de4 } }",
            "fwup.conf:1: gpt 'a': partition 0 has no blocks: set block-count",
        ),
        (
            "gpt a { guid = 0fc63daf-8483-4772-8e79-3d69d8477de4 partition 0 { block-offset = 34 block-count = 0x7fffffff guid = 0fc63daf-8483-4772-8e79-3d69d8477de4 type = 0fc63daf-8483-4772-8e79-3d69d8477de4 } }",
            "fwup.conf:1: partition '0': block-count must be 0 to 2147483646, not '2147483647'",
        ),
        (
            "gpt a { guid = 0fc63daf-8483-4772-8e79-3d69d8477de4 partition 0 { block-offset = 34 block-count = 1 guid = 0fc63daf-8483-4772-8e79-3d69d8477de4 type = 0fc63daf-8483-4772-8e79-3d69d8477de4 flags = 0x10000000000000000 } }",
            "fwup.conf:1: partition '0': flags must be a number of 64 bits, not '0x10000000000000000'",
        ),
        (
            "gpt a { guid = 0fc63daf-8483-4772-8e79-3d69d8477de4 partition 0 { block-offset = 40 block-count = 8 guid = 0fc63daf-8483-4772-8e79-3d69d8477de4 type = 0fc63daf-8483-4772-8e79-3d69d8477de4 } partition 1 { block-offset = 34 block-count = 7 guid = 0fc63daf-8483-4772-8e79-3d69d8477de4 type = 0fc63daf-8483-4772-8e79-3d69d8477de4 } }",
            "fwup.conf:1: gpt 'a': partitions 0 (blocks 40 to 48) and 1 (blocks 34 to 41) overlap",
        ),
        (
            "gpt a { guid = 0fc63daf-8483-4772-8e79-3d69d8477de4 partition 0 { block-offset = 40 block-count = 8 guid = 0fc63daf-8483-4772-8e79-3d69d8477de4 type = 0fc63daf-8483-4772-8e79-3d69d8477de4 expand = true } partition 1 { block-offset = 90 block-count = 7 guid = 0fc63daf-8483-4772-8e79-3d69d8477de4 type = 0fc63daf-8483-4772-8e79-3d69d8477de4 } }",
            "fwup.conf:1: gpt 'a': partition 1 follows partition 0, which expands; only the last one may",
        ),
        (
            "gpt a { guid = 0fc63daf-8483-4772-8e79-3d69d8477de4 partition 0 { block-offset = 90 block-count = 8 guid = 0fc63daf-8483-4772-8e79-3d69d8477de4 type = 0fc63daf-8483-4772-8e79-3d69d8477de4 } partition 1 { block-offset = 40 block-count = 7 guid = 0fc63daf-8483-4772-8e79-3d69d8477de4 type = 0fc63daf-8483-4772-8e79-3d69d8477de4 expand = true } }",
            "fwup.conf:1: gpt 'a': partition 0 is after partition 1, which expands to the end of the disk",
        ),
        (
            "gpt a { guid = 0fc63daf-8483-4772-8e79-3d69d8477de4 partition 0 { block-offset = 64 block-count = 8 guid = 0fc63daf-8483-4772-8e79-3d69d8477de4 type = 0fc63daf-8483-4772-8e79-3d69d8477de4 } partition 1 { block-offset = 64 block-count = 0 guid = 0fc63daf-8483-4772-8e79-3d69d8477de4 type = 0fc63daf-8483-4772-8e79-3d69d8477de4 expand = true } }",
            "fwup.conf:1: gpt 'a': partitions 0 (blocks 64 to 72) and 1 (blocks 64 to 64) overlap",
        ),
        (
            "mbr a { include-osip = true }",
            "fwup.conf:1: mbr 'a': include-osip needs at least one osii section",
        ),
        (
            "mbr a { include-osip = true osii 15 { attribute = 1 } }",
            "fwup.conf:1: mbr 'a': osii '15': an osii's title must be its number, 0 to 14",
        ),
        (
            "mbr a { include-osip = true osii 0 { attribute = 256 } }",
            "fwup.conf:1: mbr 'a': osii '0': attribute must be 0 to 255, not '256'",
        ),
        (
            "mbr a { include-osip = true bootstrap-code = 0000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000 osii 0 { attribute = 1 } }",
            "fwup.conf:1: mbr 'a': only one of include-osip and bootstrap-code can be set: both use the same bytes",
        ),
        (
            "task a { on-init { info(x) }\n on-error { info('${') } }",
            "fwup.conf:2: a text contains '${' without a '}' after it, which cannot be read when the archive is applied",
        ),
        (
            "file-resource a { contents = x }\ntask a { on-resource a { raw_write(0) info(x)\nraw_write(9) } }",
            "fwup.conf:3: 'raw_write' twice in one on-resource: only one can use the resource's data",
        ),
        (
            "uboot-environment e { block-offset = 1 block-count = 1 }\ntask a { on-init { uboot_setenv(e, \"a=b\", c) } }",
            "fwup.conf:2: 'uboot_setenv': 'a=b' is not a variable name: it must not be empty, and must not contain '=' or NUL",
        ),
        (
            "mbr a { bootstrap-code = 00 }",
            "fwup.conf:1: mbr 'a': bootstrap-code must be 880 hexadecimal digits",
        ),
        (
            "mbr a { signature = 0x100000000 }",
            "fwup.conf:1: mbr 'a': signature must be a number of 32 bits, not '0x100000000'",
        ),
        (
            "uboot-environment a { block-offset = 1 }",
            "fwup.conf:1: uboot-environment 'a': block-count is not set, expected a number from 1 to 65534",
        ),
        (
            "uboot-environment a { block-offset = 1 block-count = 4 block-offset-redund = 4 }",
            "fwup.conf:1: uboot-environment 'a': the copies of the environment at blocks 1 and 4 overlap: each has 4 blocks of 512 bytes",
        ),
    ] {
        assert_eq!(error(text), expected, "{text}");
    }
}

#[test]
fn only_contents_may_be_other_than_utf_8() {
    let firmware = read("file-resource a { contents = \"\\377\\x80\" }").unwrap();
    assert_eq!(
        firmware.resources[0].contents.as_deref(),
        Some(&b"\xff\x80"[..])
    );
    for text in [
        "meta-misc = \"\\377\"",
        "file-resource \"\\377\" { contents = x }",
        "file-resource a { host-path = \"\\377\" }",
        "task a { on-init { info(\"\\377\") } }",
        "define(A, \"\\377\")",
    ] {
        assert_eq!(error(text), "fwup.conf:1: a text is not UTF-8");
    }
}

#[test]
fn invalid_names_of_resources_are_refused() {
    for (title, what) in [
        ("\"\"", "a resource must have a name"),
        ("/data/x", "leave out '/data/': that is where resources are"),
        ("/meta.conf", "the archive uses this name for its own file"),
        (
            "a/../b",
            "the parts of a resource's name must not be empty, '.' or '..'",
        ),
        (
            "'${A}'",
            "the name of a resource must not contain '${': the archive's entry has no variables",
        ),
    ] {
        let shown = title.trim_matches(['"', '\'']);
        assert_eq!(
            error(&format!("\nfile-resource {title} {{ contents = x }}")),
            format!("fwup.conf:2: file-resource '{shown}': {what}")
        );
    }
    let long = format!("file-resource {} {{ contents = x }}", "x".repeat(507));
    assert!(error(&long).ends_with("the name of a resource must have at most 506 bytes"));
}

#[test]
fn an_extended_partition_needs_no_length() {
    let text = "mbr a { partition 3 { block-offset = 8 type = 0xf } partition 4 { block-offset = 9 block-count = 1 type = 1 } }";
    let firmware = read(text).unwrap();
    assert_eq!(
        firmware.mbrs[0].sections[0].options.get("block-count"),
        None
    );
}

#[test]
fn every_action_and_requirement_of_the_schema_is_supported() {
    let lists = [(schema::ON_RESOURCE, true), (schema::TASK, false)];
    for (entries, is_action) in lists {
        for entry in entries {
            if !matches!(entry.kind, schema::Kind::Action | schema::Kind::Requirement) {
                continue;
            }
            let call = format!("{}()", entry.name);
            let text = if is_action {
                format!(
                    "file-resource r {{ contents = x }} task a {{ on-resource r {{ {call} }} }}"
                )
            } else {
                format!("task a {{ {call} }}")
            };
            match read(&text).unwrap_err().problem {
                // An argument is missing.
                Problem::Call(CallError::Arguments { name, .. }) => assert_eq!(name, entry.name),
                other => panic!("{call}: {other}"),
            }
        }
    }
}

/// The order in the archive does not depend on the configuration, and defaults are omitted.
#[test]
fn keys_are_in_the_order_of_the_format() {
    let text = r#"
        uboot-environment "the \"env\"" { block-offset-redund = 0x40 block-count = 010 block-offset = 16 }
        block-cache-size-mb = 16
        require-fwup-version = "1.0"
        meta-misc = m meta-vcs-identifier = v meta-architecture = ar meta-platform = p
        meta-author = au meta-version = 1 meta-description = "" meta-product = "two \\ words"
        file-resource "b \"quoted\\" { contents = x skip-holes = no assert-size-gte = 0 }
        file-resource a { contents = "" }
        mbr m { signature = 1 include-osip = off
            partition 1 { expand = true boot = false type = 0x83 block-count = 8 block-offset = 8 }
            partition 0 { type = 1 block-count = 1 block-offset = 1 boot = yes } }
        task t {
            on-resource "b \"quoted\\" { raw_write(1) delta-source-raw-count = 2 delta-source-raw-offset = 1 }
            on-error { error("") }
            on-finish { reboot_param("0 \"try\"") }
            on-init { trim(0x10, 1) uboot_setenv("the \"env\"", v, "a\tb") }
            verify-on-the-fly = true
            require-partition1-offset = 8
            require-uboot-variable("the \"env\"", v, "")
        }
    "#;
    let hash = hex::encode(&[0x5a; 32]);
    let mut firmware = read(text).unwrap();
    for resource in &mut firmware.resources {
        resource.hash = Some([0x5a; 32]);
        resource.length = vec![u64::from(resource.name != "a")];
    }
    let written = to_meta_conf(&firmware);
    let expected = format!(
        r#"meta-product="two \\ words"
meta-version=1
meta-author=au
meta-platform=p
meta-architecture=ar
meta-vcs-identifier=v
meta-misc=m
require-fwup-version=1.0
block-cache-size-mb=16
file-resource "b \"quoted\\" {{
length=1
blake2b-256={hash}
}}
file-resource "a" {{
blake2b-256={hash}
}}
mbr "m" {{
signature=1
partition "1" {{
block-offset=8
block-count=8
type=131
expand=true
}}
partition "0" {{
block-offset=1
block-count=1
type=1
boot=true
}}
}}
task "t" {{
reqlist={{4,"require-uboot-variable","the \"env\"",v,""}}
require-partition1-offset=8
verify-on-the-fly=true
on-init {{
funlist={{3,trim,0x10,1,4,uboot_setenv,"the \"env\"",v,"a{tab}b"}}
}}
on-finish {{
funlist={{2,reboot_param,"0 \"try\""}}
}}
on-error {{
funlist={{2,error,""}}
}}
on-resource "b \"quoted\\" {{
delta-source-raw-offset=1
delta-source-raw-count=2
funlist={{2,raw_write,1}}
}}
}}
uboot-environment "the \"env\"" {{
block-offset=16
block-count=8
block-offset-redund=0x40
}}
"#,
        tab = '\t'
    );
    assert_eq!(written, expected);
    // Reading the text and writing it again gives the same text.
    let again = meta_conf(written.as_bytes(), &mut Definitions::empty()).unwrap();
    assert_eq!(to_meta_conf(&again), written);
}

#[test]
fn unknown_parts_of_an_archive_are_skipped() {
    let text = r#"
        new-option = 3 new-list = {1, {2}, "}"} new-list += {4}
        new-call(1, "}", x)
        new-section { inside = { 1 } deeper x { } }
        new-section "with title" { call(")") }
        task "a" { new = 1 on-init { funlist={2,info,"hi",1,new_action} new("x") } }
    "#;
    let firmware = meta_conf(text.as_bytes(), &mut Definitions::empty()).unwrap();
    let call = |words: &[&str]| Call {
        name: words[0].to_owned(),
        arguments: words[1..].iter().map(|word| (*word).to_owned()).collect(),
    };
    assert_eq!(
        firmware.tasks[0].on_init,
        [call(&["info", "hi"]), call(&["new_action"])]
    );
}

#[test]
fn a_malformed_archive_is_refused() {
    for (text, expected) in [
        (
            "task a { on-init { funlist={3,info,x} } }",
            "'funlist' is malformed: it must contain counts, each followed by that number of texts",
        ),
        (
            "task a { reqlist={0} }",
            "'reqlist' is malformed: it must contain counts, each followed by that number of texts",
        ),
        (
            "file-resource a { blake2b-256=00 }",
            "the hash of resource 'a' is not 64 hexadecimal digits",
        ),
        (
            "include(\"/etc/passwd\")",
            "Cannot include '/etc/passwd': an archive cannot include files",
        ),
        ("new {", "the file ends inside a section: '}' is missing"),
    ] {
        let error = meta_conf(text.as_bytes(), &mut Definitions::empty()).unwrap_err();
        assert_eq!(error.problem.to_string(), expected);
    }
    // An error that is found at the end names the last line of its section.
    let text = "file-resource a {\n}\nfile-resource b {\nblake2b-256=00\n}\ntask c {\n}\n";
    let error = meta_conf(text.as_bytes(), &mut Definitions::empty()).unwrap_err();
    assert_eq!((error.file.as_str(), error.line), ("meta.conf", 5));
}

#[test]
fn includes_start_from_the_folder_of_the_file_that_includes() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::create_dir(path("inner")).unwrap();
    fs::write(
        path("fwup.conf"),
        "include(\"inner/a.conf\")\nmeta-version = 1\nwrong",
    )
    .unwrap();
    fs::write(path("inner/a.conf"), "include(\"b.conf\")").unwrap();
    fs::write(
        path("inner/b.conf"),
        "file-resource r { host-path = \"one;/two\" }",
    )
    .unwrap();
    let error = read_file(&path("fwup.conf"), &mut Definitions::empty())
        .unwrap()
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("{}:3: no such option 'wrong'", path("fwup.conf").display())
    );
    let firmware = read_file(&path("inner/a.conf"), &mut Definitions::empty())
        .unwrap()
        .unwrap();
    let expected = [path("inner/one").display().to_string(), "/two".to_owned()];
    assert_eq!(
        firmware.resources[0].options.paths("host-path"),
        Some(&expected[..])
    );
}

#[test]
fn includes_can_be_in_sections() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let text = r#"
        define(IMAGES, ".")
        include("${SYSTEM:-${IMAGES}/nothing}")
    "#;
    fs::write(path("bad.conf"), text).unwrap();
    fs::write(path("one.conf"), "host-path = \"a;;b\"").unwrap();
    fs::write(path("two.conf"), "info(two)").unwrap();
    fs::write(path("three.conf"), "on-finish { info(three) }").unwrap();
    let text = r#"
        define(IMAGES, ".")
        file-resource r { include("${IMAGES}/one.conf") }
        task t { include("three.conf") on-init { info(one) include("${NONE:-two}.conf") } }
    "#;
    fs::write(path("fwup.conf"), text).unwrap();
    let firmware = read_file(&path("fwup.conf"), &mut Definitions::empty())
        .unwrap()
        .unwrap();
    let said =
        |calls: &[Call]| -> Vec<_> { calls.iter().map(|call| call.arguments[0].clone()).collect() };
    assert_eq!(said(&firmware.tasks[0].on_init), ["one", "two"]);
    assert_eq!(said(&firmware.tasks[0].on_finish), ["three"]);
    let paths = ["a", "b"].map(|name| path(name).display().to_string());
    assert_eq!(
        firmware.resources[0].options.paths("host-path"),
        Some(&paths[..])
    );
    // A default ends at the first brace, so it cannot contain a variable.
    let error = read_file(&path("bad.conf"), &mut Definitions::empty())
        .unwrap()
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("Cannot include '${IMAGES/nothing}'"),
        "{error}"
    );
}

#[test]
fn includes_are_limited() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("round.conf"), "include(\"round.conf\")").unwrap();
    let error = read_file(&path("round.conf"), &mut Definitions::empty())
        .unwrap()
        .unwrap_err();
    assert_eq!(error.problem, Problem::IncludeDepth);
    // Nine files that each include the next one ten times would read the last one 10^9 times.
    for level in 0..9 {
        fs::write(
            path(&level.to_string()),
            format!("include(\"{}\")\n", level + 1).repeat(10),
        )
        .unwrap();
    }
    fs::write(path("9"), "# the end").unwrap();
    let error = read_file(&path("0"), &mut Definitions::empty())
        .unwrap()
        .unwrap_err();
    assert_eq!(error.problem, Problem::Includes);
}

#[test]
fn values_are_limited() {
    let doubling = "define!(A, \"${A}${A}\")\n".repeat(60);
    assert!(error(&format!("define(A, xx)\n{doubling}")).ends_with("a text is longer than 1 MiB"));
    let many = format!(
        "define(A, {})\n{}",
        "x".repeat(1 << 19),
        "meta-misc = ${A}\n".repeat(100)
    );
    assert!(error(&many).contains("larger than 16 MiB"));
    // Without a limit, the end of each of these variables would be searched for to the end of the
    // file.
    assert!(error(&format!("meta-product = \"{}", "${".repeat(1 << 20))).contains("not closed"));
}

#[test]
fn the_options_of_delta_updates_stay_in_the_archive() {
    let text = r#"
        file-resource rootfs.img { contents = "x" assert-size-lte = 8 }
        task upgrade.b { on-resource rootfs.img {
            delta-source-raw-offset=100
            delta-source-raw-count=200
            raw_write(300) } }
    "#;
    let written = to_meta_conf(&read(text).unwrap());
    assert!(
        written.contains("on-resource \"rootfs.img\" {\ndelta-source-raw-offset=100\ndelta-source-raw-count=200\nfunlist={2,raw_write,300}\n}\n"),
        "{written}"
    );
    assert!(!written.contains("assert"), "{written}");
}

/// Pieces of configurations in any order, which get further into the parser than random bytes.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "task",
        "a",
        "{",
        "}",
        "(",
        ")",
        "=",
        "+=",
        ",",
        "\"",
        "'",
        "on-init",
        "on-resource",
        "info",
        "raw_write",
        "define",
        "define!",
        "define-eval",
        "${A}",
        "${A:-",
        "\\",
        "\n",
        "#",
        "/*",
        "*/",
        "//",
        " ",
        "1",
        "0x",
        "mbr",
        "partition",
        "block-offset",
        "file-resource",
        "contents",
        "length",
        "funlist",
        "{2,info,x}",
        "reqlist",
        "uboot-environment",
        "require-uboot-variable",
        "meta-product",
        "require-fwup-version",
        "include",
        "unknown",
    ]);
    prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.join(" "))
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = meta_conf(&bytes, &mut Definitions::empty());
        let _ = configuration(bytes, "fwup.conf", PathBuf::from("/nowhere"), &mut Definitions::empty());
    }

    #[test]
    fn no_pieces_make_the_reader_panic(text in pieces()) {
        let _ = meta_conf(text.as_bytes(), &mut Definitions::empty());
        let _ = configuration(text.into(), "fwup.conf", PathBuf::from("/nowhere"), &mut Definitions::empty());
    }

    #[test]
    fn what_is_written_is_read_again(
        values in prop::collection::vec("[^\0$]{1,20}", 1..5),
        arguments in prop::collection::vec("[^\0$]{0,20}", 0..4),
    ) {
        let calls: Vec<_> = values.iter().map(|name| Call { name: name.clone(), arguments: arguments.clone() }).collect();
        let firmware = Firmware {
            metadata: SectionOptions(vec![("meta-product".to_owned(), Value::Text(values[0].clone()))]),
            tasks: vec![Task {
                name: values[0].clone(),
                requirements: calls.clone(),
                on_init: calls,
                ..Default::default()
            }],
            ..Firmware::default()
        };
        let written = to_meta_conf(&firmware);
        prop_assert_eq!(meta_conf(written.as_bytes(), &mut Definitions::empty()), Ok(firmware));
    }
}

#[test]
fn a_file_on_fat_has_the_name_of_its_resource_by_default() {
    let firmware = read(
        "file-resource a.txt { contents = x } task t { on-resource a.txt { fat_write(0) } }\n\
         task u { on-resource a.txt { fat_write(0, b) } }",
    )
    .unwrap();
    let written = to_meta_conf(&firmware);
    assert!(
        written.contains("funlist={3,fat_write,0,a.txt}"),
        "{written}"
    );
    assert!(written.contains("funlist={3,fat_write,0,b}"), "{written}");
}
