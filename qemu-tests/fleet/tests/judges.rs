// SPDX-License-Identifier: MIT OR Apache-2.0

//! Checks by programs of others, each listed as ignored where its program is not installed.
//!
//! `virt-xml-validate` is in Debian's libvirt-clients, its schemas in libvirt0; `promtool` is in
//! prometheus.

use std::io::Write as _;
use std::process::{Command, Stdio};

use fleet::engines::libvirt::{Accelerator, Domain};
use fleet::metrics::exposition;
use fleet::model::{Guest, Memory, State, Status, Update};
use libtest_mimic::{Arguments, Failed, Trial};
use qemu_harness::process::find;

fn main() {
    let emulated = |buffer_mib| Accelerator::Tcg {
        cpu: "cortex-a57".to_owned(),
        buffer_mib,
    };
    let tests = vec![
        judged(
            "virt-xml-validate",
            "a_domain_of_kvm_has_libvirts_schema",
            || validate(&domain(Accelerator::Kvm)),
        ),
        judged(
            "virt-xml-validate",
            "an_emulated_domain_has_libvirts_schema",
            move || {
                validate(&domain(emulated(4)))?;
                validate(&domain(emulated(0)))
            },
        ),
        judged(
            "virt-xml-validate",
            "a_domain_with_all_devices_has_libvirts_schema",
            || {
                validate(&Domain {
                    port: Some(20_001),
                    append: Some("quiet <&>".to_owned()),
                    emulator: Some("/usr/bin/qemu-system-aarch64".into()),
                    free_page_reporting: true,
                    ..domain(Accelerator::Kvm)
                })
            },
        ),
        judged(
            "virt-xml-validate",
            "the_schema_refuses_another_document",
            || {
                let xml = domain(Accelerator::Kvm)
                    .xml()?
                    .replace("virtio-mmio", "virtio-nothing");
                match run("virt-xml-validate", &["-", "domain"], &xml) {
                    Ok(()) => Err("a document that is wrong was accepted".into()),
                    Err(_) => Ok(()),
                }
            },
        ),
        judged("promtool", "metrics_pass_promtools_lint", || {
            for per_guest in [false, true] {
                let text = exposition(&status(), per_guest);
                run("promtool", &["check", "metrics"], &text)?;
            }
            Ok(())
        }),
    ];
    libtest_mimic::run(&Arguments::from_args(), tests).exit();
}

fn judged(
    program: &str,
    name: &str,
    test: impl FnOnce() -> Result<(), Failed> + Send + 'static,
) -> Trial {
    Trial::test(name, test).with_ignored_flag(find(program).is_none())
}

fn domain(accelerator: Accelerator) -> Domain {
    Domain {
        id: 1,
        loader: "/srv/little-loader.elf".into(),
        image: "/srv/erlang.img".into(),
        folder: "/srv/overlays".into(),
        memory_mib: 80,
        accelerator,
        emulator: None,
        append: None,
        port: None,
        free_page_reporting: false,
    }
}

fn validate(domain: &Domain) -> Result<(), Failed> {
    run("virt-xml-validate", &["-", "domain"], &domain.xml()?)
}

/// Runs `program` with `input` at its standard input.
fn run(program: &str, arguments: &[&str], input: &str) -> Result<(), Failed> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    child
        .stdin
        .take()
        .ok_or("the program has no standard input")?
        .write_all(input.as_bytes())?;
    let output = child.wait_with_output()?;
    if output.status.success() {
        return Ok(());
    }
    let (stdout, stderr) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    Err(format!("{program}: {}\n{stdout}{stderr}\n{input}", output.status).into())
}

fn status() -> Status {
    let guest = |id, state| Guest {
        id,
        host: format!("guest-{id:05}"),
        state,
        boot_seconds: Some(4.5),
        uptime: Some(1.0),
        cpu: Some(0.25),
        memory: Some(Memory {
            pss: 1024,
            ..Memory::default()
        }),
        ..Guest::default()
    };
    Status {
        image: "with \"quotes\"".into(),
        update: Some(Update::default()),
        guests: vec![guest(1, State::Up), guest(2, State::Fatal)],
        ..Status::default()
    }
}
