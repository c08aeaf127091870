//! How many calls at once: additive increase, multiplicative decrease.

use std::time::Duration;

/// The window of calls under way. It knows no clock: the time is handed in.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Window {
    size: f64,
    most: f64,
    under_way: usize,
    /// Nobody begins before this time.
    quiet_until: Duration,
    /// Calls that began before this time have been answered for already.
    shrunk_at: Duration,
}

impl Window {
    /// Fully open, for at most `most` calls at once.
    pub(super) fn new(most: usize) -> Self {
        Self {
            size: most.max(1) as f64,
            most: most.max(1) as f64,
            under_way: 0,
            quiet_until: Duration::ZERO,
            shrunk_at: Duration::ZERO,
        }
    }

    /// Begins a call if there is room for it at this time.
    pub(super) fn begin(&mut self, now: Duration) -> bool {
        let room = now >= self.quiet_until && (self.under_way as f64) < self.size.floor();
        self.under_way += usize::from(room);
        room
    }

    /// A call was answered: one more at once after a whole window of such answers.
    pub(super) fn answered(&mut self) {
        self.under_way = self.under_way.saturating_sub(1);
        self.size = (self.size + 1.0 / self.size).min(self.most);
    }

    /// A call failed in a way that says nothing about how busy the other side is.
    pub(super) fn failed(&mut self) {
        self.under_way = self.under_way.saturating_sub(1);
    }

    /// A call that began at `began` was refused because there were too many: half as many at once, and a pause where
    /// one is asked for. Calls of the same burst halve it once.
    pub(super) fn throttled(&mut self, began: Duration, now: Duration, wait: Option<Duration>) {
        self.under_way = self.under_way.saturating_sub(1);
        if began >= self.shrunk_at {
            self.size = (self.size / 2.0).max(1.0);
            self.shrunk_at = now;
        }
        if let Some(wait) = wait {
            self.quiet_until = self.quiet_until.max(now.saturating_add(wait));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn room(window: &mut Window, now: Duration) -> usize {
        let begun = (0..100).take_while(|_| window.begin(now)).count();
        (0..begun).for_each(|_| window.failed());
        begun
    }

    #[test]
    fn a_burst_of_refusals_halves_once_and_answers_add_one_a_window() {
        let mut window = Window::new(8);
        assert_eq!(room(&mut window, at(0)), 8);
        (0..8).for_each(|_| assert!(window.begin(at(0))));
        (0..8).for_each(|_| window.throttled(at(0), at(10), None));
        assert_eq!(room(&mut window, at(10)), 4);
        // One window of four answers makes it five; never more than at the beginning.
        for expected in [5, 6, 7, 8, 8] {
            while room(&mut window, at(20)) < expected {
                assert!(window.begin(at(20)));
                window.answered();
            }
        }
        for expected in [4, 2, 1, 1] {
            assert!(window.begin(at(100 - expected as u64)));
            window.throttled(at(100), at(100), None);
            assert_eq!(room(&mut window, at(100)), expected);
        }
    }

    #[test]
    fn a_wish_for_quiet_is_kept() {
        let mut window = Window::new(2);
        assert!(window.begin(at(0)));
        window.throttled(at(0), at(5), Some(at(100)));
        assert!(!window.begin(at(104)));
        assert!(window.begin(at(105)));
    }
}
