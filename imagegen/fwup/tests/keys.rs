// SPDX-License-Identifier: MIT OR Apache-2.0

//! Keys, signatures and disk encryption of the program `fwup`. The fixture `07-keys` was made by
//! fwup 1.16.0: `fwup -g`, `fwup -c -s fwup-key.priv` with `SOURCE_DATE_EPOCH=1700000000`, and one
//! image per task, without the zeroes at its end.

#![expect(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

mod common;

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use common::{fixture, outcome};
use fwup::archive::read::Archive;
use fwup::archive::write::{Level, Writer};
use fwup::keys::{KeySource, PrivateKey, PublicKey, decode};

/// Exit status, stdout and stderr.
type Outcome = (Option<i32>, String, String);

/// Names and data of entries.
type Entries<'a> = &'a [(&'a str, &'a [u8])];

const GOOD: &str = "Valid archive with a good signature\n";

/// A temporary folder with the files of the fixture.
struct Workspace(tempfile::TempDir);

impl Workspace {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for entry in fs::read_dir(fixture("07-keys")).unwrap() {
            let path = entry.unwrap().path();
            fs::copy(&path, folder.path().join(path.file_name().unwrap())).unwrap();
        }
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    fn text(&self, name: &str) -> String {
        String::from_utf8(self.read(name)).unwrap()
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.path(name), bytes).unwrap();
    }

    fn command(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fwup"));
        command
            .current_dir(self.0.path())
            .env("SOURCE_DATE_EPOCH", "1700000000")
            .args(line.split_whitespace())
            .stdin(Stdio::null());
        command
    }

    fn run(&self, line: &str) -> Outcome {
        outcome(&mut self.command(line)).unwrap()
    }

    /// Runs the program, which must succeed, and returns its output.
    fn done(&self, line: &str) -> String {
        let (status, out, err) = self.run(line);
        assert_eq!((status, err.as_str()), (Some(0), ""), "{line}: {out}");
        out
    }

    /// Runs the program, which must fail, and returns its message.
    fn failed(&self, line: &str) -> String {
        let (status, out, err) = self.run(line);
        assert_eq!(status, Some(1), "{line}");
        assert_eq!(err.trim_end(), "", "{line}");
        out.strip_prefix("fwup: ").unwrap().trim_end().to_owned()
    }

    fn entries(&self, name: &str) -> Vec<(String, Vec<u8>)> {
        let mut archive = Archive::new(File::open(self.path(name)).unwrap());
        let mut entries = Vec::new();
        while let Some(header) = archive.next_entry().unwrap() {
            entries.push((header.name, archive.read_all(1 << 20).unwrap()));
        }
        entries
    }

    /// Writes an archive with these entries.
    fn archive(&self, name: &str, entries: Entries<'_>) {
        let mut writer = Writer::new(Vec::new(), Level::default());
        for (entry, data) in entries {
            writer
                .entry::<std::io::Error>(entry, None, data.len() as u64, |take| take(data))
                .unwrap();
        }
        self.write(name, writer.finish().unwrap());
    }

    /// Runs openssl and returns stdout.
    fn openssl(&self, arguments: &[&str]) -> Vec<u8> {
        let output = Command::new("openssl")
            .current_dir(self.0.path())
            .args(arguments)
            .output()
            .expect("this test needs the program openssl");
        assert!(output.status.success(), "openssl {arguments:?}: {output:?}");
        output.stdout
    }
}

#[test]
fn an_archive_signed_by_fwup_is_authenticated() {
    let workspace = Workspace::new();
    let public = workspace.text("fwup-key.pub");
    workspace.write("raw.pub", *decode::<32>(public.as_bytes()).unwrap());
    workspace.write("spaced.pub", format!("{public} \t\n\n"));
    workspace.write("unpadded.pub", public.trim_end_matches('='));
    for keys in [
        "-p fwup-key.pub",
        "-p raw.pub",
        "--public-key-file spaced.pub",
        "-p unpadded.pub",
        &format!("--public-key {public}"),
    ] {
        assert_eq!(workspace.done(&format!("-V {keys} -i out.fw")), GOOD);
        assert_eq!(
            workspace.done(&format!("-l {keys} -i out.fw")),
            "cbc\nxts\n"
        );
        let metadata = workspace.done(&format!("-m {keys} -i out.fw"));
        assert!(metadata.starts_with("meta-product=Signed\n"), "{metadata}");
    }
    assert_eq!(
        workspace.done("-V -i out.fw"),
        "Valid archive with a signature that was not checked; -p FILE checks it\n"
    );
}

