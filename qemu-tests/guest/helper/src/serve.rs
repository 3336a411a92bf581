// SPDX-License-Identifier: MIT OR Apache-2.0

//! Runs a program for each connection.

use crate::arguments::Arguments;
use crate::system::{self, Process, Refused};

/// Serves until the kernel refuses something; returns the exit status.
pub(crate) fn serve(port: u16, arguments: &Arguments) -> usize {
    usize::from(serve_forever(port, arguments).is_err())
}

fn serve_forever(port: u16, arguments: &Arguments) -> Result<(), Refused> {
    let socket = system::listen(port)?;
    loop {
        let connection = system::accept(socket)?;
        system::reap();
        match system::fork()? {
            Process::Parent => system::close(connection),
            Process::Child => {
                system::take_as_standard(connection)?;
                system::close(connection);
                if let (_, _, Some(program)) = arguments.words() {
                    system::execute(program, arguments.environment());
                }
                return Err(Refused);
            }
        }
    }
}
