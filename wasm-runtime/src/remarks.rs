//! What was refused to a container's guests, for whoever looks for the reason of its failure.

use parking_lot::Mutex;

use crate::log_file::LogFile;

/// The refusals of one container.
pub(crate) struct Remarks {
    log: LogFile,
    last: Mutex<Option<String>>,
}

impl Remarks {
    /// Nothing was refused yet; what will be, is said in `log`.
    pub(crate) fn new(log: LogFile) -> Self {
        Self { log, last: Mutex::default() }
    }

    /// Something was refused; what is refused again and again is said once.
    pub(crate) fn refused(&self, text: &str) {
        let mut last = self.last.lock();
        if last.as_deref() != Some(text) {
            self.log.say(text);
            *last = Some(text.to_owned());
        }
    }

    /// What was refused last.
    pub(crate) fn last(&self) -> Option<String> {
        self.last.lock().clone()
    }
}
