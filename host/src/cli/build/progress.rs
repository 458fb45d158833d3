//! What people see while something is built.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};

use crate::cli::show;

/// A line that says what goes on; on a terminal it moves.
pub(super) struct Progress {
    app: String,
    spinner: ProgressBar,
    started: Instant,
}

impl Progress {
    pub(super) fn begin(app: &str) -> Self {
        let spinner = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{spinner} {prefix} {wide_msg} {elapsed}") {
            spinner.set_style(style);
        }
        spinner.set_prefix(format!("building {app}"));
        spinner.enable_steady_tick(Duration::from_millis(100));
        if spinner.is_hidden() {
            show::note(&format!("building {app} ..."));
        }
        Self { app: app.to_owned(), spinner, started: Instant::now() }
    }

    pub(super) fn end(&self, built: bool) {
        self.spinner.finish_and_clear();
        if built {
            show::note(&format!("built {} in {:.1} s", self.app, self.started.elapsed().as_secs_f64()));
        }
    }

    /// What goes on right now: the next one takes its place.
    pub(super) fn now(&self, text: &str) {
        self.spinner.set_message(text.to_owned());
    }

    /// A step that takes long and is worth knowing where nothing moves.
    pub(super) fn step(&self, text: &str) {
        self.now(text);
        if self.spinner.is_hidden() {
            show::note(&format!("{}: {text}", self.app));
        }
    }

    /// Something to read, which stays.
    pub(super) fn note(&self, text: &str) {
        self.spinner.suspend(|| show::note(text));
    }

    /// Reads a tool's output: lines that `is_progress` takes for passing are shown as such, all others stay.
    pub(super) async fn follow(&self, output: Option<impl AsyncRead + Unpin>, is_progress: impl Fn(&str) -> bool) {
        let Some(output) = output else { return };
        let mut lines = BufReader::new(output).lines();
        // A line that is not text ends the show, not the build.
        while let Ok(Some(line)) = lines.next_line().await {
            let plain = without_colours(&line);
            if is_progress(plain.trim()) {
                self.now(plain.trim());
            } else {
                self.note(&line);
            }
        }
    }
}

/// Text without the escape sequences of colours.
fn without_colours(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut escaped = false;
    for c in text.chars() {
        match (escaped, c) {
            (false, '\u{1b}') => escaped = true,
            (true, 'm') => escaped = false,
            (false, c) => plain.push(c),
            (true, _) => {}
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_go() {
        assert_eq!(without_colours("\u{1b}[1m\u{1b}[92m   Compiling\u{1b}[0m x"), "   Compiling x");
    }
}
