// SPDX-License-Identifier: MIT OR Apache-2.0

//! Linux's system calls on arm64: the number in x8, arguments in x0 to x5, the result in x0, which
//! is negative for an error (syscall(2)).

use core::arch::asm;
use core::ffi::{CStr, c_char};

/// Numbers of system calls (Linux, `include/uapi/asm-generic/unistd.h`).
mod number {
    pub(super) const DUP3: usize = 24;
    pub(super) const IOCTL: usize = 29;
    pub(super) const OPENAT: usize = 56;
    pub(super) const CLOSE: usize = 57;
    pub(super) const READ: usize = 63;
    pub(super) const WRITE: usize = 64;
    pub(super) const EXIT_GROUP: usize = 94;
    pub(super) const SETHOSTNAME: usize = 161;
    pub(super) const SOCKET: usize = 198;
    pub(super) const BIND: usize = 200;
    pub(super) const LISTEN: usize = 201;
    pub(super) const SETSOCKOPT: usize = 208;
    pub(super) const CLONE: usize = 220;
    pub(super) const EXECVE: usize = 221;
    pub(super) const ACCEPT4: usize = 242;
    pub(super) const WAIT4: usize = 260;
}

/// `_IO('R', 0x07)` (Linux, `include/uapi/linux/random.h`).
const RNDRESEEDCRNG: usize = 0x5207;
/// Relative paths start at the working directory; the path here is absolute.
const AT_FDCWD: usize = -100_isize as usize;
const O_RDONLY: usize = 0;
const O_RDWR: usize = 2;
/// The signal of a child's end, the only flag that fork(2) passes to clone(2).
const SIGCHLD: usize = 17;
const WNOHANG: usize = 1;

/// The kernel refused.
pub(crate) struct Refused;

/// The number of an open file.
#[derive(Clone, Copy)]
pub(crate) struct File(usize);

/// The files that a program is started with.
pub(crate) const STDIN: File = File(0);
pub(crate) const STDOUT: File = File(1);

/// Which of two processes this is.
pub(crate) enum Process {
    Parent,
    Child,
}

fn call(number: usize, arguments: [usize; 5]) -> Result<usize, Refused> {
    let result: isize;
    // SAFETY: the functions below pass pointers only to what lives during the call, and with the
    // length that it has; the kernel writes only where they pass a pointer to mutable bytes. It
    // changes nothing else of this process's memory, which clone copies.
    unsafe {
        asm!(
            "svc #0",
            in("x8") number,
            inlateout("x0") arguments[0] => result,
            in("x1") arguments[1],
            in("x2") arguments[2],
            in("x3") arguments[3],
            in("x4") arguments[4],
            options(nostack),
        );
    }
    usize::try_from(result).map_err(|_| Refused)
}

/// Opens a file for reading.
pub(crate) fn open(path: &CStr) -> Result<File, Refused> {
    open_for(path, O_RDONLY)
}

/// Opens a device for reading and writing.
pub(crate) fn open_device(path: &CStr) -> Result<File, Refused> {
    open_for(path, O_RDWR)
}

fn open_for(path: &CStr, flags: usize) -> Result<File, Refused> {
    call(number::OPENAT, [AT_FDCWD, address(path), flags, 0, 0]).map(File)
}

/// Reads at most as many bytes as `buffer` has; returns how many. At the end of the file it is none.
pub(crate) fn read(file: File, buffer: &mut [u8]) -> Result<usize, Refused> {
    let place = buffer.as_mut_ptr().expose_provenance();
    call(number::READ, [file.0, place, buffer.len(), 0, 0])
}

/// Writes `bytes`, which pipes and devices take as a whole.
pub(crate) fn write(file: File, bytes: &[u8]) -> Result<(), Refused> {
    let place = bytes.as_ptr().expose_provenance();
    match call(number::WRITE, [file.0, place, bytes.len(), 0, 0])? {
        count if count == bytes.len() => Ok(()),
        _ => Err(Refused),
    }
}

/// Changes the host name.
pub(crate) fn set_host_name(name: &[u8]) -> Result<(), Refused> {
    let place = name.as_ptr().expose_provenance();
    call(number::SETHOSTNAME, [place, name.len(), 0, 0, 0]).map(drop)
}

/// Makes the kernel derive the key of its random numbers anew; `random` is /dev/urandom.
pub(crate) fn renew_random_key(random: File) -> Result<(), Refused> {
    call(number::IOCTL, [random.0, RNDRESEEDCRNG, 0, 0, 0]).map(drop)
}

/// Makes a socket that listens on a TCP port of all IPv4 addresses.
pub(crate) fn listen(port: u16) -> Result<File, Refused> {
    const AF_INET: usize = 2;
    const SOCK_STREAM: usize = 1;
    const SOCK_CLOEXEC: usize = 0o2_000_000;
    const SOL_SOCKET: usize = 1;
    const SO_REUSEADDR: usize = 2;
    const BACKLOG: usize = 16;

    let socket = call(
        number::SOCKET,
        [AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0, 0, 0],
    )?;
    let on = 1_u32;
    let option = (&raw const on).expose_provenance();
    call(
        number::SETSOCKOPT,
        [socket, SOL_SOCKET, SO_REUSEADDR, option, size_of_val(&on)],
    )?;
    // `struct sockaddr_in`: the family in this CPU's byte order, the port in the network's, the
    // address 0.0.0.0, and padding.
    let mut name = [0_u8; 16];
    name[0] = AF_INET as u8;
    name[2..4].copy_from_slice(&port.to_be_bytes());
    call(
        number::BIND,
        [socket, name.as_ptr().expose_provenance(), name.len(), 0, 0],
    )?;
    call(number::LISTEN, [socket, BACKLOG, 0, 0, 0])?;
    Ok(File(socket))
}

/// Waits for a connection.
pub(crate) fn accept(socket: File) -> Result<File, Refused> {
    call(number::ACCEPT4, [socket.0, 0, 0, 0, 0]).map(File)
}

/// Lets go of the children that have ended.
pub(crate) fn reap() {
    let any = -1_isize as usize;
    while call(number::WAIT4, [any, 0, WNOHANG, 0, 0]).is_ok_and(|child| child > 0) {}
}

/// Splits this process in two.
pub(crate) fn fork() -> Result<Process, Refused> {
    Ok(match call(number::CLONE, [SIGCHLD, 0, 0, 0, 0])? {
        0 => Process::Child,
        _ => Process::Parent,
    })
}

/// Makes `file` the stdin, stdout and stderr of this process.
pub(crate) fn take_as_standard(file: File) -> Result<(), Refused> {
    for standard in 0..3 {
        call(number::DUP3, [file.0, standard, 0, 0, 0])?;
    }
    Ok(())
}

/// Closes a file.
pub(crate) fn close(file: File) {
    // An error would leave nothing to do.
    let _ = call(number::CLOSE, [file.0, 0, 0, 0, 0]);
}

/// Replaces this program; returns only if it cannot.
pub(crate) fn execute(program: &CStr, environment: *const *const c_char) {
    let words = [program.as_ptr(), core::ptr::null()];
    // `call` only fails here.
    let _ = call(
        number::EXECVE,
        [
            address(program),
            words.as_ptr().expose_provenance(),
            environment.expose_provenance(),
            0,
            0,
        ],
    );
}

/// Ends the program.
pub(crate) fn exit(status: usize) -> ! {
    loop {
        let _ = call(number::EXIT_GROUP, [status, 0, 0, 0, 0]);
    }
}

fn address(text: &CStr) -> usize {
    text.as_ptr().expose_provenance()
}
