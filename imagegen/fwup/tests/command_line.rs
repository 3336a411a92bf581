// SPDX-License-Identifier: MIT OR Apache-2.0

//! The command line: archives on stdin, help, the reasons why no task applies, and JSON.

#![expect(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

mod bench;

use std::fs;

use bench::Bench;
use little_loader_core::env::block::{Env, Format};

#[test]
fn an_archive_is_read_from_stdin_without_an_option() {
    let bench = Bench::with(
        "meta-product = p\nfile-resource x { contents = \"12345\" }\n\
         task upgrade.a { on-resource x { raw_write(0) } }\n",
    );
    let archive = fs::read(bench.at("out.fw")).unwrap();
    // The command line of over-the-air updates.
    let line = "--exit-handshake --apply --no-unmount -d disk.img --task upgrade";
    let (status, out, _) = bench.run_with(line, &archive);
    assert_eq!(status, Some(0));
    assert!(
        out.ends_with("\x1a\0") && out.contains("Success!"),
        "{out:?}"
    );
    assert_eq!(fs::read(bench.at("disk.img")).unwrap()[..5], *b"12345");

    let mut framed = u32::try_from(archive.len()).unwrap().to_be_bytes().to_vec();
    framed.extend(&archive);
    framed.extend([0; 4]);
    for flags in ["-l", "-m", "-m --metadata-key meta-product"] {
        let named = bench.run(&format!("{flags} -i out.fw"));
        assert_eq!(named.0, Some(0));
        assert_eq!(bench.run_with(flags, &archive), named, "{flags}");
        let named = bench.run(&format!("{flags} -F -i out.fw"));
        assert_eq!(bench.run_with(&format!("{flags} -F"), &framed), named);
    }
    assert_eq!(
        bench.run_with("-V", &archive),
        (
            Some(1),
            "fwup: Specify an input firmware file\n".to_owned(),
            String::new()
        )
    );
}

#[test]
fn the_help_is_shown_for_an_invalid_command_line() {
    let bench = Bench::with("meta-product = p\n");
    let (status, help, _) = bench.run("--help");
    assert!(status == Some(0) && help.starts_with("Usage: "));
    assert_eq!(bench.run(""), (Some(1), help.clone(), String::new()));
    for (line, error) in [
        ("-?", "fwup: invalid option -- '?'\n"),
        ("--nonsense", "fwup: unrecognized option '--nonsense'\n"),
        ("-a -d", "fwup: option '-d' requires an argument\n"),
    ] {
        let expected = (Some(1), help.clone(), error.to_owned());
        assert_eq!(bench.run(line), expected, "{line}");
    }
}

#[test]
fn keys_of_the_metadata_that_are_not_set_are_null() {
    let bench = Bench::with("meta-product = p\nmeta-fwup-version = \"1.2\"\n");
    for (key, expected) in [
        ("meta-product", "p\n"),
        ("meta-fwup-version", "1.2\n"),
        ("meta-author", "(null)\n"),
        ("bad-key", "(null)\n"),
        ("1", "(null)\n"),
    ] {
        let (status, out, _) = bench.run(&format!("-m -i out.fw --metadata-key {key}"));
        assert_eq!((status, out.as_str()), (Some(0), expected));
    }
}

/// Two tasks that need values of an environment, and one that needs a partition.
const REQUIRED: &str = "uboot-environment e { block-offset = 16 block-count = 4 }\n\
    task up.a { require-uboot-variable(e, slot, \"a\") on-init { info(a) } }\n\
    task up.b { require-uboot-variable(e, slot, \"b\") on-init { info(b) } }\n\
    task up.c { require-partition-offset(0, 64) on-init { info(c) } }\n\
    task set { on-init { uboot_recover(e) uboot_setenv(e, slot, z) } }\n\
    task set-b { on-init { uboot_setenv(e, slot, b) } }\n";

const NO_TASK: &str = "Couldn't find applicable task 'up'. If task is available, the task's requirements may not be met.";

