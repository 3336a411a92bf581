// SPDX-License-Identifier: MIT OR Apache-2.0

//! A Linux program without a C library, so that the loader's target builds it, too.
//!
//! | command | effect |
//! | --- | --- |
//! | `helper identify` | this guest takes on the host name and the entropy that the host gives by fw_cfg |
//! | `helper identify each` | it does so for each line on stdin, and then writes its serial number and host name to stdout |
//! | `helper serve PORT PROGRAM` | runs PROGRAM for each connection to the TCP port, with it as stdin, stdout and stderr |
//!
//! It ends with status 0, 1 if the kernel refuses, or 2 for a wrong command line.

#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
mod arguments;
#[cfg(target_os = "none")]
mod identity;
#[cfg(target_os = "none")]
mod serve;
#[cfg(target_os = "none")]
mod system;

/// On the host there is nothing to do.
#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
extern "C" fn start(arguments: &arguments::Arguments) -> ! {
    let status = match arguments.words() {
        (Some(b"identify"), None, None) => identity::once(),
        (Some(b"identify"), Some(b"each"), None) => identity::each_line(),
        (Some(b"serve"), Some(port), Some(_)) => match arguments::port(port) {
            Some(port) => serve::serve(port, arguments),
            None => 2,
        },
        _ => 2,
    };
    system::exit(status)
}

#[cfg(target_os = "none")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    system::exit(3)
}
