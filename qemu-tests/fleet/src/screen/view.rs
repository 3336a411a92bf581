// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the person at the live table has chosen to see.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::column::Column;
use crate::model::{Guest, State, Status};

/// The order, the filter and the selected guest of the live table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ViewState {
    /// The column by which the guests are sorted.
    pub sort: Column,
    /// Whether the largest comes first.
    pub descending: bool,
    /// The only state that is shown, or all.
    pub filter: Option<State>,
    /// The number of the selected guest.
    pub selected: Option<u32>,
    /// The position of the first visible guest.
    pub top: usize,
    /// Whether the keys are explained.
    pub help: bool,
    /// Why the figures are not the newest.
    pub stale: Option<String>,
}

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Go on.
    Continue,
    /// Leave the table.
    Quit,
}

impl ViewState {
    /// Returns the guests that pass the filter, sorted.
    #[must_use]
    pub fn order<'a>(&self, status: &'a Status) -> Vec<&'a Guest> {
        let guests = status.guests.iter();
        let mut chosen: Vec<_> = guests
            .filter(|guest| self.filter.is_none_or(|state| guest.state == state))
            .collect();
        chosen.sort_by(|left, right| {
            let order = self.sort.compare(left, right);
            let order = if self.descending {
                order.reverse()
            } else {
                order
            };
            order.then(left.id.cmp(&right.id))
        });
        chosen
    }

    /// Returns the position of the selected guest in `order`.
    #[must_use]
    pub fn position(&self, order: &[&Guest]) -> Option<usize> {
        let selected = self.selected?;
        order.iter().position(|guest| guest.id == selected)
    }

    /// Returns the position of the first visible guest, of `rows` visible ones: at or near
    /// [`Self::top`], so that the selected guest is visible and no row stays empty without need.
    #[must_use]
    pub fn first(&self, order: &[&Guest], rows: usize) -> usize {
        let rows = rows.max(1);
        let top = self.top.min(order.len().saturating_sub(rows));
        match self.position(order) {
            Some(selected) => top.clamp((selected + 1).saturating_sub(rows), selected),
            None => top,
        }
    }

    /// Does what `key` asks for, in a table of `status` with `rows` visible rows.
    pub fn handle(&mut self, key: KeyEvent, status: &Status, rows: usize) -> Answer {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        if self.help {
            self.help = false;
            return match key.code {
                KeyCode::Char('c') if control => Answer::Quit,
                _ => Answer::Continue,
            };
        }
        let page = isize::try_from(rows.max(1)).unwrap_or(isize::MAX);
        match key.code {
            KeyCode::Char('c') if control => return Answer::Quit,
            KeyCode::Char('q') => return Answer::Quit,
            KeyCode::Esc if self.filter.is_none() && self.selected.is_none() => {
                return Answer::Quit;
            }
            KeyCode::Esc => {
                self.filter = None;
                self.selected = None;
            }
            KeyCode::Up | KeyCode::Char('k') => self.step(status, rows, -1),
            KeyCode::Down | KeyCode::Char('j') => self.step(status, rows, 1),
            KeyCode::PageUp => self.step(status, rows, -page),
            KeyCode::PageDown | KeyCode::Char(' ') => self.step(status, rows, page),
            KeyCode::Home | KeyCode::Char('g') => self.step(status, rows, isize::MIN),
            KeyCode::End | KeyCode::Char('G') => self.step(status, rows, isize::MAX),
            KeyCode::Right | KeyCode::Char('s') => self.sort = neighbour(self.sort, 1),
            KeyCode::Left | KeyCode::Char('S') => {
                self.sort = neighbour(self.sort, Column::ALL.len() - 1);
            }
            KeyCode::Char('r') => self.descending = !self.descending,
            KeyCode::Char('f') => self.filter = self.next_filter(status),
            KeyCode::Char('?' | 'h') | KeyCode::F(1) => self.help = true,
            _ => {}
        }
        let order = self.order(status);
        self.top = self.first(&order, rows);
        Answer::Continue
    }

    /// Selects the guest `distance` rows further down. Without a selection, that is the first or the
    /// last visible one.
    fn step(&mut self, status: &Status, rows: usize, distance: isize) {
        let order = self.order(status);
        let first = self.first(&order, rows);
        let target = match self.position(&order) {
            Some(position) => position.saturating_add_signed(distance),
            None if distance == 1 => first,
            None if distance == -1 => first + rows.saturating_sub(1),
            None => first.saturating_add_signed(distance),
        };
        let target = target.min(order.len().saturating_sub(1));
        self.selected = order.get(target).map(|guest| guest.id);
    }

    /// Returns the next state that a guest is in, or none after the last.
    fn next_filter(&self, status: &Status) -> Option<State> {
        let after = State::ALL
            .into_iter()
            .skip_while(|state| self.filter.is_some_and(|filter| *state <= filter));
        after
            .into_iter()
            .find(|state| status.guests.iter().any(|guest| guest.state == *state))
    }
}

