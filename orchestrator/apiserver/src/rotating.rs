//! Certificates and what else is replaced while the server runs.
//!
//! Whoever starts the server puts new ones into a channel; they count from the next connection on, and connections that
//! are there stay.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;
use tokio::sync::watch;
use wherry_api::clock::Clock;

/// Something that may be replaced by another.
#[derive(Debug, Clone)]
pub struct Rotating<T>(watch::Receiver<T>);

impl<T> From<watch::Receiver<T>> for Rotating<T> {
    fn from(channel: watch::Receiver<T>) -> Self {
        Self(channel)
    }
}

impl<T> Rotating<T> {
    /// Something that nobody replaces.
    pub fn fixed(value: T) -> Self {
        Self(watch::channel(value).1)
    }

    /// As it is now; later calls to [`Rotating::changed`] tell whether it was replaced.
    pub(crate) fn take(&mut self) -> watch::Ref<'_, T> {
        self.0.borrow_and_update()
    }

    /// Whether it was replaced since it was taken.
    pub(crate) fn changed(&self) -> bool {
        self.0.has_changed().unwrap_or(false)
    }
}

/// What is made of something that may be replaced; made again when it was.
pub(crate) struct Derived<T, U> {
    current: Mutex<(Rotating<T>, U)>,
    make: Box<dyn Fn(&T) -> U + Send + Sync>,
}

impl<T, U: Clone> Derived<T, U> {
    pub(crate) fn new(mut of: Rotating<T>, make: impl Fn(&T) -> U + Send + Sync + 'static) -> Self {
        let made = make(&of.take());
        Self { current: Mutex::new((of, made)), make: Box::new(make) }
    }

    /// What is made of what there is now.
    pub(crate) fn get(&self) -> U {
        let mut current = self.current.lock();
        let (of, made) = &mut *current;
        if of.changed() {
            *made = (self.make)(&of.take());
        }
        made.clone()
    }
}

/// The time as TLS asks for it.
pub(crate) struct TlsTime(Arc<dyn Clock>);

impl TlsTime {
    pub(crate) fn of(clock: &Arc<dyn Clock>) -> Arc<dyn TimeProvider> {
        Arc::new(Self(Arc::clone(clock)))
    }
}

impl fmt::Debug for TlsTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.now().fmt(f)
    }
}

impl TimeProvider for TlsTime {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = u64::try_from(self.0.now().as_second()).ok()?;
        Some(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_is_made_again_when_its_source_was_replaced_and_only_then() {
        let (sender, receiver) = watch::channel(1);
        let count = Arc::new(Mutex::new(0));
        let counted = Arc::clone(&count);
        let made = Derived::new(Rotating::from(receiver), move |number: &i32| {
            *counted.lock() += 1;
            number * 10
        });
        assert_eq!((made.get(), made.get(), *count.lock()), (10, 10, 1));
        sender.send_replace(2);
        assert_eq!((made.get(), made.get(), *count.lock()), (20, 20, 2));
        drop(sender);
        assert_eq!((made.get(), *count.lock()), (20, 2));
    }
}