#[test]
fn signatures_are_those_of_fwup() {
    let workspace = Workspace::new();
    let golden = workspace.entries("out.fw");
    assert_eq!(golden[0].0, "meta.conf.ed25519");
    workspace.done("-c -f fwup.conf -o plain.fw");
    assert_eq!(workspace.entries("plain.fw"), golden[1..]);
    let private = workspace.text("fwup-key.priv");
    workspace.write("raw.priv", *decode::<64>(private.as_bytes()).unwrap());
    for line in [
        "-c -s fwup-key.priv -f fwup.conf -o signed.fw".to_owned(),
        "-c -s raw.priv -f fwup.conf -o signed.fw".to_owned(),
        format!("-c --private-key {private} -f fwup.conf -o signed.fw"),
        "-S -s fwup-key.priv -i plain.fw -o signed.fw".to_owned(),
        // In place, and with a signature that is replaced.
        "-S -s fwup-key.priv -i signed.fw -o signed.fw".to_owned(),
    ] {
        assert_eq!(workspace.done(&line), "");
        assert_eq!(workspace.entries("signed.fw"), golden, "{line}");
        assert_eq!(workspace.done("-V -p fwup-key.pub -i signed.fw"), GOOD);
    }
    let output = workspace
        .command("-S -s fwup-key.priv -i - -o -")
        .stdin(File::open(workspace.path("plain.fw")).unwrap())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(output.stdout == workspace.read("signed.fw"));
    // The signature comes first, and it is not compressed.
    let signed = workspace.read("signed.fw");
    assert_eq!(signed[8..10], [0, 0]);
    assert_eq!(signed[18..22], 64_u32.to_le_bytes());
    assert_eq!(signed[30..47], *b"meta.conf.ed25519");
}

/// RFC 8410: a key is the last 32 bytes of a structure whose other bytes are constant.
#[test]
fn openssl_makes_and_verifies_the_same_signatures() {
    let workspace = Workspace::new();
    workspace.done("-g -o new");
    workspace.done("-c -s new.priv -f fwup.conf -o signed.fw");
    let entries = workspace.entries("signed.fw");
    workspace.write("signature", &entries[0].1);
    workspace.write("meta.conf", &entries[1].1);
    let public = decode::<32>(&workspace.read("new.pub")).unwrap();
    let private = decode::<64>(&workspace.read("new.priv")).unwrap();
    workspace.write(
        "public.der",
        [
            b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00",
            &public[..],
        ]
        .concat(),
    );
    workspace.write(
        "private.der",
        [
            b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20",
            &private[..32],
        ]
        .concat(),
    );
    workspace.openssl(&[
        "pkeyutl",
        "-verify",
        "-pubin",
        "-inkey",
        "public.der",
        "-keyform",
        "DER",
        "-rawin",
        "-in",
        "meta.conf",
        "-sigfile",
        "signature",
    ]);
    let signature = workspace.openssl(&[
        "pkeyutl",
        "-sign",
        "-inkey",
        "private.der",
        "-keyform",
        "DER",
        "-rawin",
        "-in",
        "meta.conf",
    ]);
    assert_eq!(signature, entries[0].1);
}

#[test]
fn new_keys_are_saved_and_never_overwritten() {
    let workspace = Workspace::new();
    assert_eq!(
        workspace.failed("-g"),
        "'fwup-key.pub' exists, and keys are never overwritten: move it, or choose other names with -o"
    );
    fs::create_dir(workspace.path("folder")).unwrap();
    assert_eq!(
        workspace.done("-g -o folder/new"),
        "New keys are saved to 'new.pub' and 'new.priv'.\n\n\
         Distribute 'new.pub' with the devices: it authenticates updates.\n\
         Keep 'new.priv' secret, and make a backup of it: it signs updates.\n"
    );
    let source = |name: &str| KeySource::File(workspace.path(name).display().to_string());
    let private = PrivateKey::read(&source("folder/new.priv")).unwrap();
    let public = PublicKey::read(&source("folder/new.pub")).unwrap();
    assert_eq!(private.public(), *public.bytes());
    let framed = workspace.command("-g -F -o other").output().unwrap();
    assert!(
        framed.stdout[4..].starts_with(b"OK\0\0New keys"),
        "{framed:?}"
    );
}

