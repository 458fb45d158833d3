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
    // Relative paths in the file make the folder count.
    let place = app.to_string_lossy();
    let inputs = if wanted.is_empty() { vec![""] } else { vec![wanted.as_str(), &place] };
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

#[cfg(test)]
mod tests {
    use super::wanted;

    #[test]
    fn what_the_sdk_provides_is_left_out() {
        let text =
            "# DO NOT include azure-functions-worker\nazure-functions\nazure_functions_durable>=1.2\n\nidna==3.10\n";
        assert_eq!(wanted(text), "idna==3.10\n");
        assert_eq!(wanted("durawasm[x]; python_version > '3'\n-r more.txt"), "-r more.txt\n");
    }
}
