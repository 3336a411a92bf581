// SPDX-License-Identifier: MIT OR Apache-2.0

//! Power cuts in environments that another writer left bytes in behind the end mark.

use little_loader::env::{Copy, Env, EnvMut, Format};
use little_loader::policy::decide;
use little_loader::recover;
use little_loader::slot::Variables;
use little_loader::update::Storage;

/// Bytes of another writer behind the end mark (a shortened environment), and cuts in the order in which the sectors of the
/// added variable are written: each state is repaired to the one before or after the write. A disk that writes the tail
/// before the first sector destroys bytes that nobody else knows; that cannot be repaired.
#[test]
fn a_variable_added_before_stale_bytes_survives_a_cut() {
    let mut cuts = 0;
    for length in 380..1000 {
        let filler = "x".repeat(length);
        let mut old = vec![0; 4096];
        let mut env = EnvMut::clear(&mut old, Format::Single).unwrap();
        for (name, value) in [
            ("nerves_fw_active", "a"),
            ("upgrade_available", "1"),
            ("filler", &filler),
        ] {
            env.set(name, value.as_bytes()).unwrap();
        }
        env.seal();
        let used = 4 + Env::parse(&old, Format::Single).unwrap().used();
        old[used..used + 30].copy_from_slice(b"serial=0123456789abcdef012345\0");
        let crc = crc32fast::hash(&old[4..]);
        old[..4].copy_from_slice(&crc.to_le_bytes());

        let plan = decide(&Variables::gather(
            &Env::parse(&old, Format::Single).unwrap(),
        ));
        let changes = plan.attempts().next().unwrap().changes.unwrap();
        let mut writes = Writes::default();
        let mut new = old.clone();
        let (mut block, _) = recover::single::<()>(&mut new).unwrap();
        block.record(&changes, &mut writes).unwrap();
        for cut in 1..writes.0.len() {
            let mut torn = old.clone();
            for (sector, bytes) in &writes.0[..cut] {
                torn[sector * 512..][..bytes.len()].copy_from_slice(bytes);
            }
            recover::single::<()>(&mut torn)
                .unwrap_or_else(|error| panic!("filler of {length}, cut after {cut}: {error}"));
            assert!(torn == new, "filler of {length}, cut after {cut}");
            cuts += 1;
        }
    }
    assert!(cuts > 500, "{cuts}");
}

/// The writes in their order: first sector and bytes.
#[derive(Default)]
struct Writes(Vec<(usize, Vec<u8>)>);

impl Storage for Writes {
    type Error = ();

    fn write(&mut self, _: Copy, first: usize, bytes: &[u8]) -> Result<(), ()> {
        self.0.extend(
            bytes
                .chunks(512)
                .enumerate()
                .map(|(index, sector)| (first + index, sector.to_vec())),
        );
        Ok(())
    }

    fn flush(&mut self) -> Result<(), ()> {
        Ok(())
    }
}
