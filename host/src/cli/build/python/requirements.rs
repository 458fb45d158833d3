//! What an app depends on: the packages of its `requirements.txt`, pure Python only.

use std::path::{Path, PathBuf};

use tokio::process::Command;

use super::run;
use crate::cli::build::progress::Progress;
use crate::cli::build::tools;

/// The version of Python inside components.
const PYTHON: &str = "3.14";

/// Packages whose place the SDK takes.
const PROVIDED: [&str; 3] = ["azure-functions", "azure-functions-durable", "durawasm"];

/// A folder with the packages that an app depends on, for componentize-py to find as a virtual environment.
pub(super) async fn install(app: &Path, venv: &Path, progress: &Progress) -> Result<PathBuf, String> {
    let file = app.join("requirements.txt");
    let text = match tokio::fs::read_to_string(&file).await {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        read => read.map_err(|error| format!("cannot read {}: {error}", file.display()))?,
    };
    let wanted = wanted(&text);
    // Relative paths in the file make the folder count, and what they name.
    let (place, named) = (app.to_string_lossy(), named(app, &wanted));
    let mut inputs = if wanted.is_empty() { vec![""] } else { vec![wanted.as_str(), &place] };
    inputs.extend(named.iter().map(String::as_str));
    tools::folder("python-packages", &inputs, async |folder| {
        let packages = folder.join("lib/site-packages");
        tools::create(&packages)?;
        if wanted.is_empty() {
            return Ok(());
        }
        progress.step("installing the packages of requirements.txt ...");
        let list = folder.join("requirements.txt");
        std::fs::write(&list, &wanted).map_err(|error| format!("{}: {error}", list.display()))?;
        let mut pip = Command::new(venv.join("bin/python"));
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target"]).arg(&packages);
        pip.args(["--only-binary", ":all:", "--implementation", "py", "--abi", "none", "--platform", "any"]);
        pip.args(["--python-version", PYTHON, "--requirement"]).arg(&list).current_dir(app);
        run(&mut pip, "A component takes packages in pure Python only: those with a wheel that ends in none-any.whl.")
            .await
            .map(drop)
            .map_err(|error| format!("requirements.txt: {error}"))
    })
    .await
}

/// The lines that say something, without those that name what the SDK provides.
fn wanted(text: &str) -> String {
    let says = |line: &&str| !line.is_empty() && !line.starts_with('#');
    let name = |line: &str| {
        let end = line.find(|c: char| !c.is_ascii_alphanumeric() && !"-_.".contains(c)).unwrap_or(line.len());
        line[..end].to_ascii_lowercase().replace(['_', '.'], "-")
    };
    let lines = text.lines().map(str::trim).filter(says).filter(|line| !PROVIDED.contains(&&*name(line)));
    lines.map(|line| format!("{line}\n")).collect()
}

/// How deep files that name further ones are followed; pip says what is wrong with those that name themselves.
const DEPTH: usize = 8;

/// The texts of the files that the lines name with `-r` and `-c`, and of those that these name.
fn named(folder: &Path, lines: &str) -> Vec<String> {
    let mut texts = Vec::new();
    let mut open = vec![(folder.to_owned(), lines.to_owned(), 0)];
    while let Some((folder, lines, depth)) = open.pop() {
        for line in lines.lines().map(str::trim) {
            let flags = ["--requirement", "--constraint", "-r", "-c"];
            let Some(rest) = flags.iter().find_map(|flag| line.strip_prefix(flag)) else { continue };
            let file = folder.join(rest.trim_start_matches(['=', ' ']).trim());
            // One that is not there is for pip to complain about.
            let Ok(text) = std::fs::read_to_string(&file) else { continue };
            texts.push(text.clone());
            if depth < DEPTH {
                open.push((file.parent().unwrap_or(&folder).to_owned(), text, depth + 1));
            }
        }
    }
    texts
}

#[cfg(test)]
mod tests {
    use super::{named, wanted};

    #[test]
    fn files_that_are_named_count() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("more.txt"), "idna==3.10\n-c limits.txt\n").unwrap();
        std::fs::write(folder.path().join("limits.txt"), "idna<4\n").unwrap();
        let texts = named(folder.path(), "-r more.txt\n-r missing.txt\nsix\n");
        assert_eq!(texts, ["idna==3.10\n-c limits.txt\n", "idna<4\n"]);
        std::fs::write(folder.path().join("loop.txt"), "-r loop.txt\n").unwrap();
        assert_eq!(named(folder.path(), "--requirement=loop.txt").len(), 9);
    }

    #[test]
    fn what_the_sdk_provides_is_left_out() {
        let text =
            "# DO NOT include azure-functions-worker\nazure-functions\nazure_functions_durable>=1.2\n\nidna==3.10\n";
        assert_eq!(wanted(text), "idna==3.10\n");
        assert_eq!(wanted("durawasm[x]; python_version > '3'\n-r more.txt"), "-r more.txt\n");
    }
}
