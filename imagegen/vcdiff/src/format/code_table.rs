// SPDX-License-Identifier: MIT OR Apache-2.0

//! The default code table (RFC 3284, section 5.6): what each instruction code stands for.

/// The smallest copy that has codes of its own.
const SMALLEST_COPY: u64 = 4;
/// The first code of `COPY`. Each mode has 16.
const COPY_CODES: u64 = 19;
/// The first code of `ADD` and `COPY`, modes 0 to 5.
const ADD_COPY_CODES: u64 = 163;
/// The first code of `ADD` and `COPY`, modes 6 to 8.
const ADD_COPY_SAME_CODES: u64 = 235;
/// The first code of `COPY` and `ADD`.
const COPY_ADD_CODES: u64 = 247;

/// What an instruction does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    /// Nothing.
    Nothing,
    /// Appends bytes of the data section.
    Add,
    /// Repeats a byte of the data section.
    Run,
    /// Copies from the source segment or the target window. Holds the mode of the address.
    Copy(u8),
}

/// One of the two instructions of a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Instruction {
    pub(crate) operation: Operation,
    /// The size in bytes, or 0 when the size follows the code.
    pub(crate) size: u8,
}

impl Instruction {
    const NOTHING: Self = Self::new(Operation::Nothing, 0);

    const fn new(operation: Operation, size: u8) -> Self {
        Self { operation, size }
    }
}

/// The default code table.
pub(crate) static CODE_TABLE: [[Instruction; 2]; 256] = code_table();

const fn code_table() -> [[Instruction; 2]; 256] {
    use Operation::{Add, Copy, Run};

    let mut table = [[Instruction::NOTHING; 2]; 256];
    table[0][0] = Instruction::new(Run, 0);
    let mut code = 1;
    let mut size = 0;
    while size <= 17 {
        table[code][0] = Instruction::new(Add, size);
        code += 1;
        size += 1;
    }
    let mut mode = 0;
    while mode < 9 {
        table[code][0] = Instruction::new(Copy(mode), 0);
        code += 1;
        size = 4;
        while size <= 18 {
            table[code][0] = Instruction::new(Copy(mode), size);
            code += 1;
            size += 1;
        }
        mode += 1;
    }
    mode = 0;
    while mode < 9 {
        let longest = if mode < 6 { 6 } else { 4 };
        let mut add = 1;
        while add <= 4 {
            size = 4;
            while size <= longest {
                table[code] = [
                    Instruction::new(Add, add),
                    Instruction::new(Copy(mode), size),
                ];
                code += 1;
                size += 1;
            }
            add += 1;
        }
        mode += 1;
    }
    mode = 0;
    while mode < 9 {
        table[code] = [Instruction::new(Copy(mode), 4), Instruction::new(Add, 1)];
        code += 1;
        mode += 1;
    }
    table
}

/// The code of one instruction, and whether its size follows.
pub(crate) fn single_code(operation: Operation, size: u64) -> (u8, bool) {
    match operation {
        Operation::Nothing | Operation::Run => (0, true),
        Operation::Add if (1..=17).contains(&size) => (1 + size as u8, false),
        Operation::Add => (1, true),
        Operation::Copy(mode) => {
            let first = COPY_CODES as u8 + 16 * mode;
            if (SMALLEST_COPY..=18).contains(&size) {
                (first + size as u8 - 3, false)
            } else {
                (first, true)
            }
        }
    }
}

/// The code that stands for two instructions, if there is one.
pub(crate) fn double_code(first: (Operation, u64), second: (Operation, u64)) -> Option<u8> {
    let code = match (first, second) {
        ((Operation::Add, add @ 1..=4), (Operation::Copy(mode @ ..=5), copy @ 4..=6)) => {
            ADD_COPY_CODES + u64::from(mode) * 12 + (add - 1) * 3 + (copy - SMALLEST_COPY)
        }
        ((Operation::Add, add @ 1..=4), (Operation::Copy(mode), SMALLEST_COPY)) => {
            ADD_COPY_SAME_CODES + (u64::from(mode) - 6) * 4 + (add - 1)
        }
        ((Operation::Copy(mode), SMALLEST_COPY), (Operation::Add, 1)) => {
            COPY_ADD_CODES + u64::from(mode)
        }
        _ => return None,
    };
    Some(code as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_the_entries_of_the_rfc() {
        let copy = |mode, size| Instruction::new(Operation::Copy(mode), size);
        let add = |size| Instruction::new(Operation::Add, size);
        let nothing = Instruction::NOTHING;
        for (code, entry) in [
            (0, [Instruction::new(Operation::Run, 0), nothing]),
            (1, [add(0), nothing]),
            (18, [add(17), nothing]),
            (19, [copy(0, 0), nothing]),
            (20, [copy(0, 4), nothing]),
            (34, [copy(0, 18), nothing]),
            (35, [copy(1, 0), nothing]),
            (162, [copy(8, 18), nothing]),
            (163, [add(1), copy(0, 4)]),
            (174, [add(4), copy(0, 6)]),
            (175, [add(1), copy(1, 4)]),
            (234, [add(4), copy(5, 6)]),
            (235, [add(1), copy(6, 4)]),
            (246, [add(4), copy(8, 4)]),
            (247, [copy(0, 4), add(1)]),
            (255, [copy(8, 4), add(1)]),
        ] {
            assert_eq!(CODE_TABLE[code], entry, "{code}");
        }
    }

    #[test]
    fn the_code_of_each_entry_is_found() {
        for (code, [first, second]) in CODE_TABLE.iter().enumerate() {
            let size = |instruction: &Instruction| u64::from(instruction.size);
            if second.operation == Operation::Nothing {
                let follows = first.size == 0;
                let found = single_code(first.operation, size(first));
                assert_eq!(found, (code as u8, follows));
            } else {
                let first = (first.operation, size(first));
                let second = (second.operation, size(second));
                assert_eq!(double_code(first, second), Some(code as u8));
            }
        }
    }
}
