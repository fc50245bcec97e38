//! How far a subscription has been told: events are taken in the feed's order and end in any, and
//! the cursor follows the first that has not ended.

use std::collections::VecDeque;

use crate::store::feed::Place;

/// What was read of the feed and has not ended.
#[derive(Debug)]
pub struct Window {
    /// All up to here has ended.
    cursor: Place,
    open: VecDeque<(Place, bool)>,
}

impl Window {
    /// Nothing is open behind this place.
    pub fn new(cursor: Place) -> Self {
        Self {
            cursor,
            open: VecDeque::new(),
        }
    }

    /// An event that stands behind all before it.
    pub fn open(&mut self, place: Place) {
        self.open.push_back((place, false));
    }

    /// It was delivered, or is kept elsewhere from now on.
    pub fn end(&mut self, place: Place) {
        if let Ok(at) = self.open.binary_search_by_key(&place, |(open, _)| *open) {
            self.open[at].1 = true;
        }
        while let Some((place, true)) = self.open.front() {
            self.cursor = *place;
            self.open.pop_front();
        }
    }

    /// Forgets what has not ended: it is read again from the place that this returns.
    pub fn close(&mut self) -> Place {
        self.open.clear();
        self.cursor
    }

    /// All up to here has ended, where the feed has been read up to `read`.
    pub fn cursor(&mut self, read: Place) -> Place {
        if self.open.is_empty() {
            self.cursor = self.cursor.max(read);
        }
        self.cursor
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(n: u8) -> Place {
        let mut bytes = [0; 24];
        bytes[7] = n;
        Place::from_bytes(bytes)
    }

    #[test]
    fn the_cursor_stands_before_the_first_event_that_has_not_ended() {
        let mut window = Window::new(place(1));
        assert_eq!(window.cursor(place(2)), place(2));
        for n in [3, 5, 7] {
            window.open(place(n));
        }
        window.end(place(5));
        assert_eq!(window.cursor(place(9)), place(2));
        window.end(place(3));
        assert_eq!(window.cursor(place(9)), place(5));
        window.end(place(7));
        assert_eq!(window.cursor(place(9)), place(9));
        assert_eq!(window.cursor(place(8)), place(9), "it never goes back");
    }
}
