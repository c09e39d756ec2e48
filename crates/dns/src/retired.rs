//! Views that are served no more, kept until nobody reads them.
//!
//! A thread that answers holds a view for one batch. Were it the last to hold it, it would free the whole view between
//! two queries, and two publications within one batch are enough for that. So the publisher keeps each view it
//! replaced, and frees at a later publication those that it alone holds.
//!
//! Invariant: while at most [`MAX_RETIRED`] views are held by readers, none of them frees one. The newest is kept in
//! any case. What is not decided here: when a view is replaced.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

/// The most views that are kept: each reader holds one, so this is more than there are threads of UDP (64).
pub(crate) const MAX_RETIRED: usize = 256;

/// The views that were replaced, the oldest first.
#[derive(Debug)]
pub(crate) struct Retired<T>(Mutex<VecDeque<Arc<T>>>);

impl<T> Default for Retired<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> Retired<T> {
    /// Keeps a view that no reader can find from here on, and frees in this thread those that no reader holds.
    pub(crate) fn keep(&self, view: Arc<T>) {
        // Freed when the lock is let go: another publisher need not wait for that.
        let mut freed = Vec::new();
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let unread;
        (unread, *kept) = kept.drain(..).partition(|view| Arc::strong_count(view) == 1);
        freed.extend(unread);
        kept.push_back(view);
        if kept.len() > MAX_RETIRED {
            freed.extend(kept.pop_front());
        }
        drop(kept);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_kept_within_the_bound() {
        let retired = Retired::default();
        let read: Vec<Arc<usize>> = (0..=MAX_RETIRED + 1).map(Arc::new).collect();
        for view in &read {
            retired.keep(Arc::clone(view));
        }
        let kept = read.iter().filter(|view| Arc::strong_count(view) == 2).count();
        assert_eq!(kept, MAX_RETIRED);
        assert_eq!(Arc::strong_count(&read[0]), 1, "the oldest goes first");
        let last = read.last().map(Arc::downgrade).expect("there are some");
        drop(read);
        retired.keep(Arc::new(0));
        assert_eq!(last.strong_count(), 0, "and what nobody reads at the next occasion");
    }
}
