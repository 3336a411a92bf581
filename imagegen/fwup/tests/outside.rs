// SPDX-License-Identifier: MIT OR Apache-2.0

//! Actions outside the destination, which the user must allow: `path_write`, `pipe_write`,
//! `execute`, `ubi_volume_write` and `require-execute`.

#![expect(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

mod bench;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

use bench::Bench;

/// The start of the message without `--unsafe`.
const REFUSED: &str = " requires --unsafe, which lets the archive run programs";

fn ok() -> (Option<i32>, String) {
    (Some(0), String::new())
}

#[test]
fn nothing_is_written_without_permission() {
    let bench = Bench::with(
        "file-resource x { contents = \"12345\" }\n\
         task path { on-init { raw_memset(0, 1, 1) } on-resource x { path_write(out) } }\n\
         task pipe { on-init { raw_memset(0, 1, 1) } on-resource x { pipe_write(\"cat > out\") } }\n\
         task ubi { on-init { raw_memset(0, 1, 1) } on-resource x { ubi_volume_write(\"/dev/null\") } }\n\
         task run { on-finish { raw_memset(0, 1, 1) execute(\"touch out\") } }\n\
         task later { on-init { raw_memset(0, 1, 1) } on-error { execute(\"touch out\") } }\n\
         task fails { on-init { error(no) } on-error { execute(\"touch out\") } }\n",
    );
    for (task, action) in [
        ("path", "path_write"),
        ("pipe", "pipe_write"),
        ("ubi", "ubi_volume_write"),
        ("run", "execute"),
    ] {
        let (status, out) = bench.apply(task, "");
        assert_eq!(status, Some(1));
        assert!(
            out.starts_with(&format!("fwup: {action}{REFUSED}")),
            "{out}"
        );
        assert!(!bench.at("disk.img").exists() && !bench.at("out").exists());
    }
    // on-error may never run, as in fwup.
    assert_eq!(bench.apply("later", ""), ok());
    assert_eq!(bench.apply("fails", ""), (Some(1), "fwup: no\n".to_owned()));
    assert!(!bench.at("out").exists());
    bench.apply("fails", "--unsafe");
    assert!(bench.at("out").exists());
}

#[test]
fn resources_go_to_files_and_programs() {
    let bench = Bench::with(
        "file-resource x { contents = \"12345\" }\n\
         task path { on-resource x { path_write(out) } }\n\
         task folder { on-resource x { path_write(\".\") } }\n\
         task pipe { on-resource x { pipe_write(\"cat > out\") } }\n\
         task fails { on-resource x { pipe_write(\"cat > out; exit 3\") } }\n\
         task gone { on-resource x { pipe_write(\"exec gone-command 2>/dev/null\") } }\n\
         task ubi { on-resource x { ubi_volume_write(\"/dev/null\") } }\n",
    );
    // A longer file is shortened.
    for task in ["path", "pipe"] {
        fs::write(bench.at("out"), "1234567890").unwrap();
        assert_eq!(bench.apply(task, "--unsafe"), ok());
        assert_eq!(fs::read(bench.at("out")).unwrap(), b"12345");
    }
    for (task, expected) in [
        ("folder", "path_write: cannot open '.': Is a directory"),
        (
            "fails",
            "pipe_write: 'cat > out; exit 3' failed with exit status: 3",
        ),
        (
            "gone",
            "pipe_write: 'exec gone-command 2>/dev/null' failed with exit status: 127",
        ),
        ("ubi", "ubi_volume_write: '/dev/null' is not a UBI volume"),
    ] {
        let (status, out) = bench.apply(task, "--unsafe");
        assert_eq!(status, Some(1), "{task}");
        assert!(out.starts_with(&format!("fwup: {expected}")), "{out}");
    }
}

#[test]
fn holes_stay_holes_in_a_file_and_are_zeroes_for_a_program() {
    let size = 3 << 20;
    let bench = Bench::with("meta-product = x\n");
    let mut data = vec![0; size];
    data[1 << 20..(1 << 20) + 5000].fill(7);
    let file = fs::File::create(bench.at("data")).unwrap();
    file.set_len(size as u64).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &data[1 << 20..(1 << 20) + 5000], 1 << 20)
        .unwrap();
    fs::write(
        bench.at("fwup.conf"),
        "file-resource x { host-path = data skip-holes = true }\n\
         task path { on-resource x { path_write(out) } }\n\
         task fifo { on-resource x { path_write(fifo) } }\n\
         task pipe { on-resource x { pipe_write(\"cat > out\") } }\n",
    )
    .unwrap();
    bench.run("-c -f fwup.conf -o out.fw");
    assert_eq!(bench.apply("path", "--unsafe"), ok());
    assert!(fs::read(bench.at("out")).unwrap() == data);
    assert!(fs::metadata(bench.at("out")).unwrap().blocks() * 512 < 1 << 20);
    assert_eq!(bench.apply("pipe", "--unsafe"), ok());
    assert!(fs::read(bench.at("out")).unwrap() == data);
    // A file that cannot seek gets zeroes too.
    let made = std::process::Command::new("mkfifo")
        .arg(bench.at("fifo"))
        .status();
    assert!(made.unwrap().success());
    let fifo = bench.at("fifo");
    let reader = std::thread::spawn(move || fs::read(fifo).unwrap());
    assert_eq!(bench.apply("fifo", "--unsafe"), ok());
    assert!(reader.join().unwrap() == data);
}