#[test]
fn the_reasons_against_each_task_are_named_on_request() {
    let bench = Bench::with(REQUIRED);
    fs::write(bench.at("disk.img"), vec![0; 1 << 20]).unwrap();
    let failed = |text: &str| (Some(1), format!("fwup: {NO_TASK}{text}\n"));
    let no_mbr = "\ntask 'up.c': require-partition-offset(0, 64) is not met: block 0 of the destination is not a master boot record";
    assert_eq!(bench.apply("up", ""), failed(""));
    // A damaged environment is named once.
    let (_, out) = bench.apply("up", "-v");
    let damaged =
        "\ntasks 'up.a', 'up.b': uboot-environment \"e\" at block 16 of the destination: ";
    let reasons = out
        .strip_prefix(&format!("fwup: {NO_TASK}{damaged}"))
        .unwrap();
    assert!(reasons.ends_with(&format!("{no_mbr}\n")), "{out}");
    assert_eq!(reasons.lines().count(), 2, "{out}");
    // Frames carry the same text.
    let (_, framed, _) = bench.run("-a -F -q -v -i out.fw -d disk.img -t up");
    assert_eq!(&framed[4..8], "ER\0\0");
    assert_eq!(format!("fwup: {}\n", &framed[8..]), out);

    bench.apply("set", "");
    assert_eq!(
        bench.apply("up", "-v"),
        failed(&format!(
            "\ntask 'up.a': require-uboot-variable(e, slot, a) is not met: it is z\
             \ntask 'up.b': require-uboot-variable(e, slot, b) is not met: it is z{no_mbr}"
        ))
    );
    // The reasons against the tasks before the one that applies.
    bench.apply("set-b", "");
    assert_eq!(
        bench.run("-a -q -v -i out.fw -d disk.img -t up"),
        (
            Some(0),
            "fwup: b\n".to_owned(),
            "fwup: task 'up.a': require-uboot-variable(e, slot, a) is not met: it is b\n\
             fwup: task 'up.b' is done\n"
                .to_owned()
        )
    );
}

#[test]
fn json_is_for_programs() {
    let bench = Bench::with(
        "meta-product = p\nmeta-misc = \"\\${SERIAL}\"\n\
         task complete { on-init { info(\"say \\\"hi\\\"\") raw_memset(0, 4, 1) reboot_param(x) } }\n\
         task fails { on-init { error(no) } }\n",
    );
    let line = "-a --json -i out.fw -d disk.img --reboot-param-path parameter --enable-trim -t";
    assert_eq!(
        bench.run(&format!("{line} complete")),
        (
            Some(0),
            "{\"done\":0,\"event\":\"progress\",\"percent\":0,\"total\":0}\n\
             {\"event\":\"warning\",\"message\":\"--enable-trim has no effect: the destination is a regular file\"}\n\
             {\"event\":\"info\",\"message\":\"say \\\"hi\\\"\"}\n\
             {\"done\":2048,\"event\":\"progress\",\"percent\":99,\"total\":2049}\n\
             {\"done\":2049,\"event\":\"progress\",\"percent\":100,\"total\":2049}\n\
             {\"event\":\"done\",\"reboot_parameter\":\"x\",\"task\":\"complete\"}\n"
                .to_owned(),
            String::new()
        )
    );
    let (status, out, _) = bench.run(&format!("{line} fails -q"));
    assert_eq!(status, Some(1));
    assert!(
        out.ends_with("{\"event\":\"error\",\"message\":\"no\"}\n"),
        "{out}"
    );
    let (status, out, _) = bench.run("-m --json -i gone.fw");
    assert_eq!(status, Some(1));
    assert!(out.starts_with("{\"event\":\"error\",\"message\":\"cannot open 'gone.fw'"));

    let (status, out, _) = bench.run("-m --json -i out.fw");
    assert_eq!(status, Some(0));
    let contents: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(contents["metadata"]["meta-product"], "p");
    assert_eq!(contents["features"], serde_json::json!(["reboot-param"]));
    assert_eq!(contents["fwup_version"], "1.12.0");
    assert_eq!(
        contents["required_variables"],
        serde_json::json!(["SERIAL"])
    );
    assert_eq!(
        bench.run("-l --json -i out.fw").1,
        "{\"event\":\"error\",\"message\":\"--json works with -a and -m\"}\n"
    );
}

/// Environments at the same blocks, and a partition table in one of them.
const SHARED: &str = "uboot-environment a { block-offset = 16 block-count = 4 }\n\
    uboot-environment again { block-offset = 16 block-count = 4 }\n\
    uboot-environment small { block-offset = 16 block-count = 2 }\n\
    uboot-environment pair { block-offset = 40 block-count = 4 block-offset-redund = 16 }\n\
    uboot-environment first { block-offset = 0 block-count = 4 }\n\
    mbr m { partition 0 { block-offset = 100 block-count = 10 type = 0x83 } }\n";

/// Applies the actions in one task, and each in a task of its own, and compares the disks.
fn same_in_one_task(actions: &[&str]) -> Vec<u8> {
    let mut configuration = format!(
        "{SHARED}task all {{ on-init {{\n{}\n}} }}\n",
        actions.join("\n")
    );
    for (number, action) in actions.iter().enumerate() {
        configuration += &format!("task single{number} {{ on-init {{ {action} }} }}\n");
    }
    let bench = Bench::with(&configuration);
    let start = || fs::write(bench.at("disk.img"), vec![0; 1 << 18]).unwrap();
    start();
    for (number, action) in actions.iter().enumerate() {
        let applied = bench.apply(&format!("single{number}"), "");
        assert_eq!(applied, (Some(0), String::new()), "{action}");
    }
    let expected = fs::read(bench.at("disk.img")).unwrap();
    start();
    assert_eq!(
        bench.apply("all", ""),
        (Some(0), String::new()),
        "{actions:?}"
    );
    let found = fs::read(bench.at("disk.img")).unwrap();
    assert!(found == expected, "{actions:?}");
    found
}

