// SPDX-License-Identifier: MIT OR Apache-2.0

//! A guest as libvirt's domain XML.

use std::io;
use std::path::PathBuf;

use quick_xml::Writer;
use quick_xml::events::BytesText;

use crate::identity::{self, AGENT_PORT, FW_CFG_PREFIX};

/// The namespace of options that libvirt passes on to QEMU.
const QEMU_NAMESPACE: &str = "http://libvirt.org/schemas/domain/qemu/1.0";

/// How libvirt's host runs a guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Accelerator {
    /// KVM, with the host's CPU and GIC.
    Kvm,
    /// Emulation.
    Tcg {
        /// The CPU model.
        cpu: String,
        /// The buffer for translated code in MiB; 0 leaves its size to QEMU.
        buffer_mib: u32,
    },
}

/// A guest that libvirt runs.
///
/// The domain has the devices of a guest that `start` runs: the loader as the kernel, one disk on
/// virtio-mmio, the console on the PL011, a source of entropy, the identity on the fw_cfg device. Two
/// things differ. libvirt stores the domain, so no seed is in it that would be the same at each start:
/// the entropy device provides one. And QMP is libvirt's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Domain {
    /// The guest's number, from which its identity follows.
    pub id: u32,
    /// The loader, an ELF, an absolute path on the host.
    pub loader: PathBuf,
    /// The image that all guests share, in raw format.
    pub image: PathBuf,
    /// The folder of the guests' overlays and console logs.
    pub folder: PathBuf,
    /// RAM in MiB.
    pub memory_mib: u64,
    /// The accelerator.
    pub accelerator: Accelerator,
    /// QEMU, an absolute path, unless libvirt chooses.
    pub emulator: Option<PathBuf>,
    /// Added to the kernel's command line.
    pub append: Option<String>,
    /// A port of the loopback interface that leads to the guest's agent.
    pub port: Option<u16>,
    /// Whether the guest gives pages that it has freed back to the host.
    pub free_page_reporting: bool,
}

type Xml = Writer<Vec<u8>>;
type Attributes<'a> = &'a [(&'a str, &'a str)];

impl Domain {
    /// Returns the path of the guest's overlay, a qcow2 image that is made before the start.
    #[must_use]
    pub fn overlay(&self) -> PathBuf {
        self.folder
            .join(identity::host(self.id))
            .with_extension("qcow2")
    }

    /// Returns the domain's XML.
    ///
    /// # Errors
    /// When it cannot be written, which memory does not fail at.
    pub fn xml(&self) -> io::Result<String> {
        let mut xml = Writer::new_with_indent(Vec::new(), b' ', 2);
        let kind = match self.accelerator {
            Accelerator::Kvm => "kvm",
            Accelerator::Tcg { .. } => "qemu",
        };
        let attributes = [("type", kind), ("xmlns:qemu", QEMU_NAMESPACE)];
        parent(&mut xml, "domain", &attributes, |xml| {
            text(xml, "name", &[], &identity::host(self.id))?;
            text(
                xml,
                "memory",
                &[("unit", "MiB")],
                &self.memory_mib.to_string(),
            )?;
            memory_backing(xml)?;
            text(xml, "vcpu", &[], "1")?;
            self.identity(xml)?;
            self.boot(xml)?;
            self.features(xml)?;
            self.cpu(xml)?;
            text(xml, "on_poweroff", &[], "destroy")?;
            text(xml, "on_reboot", &[], "restart")?;
            text(xml, "on_crash", &[], "restart")?;
            parent(xml, "devices", &[], |xml| self.devices(xml))?;
            self.port.map_or(Ok(()), |port| self.network(xml, port))
        })?;
        let mut text = String::from_utf8(xml.into_inner()).map_err(io::Error::other)?;
        text.push('\n');
        Ok(text)
    }

    /// The files on the fw_cfg device that the guest takes its identity from.
    fn identity(&self, xml: &mut Xml) -> io::Result<()> {
        parent(xml, "sysinfo", &[("type", "fwcfg")], |xml| {
            for (name, value) in [
                ("serial", identity::serial(self.id)),
                ("hostname", identity::host(self.id)),
            ] {
                let name = format!("{FW_CFG_PREFIX}/{name}");
                text(xml, "entry", &[("name", &name)], &value)?;
            }
            Ok(())
        })
    }

    fn boot(&self, xml: &mut Xml) -> io::Result<()> {
        parent(xml, "os", &[], |xml| {
            text(
                xml,
                "type",
                &[("arch", "aarch64"), ("machine", "virt")],
                "hvm",
            )?;
            text(xml, "kernel", &[], &self.loader.to_string_lossy())?;
            if let Some(append) = &self.append {
                text(xml, "cmdline", &[], append)?;
            }
            Ok(())
        })
    }

    fn features(&self, xml: &mut Xml) -> io::Result<()> {
        parent(xml, "features", &[], |xml| match &self.accelerator {
            Accelerator::Kvm => empty(xml, "gic", &[("version", "host")]),
            Accelerator::Tcg { buffer_mib: 0, .. } => empty(xml, "gic", &[("version", "2")]),
            Accelerator::Tcg { buffer_mib, .. } => {
                empty(xml, "gic", &[("version", "2")])?;
                parent(xml, "tcg", &[], |xml| {
                    text(xml, "tb-cache", &[("unit", "MiB")], &buffer_mib.to_string())
                })
            }
        })
    }