/// Returns the column `distance` further to the right, going round at the end.
fn neighbour(column: Column, distance: usize) -> Column {
    let position = Column::ALL.iter().position(|other| *other == column);
    Column::ALL[(position.unwrap_or_default() + distance) % Column::ALL.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fleet(states: &[State]) -> Status {
        let guests = states.iter().zip(1..).map(|(state, id)| Guest {
            id,
            state: *state,
            ..Guest::default()
        });
        Status {
            guests: guests.collect(),
            ..Status::default()
        }
    }

    fn press(view: &mut ViewState, status: &Status, code: KeyCode) -> Answer {
        view.handle(KeyEvent::new(code, KeyModifiers::NONE), status, 10)
    }

    #[test]
    fn the_selection_stays_visible() {
        let status = fleet(&[State::Up; 100]);
        let mut view = ViewState::default();
        for (code, selected, top) in [
            (KeyCode::Down, 1, 0),
            (KeyCode::Down, 2, 0),
            (KeyCode::PageDown, 12, 2),
            (KeyCode::End, 100, 90),
            (KeyCode::Down, 100, 90),
            (KeyCode::Up, 99, 90),
            (KeyCode::PageUp, 89, 88),
            (KeyCode::Home, 1, 0),
            (KeyCode::Up, 1, 0),
        ] {
            press(&mut view, &status, code);
            assert_eq!((view.selected, view.top), (Some(selected), top), "{code:?}");
        }
    }

    #[test]
    fn the_filter_steps_through_the_states_that_occur() {
        let status = fleet(&[State::Up, State::Fatal, State::Up]);
        let mut view = ViewState::default();
        let mut filters = vec![];
        for _ in 0..3 {
            press(&mut view, &status, KeyCode::Char('f'));
            filters.push(view.filter);
        }
        assert_eq!(filters, [Some(State::Up), Some(State::Fatal), None]);
        view.filter = Some(State::Fatal);
        assert_eq!(view.order(&status)[0].id, 2);
        press(&mut view, &status, KeyCode::Esc);
        assert_eq!(view.filter, None);
    }

    #[test]
    fn sorting_goes_through_all_columns_and_turns_round() {
        let status = fleet(&[State::Fatal, State::Up]);
        let mut view = ViewState::default();
        press(&mut view, &status, KeyCode::Char('s'));
        press(&mut view, &status, KeyCode::Right);
        assert_eq!(view.sort, Column::State);
        assert_eq!(view.order(&status)[0].state, State::Up);
        press(&mut view, &status, KeyCode::Char('r'));
        assert_eq!(view.order(&status)[0].state, State::Fatal);
        for _ in 0..3 {
            press(&mut view, &status, KeyCode::Left);
        }
        assert_eq!(view.sort, Column::Message);
    }

    #[test]
    fn keys_quit_and_a_fleet_without_guests_takes_all_keys() {
        let status = Status::default();
        let mut view = ViewState::default();
        for code in [
            KeyCode::Up,
            KeyCode::Down,
            KeyCode::PageDown,
            KeyCode::End,
            KeyCode::Char('f'),
        ] {
            assert_eq!(press(&mut view, &status, code), Answer::Continue);
            assert_eq!(view.selected, None);
        }
        press(&mut view, &status, KeyCode::Char('?'));
        assert!(view.help);
        assert_eq!(
            press(&mut view, &status, KeyCode::Char('q')),
            Answer::Continue
        );
        assert_eq!(press(&mut view, &status, KeyCode::Char('q')), Answer::Quit);
        let control_c = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert_eq!(view.handle(control_c, &status, 10), Answer::Quit);
    }
}
