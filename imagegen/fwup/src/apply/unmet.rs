// SPDX-License-Identifier: MIT OR Apache-2.0

//! The reasons why tasks with the right name are not applied.

use std::collections::BTreeMap;

/// The requirement because of which a task is not applied: the first that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnmetRequirement {
    /// The task's name.
    pub task: String,
    /// The requirement, as in a configuration.
    pub requirement: String,
    /// What was found instead.
    pub reason: UnmetReason,
}

/// Why a requirement does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnmetReason {
    /// What was found, for example "it is 'b'".
    Found(String),
    /// No requirement on this environment holds, because it is damaged: the error.
    Environment(String),
}

/// Explains why no task applies: a line for each task, and a single one for all tasks that need the
/// same damaged environment. The order is that of the tasks.
#[must_use]
pub fn explain(unmet: &[UnmetRequirement]) -> Vec<String> {
    let mut tasks = BTreeMap::<_, Vec<_>>::new();
    for unmet in unmet {
        if let UnmetReason::Environment(error) = &unmet.reason {
            let task = format!("'{}'", unmet.task);
            tasks.entry(error).or_default().push(task);
        }
    }
    unmet
        .iter()
        .filter_map(|unmet| match &unmet.reason {
            UnmetReason::Found(found) => Some(format!(
                "task '{}': {} is not met: {found}",
                unmet.task, unmet.requirement
            )),
            UnmetReason::Environment(error) => {
                let tasks = tasks.remove(error)?;
                let noun = if tasks.len() == 1 { "task" } else { "tasks" };
                Some(format!("{noun} {}: {error}", tasks.join(", ")))
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_environment_is_explained_once() {
        let unmet = |task: &str, reason| UnmetRequirement {
            task: task.to_owned(),
            requirement: "require-x(1)".to_owned(),
            reason,
        };
        let damaged = || UnmetReason::Environment("the environment is damaged".to_owned());
        let reasons = [
            unmet("up.a", damaged()),
            unmet("up.b", UnmetReason::Found("it is 2".to_owned())),
            unmet("up.c", damaged()),
        ];
        assert_eq!(
            explain(&reasons),
            [
                "tasks 'up.a', 'up.c': the environment is damaged",
                "task 'up.b': require-x(1) is not met: it is 2"
            ]
        );
        assert_eq!(
            explain(&reasons[..1]),
            ["task 'up.a': the environment is damaged"]
        );
    }
}
