// SPDX-License-Identifier: MIT OR Apache-2.0

/// The maximum number of names in an error message.
const LIMIT: usize = 5;

/// The least similarity of a misspelt name, from 0 to 1.
const LEAST: f64 = 0.85;

/// Returns the names that contain `wanted` or are spelt like it, the most similar one first.
pub(super) fn similar<'a>(wanted: &str, names: impl Iterator<Item = &'a String>) -> Vec<String> {
    let mut found: Vec<(f64, &String)> = names
        .map(|name| (strsim::jaro_winkler(wanted, name), name))
        .filter(|(score, name)| *score >= LEAST || name.contains(wanted))
        .collect();
    found.sort_by(|one, other| other.0.total_cmp(&one.0).then(one.1.cmp(other.1)));
    found.dedup_by_key(|(_, name)| *name);
    found.truncate(LIMIT);
    found.into_iter().map(|(_, name)| name.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misspelt_and_shortened_names_are_found() {
        let names = ["squashfs", "virtio_blk", "virtio_mmio", "nvme", "nvme"].map(String::from);
        let found = |wanted| similar(wanted, names.iter());
        assert_eq!(found("squasfs"), ["squashfs"]);
        assert_eq!(found("blk"), ["virtio_blk"]);
        assert_eq!(found("nvme_"), ["nvme"]);
        assert_eq!(found("virtio"), ["virtio_blk", "virtio_mmio"]);
        assert_eq!(found("zram"), Vec::<String>::new());
    }
}