#[test]
fn an_archive_of_another_key_changes_nothing() {
    let workspace = Workspace::new();
    workspace.done("-g -o other");
    workspace.done("-c -f fwup.conf -o plain.fw");
    let mut entries = workspace.entries("out.fw");
    let changed = entries[1].1.iter().position(|byte| *byte == b'S').unwrap();
    entries[1].1[changed] = b's';
    let entries: Vec<_> = entries
        .iter()
        .map(|(name, data)| (name.as_str(), data.as_slice()))
        .collect();
    workspace.archive("changed.fw", &entries);
    workspace.write("old.img", [0x55; 4096]);
    let unsigned = |keys: &str| {
        format!(
            "the archive is not signed, expected a signature by a public key ({keys}): sign it with fwup -S, or give no public key to accept any archive"
        )
    };
    let untrusted = |keys: &str| {
        format!(
            "the signature of the archive's meta.conf is not by a public key ({keys}): it was signed with another key, or meta.conf was changed afterwards"
        )
    };
    workspace.write("zero.pub", [0; 32]);
    for (archive, keys, expected) in [
        ("plain.fw", "-p fwup-key.pub", unsigned("'fwup-key.pub'")),
        ("out.fw", "-p other.pub", untrusted("'other.pub'")),
        ("changed.fw", "-p fwup-key.pub", untrusted("'fwup-key.pub'")),
        (
            "out.fw",
            "-p other.pub -p zero.pub",
            untrusted("'other.pub'; 'zero.pub', which is not an Ed25519 key"),
        ),
    ] {
        for command in [
            "-V",
            "-l",
            "-m",
            "-a -q -t xts -d old.img",
            "-a -q -t xts -d new.img",
        ] {
            let line = format!("{command} {keys} -i {archive}");
            assert_eq!(workspace.failed(&line), expected, "{line}");
            let output = workspace
                .command(&format!("{command} {keys} -i -"))
                .stdin(File::open(workspace.path(archive)).unwrap())
                .output()
                .unwrap();
            assert_eq!(output.status.code(), Some(1));
            assert_eq!(output.stdout, format!("fwup: {expected}\n").as_bytes());
        }
    }
    assert_eq!(workspace.read("old.img"), [0x55; 4096]);
    assert!(!workspace.path("new.img").exists());
    // One good key is enough.
    assert_eq!(
        workspace.done("-V -p other.pub -p zero.pub -p fwup-key.pub -i out.fw"),
        GOOD
    );
}

#[test]
fn the_eleventh_public_key_is_ignored() {
    let workspace = Workspace::new();
    workspace.done("-g -o other");
    let others = "-p other.pub ".repeat(10);
    let warning = "fwup: found 11 public keys; only the first 10 are used\n";
    let (status, out, _) = workspace.run(&format!("-V {others} -p fwup-key.pub -i out.fw"));
    assert_eq!(status, Some(1));
    assert!(
        out.starts_with(&format!("{warning}fwup: the signature")),
        "{out}"
    );
    let line = format!("-V -p fwup-key.pub {others} -i out.fw");
    assert_eq!(workspace.done(&line), format!("{warning}{GOOD}"));
}

