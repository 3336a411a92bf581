// SPDX-License-Identifier: MIT OR Apache-2.0

//! Covering arrays: few rows that contain every possible combination of any few values.
//!
//! Such an array finds faults that depend on up to three values as well as the full product does
//! (D. R. Kuhn, D. R. Wallace, A. M. Gallo, "Software Fault Interactions and Implications for
//! Software Testing", IEEE Transactions on Software Engineering 30(6), 2004).

/// Returns rows that cover every combination of `strength` values of different axes that occurs in
/// a possible row. Axis `n` has the values 0 to `axes[n] - 1`; `possible` judges whole rows. The
/// result is deterministic.
///
/// The algorithm is greedy: it always chooses the first row with the most uncovered combinations,
/// which gives somewhat more rows than the minimum.
#[must_use]
pub fn cover(
    axes: &[usize],
    strength: usize,
    possible: impl Fn(&[usize]) -> bool,
) -> Vec<Vec<usize>> {
    let rows: Vec<Vec<usize>> = product(axes)
        .into_iter()
        .filter(|row| possible(row))
        .collect();
    let sets = subsets(axes.len(), strength);
    // Each combination has a number; the combinations of one set of axes are numbered
    // consecutively.
    let mut total = 0;
    let mut starts = Vec::with_capacity(sets.len());
    for set in &sets {
        starts.push(total);
        total += set.iter().map(|axis| axes[*axis]).product::<usize>();
    }
    let numbers = |row: &[usize]| -> Vec<usize> {
        let number = |set: &Vec<usize>| {
            set.iter()
                .fold(0, |number, axis| number * axes[*axis] + row[*axis])
        };
        let numbered = sets.iter().zip(&starts);
        numbered.map(|(set, start)| start + number(set)).collect()
    };
    let parts: Vec<Vec<usize>> = rows.iter().map(|row| numbers(row)).collect();

    let mut covered = vec![false; total];
    let mut chosen = Vec::new();
    // A row's count of uncovered combinations never increases, so a row whose last count is not
    // above the best so far need not be counted again.
    let mut counts = vec![usize::MAX; rows.len()];
    loop {
        let mut best = None;
        let mut most = 0;
        for (index, part) in parts.iter().enumerate() {
            if counts[index] <= most {
                continue;
            }
            counts[index] = part.iter().filter(|number| !covered[**number]).count();
            if counts[index] > most {
                most = counts[index];
                best = Some(index);
            }
        }
        let Some(best) = best else { break };
        for number in &parts[best] {
            covered[*number] = true;
        }
        chosen.push(rows[best].clone());
    }
    chosen
}

/// Returns the full product of the axes, the last axis changing fastest.
fn product(axes: &[usize]) -> Vec<Vec<usize>> {
    axes.iter().fold(vec![Vec::new()], |rows, values| {
        rows.iter()
            .flat_map(|row| (0..*values).map(move |value| [row.as_slice(), &[value]].concat()))
            .collect()
    })
}

/// Returns all sets of `size` numbers below `count`, each in ascending order.
fn subsets(count: usize, size: usize) -> Vec<Vec<usize>> {
    (0..size).fold(vec![Vec::new()], |sets, _| {
        sets.iter()
            .flat_map(|set| {
                let next = set.last().map_or(0, |last| last + 1);
                (next..count).map(move |number| [set.as_slice(), &[number]].concat())
            })
            .collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const AXES: [usize; 5] = [2, 6, 3, 2, 5];

    /// Axis 1 at 4 needs axis 0 at 1; axis 2 at 2 rules out axis 4 at 3.
    fn possible(row: &[usize]) -> bool {
        (row[1] != 4 || row[0] == 1) && !(row[2] == 2 && row[4] == 3)
    }

    /// Returns all sets of axes, by another method than [`subsets`].
    fn ascending(size: usize) -> impl Iterator<Item = Vec<usize>> {
        let all = product(&vec![AXES.len(); size]).into_iter();
        all.filter(|set| set.is_sorted_by(|a, b| a < b))
    }

    /// Whether one of `rows` has these values.
    fn has(rows: &[Vec<usize>], values: &[(usize, usize)]) -> bool {
        rows.iter()
            .any(|row| values.iter().all(|(axis, value)| row[*axis] == *value))
    }

    #[test]
    fn every_possible_three_values_occur_and_no_impossible_row_does() {
        let all: Vec<_> = product(&AXES)
            .into_iter()
            .filter(|row| possible(row))
            .collect();
        let rows = cover(&AXES, 3, possible);
        let mut triples = 0;
        for set in ascending(3) {
            for values in product(&[AXES[set[0]], AXES[set[1]], AXES[set[2]]]) {
                let triple: Vec<_> = set.iter().copied().zip(values).collect();
                assert_eq!(has(&rows, &triple), has(&all, &triple), "{triple:?}");
                triples += 1;
            }
        }
        assert_eq!(triples, 36 + 24 + 60 + 12 + 30 + 20 + 36 + 90 + 60 + 30);
        assert!(rows.iter().all(|row| possible(row)));
        // Three axes need at least 6 * 3 * 5 rows, minus the impossible ones.
        assert!((84..110).contains(&rows.len()), "{}", rows.len());
        assert!(rows.len() < all.len() / 2);
    }

    #[test]
    fn pairs_need_few_rows() {
        let rows = cover(&AXES, 2, |_| true);
        for set in ascending(2) {
            for values in product(&[AXES[set[0]], AXES[set[1]]]) {
                assert!(has(&rows, &[(set[0], values[0]), (set[1], values[1])]));
            }
        }
        assert!((30..36).contains(&rows.len()), "{}", rows.len());
    }

    #[test]
    fn a_part_that_can_be_in_no_row_is_not_missed() {
        assert_eq!(cover(&[2, 2], 2, |row| row[0] == 0), [[0, 0], [0, 1]]);
        assert_eq!(cover(&[2, 2], 2, |_| false), [[0; 0]; 0]);
    }
}
