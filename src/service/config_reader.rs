//! Reads the configuration for a reload, in a thread of its own: to resolve its paths can take
//! long, and the daemon's own thread must never wait.

use std::io;
use std::path::PathBuf;
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::config::{Config, ConfigError};
use crate::text::os_message::thread_error;

/// What reading the configuration returns.
pub(super) type ReadConfig = Result<Box<Config>, ConfigError>;

/// Reads the configuration when it is asked to.
pub(super) struct ConfigReader<R> {
    path: PathBuf,
    read: R,
    results_tx: Sender<ReadConfig>,
    results: Receiver<ReadConfig>,
    is_reading: bool,
    /// Whether it was asked again meanwhile, so that the result may be out of date.
    is_asked_again: bool,
}

impl<R> ConfigReader<R>
where
    R: Fn(&std::path::Path) -> Result<Config, ConfigError> + Clone + Send + 'static,
{
    pub(super) fn new(path: PathBuf, read: R) -> Self {
        let (results_tx, results) = bounded(1);
        ConfigReader { path, read, results_tx, results, is_reading: false, is_asked_again: false }
    }

    /// Starts to read the configuration, or has it read again if that is under way.
    ///
    /// # Errors
    ///
    /// Returns an error if no thread can be started.
    pub(super) fn request(&mut self) -> io::Result<()> {
        if self.is_reading {
            self.is_asked_again = true;
            return Ok(());
        }
        let (path, read, to) = (self.path.clone(), self.read.clone(), self.results_tx.clone());
        let run = move || to.send(read(&path).map(Box::new));
        thread::Builder::new().spawn(run).map_err(thread_error)?;
        self.is_reading = true;
        Ok(())
    }

    /// Returns the channel of the results, each of which goes to [`ConfigReader::take`].
    pub(super) fn results(&self) -> Receiver<ReadConfig> {
        self.results.clone()
    }

    /// Returns a result, unless the configuration must be read again.
    ///
    /// # Errors
    ///
    /// Returns an error if no thread can be started.
    pub(super) fn take(&mut self, result: ReadConfig) -> io::Result<Option<ReadConfig>> {
        self.is_reading = false;
        if !std::mem::take(&mut self.is_asked_again) {
            return Ok(Some(result));
        }
        self.request().map(|()| None)
    }
}