#[test]
fn files_that_are_not_keys_are_named() {
    let workspace = Workspace::new();
    workspace.write("short.pub", [7; 31]);
    workspace.write("long.priv", "A".repeat(90));
    let advice = "fwup -g makes keys";
    let public = workspace.text("fwup-key.pub");
    for (line, expected) in [
        (
            "-V -p missing.pub -i out.fw",
            "Error opening public key file 'missing.pub': No such file or directory (os error 2)"
                .to_owned(),
        ),
        (
            "-V -p short.pub -i out.fw",
            format!(
                "'short.pub' is not a public key: found 31 bytes, expected 32 bytes or their base64; {advice}"
            ),
        ),
        (
            "-S -s long.priv -i out.fw -o x.fw",
            format!(
                "'long.priv' is not a private key: found 90 bytes, expected 64 bytes or their base64; {advice}"
            ),
        ),
        (
            "-V -p /dev/zero -i out.fw",
            format!(
                "'/dev/zero' is not a public key: found 4096 bytes, expected 32 bytes or their base64; {advice}"
            ),
        ),
        (
            "-V -p fwup-key.priv -i out.fw",
            "'fwup-key.priv' is not a public key: found 88 bytes, expected 32 bytes or their base64; this is a private key: keep it secret, and use the .pub file here"
                .to_owned(),
        ),
        (
            "-c -s fwup-key.pub -f fwup.conf -o x.fw",
            "'fwup-key.pub' is not a private key: found 44 bytes, expected 64 bytes or their base64; this is a public key: use the .priv file here"
                .to_owned(),
        ),
        (
            &format!("-V --public-key {} -i out.fw", &public[2..]),
            format!(
                "the text of --public-key is not a public key: found 42 bytes, expected 32 bytes or their base64; {advice}"
            ),
        ),
        (
            "-S -i out.fw -o x.fw",
            "specify the private key: -s FILE, or --private-key KEY".to_owned(),
        ),
        (
            "-S -s fwup-key.priv -i out.fw",
            "specify the signed archive: -o FILE, or -o - for stdout".to_owned(),
        ),
        // As in fwup, stdin is the archive by default, and it is empty here.
        (
            "-S -s fwup-key.priv -o x.fw",
            "the archive ends at byte 0, in the middle of a header".to_owned(),
        ),
    ] {
        assert_eq!(workspace.failed(line), expected, "{line}");
    }
    assert!(!workspace.path("x.fw").exists());
}

/// As in fwup, a private key with a changed seed signs, but no key verifies the signature.
#[test]
fn a_damaged_private_key_is_reported() {
    let workspace = Workspace::new();
    let mut key = *decode::<64>(&workspace.read("fwup-key.priv")).unwrap();
    key[0] ^= 1;
    workspace.write("damaged.priv", key);
    let out = workspace.done("-c -s damaged.priv -f fwup.conf -o x.fw");
    assert!(
        out.starts_with("fwup: the private key is damaged: "),
        "{out}"
    );
    let message = workspace.failed("-V -p fwup-key.pub -i x.fw");
    assert!(message.starts_with("the signature of "), "{message}");
}