    fn cpu(&self, xml: &mut Xml) -> io::Result<()> {
        match &self.accelerator {
            Accelerator::Kvm => empty(xml, "cpu", &[("mode", "host-passthrough")]),
            Accelerator::Tcg { cpu, .. } => {
                let attributes = [("mode", "custom"), ("match", "exact"), ("check", "none")];
                parent(xml, "cpu", &attributes, |xml| {
                    text(xml, "model", &[("fallback", "forbid")], cpu)
                })
            }
        }
    }

    fn devices(&self, xml: &mut Xml) -> io::Result<()> {
        if let Some(emulator) = &self.emulator {
            text(xml, "emulator", &[], &emulator.to_string_lossy())?;
        }
        self.disk(xml)?;
        empty(xml, "controller", &[("type", "usb"), ("model", "none")])?;
        self.console(xml)?;
        parent(xml, "rng", &[("model", "virtio")], |xml| {
            text(xml, "backend", &[("model", "random")], "/dev/urandom")?;
            mmio(xml)
        })?;
        if self.free_page_reporting {
            let attributes = [("model", "virtio"), ("freePageReporting", "on")];
            parent(xml, "memballoon", &attributes, mmio)
        } else {
            empty(xml, "memballoon", &[("model", "none")])
        }
    }

    fn disk(&self, xml: &mut Xml) -> io::Result<()> {
        parent(
            xml,
            "disk",
            &[("type", "file"), ("device", "disk")],
            |xml| {
                empty(xml, "driver", &[("name", "qemu"), ("type", "qcow2")])?;
                empty(
                    xml,
                    "source",
                    &[("file", &self.overlay().to_string_lossy())],
                )?;
                parent(xml, "backingStore", &[("type", "file")], |xml| {
                    empty(xml, "format", &[("type", "raw")])?;
                    empty(xml, "source", &[("file", &self.image.to_string_lossy())])
                })?;
                empty(xml, "target", &[("dev", "vda"), ("bus", "virtio")])?;
                mmio(xml)
            },
        )
    }

    /// A network card with a port that is forwarded. libvirt's own user-mode network forwards none
    /// without a further program, so QEMU's options are passed on.
    fn network(&self, xml: &mut Xml, port: u16) -> io::Result<()> {
        let network = format!("user,id=net0,hostfwd=tcp:127.0.0.1:{port}-:{AGENT_PORT}");
        let card = format!(
            "virtio-net-device,netdev=net0,mac={}",
            identity::mac(self.id)
        );
        parent(xml, "qemu:commandline", &[], |xml| {
            for word in ["-netdev", &network, "-device", &card] {
                empty(xml, "qemu:arg", &[("value", word)])?;
            }
            Ok(())
        })
    }

    fn console(&self, xml: &mut Xml) -> io::Result<()> {
        let log = self
            .folder
            .join(identity::host(self.id))
            .with_extension("log");
        parent(xml, "serial", &[("type", "pty")], |xml| {
            empty(
                xml,
                "log",
                &[("file", &log.to_string_lossy()), ("append", "on")],
            )?;
            let target = [("type", "system-serial"), ("port", "0")];
            parent(xml, "target", &target, |xml| {
                empty(xml, "model", &[("name", "pl011")])
            })
        })?;
        parent(xml, "console", &[("type", "pty")], |xml| {
            empty(xml, "target", &[("type", "serial"), ("port", "0")])
        })
    }
}

/// RAM as `start` gives it: taken from the host when the guest touches it. With a mode of access,
/// libvirt would put it into a file.
fn memory_backing(xml: &mut Xml) -> io::Result<()> {
    parent(xml, "memoryBacking", &[], |xml| {
        empty(xml, "source", &[("type", "anonymous")])?;
        empty(xml, "allocation", &[("mode", "ondemand")])
    })
}

/// The transport of a device.
fn mmio(xml: &mut Xml) -> io::Result<()> {
    empty(xml, "address", &[("type", "virtio-mmio")])
}

fn parent(
    xml: &mut Xml,
    name: &str,
    attributes: Attributes<'_>,
    children: impl FnOnce(&mut Xml) -> io::Result<()>,
) -> io::Result<()> {
    let element = xml.create_element(name);
    let element = element.with_attributes(attributes.iter().copied());
    element.write_inner_content(children)?;
    Ok(())
}

fn text(xml: &mut Xml, name: &str, attributes: Attributes<'_>, text: &str) -> io::Result<()> {
    let element = xml.create_element(name);
    let element = element.with_attributes(attributes.iter().copied());
    element.write_text_content(BytesText::new(text))?;
    Ok(())
}

fn empty(xml: &mut Xml, name: &str, attributes: Attributes<'_>) -> io::Result<()> {
    let element = xml.create_element(name);
    element
        .with_attributes(attributes.iter().copied())
        .write_empty()?;
    Ok(())
}