#[test]
fn environments_that_share_blocks_lose_no_change() {
    let disk = same_in_one_task(&[
        "uboot_clearenv(a)",
        "uboot_setenv(a, one, 1)",
        "uboot_setenv(again, two, 2)",
        "uboot_setenv(a, three, 3)",
        "uboot_unsetenv(again, one)",
    ]);
    let env = Env::parse(&disk[16 * 512..20 * 512], Format::Single).unwrap();
    let names: Vec<_> = env.iter().map(|(name, _)| name).collect();
    assert_eq!(names, [&b"three"[..], b"two"]);
    // Of different sizes, and a pair whose second copy is the other environment.
    same_in_one_task(&[
        "uboot_clearenv(a)",
        "uboot_clearenv(small)",
        "uboot_setenv(small, x, 1)",
        "uboot_recover(a)",
        "uboot_setenv(a, y, 2)",
        "uboot_recover(small)",
    ]);
    same_in_one_task(&[
        "uboot_clearenv(pair)",
        "uboot_setenv(pair, x, 1)",
        "uboot_recover(a)",
        "uboot_setenv(a, y, 2)",
        "uboot_setenv(pair, z, 3)",
        "uboot_setenv(pair, z, 4)",
        "uboot_recover(again)",
    ]);
    // A partition table and an environment in the same block.
    same_in_one_task(&[
        "uboot_clearenv(first)",
        "uboot_setenv(first, x, 1)",
        "mbr_write(m)",
        "uboot_recover(first)",
        "uboot_setenv(first, y, 2)",
    ]);
    same_in_one_task(&["mbr_write(m)", "uboot_recover(first)", "mbr_write(m)"]);
}

#[test]
fn environments_are_as_large_and_as_far_as_those_of_fwup() {
    let bench = Bench::with(
        "uboot-environment large { block-offset = 0x10 block-count = 65534 }\n\
         uboot-environment far { block-offset = 4294967296 block-count = 16 block-offset-redund = 0x100000100 }\n\
         task large { on-init { uboot_clearenv(large) uboot_setenv(large, x, 1) } }\n\
         task far { on-init { uboot_clearenv(far) uboot_setenv(far, x, 1) } }\n",
    );
    assert_eq!(bench.apply("large", ""), (Some(0), String::new()));
    let disk = fs::read(bench.at("disk.img")).unwrap();
    let env = Env::parse(&disk[16 * 512..(16 + 65_534) * 512], Format::Single).unwrap();
    assert_eq!(env.get("x"), Some(&b"1"[..]));
    // Offsets stay as they are written, so that the UUID is that of fwup.
    let meta_conf = std::process::Command::new("unzip")
        .args(["-p"])
        .arg(bench.at("out.fw"))
        .arg("meta.conf")
        .output()
        .unwrap();
    let meta_conf = String::from_utf8(meta_conf.stdout).unwrap();
    for expected in [
        "block-offset=0x10\n",
        "block-offset=4294967296\n",
        "block-offset-redund=0x100000100\n",
    ] {
        assert!(meta_conf.contains(expected), "{meta_conf}");
    }
    // A sparse file of 2 TiB, if the file system has such.
    fs::remove_file(bench.at("disk.img")).unwrap();
    let file = fs::File::create(bench.at("disk.img")).unwrap();
    if file.set_len(0x1_0000_0200 * 512).is_ok() {
        assert_eq!(bench.apply("far", ""), (Some(0), String::new()));
        let mut second = vec![0; 16 * 512];
        let disk = fs::File::open(bench.at("disk.img")).unwrap();
        std::os::unix::fs::FileExt::read_exact_at(&disk, &mut second, 0x1_0000_0100 * 512).unwrap();
        let env = Env::parse(&second, Format::Redundant).unwrap();
        assert_eq!(env.get("x"), Some(&b"1"[..]));
    }
    for (options, expected) in [
        (
            "block-offset = 16",
            "block-count is not set, expected a number from 1 to 65534",
        ),
        (
            "block-offset = 16 block-count = 65535",
            "block-count is 65535",
        ),
        (
            "block-offset = 16k block-count = 1",
            "block-offset is '16k', expected a number",
        ),
        ("block-count = 1", "block-offset is not set"),
    ] {
        fs::write(
            bench.at("bad.conf"),
            format!("uboot-environment e {{ {options} }}\n"),
        )
        .unwrap();
        let (status, _, err) = bench.run("-c -f bad.conf -o bad.fw");
        assert_eq!(status, Some(1), "{options}");
        assert!(err.contains(expected), "{err}");
    }
}
