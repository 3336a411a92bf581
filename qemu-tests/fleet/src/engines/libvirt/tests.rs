// SPDX-License-Identifier: MIT OR Apache-2.0

use clap::Parser;
use quick_xml::Reader;
use quick_xml::events::Event;

use super::*;

#[derive(Parser, Debug)]
struct Words {
    #[command(flatten)]
    libvirt: LibvirtArgs,
}

fn parse(words: &[&str]) -> LibvirtArgs {
    let words = [
        "libvirt",
        "--image",
        "/srv/erlang.img",
        "--loader",
        "/srv/loader.elf",
    ]
    .iter()
    .chain(words);
    Words::try_parse_from(words).unwrap().libvirt
}

#[test]
fn a_domain_has_the_devices_and_the_identity_of_a_guest() {
    let domains = parse(&["--first", "7", "--memory", "80M", "--port", "20000"])
        .domains()
        .unwrap();
    let xml = domains[0].xml().unwrap();
    for part in [
        "<domain type=\"kvm\" xmlns:qemu=\"http://libvirt.org/schemas/domain/qemu/1.0\">",
        "<name>guest-00007</name>",
        "<memory unit=\"MiB\">80</memory>",
        "<entry name=\"opt/org.little-loader.guest/serial\">LL00000007</entry>",
        "<entry name=\"opt/org.little-loader.guest/hostname\">guest-00007</entry>",
        "<type arch=\"aarch64\" machine=\"virt\">hvm</type>",
        "<kernel>/srv/loader.elf</kernel>",
        "<source file=\"/var/lib/libvirt/images/guest-00007.qcow2\"/>",
        "<source file=\"/srv/erlang.img\"/>",
        "<qemu:arg value=\"user,id=net0,hostfwd=tcp:127.0.0.1:20000-:4000\"/>",
        "<qemu:arg value=\"virtio-net-device,netdev=net0,mac=52:54:4c:00:00:07\"/>",
        "<address type=\"virtio-mmio\"/>",
        "<gic version=\"host\"/>",
        "<cpu mode=\"host-passthrough\"/>",
        "<memballoon model=\"none\"/>",
    ] {
        assert!(xml.contains(part), "{part:?} is not in\n{xml}");
    }
    assert!(!xml.contains("/seed"), "{xml}");
    // libvirt would back RAM by a file.
    assert!(!xml.contains("<access"), "{xml}");
}

#[test]
fn emulation_has_its_own_settings() {
    let domains = parse(&["--accel", "tcg", "--tb-size", "4", "--free-page-reporting"])
        .domains()
        .unwrap();
    let xml = domains[0].xml().unwrap();
    for part in [
        "<domain type=\"qemu\" ",
        "<tb-cache unit=\"MiB\">4</tb-cache>",
        "<model fallback=\"forbid\">cortex-a57</model>",
        "<memballoon model=\"virtio\" freePageReporting=\"on\">",
    ] {
        assert!(xml.contains(part), "{part:?} is not in\n{xml}");
    }
    assert!(!xml.contains("-netdev"), "{xml}");
}

#[test]
fn texts_are_escaped() {
    let odd = "a<b> & \"c\" 'd'";
    let arguments = LibvirtArgs {
        append: Some(odd.to_owned()),
        overlays: PathBuf::from(format!("/srv/{odd}")),
        ..parse(&[])
    };
    let xml = arguments.domains().unwrap()[0].xml().unwrap();
    let mut reader = Reader::from_str(&xml);
    let mut found = 0;
    let mut command_line = String::new();
    let mut inside = false;
    loop {
        match reader.read_event().unwrap() {
            Event::Eof => break,
            Event::Start(tag) => inside = tag.name().as_ref() == "cmdline",
            Event::End(_) => inside = false,
            Event::Text(text) if inside => command_line += &text,
            Event::GeneralRef(name) if inside => {
                command_line += match &*name {
                    "lt" => "<",
                    "gt" => ">",
                    "amp" => "&",
                    "quot" => "\"",
                    "apos" => "'",
                    other => panic!("&{other};"),
                };
            }
            Event::Empty(tag) => {
                for attribute in tag.attributes() {
                    let value = attribute.unwrap();
                    let text = quick_xml::escape::unescape(&value.value).unwrap();
                    found += usize::from(text.starts_with(&format!("/srv/{odd}/guest-00001.")));
                }
            }
            _ => {}
        }
    }
    assert_eq!(command_line, odd);
    assert_eq!(found, 2, "{xml}");
}

#[test]
fn guests_have_different_identities_and_ports() {
    let domains = parse(&["--count", "3", "--port", "20000"])
        .domains()
        .unwrap();
    let ports: Vec<_> = domains.iter().map(|domain| domain.port).collect();
    assert_eq!(ports, [Some(20_000), Some(20_001), Some(20_002)]);
    let error = parse(&["--count", "3", "--port", "65534"])
        .domains()
        .unwrap_err();
    assert!(error.to_string().contains("before guest 3"), "{error}");
}

#[test]
fn files_are_written_with_the_commands_that_start_them() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("domains");
    let arguments = LibvirtArgs {
        output: Some(output.clone()),
        ..parse(&["--count", "2", "--overlays", "/srv/two words"])
    };
    main(&arguments).unwrap();
    assert!(output.join("guest-00002.xml").is_file());
    let commands = instructions(Path::new("domains"), &arguments.domains().unwrap());
    let first = commands.lines().next().unwrap();
    assert_eq!(
        first,
        "qemu-img create -q -f qcow2 -F raw -b /srv/erlang.img '/srv/two words/guest-00001.qcow2' \
         && virsh create domains/guest-00001.xml"
    );
}