/// Makes the archive anew with a wrong hash of its resource `x` in `meta.conf`.
fn damage(bench: &Bench) {
    let zip = |program: &str, arguments: &[&str]| {
        let mut command = std::process::Command::new(program);
        command.current_dir(bench.at("")).args(arguments);
        let output = command.output().unwrap();
        assert!(
            output.status.success(),
            "{program} {arguments:?}: {output:?}"
        );
    };
    zip("unzip", &["-q", "out.fw"]);
    let meta_conf = fs::read_to_string(bench.at("meta.conf")).unwrap();
    let (before, hash) = meta_conf.split_once("blake2b-256=").unwrap();
    let wrong = hash
        .chars()
        .next()
        .map(|digit| if digit == '0' { '1' } else { '0' });
    let meta_conf = format!("{before}blake2b-256={}{}", wrong.unwrap(), &hash[1..]);
    fs::write(bench.at("meta.conf"), meta_conf).unwrap();
    fs::remove_file(bench.at("out.fw")).unwrap();
    zip("zip", &["-q", "out.fw", "meta.conf", "data/x"]);
}

#[test]
fn a_damaged_resource_is_not_written_outside() {
    let bench = Bench::with(
        "file-resource x { contents = \"12345\" }\n\
         task path { on-resource x { path_write(out) } }\n\
         task pipe { on-resource x { pipe_write(\"cat > out\") } }\n",
    );
    damage(&bench);
    for task in ["path", "pipe"] {
        fs::write(bench.at("out"), "old").unwrap();
        let (status, out) = bench.apply(task, "--unsafe");
        assert_eq!(status, Some(1));
        assert!(out.contains("is damaged: its BLAKE2b-256"), "{out}");
        let found = fs::read(bench.at("out")).unwrap();
        // A program may have emptied the file before it was ended.
        assert!(found == b"old" || task == "pipe" && found.is_empty());
    }
}

#[test]
fn programs_in_the_background_do_not_see_the_end_of_a_damaged_resource() {
    let bench = Bench::with("task complete { }\n");
    // More than a pipe holds, so that the programs run when the error is found.
    fs::write(bench.at("large"), vec![7; 700_000]).unwrap();
    fs::write(
        bench.at("fwup.conf"),
        "file-resource x { host-path = large }\n\
         task waits { on-resource x { pipe_write(\"exec 3<&0; (cat <&3 > out; touch ended) & wait\") } }\n\
         task leaves { on-resource x { pipe_write(\"exec 3<&0; (cat <&3 > out; touch ended) &\") } }\n",
    )
    .unwrap();
    bench.run("-c -f fwup.conf -o out.fw");
    for task in ["waits", "leaves"] {
        assert_eq!(bench.apply(task, "--unsafe"), ok());
        // The program that is left ends on its own.
        let begun = Instant::now();
        while let Err(error) = fs::remove_file(bench.at("ended")) {
            assert!(begun.elapsed() < Duration::from_secs(30), "{task}: {error}");
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    damage(&bench);
    for task in ["waits", "leaves"] {
        let (status, out) = bench.apply(task, "--unsafe");
        assert_eq!(status, Some(1));
        assert!(out.contains("is damaged: its BLAKE2b-256"), "{out}");
        std::thread::sleep(Duration::from_millis(300));
        assert!(!bench.at("ended").exists(), "{task}");
    }
}

#[test]
fn a_program_sees_what_is_written_so_far_and_reads_no_archive() {
    let bench = Bench::with(
        "file-resource x { contents = \"abcde\" }\n\
         task complete {\n\
           on-init { raw_memset(0, 1, 0x41) execute(\"head -c 3 disk.img > first; cat > stdin\") }\n\
           on-resource x { raw_write(1) }\n\
           on-finish { execute(\"tail -c +513 disk.img | head -c 5 > second\") execute(\"exit 2\") }\n\
         }\n",
    );
    let archive = fs::read(bench.at("out.fw")).unwrap();
    let line = "-a -q --unsafe -d disk.img -t complete";
    let (status, out, _) = bench.run_with(line, &archive);
    assert_eq!(
        (status, out.as_str()),
        (
            Some(1),
            "fwup: execute: 'exit 2' failed with exit status: 2\n"
        )
    );
    for (name, expected) in [("first", "AAA"), ("stdin", ""), ("second", "abcde")] {
        assert_eq!(
            fs::read_to_string(bench.at(name)).unwrap(),
            expected,
            "{name}"
        );
    }
}

#[test]
fn a_command_can_choose_the_task() {
    let bench = Bench::with(
        "task up.false { require-execute(\"false\") on-init { error(false) } }\n\
         task up.empty { require-execute(\"\") on-init { error(empty) } }\n\
         task up.prints { require-execute(\"echo printed; [ a = a ]\") on-init { execute(\"echo too\") info(done) } }\n\
         task up.other { on-init { info(other) } }\n",
    );
    assert_eq!(bench.apply("up", ""), (Some(0), "fwup: other\n".to_owned()));
    assert_eq!(
        bench.apply("up", "--unsafe"),
        (Some(0), "printed\ntoo\nfwup: done\n".to_owned())
    );
    // Nothing else is printed where a program reads the messages.
    let line = "-a --json -q --unsafe -i out.fw -d disk.img -t up";
    assert_eq!(
        bench.run(line),
        (
            Some(0),
            "{\"event\":\"info\",\"message\":\"done\"}\n\
             {\"event\":\"done\",\"reboot_parameter\":null,\"task\":\"up.prints\"}\n"
                .to_owned(),
            "printed\ntoo\n".to_owned()
        )
    );
}
