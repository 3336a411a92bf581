// SPDX-License-Identifier: MIT OR Apache-2.0

//! The effect of an instruction, from its operands and the registers before it.

use super::event::Action;
use super::instruction::{Access, Base, Instruction, Offset};
use super::log::State;

/// Returns the effect of an instruction, `None` if it is not known.
pub(super) fn effect(instruction: Instruction, state: &State) -> Option<Action> {
    Some(match instruction {
        Instruction::Access(access) => accessed(access, state),
        Instruction::DataCache(operation, register) => Action::DataCache {
            address: state.register(register),
            operation,
        },
        Instruction::InvalidateInstructions => Action::InvalidateInstructions,
        Instruction::InvalidateTranslations => Action::InvalidateTranslations,
        Instruction::Barrier(barrier) => Action::Barrier(barrier),
        Instruction::Synchronize => Action::Synchronize,
        Instruction::ChangeLevel => Action::ChangeLevel,
        Instruction::WriteRegister(register, from) => Action::WriteRegister {
            register,
            value: state.register(from),
        },
        Instruction::Unknown => return None,
    })
}

/// Returns the effect of a load or store.
fn accessed(access: Access, state: &State) -> Action {
    let base = match access.base {
        Base::Register(number) => state.base(number),
        Base::Here => state.at,
    };
    let offset = match access.offset {
        Offset::Bytes(bytes) => bytes as u64,
        Offset::Register {
            index,
            option,
            shift,
        } => extended(state.register(index), option) << shift,
    };
    let address = base.wrapping_add(offset);
    let size = 1 << access.size;
    let length = if access.second.is_some() {
        2 * size
    } else {
        size
    };
    if access.is_load {
        return Action::Load {
            address,
            length: length as u8,
            is_acquire: access.is_ordered,
        };
    }
    let mut bytes = [0; 16];
    let values = [Some(access.first), access.second];
    for (register, place) in values.into_iter().flatten().zip(bytes.chunks_mut(size)) {
        place.copy_from_slice(&state.register(register).to_le_bytes()[..size]);
    }
    Action::Store {
        address,
        length: length as u8,
        bytes,
        is_release: access.is_ordered,
    }
}

/// Extends an index as UXTW (2), LSL (3), SXTW (6) or SXTX (7) does.
fn extended(value: u64, option: u8) -> u64 {
    match option {
        2 => u64::from(value as u32),
        6 => i64::from(value as i32) as u64,
        _ => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indices_are_extended() {
        assert_eq!(extended(0xffff_ffff_8000_0000, 2), 0x8000_0000);
        assert_eq!(extended(0x8000_0000, 6), 0xffff_ffff_8000_0000);
        assert_eq!(extended(0xffff_ffff_8000_0000, 3), 0xffff_ffff_8000_0000);
    }
}