#[test]
fn hostile_archives_are_refused() {
    let workspace = Workspace::new();
    let entries = workspace.entries("out.fw");
    let [signature, meta_conf] = [&entries[0].1[..], &entries[1].1[..]];
    let name = "meta.conf.ed25519";
    let long = [signature, b"x"].concat();
    let not_signed = "the archive is not signed, expected ";
    let cases: [(Entries<'_>, &str, &str); 6] = [
        (
            &[(name, &signature[1..]), ("meta.conf", meta_conf)],
            "meta.conf.ed25519 has 63 bytes, expected 64",
            "meta.conf.ed25519 has 63 bytes, expected 64",
        ),
        (
            &[(name, &long), ("meta.conf", meta_conf)],
            "meta.conf.ed25519 has 65 bytes, expected 64",
            "meta.conf.ed25519 has 65 bytes, expected 64",
        ),
        (
            &[(name, b""), ("meta.conf", meta_conf)],
            "meta.conf.ed25519 has 0 bytes, expected 64",
            "meta.conf.ed25519 has 0 bytes, expected 64",
        ),
        (
            &[
                (name, signature),
                (name, signature),
                ("meta.conf", meta_conf),
            ],
            "the archive starts with \"meta.conf.ed25519\", expected meta.conf",
            "the archive starts with \"meta.conf.ed25519\", expected meta.conf",
        ),
        (
            &[("meta.conf", meta_conf), (name, signature)],
            not_signed,
            "'meta.conf.ed25519' is in the archive, but meta.conf does not declare it",
        ),
        (
            &[
                (name, signature),
                ("meta.conf", meta_conf),
                ("meta.conf", b"task \"xts\" {\n}\n"),
            ],
            "'meta.conf' is in the archive, but meta.conf does not declare it",
            "'meta.conf' is in the archive, but meta.conf does not declare it",
        ),
    ];
    for (entries, expected, without_key) in cases {
        workspace.archive("hostile.fw", entries);
        let message = workspace.failed("-V -p fwup-key.pub -i hostile.fw");
        assert!(message.starts_with(expected), "{message}");
        let message = workspace.failed("-V -i hostile.fw");
        assert!(message.starts_with(without_key), "{message}");
    }
    // Signing drops signatures wherever they are, but must not keep a meta.conf that is not signed.
    workspace.archive("late.fw", &[("meta.conf", meta_conf), (name, signature)]);
    workspace.done("-S -s fwup-key.priv -i late.fw -o signed.fw");
    assert_eq!(workspace.entries("signed.fw"), entries[..2]);
    for (entries, expected) in [
        (
            &[("meta.conf", meta_conf), ("meta.conf", meta_conf)][..],
            "the archive has more than one meta.conf",
        ),
        (
            &[("data/a", &b"x"[..]), ("meta.conf", meta_conf)],
            "the archive starts with \"data/a\", expected meta.conf: this is not a firmware archive",
        ),
        (
            &[(name, signature)],
            "the archive starts with its end, expected meta.conf: this is not a firmware archive",
        ),
        (
            &[("meta.conf", b"short")],
            "meta.conf has 5 bytes, expected 10 to 1048576",
        ),
    ] {
        workspace.archive("hostile.fw", entries);
        assert_eq!(
            workspace.failed("-S -s fwup-key.priv -i hostile.fw -o x.fw"),
            expected
        );
        assert!(!workspace.path("x.fw").exists());
    }
}

/// Data without a size before it, as in an empty resource or an archive that was zipped to a pipe.
#[test]
fn signing_keeps_all_resources() {
    let workspace = Workspace::new();
    workspace.write(
        "fwup.conf",
        "file-resource none { contents = \"\" }\n\
         file-resource parts { host-path = \"parts.bin;parts.bin\" }\n\
         file-resource /top { contents = \"x\" }\n",
    );
    workspace.done("-c -f fwup.conf -o plain.fw");
    workspace.done("-S -s fwup-key.priv -i plain.fw -o signed.fw");
    assert_eq!(
        workspace.entries("signed.fw")[1..],
        workspace.entries("plain.fw")
    );
    assert_eq!(workspace.done("-V -p fwup-key.pub -i signed.fw"), GOOD);
}

#[test]
fn encrypted_blocks_are_those_of_fwup() {
    let workspace = Workspace::new();
    let xts = ["11".repeat(32), "22".repeat(32)].concat();
    workspace.done("-c -f fwup.conf -o plain.fw");
    for archive in ["out.fw", "plain.fw"] {
        for (task, secret) in [
            ("cbc", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="),
            (
                "cbc",
                "000102030405060708090A0B0C0D0E0F101112131415161718191a1b1c1d1e1f",
            ),
            ("xts", &xts),
        ] {
            let line = format!("-a -q -d disk.img -i {archive} -t {task}");
            let outcome = outcome(workspace.command(&line).env("SECRET", secret)).unwrap();
            assert_eq!(outcome, (Some(0), String::new(), String::new()));
            let golden = workspace.read(&format!("{task}.img"));
            let image = workspace.read("disk.img");
            let (data, rest) = image.split_at(golden.len());
            assert!(data == golden, "{archive} {task}");
            assert_eq!(image.len(), 128 << 10);
            assert!(rest.iter().all(|byte| *byte == 0));
            fs::remove_file(workspace.path("disk.img")).unwrap();
        }
    }
}

#[test]
fn invalid_encryption_is_found_before_anything_is_written() {
    let workspace = Workspace::new();
    for (secret, expected) in [
        (
            None,
            "'raw_write': cipher= needs secret=; is a variable not set?",
        ),
        (
            Some("12"),
            "'raw_write': aes-cbc-plain needs a secret of 32 bytes as 64 hexadecimal digits, found 2 characters, or not only digits",
        ),
    ] {
        let mut command = workspace.command("-a -q -d disk.img -i out.fw -t cbc");
        command.env_remove("SECRET");
        if let Some(secret) = secret {
            command.env("SECRET", secret);
        }
        assert_eq!(
            outcome(&mut command).unwrap(),
            (Some(1), format!("fwup: {expected}\n"), String::new())
        );
        assert!(!workspace.path("disk.img").exists());
    }
    // As in fwup, an archive with any options can be made: a later version may know them.
    workspace.write(
        "fwup.conf",
        "file-resource x { contents = \"x\" }\n\
         task complete { on-resource x { raw_write(1, \"unsupported=1\") } }\n",
    );
    workspace.done("-c -f fwup.conf -o x.fw");
    assert_eq!(
        workspace.failed("-a -q -d disk.img -i x.fw -t complete"),
        "'raw_write': unexpected option 'unsupported', expected cipher=NAME and secret=KEY"
    );
}
